//! The append-only log: a journal of files (the copy that is trusted) and a store in sled (the copy that is read).
//!
//! A batch is written to the journal and fsynced; then it is acknowledged; then it goes to the store. What the store lacks
//! is replayed from the journal when the log is opened. One process opens a log; an entry, once written, is never changed.

mod at;
mod backup;
mod beside;
mod digest;
mod draft;
mod folder;
mod journal;
mod keys;
mod recover;
mod rescue;
mod retention;
pub(crate) mod segment;
mod snapshot;
mod store;
mod unmatched;
mod upkeep;

use crate::{Entry, Event, MatchedBy, PriceBook, Projections, RequestKey, Said, Seq, Sighting, Span, Tariff, Timestamp, Usage};
use digest::DIGEST_BYTES;
use folder::{make_private_folder, private_options, take_lock, write_whole};
use journal::{Encoder, Journal, LineRef};
use keys::KeyIndex;
use rustc_hash::FxHashSet;
use snapshot::Opened;
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use store::{SEGMENT_ENTRIES, Store, WHOLE_SEGMENTS};
use unmatched::Unmatched;

pub use backup::{Backup, backup};
pub use beside::{Finished, Rebuild, Rebuilt, Refolded, Refolding};
pub use journal::{JournalError, Tidied, Tidy};
pub use keys::KeysError;
pub use retention::{FoldedLog, Folding};
pub use snapshot::Snapshot;
pub use store::{StoreError, is_handled_panic};
pub use upkeep::{JournalReader, LogSize, Verified, archive, devices, journals};

/// The greatest number of facts in one batch, and so in one frame of the journal.
pub const BATCH_FACTS_MAX: usize = 4096;
/// Smaller batches are written on one thread.
const LINES_FOR_TWO_THREADS: usize = 1024;

/// What is to be written.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A call was seen. Becomes `Used`, `Restated` or, if it says nothing new, no entry at all.
    Seen(Box<Sighting>),
    /// A meter that was corrected counts a known call otherwise than before. Becomes `Restated`, or nothing if it says the same.
    Remetered {
        /// The call.
        key: RequestKey,
        /// As what it was known when it was metered again. Nothing is written where it is known otherwise by now; `None`: whatever it was.
        before: Option<Box<Usage>>,
        /// What is right.
        after: Box<Usage>,
        /// Whose word it is.
        said: Said,
    },
    /// Another log found that what it has under a client's id is a call. Becomes `Matched`, and with it `Restated` where that says more;
    /// nothing where it is known, or the call is not.
    Matched {
        /// The key of the client's id.
        key: RequestKey,
        /// The call.
        call: RequestKey,
        /// By what it was known.
        by: MatchedBy,
    },
    /// Any other event, written as it is.
    Event(Event),
}

/// Why the log cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another process has it open.
    #[error("the log in {folder} is held by another tollbar (pid {pid})")]
    Held {
        /// The folder of the log.
        folder: PathBuf,
        /// The process, as it wrote itself down.
        pid: String,
    },
    /// The folder or a file in it cannot be used.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The key index cannot be written.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The store cannot be read or written, and rebuilding it did not help.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The asker is gone, so that nothing more was read for it.
    #[error("nobody waits for the answer any more")]
    Unwanted,
    /// What was made of the log comes to other totals, and was thrown away.
    #[error("the log in {folder} does not come to the same totals when it is folded, and stays as it is")]
    Unequal {
        /// The folder of the log.
        folder: PathBuf,
    },
}

impl LogError {
    /// What a user can do about it.
    pub fn hint(&self) -> String {
        match self {
            LogError::Held { .. } => "run `tollbar status`, or stop it with `tollbar stop`".into(),
            LogError::Io { path, .. } => format!("check that {} exists, has room and belongs to you", path.display()),
            LogError::Journal(error) => error.hint(),
            LogError::Keys(_) => "make room on the disk that holds it, or remove the folder `keys`, which is made again".into(),
            LogError::Store(error) if error.is_no_room() => {
                "make room on the disk that holds it; nothing that was acknowledged is lost".into()
            }
            LogError::Unwanted => String::new(),
            LogError::Unequal { .. } => {
                "run `tollbar ledger verify`, then `tollbar ledger rebuild`: journal and store may not agree".into()
            }
            LogError::Store(_) => "the journal is whole; move the folder `store` aside and start again to rebuild it".into(),
        }
    }
}

