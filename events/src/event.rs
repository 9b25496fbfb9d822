//! Facts. An event is past tense and never changes; an entry is an event in its place in the log.

use crate::{
    Day, Period, Pieces, Timestamp, Tokens, Usd,
    sameness::is_library,
    tariff::{Adoption, AgreedName, AgreedPrice, Multiplier},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};
use std::{
    cmp::{Ordering, Reverse},
    fmt,
    str::FromStr,
};

/// One fact.
///
/// The enum is matched without `_` everywhere, so that a new kind makes the compiler list every fold that must think about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
// Tagged from outside: an inner tag or a flattened field would go through a buffer that takes MessagePack for JSON.
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A call was seen for the first time.
    Used {
        /// What it consumed.
        usage: Box<Usage>,
    },
    /// A call that is known was seen better: the fold takes `before` away and adds `after`, and needs to look nothing up.
    Restated {
        /// What the log said until now.
        before: Box<Usage>,
        /// What is right.
        after: Box<Usage>,
    },
    /// A budget was made or changed.
    BudgetSet {
        /// The budget, whole.
        budget: Budget,
    },
    /// A budget was given up.
    BudgetRemoved {
        /// Its name.
        name: String,
    },
    /// A budget crossed one of its thresholds, and the user was told.
    AlertRaised {
        /// What was told.
        alert: Alert,
    },
    /// A price book was adopted: calls are priced by it from some instant on.
    PriceBookAdopted {
        /// Which, and what it changes.
        adoption: Box<Adoption>,
    },
    /// A price was agreed with a provider, or found out.
    PriceSet {
        /// It.
        price: Box<AgreedPrice>,
    },
    /// A price that was agreed holds no longer.
    PriceUnset {
        /// Whose.
        name: AgreedName,
        /// From when on; as if it had never been set, if not named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Timestamp>,
    },
    /// The list prices of a provider are multiplied.
    PricesMultiplied {
        /// Whose, and by how much.
        multiplier: Multiplier,
    },
    /// Calls that are no longer told apart: what they consumed together.
    Summarised {
        /// The calls.
        summary: Box<Summary>,
    },
    /// Calls made long ago stand in summaries. Only ever the first entry of a log.
    Folded {
        /// A call from before then that the log does not know singly is in a summary, if it was ever seen: it is not counted again.
        before: Timestamp,
    },
    /// What stood here was destroyed: the journal was damaged, and nothing else had it. Only ever in the store, where the journal has a gap.
    Lost,
    /// What a client's log tells under an id of its own is a call that is known by the provider's. The entry's key is that of the client's
    /// id, and leads to the call from here on.
    Matched {
        /// The call.
        call: RequestKey,
        /// What agreed beside model and tokens.
        by: MatchedBy,
        /// What was counted under the client's id until now: the fold takes it away. The call has it from the entry before this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Box<Usage>>,
    },
    /// Calls that were recorded for a project are shown under a name from here on, those of the past and those to come.
    ProjectRenamed {
        /// What stands in the calls.
        recorded: String,
        /// What is shown; the same where it is shown as recorded again.
        name: String,
    },
}

/// What agreed between a call that the proxy carried and a row of a client's log, beside model and tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum MatchedBy {
    /// Both name the same session.
    Session,
    /// One names no session, and the row's time lies in the call or close to it.
    Time,
}

impl Event {
    /// Whether it says what calls cost: what was folded before is folded again.
    pub const fn is_of_prices(&self) -> bool {
        match self {
            Event::PriceBookAdopted { .. } | Event::PriceSet { .. } | Event::PriceUnset { .. } | Event::PricesMultiplied { .. } => true,
            Event::Used { .. }
            | Event::Restated { .. }
            | Event::BudgetSet { .. }
            | Event::BudgetRemoved { .. }
            | Event::AlertRaised { .. }
            | Event::Summarised { .. }
            | Event::Folded { .. }
            | Event::Lost
            | Event::Matched { .. }
            | Event::ProjectRenamed { .. } => false,
        }
    }
}

