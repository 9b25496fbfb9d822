//! One dated price: who, which model, how served, from when to when, at which rates, and who says so.

use super::schedule::Hours;
use crate::{Fees, Pieces, Rate, Span, Timestamp, Tokens};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{collections::BTreeMap, fmt};

/// One dated price of one model. As JSON one line of a price book; fields that are not known here are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Row {
    /// Whose price: `openai`, `anthropic`, `google`, `azure`.
    pub provider: String,
    /// The model as the provider writes it.
    pub model: String,
    /// Other exact names of the model. It is enough that one row of a model has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// How it is served.
    #[serde(default, skip_serializing_if = "Tier::is_standard")]
    pub tier: Tier,
    /// The first instant at which it holds; always before, where not given.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "short")]
    pub from: Option<Timestamp>,
    /// The first instant at which it no longer holds; for ever, where not given.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "short")]
    pub until: Option<Timestamp>,
    /// The rates, up to the first band.
    pub rates: Rates,
    /// What larger prompts cost, ascending. The whole call is billed at the last band that its prompt exceeds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bands: Vec<Band>,
    /// By which factor tokens cost more where they are processed in a region (`us`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub geo: BTreeMap<String, Factor>,
    /// By which factor tokens cost more (or less) at hours of the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// Classes whose rate no source lists, and which follow from the provider's rules (a cache without discount costs as input does).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inferred: Vec<String>,
    /// How far it is known from when it holds.
    #[serde(default, skip_serializing_if = "Basis::is_listed")]
    pub basis: Basis,
    /// Where it is published.
    pub source: String,
    /// Which data set told it.
    pub set: String,
    /// That no data set lists the model any more. Old calls still need its price.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
    /// What a reader should know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Row {
    /// When it holds.
    pub fn span(&self) -> Span {
        Span { from: self.from.unwrap_or(Span::ALWAYS.from), until: self.until.unwrap_or(Span::ALWAYS.until) }
    }

    /// What tokens and fees of calls with such a prompt cost at this row's rates, in atto-dollars (1e-18 USD) before regional and
    /// hourly factors: `(tokens, fees)`.
    ///
    /// The error names a class that was consumed and has no rate.
    pub(super) fn cost_atto(&self, prompt: u64, tokens: &Tokens, fees: &Fees) -> Result<(i128, i128), &'static str> {
        let band = self.bands.iter().rev().find(|band| prompt > band.above).map(|band| &band.rates);
        let rates = &self.rates;
        rates.cost_atto(band.unwrap_or(rates), tokens, fees)
    }
}

fn short<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = at.map(|at| at.to_string().replace(".000000Z", "Z"));
    text.serialize(serializer)
}

/// What a call costs whose prompt is larger than `above`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Band {
    /// In tokens. A prompt of exactly so many is still below (a provider that counts "from 200,000" is written as above 199,999).
    pub above: u64,
    /// The rates that differ from the row's.
    pub rates: Rates,
}

/// How far it is known from when a price holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Basis {
    /// A set lists it without a day: it is taken to have held always, or until somebody saw it change.
    #[default]
    Listed,
    /// Its source names the day.
    Documented,
    /// Somebody first saw it on that day; it may have begun before.
    Observed,
    /// It follows from another price by the provider's rules, or by a ratio that was seen later.
    Inferred,
}

impl Basis {
    fn is_listed(&self) -> bool {
        *self == Basis::Listed
    }
}

/// How a call is served, where that has a price of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Tier {
    /// As every call that asks for nothing else.
    #[default]
    Standard,
    /// Within a day.
    Batch,
    /// Slower, where there is room.
    Flex,
    /// Ahead of others.
    Priority,
    /// Faster.
    Fast,
    /// Faster still.
    Ultrafast,
}

