//! Which calls of some history does the ledger not have? Whoever knows can delete the history.

use super::{Fault, Query, View, storage_fault};
use crate::{RequestKey, Timestamp, Tokens, Usage, log::BATCH_FACTS_MAX};
use serde::{Deserialize, Serialize};

/// How many of these calls does the ledger not have, or not as well?
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Missing {
    /// The calls, at most [`BATCH_FACTS_MAX`].
    pub calls: Vec<Sought>,
}

/// A call that a history tells of.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Sought {
    /// Its key.
    pub key: RequestKey,
    /// When it began.
    pub at: Timestamp,
    /// What it consumed.
    pub tokens: Tokens,
}

impl Sought {
    /// A call as it was seen; `None` where nothing identifies it.
    pub fn of(usage: &Usage) -> Option<Sought> {
        Some(Sought { key: usage.key()?, at: usage.at, tokens: usage.tokens })
    }
}

/// The answer to [`Missing`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct MissingAnswer {
    /// How many are not there, or with fewer tokens.
    pub missing: u64,
}

impl Query for Missing {
    const NAME: &'static str = "missing";
    type Answer = MissingAnswer;

    fn answer(&self, view: &View<'_>, _now: Timestamp) -> Result<MissingAnswer, Fault> {
        if self.calls.len() > BATCH_FACTS_MAX {
            let hint = format!("ask for {BATCH_FACTS_MAX} at a time");
            return Err(Fault::refused(format!("{} calls at once are too many", self.calls.len()), hint));
        }
        let mut missing = 0;
        for Sought { key, at, tokens } in &self.calls {
            let held = view.log.counted(key, *at).map_err(|error| storage_fault(&error))?;
            let is_there =
                held.is_some_and(|held| held.is_none_or(|held| held.total() >= tokens.total() && held.produced() >= tokens.produced()));
            missing += u64::from(!is_there);
        }
        Ok(MissingAnswer { missing })
    }
}
