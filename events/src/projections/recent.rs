//! The last calls, by their own time.

use crate::{RequestKey, Timestamp, Usage};
use std::collections::BTreeMap;

/// How many calls are remembered whole.
pub const RECENT_CALLS_MAX: usize = 200;

#[derive(Debug, Clone, Default)]
pub(crate) struct RecentFold {
    calls: BTreeMap<(Timestamp, RequestKey), Usage>,
}

impl RecentFold {
    pub(crate) fn insert(&mut self, usage: &Usage, key: RequestKey) {
        let full = self.calls.len() >= RECENT_CALLS_MAX;
        if full && self.calls.first_key_value().is_some_and(|(oldest, _)| (usage.at, key) < *oldest) {
            return;
        }
        self.calls.insert((usage.at, key), usage.clone());
        if self.calls.len() > RECENT_CALLS_MAX {
            self.calls.pop_first();
        }
    }

    pub(crate) fn remove(&mut self, at: Timestamp, key: RequestKey) {
        self.calls.remove(&(at, key));
    }

    /// Newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = (RequestKey, &Usage)> {
        self.calls.iter().rev().map(|((_, key), usage)| (*key, usage))
    }
}
