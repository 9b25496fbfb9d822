//! Reads wakamex/model-prices: for the labs, when each price was seen to change, and by what source.

use super::{
    card::Card,
    exact::{Once, PerMillion},
};
use events::{Band, Day, Minute, Rates, Schedule, Tier, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Labs, and what they are called here.
pub(super) const LABS: [(&str, &str); 31] = [
    ("anthropic", "anthropic"),
    ("openai", "openai"),
    ("google", "google"),
    ("mistral", "mistral"),
    ("xai", "xai"),
    ("deepseek", "deepseek"),
    ("cohere", "cohere"),
    ("moonshotai", "moonshot"),
    ("alibaba", "alibaba"),
    ("zai", "zai"),
    ("minimax", "minimax"),
    ("meta", "meta"),
    ("amazon-bedrock", "bedrock"),
    ("perplexity", "perplexity"),
    ("arcee", "arcee"),
    ("ai21", "ai21"),
    ("bailing", "bailing"),
    ("byteplus", "byteplus"),
    ("cognition", "cognition"),
    ("cursor", "cursor"),
    ("inception", "inception"),
    ("longcat", "longcat"),
    ("poolside", "poolside"),
    ("sakana", "sakana"),
    ("sensenova", "sensenova"),
    ("stepfun-ai", "stepfun"),
    ("tencent-tokenhub", "tencent"),
    ("thinkingmachines", "thinkingmachines"),
    ("upstage", "upstage"),
    ("volcengine", "volcengine"),
    ("xiaomi", "xiaomi"),
];

/// Tiers as this set calls them.
pub(super) const TIERS: [(&str, Tier); 4] =
    [("batch", Tier::Batch), ("flex", Tier::Flex), ("fast", Tier::Fast), ("ultrafast", Tier::Ultrafast)];

/// A step that was corrected sooner than this was a mistake of the page's readers, not a price.
const PRICE_LIFE_MIN_MICROS: i64 = 7 * 24 * 3_600 * 1_000_000;

#[derive(Deserialize)]
pub(super) struct Snapshot {
    pub(super) updated_at: Timestamp,
    /// Lab, model, tier (or another thing), timeline.
    prices: Once<Once<Once<Box<RawValue>>>>,
    schedules: Schedules,
}

#[derive(Deserialize)]
struct Schedules {
    holidays: BTreeMap<String, Holidays>,
    schedule: Vec<RawSchedule>,
}

#[derive(Deserialize)]
struct Holidays {
    dates: Vec<Day>,
    utc_offset_hours: i8,
}

#[derive(Deserialize)]
struct RawSchedule {
    provider: String,
    #[serde(default)]
    peak_hours_utc: Vec<(Minute, Minute)>,
    #[serde(default)]
    off_peak_hours_utc: Vec<(Minute, Minute)>,
    peak_multiplier: Option<PerMillion>,
    #[serde(default)]
    off_peak_multiplier: BTreeMap<String, PerMillion>,
    holidays: Option<String>,
    #[serde(default)]
    weekdays_only: bool,
    source: String,
    valid_from: Timestamp,
    valid_until: Option<Timestamp>,
}

/// A schedule, from when to when it holds, and for which models by which factor (`None`: for all).
pub(super) struct Clock {
    pub(super) schedule: Schedule,
    pub(super) from: Timestamp,
    pub(super) until: Option<Timestamp>,
    all: Option<String>,
    some: BTreeMap<String, String>,
}

impl Clock {
    /// The factor for a model, as a decimal text.
    pub(super) fn factor(&self, model: &str) -> Option<&String> {
        self.some.get(model).or(self.all.as_ref())
    }
}

#[derive(Deserialize)]
struct RawStep {
    start: Option<Timestamp>,
    rates: Option<RawRates>,
}

#[derive(Deserialize)]
struct RawRates {
    input: Option<PerMillion>,
    output: Option<PerMillion>,
    cache_read: Option<PerMillion>,
    cache_write: Option<PerMillion>,
    #[serde(default)]
    tiers: Vec<RawTier>,
    source: String,
    valid_from: Timestamp,
    valid_from_basis: String,
}

#[derive(Deserialize)]
struct RawTier {
    above: u64,
    input: Option<PerMillion>,
    output: Option<PerMillion>,
    cache_read: Option<PerMillion>,
    cache_write: Option<PerMillion>,
}

/// One price on a timeline, which holds until the next.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) from: Option<Timestamp>,
    /// `None`: not offered.
    pub(super) card: Option<Card>,
    pub(super) documented: bool,
    pub(super) source: String,
    recorded: Timestamp,
}

impl Snapshot {
    /// The names of a lab's models.
    pub(super) fn models(&self, lab: &str) -> Vec<String> {
        self.prices.0.get(lab).into_iter().flat_map(|models| models.0.keys().cloned()).collect()
    }

