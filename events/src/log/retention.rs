//! A log that does not grow without bound: calls made long ago are added up, and no longer told apart.
//!
//! Beside the log a new one is built as a whole, which begins with [`Event::Folded`] and the summaries; what is younger follows as it is,
//! under new numbers. It is read back from the disk and must come to the same totals before it takes the old one's place.

mod sums;
mod swap;
#[cfg(test)]
mod tests;

use super::{
    BATCH_FACTS_MAX, Log, LogError,
    folder::{make_private_folder, sync_folder},
    journal::{Encoder, Journal, JournalError, Line, LineRef},
};
use crate::{Entry, Event, PriceBook, RequestKey, Said, Seq, Tariff, Timestamp};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};
use sums::Sums;

pub(super) use swap::{finish, is_unfinished};

/// By how much the calls that are summed are older than those that are refused: sources of one call may disagree about its time, and one
/// that is told again a little younger is known by its key.
const MARGIN_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// What folding a log does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folding {
    /// Calls made a day and more before are added up; from now on, calls made before that are not known singly are refused.
    pub before: Timestamp,
    /// The calls that are told singly no longer.
    pub calls: u64,
    /// The summaries that take their place.
    pub summaries: u64,
    /// The entries that stay as they are.
    pub entries_kept: u64,
    /// The journal as it is. Store and key index shrink with it, in large pieces.
    pub journal_bytes: u64,
    /// The journal as it will be.
    pub folded_bytes: u64,
}

/// A folded log on the disk, beside the one that it was made of. Verified, and in nobody's way.
#[derive(Debug)]
pub struct FoldedLog {
    folding: Folding,
    folder: PathBuf,
}

impl Log {
    /// When the log refuses calls that it does not know: those made before stand in summaries.
    pub fn folded_before(&self) -> Option<Timestamp> {
        self.folded_before
    }

    /// Builds what this log is when the calls made before an instant are no longer told apart; `None` where there are none. Changes nothing.
    pub fn folded(&self, before: Timestamp, now: Timestamp, book: &Arc<PriceBook>) -> Result<Option<FoldedLog>, LogError> {
        let built = self.build(before, now, book);
        if !matches!(built, Ok(Some(_))) {
            finish(&self.folder)?;
        }
        Ok(built?.map(|folding| FoldedLog { folding, folder: self.folder.clone() }))
    }

    fn build(&self, before: Timestamp, now: Timestamp, book: &Arc<PriceBook>) -> Result<Option<Folding>, LogError> {
        let fates = self.fates(before.plus_micros(-MARGIN_MICROS))?;
        let tariff = Tariff::with(book.clone(), fates.prices.iter().cloned());
        let mut sums = Sums::new(&tariff);
        let mut first_kept = None;
        self.each_line(|Line { entry, .. }| {
            match (fates.of(&entry), &entry.event) {
                (Fate::Summed, Event::Used { usage } | Event::Restated { after: usage, .. }) => sums.add(usage),
                (Fate::Kept, _) => drop(first_kept.get_or_insert(entry.recorded_at)),
                (Fate::Summed | Fate::Dropped, _) => {}
            }
            Ok(())
        })?;
        let calls = sums.calls();
        if calls == 0 {
            return Ok(None);
        }
        let folder = self.folder.join(swap::UNFINISHED);
        let mut writing = Writing::begin(folder.join("journal").join(&self.device))?;
        // In the month of what follows: months stay in order, and what is written later goes to its own.
        let month = first_kept.unwrap_or(now);
        writing.push(Event::Folded { before: self.folded_before.map_or(before, |earlier| earlier.max(before)) }, None, now, None, month)?;
        let mut summaries = 0;
        for summary in sums.into_summaries() {
            summaries += 1;
            writing.push(Event::Summarised { summary: Box::new(summary) }, None, now, None, month)?;
        }
        let mut entries_kept = 0;
        self.each_line(|line| {
            if fates.of(&line.entry) == Fate::Kept {
                entries_kept += 1;
                // What cannot be told of a saying costs the saying only.
                let said = line.said().ok().flatten();
                let entry = line.entry;
                writing.push(entry.event, entry.key, entry.recorded_at, said, entry.recorded_at)?;
            }
            Ok(())
        })?;
        writing.write()?;
        let folded_bytes = writing.journal.bytes();
        drop(writing);
        self.verify_folded(book)?;
        Ok(Some(Folding { before, calls, summaries, entries_kept, journal_bytes: self.journal_bytes(), folded_bytes }))
    }

    /// Opens what was built as any log is opened, and compares what it comes to.
    fn verify_folded(&self, book: &Arc<PriceBook>) -> Result<(), LogError> {
        let folder = self.folder.join(swap::UNFINISHED);
        let (mut folded, mut projections) = Log::open_folded(&folder, &self.device, book)?;
        if !projections.totals_equal(&self.fold_all(book)?) {
            return Err(LogError::Unequal { folder: self.folder.clone() });
        }
        folded.flush()?;
        folded.checkpoint(&mut projections).map_err(|source| LogError::Io { path: folder.clone(), source })?;
        for part in [folder.join("journal"), folder] {
            sync_folder(&part).map_err(|source| LogError::Io { path: part, source })?;
        }
        Ok(())
    }