/// The place of an entry in the log of one machine: 1, 2, 3, ... without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "number"))]
pub struct Seq(pub u64);

impl Seq {
    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

/// An event in its place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place.
    pub seq: Seq,
    /// When it was written, by the machine's clock (which may jump; `seq` does not).
    pub recorded_at: Timestamp,
    /// The call that it speaks of, if it speaks of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<RequestKey>,
    /// The fact.
    pub event: Event,
}

/// One sighting of a call on its way to the log: the usage, and what the provider or client said in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Sighting {
    /// What was seen. In a place of its own, which it keeps on its way from hand to hand.
    pub usage: Box<Usage>,
    /// What the provider or client said in its own words, kept in the journal so that a corrected meter can be run over the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(type = "unknown"))]
    pub said: Option<Said>,
}

/// The usage object of a provider or client (numbers and names only, never content), as JSON text.
///
/// Text, because it is written far more often than it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "unknown"))]
pub struct Said(Box<str>);

impl Said {
    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Takes text that is sound JSON, as whoever made it has seen, and can be read again wherever it is put: no line breaks, not deep, no
    /// number that is out of range.
    pub fn of_sound(text: Box<str>) -> Said {
        Said(text)
    }
}

impl From<&Value> for Said {
    fn from(value: &Value) -> Said {
        // Not `to_string`, which writes through a formatter, a few bytes at a time.
        Said(serde_json::to_string(value).expect("the keys of a JSON value are texts").into())
    }
}

impl From<Box<RawValue>> for Said {
    /// Takes the text as it is. It must be one that can be read again wherever it is put: no line breaks, not deep, no number that is out
    /// of range.
    fn from(text: Box<RawValue>) -> Said {
        Said(text.into())
    }
}

impl Serialize for Said {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Said {
    // By way of a value: text cannot be had where serde buffers, as in a tagged command.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Said, D::Error> {
        Ok(Said::from(&Value::deserialize(deserializer)?))
    }
}

impl From<Usage> for Sighting {
    fn from(usage: Usage) -> Sighting {
        Sighting { usage: usage.into(), said: None }
    }
}

/// What one billable call consumed. No prices, no content: counts, names, ids and times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Usage {
    /// When the call began, as near as its sources know.
    pub at: Timestamp,
    /// Who was called, by the name of the upstream: `openai`, `anthropic`, `openrouter`, or the user's own name.
    pub provider: String,
    /// Whose API was spoken, and so whose ids these are: `openai`, `anthropic`, `gemini`. Several providers may speak one.
    pub family: String,
    /// The model that answered, as the provider names it; else the one that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The model that was asked for, where it differs from `model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_model: Option<String>,
    /// The provider's id of the answer (`msg_...`, `resp_...`, `chatcmpl-...`): the root of the request key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// The provider's id of the HTTP request, from a response header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Given by the proxy to the call that it carried; tells two calls apart to which a careless server gave one id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried: Option<CallUuid>,
    /// The machine that made the call, by the name of its part of the journal; where it is not named, the one whose log this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The program that called: `claude-code`, `codex`, `openai-python`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// What the call was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<Project>,
    /// The client's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The branch that was checked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// How it was served, in the provider's word: `default`, `standard`, `flex`, `batch`, `priority`, `fast`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Where it was served, where that has a price (`us`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub geo: Option<String>,
    /// The tokens, in disjoint classes.
    pub tokens: Tokens,
    /// What is billed by the piece.
    #[serde(skip_serializing_if = "Fees::is_none")]
    pub fees: Fees,
    /// How far `tokens` can be trusted.
    pub certainty: Certainty,
    /// How many requests this is the sum of, where it is not one; 0 where they were several and nobody counted them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// The cost that the provider or client itself reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_cost: Option<Usd>,
    /// From the first byte of the request to the last of the reply, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u32>,
    /// The HTTP status of the reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Who saw the call.
    pub sources: Sources,
}