impl Tier {
    /// Reads the provider's word (provider-usage 0, rule 10); `None` for a word that names no price we know, as `provisioned_throughput`.
    pub fn of(word: Option<&str>) -> Option<Tier> {
        const WORDS: [(&str, Tier); 13] = [
            ("default", Tier::Standard),
            ("standard", Tier::Standard),
            ("auto", Tier::Standard),
            ("on_demand", Tier::Standard),
            ("", Tier::Standard),
            ("batch", Tier::Batch),
            ("flex", Tier::Flex),
            ("on_demand_flex", Tier::Flex),
            ("priority", Tier::Priority),
            ("on_demand_priority", Tier::Priority),
            ("performance", Tier::Priority),
            ("fast", Tier::Fast),
            ("ultrafast", Tier::Ultrafast),
        ];
        let Some(word) = word else { return Some(Tier::Standard) };
        WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, tier)| *tier)
    }

    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Tier::Standard => "standard",
            Tier::Batch => "batch",
            Tier::Flex => "flex",
            Tier::Priority => "priority",
            Tier::Fast => "fast",
            Tier::Ultrafast => "ultrafast",
        }
    }

    fn is_standard(&self) -> bool {
        *self == Tier::Standard
    }
}

/// A multiplier, exact to thousandths. As JSON a decimal string (`"1.1"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
pub struct Factor(u32);

impl Factor {
    /// Changes nothing.
    pub const ONE: Factor = Factor(Factor::UNIT);
    /// How many thousandths are one.
    pub(crate) const UNIT: u32 = 1_000;
    const MAX: u32 = 100 * Factor::UNIT;

    /// Reads a decimal with at most three places, above zero and at most a hundred.
    pub fn parse(text: &str) -> Option<Factor> {
        // A rate has 1e-12 as its unit, which a factor can be read in too.
        const UNIT_IN_RATE: i128 = 1_000_000_000;
        let scaled = Rate::per_million(text)?.atto();
        let thousandths = u32::try_from(scaled / UNIT_IN_RATE).ok()?;
        (scaled % UNIT_IN_RATE == 0 && (1..=Factor::MAX).contains(&thousandths)).then_some(Factor(thousandths))
    }

    pub(crate) const fn thousandths(self) -> i128 {
        self.0 as i128
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Rate::from_atto(self.thousandths() * 1_000_000_000).fmt(f)
    }
}

impl Serialize for Factor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Factor, D::Error> {
        let text = String::deserialize(deserializer)?;
        Factor::parse(&text).ok_or_else(|| de::Error::custom(format!("not a factor between 0.001 and 100: {text:?}")))
    }
}

