//! A log as it stood at one entry, to be read by any thread while the log goes on.
//!
//! Segments that are sealed, months that are over and runs of keys never change, and are kept open by whoever reads them; of the rest a
//! snapshot has the state of its instant, which whoever writes copies before changing it.

use super::{
    LogError,
    digest::DIGEST_BYTES,
    draft::Known,
    journal::{Journal, JournalError, Line, Lines},
    keys::KeyIndex,
    segment::{Columns, Encoder, Unpacker},
    store::{SEGMENT_ENTRIES, StoreError, Stored},
};
use crate::{Entry, Event, Projections, RequestKey, Seq, Span, Tariff, Timestamp, Tokens, Usage};
use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    iter::Peekable,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

/// Fewer segments are folded before a second thread is up.
const SEGMENTS_FOR_TWO_THREADS: u64 = 32;
/// Segments that are kept read whole.
const OPENED_SEGMENTS_MAX: usize = 4;

/// The log as it stood at one entry. The log is not closed before the last of them is gone.
#[derive(Clone)]
pub struct Snapshot {
    pub(super) folder: PathBuf,
    pub(super) device: String,
    pub(super) journal: Journal,
    pub(super) store: Stored,
    pub(super) keys: KeyIndex,
    /// For calls that are asked for in the order in which they came.
    pub(super) opened: Arc<Mutex<Opened>>,
    pub(super) last: Seq,
    /// Calls made before then stand in summaries.
    pub(super) folded_before: Option<Timestamp>,
    pub(super) mended: Arc<Vec<String>>,
    /// Tells the store from those that were made in its place.
    pub(super) stores: u32,
    /// What later entries tell of lost ones, once it was looked for.
    pub(super) implied: Arc<OnceLock<BTreeMap<Seq, Entry>>>,
    /// Held by who waits for what is read. Without one, somebody always does.
    pub(super) asker: Option<Weak<()>>,
    pub(super) _lock: Arc<File>,
}

/// What was read whole, for what is asked next.
#[derive(Default)]
pub(super) struct Opened {
    segments: VecDeque<(u64, Arc<Vec<Entry>>)>,
    /// The journal, read up to where this segment begins.
    reading: Option<(u64, Peekable<Lines>)>,
}

/// What the log has under a key.
struct Found {
    /// The newest entry about the call.
    seq: Seq,
    /// The key of the call: another one where a client's id leads to it.
    call: RequestKey,
    /// How it stands; nothing where the journal lost it.
    usage: Option<Box<Usage>>,
}

impl Snapshot {
    /// The place of the newest entry; 0 where there is none.
    pub fn last(&self) -> Seq {
        self.last
    }

    /// The folder that the log lives in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name of this machine's own part of the journal.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The bytes of the journal on disk.
    pub fn journal_bytes(&self) -> u64 {
        self.journal.bytes()
    }

    /// What was mended since the log was opened, one sentence each.
    pub fn mended(&self) -> &[String] {
        &self.mended
    }

    /// The same, read from the journal alone: for a store that turns out to be damaged.
    #[must_use]
    pub fn without_store(self) -> Snapshot {
        Snapshot { store: self.store.without_segments(), opened: Arc::default(), ..self }
    }

    /// Reads all of the store once. Whether all of it can be read.
    pub fn is_readable(&self) -> bool {
        self.store.is_readable()
    }

    /// The same, to be read for somebody: once that is gone, reading ends with [`LogError::Unwanted`].
    #[must_use]
    pub fn asked_by(self, asker: Option<Weak<()>>) -> Snapshot {
        Snapshot { asker, ..self }
    }

    pub(super) fn is_wanted(&self) -> Result<(), LogError> {
        let is_gone = self.asker.as_ref().is_some_and(|asker| asker.strong_count() == 0);
        if is_gone { Err(LogError::Unwanted) } else { Ok(()) }
    }