impl Usage {
    /// The identity of the call: `provider family : the provider's id`, or of this carriage where the provider gave none.
    ///
    /// `None` where the call has neither; such a sighting cannot be recognised again and is refused by the log.
    pub fn key(&self) -> Option<RequestKey> {
        match (&self.call_id, self.carried) {
            (Some(id), _) => Some(RequestKey::of(&self.family, id)),
            (None, Some(carried)) => Some(RequestKey::of("carried", &carried.to_string())),
            (None, None) => None,
        }
    }

    /// Whether the call has an identity at all.
    pub const fn has_key(&self) -> bool {
        self.call_id.is_some() || self.carried.is_some()
    }

    /// The prompt that decides a long-context price: that of one request. Of a sum it is the mean; where nobody counted the requests, no
    /// such price holds.
    pub fn band_prompt(&self) -> u64 {
        band_prompt(&self.tokens, self.requests)
    }

    /// When the call would have ended if it had begun at an instant.
    pub(crate) fn done_if_begun(&self, at: Timestamp) -> Timestamp {
        at.plus_micros(i64::from(self.latency_ms.unwrap_or(0)) * 1_000)
    }

    /// Merges two sightings of one call: the best of each.
    ///
    /// Commutative and idempotent. Associative where no sighting contradicts another in model, tier or place (a sighting that does not
    /// know a name has none), and where at most one of them was carried by the proxy, so that the order in which sources report does not
    /// matter. Of names that contradict each other, those of the better count are taken, as far as it has any.
    ///
    /// What the proxy carried is not replaced by less that a client logged.
    #[must_use]
    pub fn merged(&self, other: &Usage) -> Usage {
        let (better, worse) = if self.token_rank(other).is_ge() { (self, other) } else { (other, self) };
        // The proxy knows whom it called; a log can only guess by the client.
        let nearer = if self.provider_rank() >= other.provider_rank() { self } else { other };
        Usage {
            at: self.at.earlier_known(other.at),
            provider: nearer.provider.clone(),
            family: self.family.clone().min(other.family.clone()),
            model: better.model.clone().or_else(|| worse.model.clone()),
            request_model: least(&self.request_model, &other.request_model),
            call_id: least(&self.call_id, &other.call_id),
            request_id: least(&self.request_id, &other.request_id),
            carried: least(&self.carried, &other.carried),
            device: least(&self.device, &other.device),
            client: program(&self.client, &other.client),
            project: least(&self.project, &other.project),
            session: least(&self.session, &other.session),
            branch: least(&self.branch, &other.branch),
            tier: better.tier.clone().or_else(|| worse.tier.clone()),
            geo: better.geo.clone().or_else(|| worse.geo.clone()),
            tokens: better.tokens,
            requests: better.requests,
            fees: self.fees.most(other.fees),
            certainty: better.certainty,
            reported_cost: self.cost_beside(other).max(other.cost_beside(self)),
            latency_ms: self.latency_ms.max(other.latency_ms),
            status: self.status.max(other.status),
            sources: self.sources.and(other.sources),
        }
    }

    /// The reported cost, unless it is a client's estimate and the other sighting was carried.
    fn cost_beside(&self, other: &Usage) -> Option<Usd> {
        self.reported_cost.filter(|_| !(self.estimates_cost() && other.is_carried()))
    }

    fn provider_rank(&self) -> (Option<Source>, Reverse<&str>) {
        (self.sources.best(), Reverse(&self.provider))
    }

    /// Which of two sightings counts the tokens better.
    ///
    /// A call that the proxy carried is counted by its bytes. Of a call that was cut, a client may log the count of the first event as
    /// final (Claude Code: 3 output tokens of 2,610), so a log's count replaces a carried one only if that is not complete and the log's
    /// is greater. Between other sightings the more certain count wins, then the greater one, whoever saw it.
    fn token_rank(&self, other: &Usage) -> Ordering {
        match (self.is_carried_beside(other), other.is_carried_beside(self)) {
            (true, _) => self.carried_rank(other),
            (_, true) => other.carried_rank(self).reverse(),
            (false, false) => self.certain_rank(other),
        }
    }

