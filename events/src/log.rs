//! The append-only log: a journal of files (the copy that is trusted) and a store in sled (the copy that is read).
//!
//! A batch is written to the journal and fsynced; then it is acknowledged; then it goes to the store. What the store lacks
//! is replayed from the journal when the log is opened. One process opens a log; an entry, once written, is never changed.

mod journal;
pub(crate) mod segment;
mod store;
mod tail;

use crate::{Entry, Event, RequestKey, Seq, Sighting, Source, Span, Timestamp, Usage};
use journal::{Journal, Line};
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};
use store::Store;

pub use journal::JournalError;
use segment::Columns;
pub use store::StoreError;
#[cfg(test)]
pub(crate) use tail::with_columns;
#[cfg(not(test))]
use tail::with_columns;

/// The greatest number of facts in one batch, and so in one frame of the journal.
pub const BATCH_FACTS_MAX: usize = 4096;

/// What is to be written.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A call was seen. Becomes `Used`, `Restated` or, if it says nothing new, no entry at all.
    Seen(Box<Sighting>),
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
    /// The store cannot be read or written, and rebuilding it did not help.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LogError {
    /// What a user can do about it.
    pub fn hint(&self) -> String {
        match self {
            LogError::Held { .. } => "run `tollbar status`, or stop it with `tollbar stop`".into(),
            LogError::Io { path, .. } => format!("check that {} exists, has room and belongs to you", path.display()),
            LogError::Journal(error) => error.hint(),
            LogError::Store(error) if error.is_no_room() => {
                "make room on the disk that holds it; nothing that was acknowledged is lost".into()
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
    store: Store,
    last: Seq,
    mended: Vec<String>,
    /// Held for as long as the log is open; the system lets go of it even if we are killed.
    _lock: File,
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
        let journal = Journal::open(&folder.join("journal").join(device), &mut mended)?;
        let store = open_store(&folder.join("store"), &mut mended)?;
        let mut log = Log { folder: folder.to_owned(), device: device.to_owned(), journal, store, last: Seq(0), mended, _lock: lock };
        log.catch_up()?;
        Ok(log)
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

    /// What this machine's own part of the journal is called, and so the device of every call that names none.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The bytes of the journal on disk.
    pub fn journal_bytes(&self) -> u64 {
        self.journal.bytes()
    }

    /// Writes at most [`BATCH_FACTS_MAX`] facts and says what entries became of them. When it returns, they are on the disk.
    ///
    /// On an error nothing was written.
    pub fn append(&mut self, facts: &[Fact], now: Timestamp) -> Result<Vec<Entry>, LogError> {
        assert!(facts.len() <= BATCH_FACTS_MAX, "a batch has a bound, so that a frame of the journal has one");
        self.heal()?;
        let lines = self.lines(facts, now)?;
        self.journal.append(&lines, now)?;
        let entries: Vec<Entry> = lines.into_iter().map(|line| line.entry).collect();
        self.last = entries.last().map_or(self.last, |entry| entry.seq);
        // The batch is safe in the journal. What the store fails to take, it gets at the next batch or the next opening.
        self.store.put(&entries);
        Ok(entries)
    }

    /// Every entry, oldest first.
    pub fn replay(&self) -> impl Iterator<Item = Result<Entry, LogError>> + '_ {
        let mut expected = Seq(1);
        self.store.entries().map(move |entry| {
            let entry = entry?;
            if entry.seq != expected {
                return Err(StoreError::Gap { expected, found: entry.seq }.into());
            }
            expected = expected.next();
            Ok(entry)
        })
    }

    /// Visits the numbers of every entry that may speak of a call in a span, oldest first. Some of what is visited lies outside of it.
    pub(crate) fn fold_columns(&self, _span: Span, visit: &mut dyn FnMut(&Columns<'_>)) -> Result<(), LogError> {
        let mut entries = self.replay();
        loop {
            let some: Vec<Entry> = entries.by_ref().take(BATCH_FACTS_MAX).collect::<Result<_, _>>()?;
            if some.is_empty() {
                return Ok(());
            }
            with_columns(&some, |columns| visit(columns));
        }
    }

    /// The calls that entries speak of, in the order asked; those entries are left out that a later one about the same call has restated.
    pub(crate) fn calls_at(&self, wanted: &[Seq]) -> Result<Vec<(RequestKey, Usage)>, LogError> {
        let mut newest: HashMap<RequestKey, (Seq, Usage)> = HashMap::new();
        for entry in self.replay() {
            let entry = entry?;
            if let (Some(key), Event::Used { usage } | Event::Restated { after: usage, .. }) = (entry.key, entry.event) {
                newest.insert(key, (entry.seq, *usage));
            }
        }
        let mut at: HashMap<Seq, (RequestKey, Usage)> = newest.into_iter().map(|(key, (seq, usage))| (seq, (key, usage))).collect();
        Ok(wanted.iter().filter_map(|seq| at.remove(seq)).collect())
    }

    /// Opens the store again if it has stopped working, as after a full disk, and completes it from the journal.
    pub fn heal(&mut self) -> Result<(), LogError> {
        if self.store.works() {
            return Ok(());
        }
        self.store.close();
        self.store = open_store(&self.folder.join("store"), &mut self.mended)?;
        self.catch_up()
    }

    /// Replaces the store by a fresh one made from the journal. Recovery, when replaying fails.
    pub fn rebuild(&mut self) -> Result<(), LogError> {
        let folder = self.folder.join("store");
        self.store.close();
        let aside = set_aside(&folder)?;
        self.mended.push(format!("the store was damaged; it was moved to {} and rebuilt from the journal", aside.display()));
        self.store = Store::open(&folder)?;
        self.catch_up()
    }

    /// Writes out what the store holds in memory, so that the next opening has nothing to catch up on.
    pub fn flush(&mut self) -> Result<(), LogError> {
        Ok(self.store.flush()?)
    }

    /// Replays from the journal what the store lacks.
    fn catch_up(&mut self) -> Result<(), LogError> {
        let stored = self.store.last()?;
        let journaled = self.journal.last();
        if stored > journaled {
            // A store ahead of its journal means that journal files are gone. Its entries were acknowledged, so they go back.
            self.restore_journal(journaled)?;
        }
        let mut missing = 0u64;
        let mut batch = Vec::with_capacity(BATCH_FACTS_MAX);
        let mut lines = self.journal.lines_after(stored)?;
        loop {
            batch.clear();
            for line in lines.by_ref().take(BATCH_FACTS_MAX) {
                batch.push(line?.entry);
            }
            if batch.is_empty() {
                break;
            }
            missing += batch.len() as u64;
            self.store.put(&batch);
            self.store.settled()?;
        }
        drop(lines);
        if missing > 0 {
            self.mended.push(format!("the store lacked the newest {missing} entries; they were taken from the journal"));
        }
        self.last = stored.max(self.journal.last());
        Ok(())
    }

    fn restore_journal(&mut self, journaled: Seq) -> Result<(), LogError> {
        let mut restored = 0usize;
        let mut lines = Vec::new();
        for entry in self.store.entries_after(journaled) {
            let entry = entry?;
            lines.push(Line { entry, said: None });
            if lines.len() == BATCH_FACTS_MAX {
                restored += lines.len();
                self.journal.append(&lines, lines[0].entry.recorded_at)?;
                lines.clear();
            }
        }
        if let Some(first) = lines.first() {
            restored += lines.len();
            self.journal.append(&lines, first.entry.recorded_at)?;
        }
        self.mended.push(format!("the journal lacked {restored} entries that the store had; they were written to it again"));
        Ok(())
    }

    /// What entries the facts become.
    fn lines(&self, facts: &[Fact], now: Timestamp) -> Result<Vec<Line>, LogError> {
        let mut lines: Vec<Line> = Vec::with_capacity(facts.len());
        // What this batch has said of a call already, which the store does not know yet.
        let mut said_here: HashMap<RequestKey, Usage> = HashMap::new();
        let mut seq = self.last;
        let mut push = |key, event, said| {
            seq = seq.next();
            lines.push(Line { entry: Entry { seq, recorded_at: now, key, event }, said });
        };
        for fact in facts {
            match fact {
                Fact::Event(event) => push(None, event.clone(), None),
                Fact::Seen(sighting) => {
                    let known = |key: &RequestKey| match said_here.get(key) {
                        Some(usage) => Ok(Some(usage.clone())),
                        None => self.store.usage(key),
                    };
                    if let Some((key, event, after)) = state(&sighting.usage, known)? {
                        said_here.insert(key, after);
                        push(Some(key), event, sighting.said.clone());
                    }
                }
            }
        }
        Ok(lines)
    }
}

/// What a sighting adds to what is known of its call: the event to write and the call as it then stands; `None` for nothing new.
///
/// `known` says what the log holds under a key.
fn state<E>(seen: &Usage, known: impl Fn(&RequestKey) -> Result<Option<Usage>, E>) -> Result<Option<(RequestKey, Event, Usage)>, E> {
    let Some(mut key) = seen.key() else {
        return Ok(None);
    };
    let mut before = known(&key)?;
    if let (Some(other), Some(carried)) = (&before, seen.carried)
        && is_another_call(other, seen)
    {
        key = key.carried_by(carried);
        before = known(&key)?;
    }
    let Some(before) = before else {
        return Ok(Some((key, Event::Used { usage: Box::new(seen.clone()) }, seen.clone())));
    };
    let after = before.merged(seen);
    if after == before {
        return Ok(None);
    }
    Ok(Some((key, Event::Restated { before: Box::new(before), after: Box::new(after.clone()) }, after)))
}

/// Whether the proxy carried two calls to which a careless server gave one id (a local server that says `chatcmpl-0`, a stand-in).
///
/// Providers never give one id to two calls, and a second look at an answer (`GET`) is not marked as carried.
fn is_another_call(known: &Usage, seen: &Usage) -> bool {
    let by_proxy = |usage: &Usage| usage.sources.has(Source::Proxy) || usage.sources.has(Source::Connect);
    by_proxy(known) && by_proxy(seen) && known.carried.is_some() && known.carried != seen.carried
}

/// Opens the store, or a fresh one if it does not open. A full disk is no reason to give it up.
fn open_store(folder: &Path, mended: &mut Vec<String>) -> Result<Store, LogError> {
    match Store::open(folder) {
        Ok(store) => Ok(store),
        Err(error) if error.is_no_room() => Err(error.into()),
        Err(error) => {
            let aside = set_aside(folder)?;
            mended.push(format!("the store did not open ({error}); it was moved to {} and rebuilt from the journal", aside.display()));
            Ok(Store::open(folder)?)
        }
    }
}

fn take_lock(folder: &Path) -> Result<File, LogError> {
    let path = folder.join("lock");
    let io = |source| LogError::Io { path: path.clone(), source };
    let mut file = private_options().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The number is a courtesy to the reader; a file that cannot be read says nothing.
            let _ = Read::take(&file, 20).read_to_string(&mut pid);
            let pid = if pid.trim().is_empty() { "unknown".into() } else { pid.trim().to_owned() };
            return Err(LogError::Held { folder: folder.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id())).map_err(io)?;
    Ok(file)
}

/// Moves a folder to a free name beside it, so that nothing is ever deleted.
fn set_aside(folder: &Path) -> Result<PathBuf, LogError> {
    let mut aside = folder.with_extension("broken");
    let mut number = 1;
    while aside.exists() {
        number += 1;
        aside = folder.with_extension(format!("broken-{number}"));
    }
    fs::rename(folder, &aside).map_err(|source| LogError::Io { path: folder.to_owned(), source })?;
    Ok(aside)
}

fn make_private_folder(folder: &Path) -> Result<(), LogError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|source| LogError::Io { path: folder.to_owned(), source })
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests;
