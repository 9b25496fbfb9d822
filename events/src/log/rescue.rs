//! Entries that the journal lost, from what the store and the key index still have of them.
//!
//! Of the newest entries the store has all. Of older ones it has the counts and names, and the key index the first bits of the key: enough
//! to keep them in every sum and to know the call when it is seen again. Where the key index is gone as well, an entry whose ids are gone
//! is not rescued: it would be counted twice once its call is seen again.
//!
//! What neither has, a later entry about the same call may tell: one that restates it says what it was before.

use super::{
    LogError, Snapshot,
    journal::{JournalError, Lines},
    keys::Print,
    store::SEGMENT_ENTRIES,
};
use crate::{Entry, Event, RequestKey, Seq, Timestamp, Usage};
use rustc_hash::{FxHashMap, FxHashSet};
use std::{
    collections::{BTreeMap, VecDeque},
    iter::Peekable,
    vec::IntoIter,
};

/// How many entries are looked for at once: the key index is read once for them.
const RESCUE_ENTRIES_MAX: u64 = 65_536;

impl Snapshot {
    /// What is left of the entries after `after` and before `until`, of the first [`RESCUE_ENTRIES_MAX`] of them, and up to where that is.
    pub(super) fn rescue(&self, after: Seq, until: Seq) -> (Vec<Entry>, Seq) {
        self.rescue_with(after, until, Nameless::Dropped)
    }

    /// The same for answers: also with calls that nobody would know again, which the store still counts.
    pub(super) fn shown(&self, after: Seq, until: Seq) -> (Vec<Entry>, Seq) {
        self.rescue_with(after, until, Nameless::Kept)
    }

    fn rescue_with(&self, after: Seq, until: Seq, nameless: Nameless) -> (Vec<Entry>, Seq) {
        let (mut entries, end) = self.rescue_stored(after, until, nameless);
        let is_known = |entries: &[Entry]| entries.iter().filter(|entry| entry.event != Event::Lost).count() as u64;
        if is_known(&entries) < end.0.saturating_sub(after.0 + 1) {
            let implied = self.implied.get_or_init(|| self.imply().unwrap_or_default());
            for entry in implied.range(after.next()..end).map(|(_, entry)| entry) {
                match entries.binary_search_by_key(&entry.seq, |entry| entry.seq) {
                    Ok(place) if entries[place].event == Event::Lost => entries[place] = entry.clone(),
                    Ok(_) => {}
                    Err(place) => entries.insert(place, entry.clone()),
                }
            }
        }
        (entries, end)
    }

    /// Whether later entries were found to tell of lost ones.
    pub(super) fn tells_of_lost(&self) -> bool {
        self.implied.get().is_some_and(|implied| !implied.is_empty())
    }

