//! The store: the copy of the log that is read. The only file that names sled.
//!
//! One tree, so that a batch is atomic. Every [`SEGMENT_ENTRIES`] entries are sealed into a segment of two values (`h` + number of the
//! segment -> its columns, `c` -> its ids) and a digest of all entries up to its end (`d`). The newest ones, which fill none yet, are single values (`e` + number -> entry) from the next
//! flush on: most are in a segment before.
//! Only the newest [`WHOLE_SEGMENTS`] keep their ids: of older calls folds ask counts, and whoever asks for ids reads the journal.
//! It may be lost at any time: the journal holds everything that is here.

use super::{
    digest::LogDigest,
    segment::{Bounds, Columns, Encoder, Segment, SegmentError, Unpacker, Whole},
};
use crate::{Entry, Seq, Span, wire};
use std::{
    cell::Cell,
    collections::VecDeque,
    fs, io,
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

const ENTRY: u8 = b'e';
const HOT: u8 = b'h';
const COLD: u8 = b'c';
const DIGEST: u8 = b'd';
const LAYOUT_KEY: &[u8] = b"v";
/// Grows when keys or values are laid out otherwise; another one is rebuilt from the journal, never migrated.
const LAYOUT: &[u8] = b"segments 1";
/// How many entries a segment holds: chosen by measurement (docs/BENCHMARKS.md). Segment `n` holds the entries from `n` times this on.
pub(super) const SEGMENT_ENTRIES: usize = 1024;
/// sled takes a gigabyte if not told otherwise.
const CACHE_BYTES: u64 = 4 << 20;
/// How many of the newest entries are kept in memory while sled does not take them. Older ones are read from the journal until the store is
/// made anew.
const TAIL_ENTRIES_MAX: usize = if cfg!(test) { 4 * SEGMENT_ENTRIES } else { 65_536 };
/// sled makes files of its own when it flushes.
const FREE_FILES_MIN: u64 = 64;
/// How many entries may wait in sled's memory. They are safe in the journal; this bounds what an opening has to catch up on.
const UNFLUSHED_ENTRIES_MAX: usize = 65_536;
/// sled never recovers from a full disk, so it is not written to while less than this is free. The journal is.
const FREE_BYTES_MIN: u64 = 4 << 20;
/// How many segments keep their ids. A call is told again soon after it was made, or by an import that may read the journal. Tests have few,
/// so that they meet older ones.
pub(super) const WHOLE_SEGMENTS: u64 = if cfg!(test) { 2 } else { 64 };

/// Why the store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// sled said no.
    #[error("the store failed: {0}")]
    Sled(#[from] sled::Error),
    /// sled panicked while opening, as it does on some damage.
    #[error("the store is damaged: {0}")]
    Panicked(String),
    /// A file beside the data stands in the way.
    #[error("cannot use the store {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An entry is not where it should be.
    #[error("the store lacks entry {0:?}")]
    Missing(Seq),
    /// An entry that does not decode.
    #[error("the store holds a damaged entry: {0}")]
    Wire(#[from] wire::WireError),
    /// A segment that does not decode.
    #[error("{0} in the store")]
    Segment(String),
    /// It failed before, and is opened again when there is room.
    #[error("the store is closed since the disk did not take a write")]
    Closed,
    /// Laid out by another version of the program.
    #[error("the store is laid out in another way than this program reads")]
    Layout,
}

impl From<SegmentError> for StoreError {
    fn from(error: SegmentError) -> StoreError {
        StoreError::Segment(error.to_string())
    }
}

impl StoreError {
    /// Whether the disk is full, which says nothing about the store.
    pub(super) fn is_no_room(&self) -> bool {
        match self {
            StoreError::Sled(sled::Error::Io(source)) | StoreError::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            StoreError::Sled(_)
            | StoreError::Panicked(_)
            | StoreError::Missing(_)
            | StoreError::Wire(_)
            | StoreError::Segment(_)
            | StoreError::Closed
            | StoreError::Layout => false,
        }
    }
}

/// What can be read of the store, as it stood at one entry. Its clones are for any thread, while the store goes on: what is in a segment
/// never changes, only the ids of old ones are removed.
#[derive(Clone)]
pub(super) struct Stored {
    /// None once sled failed: it then answers no more.
    tree: Option<sled::Db>,
    /// The newest entries, which are in no segment yet.
    tail: Arc<VecDeque<Arc<Entry>>>,
    /// How many segments there are.
    segments: u64,
    /// The digest of all that is in segments.
    digest: LogDigest,
}

pub(super) struct Store {
    folder: PathBuf,
    now: Stored,
    /// How many of the tail sled has.
    stored: usize,
    /// The next segments, made while the journal took their entries.
    ready: VecDeque<Segment>,
    unflushed_entries: usize,
    encoder: Encoder,
}

impl Store {
    pub(super) fn open(folder: &Path) -> Result<Store, StoreError> {
        remove_half_snapshots(folder)?;
        let open = || {
            sled::Config::new()
                .path(folder)
                .cache_capacity(CACHE_BYTES)
                // The journal is what must be on the disk; a timer would wake an idle machine.
                .flush_every_ms(None)
                .open()
        };
        let tree = guarded(open)?;
        match guarded(|| tree.get(LAYOUT_KEY))? {
            Some(layout) if layout == LAYOUT => {}
            None if tree.is_empty() => {
                guarded(|| tree.insert(LAYOUT_KEY, LAYOUT))?;
            }
            Some(_) | None => return Err(StoreError::Layout),
        }
        let segments = match guarded(|| tree.scan_prefix([HOT]).next_back().transpose())? {
            None => 0,
            Some((key, _)) => number(&key).map_or(0, |number| number + 1),
        };
        let mut store = Store {
            folder: folder.to_owned(),
            now: Stored { tree: Some(tree), tail: Arc::default(), segments, digest: LogDigest::default() },
            stored: 0,
            ready: VecDeque::new(),
            unflushed_entries: 0,
            encoder: Encoder::new(),
        };
        store.complete_digests()?;
        store.read_tail()?;
        Ok(store)
    }

    /// A store that takes and gives nothing, in the place of one that cannot be opened now.
    pub(super) fn closed(folder: &Path) -> Store {
        Store {
            folder: folder.to_owned(),
            now: Stored { tree: None, tail: Arc::default(), segments: 0, digest: LogDigest::default() },
            stored: 0,
            ready: VecDeque::new(),
            unflushed_entries: 0,
            encoder: Encoder::new(),
        }
    }

    /// The same, with what another one has in memory.
    pub(super) fn closed_with(folder: &Path, now: Stored) -> Store {
        let mut store = Store::closed(folder);
        store.now = now.without_segments();
        store
    }

    /// Computes the digests of the newest segments that lack one: those that an earlier program made.
    fn complete_digests(&mut self) -> Result<(), StoreError> {
        let Stored { tree: Some(tree), segments, digest, .. } = &mut self.now else { return Ok(()) };
        let mut digested = match guarded(|| tree.scan_prefix([DIGEST]).next_back().transpose())? {
            None => 0,
            Some((key, value)) => match (number(&key), LogDigest::read(&value)) {
                (Some(number), Some(found)) if number < *segments => {
                    *digest = found;
                    number + 1
                }
                // One of a segment that is not there: the store lost a part of itself.
                (_, _) => 0,
            },
        };
        while digested < *segments {
            let hot = guarded(|| tree.get(key(HOT, digested)))?.ok_or(StoreError::Missing(first_of(digested)))?;
            *digest = digest.and_segment(&hot);
            guarded(|| tree.insert(key(DIGEST, digested), &digest.0))?;
            digested += 1;
        }
        Ok(())
    }

    /// Reads the single entries up to the first that is missing; what comes after it is in the journal.
    fn read_tail(&mut self) -> Result<(), StoreError> {
        let mut next = self.now.sealed().next();
        let mut tail = VecDeque::new();
        let mut singles = self.now.tree()?.scan_prefix([ENTRY]);
        while let Some((_, bytes)) = guarded(|| singles.next().transpose())? {
            let entry = wire::decode(&bytes)?;
            if entry.seq == next {
                next = next.next();
                tail.push_back(Arc::new(entry));
            }
        }
        self.stored = tail.len();
        self.now.tail = Arc::new(tail);
        Ok(())
    }

    /// What can be read now.
    pub(super) fn now(&self) -> &Stored {
        &self.now
    }

    /// Whether it can be read. After an error of the disk sled takes nothing more until it is opened again.
    pub(super) fn works(&self) -> bool {
        self.now.tree.is_some()
    }

    /// Whether the disk has room for sled to go on.
    pub(super) fn has_room(&self) -> bool {
        has_room(&self.folder)
    }

    /// Whether it must be made anew: it failed, or took nothing for so long that it lacks entries between those that it has and those in
    /// memory. `last` is the newest entry of the log.
    pub(super) fn is_lacking(&self, last: Seq) -> bool {
        !self.works() || self.now.first_fresh(last) > self.now.sealed().next()
    }

    /// Lets go of sled without asking it anything: after a failed write it waits for ever in `flush` and in `drop`.
    ///
    /// What it held in memory is in the journal. Its files stay locked by this process, so a new store needs a new folder.
    pub(super) fn abandon(&mut self) {
        if let Some(tree) = self.now.tree.take() {
            std::mem::forget(tree);
        }
    }

    /// Makes the segments that [`Store::put`] will write once these entries are in the journal.
    pub(super) fn make_ready<'e>(&'e mut self, entries: impl Iterator<Item = &'e Entry>) {
        if !self.works() || self.now.tail.front().is_some_and(|first| first.seq != self.now.sealed().next()) {
            return;
        }
        let all: Vec<&Entry> = self.now.tail.iter().map(|entry| &**entry).chain(entries).collect();
        // One that cannot be made is tried again by `put`, which tells.
        self.ready = all.chunks_exact(SEGMENT_ENTRIES).map_while(|entries| self.encoder.encode(entries).ok()).collect();
    }

    /// The entries did not come to be.
    pub(super) fn forget_ready(&mut self) {
        self.ready.clear();
    }

    /// Takes a batch that the journal has. What sled does not take now stays in memory and goes with a later batch.
    pub(super) fn put(&mut self, entries: impl Iterator<Item = Arc<Entry>>) {
        let tail = Arc::make_mut(&mut self.now.tail);
        let before = tail.len();
        tail.extend(entries);
        self.unflushed_entries += tail.len() - before;
        if tail.len() >= SEGMENT_ENTRIES && self.works() && self.has_room() && self.seal().is_err() {
            self.abandon();
        }
        let tail = Arc::make_mut(&mut self.now.tail);
        if tail.len() > TAIL_ENTRIES_MAX {
            // The rest begins where a segment does.
            let first = tail.front().map_or(1, |entry| entry.seq.0);
            let kept_from = (first + TAIL_ENTRIES_MAX as u64 / 2).next_multiple_of(SEGMENT_ENTRIES as u64) + 1;
            tail.drain(..(kept_from - first) as usize);
            self.stored = 0;
            self.ready.clear();
        }
    }

    /// Seals what fills segments. Nothing where entries are missing before those in memory.
    fn seal(&mut self) -> Result<(), StoreError> {
        if self.now.tail.front().is_some_and(|first| first.seq != self.now.sealed().next()) {
            return Ok(());
        }
        let tree = self.now.tree()?.clone();
        let Stored { tail, segments, digest, .. } = &mut self.now;
        let tail = Arc::make_mut(tail);
        while tail.len() >= SEGMENT_ENTRIES {
            let mut batch = sled::Batch::default();
            let sealed = &tail.make_contiguous()[..SEGMENT_ENTRIES];
            let Segment { hot, cold } = match self.ready.pop_front() {
                Some(ready) => ready,
                None => self.encoder.encode(sealed)?,
            };
            let next_digest = digest.and_segment(&hot);
            batch.insert(&key(DIGEST, *segments), &next_digest.0);
            batch.insert(&key(HOT, *segments), hot);
            batch.insert(&key(COLD, *segments), cold);
            if let Some(old) = segments.checked_sub(WHOLE_SEGMENTS) {
                batch.remove(&key(COLD, old));
            }
            let singles = self.stored.min(SEGMENT_ENTRIES);
            sealed[..singles].iter().for_each(|entry| batch.remove(&key(ENTRY, entry.seq.0)));
            guarded(|| tree.apply_batch(batch))?;
            tail.drain(..SEGMENT_ENTRIES);
            self.stored -= singles;
            *segments += 1;
            *digest = next_digest;
        }
        if self.unflushed_entries >= UNFLUSHED_ENTRIES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes out what sled lacks of the tail and what it holds in memory, if there is room for it.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        let is_behind = self.now.tail.front().is_some_and(|first| first.seq != self.now.sealed().next());
        if self.unflushed_entries == 0 || is_behind || !self.works() || !self.has_room() {
            return Ok(());
        }
        let tree = self.now.tree()?.clone();
        let mut batch = sled::Batch::default();
        for entry in self.now.tail.iter().skip(self.stored) {
            batch.insert(&key(ENTRY, entry.seq.0), wire::encode(entry));
        }
        let taken = guarded(|| tree.apply_batch(batch)).and_then(|()| guarded(|| tree.flush()));
        if let Err(error) = taken {
            // After an error it would wait for ever the next time it is asked.
            self.abandon();
            return Err(error);
        }
        self.stored = self.now.tail.len();
        self.unflushed_entries = 0;
        Ok(())
    }
}

impl Stored {
    fn tree(&self) -> Result<&sled::Db, StoreError> {
        self.tree.as_ref().ok_or(StoreError::Closed)
    }

    /// The newest entry that is in a segment.
    pub(super) fn sealed(&self) -> Seq {
        Seq(self.segments * SEGMENT_ENTRIES as u64)
    }

    /// The newest entry that can be read.
    pub(super) fn last(&self) -> Seq {
        self.tail.back().map_or(self.sealed(), |entry| entry.seq)
    }

    /// The digest of the first `segments` segments.
    pub(super) fn digest(&self, segments: u64) -> Result<LogDigest, StoreError> {
        match segments.checked_sub(1) {
            None => Ok(LogDigest::default()),
            Some(_) if segments == self.segments => Ok(self.digest),
            Some(last) => LogDigest::read(&self.value(DIGEST, last)?).ok_or(StoreError::Missing(first_of(last))),
        }
    }

    /// How many segments there are, each of [`SEGMENT_ENTRIES`].
    pub(super) fn segments(&self) -> u64 {
        self.segments
    }

    /// Whether segments can be read.
    pub(super) fn works(&self) -> bool {
        self.tree.is_some()
    }

    /// The same without sled: nothing is read of it any more.
    pub(super) fn without_segments(self) -> Stored {
        Stored { tree: None, ..self }
    }

    /// The first entry that is in memory, or the one after `last`.
    pub(super) fn first_fresh(&self, last: Seq) -> Seq {
        self.tail.front().map_or(last.next(), |entry| entry.seq)
    }

    /// The entries in memory.
    pub(super) fn tail(&self) -> &VecDeque<Arc<Entry>> {
        &self.tail
    }

    /// Calls `visit` with the columns of all sealed entries after one whose calls may lie in the span; those of others may be among them.
    ///
    /// `part` of `parts`: every thread that folds takes its own share of the segments.
    pub(super) fn columns<E: From<StoreError>>(
        &self,
        span: Span,
        after: Seq,
        (part, parts): (u64, usize),
        visit: &mut dyn FnMut(&mut Columns<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut unpacker, mut body) = (Unpacker::new(), Vec::new());
        let mut show = |hot: &[u8]| -> Result<(), E> {
            unpacker.unpack_hot(hot, &mut body).map_err(StoreError::from)?;
            let mut columns = Columns::read(&body).map_err(StoreError::from)?;
            columns.drop_up_to(after);
            visit(&mut columns)
        };
        for number in (after.0 / SEGMENT_ENTRIES as u64 + part..self.segments).step_by(parts) {
            let hot = self.value(HOT, number)?;
            let bounds = Bounds::read(&hot).map_err(StoreError::from)?;
            if bounds.first != first_of(number) || bounds.entries as usize != SEGMENT_ENTRIES {
                return Err(StoreError::Missing(first_of(number)).into());
            }
            if span == Span::ALWAYS || (bounds.span.until > span.from && bounds.span.from < span.until) {
                show(&hot)?;
            }
        }
        Ok(())
    }

    /// The entries that it has whole, after one, oldest first and without a gap.
    pub(super) fn entries_after(&self, after: Seq) -> impl Iterator<Item = Result<Entry, StoreError>> + '_ {
        let whole = self.segments.saturating_sub(WHOLE_SEGMENTS).max(after.0 / SEGMENT_ENTRIES as u64)..self.segments;
        let sealed = whole.flat_map(move |number| {
            let (entries, error) = match self.segment(number) {
                Ok(entries) => (entries.unwrap_or_default(), None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            entries.into_iter().map(Ok).chain(error)
        });
        // Between what is sealed and what is in memory nothing may be missing.
        let behind = self.first_fresh(self.last()) > self.sealed().next() || (self.tree.is_none() && after < self.sealed());
        let missing = behind.then(|| Err(StoreError::Missing(self.sealed().next())));
        let all = sealed.chain(missing).chain(self.tail.iter().map(|entry| Ok(Entry::clone(entry))));
        all.filter(move |entry| entry.as_ref().map_or(true, |entry| entry.seq > after))
    }

    /// The number of the segment that an entry is in.
    pub(super) fn segment_of(&self, seq: Seq) -> Option<u64> {
        (seq.0 > 0 && seq <= self.sealed()).then(|| (seq.0 - 1) / SEGMENT_ENTRIES as u64)
    }

    /// The entries of a segment; `None` where it is too old to have its ids.
    pub(super) fn segment(&self, number: u64) -> Result<Option<Vec<Entry>>, StoreError> {
        let tree = self.tree()?;
        let Some(cold) = guarded(|| tree.get(key(COLD, number)))? else { return Ok(None) };
        let whole = Whole::read(&mut Unpacker::new(), &self.value(HOT, number)?, &cold)?;
        let entries: Vec<Entry> = (0..whole.len()).map_while(|place| whole.entry(place)).collect();
        match entries.first() {
            Some(entry) if entry.seq == first_of(number) && entries.len() == SEGMENT_ENTRIES => Ok(Some(entries)),
            Some(_) | None => Err(StoreError::Missing(first_of(number))),
        }
    }

    /// The entries of a segment as far as its columns tell of them: calls without ids and without keys.
    pub(super) fn segment_without_ids(&self, number: u64) -> Result<Vec<Entry>, StoreError> {
        let whole = Whole::read_without_ids(&mut Unpacker::new(), &self.value(HOT, number)?)?;
        let entries: Vec<Entry> = (0..whole.len()).map_while(|place| whole.entry(place)).collect();
        let is_right = entries.first().is_some_and(|entry| entry.seq == first_of(number));
        if is_right { Ok(entries) } else { Err(StoreError::Missing(first_of(number))) }
    }

    /// An entry that is not sealed yet.
    pub(super) fn fresh(&self, seq: Seq) -> Option<&Arc<Entry>> {
        let place = seq.0.checked_sub(self.tail.front()?.seq.0)?;
        self.tail.get(usize::try_from(place).ok()?)
    }

    /// The first entry, if it speaks of no single call.
    pub(super) fn first(&self) -> Result<Option<Entry>, StoreError> {
        if self.segments == 0 {
            return Ok(self.tail.front().map(|entry| Entry::clone(entry)));
        }
        let mut body = Vec::new();
        Unpacker::new().unpack_hot(&self.value(HOT, 0)?, &mut body)?;
        Ok(Columns::read(&body)?.others.into_iter().next().filter(|entry| entry.seq == first_of(0)))
    }

    /// Which of some entries it holds otherwise. They are in order, in one segment or in none. Of those whose ids are gone, counts and
    /// names are compared.
    pub(super) fn differing(&self, entries: &[Entry]) -> Result<Vec<Seq>, StoreError> {
        let Some(first) = entries.first() else { return Ok(Vec::new()) };
        let differing = |holds: &dyn Fn(&Entry) -> bool| entries.iter().filter(|entry| !holds(entry)).map(|entry| entry.seq).collect();
        let Some(number) = self.segment_of(first.seq) else {
            return Ok(differing(&|entry| self.fresh(entry.seq).is_some_and(|fresh| **fresh == *entry)));
        };
        if let Some(held) = self.segment(number)? {
            return Ok(differing(&|entry| held.get((entry.seq.0 - first_of(number).0) as usize) == Some(entry)));
        }
        let (mut body, mut anew) = (Vec::new(), Vec::new());
        Unpacker::new().unpack_hot(&self.value(HOT, number)?, &mut body)?;
        let held = Columns::read(&body)?;
        let mut all = Vec::new();
        // Where the journal lost some, the others do not follow each other.
        for entries in entries.chunk_by(|one, next| one.seq.next() == next.seq) {
            Unpacker::new().unpack_hot(&Encoder::new().encode(entries)?.hot, &mut anew)?;
            let said = Columns::read(&anew)?;
            all.extend(entries.iter().map(|entry| entry.seq).filter(|seq| held.told_of(*seq) != said.told_of(*seq)));
        }
        Ok(all)
    }

    /// Reads every value once. Whether all of it can be read.
    pub(super) fn is_readable(&self) -> bool {
        self.works()
            && self.columns(Span::ALWAYS, Seq(0), (0, 1), &mut |_| Ok::<_, StoreError>(())).is_ok()
            && self.entries_after(Seq(0)).all(|entry| entry.is_ok())
    }

    fn value(&self, kind: u8, number: u64) -> Result<sled::IVec, StoreError> {
        let tree = self.tree()?;
        guarded(|| tree.get(key(kind, number)))?.ok_or(StoreError::Missing(first_of(number)))
    }
}

impl Drop for Store {
    /// Leaves nothing for the next opening to catch up on. A store that fails now is completed then.
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

/// The first entry of a segment.
fn first_of(number: u64) -> Seq {
    Seq(number * SEGMENT_ENTRIES as u64 + 1)
}

fn key(kind: u8, number: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..)?.try_into().ok()?))
}