    /// Whether the proxy counted this sighting by the bytes of the call, and a client told the other one. What the user entered by hand
    /// is no client's.
    fn is_carried_beside(&self, other: &Usage) -> bool {
        let by_hand = other.sources.has(Source::Manual);
        self.carried.is_some() && self.certainty > Certainty::Unknown && other.carried.is_none() && !other.is_carried() && !by_hand
    }

    /// The rank of a carried count beside one that a client told.
    fn carried_rank(&self, told: &Usage) -> Ordering {
        let amount = |usage: &Usage| (usage.tokens.produced(), usage.tokens.total());
        match (self.certainty, amount(self).cmp(&amount(told))) {
            (Certainty::Reported, Ordering::Equal) => self.certain_rank(told),
            (Certainty::Reported, _) => Ordering::Greater,
            (Certainty::Unknown | Certainty::Estimated | Certainty::Partial, Ordering::Less) => {
                self.certainty.cmp(&told.certainty).then(Ordering::Less)
            }
            (Certainty::Unknown | Certainty::Estimated | Certainty::Partial, Ordering::Equal | Ordering::Greater) => Ordering::Greater,
        }
    }

    /// The rank by certainty, then by count. Where both are the same, who saw the call matters for the names.
    fn certain_rank(&self, other: &Usage) -> Ordering {
        self.certainty
            .cmp(&other.certainty)
            .then_with(|| self.tokens.cmp_as_counts(&other.tokens))
            // Earlier readers did not say of how many requests a row is the sum.
            .then_with(|| self.requests.cmp(&other.requests))
            .then_with(|| self.sources.best().cmp(&other.sources.best()))
            .then_with(|| self.model.cmp(&other.model))
            .then_with(|| self.tier.cmp(&other.tier))
            .then_with(|| self.geo.cmp(&other.geo))
    }
}

/// The prompt of one request, of so many that consumed these tokens.
pub(crate) fn band_prompt(tokens: &Tokens, requests: Option<u32>) -> u64 {
    match requests {
        None => tokens.prompt(),
        Some(0) => 0,
        Some(requests) => tokens.prompt() / u64::from(requests),
    }
}

/// The smaller of two values, where both are known; else the one that is.
fn least<T: Ord + Clone>(one: &Option<T>, other: &Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other).clone()),
        (known, None) | (None, known) => known.clone(),
    }
}

/// Of two names for who called, that of a program before that of the library through which it calls; else the smaller.
fn program(one: &Option<String>, other: &Option<String>) -> Option<String> {
    let rank = |name: &String| (is_library(name), name.clone());
    let named = [one, other].into_iter().flatten();
    named.min_by_key(|name| rank(name)).cloned()
}

/// What some calls of one quarter of an hour consumed together, which had all in common that a sum or a price depends on: names, device,
/// tier, place, certainty, the classes of tokens that occur, the band of prices that their prompts lie in, and who saw them.
///
/// Their price is that of the sum, and [`rounding`](Summary::rounding).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// What they have in common, with sums of tokens, fees and reported cost (where all have one). `at` and `latency_ms` are those of the
    /// first of them; what tells a call from others is gone: ids, session, branch and status.
    pub usage: Usage,
    /// How many they are.
    pub calls: u64,
    /// What they cost together less what the sum costs, by the book with which they were summed: each call is rounded, and the sum is once.
    #[serde(default, skip_serializing_if = "Usd::is_zero")]
    pub rounding: Usd,
}

impl Summary {
    /// What tells it from every other summary.
    pub fn key(&self) -> RequestKey {
        RequestKey::of_bytes(&rmp_serde::to_vec_named(self).expect("a summary holds only what MessagePack can hold"))
    }

