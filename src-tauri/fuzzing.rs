//! Doors for the fuzzers in `tests/fuzz` to what nobody else outside of this crate reaches.

use crate::{config::Config, connect, percent, proxy};
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