    /// Calls `visit` with every line. Of what damage took from the journal, with what the store has whole.
    fn each_line(&self, mut visit: impl FnMut(Line) -> Result<(), LogError>) -> Result<(), LogError> {
        let now = self.now();
        for line in self.journal.lines_after(Seq(0))? {
            match line {
                Ok(line) => visit(line)?,
                Err(error @ JournalError::Damaged { .. }) => now.kept(&error).0.into_iter().try_for_each(|entry| visit(entry.into()))?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn fates(&self, cutoff: Timestamp) -> Result<Fates, LogError> {
        let mut fates = Fates { cutoff, restated: FxHashMap::default(), matched: FxHashMap::default(), prices: Vec::new() };
        // A match follows the entry by which the call has what the match takes away.
        let mut last_call = None;
        let mut rescued = FxHashSet::default();
        self.each_line(|Line { entry, .. }| {
            match (entry.key, &entry.event) {
                (Some(key), Event::Used { usage }) => {
                    if key == key.rescued() {
                        rescued.insert(key);
                    }
                    last_call = Some((key, usage.at));
                }
                (Some(key), Event::Restated { after, .. }) => {
                    // Its first entry may have been rescued without its key.
                    if rescued.contains(&key.rescued()) {
                        fates.restated.insert(key.rescued(), (entry.seq, after.at));
                    }
                    fates.restated.insert(key, (entry.seq, after.at));
                    last_call = Some((key, after.at));
                }
                (Some(key), Event::Matched { call, .. }) => {
                    let at = last_call.filter(|(last, _)| last == call).map(|(_, at)| at);
                    let at = at.unwrap_or(Timestamp::from_micros(i64::MAX));
                    if rescued.contains(&key.rescued()) {
                        fates.matched.insert(key.rescued(), (*call, at));
                    }
                    fates.matched.insert(key, (*call, at));
                }
                (
                    _,
                    Event::Used { .. }
                    | Event::Restated { .. }
                    | Event::Matched { .. }
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
                    | Event::ProjectRenamed { .. },
                ) => {}
            }
            if entry.event.is_of_prices() {
                fates.prices.push(Arc::new(entry));
            }
            Ok(())
        })?;
        Ok(fates)
    }
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is written again as it is.
    Kept,
    /// It is the last word on a call that is summed.
    Summed,
    /// It is an earlier word on one, or speaks of an earlier folding.
    Dropped,
}

struct Fates {
    cutoff: Timestamp,
    /// The last word on each call that has several, and when that says it was made.
    restated: FxHashMap<RequestKey, (Seq, Timestamp)>,
    /// The entries that speak of prices.
    prices: Vec<Arc<Entry>>,
    /// To which calls the clients' ids lead, and when those were made by what was known when they were found.
    matched: FxHashMap<RequestKey, (RequestKey, Timestamp)>,
}

impl Fates {
    fn of(&self, entry: &Entry) -> Fate {
        // What stands under a client's id was taken away again: it goes with the call that has it, and is in no sum of its own.
        if let Some((call, at)) = entry.key.and_then(|key| self.matched.get(&key)) {
            let at = self.restated.get(call).map_or(*at, |(_, at)| *at);
            return if at < self.cutoff { Fate::Dropped } else { Fate::Kept };
        }
        match &entry.event {
            Event::Used { usage } | Event::Restated { after: usage, .. } => {
                let last = entry.key.and_then(|key| self.restated.get(&key)).copied();
                let (seq, at) = last.unwrap_or((entry.seq, usage.at));
                match (at < self.cutoff, seq == entry.seq) {
                    (false, _) => Fate::Kept,
                    (true, true) => Fate::Summed,
                    (true, false) => Fate::Dropped,
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
            | Event::ProjectRenamed { .. } => Fate::Kept,
            // Every match has a key, by which it was found above.
            Event::Folded { .. } | Event::Lost | Event::Matched { .. } => Fate::Dropped,
        }
    }
}

/// A journal that is being written, line by line.
struct Writing {
    journal: Journal,
    encoder: Encoder,
    lines: Vec<(Entry, Option<Said>)>,
    /// In whose month they are written.
    month: Timestamp,
    last: Seq,
}

impl Writing {
    fn begin(folder: PathBuf) -> Result<Writing, LogError> {
        make_private_folder(&folder)?;
        let journal = Journal::open(&folder, &mut Vec::new())?;
        Ok(Writing { journal, encoder: Encoder::default(), lines: Vec::new(), month: Timestamp::default(), last: Seq(0) })
    }

    fn push(
        &mut self,
        event: Event,
        key: Option<RequestKey>,
        recorded_at: Timestamp,
        said: Option<Said>,
        month: Timestamp,
    ) -> Result<(), LogError> {
        if self.lines.len() == BATCH_FACTS_MAX || month.month_name() != self.month.month_name() {
            self.write()?;
        }
        self.month = month;
        self.last = self.last.next();
        self.lines.push((Entry { seq: self.last, recorded_at, key, event }, said));
        Ok(())
    }

    fn write(&mut self) -> Result<(), LogError> {
        let lines: Vec<LineRef<'_>> =
            self.lines.iter().map(|(entry, said)| LineRef { entry, said: said.as_ref(), rescued: false }).collect();
        if let Some(batch) = self.encoder.encode(&lines)? {
            self.journal.append(&batch, self.month)?;
        }
        self.lines.clear();
        Ok(())
    }
}

impl FoldedLog {
    /// What was done.
    pub fn folding(&self) -> Folding {
        self.folding
    }

    /// Takes the place of the log that it was made of, which is gone thereafter. From the first rename on the next opening goes on with it.
    pub fn replace(self, log: Log) -> Result<(), LogError> {
        assert_eq!(self.folder, log.folder, "a folded log takes the place of the one that it was made of");
        // The store's files are closed; nobody else can open the log until it is whole again.
        let _lock = log.into_lock();
        swap::commit(&self.folder)?;
        finish(&self.folder).map(drop)
    }

    /// Is thrown away.
    pub fn discard(self) -> Result<(), LogError> {
        finish(&self.folder).map(drop)
    }
}
