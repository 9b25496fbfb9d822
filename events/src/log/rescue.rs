//! Entries that the journal lost, from what the store and the key index still have of them.
//!
//! Of the newest entries the store has all. Of older ones it has the counts and names, and the key index the first bits of the key: enough
//! to keep them in every sum and to know the call when it is seen again. Where the key index is gone as well, an entry whose ids are gone
//! is not rescued: it would be counted twice once its call is seen again.

use super::{
    LogError, Snapshot,
    journal::{JournalError, Lines},
    keys::Print,
    store::SEGMENT_ENTRIES,
};
use crate::{Entry, Event, Seq, Timestamp};
use rustc_hash::FxHashMap;
use std::{iter::Peekable, vec::IntoIter};

/// How many entries are looked for at once: the key index is read once for them.
const RESCUE_ENTRIES_MAX: u64 = 65_536;

impl Snapshot {
    /// What is left of the entries after `after` and before `until`, of the first [`RESCUE_ENTRIES_MAX`] of them, and up to where that is.
    pub(super) fn rescue(&self, after: Seq, until: Seq) -> (Vec<Entry>, Seq) {
        let end = until.0.min(after.0 + 1 + RESCUE_ENTRIES_MAX);
        let mut prints = None;
        let mut rescued = Vec::new();
        let mut next = after.0 + 1;
        while next < end {
            let number = (next - 1) / SEGMENT_ENTRIES as u64;
            let behind = ((number + 1) * SEGMENT_ENTRIES as u64 + 1).min(end);
            if let Some(fresh) = self.store.fresh(Seq(next)) {
                rescued.push(Entry::clone(fresh));
                next += 1;
                continue;
            }
            // A segment that cannot be read rescues nothing.
            let entries = match self.store.segment(number) {
                Ok(Some(entries)) => entries,
                Ok(None) => {
                    let prints = prints.get_or_insert_with(|| self.keys.prints(Seq(after.0 + 1), Seq(end - 1)).unwrap_or_default());
                    self.store.segment_without_ids(number).map(|entries| with_keys(entries, prints)).unwrap_or_default()
                }
                Err(_) => Vec::new(),
            };
            rescued.extend(entries.into_iter().filter(|entry| (next..behind).contains(&entry.seq.0)));
            next = behind;
        }
        (rescued, Seq(end))
    }

    /// Whether the store counts any call of the entries after `after` and before `until`.
    pub(super) fn counts_between(&self, after: Seq, until: Seq) -> bool {
        let last = Seq(until.0.saturating_sub(1));
        let segments = after.0 / SEGMENT_ENTRIES as u64..=last.0.saturating_sub(1) / SEGMENT_ENTRIES as u64;
        segments.into_iter().any(|number| {
            let entries = self.store.segment_without_ids(number).unwrap_or_default();
            entries.iter().any(|entry| entry.seq > after && entry.seq <= last && entry.event != Event::Lost)
        })
    }

    /// Every entry after one, oldest first and without a gap: from the journal, and what that lost from the store. What nobody has any more
    /// is [`Event::Lost`].
    pub(super) fn journaled(&self, after: Seq) -> Result<Journaled<'_>, LogError> {
        let lines = self.journal.lines_after(after)?.peekable();
        Ok(Journaled {
            log: self,
            lines,
            reached: after,
            rescued: Vec::new().into_iter().peekable(),
            rescued_until: after.next(),
            damage: Vec::new(),
        })
    }
}

/// Gives entries without keys the ones by which the index finds them. One that has none left is dropped.
fn with_keys(entries: Vec<Entry>, prints: &FxHashMap<Seq, Print>) -> Vec<Entry> {
    let with_key = |entry: Entry| match (&entry.event, prints.get(&entry.seq)) {
        (Event::Used { .. } | Event::Restated { .. }, Some(print)) => Some(Entry { key: Some(print.rescued_key()), ..entry }),
        (Event::Used { .. } | Event::Restated { .. }, None) => None,
        (
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
            | Event::Matched { .. }
            | Event::ProjectRenamed { .. },
            _,
        ) => Some(entry),
    };
    entries.into_iter().filter_map(with_key).collect()
}

/// The iterator of [`Snapshot::journaled`].
pub(super) struct Journaled<'s> {
    log: &'s Snapshot,
    lines: Peekable<Lines>,
    reached: Seq,
    rescued: Peekable<IntoIter<Entry>>,
    /// Before this entry nothing more is looked for.
    rescued_until: Seq,
    damage: Vec<JournalError>,
}

impl Journaled<'_> {
    /// The damage that was met so far and not asked for before.
    pub(super) fn take_damage(&mut self) -> Vec<JournalError> {
        std::mem::take(&mut self.damage)
    }
}

impl Iterator for Journaled<'_> {
    type Item = Result<Entry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.log.is_wanted() {
            return Some(Err(error));
        }
        let due = self.reached.next();
        while let Some(Err(JournalError::Damaged { .. })) = self.lines.peek() {
            self.damage.extend(self.lines.next().and_then(Result::err));
        }
        let (next, recorded_at) = match self.lines.peek() {
            Some(Ok(line)) if line.entry.seq == due => {
                self.reached = due;
                return self.lines.next().map(|line| line.map(|line| line.entry).map_err(LogError::from));
            }
            Some(Ok(line)) => (line.entry.seq, line.entry.recorded_at),
            Some(Err(_)) => return self.lines.next().and_then(Result::err).map(|error| Err(error.into())),
            None if due <= self.log.last => (self.log.last.next(), Timestamp::default()),
            None => return None,
        };
        if self.rescued_until <= due {
            let (rescued, until) = self.log.rescue(self.reached, next);
            (self.rescued, self.rescued_until) = (rescued.into_iter().peekable(), until);
        }
        self.reached = due;
        let lost = Entry { seq: due, recorded_at, key: None, event: Event::Lost };
        Some(Ok(self.rescued.next_if(|entry| entry.seq == due).unwrap_or(lost)))
    }
}
