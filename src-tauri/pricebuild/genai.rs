//! Reads pydantic/genai-prices: dated prices, variants by tier, and rules by which names match a model.

use super::{
    card::Card,
    exact::{Once, PerMillion, scaled},
};
use events::{Band, Rate, Tier, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Providers that are taken, and what they are called here (the names of upstreams, where there is one).
pub(super) const PROVIDERS: [(&str, &str); 30] = [
    ("anthropic", "anthropic"),
    ("openai", "openai"),
    ("google", "google"),
    ("mistral", "mistral"),
    ("x-ai", "xai"),
    ("deepseek", "deepseek"),
    ("groq", "groq"),
    ("cohere", "cohere"),
    ("perplexity", "perplexity"),
    ("moonshotai", "moonshot"),
    ("azure", "azure"),
    ("aws", "bedrock"),
    ("cerebras", "cerebras"),
    ("together", "together"),
    ("fireworks", "fireworks"),
    ("zai", "zai"),
    ("voyageai", "voyageai"),
    ("avian", "avian"),
    ("doubleword", "doubleword"),
    ("minimax", "minimax"),
    ("meta", "meta"),
    ("arcee", "arcee"),
    ("novita", "novita"),
    ("baseten", "baseten"),
    ("cloudflare", "cloudflare"),
    ("databricks", "databricks"),
    ("modal", "modal"),
    ("ovhcloud", "ovhcloud"),
    ("zhipuai", "zhipuai"),
    ("cursor", "cursor"),
];

/// Those that sell others' models: of these only what the makers' own lists do not have.
pub(super) const RESELLERS: [(&str, &str); 2] = [("openrouter", "openrouter"), ("github-copilot", "copilot")];

#[derive(Deserialize)]
pub(super) struct Provider {
    pub(super) id: String,
    pub(super) pricing_urls: Option<Vec<String>>,
    pub(super) models: Vec<Model>,
}

#[derive(Deserialize)]
pub(super) struct Model {
    pub(super) id: String,
    #[serde(rename = "match")]
    pub(super) names: Names,
    prices: Box<RawValue>,
    #[serde(default)]
    price_variants: Vec<Variant>,
}

/// Which names are a model's.
#[derive(Deserialize)]
pub(super) enum Names {
    #[serde(rename = "or", alias = "or_")]
    Or(Vec<Names>),
    #[serde(rename = "and", alias = "and_")]
    And(Vec<Names>),
    #[serde(rename = "equals")]
    Equals(String),
    #[serde(rename = "starts_with")]
    StartsWith(String),
    #[serde(rename = "ends_with")]
    EndsWith(String),
    #[serde(rename = "contains")]
    Contains(String),
    #[serde(rename = "regex")]
    Regex(String),
}

impl Names {
    /// Whether the rule takes this name. Of regular expressions it knows the one that keeps speech models apart; those that
    /// take dates are not needed, since a price book takes dates off itself.
    pub(super) fn take(&self, name: &str) -> bool {
        match self {
            Names::Or(rules) => rules.iter().any(|rule| rule.take(name)),
            Names::And(rules) => rules.iter().all(|rule| rule.take(name)),
            Names::Equals(text) => name == text,
            Names::StartsWith(text) => name.starts_with(text.as_str()),
            Names::EndsWith(text) => name.ends_with(text.as_str()),
            Names::Contains(text) => name.contains(text.as_str()),
            Names::Regex(pattern) => pattern.contains("[tT][tT][sS]") && !name.to_ascii_lowercase().contains("-tts"),
        }
    }

    /// The texts of the rule that can stand as a whole name.
    pub(super) fn whole(&self) -> Vec<&str> {
        match self {
            Names::Or(rules) | Names::And(rules) => rules.iter().flat_map(Names::whole).collect(),
            Names::Equals(text) => vec![text],
            Names::StartsWith(text) | Names::EndsWith(text) | Names::Contains(text) => vec![text.trim_end_matches(['-', '@', ':'])],
            Names::Regex(_) => Vec::new(),
        }
    }
}

#[derive(Deserialize)]
struct Dated {
    #[serde(default)]
    constraint: Option<Constraint>,
    prices: Once<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Constraint {
    start_date: Option<String>,
    start_time: Option<String>,
}

#[derive(Deserialize)]
struct Variant {
    when: Once<String>,
    #[serde(default)]
    constraint: Option<Constraint>,
    prices: Once<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Tiered {
    base: PerMillion,
    tiers: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    start: u64,
    price: PerMillion,
}

/// Prices from a date on; `None` is from the beginning.
pub(super) type Since = (Option<Timestamp>, Card);

impl Model {
    /// Standard prices, oldest first. Empty where a part of the bill is counted in what we do not count (requests, minutes, pages).
    pub(super) fn standard(&self) -> Result<Vec<Since>, serde_json::Error> {
        let dated: Vec<Dated> = if self.prices.get().starts_with('[') {
            serde_json::from_str(self.prices.get())?
        } else {
            vec![Dated { constraint: None, prices: serde_json::from_str(self.prices.get())? }]
        };
        let mut since = Vec::new();
        for Dated { constraint, prices } in &dated {
            let Some(card) = card(prices)? else { return Ok(Vec::new()) };
            if constraint.as_ref().is_none_or(|constraint| constraint.start_time.is_none()) {
                since.push((start(constraint.as_ref()), card));
            }
        }
        since.sort_by_key(|(from, _)| *from);
        Ok(since)
    }

    /// Prices of other tiers, oldest first. What they do not list costs as standard does.
    pub(super) fn variants(&self) -> Result<BTreeMap<Tier, Vec<Since>>, serde_json::Error> {
        let mut tiers: BTreeMap<Tier, Vec<Since>> = BTreeMap::new();
        for variant in &self.price_variants {
            let word = ["processing", "service_tier", "speed"].iter().find_map(|key| variant.when.0.get(*key));
            let tier = word.and_then(|word| Tier::of(Some(word))).filter(|tier| *tier != Tier::Standard && variant.when.0.len() == 1);
            if let (Some(tier), Some(card)) = (tier, card(&variant.prices)?) {
                tiers.entry(tier).or_default().push((start(variant.constraint.as_ref()), card));
            }
        }
        tiers.values_mut().for_each(|since| since.sort_by_key(|(from, _)| *from));
        Ok(tiers)
    }
}

fn start(constraint: Option<&Constraint>) -> Option<Timestamp> {
    constraint.and_then(|constraint| Timestamp::parse(&format!("{}T00:00:00Z", constraint.start_date.as_deref()?)))
}

/// The classes that we count. `None` where something else is billed with every call.
fn card(prices: &Once<Box<RawValue>>) -> Result<Option<Card>, serde_json::Error> {
    let mut card = Card::default();
    for (unit, raw) in &prices.0 {
        let (class, units_per_million) = match unit.as_str() {
            "input_mtok" => ("input", 1),
            "cache_read_mtok" => ("cache_read", 1),
            "cache_write_mtok" => ("cache_write_5m", 1),
            "cache_write_1h_mtok" => ("cache_write_1h", 1),
            "output_mtok" => ("output", 1),
            "input_audio_mtok" => ("input_audio", 1),
            "cache_audio_read_mtok" => ("cache_read_audio", 1),
            "input_image_mtok" => ("input_image", 1),
            "output_audio_mtok" => ("output_audio", 1),
            "output_image_mtok" => ("output_image", 1),
            "web_searches_kcount" => ("web_search", 1_000),
            "storage_searches_kcount" => ("file_search", 1_000),
            "input_document_kpages" => ("page", 1_000),
            "input_mchars" => ("character", 1),
            "requests_kcount" | "output_reasoning_mtok" | "output_citation_mtok" => return Ok(None),
            _ => continue,
        };
        let tiered = match raw.get().starts_with('{') {
            true => serde_json::from_str(raw.get())?,
            false => Tiered { base: serde_json::from_str(raw.get())?, tiers: Vec::new() },
        };
        let part = |rate: Rate| {
            let mut rates = events::Rates::default();
            *rates.get_mut(class).expect("a class of ours") = scaled(rate, units_per_million, 1);
            rates
        };
        let bands = tiered.tiers.iter().map(|step| Band { above: step.start, rates: part(step.price.0) }).collect();
        let one = Card { rates: part(tiered.base.0), bands };
        card = Card::combined([&card, &one], |_, [card, one]| one.or(card));
    }
    Ok(Some(card))
}
