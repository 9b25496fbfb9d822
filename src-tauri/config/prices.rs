//! The sections `[plans]` and `[prices]`, and the multipliers of `[upstreams]`.

use crate::upstreams::UpstreamSection;
use events::{AgreedName, AgreedPrice, Day, Factor, Multiplier, Rate, Rates, Tier, Timestamp, Usd, query::Plan};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A subscription: `[plans.claude-max]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanSection {
    /// What it costs a month, in dollars.
    monthly: String,
    client: Option<String>,
    provider: Option<String>,
    from: Option<String>,
    until: Option<String>,
}

/// A price of the user's own: `[prices."my-model"]`. Rates are dollars per million tokens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceSection {
    provider: Option<String>,
    tier: Option<String>,
    from: Option<String>,
    until: Option<String>,
    input: Option<String>,
    output: Option<String>,
    cache_read: Option<String>,
    cache_write: Option<String>,
    cache_write_1h: Option<String>,
}

/// The plans, by name.
pub(super) fn plans(sections: &BTreeMap<String, PlanSection>) -> Result<Vec<Plan>, String> {
    let plan = |(name, section): (&String, &PlanSection)| {
        let at = |key: &str| format!("plans.{name}.{key}");
        let day = |key: &str, text: &Option<String>| {
            text.as_deref().map(str::parse::<Day>).transpose().map_err(|error| format!("{}: {error}", at(key)))
        };
        let monthly: Usd = section.monthly.parse().map_err(|error| format!("{}: {error}", at("monthly")))?;
        if monthly < Usd::ZERO {
            return Err(format!("{} is below zero", at("monthly")));
        }
        if section.client.is_none() && section.provider.is_none() {
            return Err(format!("plans.{name} covers nothing (name its client or provider)"));
        }
        Ok(Plan {
            name: name.clone(),
            monthly,
            client: section.client.clone(),
            provider: section.provider.clone(),
            from: day("from", &section.from)?,
            until: day("until", &section.until)?,
        })
    };
    sections.iter().map(plan).collect()
}

/// The user's own prices, by model.
pub(super) fn prices(sections: &BTreeMap<String, PriceSection>) -> Result<Vec<AgreedPrice>, String> {
    let price = |(model, section): (&String, &PriceSection)| {
        let wrong = |key: &str, text: &str| format!("prices.{model}.{key} is {text:?}");
        let rate = |key: &str, text: &Option<String>| {
            let read = |text: &String| Rate::per_million(text).ok_or_else(|| wrong(key, text) + " (give dollars per million tokens, like \"3\")");
            text.as_ref().map(read).transpose()
        };
        let instant = |key: &str, text: &Option<String>| {
            let read = |text: &String| {
                let at = Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{text}T00:00:00Z")));
                at.ok_or_else(|| wrong(key, text) + " (write it like 2026-11-01)")
            };
            text.as_ref().map(read).transpose()
        };
        let tier = Tier::of(section.tier.as_deref()).ok_or_else(|| wrong("tier", section.tier.as_deref().unwrap_or_default()))?;
        let (cache_write, cache_write_1h) = (rate("cache_write", &section.cache_write)?, rate("cache_write_1h", &section.cache_write_1h)?);
        Ok(AgreedPrice {
            name: AgreedName { model: model.clone(), provider: section.provider.clone(), tier },
            from: instant("from", &section.from)?,
            fills: false,
            until: instant("until", &section.until)?,
            rates: Rates {
                input: rate("input", &section.input)?,
                output: rate("output", &section.output)?,
                cache_read: rate("cache_read", &section.cache_read)?,
                cache_write_5m: cache_write,
                cache_write_30m: cache_write,
                cache_write_1h,
                cache_write_12h: cache_write_1h,
                ..Rates::default()
            },
        })
    };
    sections.iter().map(price).collect()
}

/// By what the list prices of upstreams are multiplied.
pub(super) fn multipliers(upstreams: &BTreeMap<String, UpstreamSection>) -> Result<Vec<Multiplier>, String> {
    let multiplied = upstreams.iter().filter_map(|(name, section)| Some((name, section.multiplier.as_ref()?)));
    let multiplier = |(name, text): (&String, &String)| {
        let factor = Factor::parse(text)
            .ok_or_else(|| format!("upstreams.{name}.multiplier is {text:?} (write it like \"1.2\": above 0, at most 100, at most three places)"))?;
        Ok(Multiplier { provider: name.clone(), factor, from: None })
    };
    multiplied.map(multiplier).collect()
}