    /// The mean prompt of a request. It lies in the band in which all of their prompts lie.
    pub fn prompt(&self) -> u64 {
        match self.usage.requests {
            Some(_) => self.usage.band_prompt(),
            None => self.usage.tokens.prompt() / self.calls.max(1),
        }
    }
}

/// What is billed by the piece rather than by the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Fees {
    /// Web searches that the provider ran.
    pub web_search: u32,
    /// Everything else that is billed so.
    #[serde(skip_serializing_if = "Pieces::is_none")]
    pub pieces: Pieces,
}

impl Fees {
    /// Whether nothing is billed by the piece.
    pub fn is_none(&self) -> bool {
        self.web_search == 0 && self.pieces.is_none()
    }

    /// Web searches only.
    pub const fn of_searches(web_search: u32) -> Fees {
        Fees { web_search, pieces: Pieces::NONE }
    }

    /// Another call's fees added; `None` where a class is more than can be counted.
    pub(crate) fn checked_add(self, other: Fees) -> Option<Fees> {
        Some(Fees { web_search: self.web_search.checked_add(other.web_search)?, pieces: self.pieces.checked_add(other.pieces)? })
    }

    fn most(self, other: Fees) -> Fees {
        Fees { web_search: self.web_search.max(other.web_search), pieces: self.pieces.most(other.pieces) }
    }
}

/// How far the tokens of a call can be trusted; better ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Certainty {
    /// The provider said nothing, and nothing could be estimated. Not zero: unknown.
    #[default]
    Unknown,
    /// Counted by us.
    Estimated,
    /// Reported, but the reply was cut before the last word: a lower bound.
    Partial,
    /// Reported by the provider, whole.
    Reported,
}

/// Who saw a call; better witnesses of tokens are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Source {
    /// Counted before or without a reply.
    Estimate,
    /// Entered by hand.
    Manual,
    /// Told by OpenTelemetry.
    Otlp,
    /// Read in a client's own log.
    Log,
    /// Carried through a TLS tunnel that we opened.
    Connect,
    /// Carried by the proxy.
    Proxy,
}

impl Source {
    const ALL: [Source; 6] = [Source::Estimate, Source::Manual, Source::Otlp, Source::Log, Source::Connect, Source::Proxy];

    /// The word for it in JSON and on screens.
    pub const fn word(self) -> &'static str {
        match self {
            Source::Estimate => "estimate",
            Source::Manual => "manual",
            Source::Otlp => "otlp",
            Source::Log => "log",
            Source::Connect => "connect",
            Source::Proxy => "proxy",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of sources. As JSON a list of words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "Array<Source>"))]
pub struct Sources(u8);

impl Sources {
    /// One source.
    pub const fn only(source: Source) -> Sources {
        Sources(source.bit())
    }

    /// Whether it is among them.
    pub const fn has(self, source: Source) -> bool {
        self.0 & source.bit() != 0
    }

    /// All of both.
    #[must_use]
    pub const fn and(self, other: Sources) -> Sources {
        Sources(self.0 | other.0)
    }

    /// Each of them, weakest first.
    pub fn iter(self) -> impl Iterator<Item = Source> {
        Source::ALL.into_iter().filter(move |source| self.has(*source))
    }

    fn best(self) -> Option<Source> {
        self.iter().last()
    }
}

impl From<Source> for Sources {
    fn from(source: Source) -> Sources {
        Sources::only(source)
    }
}

impl Serialize for Sources {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Sources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sources, D::Error> {
        let sources = Vec::<Source>::deserialize(deserializer)?;
        Ok(sources.into_iter().fold(Sources::default(), |all, source| all.and(source.into())))
    }
}

/// What a call was made for, and how that is known. Surer ways are smaller, so that the least of two is the surer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Project {
    /// How the name is known.
    pub by: ProjectBy,
    /// Its name.
    pub name: String,
}

