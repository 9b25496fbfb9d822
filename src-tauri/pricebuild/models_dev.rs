//! Reads models.dev: today's prices of very many sellers, without dates and without cache writes of an hour.

use super::{
    card::Card,
    exact::{Once, PerMillion},
};
use events::{Band, Rates, Timestamp};
use serde::Deserialize;

/// Sellers that are taken, and what they are called here: makers and hosts that somebody may be pointed at, no subscriptions and no
/// resellers of resellers.
pub(super) const PROVIDERS: [(&str, &str); 52] = [
    ("anthropic", "anthropic"),
    ("openai", "openai"),
    ("google", "google"),
    ("mistral", "mistral"),
    ("xai", "xai"),
    ("deepseek", "deepseek"),
    ("groq", "groq"),
    ("cohere", "cohere"),
    ("perplexity", "perplexity"),
    ("perplexity-agent", "perplexity"),
    ("moonshotai", "moonshot"),
    ("azure", "azure"),
    ("azure-cognitive-services", "azure"),
    ("amazon-bedrock", "bedrock"),
    ("google-vertex", "vertex"),
    ("cerebras", "cerebras"),
    ("togetherai", "together"),
    ("fireworks-ai", "fireworks"),
    ("zai", "zai"),
    ("alibaba", "alibaba"),
    ("huggingface", "huggingface"),
    ("openrouter", "openrouter"),
    ("vercel", "vercel-gateway"),
    ("venice", "venice"),
    ("crusoe", "crusoe"),
    ("ollama-cloud", "ollama-cloud"),
    ("github-copilot", "copilot"),
    ("llama", "meta"),
    ("minimax", "minimax"),
    ("zhipuai", "zhipuai"),
    ("deepinfra", "deepinfra"),
    ("nebius", "nebius"),
    ("novita-ai", "novita"),
    ("siliconflow", "siliconflow"),
    ("baseten", "baseten"),
    ("databricks", "databricks"),
    ("cloudflare-workers-ai", "cloudflare"),
    ("scaleway", "scaleway"),
    ("ovhcloud", "ovhcloud"),
    ("chutes", "chutes"),
    ("wandb", "wandb"),
    ("friendli", "friendli"),
    ("upstage", "upstage"),
    ("inception", "inception"),
    ("stepfun", "stepfun"),
    ("xiaomi", "xiaomi"),
    ("ai21", "ai21"),
    ("arcee", "arcee"),
    ("morph", "morph"),
    ("v0", "v0"),
    ("poolside", "poolside"),
    ("thinkingmachines", "thinkingmachines"),
];

/// The whole catalogue.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Catalogue(Once<Seller>);

#[derive(Deserialize)]
struct Seller {
    #[serde(default)]
    models: Once<Listed>,
}

#[derive(Deserialize)]
pub(super) struct Listed {
    #[serde(default)]
    last_updated: String,
    cost: Option<Cost>,
}

#[derive(Deserialize)]
struct Cost {
    input: Option<PerMillion>,
    output: Option<PerMillion>,
    cache_read: Option<PerMillion>,
    cache_write: Option<PerMillion>,
    input_audio: Option<PerMillion>,
    output_audio: Option<PerMillion>,
    #[serde(default)]
    tiers: Vec<Tiered>,
}

#[derive(Deserialize)]
struct Tiered {
    tier: Size,
    input: Option<PerMillion>,
    output: Option<PerMillion>,
    cache_read: Option<PerMillion>,
    cache_write: Option<PerMillion>,
}

#[derive(Deserialize)]
struct Size {
    #[serde(rename = "type")]
    kind: String,
    size: u64,
}

impl Catalogue {
    /// A seller's models that have a price.
    pub(super) fn models(&self, seller: &str) -> Vec<(&str, Card)> {
        let models = self.0.0.get(seller).into_iter().flat_map(|seller| &seller.models.0);
        models.filter_map(|(id, listed)| Some((id.as_str(), listed.card(seller)?))).filter(|(_, card)| !card.is_nothing()).collect()
    }

    /// The day on which it was last changed.
    pub(super) fn at(&self) -> Option<Timestamp> {
        let days = self.0.0.values().flat_map(|seller| seller.models.0.values()).map(|listed| &listed.last_updated);
        days.filter_map(|day| Timestamp::parse(&format!("{day}T00:00:00Z"))).max()
    }
}

impl Listed {
    fn card(&self, seller: &str) -> Option<Card> {
        let cost = self.cost.as_ref()?;
        // Zero stands where nobody knows of a price for caching.
        let positive = |price: Option<PerMillion>| price.map(|price| price.0).filter(|rate| *rate != events::Rate::default());
        let rates = Rates {
            input: cost.input.map(|price| price.0),
            output: cost.output.map(|price| price.0),
            cache_read: positive(cost.cache_read),
            cache_write_5m: positive(cost.cache_write),
            input_audio: positive(cost.input_audio),
            output_audio: positive(cost.output_audio),
            ..Rates::default()
        };
        let mut steps: Vec<&Tiered> = cost.tiers.iter().filter(|step| step.tier.kind == "context").collect();
        steps.sort_by_key(|step| step.tier.size);
        let band = |step: &&Tiered| Band {
            above: above(seller, step.tier.size),
            rates: Rates {
                input: step.input.map(|price| price.0),
                output: step.output.map(|price| price.0),
                cache_read: positive(step.cache_read),
                cache_write_5m: positive(step.cache_write),
                ..Rates::default()
            },
        };
        let card = Card { bands: steps.iter().map(band).collect(), rates };
        let base = Card { rates: card.rates.clone(), bands: Vec::new() };
        Some(Card::combined([&base, &card], |_, [base, card]| card.or(base)))
    }
}

/// The prompt above which a step holds. Some entries name the first token beyond a limit, not the limit; xAI counts "from 200,000".
fn above(seller: &str, size: u64) -> u64 {
    match size {
        size if size % 1_000 == 1 => size - 1,
        size if seller == "xai" => size.saturating_sub(1),
        size => size,
    }
}
