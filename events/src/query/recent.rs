//! Which were the last calls?

use super::{CallRow, Fault, Query, View, storage_fault};
use crate::{RECENT_CALLS_MAX, Seq, Timestamp};
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
        let tariff = view.projections.tariff();
        let entries: Vec<Seq> = view.projections.recent.newest().into_iter().map(|(_, seq)| seq).collect();
        let calls = view.log.calls_at(&entries, RECENT_CALLS_MAX.min(self.limit as usize)).map_err(|error| storage_fault(&error))?;
        let row = |(key, usage): &(_, _)| CallRow::new(*key, usage, tariff, view.log.device()).shown(&view.projections.projects);
        Ok(RecentAnswer { now, calls: calls.iter().map(row).collect() })
    }
}
