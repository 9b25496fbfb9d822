//! The store: the copy of the log that is read. The only file that names sled.
//!
//! One tree, so that a batch is atomic: `e` + sequence number -> entry, `k` + request key -> number of the newest entry about that call.
//! It may be lost at any time: the journal holds everything that is here.

use crate::{Entry, Event, RequestKey, Seq, Usage, wire};
use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

const ENTRY: u8 = b'e';
const KEY: u8 = b'k';
/// sled takes a gigabyte if not told otherwise.
const CACHE_BYTES: u64 = 16 << 20;
/// How many entries may wait in sled's memory. They are safe in the journal; this bounds what an opening has to catch up on.
const UNFLUSHED_ENTRIES_MAX: usize = 16_384;

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
    #[error("the store skips from entry {expected:?} to {found:?}")]
    Gap {
        /// The number that comes next.
        expected: Seq,
        /// The one that was found.
        found: Seq,
    },
    /// An entry that does not decode.
    #[error("the store holds a damaged entry: {0}")]
    Wire(#[from] wire::WireError),
    /// The store was closed for a rebuild that did not finish.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the disk is full, which says nothing about the store.
    pub(super) fn is_no_room(&self) -> bool {
        match self {
            StoreError::Sled(sled::Error::Io(source)) | StoreError::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            StoreError::Sled(_) | StoreError::Panicked(_) | StoreError::Gap { .. } | StoreError::Wire(_) | StoreError::Closed => false,
        }
    }
}

pub(super) struct Store {
    tree: Option<sled::Db>,
    /// What the journal has and sled did not take, oldest first: tried again with every batch.
    waiting: Vec<Entry>,
    unflushed_entries: usize,
    trouble: Option<StoreError>,
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
        let tree = catch_unwind(AssertUnwindSafe(open)).map_err(|panic| StoreError::Panicked(panic_text(panic.as_ref())))??;
        Ok(Store { tree: Some(tree), waiting: Vec::new(), unflushed_entries: 0, trouble: None })
    }

    fn tree(&self) -> Result<&sled::Db, StoreError> {
        self.tree.as_ref().ok_or(StoreError::Closed)
    }

    /// Lets go of the files.
    pub(super) fn close(&mut self) {
        self.tree = None;
    }

    /// Whether it has taken everything and can be read. After an error of the disk sled takes nothing more until it is opened again.
    pub(super) fn works(&self) -> bool {
        self.waiting.is_empty() && self.trouble.is_none() && self.last().is_ok()
    }

    /// Takes a batch that the journal has. A failure is kept, and the batch tried again with the next one.
    pub(super) fn put(&mut self, entries: &[Entry]) {
        let mut batch = sled::Batch::default();
        for entry in self.waiting.iter().chain(entries) {
            batch.insert(entry_key(entry.seq).as_slice(), wire::encode(entry));
            if let Some(key) = entry.key {
                batch.insert(index_key(&key).as_slice(), &entry.seq.0.to_be_bytes());
            }
        }
        let applied = self.tree().and_then(|tree| Ok(tree.apply_batch(batch)?));
        match applied {
            Ok(()) => {
                self.waiting.clear();
                self.trouble = None;
                self.unflushed_entries += entries.len();
                if self.unflushed_entries >= UNFLUSHED_ENTRIES_MAX {
                    self.trouble = self.flush().err();
                }
            }
            Err(error) => {
                self.waiting.extend_from_slice(entries);
                self.trouble = Some(error);
            }
        }
    }

    /// Whether everything that was put is in.
    pub(super) fn settled(&mut self) -> Result<(), StoreError> {
        self.trouble.take().map_or(Ok(()), Err)
    }

    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        self.tree()?.flush()?;
        self.unflushed_entries = 0;
        Ok(())
    }

    /// The newest entry that sled has.
    pub(super) fn last(&self) -> Result<Seq, StoreError> {
        match self.tree()?.scan_prefix([ENTRY]).next_back() {
            None => Ok(Seq(0)),
            Some(found) => {
                let (key, _) = found?;
                Ok(Seq(key[1..].try_into().map_or(0, u64::from_be_bytes)))
            }
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Result<Entry, StoreError>> + '_ {
        self.entries_after(Seq(0))
    }

    pub(super) fn entries_after(&self, after: Seq) -> impl Iterator<Item = Result<Entry, StoreError>> + '_ {
        let stored = self.tree().map(|tree| tree.range(entry_key(after.next()).as_slice()..&[ENTRY + 1][..]));
        let (stored, closed) = match stored {
            Ok(stored) => (Some(stored), None),
            Err(error) => (None, Some(Err(error))),
        };
        let stored = stored.into_iter().flatten().map(|found| Ok(wire::decode(&found?.1)?));
        closed.into_iter().chain(stored).chain(self.waiting.iter().cloned().map(Ok))
    }

    /// What is known of a call.
    pub(super) fn usage(&self, key: &RequestKey) -> Result<Option<Usage>, StoreError> {
        let waiting = self.waiting.iter().rev().find(|entry| entry.key == Some(*key)).cloned();
        let entry = match waiting {
            Some(entry) => Some(entry),
            None => match self.tree()?.get(index_key(key))? {
                None => None,
                Some(seq) => {
                    let found = self.tree()?.get([&[ENTRY], &*seq].concat())?;
                    found.map(|bytes| wire::decode(&bytes)).transpose()?
                }
            },
        };
        Ok(entry.and_then(|entry| match entry.event {
            Event::Used { usage } | Event::Restated { after: usage, .. } => Some(*usage),
            Event::BudgetSet { .. } | Event::BudgetRemoved { .. } | Event::AlertRaised { .. } => None,
        }))
    }
}

fn entry_key(seq: Seq) -> [u8; 9] {
    let mut key = [ENTRY; 9];
    key[1..].copy_from_slice(&seq.0.to_be_bytes());
    key
}

fn index_key(key: &RequestKey) -> [u8; 17] {
    let mut index = [KEY; 17];
    index[1..].copy_from_slice(&key.0);
    index
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

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").lines().next().unwrap_or_default().to_owned()
}