/// How a project's name is known, surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ProjectBy {
    /// The user said so, by hand.
    Hand,
    /// The call's path prefix, `/p/<project>/`.
    Path,
    /// The call's header, `x-tollbar-project`.
    Header,
    /// The working folder that the client logged, or that its process has.
    Folder,
}

/// The proxy's own name for a call that it carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
pub struct CallUuid(pub u128);

impl fmt::Display for CallUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The identity of a call: the first 16 bytes of SHA-256 over provider family and the provider's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
pub struct RequestKey(pub [u8; 16]);

/// As long as most texts are of which keys are made.
const KEY_TEXT_BYTES: usize = 96;

impl RequestKey {
    /// The key of a provider's id.
    pub fn of(family: &str, id: &str) -> RequestKey {
        // Nearly all fit into a few bytes, of which a digest is made at once.
        let mut text = [0; KEY_TEXT_BYTES];
        let parts = [family.as_bytes(), b":", id.as_bytes()];
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > text.len() {
            return RequestKey::of_bytes(&parts.concat());
        }
        let mut rest = &mut text[..];
        for part in parts {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        RequestKey::of_bytes(&text[..length])
    }

    /// The key that the call has where damage took its own from the journal: only its first 48 bits are known, from the key index.
    #[must_use]
    pub fn rescued(self) -> RequestKey {
        /// No digest ends so but by a chance of one in 2^80.
        const END: [u8; 10] = *b"\0rescued\0\0";
        let mut key = self.0;
        key[6..].copy_from_slice(&END);
        RequestKey(key)
    }

    /// The digest of any bytes.
    pub(crate) fn of_bytes(bytes: &[u8]) -> RequestKey {
        let mut key = [0; 16];
        key.copy_from_slice(&Sha256::digest(bytes)[..16]);
        RequestKey(key)
    }

    /// The key of a call to which a server gave an id that another call already has.
    #[must_use]
    pub(crate) fn carried_by(self, carried: CallUuid) -> RequestKey {
        RequestKey::of(&self.to_string(), &carried.to_string())
    }
}

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestKey({self})")
    }
}

fn read_hex(text: &str) -> Option<u128> {
    (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl FromStr for RequestKey {
    type Err = String;
    fn from_str(text: &str) -> Result<RequestKey, String> {
        read_hex(text).map(|bits| RequestKey(bits.to_be_bytes())).ok_or_else(|| format!("not a request key: {text:?}"))
    }
}

macro_rules! hex_or_bytes {
    ($name:ident, $to:expr, $from:expr) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { $to(self).serialize(serializer) }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    let bits = read_hex(&text).ok_or_else(|| de::Error::custom(format!("not 32 hex digits: {text:?}")))?;
                    Ok($from(bits.to_be_bytes()))
                } else {
                    Ok($from(<[u8; 16]>::deserialize(deserializer)?))
                }
            }
        }
    };
}
hex_or_bytes!(RequestKey, |key: &RequestKey| key.0, RequestKey);
hex_or_bytes!(CallUuid, |call: &CallUuid| call.0.to_be_bytes(), |bytes| CallUuid(u128::from_be_bytes(bytes)));

/// An amount that shall not be exceeded in a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Budget {
    /// Its name, unique among budgets.
    pub name: String,
    /// How its time is cut.
    pub period: Period,
    /// The amount for one period.
    pub limit: Usd,
    /// Which calls count; everything where nothing is named.
    #[serde(default)]
    pub scope: BudgetScope,
    /// At how many percent of the limit the user is told, ascending.
    pub alert_percents: Vec<u32>,
}