/// The log, open and ours.
pub struct Log {
    folder: PathBuf,
    device: String,
    journal: Journal,
    encoder: Encoder,
    store: Store,
    keys: KeyIndex,
    /// For calls that are told again in the order in which they came.
    opened: Arc<Mutex<Opened>>,
    /// Made when it is first needed.
    unmatched: Option<Unmatched>,
    last: Seq,
    /// Calls made before then stand in summaries.
    folded_before: Option<Timestamp>,
    /// How many sightings of them were refused since the log was opened.
    refused: u64,
    mended: Arc<Vec<String>>,
    /// How often the store was made anew since the log was opened.
    stores: u32,
    /// Whether the store has other entries than those that projections were folded from, since it was made anew.
    is_to_be_folded: bool,
    /// Up to where the checkpoint on the disk goes.
    checkpointed: Seq,
    /// Held for as long as the log is open or anybody reads of it; the system lets go of it even if we are killed.
    lock: Arc<File>,
}

impl Log {
    /// Opens the log in `folder`, or begins one. `device` names this machine's own part of the journal.
    ///
    /// Mends what it can: a torn end of the journal is cut off and kept beside it, a store that lacks entries is completed,
    /// one that does not open is moved aside and rebuilt. [`Log::mended`] tells what was done.
    pub fn open(folder: &Path, device: &str) -> Result<Log, LogError> {
        make_private_folder(folder)?;
        let lock = take_lock(folder)?;
        let mut mended = Vec::new();
        if retention::finish(folder)? {
            mended.push("what an interrupted folding of the log had left was put in order".to_owned());
        }
        beside::remove_left_over(folder);
        // What was being written when a process was killed.
        let _ = fs::remove_file(checkpoint_path(folder).with_extension("new"));
        let journal = Journal::open(&folder.join("journal").join(device), &mut mended)?;
        let store = recover::open_store(&folder.join("store"), &mut mended);
        let keys = KeyIndex::open(&folder.join("keys"), journal.last().max(store.now().last()))?;
        let mut log = Log {
            folder: folder.to_owned(),
            device: device.to_owned(),
            journal,
            encoder: Encoder::default(),
            store,
            keys,
            opened: Arc::default(),
            unmatched: None,
            last: Seq(0),
            folded_before: None,
            refused: 0,
            mended: Arc::new(mended),
            stores: 0,
            is_to_be_folded: false,
            checkpointed: Seq(0),
            lock: Arc::new(lock),
        };
        log.catch_up()?;
        log.folded_before = log.read_folded_before()?;
        Ok(log)
    }

    /// What the first entry says, if it speaks of that.
    fn read_folded_before(&self) -> Result<Option<Timestamp>, LogError> {
        let first = match self.store.now().first() {
            Ok(first) if self.store.works() => first,
            Ok(_) | Err(_) => self.now().journaled(Seq(0))?.next().transpose()?,
        };
        Ok(match first.map(|entry| entry.event) {
            Some(Event::Folded { before }) => Some(before),
            Some(
                Event::Used { .. }
                | Event::Restated { .. }
                | Event::BudgetSet { .. }
                | Event::BudgetRemoved { .. }
                | Event::AlertRaised { .. }
                | Event::PriceBookAdopted { .. }
                | Event::PriceSet { .. }
                | Event::PriceUnset { .. }
                | Event::PricesMultiplied { .. }
                | Event::Summarised { .. }
                | Event::Lost
                | Event::Matched { .. }
                | Event::ProjectRenamed { .. },
            )
            | None => None,
        })
    }

