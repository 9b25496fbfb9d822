//! Doors for the fuzzers in `tests/fuzz` to what nobody else outside of this crate reaches.

use crate::{config::Config, connect, percent, pricebuild, priceupdate, proxy};
use events::{Command, PriceBook, Projections, Timestamp, decide, query};
use std::sync::LazyLock;

/// A path of a call: to its upstream and its meter.
pub fn path(text: &str) {
    static CONFIG: LazyLock<Config> = LazyLock::new(|| Config::parse("").expect("nothing is a configuration"));
    let _ = percent::decoded(text);
    if let Ok(uri) = text.parse() {
        proxy::any_route(&CONFIG.upstreams, &uri);
    }
}

/// A body that the control API is asked or told with.
pub fn asked(bytes: &[u8]) {
    if let Ok(command) = serde_json::from_slice::<Command>(bytes) {
        let _ = decide(command, &Projections::new(PriceBook::bundled().clone()), Timestamp::default());
    }
    let _ = serde_json::from_slice::<query::SpendBy>(bytes);
    let _ = serde_json::from_slice::<query::Calls>(bytes);
    let _ = serde_json::from_slice::<query::Reprice>(bytes);
}

/// Another program's settings: put in, read back, with the rest as it was.
pub fn settings(text: &str) {
    connect::any_settings(text);
}

/// A price book, or one of the data sets of which one is made, beside small ones that are sound.
pub fn prices(choice: u8, bytes: &[u8]) {
    let mut sets = pricebuild::Sets {
        genai: br#"[{"id":"openai","models":[{"id":"m","match":{"equals":"m"},"prices":{"input_mtok":1,"output_mtok":2}}]}]"#,
        model_prices: br#"{"updated_at":"2026-01-01T00:00:00Z","prices":{"openai":{"m":{}}},"schedules":{"holidays":{},"schedule":[]}}"#,
        litellm: br#"{"m":{"litellm_provider":"openai","input_cost_per_token":1e-06,"output_cost_per_token":2e-06}}"#,
        models_dev: br#"{"openai":{"models":{"m":{"cost":{"input":1,"output":2}}}}}"#,
    };
    match choice % 5 {
        0 => return drop(PriceBook::from_json(bytes)),
        1 => sets.genai = bytes,
        2 => sets.model_prices = bytes,
        3 => sets.litellm = bytes,
        _ => sets.models_dev = bytes,
    }
    if let Ok(built) = pricebuild::build(&sets, None) {
        let book = PriceBook::from_json(built.json.as_bytes()).expect("what is built is sound");
        let proposed = priceupdate::propose(&book, &sets, Timestamp::from_secs(1_800_000_000)).expect("it follows itself");
        assert!(proposed.changes.is_empty(), "a book that follows itself changes nothing: {:?}", proposed.changes);
    }
}
