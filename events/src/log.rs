//! The append-only log: a journal of files (the copy that is trusted) and a store in sled (the copy that is read).
//!
//! A batch is written to the journal and fsynced; then it is acknowledged; then it goes to the store. What the store lacks
//! is replayed from the journal when the log is opened. One process opens a log; an entry, once written, is never changed.

mod folder;
mod journal;
mod keys;
mod recover;
pub(crate) mod segment;
mod store;
mod upkeep;

use crate::{Entry, Event, PriceBook, Projections, RequestKey, Said, Seq, Sighting, Source, Span, Timestamp, Usage, wire};
use folder::{make_private_folder, private_options, take_lock, write_whole};
use journal::{Encoder, Journal, LineRef};
use keys::KeyIndex;
use segment::Columns;
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, VecDeque},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use store::{SEGMENT_ENTRIES, Store};

pub use journal::{JournalError, Tidied, Tidy};
pub use keys::KeysError;
pub use store::StoreError;
pub use upkeep::{JournalReader, LogSize, Verified, archive, backup, devices};

/// The greatest number of facts in one batch, and so in one frame of the journal.
pub const BATCH_FACTS_MAX: usize = 4096;
/// Fewer segments are folded before a second thread is up.
const SEGMENTS_FOR_TWO_THREADS: u64 = 32;
const DIGEST_BYTES: usize = 16;
/// Segments that are kept read whole.
const OPENED_SEGMENTS_MAX: usize = 4;

