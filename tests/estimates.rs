//! How near the estimates are: recorded calls with their usage hidden, against what their providers counted.
//!
//! The recordings are read in place, from `TOLLBAR_DATA`, and are not part of this repository.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use events::{CallUuid, Certainty, Source, Timestamp, Usage};
use house::{
    House, PATIENCE, Upstream,
    exchange::{Exchange, exchanges},
    upstream::cut,
    wire::request,
};
use std::collections::BTreeMap;
use tollbar_app::meter::{Call, Ending, Meter};

/// The fewest calls of which a median says something.
const CALLS_MIN: usize = 8;
/// Shorter texts are mostly what stands around them.
const TOKENS_MIN: u64 = 12;

/// What the meter makes of a call whose provider does not count.
fn estimated(exchange: &Exchange) -> Option<Usage> {
    let call = Call {
        provider: exchange.text("provider"),
        method: exchange.text("method"),
        path: exchange.text("path"),
        encoding: None,
        websocket: false,
        at: Timestamp::from_secs(1),
        uuid: CallUuid(1),
        source: Source::Proxy,
    };
    let mut meter = Meter::start(&call)?;
    meter.request(&Exchange::bytes(&exchange.facts, "request_body"));
    meter.head(200, |_| None);
    let reply = String::from_utf8_lossy(&exchange.reply).replace("\"usage\"", "\"hidden\"").replace("\"x_groq\"", "\"hidden\"");
    meter.reply(reply.as_bytes());
    let usage = meter.finish(Ending::Complete, Timestamp::from_secs(2)).into_iter().next()?.usage;
    (usage.certainty == Certainty::Estimated).then_some(*usage)
}

/// Whose tokenizer a model has.
fn family(model: &str) -> &'static str {
    let name = model.rsplit('/').next().unwrap_or_default();
    let families =
        ["gpt", "o1", "o3", "o4", "claude", "gemini", "mistral", "magistral", "grok", "deepseek", "llama", "qwen", "kimi", "glm"];
    families.into_iter().find(|family| name.to_lowercase().contains(family)).unwrap_or("other")
}

fn median(of: &mut [f64]) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

#[test]
fn half_of_the_estimates_are_near_what_was_counted() {
    let Some(exchanges) = exchanges() else { return };
    let mut ratios: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for exchange in &exchanges {
        let expected = &exchange.facts["expected"];
        let count = |class: &str| expected[class].as_u64().unwrap_or(0);
        // What is not in the text cannot be counted: pictures and sounds, reasoning that is not shown, replies that were joined or cut.
        let plain = expected["has_usage"] == true
            && expected["ambiguous"] != true
            && count("reasoning") == 0
            && exchange.text("request_body_encoding") == "utf8"
            && exchange.text("body_fidelity") == "exact"
            && !["image", "audio", "file"].iter().any(|it| exchange.text("request_body").contains(it));
        let Some(usage) = Some(exchange).filter(|_| plain).and_then(estimated) else { continue };
        let model = usage.model.as_deref().unwrap_or_default().to_owned();
        let input = if exchange.text("request_body").contains("\"tools\"") { "input with tools" } else { "input" };
        let prompt = ["input_uncached", "cache_read", "cache_write_5m", "cache_write_1h"].map(count).iter().sum::<u64>();
        for (side, estimated, counted) in [(input, usage.tokens.input, prompt), ("output", usage.tokens.output, count("output"))] {
            if estimated > 0 && counted >= TOKENS_MIN {
                ratios.entry((family(&model), side)).or_default().push(counted as f64 / estimated as f64);
            }
        }
    }
    for ((family, side), ratios) in &mut ratios {
        let middle = median(ratios);
        let (low, high) = (ratios[ratios.len() / 10], ratios[ratios.len() * 9 / 10]);
        println!(
            "{family:10} {side:16} {:4} calls: counted/estimated {middle:.2}, nine of ten between {low:.2} and {high:.2}",
            ratios.len()
        );
        if ratios.len() >= CALLS_MIN && (*family == "gpt" || *side == "output" && ["claude", "mistral", "gemini"].contains(family)) {
            assert!((0.8..1.25).contains(&middle), "{family} {side}: {middle}");
        }
    }
}

#[test]
fn a_client_that_does_not_wait_for_the_answer_is_a_call_all_the_same() {
    let upstream = Upstream::start(|_, _| {
        std::thread::sleep(PATIENCE / 4);
        cut()
    });
    let mut house = House::new(&upstream.config(&["openai"]));
    house.start();
    let body = br#"{"model":"gpt-4o","messages":[{"role":"user","content":"Count to five."}]}"#;
    let mut client = house.client();
    client.send(&request("POST", "/openai/v1/chat/completions", &[("content-type", "application/json")], body));
    house::eventually(|| (!upstream.heard().is_empty()).then_some(()), || "the upstream is asked".to_owned());
    drop(client);
    let rows = house.rows_when(1);
    assert_eq!((&rows[0]["model"], &rows[0]["certainty"], &rows[0]["input"]), (&"gpt-4o".into(), &"estimated".into(), &11.into()));
}