/// Whether the disk has room for sled to go on: in bytes and in files. Where the system does not say, there is.
fn has_room(folder: &Path) -> bool {
    #[cfg(unix)]
    {
        // The folder may be gone; the disk is that of the folder around it.
        let disk = folder.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok());
        // A file system without a fixed number of files says that it has none at all.
        disk.is_none_or(|disk| {
            let has_files = disk.f_files == 0 || disk.f_favail >= FREE_FILES_MIN;
            has_files && disk.f_bavail.saturating_mul(disk.f_frsize) >= FREE_BYTES_MIN
        })
    }
    #[cfg(not(unix))]
    {
        let _ = (folder, FREE_BYTES_MIN, FREE_FILES_MIN);
        true
    }
}

/// A snapshot that was being written when the process died makes the next opening fail (sled#1527); the one before it is intact.
fn remove_half_snapshots(folder: &Path) -> Result<(), StoreError> {
    let io = |source| StoreError::Io { path: folder.to_owned(), source };
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
    };
    for file in files {
        let file = file.map_err(io)?;
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(file.path()).map_err(io)?;
        }
    }
    Ok(())
}

/// sled panics on some damage, and not only while it is opened.
fn guarded<T>(ask: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    let outer = GUARDED.replace(true);
    let asked = catch_unwind(AssertUnwindSafe(ask));
    GUARDED.set(outer);
    Ok(asked.map_err(|panic| StoreError::Panicked(panic_text(panic.as_ref())))??)
}

thread_local! {
    /// Whether this thread is inside [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the store deals with a panic, so that nobody needs to see its text: it is caught, or ends one of sled's own threads, after which
/// every question to sled is an error.
pub fn is_handled_panic(panic: &PanicHookInfo<'_>) -> bool {
    GUARDED.get() || panic.location().is_some_and(|at| at.file().contains("/sled-"))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").lines().next().unwrap_or_default().to_owned()
}
