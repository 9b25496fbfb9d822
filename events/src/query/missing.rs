//! Which calls have no price, and why?

use super::{Fault, Filter, Query, View, spend_by};
use crate::{Day, Timestamp};
use serde::{Deserialize, Serialize};

/// Which calls have no price? Those about whose tokens nothing is known are not among them: no price would help.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Missing {
    /// The first day, from the first call on if not named.
    pub first: Option<Day>,
    /// The last day, today if not named.
    pub last: Option<Day>,
    /// Which calls count.
    pub filter: Filter,
}

/// The answer to [`Missing`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct MissingAnswer {
    /// The first day that is counted.
    pub first: Day,
    /// The last day that is counted.
    pub last: Day,
    /// All calls without a price.
    pub calls: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Most tokens first.
    pub rows: Vec<MissingRow>,
}

/// Calls without a price that have all in common that decides about one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct MissingRow {
    /// Who was called.
    pub provider: String,
    /// The model, where one is known.
    pub model: Option<String>,
    /// How it was served, in the provider's word.
    pub tier: Option<String>,
    /// Why there is no price.
    pub reason: String,
    /// The calls.
    pub calls: u64,
    /// Tokens that went in, cached ones included.
    pub tokens_in: u64,
    /// Tokens that came out.
    pub tokens_out: u64,
    /// The first of them.
    pub first_at: Timestamp,
    /// The last of them.
    pub last_at: Timestamp,
    /// Priced models whose names look alike, the likest first. A hint for a reader: no call is priced by it.
    pub nearest: Vec<NearName>,
}

/// A model of the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct NearName {
    /// Whose.
    pub provider: String,
    /// Its name.
    pub model: String,
}

impl Query for Missing {
    const NAME: &'static str = "missing";
    type Answer = MissingAnswer;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<MissingAnswer, Fault> {
        let (first, last) = spend_by::days(view, self.first, self.last, now)?;
        Ok(MissingAnswer { first, last, calls: 0, tokens: 0, rows: Vec::new() })
    }
}
