//! Recorded calls that carry their own cost, against the book: a free oracle.

use super::{AsOf, Cost, PriceBook, Unpriced};
use crate::{Certainty, Fees, Timestamp, Tokens, Usage, Usd};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, fs, path::PathBuf};

#[derive(Deserialize)]
struct Exchange {
    id: String,
    provider: String,
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
    extras: Extras,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Extras {
    provider_cost_usd: Option<Box<RawValue>>,
    web_search_requests: Option<u32>,
    server_side_tool_usage_details: BTreeMap<String, u32>,
}

/// How many calls of a provider have the book's price, another, or none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    equal: u32,
    different: u32,
    unpriced: u32,
}

fn tally(provider: &str) -> Option<Tally> {
    let data = std::env::var_os("TOLLBAR_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from)
        .join("traffic")
        .join(format!("{provider}.jsonl"));
    let Ok(text) = fs::read_to_string(&data) else {
        println!("skipped: no recordings at {}", data.display());
        return None;
    };
    let book = PriceBook::bundled();
    let mut tally = Tally::default();
    for line in text.lines() {
        let exchange: Exchange = serde_json::from_str(line).expect("a recording");
        let Some((usage, cost)) = priced_by_provider(&exchange) else { continue };
        let name = usage.model.as_deref().unwrap_or_default();
        match book.cost_of(&usage, AsOf::Call) {
            // Providers report in ticks of 1e-10 dollars, or coarser.
            Cost::Priced { usd, .. } if (usd - cost).pico().abs() <= 50 => tally.equal += 1,
            Cost::Priced { usd, .. } => {
                println!("{} {} {name} at {}: {cost} reported, {usd} by the book", exchange.id, exchange.provider, usage.at);
                tally.different += 1;
            }
            Cost::Unpriced { reason } => {
                if reason != Unpriced::UnknownModel {
                    println!("{} {name}: {reason}", exchange.id);
                }
                tally.unpriced += 1;
            }
        }
    }
    println!("{provider}: {tally:?}");
    Some(tally)
}

/// What was used, and the positive cost that the provider reported for it.
fn priced_by_provider(exchange: &Exchange) -> Option<(Usage, Usd)> {
    let Expected { has_usage, billable, ambiguous, ref extras, .. } = exchange.expected;
    let cost: Usd = extras.provider_cost_usd.as_ref()?.get().parse().ok()?;
    let expected = &exchange.expected;
    if !has_usage || !billable || ambiguous || cost <= Usd::ZERO || expected.model.is_none() {
        return None;
    }
    let searches = ["web_search_calls", "x_search_calls"].iter().filter_map(|name| extras.server_side_tool_usage_details.get(*name)).sum();
    // The instant of a hand-made fixture, whose cost is made up too.
    let at = made(exchange).filter(|at| *at != Timestamp::from_secs(1_700_000_000))?;
    let usage = Usage {
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
        fees: Fees { web_search: extras.web_search_requests.unwrap_or(searches) },
        certainty: Certainty::Reported,
        ..Usage::default()
    };
    Some((usage, cost))
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
fn xai_prices_its_calls_as_the_book_does() {
    let Some(tally) = tally("xai") else { return };
    assert!(tally.equal >= 36 && tally.different == 0, "{tally:?}");
}

#[test]
fn resellers_price_closed_models_as_their_makers_do() {
    // The rest are open models, whose price is the host's, and what no count of tokens shows.
    let Some(openrouter) = tally("openrouter") else { return };
    assert!(openrouter.equal >= 60 && openrouter.different <= 10, "{openrouter:?}");
    let Some(avian) = tally("avian") else { return };
    assert!(avian.equal >= 7 && avian.different == 0, "{avian:?}");
    // Vercel counts reasoning outside of completion tokens but bills it; the recordings' `output` leaves it out.
    let Some(vercel) = tally("vercel-gateway") else { return };
    assert!(vercel.equal >= 38, "{vercel:?}");
}