/// What is to be written.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A call was seen. Becomes `Used`, `Restated` or, if it says nothing new, no entry at all.
    Seen(Box<Sighting>),
    /// A meter that was corrected counts a known call otherwise than before. Becomes `Restated`, or nothing if it says the same.
    Remetered {
        /// The call.
        key: RequestKey,
        /// What is right.
        after: Box<Usage>,
        /// Whose word it is.
        said: Said,
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
    /// Segments that were read whole, for calls that are told again in the order in which they came.
    opened: Mutex<VecDeque<(u64, Arc<Vec<Entry>>)>>,
    last: Seq,
    mended: Vec<String>,
    /// While the store is made anew: what the old one had of entries that the journal lost.
    rescued: BTreeMap<Seq, Entry>,
    healings: u32,
    /// Up to where the checkpoint on the disk goes.
    checkpointed: Seq,
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
        let store = recover::open_store(&folder.join("store"), &mut mended)?;
        let keys = KeyIndex::open(&folder.join("keys"), journal.last().max(store.last()))?;
        let mut log = Log {
            folder: folder.to_owned(),
            device: device.to_owned(),
            journal,
            encoder: Encoder::default(),
            store,
            keys,
            opened: Mutex::default(),
            last: Seq(0),
            mended,
            rescued: BTreeMap::new(),
            healings: 0,
            checkpointed: Seq(0),
            _lock: lock,
        };
        log.catch_up()?;
        Ok(log)
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
        let lines = match self.lines(facts, now) {
            Ok(lines) => lines,
            // What is known of a call could not be read. Both are made from the journal, which can.
            Err(LogError::Keys(_)) => {
                self.fresh_keys()?;
                self.lines(facts, now)?
            }
            Err(LogError::Store(error)) if self.store.works() => {
                self.mended.push(error.to_string());
                self.rebuild()?;
                self.lines(facts, now)?
            }
            Err(error) => return Err(error),
        };
        let Some(last) = lines.last().map(|(entry, _)| entry.seq) else { return Ok(Vec::new()) };
        let texts: Vec<LineRef<'_>> = lines.iter().map(|(entry, said)| LineRef { entry, said: said.as_ref() }).collect();
        self.write(&texts, now)?;
        // The batch is safe in the journal. What store and index fail to take, they get at the next batch or the next opening.
        let entries: Vec<Entry> = lines.into_iter().map(|(entry, _)| entry).collect();
        for entry in &entries {
            // What cannot be written now stays in memory, and is tried with the next batch.
            let _ = self.keys.add(entry);
        }
        self.last = last;
        self.store.put(entries.clone());
        Ok(entries)
    }

    /// Writes lines to the journal. When it returns, they are on the disk.
    fn write(&mut self, lines: &[LineRef<'_>], now: Timestamp) -> Result<(), LogError> {
        if let Some(batch) = self.encoder.encode(lines)? {
            self.journal.append(&batch, now)?;
        }
        Ok(())
    }

    /// Every entry, oldest first, from the journal; where that is damaged, from the store if it has them whole. After an error that says
    /// where the journal is damaged it goes on.
    pub fn replay(&self) -> impl Iterator<Item = Result<Entry, LogError>> + '_ {
        let (lines, error) = match self.journal.lines_after(Seq(0)) {
            Ok(lines) => (Some(lines), None),
            Err(error) => (None, Some(Err(error.into()))),
        };
        let entries = lines.into_iter().flatten().flat_map(|line| match line {
            Ok(line) => vec![Ok(line.entry)],
            Err(error @ JournalError::Damaged { .. }) => {
                let (kept, is_all) = self.kept(&error);
                let error = (!is_all).then_some(Err(error.into()));
                kept.into_iter().map(Ok).chain(error).collect()
            }
            Err(error) => vec![Err(error.into())],
        });
        entries.chain(error)
    }

    /// What the store has whole of the entries that damage took from the journal, and whether that is all of them.
    fn kept(&self, damage: &JournalError) -> (Vec<Entry>, bool) {
        let JournalError::Damaged { after, next, .. } = damage else { return (Vec::new(), false) };
        let until = next.unwrap_or(self.last.next());
        let found = self.store.entries_after(*after).map_while(Result::ok);
        let kept: Vec<Entry> = found.take_while(|entry| entry.seq < until).collect();
        let is_all = until.0.checked_sub(after.0 + 1) == Some(kept.len() as u64);
        (kept, is_all)
    }

    /// Calls `visit` with the columns of all entries whose calls may lie in the span: those of others may be among them.
    pub(crate) fn fold_columns(&self, span: Span, visit: &mut dyn FnMut(&Columns<'_>)) -> Result<(), LogError> {
        Ok(self.store.columns(span, Seq(0), (0, 1), &mut |columns| visit(columns))?)
    }

    /// The calls that entries speak of, as they stand, in the order asked; without those that a later entry says otherwise.
    pub(crate) fn calls_at(&self, seqs: &[Seq]) -> Result<Vec<(RequestKey, Usage)>, LogError> {
        let mut calls = Vec::with_capacity(seqs.len());
        for seq in seqs {
            let Some(Entry { key: Some(key), .. }) = self.entry(*seq)? else { continue };
            if let Some((newest, Some(usage))) = self.known(&key)?
                && newest == *seq
            {
                calls.push((key, usage));
            }
        }
        Ok(calls)
    }

    /// One entry, whole; `None` where the journal lost it.
    fn entry(&self, seq: Seq) -> Result<Option<Entry>, LogError> {
        if let Some(entry) = self.store.fresh(seq) {
            return Ok(Some(entry.clone()));
        }
        let Some(number) = self.store.segment_of(seq) else { return Ok(None) };
        let entries = self.segment(number)?;
        Ok(entries.binary_search_by_key(&seq, |entry| entry.seq).ok().map(|place| entries[place].clone()))
    }

    /// The entries of a sealed segment: from the store where it has them whole, else from the journal.
    fn segment(&self, number: u64) -> Result<Arc<Vec<Entry>>, LogError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, entries)) = opened.iter().find(|(found, _)| *found == number) {
            return Ok(entries.clone());
        }
        let entries = match self.store.segment(number)? {
            Some(entries) => entries,
            None => self.journaled_segment(number)?,
        };
        let entries = Arc::new(entries);
        opened.truncate(OPENED_SEGMENTS_MAX - 1);
        opened.push_front((number, entries.clone()));
        Ok(entries)
    }

    fn journaled_segment(&self, number: u64) -> Result<Vec<Entry>, LogError> {
        let first = number * SEGMENT_ENTRIES as u64 + 1;
        let mut entries = Vec::with_capacity(SEGMENT_ENTRIES);
        for line in self.journal.lines_after(Seq(first - 1))? {
            match line {
                Ok(line) if line.entry.seq.0 >= first + SEGMENT_ENTRIES as u64 => break,
                Ok(line) => entries.push(line.entry),
                Err(JournalError::Damaged { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(entries)
    }

    /// The newest entry about a call, and what it says of it; nothing of what it says where the journal lost it.
    fn known(&self, key: &RequestKey) -> Result<Option<(Seq, Option<Usage>)>, LogError> {
        for seq in self.keys.candidates(key) {
            let seq = seq?;
            match self.entry(seq)? {
                // Two calls whose keys begin alike are rarer than a lost line, and counting one twice is worse than missing one.
                None => return Ok(Some((seq, None))),
                Some(Entry { key: Some(found), event: Event::Used { usage } | Event::Restated { after: usage, .. }, .. })
                    if found == *key =>
                {
                    return Ok(Some((seq, Some(*usage))));
                }
                Some(_) => {}
            }
        }
        Ok(None)
    }

    /// Folds the log: what the checkpoint lacks, or everything.
    pub fn fold(&mut self, book: &Arc<PriceBook>) -> Result<Projections, LogError> {
        if let Some(mut projections) = self.read_checkpoint(book) {
            let after = projections.up_to();
            self.store.columns(Span::ALWAYS, after, (0, 1), &mut |columns| projections.apply_columns(columns))?;
            return Ok(projections);
        }
        let mut projections = self.fold_all(book)?;
        projections.settle();
        Ok(projections)
    }

    /// Folds every entry, on two threads where there is enough of them.
    pub fn fold_all(&self, book: &Arc<PriceBook>) -> Result<Projections, LogError> {
        let share = |part: u64, parts: usize| -> Result<(Projections, Vec<Entry>), LogError> {
            let mut projections = Projections::new(book.clone());
            // Budgets are set and given up in an order that a share does not have.
            let mut others = Vec::new();
            self.store.columns(Span::ALWAYS, Seq(0), (part, parts), &mut |columns| {
                others.append(&mut columns.others);
                projections.apply_columns(columns);
            })?;
            Ok((projections, others))
        };
        let (mut projections, mut others) = if self.store.segments() < SEGMENTS_FOR_TWO_THREADS {
            share(0, 1)?
        } else {
            let (one, other) = std::thread::scope(|scope| {
                let other = scope.spawn(|| share(1, 2));
                (share(0, 2), other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            });
            let ((mut one, mut others), (other, more)) = (one?, other?);
            one.absorb(other);
            others.extend(more);
            (one, others)
        };
        others.sort_by_key(|entry| entry.seq);
        others.iter().for_each(|entry| projections.apply(entry));
        projections.folded_up_to(self.last);
        Ok(projections)
    }

    /// The checkpoint on the disk, if it is one of this very log under this very book.
    fn read_checkpoint(&mut self, book: &Arc<PriceBook>) -> Option<Projections> {
        let bytes = fs::read(self.checkpoint_path()).ok()?;
        let (digest, body) = bytes.split_at_checked(DIGEST_BYTES)?;
        let projections = Projections::from_checkpoint(book.clone(), body)?;
        let up_to = projections.up_to();
        if up_to > self.last || digest != self.digest(up_to)? {
            return None;
        }
        self.checkpointed = up_to;
        Some(projections)
    }

    /// Writes a checkpoint of what is folded up to now, so that the next opening need not replay. A failure costs only that.
    pub fn checkpoint(&mut self, projections: &mut Projections) -> io::Result<()> {
        if projections.up_to() != self.last || self.checkpointed == self.last {
            return Ok(());
        }
        let Some(digest) = self.digest(self.last) else { return Ok(()) };
        write_whole(&self.checkpoint_path(), &[&digest[..], &projections.to_checkpoint()].concat())?;
        self.checkpointed = self.last;
        Ok(())
    }

    /// How many entries an opening would have to fold on top of the checkpoint.
    pub fn since_checkpoint(&self) -> u64 {
        self.last.0 - self.checkpointed.0
    }

    fn checkpoint_path(&self) -> PathBuf {
        self.folder.join("checkpoint")
    }

    /// What tells this log from any other whose numbers go as far.
    fn digest(&self, seq: Seq) -> Option<[u8; DIGEST_BYTES]> {
        let entry = self.entry(seq).ok()??;
        Some(RequestKey::of_bytes(&wire::encode(&entry)).0)
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
        self.store.flush()?;
        Ok(self.keys.settle()?)
    }

    /// A call of this machine's own is not named by its device, whoever tells it: another machine's journal that has it by merging.
    fn named_from_here<'u>(&self, seen: &'u Usage) -> Cow<'u, Usage> {
        if seen.device.as_ref().is_some_and(|device| *device == self.device) {
            return Cow::Owned(Usage { device: None, ..seen.clone() });
        }
        Cow::Borrowed(seen)
    }

    /// What entries the facts become, each with what was said.
    fn lines(&self, facts: &[Fact], now: Timestamp) -> Result<Vec<(Entry, Option<Said>)>, LogError> {
        let mut lines: Vec<(Entry, Option<Said>)> = Vec::with_capacity(facts.len());
        // Which line of this batch speaks of a call, which the store does not know yet.
        let mut said_here: HashMap<RequestKey, usize> = HashMap::with_capacity(facts.len());
        let mut seq = self.last;
        for fact in facts {
            let known = |key: &RequestKey| match said_here.get(key).map(|line: &usize| &lines[*line].0.event) {
                Some(Event::Used { usage } | Event::Restated { after: usage, .. }) => Ok(Known::As(usage.clone())),
                Some(Event::BudgetSet { .. } | Event::BudgetRemoved { .. } | Event::AlertRaised { .. } | Event::Lost) | None => {
                    Ok::<_, LogError>(match self.known(key)? {
                        None => Known::Not,
                        Some((_, None)) => Known::Lost,
                        Some((_, Some(usage))) => Known::As(Box::new(usage)),
                    })
                }
            };
            let (key, event, said) = match fact {
                Fact::Event(event) => (None, event.clone(), None),
                Fact::Seen(sighting) => match state(&self.named_from_here(&sighting.usage), known)? {
                    Some((key, event)) => (Some(key), event, sighting.said.clone()),
                    None => continue,
                },
                Fact::Remetered { key, after, said } => match known(key)? {
                    Known::As(before) if before != *after => {
                        (Some(*key), Event::Restated { before, after: after.clone() }, Some(said.clone()))
                    }
                    Known::As(_) | Known::Not | Known::Lost => continue,
                },
            };
            seq = seq.next();
            if let Some(key) = key {
                said_here.insert(key, lines.len());
            }
            lines.push((Entry { seq, recorded_at: now, key, event }, said));
        }
        Ok(lines)
    }
}

/// What the log holds under a key.
enum Known {
    Not,
    /// It was seen, and what was written of it is destroyed: it is in every sum as it was, and stays so.
    Lost,
    As(Box<Usage>),
}

/// What a sighting adds to what is known of its call: the event to write; `None` for nothing new.
///
/// `known` says what the log holds under a key.
fn state<E>(seen: &Usage, known: impl Fn(&RequestKey) -> Result<Known, E>) -> Result<Option<(RequestKey, Event)>, E> {
    let Some(mut key) = seen.key() else {
        return Ok(None);
    };
    let mut before = known(&key)?;
    if let (Known::As(other), Some(carried)) = (&before, seen.carried)
        && is_another_call(other, seen)
    {
        key = key.carried_by(carried);
        before = known(&key)?;
    }
    let before = match before {
        Known::Not => return Ok(Some((key, Event::Used { usage: Box::new(seen.clone()) }))),
        Known::Lost => return Ok(None),
        Known::As(before) => before,
    };
    // Nearly every sighting of a known call is the very same one, told again.
    if *before == *seen {
        return Ok(None);
    }
    let after = Box::new(before.merged(seen));
    Ok((after != before).then_some((key, Event::Restated { before, after })))
}

/// Whether the proxy carried two calls to which a careless server gave one id (a local server that says `chatcmpl-0`, a stand-in).
///
/// Providers never give one id to two calls, and a second look at an answer (`GET`) is not marked as carried.
fn is_another_call(known: &Usage, seen: &Usage) -> bool {
    let by_proxy = |usage: &Usage| usage.sources.has(Source::Proxy) || usage.sources.has(Source::Connect);
    by_proxy(known) && by_proxy(seen) && known.carried.is_some() && known.carried != seen.carried
}

/// Shows entries that follow each other as the columns that folding reads.
#[cfg(test)]
pub(crate) fn with_columns<R>(entries: &[Entry], visit: impl FnOnce(&Columns<'_>) -> R) -> R {
    if entries.is_empty() {
        return visit(&Columns::default());
    }
    let segment = segment::Encoder::new().encode(entries).expect("few entries fit");
    let mut body = Vec::new();
    segment::Unpacker::new().unpack_hot(&segment.hot, &mut body).expect("it was packed just now");
    visit(&Columns::read(&body).expect("it was written just now"))
}

#[cfg(test)]
mod tests;