    /// Opens the log and folds it: from the checkpoint on if there is one that fits, else from the beginning.
    ///
    /// A store that cannot be read is made again from the journal, once.
    pub fn open_folded(folder: &Path, device: &str, book: &Arc<PriceBook>) -> Result<(Log, Projections), LogError> {
        let mut log = Log::open(folder, device)?;
        let projections = match log.fold(book) {
            Ok(projections) => projections,
            Err(_) => {
                log.rebuild()?;
                log.fold(book)?
            }
        };
        Ok((log, projections))
    }

    /// What was mended when the log was opened, one sentence each.
    pub fn mended(&self) -> &[String] {
        &self.mended
    }

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

    /// How many sightings were refused since the log was opened: of calls that it does not know, and that may stand in summaries.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Closes the log, and stays the one who may open it.
    fn into_lock(self) -> Arc<File> {
        self.lock
    }

    /// The log as it stands, for whoever asks: in some microseconds, and to be read beside the writing.
    pub fn snapshot(&self) -> Snapshot {
        // Of its own, so that nobody who writes waits for somebody who reads.
        Snapshot { opened: Arc::default(), ..self.now() }
    }

    /// The log as it stands, for its owner.
    fn now(&self) -> Snapshot {
        Snapshot {
            folder: self.folder.clone(),
            device: self.device.clone(),
            journal: self.journal.clone(),
            store: self.store.now().clone(),
            keys: self.keys.clone(),
            opened: self.opened.clone(),
            last: self.last,
            folded_before: self.folded_before,
            mended: self.mended.clone(),
            stores: self.stores,
            implied: Arc::default(),
            asker: None,
            _lock: self.lock.clone(),
        }
    }

    /// Notes what was mended, in a sentence.
    fn mend(&mut self, sentence: String) {
        Arc::make_mut(&mut self.mended).push(sentence);
    }

    /// Adds to what was mended, in a sentence: what the opener had to put right before.
    pub fn note(&mut self, sentence: String) {
        self.mend(sentence);
    }

    /// The bytes of the journal on disk.
    pub fn journal_bytes(&self) -> u64 {
        self.journal.bytes()
    }

    /// Writes at most [`BATCH_FACTS_MAX`] facts and says what entries became of them. When it returns, they are on the disk.
    ///
    /// Takes the facts out of the list. On an error nothing was written, and the list holds them again, as far as they were news. Only the
    /// journal must be written for it; a key index that cannot be read is made anew before.
    pub fn append(&mut self, facts: &mut Vec<Fact>, now: Timestamp) -> Result<Vec<Arc<Entry>>, LogError> {
        match self.append_beside(facts, now) {
            Err(LogError::Keys(_)) => {
                self.fresh_keys()?;
                self.append_beside(facts, now)
            }
            done => done,
        }
    }

    /// The same for a writer that others wait for: where the key index cannot be read, that is the error, and [`Log::rebuilding`] is the way
    /// out.
    pub fn append_beside(&mut self, facts: &mut Vec<Fact>, now: Timestamp) -> Result<Vec<Arc<Entry>>, LogError> {
        assert!(facts.len() <= BATCH_FACTS_MAX, "a batch has a bound, so that a frame of the journal has one");
        let drafted = self.draft(facts, now)?;
        let draft::Drafted { lines, refused } = drafted;
        match self.write_lines(&lines, now) {
            Ok(()) => {}
            Err(error) => {
                // It has seen what was not written.
                self.unmatched = None;
                facts.extend(lines.into_iter().map(draft::Line::into_fact));
                return Err(error);
            }
        }
        self.refused += refused;
        // The batch is safe in the journal. What store and index fail to take, they get at the next batch or the next opening.
        let entries: Vec<Arc<Entry>> = lines.into_iter().map(|line| line.entry).collect();
        for entry in &entries {
            // What cannot be written now stays in memory, and is tried with the next batch.
            let _ = self.keys.add(entry);
        }
        self.last = Seq(self.last.0 + entries.len() as u64);
        self.store.put(entries.iter().cloned());
        Ok(entries)
    }