macro_rules! rates {
    ([$($class:ident),+ $(,)?], [$($fee:ident),+ $(,)?]) => {
        /// A rate for each class of [`Tokens`], and for each class of [`Fees`]. As JSON decimal strings in dollars per million tokens (per
        /// million searches, pages, seconds, ...).
        ///
        /// A class without a rate is not free: it cannot be priced. Only what is written to a cache costs as input where no write has a
        /// rate.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        #[cfg_attr(test, derive(ts_rs::TS))]
        pub struct Rates {
            $(#[doc = concat!("For `", stringify!($class), "`.")] #[serde(skip_serializing_if = "Option::is_none")] pub $class: Option<Rate>,)+
            $(#[doc = concat!("For each `", stringify!($fee), "`.")] #[serde(skip_serializing_if = "Option::is_none")] pub $fee: Option<Rate>,)+
        }

        impl Rates {
            /// Every class by name, in the order in which it is written: tokens, then fees.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<Rate>)> {
                [$((stringify!($class), self.$class),)+ $((stringify!($fee), self.$fee),)+].into_iter()
            }

            /// Whether a class is one of fees.
            pub fn is_fee(class: &str) -> bool {
                FEE_NAMES.contains(&class)
            }

            /// The rate of the class of this name; `None` where no class is called so.
            pub fn get_mut(&mut self, class: &str) -> Option<&mut Option<Rate>> {
                match class {
                    $(stringify!($class) => Some(&mut self.$class),)+
                    $(stringify!($fee) => Some(&mut self.$fee),)+
                    _ => None,
                }
            }

            /// These rates, and another's for the classes that have none here.
            pub(crate) fn or(&self, other: &Rates) -> Rates {
                Rates { $($class: self.$class.or(other.$class),)+ $($fee: self.$fee.or(other.$fee),)+ }
            }

            /// The rates by which calls in a band are priced, where it names some of its own: in the order of [`classes`], then in that of
            /// [`fee_counts`].
            ///
            /// What is written to a cache costs what input costs, where the model has no price of writes (before GPT-5.6 OpenAI has none:
            /// platform.openai.com/docs/guides/prompt-caching). Writes of minutes, whose lifetime not everybody names, stand in for each
            /// other.
            pub(crate) fn in_band(&self, band: &Rates) -> ([Option<Rate>; CLASSES], [Option<Rate>; FEES]) {
                let mut rates = band.or(self);
                let of_minutes = rates.cache_write_5m.or(rates.cache_write_30m);
                let of_hours = rates.cache_write_1h.or(rates.cache_write_12h);
                let free_of_surcharge = if of_minutes.or(of_hours).is_none() { rates.input } else { None };
                let stands_in = of_minutes.or(free_of_surcharge);
                rates.cache_write_5m = rates.cache_write_5m.or(stands_in);
                rates.cache_write_30m = rates.cache_write_30m.or(stands_in);
                rates.cache_write_1h = rates.cache_write_1h.or(free_of_surcharge);
                rates.cache_write_12h = rates.cache_write_12h.or(free_of_surcharge);
                ([$(rates.$class),+], [$(rates.$fee),+])
            }

            fn cost_atto(&self, band: &Rates, tokens: &Tokens, fees: &Fees) -> Result<(i128, i128), &'static str> {
                let (of_tokens, of_fees) = self.in_band(band);
                let sum = |counts: &[u64], rates: &[Option<Rate>], names: &[&'static str]| -> Result<i128, &'static str> {
                    let mut atto = 0i128;
                    for ((count, rate), name) in counts.iter().zip(rates).zip(names) {
                        if *count > 0 {
                            atto = atto.saturating_add(rate.ok_or(*name)?.cost_atto(*count));
                        }
                    }
                    Ok(atto)
                };
                if let Some(fee) = lacking_request_fee(&of_fees, &fees.pieces) {
                    return Err(fee);
                }
                Ok((sum(&classes(tokens), &of_tokens, &CLASS_NAMES)?, sum(&fee_counts(fees), &of_fees, &FEE_NAMES)?))
            }
        }

        /// The names of the classes of tokens that have a rate.
        pub(crate) const CLASS_NAMES: [&str; CLASSES] = [$(stringify!($class)),+];

        /// The names of the classes of fees, web searches first.
        pub(crate) const FEE_NAMES: [&str; FEES] = [$(stringify!($fee)),+];

        /// How many classes of tokens have a rate.
        pub(crate) const CLASSES: usize = [$(stringify!($class)),+].len();

        /// The billed tokens of every class.
        pub(crate) fn classes(tokens: &Tokens) -> [u64; CLASSES] {
            // Taken apart without `..`, so that a new class of tokens cannot go unpriced unnoticed.
            let Tokens { $($class,)+ reasoning: _ } = *tokens;
            [$($class),+]
        }
    };
}

/// How many classes of fees there are.
pub(crate) const FEES: usize = 1 + Pieces::CLASSES;

/// The counts of every class of fees, web searches first.
pub(crate) fn fee_counts(fees: &Fees) -> [u64; FEES] {
    let mut counts = [0; FEES];
    counts[0] = u64::from(fees.web_search);
    for (count, pieces) in counts[1..].iter_mut().zip(fees.pieces.counts()) {
        *count = u64::from(pieces);
    }
    counts
}

/// The fee without which calls at these rates cannot be priced: every request of a model with a request fee has one, and where the size of
/// its search context is not known, the tokens alone would be too little.
pub(crate) fn lacking_request_fee(rates: &[Option<Rate>; FEES], pieces: &Pieces) -> Option<&'static str> {
    let is_billed = rates[FEES - 3..].iter().any(Option::is_some);
    let is_counted = pieces.request_low > 0 || pieces.request_medium > 0 || pieces.request_high > 0;
    (is_billed && !is_counted).then_some(FEE_NAMES[FEES - 3])
}

rates!(
    [
        input,
        cache_read,
        cache_write_5m,
        cache_write_30m,
        cache_write_1h,
        cache_write_12h,
        output,
        input_audio,
        cache_read_audio,
        input_image,
        output_audio,
        output_image,
    ],
    [
        web_search,
        file_search,
        code_execution,
        maps_search,
        x_search,
        rerank_search,
        page,
        second,
        character,
        image,
        request_low,
        request_medium,
        request_high,
    ]
);
