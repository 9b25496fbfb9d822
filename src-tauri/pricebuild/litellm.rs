//! Reads LiteLLM's table: today's prices only, but of many tiers and regions.

use super::{
    card::Card,
    exact::{PerUnit, scaled},
};
use events::{Factor, Rate, Tier};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// How a provider's models are written there: provider of ours, theirs, and what stands before the model.
pub(super) const KEYS: [(&str, &[&str], &str); 10] = [
    ("openai", &["openai", "text-completion-openai"], ""),
    ("anthropic", &["anthropic"], ""),
    ("google", &["gemini"], "gemini/"),
    ("xai", &["xai"], "xai/"),
    ("mistral", &["mistral"], "mistral/"),
    ("deepseek", &["deepseek"], "deepseek/"),
    ("moonshot", &["moonshot"], "moonshot/"),
    ("groq", &["groq"], "groq/"),
    ("cohere", &["cohere", "cohere_chat"], ""),
    ("perplexity", &["perplexity"], "perplexity/"),
];

const SUFFIXES: [(&str, Tier); 3] = [("_batches", Tier::Batch), ("_flex", Tier::Flex), ("_priority", Tier::Priority)];

/// Prices of a tier are multiples of standard ones by a simple fraction; anything else is a slip.
const DENOMINATOR_MAX: i128 = 20;

pub(super) struct Table(BTreeMap<String, BTreeMap<String, Box<RawValue>>>);

impl Table {
    pub(super) fn read(bytes: &[u8]) -> Result<Table, serde_json::Error> {
        Ok(Table(serde_json::from_slice(bytes)?))
    }

    /// The models of a provider, by the provider's own names.
    pub(super) fn models(&self, provider: &str) -> Vec<(&str, Entry<'_>)> {
        let Some((_, theirs, prefix)) = KEYS.iter().find(|(ours, _, _)| *ours == provider) else { return Vec::new() };
        let of_provider = |entry: &&BTreeMap<String, Box<RawValue>>| {
            let name = entry.get("litellm_provider").map(|raw| raw.get().trim_matches('"'));
            name.is_some_and(|name| theirs.contains(&name))
        };
        let entries = self.0.iter().filter(|(_, entry)| of_provider(entry));
        entries.filter_map(|(key, entry)| Some((key.strip_prefix(prefix)?, Entry(entry)))).filter(|(key, _)| !key.contains(' ')).collect()
    }
}

#[derive(Clone, Copy)]
pub(super) struct Entry<'a>(&'a BTreeMap<String, Box<RawValue>>);

impl Entry<'_> {
    fn rate(&self, key: &str) -> Option<Rate> {
        serde_json::from_str::<PerUnit>(self.0.get(key)?.get()).ok().map(|price| price.0)
    }

    /// Rate of a class of ours, with the suffix of a tier.
    fn class(&self, class: &str, suffix: &str) -> Option<Rate> {
        let key = match class {
            "input" => "input_cost_per_token",
            "output" => "output_cost_per_token",
            "cache_read" => "cache_read_input_token_cost",
            "cache_write_5m" => "cache_creation_input_token_cost",
            _ => return None,
        };
        self.rate(&format!("{key}{suffix}"))
    }

    /// Input, output and cache read of the standard tier.
    pub(super) fn standard(&self) -> [(&'static str, Option<Rate>); 3] {
        ["input", "output", "cache_read"].map(|class| (class, self.class(class, "")))
    }

    /// By which factors tokens cost more in a region.
    pub(super) fn geo(&self) -> BTreeMap<String, Factor> {
        let mut factors = BTreeMap::new();
        let special = self.0.get("provider_specific_entry").map(|raw| raw.get()).unwrap_or("{}");
        let special: BTreeMap<String, Box<RawValue>> = serde_json::from_str(special).unwrap_or_default();
        for region in ["us", "eu"] {
            let uplift = self.0.get(&format!("regional_processing_uplift_multiplier_{region}")).or_else(|| special.get(region));
            if let Some(factor) = uplift.and_then(|raw| Factor::parse(raw.get())) {
                factors.insert(region.to_owned(), factor);
            }
        }
        factors
    }

    /// How a tier's prices are made from a standard card; `None` where it lists none, or they are no simple multiple.
    pub(super) fn tier(&self, tier: Tier, standard: &Card) -> Option<Card> {
        let (suffix, _) = SUFFIXES.iter().find(|(_, known)| *known == tier)?;
        let ratio = |class: &str| {
            let (rate, base) = (self.class(class, suffix)?.atto(), self.class(class, "")?.atto());
            (1..=DENOMINATOR_MAX).find(|denominator| base != 0 && rate * denominator % base == 0).map(|by| (rate * by / base, by))
        };
        let (input, output) = (ratio("input")?, ratio("output")?);
        (input == output).then(|| {
            Card::combined([standard], |class, [rate]| match class {
                "web_search" => rate,
                "cache_write_1h" | "cache_write_30m" | "cache_write_12h" => None,
                // Caches keep the standard price, unless the table has one of the tier's.
                "cache_read" | "cache_read_audio" => ratio("cache_read").map_or(rate, |(by, of)| scaled(rate?, by, of)),
                "cache_write_5m" => ratio(class).map_or(rate, |(by, of)| scaled(rate?, by, of)),
                _ => scaled(rate?, input.0, input.1),
            })
        })
    }
}