/// Which calls a budget counts: those that match all that is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct BudgetScope {
    /// Only calls for this project.
    pub project: Option<String>,
    /// Only calls to this model.
    pub model: Option<String>,
    /// Only calls to this provider.
    pub provider: Option<String>,
    /// Only calls made on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// A budget that crossed a threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The budget's name.
    pub budget: String,
    /// The first day of the period in which it happened.
    pub period_start: Day,
    /// The threshold that was crossed.
    pub percent: u32,
    /// What was spent when it was noticed.
    pub spent: Usd,
    /// The limit at that time.
    pub limit: Usd,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn sighting()(
            at in 0i64..3, certainty in 0..4u8, output in 0..3u64, input in 0..3u64, source in 0..6usize,
            model in proptest::option::of("[ab]"), session in proptest::option::of("[ab]"), by in 0..4u8,
            cost in proptest::option::of(0i128..3), tier in proptest::option::of("[ab]"), geo in proptest::option::of("[ab]"), cache_read in 0..3u64,
        ) -> Usage {
            Usage {
                at: Timestamp::from_micros(at),
                provider: "openai".into(),
                model, session, tier, geo,
                project: Some(Project {
                    by: [ProjectBy::Hand, ProjectBy::Path, ProjectBy::Header, ProjectBy::Folder][usize::from(by)],
                    name: "p".into(),
                }),
                tokens: Tokens { input, output, cache_read, ..Tokens::default() },
                certainty: [Certainty::Unknown, Certainty::Estimated, Certainty::Partial, Certainty::Reported][usize::from(certainty)],
                reported_cost: cost.map(Usd::from_pico),
                sources: Source::ALL[source].into(),
                ..Usage::default()
            }
        }
    }

    proptest! {
        #[test]
        fn the_order_of_two_sightings_does_not_matter(a in sighting(), b in sighting()) {
            prop_assert_eq!(a.merged(&b), b.merged(&a));
            prop_assert_eq!(a.merged(&a), a.clone());
            let both = a.merged(&b);
            prop_assert_eq!(both.merged(&a), both.clone(), "a sighting told again changes nothing");
        }

        #[test]
        fn nor_does_which_two_of_three_come_together_first(sightings in [sighting(), sighting(), sighting()]) {
            // None contradicts another.
            let [a, b, c] = sightings.map(|usage| {
                let one = |name: Option<String>| name.map(|_| "a".to_owned());
                Usage { model: one(usage.model), tier: one(usage.tier), geo: one(usage.geo), ..usage }
            });
            prop_assert_eq!(a.merged(&b).merged(&c), a.merged(&b.merged(&c)));
        }
    }

    /// What the proxy carried, and what two lines of a client's log say of the same call.
    fn carried(certainty: Certainty, output: u64) -> Usage {
        Usage {
            tokens: Tokens { input: 1_500, output, ..Tokens::default() },
            certainty,
            carried: Some(CallUuid(1)),
            sources: Source::Proxy.into(),
            ..Usage::default()
        }
    }

    fn logged(certainty: Certainty, output: u64) -> Usage {
        Usage { carried: None, sources: Source::Log.into(), ..carried(certainty, output) }
    }

    #[test]
    fn a_logs_lower_count_leaves_the_carried_one() {
        use Certainty::{Estimated, Partial, Reported, Unknown};
        for (proxy, log, expected) in [
            // Claude Code logs the count of message_start for a call that was cut.
            (carried(Estimated, 2_610), logged(Reported, 3), (Estimated, 2_610)),
            (carried(Partial, 2_610), logged(Reported, 3), (Partial, 2_610)),
            (carried(Partial, 3), logged(Reported, 3), (Partial, 3)),
            (carried(Reported, 90), logged(Reported, 3), (Reported, 90)),
            (carried(Reported, 90), logged(Reported, 4_000), (Reported, 90)),
            // A log that has more of a call that was cut knows it better.
            (carried(Partial, 3), logged(Reported, 90), (Reported, 90)),
            (carried(Estimated, 0), logged(Reported, 90), (Reported, 90)),
            (carried(Unknown, 0), logged(Reported, 3), (Reported, 3)),
            // What is less certain does not replace what is more.
            (carried(Partial, 3), logged(Estimated, 90), (Partial, 3)),
        ] {
            for both in [proxy.merged(&log), log.merged(&proxy), proxy.merged(&log).merged(&log), log.merged(&proxy).merged(&proxy)] {
                assert_eq!((both.certainty, both.tokens.output), expected, "{proxy:?} and {log:?}");
            }
        }
    }

    #[test]
    fn an_answer_fetched_again_completes_an_estimate() {
        let fetched = Usage { carried: None, ..carried(Certainty::Reported, 2_500) };
        let both = carried(Certainty::Estimated, 2_610).merged(&fetched);
        assert_eq!((both.certainty, both.tokens.output), (Certainty::Reported, 2_500));
    }

    proptest! {
        #[test]
        fn a_log_never_makes_a_carried_count_less(
            certainty in 0..4usize, output in 0..6u64, logs in proptest::collection::vec((0..4usize, 0..6u64), 1..4), at in 0..4usize,
        ) {
            const ALL: [Certainty; 4] = [Certainty::Unknown, Certainty::Estimated, Certainty::Partial, Certainty::Reported];
            let proxy = carried(ALL[certainty], if certainty == 0 { 0 } else { output });
            let mut sightings: Vec<Usage> = logs.iter().map(|(certainty, output)| logged(ALL[*certainty], *output)).collect();
            sightings.insert(at.min(logs.len()), proxy.clone());
            let merged = sightings.iter().skip(1).fold(sightings[0].clone(), |all, usage| all.merged(usage));
            prop_assert!(merged.tokens.output >= proxy.tokens.output, "{merged:?}");
            // Told again in either order, nothing changes.
            for usage in &sightings {
                prop_assert_eq!(merged.merged(usage), usage.merged(&merged));
            }
            // Unless a log has more of it, the call stays as certain as it was carried.
            let more = logs.iter().any(|(_, logged)| *logged > proxy.tokens.output);
            prop_assert!(certainty == 0 || more || merged.certainty == proxy.certainty, "{merged:?}");
        }

        #[test]
        fn lines_that_grow_merge_alike_in_any_order(
            certainty in 1..4usize, output in 0..6u64, mut lines in proptest::collection::vec(0..6u64, 2), order in 0..6usize,
        ) {
            const ALL: [Certainty; 4] = [Certainty::Unknown, Certainty::Estimated, Certainty::Partial, Certainty::Reported];
            lines.sort_unstable();
            let [a, b, c] = [carried(ALL[certainty], output), logged(Certainty::Partial, lines[0].min(output)), logged(Certainty::Reported, lines[1])];
            let expected = a.merged(&b).merged(&c);
            let [x, y, z] = [[&a, &b, &c], [&a, &c, &b], [&b, &a, &c], [&b, &c, &a], [&c, &a, &b], [&c, &b, &a]][order];
            prop_assert_eq!(x.merged(y).merged(z), expected.clone());
            prop_assert_eq!(x.merged(&y.merged(z)), expected);
        }
    }

    #[test]
    fn a_growing_snapshot_wins_and_a_project_in_the_path_beats_a_folder() {
        let early = Usage {
            tokens: Tokens { input: 4, output: 1, ..Tokens::default() },
            certainty: Certainty::Reported,
            project: Some(Project { by: ProjectBy::Path, name: "web".into() }),
            ..Usage::default()
        };
        let late = Usage {
            tokens: Tokens { input: 4, output: 90, ..Tokens::default() },
            project: Some(Project { by: ProjectBy::Folder, name: "api".into() }),
            ..early.clone()
        };
        let both = late.merged(&early);
        assert_eq!(both.tokens.output, 90);
        assert_eq!(both.project.map(|project| project.name).as_deref(), Some("web"));
    }

    #[test]
    fn a_key_is_the_family_and_the_id() {
        assert_eq!(RequestKey::of("anthropic", "msg_1").to_string(), "31ec0fde50ec5fd478209eb0349b2f46");
        assert_ne!(RequestKey::of("anthropic", "msg_1"), RequestKey::of("openai", "msg_1"));
    }
}