    /// Writes lines to the journal. When it returns, they are on the disk. While the disk takes many, what the store will write of them is
    /// made ready.
    fn write_lines(&mut self, lines: &[draft::Line], now: Timestamp) -> Result<(), LogError> {
        let texts: Vec<LineRef<'_>> =
            lines.iter().map(|line| LineRef { entry: &line.entry, said: line.said.as_ref(), rescued: false }).collect();
        let Some(batch) = self.encoder.encode(&texts)? else { return Ok(()) };
        let Log { journal, store, .. } = self;
        if lines.len() < LINES_FOR_TWO_THREADS {
            return Ok(journal.append(&batch, now)?);
        }
        let journaled = std::thread::scope(|scope| {
            let ready = scope.spawn(|| store.make_ready(lines.iter().map(|line| &*line.entry)));
            let journaled = journal.append(&batch, now);
            ready.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            journaled
        });
        Ok(journaled.inspect_err(|_| store.forget_ready())?)
    }

    /// Writes lines to the journal. When it returns, they are on the disk.
    fn write(&mut self, lines: &[LineRef<'_>], now: Timestamp) -> Result<(), LogError> {
        if let Some(batch) = self.encoder.encode(lines)? {
            self.journal.append(&batch, now)?;
        }
        Ok(())
    }

    /// Folds the log: what the checkpoint lacks, or everything.
    pub fn fold(&mut self, book: &Arc<PriceBook>) -> Result<Projections, LogError> {
        if let Some(mut projections) = self.read_checkpoint(book) {
            let after = projections.up_to();
            self.now().columns(Span::ALWAYS, after, (0, 1), &mut |columns| projections.apply_columns(columns))?;
            self.is_to_be_folded = false;
            return Ok(self.refolded(&projections)?.unwrap_or(projections));
        }
        let mut projections = self.fold_all(book)?;
        projections.settle();
        self.is_to_be_folded = false;
        Ok(projections)
    }

    /// Folds every entry.
    pub fn fold_all(&self, book: &Arc<PriceBook>) -> Result<Projections, LogError> {
        let projections = self.now().fold_under(&Arc::new(Tariff::of(book.clone())))?;
        Ok(self.refolded(&projections)?.unwrap_or(projections))
    }

    /// Folds every entry again if some spoke of prices under which it was not folded; `None` where none did.
    pub fn refolded(&self, projections: &Projections) -> Result<Option<Projections>, LogError> {
        let Some(tariff) = projections.next_tariff() else { return Ok(None) };
        let mut again = self.now().fold_under(&tariff)?;
        again.settle();
        Ok(Some(again))
    }

    /// The checkpoint on the disk, if it was folded from exactly the entries that the log has, under this very book.
    fn read_checkpoint(&mut self, book: &Arc<PriceBook>) -> Option<Projections> {
        let mut file = File::open(checkpoint_path(&self.folder)).ok()?;
        let mut digest = [0; DIGEST_BYTES];
        file.read_exact(&mut digest).ok()?;
        let projections = Projections::from_checkpoint(book.clone(), file)?;
        let up_to = projections.up_to();
        if up_to > self.last || digest != self.now().digest(up_to).ok()? {
            return None;
        }
        self.checkpointed = up_to;
        Some(projections)
    }

    /// Writes a checkpoint of what is folded up to now, so that the next opening need not replay. A failure costs only that.
    pub fn checkpoint(&mut self, projections: &mut Projections) -> io::Result<()> {
        // What is not folded under the prices that were heard of is no checkpoint.
        let is_of_this_log = projections.up_to() == self.last && projections.next_tariff().is_none() && !self.is_to_be_folded;
        if self.checkpointed == self.last || !is_of_this_log {
            return Ok(());
        }
        let Ok(digest) = self.now().digest(self.last) else { return Ok(()) };
        write_whole(&checkpoint_path(&self.folder), &[&digest[..], &projections.to_checkpoint()].concat())?;
        self.checkpointed = self.last;
        Ok(())
    }

    /// How many entries an opening would have to fold on top of the checkpoint.
    pub fn since_checkpoint(&self) -> u64 {
        self.last.0 - self.checkpointed.0
    }

    /// What makes the journal smaller now, if anything is worth it: work for any thread, then [`Log::tidied`].
    pub fn tidy(&self) -> Result<Option<Tidy>, LogError> {
        Ok(Tidy::begin(&self.journal)?)
    }

    /// Puts a file that was made smaller in its place.
    pub fn tidied(&mut self, tidied: Tidied) -> Result<(), LogError> {
        Ok(self.journal.finish(tidied)?)
    }

    /// Writes out what is held in memory, so that the next opening has nothing to catch up on.
    pub fn flush(&mut self) -> Result<(), LogError> {
        self.encoder.rest();
        self.opened = Arc::default();
        let Log { store, keys, .. } = self;
        // Each waits for the disk.
        let (flushed, settled) = std::thread::scope(|scope| {
            let settled = scope.spawn(|| keys.settle());
            (store.flush(), settled.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        flushed?;
        Ok(settled?)
    }

    /// What entries the facts become. Takes the facts out of the list; on an error the list holds them again.
    fn draft(&mut self, facts: &mut Vec<Fact>, now: Timestamp) -> Result<draft::Drafted, LogError> {
        // Given back before the entries come, so that nothing is copied for it.
        let as_it_stands = self.now();
        let mut met = FxHashSet::default();
        let held = facts.iter().map(|fact| draft::Held::of(fact, &mut met, |key| as_it_stands.held(key))).collect::<Result<Vec<_>, _>>()?;
        let mut unmatched = self.unmatched.take();
        let drafting = draft::Drafting {
            device: &self.device,
            folded_before: self.folded_before,
            last: self.last,
            now,
            unmatched: &mut unmatched,
            newest_unmatched: &|| self.newest_unmatched(),
            known: &|key| as_it_stands.held(key),
        };
        match drafting.lines(facts.drain(..).zip(held)) {
            Ok(drafted) => {
                self.unmatched = unmatched;
                Ok(drafted)
            }
            Err((error, undone)) => {
                *facts = undone;
                Err(error)
            }
        }
    }

    /// The calls among the newest entries that lack their counterpart: among those that the store has whole.
    fn newest_unmatched(&self) -> Result<Unmatched, LogError> {
        let mut unmatched = Unmatched::default();
        let after = self.last.0.saturating_sub(WHOLE_SEGMENTS * SEGMENT_ENTRIES as u64);
        for entry in self.store.now().entries_after(Seq(after)) {
            match entry {
                Ok(entry) => unmatched.see(&entry),
                Err(_) => return self.journaled_unmatched(Seq(after)),
            }
        }
        Ok(unmatched)
    }

    /// The same where the store cannot tell them.
    fn journaled_unmatched(&self, after: Seq) -> Result<Unmatched, LogError> {
        let mut unmatched = Unmatched::default();
        for entry in self.now().journaled(after)? {
            unmatched.see(&entry?);
        }
        Ok(unmatched)
    }
}

fn checkpoint_path(folder: &Path) -> PathBuf {
    folder.join("checkpoint")
}

/// Shows entries that follow each other as the columns that folding reads.
#[cfg(test)]
pub(crate) fn with_columns<R>(entries: &[Entry], visit: impl FnOnce(&segment::Columns<'_>) -> R) -> R {
    use segment::Columns;
    if entries.is_empty() {
        return visit(&Columns::default());
    }
    let segment = segment::Encoder::new().encode(entries).expect("few entries fit");
    let mut body = Vec::new();
    segment::Unpacker::new().unpack_hot(&segment.hot, &mut body).expect("it was packed just now");
    visit(&Columns::read(&body).expect("it was written just now"))
}

/// For the fuzzers: reads any bytes as parts of a journal and of a segment.
pub(crate) fn read_any(bytes: &[u8]) {
    journal::read_any(bytes);
    segment::read_any(bytes);
}

#[cfg(test)]
mod tests;
