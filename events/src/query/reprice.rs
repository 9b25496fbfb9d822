//! What would the same calls cost at other prices?

use super::{Dimension, Fault, Filter, Query, View};
use crate::{Day, Timestamp, Usd};
use serde::{Deserialize, Serialize};

/// What would the same calls cost at other prices? Replays the log; changes no event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Reprice {
    /// At which prices.
    pub as_of: RepriceAsOf,
    /// A price book in JSON to use instead of the one in force.
    #[serde(default)]
    pub book: Option<String>,
    /// The first day, from the first call on if not named.
    #[serde(default)]
    pub first: Option<Day>,
    /// The last day, today if not named.
    #[serde(default)]
    pub last: Option<Day>,
    /// Which calls count.
    #[serde(default)]
    pub filter: Filter,
    /// One to three dimensions; a row stands for each combination that has calls.
    pub by: Vec<Dimension>,
}

/// At which prices a call is priced again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum RepriceAsOf {
    /// Those of the day that is today.
    Today,
    /// Those of an instant.
    Instant(Timestamp),
    /// Those of each call's own time (under another book).
    Call,
}

/// The answer to [`Reprice`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RepriceAnswer {
    /// The first day that is counted.
    pub first: Day,
    /// The last day that is counted.
    pub last: Day,
    /// All of it.
    pub total: RepriceRow,
    /// By day ascending where the first dimension is the day; else the greatest difference first.
    pub rows: Vec<RepriceRow>,
}

/// What one combination of names cost then, and would cost now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RepriceRow {
    /// One name for each dimension that was asked for.
    pub names: Vec<Option<String>>,
    /// The calls.
    pub calls: u64,
    /// What they cost as of each call.
    pub then_usd: Usd,
    /// What they cost at the prices asked for.
    pub now_usd: Usd,
    /// `now_usd` less `then_usd`, over calls that have both.
    pub difference_usd: Usd,
    /// Calls that lack a price then or now, and so stand in neither sum.
    pub unpriced_calls: u64,
}
