//! Where the last calls stand in the log, by their own time.

use crate::{Seq, Timestamp};

/// How many calls an answer tells of.
pub const RECENT_CALLS_MAX: usize = 200;
/// How many entries are remembered: more than calls are told of, since some were restated by later ones.
const RECENT_ENTRIES_MAX: usize = 512;

/// The entries about the last calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecentFold {
    /// In no order, and up to twice as many as are wanted, so that they are sorted out once in a while only.
    entries: Vec<(Timestamp, Seq)>,
    /// What is not later than this is not among the last.
    floor: Option<(Timestamp, Seq)>,
}

impl RecentFold {
    pub(super) fn insert(&mut self, at: Timestamp, seq: Seq) {
        if self.floor.is_some_and(|floor| (at, seq) <= floor) {
            return;
        }
        self.entries.push((at, seq));
        if self.entries.len() >= 2 * RECENT_ENTRIES_MAX {
            let (_, oldest_kept, _) = self.entries.select_nth_unstable_by(RECENT_ENTRIES_MAX - 1, |one, other| other.cmp(one));
            self.floor = Some(*oldest_kept);
            self.entries.truncate(RECENT_ENTRIES_MAX);
        }
    }

    /// The entries, the latest call first.
    pub(crate) fn newest(&self) -> Vec<(Timestamp, Seq)> {
        let mut newest = self.entries.clone();
        newest.sort_unstable_by(|one, other| other.cmp(one));
        newest.truncate(RECENT_ENTRIES_MAX);
        newest
    }
}