    /// The timeline of a lab's model in a tier, oldest first, without its mistakes; empty where there is none.
    pub(super) fn timeline(&self, lab: &str, model: &str, tier: &str) -> Result<Vec<Step>, serde_json::Error> {
        let raw = self.prices.0.get(lab).and_then(|models| models.0.get(model)?.0.get(tier));
        let steps: Vec<RawStep> = raw.map_or_else(|| Ok(Vec::new()), |raw| serde_json::from_str(raw.get()))?;
        Ok(cleaned(steps.into_iter().map(|step| Step::of(lab, step)).collect()))
    }

    /// The schedules of a provider.
    pub(super) fn clocks(&self, provider: &str) -> Vec<Clock> {
        let of_provider = self.schedules.schedule.iter().filter(|schedule| schedule.provider == provider);
        of_provider.map(|raw| self.clock(raw)).collect()
    }

    fn clock(&self, raw: &RawSchedule) -> Clock {
        let holidays = raw.holidays.as_ref().and_then(|name| self.schedules.holidays.get(name));
        let peak = !raw.peak_hours_utc.is_empty();
        Clock {
            schedule: Schedule {
                name: format!("{}-{}-{}", raw.provider, if peak { "peak" } else { "off-peak" }, raw.valid_from.month_name()),
                hours_utc: if peak { raw.peak_hours_utc.clone() } else { raw.off_peak_hours_utc.clone() },
                weekdays_only: raw.weekdays_only,
                calendar_utc_offset_hours: holidays.map_or(0, |holidays| holidays.utc_offset_hours),
                holidays: holidays.map(|holidays| holidays.dates.clone()).unwrap_or_default(),
                source: raw.source.clone(),
            },
            from: raw.valid_from,
            until: raw.valid_until,
            all: raw.peak_multiplier.map(|factor| factor.0.to_string()),
            some: raw.off_peak_multiplier.iter().map(|(model, factor)| (model.clone(), factor.0.to_string())).collect(),
        }
    }
}

impl Step {
    fn of(lab: &str, step: RawStep) -> Step {
        // Readers of other labs' pages took the output price for a price of cache writes.
        let writes = ["anthropic", "openai", "moonshotai"].contains(&lab);
        let rates = |input: Option<PerMillion>, output: Option<PerMillion>, read: Option<PerMillion>, write: Option<PerMillion>| Rates {
            input: input.map(|price| price.0),
            output: output.map(|price| price.0),
            cache_read: read.map(|price| price.0),
            cache_write_5m: write.map(|price| price.0).filter(|_| writes),
            ..Rates::default()
        };
        let Some(raw) = step.rates else {
            let recorded = step.start.unwrap_or_default();
            return Step { from: step.start, card: None, documented: false, source: String::new(), recorded };
        };
        // xAI counts "from 200,000" (prices.md 3); this set writes it as others' "above".
        let above = |above: u64| if lab == "xai" { above.saturating_sub(1) } else { above };
        let bands = raw.tiers.iter();
        let bands =
            bands.map(|tier| Band { above: above(tier.above), rates: rates(tier.input, tier.output, tier.cache_read, tier.cache_write) });
        let mut card = Card { rates: rates(raw.input, raw.output, raw.cache_read, raw.cache_write), bands: bands.collect() };
        let base = Card { rates: card.rates.clone(), bands: Vec::new() };
        card = Card::combined([&base, &card], |_, [base, card]| card.or(base));
        let documented = raw.valid_from_basis == "documented";
        let card = Some(card).filter(|card| !card.is_nothing());
        Step { from: step.start, card, documented, source: raw.source, recorded: raw.valid_from }
    }
}

/// Without steps that were corrected soon, that said less than the next, or that changed nothing.
fn cleaned(steps: Vec<Step>) -> Vec<Step> {
    let mut kept: Vec<Step> = Vec::new();
    for step in steps.into_iter().rev() {
        match kept.last_mut() {
            Some(next) if is_noise(&step, next) => {
                next.from = step.from;
                // Who first told of the price that stayed is its source.
                if step.card == next.card {
                    (next.documented, next.source) = (step.documented, step.source);
                }
            }
            _ => kept.push(step),
        }
    }
    kept.reverse();
    kept
}

fn is_noise(step: &Step, next: &Step) -> bool {
    match (&step.card, &next.card) {
        (Some(card), Some(later)) => {
            let life = next.from.unwrap_or_default().micros().saturating_sub(step.recorded.micros());
            life < PRICE_LIFE_MIN_MICROS || card.is_part_of(later)
        }
        (None, Some(_)) => step.from == next.from,
        (Some(_), None) => false,
        (None, None) => true,
    }
}
