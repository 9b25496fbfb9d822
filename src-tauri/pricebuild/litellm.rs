//! Reads LiteLLM's table: today's prices only, but of many tiers and regions.

use super::{
    card::Card,
    exact::{Once, PerUnit, scaled},
};
use events::{Band, Factor, Rate, Rates, Tier};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// How a provider's models are written there.
pub(super) struct Key {
    pub(super) ours: &'static str,
    theirs: &'static [&'static str],
    /// What stands before the model.
    prefix: &'static str,
}

const fn key(ours: &'static str, theirs: &'static [&'static str], prefix: &'static str) -> Key {
    Key { ours, theirs, prefix }
}

pub(super) const KEYS: [Key; 33] = [
    key("openai", &["openai", "text-completion-openai"], ""),
    key("anthropic", &["anthropic"], ""),
    key("google", &["gemini"], "gemini/"),
    key("xai", &["xai"], "xai/"),
    key("mistral", &["mistral"], "mistral/"),
    key("deepseek", &["deepseek"], "deepseek/"),
    key("moonshot", &["moonshot"], "moonshot/"),
    key("groq", &["groq"], "groq/"),
    key("cohere", &["cohere", "cohere_chat"], ""),
    key("perplexity", &["perplexity"], "perplexity/"),
    key("azure", &["azure"], "azure/"),
    key("azure", &["azure_ai"], "azure_ai/"),
    key("bedrock", &["bedrock", "bedrock_converse"], ""),
    key("bedrock", &["bedrock_mantle"], "bedrock_mantle/"),
    key(
        "vertex",
        &["vertex_ai-llama_models", "vertex_ai-mistral_models", "vertex_ai-deepseek_models", "vertex_ai-qwen_models"],
        "vertex_ai/",
    ),
    key(
        "vertex",
        &["vertex_ai-zai_models", "vertex_ai-openai_models", "vertex_ai-minimax_models", "vertex_ai-moonshot_models"],
        "vertex_ai/",
    ),
    key("together", &["together_ai"], "together_ai/"),
    key("fireworks", &["fireworks_ai", "fireworks_ai-embedding-models"], "fireworks_ai/"),
    key("cerebras", &["cerebras"], "cerebras/"),
    key("voyageai", &["voyage"], "voyage/"),
    key("zai", &["zai"], "zai/"),
    key("alibaba", &["dashscope"], "dashscope/"),
    key("minimax", &["minimax"], "minimax/"),
    key("heroku", &["heroku"], "heroku/"),
    key("crusoe", &["crusoe"], "crusoe/"),
    key("deepinfra", &["deepinfra"], "deepinfra/"),
    key("nebius", &["nebius"], "nebius/"),
    key("novita", &["novita"], "novita/"),
    key("databricks", &["databricks"], "databricks/"),
    key("baseten", &["baseten"], "baseten/"),
    key("sambanova", &["sambanova"], "sambanova/"),
    key("scaleway", &["scaleway"], "scaleway/"),
    key("ovhcloud", &["ovhcloud"], "ovhcloud/"),
];

/// Regions and sizes of pictures before a model's name: prices of those are others.
const NO_MODELS: [&str; 6] = ["-x-", "eu/", "us/", "apac/", "global/", "container"];

const SUFFIXES: [(&str, Tier); 4] =
    [("_batches", Tier::Batch), ("_flex", Tier::Flex), ("_priority", Tier::Priority), ("_ultrafast", Tier::Ultrafast)];

/// Our classes and their keys.
const CLASSES: [(&str, &str); 11] = [
    ("input", "input_cost_per_token"),
    ("output", "output_cost_per_token"),
    ("cache_read", "cache_read_input_token_cost"),
    ("cache_write_5m", "cache_creation_input_token_cost"),
    ("cache_write_1h", "cache_creation_input_token_cost_above_1hr"),
    ("cache_write_12h", "cache_creation_input_token_cost_above_12hr"),
    ("input_audio", "input_cost_per_audio_token"),
    ("cache_read_audio", "cache_read_input_audio_token_cost"),
    ("input_image", "input_cost_per_image_token"),
    ("output_audio", "output_cost_per_audio_token"),
    ("output_image", "output_cost_per_image_token"),
];

/// Our classes of fees and their keys.
const FEES: [(&str, &str); 6] = [
    ("maps_search", "google_maps_grounding_cost_per_query"),
    ("rerank_search", "input_cost_per_query"),
    ("page", "ocr_cost_per_page"),
    ("second", "input_cost_per_second"),
    ("character", "input_cost_per_character"),
    ("image", "output_cost_per_image"),
];

/// Fees by the size of the search context.
const BY_CONTEXT: &str = "search_context_cost_per_query";
/// Those of requests, and the sizes.
const REQUESTS: [(&str, &str); 3] = [
    ("request_low", "search_context_size_low"),
    ("request_medium", "search_context_size_medium"),
    ("request_high", "search_context_size_high"),
];

/// Prices of a tier are multiples of standard ones by a simple fraction; anything else is a slip.
const DENOMINATOR_MAX: i128 = 20;

#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Table(Once<Once<Box<RawValue>>>);

impl Table {
    /// The models of a provider, by the provider's own names.
    pub(super) fn models(&self, key: &Key) -> Vec<(&str, Entry<'_>)> {
        let of_provider = |entry: &BTreeMap<String, Box<RawValue>>| {
            let name = entry.get("litellm_provider").map(|raw| raw.get().trim_matches('"'));
            name.is_some_and(|name| key.theirs.contains(&name))
        };
        let entries = self.0.0.iter().filter(|(_, entry)| of_provider(&entry.0));
        let named = entries.filter_map(|(name, entry)| Some((name.strip_prefix(key.prefix)?, Entry(&entry.0))));
        let is_model = |name: &str| {
            let other_place = NO_MODELS.iter().any(|part| if *part == "-x-" { name.contains(part) } else { name.starts_with(part) });
            let path = key.prefix.is_empty() && name.contains('/');
            !name.is_empty() && !name.contains(' ') && !other_place && !path
        };
        named.filter(|(name, _)| is_model(name)).collect()
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
        let (_, key) = CLASSES.iter().find(|(ours, _)| *ours == class)?;
        self.rate(&format!("{key}{suffix}"))
    }

    /// The standard price; where the hour of the day counts, that of the cheaper hours, as the other sets have it.
    pub(super) fn standard(&self, key: &Key) -> Option<Card> {
        let mut card = self.card(key, "")?;
        let off_peak: Option<BTreeMap<String, Box<RawValue>>> =
            self.0.get("off_peak_pricing").and_then(|raw| serde_json::from_str(raw.get()).ok());
        if let Some(off_peak) = off_peak {
            card = Entry(&off_peak).card(key, "")?;
        }
        Some(card)
    }

    /// The prices of all tiers.
    pub(super) fn cards(&self, key: &Key) -> Vec<(Tier, Card)> {
        let tiers = SUFFIXES.iter().filter_map(|(suffix, tier)| Some((*tier, self.card(key, suffix)?)));
        // A part of what is billed is counted in another unit, or by ranges that only some clients are in.
        let unclear = ["tiered_pricing", "input_cost_per_request", "off_peak_pricing"].iter().any(|key| self.0.contains_key(*key));
        let standard = self.standard(key).filter(|_| !unclear);
        standard.into_iter().map(|card| (Tier::Standard, card)).chain(tiers).collect()
    }

    /// The rates with the suffix of a tier, and their bands.
    fn card(&self, key: &Key, suffix: &str) -> Option<Card> {
        let mut card = Card { rates: self.rates(suffix), bands: Vec::new() };
        self.take_fees(key, &mut card.rates);
        let has_fee = card.rates.iter().any(|(class, rate)| Rates::is_fee(class) && rate.is_some());
        if card.rates.input.is_none() && !(suffix.is_empty() && has_fee) {
            return None;
        }
        for above in self.thresholds() {
            let rates = self.rates(&format!("_above_{above}k_tokens{suffix}"));
            if rates == Rates::default() {
                continue;
            }
            // xAI counts "from 200,000" (prices.md 3).
            let above = above * 1_000 - u64::from(key.ours == "xai");
            let banded = Card { rates: card.rates.clone(), bands: vec![Band { above, rates }] };
            let below = Card { rates: card.rates.clone(), bands: Vec::new() };
            let whole = Card::combined([&below, &banded], |_, [below, banded]| banded.or(below));
            card.bands.extend(whole.bands);
        }
        Some(card).filter(|card| !card.is_nothing())
    }

    /// What is billed by the piece, whatever the tier.
    fn take_fees(&self, key: &Key, rates: &mut Rates) {
        for (class, name) in FEES {
            let rate = self.rate(name).filter(|rate| *rate != Rate::default());
            *rates.get_mut(class).expect("a class of ours") = rate;
        }
        let by_context: BTreeMap<String, Box<RawValue>> =
            self.0.get(BY_CONTEXT).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        for (class, size) in REQUESTS.into_iter().filter(|_| key.ours == "perplexity") {
            let rate = by_context.get(size).and_then(|raw| serde_json::from_str::<PerUnit>(raw.get()).ok());
            *rates.get_mut(class).expect("a class of ours") = rate.map(|price| price.0).filter(|rate| *rate != Rate::default());
        }
    }

    fn rates(&self, suffix: &str) -> Rates {
        let mut rates = Rates::default();
        for (class, _) in CLASSES {
            // Zero stands where nobody knows of a price for it.
            let rate = self.class(class, suffix).filter(|rate| ["input", "output"].contains(&class) || *rate != Rate::default());
            *rates.get_mut(class).expect("a class of ours") = rate;
        }
        rates
    }

    /// In thousands of tokens, ascending.
    fn thresholds(&self) -> BTreeSet<u64> {
        let limit = |key: &String| key.strip_prefix("input_cost_per_token_above_")?.split_once("k_tokens")?.0.parse::<u64>().ok();
        self.0.keys().filter_map(limit).filter(|limit| (1..1_000_000).contains(limit)).collect()
    }

    /// The page that the entry names.
    pub(super) fn source(&self) -> Option<String> {
        let source: String = serde_json::from_str(self.0.get("source")?.get()).ok()?;
        source.starts_with("https://").then_some(source)
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
    pub(super) fn multiple(&self, tier: Tier, standard: &Card) -> Option<Card> {
        let (suffix, _) = SUFFIXES.iter().find(|(_, known)| *known == tier)?;
        let ratio = |class: &str| {
            let (rate, base) = (self.class(class, suffix)?.atto(), self.class(class, "")?.atto());
            (1..=DENOMINATOR_MAX).find(|denominator| base != 0 && rate * denominator % base == 0).map(|by| (rate * by / base, by))
        };
        let (input, output) = (ratio("input")?, ratio("output")?);
        (input == output).then(|| {
            Card::combined([standard], |class, [rate]| match class {
                fee if Rates::is_fee(fee) => rate,
                "cache_write_1h" | "cache_write_30m" | "cache_write_12h" => None,
                // Caches keep the standard price, unless the table has one of the tier's.
                "cache_read" | "cache_read_audio" => ratio("cache_read").map_or(rate, |(by, of)| scaled(rate?, by, of)),
                "cache_write_5m" => ratio(class).map_or(rate, |(by, of)| scaled(rate?, by, of)),
                _ => scaled(rate?, input.0, input.1),
            })
        })
    }
}
