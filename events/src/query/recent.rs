//! Which were the last calls?

use super::{CallRow, Fault, Query, View};
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// Which were the last calls?
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Recent {
    /// How many, at most [`RECENT_CALLS_MAX`](crate::RECENT_CALLS_MAX).
    pub limit: u32,
}

/// The answer to [`Recent`], newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RecentAnswer {
    /// When this was asked.
    pub now: Timestamp,
    /// The calls.
    pub calls: Vec<CallRow>,
}

impl Query for Recent {
    const NAME: &'static str = "recent";
    type Answer = RecentAnswer;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<RecentAnswer, Fault> {
        let book = view.projections.book();
        let newest = view.projections.recent.newest().take(self.limit as usize);
        Ok(RecentAnswer { now, calls: newest.map(|(key, usage)| CallRow::new(key, usage, book)).collect() })
    }
}
