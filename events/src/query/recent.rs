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