    /// What later entries say of lost ones. Reads the journal twice, so that only calls that are restated behind a gap are kept in memory.
    fn imply(&self) -> Result<BTreeMap<Seq, Entry>, LogError> {
        let mut gaps: Vec<(Seq, Seq)> = Vec::new();
        let mut told: FxHashSet<RequestKey> = FxHashSet::default();
        for line in self.journal.lines_after(Seq(0))? {
            self.is_wanted()?;
            match line {
                Err(JournalError::Damaged { after, next, .. }) => gaps.push((after, next.unwrap_or(self.last.next()))),
                Err(error) => return Err(error.into()),
                Ok(line) if !gaps.is_empty() => told.extend(before(&line.entry).and(line.entry.key)),
                Ok(_) => {}
            }
        }
        // Where what is implied can stand: each gap with its free places.
        let mut places: Vec<(Seq, VecDeque<Seq>)> = Vec::new();
        for (after, next) in gaps {
            let mut reached = after;
            let mut free = VecDeque::new();
            while reached.next() < next && !told.is_empty() {
                let (stored, end) = self.rescue_stored(reached, next, Nameless::Dropped);
                let known: FxHashSet<Seq> = stored.iter().filter(|entry| entry.event != Event::Lost).map(|entry| entry.seq).collect();
                let wanted = told.len().saturating_sub(free.len());
                free.extend((reached.0 + 1..end.0).map(Seq).filter(|seq| !known.contains(seq)).take(wanted));
                reached = Seq(end.0 - 1);
            }
            places.push((next, free));
        }
        let mut stands: FxHashMap<RequestKey, (Seq, Box<Usage>)> = FxHashMap::default();
        let mut implied = BTreeMap::new();
        let mut see = |entry: Entry| {
            let Some(key) = entry.key.filter(|key| told.contains(key) || *key == key.rescued()) else { return };
            if let Some(usage) = before(&entry) {
                let stood = stands.get(&key).map(|(seq, usage)| (*seq, usage.clone()));
                // One that was rescued without its ids is there, and does not look the same.
                let is_missing = !stands.contains_key(&key.rescued()) && stood.as_ref().is_none_or(|(_, stood)| **stood != *usage);
                let since = stood.as_ref().map_or(Seq(0), |(seq, _)| *seq);
                let place = places.iter_mut().rev().filter(|(next, _)| *next <= entry.seq && *next > since);
                if is_missing && let Some(seq) = place.filter_map(|(_, free)| free.pop_front()).find(|seq| *seq > since) {
                    let event = match stood {
                        None => Event::Used { usage: Box::new(usage.clone()) },
                        Some((_, stood)) => Event::Restated { before: stood, after: Box::new(usage.clone()) },
                    };
                    implied.insert(seq, Entry { seq, recorded_at: entry.recorded_at, key: Some(key), event });
                }
            }
            if let Event::Used { usage } | Event::Restated { after: usage, .. } = entry.event {
                stands.insert(key, (entry.seq, usage));
            }
        };
        for line in self.journal.lines_after(Seq(0))? {
            self.is_wanted()?;
            match line {
                Ok(line) => see(line.entry),
                Err(JournalError::Damaged { after, next, .. }) => {
                    let (mut reached, next) = (after, next.unwrap_or(self.last.next()));
                    while reached.next() < next {
                        let (stored, end) = self.rescue_stored(reached, next, Nameless::Dropped);
                        stored.into_iter().for_each(&mut see);
                        reached = Seq(end.0 - 1);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(implied)
    }

    /// What the store and the key index have of lost entries.
    fn rescue_stored(&self, after: Seq, until: Seq, nameless: Nameless) -> (Vec<Entry>, Seq) {
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
                    self.store.segment_without_ids(number).map(|entries| with_keys(entries, prints, nameless)).unwrap_or_default()
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

/// What an entry says that its call was before.
fn before(entry: &Entry) -> Option<&Usage> {
    match &entry.event {
        Event::Restated { before, .. } => Some(before),
        Event::Matched { before, .. } => before.as_deref(),
        Event::Used { .. }
        | Event::BudgetSet { .. }
        | Event::BudgetRemoved { .. }
        | Event::AlertRaised { .. }
        | Event::PriceBookAdopted { .. }
        | Event::PriceSet { .. }
        | Event::PriceUnset { .. }
        | Event::PricesMultiplied { .. }
        | Event::Summarised { .. }
        | Event::Folded { .. }
        | Event::Lost
        | Event::ProjectRenamed { .. } => None,
    }
}

/// What becomes of a call of which the key index knows nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nameless {
    Kept,
    Dropped,
}

/// Gives entries without keys the ones by which the index finds them.
fn with_keys(entries: Vec<Entry>, prints: &FxHashMap<Seq, Print>, nameless: Nameless) -> Vec<Entry> {
    let with_key = |entry: Entry| match (&entry.event, prints.get(&entry.seq)) {
        (Event::Used { .. } | Event::Restated { .. }, Some(print)) => Some(Entry { key: Some(print.rescued_key()), ..entry }),
        (Event::Used { .. } | Event::Restated { .. }, None) => (nameless == Nameless::Kept).then(|| {
            let key = RequestKey::of("entry", &entry.seq.0.to_string());
            Entry { key: Some(key.rescued()), ..entry }
        }),
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
