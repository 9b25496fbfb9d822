//! Recorded calls that carry their own cost, against the book: a free oracle. Each call is priced alike, or falls into a class of reasons.

use super::{Cost, PriceBook};
use crate::{Certainty, Fees, Timestamp, Tokens, Usage, Usd};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, fs, path::PathBuf};

#[derive(Deserialize)]
struct Exchange {
    id: String,
    provider: String,
    #[serde(default)]
    surface: String,
    #[serde(default)]
    response_body: Option<String>,
    #[serde(default)]
    response_headers: BTreeMap<String, String>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    has_usage: bool,
    #[serde(default)]
    billable: bool,
    #[serde(default)]
    ambiguous: bool,
    model: Option<String>,
    request_model: Option<String>,
    #[serde(default)]
    input_uncached: u64,
    #[serde(default)]
    cache_read: u64,
    #[serde(default)]
    cache_write_5m: u64,
    #[serde(default)]
    cache_write_1h: u64,
    #[serde(default)]
    output: u64,
    #[serde(default)]
    reasoning: u64,
    #[serde(default)]
    extras: Extras,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Extras {
    provider_cost_usd: Option<Box<RawValue>>,
    web_search_requests: Option<u32>,
    is_byok: Option<bool>,
    server_side_tool_usage_details: BTreeMap<String, u32>,
}

/// How the book's price of a call stands to the provider's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The same, to the last digit.
    Equal,
    /// The same, once reasoning is added that the provider bills and does not count as output (provider-usage 1, Vercel).
    EqualWithReasoning,
    /// Zero is reported: the user's own key, or an upstream that says nothing.
    OwnKey,
    /// Pictures and other things, of which no tokens are told.
    NoTokens,
    /// A fixture made by hand, without a day or with a made-up cost.
    MadeUp,
    /// An open model, for which each host asks what it likes; a router does not say which one it was.
    HostsPrice,
    /// More than the tokens cost: a plugin, a search or a fee by the request that no usage shows.
    Fee,
    /// The book has no price.
    Unpriced,
    /// Nobody knows.
    Unexplained,
}

/// Makers whose models cost the same wherever they are called (prices.md 2).
const CLOSED: [&str; 6] = ["openai/", "anthropic/", "google/", "x-ai/", "xai/", "cohere/"];
/// Surfaces behind which recordings of other hosts hide.
const ROUTERS: [&str; 3] = ["openrouter", "vercel-gateway", "openai"];

fn outcome(exchange: &Exchange) -> Outcome {
    let Expected { has_usage, billable, ambiguous, ref extras, .. } = exchange.expected;
    let cost: Option<Usd> = extras.provider_cost_usd.as_ref().and_then(|cost| cost.get().parse().ok());
    let cost = cost.expect("only calls with a cost are looked at");
    if cost.is_zero() || extras.is_byok == Some(true) {
        return Outcome::OwnKey;
    }
    if !has_usage || !billable || ambiguous || exchange.expected.model.is_none() {
        return Outcome::NoTokens;
    }
    // The instant of a hand-made fixture, whose cost is made up too.
    let Some(at) = made(exchange).filter(|at| *at != Timestamp::from_secs(1_700_000_000)) else { return Outcome::MadeUp };
    let usage = used(exchange, at);
    let with_reasoning =
        Usage { tokens: Tokens { output: usage.tokens.output + exchange.expected.reasoning, ..usage.tokens }, ..usage.clone() };
    let book = PriceBook::bundled();
    let priced = |usage: &Usage| match book.cost(usage, at) {
        Cost::Priced { usd, .. } => Some(usd),
        Cost::Unpriced { .. } => None,
    };
    // Providers report in ticks of 1e-10 dollars, or coarser.
    let same = |usd: Option<Usd>| usd.is_some_and(|usd| (usd - cost).pico().abs() <= 50);
    let model = usage.model.as_deref().unwrap_or_default();
    let closed = CLOSED.iter().any(|maker| model.starts_with(maker)) && !model.contains("gpt-oss") && !model.contains("gemma");
    let routed = ROUTERS.contains(&exchange.provider.as_str());
    match priced(&usage) {
        usd if same(usd) => Outcome::Equal,
        _ if exchange.expected.reasoning > 0 && same(priced(&with_reasoning)) => Outcome::EqualWithReasoning,
        _ if routed && !closed => Outcome::HostsPrice,
        Some(usd) if routed && usd < cost => Outcome::Fee,
        None => Outcome::Unpriced,
        Some(usd) => {
            println!("{} {} {model} at {at}: {cost} reported, {usd} by the book", exchange.id, exchange.provider);
            Outcome::Unexplained
        }
    }
}

