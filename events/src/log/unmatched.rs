//! Calls without their counterpart: rows of clients' logs that bear the client's own id, and calls that the proxy carried and no log told of.
//!
//! Held in memory only, and bounded: the newest by their own time. Made from the newest entries when it is first needed, and kept up from
//! there; so nothing of it can be lost, and nothing need be mended.

use crate::{
    Entry, Event, RequestKey, Timestamp, Usage,
    sameness::{Half, around, told},
};
use std::{collections::BTreeSet, mem};

/// How many are held of each kind. Beyond twice as many, those that were made longest ago are let go of.
const HALVES_MAX: usize = 32_768;
/// How many calls with the very same tokens are looked at; there is hardly ever a second.
const LOOKED_AT_MAX: usize = 64;

/// Calls without their counterpart.
#[derive(Debug, Default)]
pub(super) struct Unmatched {
    rows: Halves,
    carried: Halves,
}

/// Calls by what clients tell of their tokens, then by time.
#[derive(Debug, Default)]
struct Halves(BTreeSet<([u64; 3], Timestamp, RequestKey)>);

impl Unmatched {
    /// Takes an entry into account; the entries of a log come in their order.
    pub(super) fn see(&mut self, entry: &Entry) {
        let Some(key) = entry.key else { return };
        match &entry.event {
            Event::Used { usage } => self.add(key, usage),
            Event::Restated { before, after } => {
                self.remove(key, before);
                self.add(key, after);
            }
            Event::Matched { before, .. } => {
                if let Some(before) = before {
                    self.remove(key, before);
                }
            }
            Event::BudgetSet { .. }
            | Event::BudgetRemoved { .. }
            | Event::AlertRaised { .. }
            | Event::PriceBookAdopted { .. }
            | Event::PriceSet { .. }
            | Event::PriceUnset { .. }
            | Event::PricesMultiplied { .. }
            | Event::Summarised { .. }
            | Event::Folded { .. }
            | Event::Lost
            | Event::ProjectRenamed { .. } => {}
        }
    }

    fn add(&mut self, key: RequestKey, usage: &Usage) {
        if let Some(half) = usage.half() {
            self.of(half).insert((told(&usage.tokens), usage.at, key));
        }
    }

    fn remove(&mut self, key: RequestKey, usage: &Usage) {
        if let Some(half) = usage.half() {
            self.of(half).0.remove(&(told(&usage.tokens), usage.at, key));
        }
    }

    fn of(&mut self, half: Half) -> &mut Halves {
        match half {
            Half::Row => &mut self.rows,
            Half::Carried => &mut self.carried,
        }
    }

    /// The calls that may be the counterpart of one, the nearest in time first.
    pub(super) fn counterparts(&self, half: Half, usage: &Usage) -> Vec<RequestKey> {
        let halves = match half {
            Half::Row => &self.carried,
            Half::Carried => &self.rows,
        };
        let (tokens, (from, until)) = (told(&usage.tokens), around(usage.at));
        let mut found: Vec<(u64, Timestamp, RequestKey)> = halves
            .0
            .range((tokens, from, RequestKey([0; 16]))..=(tokens, until, RequestKey([0xFF; 16])))
            .map(|(_, at, key)| (at.micros().abs_diff(usage.at.micros()), *at, *key))
            .collect();
        found.sort_unstable();
        found.into_iter().take(LOOKED_AT_MAX).map(|(_, _, key)| key).collect()
    }
}

impl Halves {
    fn insert(&mut self, half: ([u64; 3], Timestamp, RequestKey)) {
        self.0.insert(half);
        if self.0.len() > 2 * HALVES_MAX {
            let mut all: Vec<_> = mem::take(&mut self.0).into_iter().collect();
            all.select_nth_unstable_by(HALVES_MAX, |(_, one, _), (_, other, _)| other.cmp(one));
            all.truncate(HALVES_MAX);
            self.0 = all.into_iter().collect();
        }
    }
}

#[cfg(test)]
mod tests;
