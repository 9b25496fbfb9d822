//! How large is the log, and is it whole?

use super::{Fault, Query, View};
use crate::{
    Seq, Timestamp,
    log::{LogSize, Verified},
};
use serde::{Deserialize, Serialize};

/// The most entries that one question verifies: whoever asks shows how far it is, and others get their turn.
const VERIFY_ENTRIES_MAX: u64 = 65_536;

/// How large is the log, and where are its bytes?
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Size {}

impl Query for Size {
    const NAME: &'static str = "size";
    type Answer = LogSize;

    fn answer(&self, view: &View<'_>, _now: Timestamp) -> Result<LogSize, Fault> {
        Ok(view.log.size())
    }
}

/// Is the log whole? Reads at most 65,536 entries after one; whoever asks goes on from where the answer ends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Verify {
    /// Where to begin; 0 for the beginning.
    pub after: Seq,
}

impl Query for Verify {
    const NAME: &'static str = "verify";
    type Answer = Verified;

    fn answer(&self, view: &View<'_>, _now: Timestamp) -> Result<Verified, Fault> {
        Ok(view.log.verify(self.after, VERIFY_ENTRIES_MAX))
    }
}