/// What was used.
fn used(exchange: &Exchange, at: Timestamp) -> Usage {
    let Expected { extras, .. } = &exchange.expected;
    let expected = &exchange.expected;
    let searches = ["web_search_calls", "x_search_calls"].iter().filter_map(|name| extras.server_side_tool_usage_details.get(*name)).sum();
    Usage {
        at,
        provider: exchange.provider.clone(),
        family: "openai".into(),
        model: expected.model.clone(),
        request_model: expected.request_model.clone(),
        tokens: Tokens {
            input: expected.input_uncached,
            cache_read: expected.cache_read,
            cache_write_5m: expected.cache_write_5m,
            cache_write_1h: expected.cache_write_1h,
            output: expected.output,
            ..Tokens::default()
        },
        fees: Fees::of_searches(extras.web_search_requests.unwrap_or(searches)),
        certainty: Certainty::Reported,
        ..Usage::default()
    }
}

/// When the call was made, by the reply's own word or its `Date` header.
fn made(exchange: &Exchange) -> Option<Timestamp> {
    let body = exchange.response_body.as_deref().unwrap_or_default();
    let stated = ["\"created\":", "\"created_at\":"].iter().find_map(|field| {
        let digits = body.split_once(field)?.1.trim_start();
        digits.get(..10)?.parse::<i64>().ok().map(Timestamp::from_secs)
    });
    let dated = exchange.response_headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("date"));
    stated.or_else(|| chrono::DateTime::parse_from_rfc2822(dated?.1).ok().map(|at| Timestamp::from(at.to_utc())))
}

#[test]
fn what_providers_say_a_call_cost_is_what_it_costs_or_there_is_a_reason() {
    let data = std::env::var_os("TOLLBAR_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from)
        .join("traffic");
    let Ok(files) = fs::read_dir(&data) else { return println!("skipped: no recordings at {}", data.display()) };
    let mut score: BTreeMap<String, BTreeMap<Outcome, u32>> = BTreeMap::new();
    for path in files.map(|file| file.expect("a file").path()).filter(|path| path.extension().is_some_and(|it| it == "jsonl")) {
        for line in fs::read_to_string(&path).expect("recordings").lines() {
            let exchange: Exchange = serde_json::from_str(line).expect("a recording");
            if exchange.expected.extras.provider_cost_usd.is_some() {
                let key = format!("{} {}", exchange.provider, exchange.surface);
                *score.entry(key).or_default().entry(outcome(&exchange)).or_default() += 1;
            }
        }
    }
    let mut all: BTreeMap<Outcome, u32> = BTreeMap::new();
    for (surface, outcomes) in &score {
        println!("{surface}: {outcomes:?}");
        outcomes.iter().for_each(|(outcome, calls)| *all.entry(*outcome).or_default() += calls);
    }
    println!("all: {all:?}");
    assert_eq!(all.get(&Outcome::Unexplained), None, "{score:?}");
    // xAI prices every call of a known day as the book does.
    let xai = score.iter().filter(|(surface, _)| surface.starts_with("xai "));
    let different = |outcome: &Outcome| ![Outcome::Equal, Outcome::NoTokens, Outcome::MadeUp, Outcome::OwnKey].contains(outcome);
    assert!(xai.flat_map(|(_, outcomes)| outcomes.keys()).all(|outcome| !different(outcome)), "{score:?}");
    let equal = all.get(&Outcome::Equal).unwrap_or(&0) + all.get(&Outcome::EqualWithReasoning).unwrap_or(&0);
    assert!(equal * 10 >= all.values().sum::<u32>() * 8, "{equal} of {all:?}");
}