    /// Every entry, oldest first, from the journal; where that is damaged, from the store if it has them whole. After an error that says
    /// where the journal is damaged it goes on.
    pub fn replay(&self) -> impl Iterator<Item = Result<Entry, LogError>> + '_ {
        let (lines, error) = match self.journal.lines_after(Seq(0)) {
            Ok(lines) => (Some(lines), None),
            Err(error) => (None, Some(Err(error.into()))),
        };
        let entries = lines.into_iter().flatten().flat_map(|line| match (line, self.is_wanted()) {
            (_, Err(error)) => vec![Err(error)],
            (Ok(line), Ok(())) => vec![Ok(line.entry)],
            (Err(error @ JournalError::Damaged { .. }), Ok(())) => {
                let (kept, is_all) = self.kept(&error);
                let error = (!is_all).then_some(Err(error.into()));
                kept.into_iter().map(Ok).chain(error).collect()
            }
            (Err(error), Ok(())) => vec![Err(error.into())],
        });
        entries.chain(error)
    }

    /// What is left of the entries that damage took from the journal, and whether that is all of them.
    pub(super) fn kept(&self, damage: &JournalError) -> (Vec<Entry>, bool) {
        let JournalError::Damaged { after, next, .. } = damage else { return (Vec::new(), false) };
        let until = next.unwrap_or(self.last.next());
        let mut kept = Vec::new();
        let mut reached = *after;
        while reached.next() < until {
            let (shown, end) = self.shown(reached, until);
            kept.extend(shown);
            reached = Seq(end.0 - 1);
        }
        let is_all = until.0.saturating_sub(after.0 + 1) == kept.len() as u64;
        (kept, is_all)
    }

    /// Calls `visit` with the columns of all entries whose calls may lie in the span: those of others may be among them.
    pub(crate) fn fold_columns(&self, span: Span, visit: &mut dyn FnMut(&Columns<'_>)) -> Result<(), LogError> {
        self.fold_share(span, (0, 1), visit)
    }

    /// One of several parts of that: `(part, parts)`.
    pub(crate) fn fold_share(&self, span: Span, share: (u64, usize), visit: &mut dyn FnMut(&Columns<'_>)) -> Result<(), LogError> {
        self.columns(span, Seq(0), share, &mut |columns| visit(columns))
    }

    /// The columns of all entries after one: of segments from the store, of those that it lacks from the journal, of the newest from memory.
    pub(super) fn columns(
        &self,
        span: Span,
        after: Seq,
        share: (u64, usize),
        visit: &mut dyn FnMut(&mut Columns<'_>),
    ) -> Result<(), LogError> {
        let mut reached = after;
        if self.store.works() {
            self.store.columns(span, after, share, &mut |columns| {
                visit(columns);
                self.is_wanted()
            })?;
            reached = reached.max(self.store.sealed());
        }
        if share.0 > 0 || reached >= self.last {
            return Ok(());
        }
        let (mut encoder, mut unpacker, mut body) = (Encoder::new(), Unpacker::new(), Vec::new());
        let mut show = |entries: &[&Entry]| -> Result<(), LogError> {
            let segment = encoder.encode(entries).map_err(StoreError::from)?;
            unpacker.unpack_hot(&segment.hot, &mut body).map_err(StoreError::from)?;
            visit(&mut Columns::read(&body).map_err(StoreError::from)?);
            self.is_wanted()
        };
        let mut entries: Vec<Entry> = Vec::new();
        if reached.next() < self.store.first_fresh(self.last) {
            for entry in self.journaled(reached)? {
                let entry = entry?;
                if self.store.fresh(entry.seq).is_some() {
                    break;
                }
                entries.push(entry);
                if entries.len() == SEGMENT_ENTRIES {
                    show(&entries.iter().collect::<Vec<_>>())?;
                    entries.clear();
                }
            }
            if !entries.is_empty() {
                show(&entries.iter().collect::<Vec<_>>())?;
            }
        }
        let tail: Vec<&Entry> = self.store.tail().iter().map(|entry| &**entry).filter(|entry| entry.seq > reached).collect();
        tail.chunks(SEGMENT_ENTRIES).try_for_each(show)
    }

    /// Both parts of some work on two threads where there is enough of it; else all of it.
    pub(crate) fn on_two_threads<T: Send, E: Send>(&self, work: &(impl Fn((u64, usize)) -> Result<T, E> + Sync)) -> Result<Vec<T>, E> {
        if self.store.segments() < SEGMENTS_FOR_TWO_THREADS {
            return Ok(vec![work((0, 1))?]);
        }
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(|| work((1, 2)));
            (work((0, 2)), other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        Ok(vec![one?, other?])
    }

    /// The first `limit` calls that entries speak of, as they stand, in the order asked; without those that a later entry says otherwise.
    ///
    /// Each may stand in a part of the journal that must be read, so that no more are looked at than are wanted.
    pub(crate) fn calls_at(&self, seqs: &[Seq], limit: usize) -> Result<Vec<(RequestKey, Usage)>, LogError> {
        let mut calls = Vec::new();
        for seq in seqs {
            if calls.len() >= limit {
                break;
            }
            self.is_wanted()?;
            let Some(Entry { key: Some(key), .. }) = self.entry(*seq)? else { continue };
            if let Some(Found { seq: newest, usage: Some(usage), .. }) = self.known(&key)?
                && newest == *seq
            {
                calls.push((key, *usage));
            }
        }
        Ok(calls)
    }

    /// A call as it stands; `None` where the log does not know it.
    pub(crate) fn call(&self, key: &RequestKey) -> Result<Option<(RequestKey, Usage)>, LogError> {
        Ok(self.known(key)?.and_then(|found| Some((found.call, *found.usage?))))
    }

    /// Every entry that speaks of a call, oldest first.
    pub(crate) fn entries_about(&self, key: &RequestKey) -> Result<Vec<Entry>, LogError> {
        let mut entries = Vec::new();
        for seq in self.keys.candidates(key) {
            entries.extend(self.entry(seq?)?.filter(|entry| entry.key == Some(*key)));
        }
        entries.sort_by_key(|entry| entry.seq);
        Ok(entries)
    }

    /// What is counted of a call that was made at an instant: no tokens where nobody can tell them any more, as in a summary. `None` where
    /// nothing is counted of it.
    pub(crate) fn counted(&self, key: &RequestKey, at: Timestamp) -> Result<Option<Option<Tokens>>, LogError> {
        let may_be_summed = self.folded_before.is_some_and(|before| at < before);
        Ok(match self.known(key)? {
            Some(found) => Some(found.usage.map(|usage| usage.tokens)),
            None => may_be_summed.then_some(None),
        })
    }

    /// One entry, whole; `None` where the journal lost it.
    pub(super) fn entry(&self, seq: Seq) -> Result<Option<Entry>, LogError> {
        if let Some(entry) = self.store.fresh(seq) {
            return Ok(Some(Entry::clone(entry)));
        }
        if seq == Seq(0) || seq > self.last {
            return Ok(None);
        }
        let entries = self.segment((seq.0 - 1) / SEGMENT_ENTRIES as u64)?;
        Ok(entries.binary_search_by_key(&seq, |entry| entry.seq).ok().map(|place| entries[place].clone()))
    }

    /// The entries of a sealed segment: from the store where it has them whole, else from the journal.
    fn segment(&self, number: u64) -> Result<Arc<Vec<Entry>>, LogError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, entries)) = opened.segments.iter().find(|(found, _)| *found == number) {
            return Ok(entries.clone());
        }
        let entries = match self.store.segment(number) {
            Ok(Some(entries)) => entries,
            // What the store cannot give, the journal has.
            Ok(None) | Err(_) => self.journaled_segment(number, &mut opened.reading)?,
        };
        let entries = Arc::new(entries);
        if (number + 1) * SEGMENT_ENTRIES as u64 > self.last.0 {
            // It is still being written.
            return Ok(entries);
        }
        opened.segments.truncate(OPENED_SEGMENTS_MAX - 1);
        opened.segments.push_front((number, entries.clone()));
        Ok(entries)
    }

    /// Reads on where the segment before was read: what is told again comes in the order in which it came first.
    fn journaled_segment(&self, number: u64, reading: &mut Option<(u64, Peekable<Lines>)>) -> Result<Vec<Entry>, LogError> {
        let first = number * SEGMENT_ENTRIES as u64 + 1;
        let is_behind =
            |line: &Result<Line, JournalError>| line.as_ref().is_ok_and(|line| line.entry.seq.0 >= first + SEGMENT_ENTRIES as u64);
        let mut kept = reading.take().filter(|(next, _)| *next == number).map(|(_, lines)| lines);
        loop {
            let is_kept = kept.is_some();
            let mut lines = match kept.take() {
                Some(lines) => lines,
                None => self.journal.lines_after(Seq(first - 1))?.peekable(),
            };
            let mut entries = Vec::with_capacity(SEGMENT_ENTRIES);
            while let Some(line) = lines.next_if(|line| !is_behind(line)) {
                match line {
                    Ok(line) => entries.push(line.entry),
                    Err(JournalError::Damaged { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if is_kept && lines.peek().is_none() && entries.len() < SEGMENT_ENTRIES {
                // It ends where the journal ended when it was begun.
                continue;
            }
            *reading = Some((number + 1, lines));
            return Ok(entries);
        }
    }

    /// What the newest entry about a call says of it.
    fn known(&self, key: &RequestKey) -> Result<Option<Found>, LogError> {
        let Some((seq, event)) = self.newest(key)? else { return Ok(None) };
        let call = match event {
            Some(Event::Used { usage } | Event::Restated { after: usage, .. }) => {
                return Ok(Some(Found { seq, call: *key, usage: Some(usage) }));
            }
            Some(Event::Matched { call, .. }) => call,
            Some(
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
                | Event::ProjectRenamed { .. },
            )
            | None => return Ok(Some(Found { seq, call: *key, usage: None })),
        };
        // A client's id leads to a call, and that to none further.
        Ok(Some(match self.newest(&call)? {
            Some((seq, Some(Event::Used { usage } | Event::Restated { after: usage, .. }))) => Found { seq, call, usage: Some(usage) },
            Some((seq, _)) => Found { seq, call, usage: None },
            None => Found { seq, call, usage: None },
        }))
    }

    /// The newest entry with a key, and its event; no event where the journal lost it.
    fn newest(&self, key: &RequestKey) -> Result<Option<(Seq, Option<Event>)>, LogError> {
        for seq in self.keys.candidates(key) {
            let seq = seq?;
            match self.entry(seq)? {
                // Two calls whose keys begin alike are rarer than a lost line, and counting one twice is worse than missing one.
                None => return Ok(Some((seq, None))),
                Some(Entry { key: Some(found), event, .. }) if found == *key => return Ok(Some((seq, Some(event)))),
                // Its counts were rescued without its ids: it is in every sum, and nothing can be added to it.
                Some(Entry { key: Some(found), .. }) if found == key.rescued() => return Ok(Some((seq, None))),
                Some(_) => {}
            }
        }
        Ok(None)
    }

    /// Folds every entry under a tariff, on two threads where there is enough of them.
    pub(super) fn fold_under(&self, tariff: &Arc<Tariff>) -> Result<Projections, LogError> {
        let share = |part: (u64, usize)| -> Result<(Projections, Vec<Entry>), LogError> {
            let mut projections = Projections::under(tariff.clone());
            // Budgets are set and given up in an order that a share does not have.
            let mut others = Vec::new();
            self.columns(Span::ALWAYS, Seq(0), part, &mut |columns| {
                others.append(&mut columns.others);
                projections.apply_columns(columns);
            })?;
            Ok((projections, others))
        };
        let mut shares = self.on_two_threads(&share)?.into_iter();
        let (mut projections, mut others) = shares.next().unwrap_or_else(|| (Projections::under(tariff.clone()), Vec::new()));
        for (other, more) in shares {
            projections.absorb(other);
            others.extend(more);
        }
        others.sort_by_key(|entry| entry.seq);
        others.iter().for_each(|entry| projections.apply(entry));
        projections.folded_up_to(self.last);
        Ok(projections)
    }

    /// The digest of every entry up to one: what a checkpoint of them bears.
    pub(super) fn digest(&self, up_to: Seq) -> Result<[u8; DIGEST_BYTES], LogError> {
        let whole = (up_to.0 / SEGMENT_ENTRIES as u64).min(self.store.segments());
        let digest = self.store.digest(whole)?;
        let first = Seq(whole * SEGMENT_ENTRIES as u64 + 1);
        if up_to < first {
            return Ok(digest.0);
        }
        if let Some(entries) = (first.0..=up_to.0).map(|seq| self.store.fresh(Seq(seq))).collect::<Option<Vec<_>>>() {
            return Ok(digest.and_entries(entries.into_iter().map(|entry| &**entry)).0);
        }
        let entries = self.segment(whole)?;
        Ok(digest.and_entries(entries.iter().take_while(|entry| entry.seq <= up_to)).0)
    }

    /// What the log holds under a key, and the key of the call that it leads to.
    pub(super) fn held(&self, key: RequestKey) -> Result<(RequestKey, Known), LogError> {
        Ok(match self.known(&key)? {
            None => (key, Known::Not),
            Some(Found { call, usage: None, .. }) => (call, Known::Lost),
            Some(Found { call, usage: Some(usage), .. }) => (call, Known::As(usage)),
        })
    }
}

#[cfg(test)]
mod tests;
