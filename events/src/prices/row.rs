//! One dated price: who, which model, how served, from when to when, at which rates, and who says so.

use super::schedule::Hours;
use crate::{Rate, Span, Timestamp, Tokens};
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
    /// Where it is published.
    pub source: String,
    /// Which data set told it.
    pub set: String,
    /// What a reader should know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Row {
    /// When it holds.
    pub fn span(&self) -> Span {
        Span { from: self.from.unwrap_or(Span::ALWAYS.from), until: self.until.unwrap_or(Span::ALWAYS.until) }
    }

    /// What tokens and searches of calls with such a prompt cost at this row's rates, in atto-dollars (1e-18 USD) before regional and
    /// hourly factors: `(tokens, fees)`.
    ///
    /// The error names a class that was consumed and has no rate.
    pub(super) fn cost_atto(&self, prompt: u64, tokens: &Tokens, web_searches: u32) -> Result<(i128, i128), &'static str> {
        let band = self.bands.iter().rev().find(|band| prompt > band.above).map(|band| &band.rates);
        let rates = &self.rates;
        rates.cost_atto(band.unwrap_or(rates), tokens, web_searches)
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
    ($($class:ident),+ $(,)?) => {
        /// A rate for each class of [`Tokens`], and for fees. As JSON decimal strings in dollars per million tokens (per million searches).
        ///
        /// A class without a rate is not free: it cannot be priced.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        #[cfg_attr(test, derive(ts_rs::TS))]
        pub struct Rates {
            $(#[doc = concat!("For `", stringify!($class), "`.")] #[serde(skip_serializing_if = "Option::is_none")] pub $class: Option<Rate>,)+
            /// For each web search that the provider ran.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub web_search: Option<Rate>,
        }

        impl Rates {
            /// Every class by name, in the order in which it is written.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<Rate>)> {
                [$((stringify!($class), self.$class),)+ ("web_search", self.web_search)].into_iter()
            }

            /// The rate of the class of this name; `None` where no class is called so.
            pub fn get_mut(&mut self, class: &str) -> Option<&mut Option<Rate>> {
                match class {
                    $(stringify!($class) => Some(&mut self.$class),)+
                    "web_search" => Some(&mut self.web_search),
                    _ => None,
                }
            }

            /// These rates, and another's for the classes that have none here.
            pub(crate) fn or(&self, other: &Rates) -> Rates {
                Rates { $($class: self.$class.or(other.$class),)+ web_search: self.web_search.or(other.web_search) }
            }

            /// The rates that hold in a band, where it names some of its own, in the order of [`classes`]; then that of web searches.
            pub(crate) fn in_band(&self, band: &Rates) -> ([Option<Rate>; CLASSES], Option<Rate>) {
                ([$(band.$class.or(self.$class)),+], band.web_search.or(self.web_search))
            }

            fn cost_atto(&self, band: &Rates, tokens: &Tokens, web_searches: u32) -> Result<(i128, i128), &'static str> {
                // Taken apart without `..`, so that a new class of tokens cannot go unpriced unnoticed.
                let Tokens { $($class,)+ reasoning: _ } = *tokens;
                let mut atto = 0i128;
                $(if $class > 0 {
                    let rate = band.$class.or(self.$class).ok_or(stringify!($class))?;
                    atto = atto.saturating_add(rate.cost_atto($class));
                })+
                let fees = match (web_searches, band.web_search.or(self.web_search)) {
                    (0, _) => 0,
                    (count, Some(rate)) => rate.cost_atto(u64::from(count)),
                    (_, None) => return Err("web_search"),
                };
                Ok((atto, fees))
            }
        }

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

rates!(
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
);
