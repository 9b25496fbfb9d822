//! Which calls the log has seen, and at which entries: an index from request keys to places, in files of its own.
//!
//! The newest keys are held in memory; older ones lie in runs, immutable files sorted by key. The index keeps 48 bits of a
//! key, so it may name an entry of another call, which the caller finds out by the whole key; it never leaves out one of the
//! right call. It trusts nothing that it finds on the disk: what fails a checksum is an error or is gone, and the caller tells
//! the index again what it lacks.

mod fresh;
mod merge;
mod prefixes;
mod print;
mod run;

use super::{make_private_folder, private_options};
use crate::{RequestKey, Seq};
use fresh::Fresh;
use merge::{Source, merge};
pub(crate) use print::Print;
use run::{Header, Run};
use rustc_hash::FxHashMap;
use std::{
    cmp::Reverse,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How many keys the index holds in memory before it wants to be settled.
pub(crate) const KEYS_IN_MEMORY_MAX: usize = 65_536;
/// A log of 2^40 entries settled after every one of them has fewer.
const RUNS_MAX: usize = 64;
/// Runs with fewer keys than this weigh as much as one with this many, so that settling when idle leaves no trail of crumbs.
const RUN_WEIGHT_MIN: u64 = 1_024;
/// The one file that is being written. What bears this name at opening was never finished.
const UNFINISHED: &str = "unfinished.tmp";

/// Why the index cannot be used. The log is whole all the same: the index can be made again from it.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The system refused.
    #[error("cannot use the index of calls {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not as it was written. Opening the index with `last` 0 empties it; then every entry is to be told again.
    #[error("the index of calls {path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
}

/// The index of a log. A clone is for reading, by any thread: it has the keys of that instant, and keeps runs open that are merged since.
#[derive(Clone, Debug)]
pub(crate) struct KeyIndex {
    folder: PathBuf,
    /// Oldest first; the entries of one end where those of the next begin.
    runs: Vec<Arc<Run>>,
    fresh: Arc<Fresh>,
    covered: Seq,
    /// The first key that the index was ever told. Every run names it, so that a run of another log is known for one.
    origin: Option<Print>,
}

impl KeyIndex {
    /// Opens the index in `folder`, or begins one, for a log whose newest entry is `last`.
    ///
    /// Runs that are damaged, unfinished, of another log, beyond `last` or behind a gap are removed.
    pub(crate) fn open(folder: &Path, last: Seq) -> Result<KeyIndex, KeysError> {
        make_private_folder(folder)
            .map_err(|error| KeysError::Io { path: folder.to_owned(), source: io::Error::other(error.to_string()) })?;
        let mut index = KeyIndex { folder: folder.to_owned(), runs: Vec::new(), fresh: Arc::default(), covered: Seq(0), origin: None };
        for (path, header) in runs_in(folder)? {
            let follows = header.first == index.covered.next() && header.last <= last && index.runs.len() < RUNS_MAX;
            let ours = index.origin.is_none_or(|origin| origin == header.origin);
            // After a crash between writing a merged run and removing what it was merged from, the longest comes first
            // and leaves no place for the others.
            match if follows && ours { unless_damaged(Run::open(&path, header))? } else { None } {
                Some(run) => {
                    index.covered = header.last;
                    index.origin = Some(header.origin);
                    index.runs.push(Arc::new(run));
                }
                None => remove(&path),
            }
        }
        Ok(index)
    }

    /// The entry up to which every key has been told, from the first one on. Entries after it are to be told again.
    pub(crate) fn covered(&self) -> Seq {
        self.covered
    }

    /// Adds the key of an entry after `covered`. Entries that are passed over carry no key.
    pub(crate) fn insert(&mut self, key: &RequestKey, seq: Seq) {
        assert!(seq > self.covered, "entries are told in order, so that a run is a range of them");
        let print = Print::of(key);
        self.origin.get_or_insert(print);
        Arc::make_mut(&mut self.fresh).insert(print, seq);
        self.covered = seq;
    }

    /// Says that entries up to `seq` carry no key but those that were told.
    pub(crate) fn cover(&mut self, seq: Seq) {
        self.covered = self.covered.max(seq);
    }

    /// The entries that may speak of the call, newest first: all that do, and one of some other call in 2^48 keys.
    pub(crate) fn candidates(&self, key: &RequestKey) -> impl Iterator<Item = Result<Seq, KeysError>> + '_ {
        let print = Print::of(key);
        let filed = self.runs.iter().rev().flat_map(move |run| run.candidates(print));
        self.fresh.candidates(print).map(Ok).chain(filed)
    }

    /// What the index keeps of the keys of some entries that follow each other. Reads every run that may have one.
    pub(crate) fn prints(&self, first: Seq, last: Seq) -> Result<FxHashMap<Seq, Print>, KeysError> {
        let mut prints = FxHashMap::default();
        let runs = self.runs.iter().filter(|run| run.header().first <= last && run.header().last >= first);
        let fresh = self.fresh.sorted().into_iter().map(Ok);
        for mark in runs.flat_map(|run| run.marks()).chain(fresh) {
            let mark = mark?;
            if (first..=last).contains(&mark.seq) {
                prints.insert(mark.seq, mark.print);
            }
        }
        Ok(prints)
    }

    /// Adds an entry, and writes a run where memory holds enough of them. After an error it is added all the same.
    pub(crate) fn add(&mut self, entry: &crate::Entry) -> Result<(), KeysError> {
        match &entry.key {
            Some(key) => self.insert(key, entry.seq),
            None => self.cover(entry.seq),
        }
        if self.is_full() { self.settle() } else { Ok(()) }
    }

    /// Whether memory holds as many keys as it should.
    pub(crate) fn is_full(&self) -> bool {
        self.fresh.len() >= KEYS_IN_MEMORY_MAX
    }

    /// Writes the keys that are in memory only, and merges runs where that is due.
    ///
    /// On an error nothing has changed, and it can be tried again. Entries without a key are not written for their own sake.
    pub(crate) fn settle(&mut self) -> Result<(), KeysError> {
        let (Some(origin), false) = (self.origin, self.fresh.is_empty()) else { return Ok(()) };
        let from = self.merged_from();
        let first = match self.runs.get(from) {
            Some(run) => run.header().first,
            None => self.runs.last().map_or(Seq(1), |run| run.header().last.next()),
        };
        let count = self.runs[from..].iter().map(|run| run.header().count).sum::<u64>() + self.fresh.len() as u64;
        let header = Header { first, last: self.covered, count, origin };
        let sources = self.runs[from..].iter().map(|run| Source::filed(run)).chain([Source::fresh(self.fresh.sorted())]).collect();

        let path = self.folder.join(header.name());
        let unfinished = self.folder.join(UNFINISHED);
        let run = merge(header, sources, &unfinished, &path).inspect_err(|_| {
            // Its place is needed, and its name is nobody's: no run has ended at `covered` before.
            remove(&unfinished);
            remove(&path);
        })?;
        // The room of what somebody reads is theirs.
        match Arc::get_mut(&mut self.fresh) {
            Some(fresh) => fresh.clear(),
            None => self.fresh = Arc::default(),
        }
        for merged in self.runs.splice(from.., [Arc::new(run)]) {
            remove(merged.path());
        }
        Ok(())
    }

    /// The oldest run that does not outweigh all that is newer. From there on all is merged into one, which leaves every run
    /// at least twice as heavy as the next: a key is written about log4(keys / `KEYS_IN_MEMORY_MAX`) times.
    fn merged_from(&self) -> usize {
        let weight = |count: u64| count.max(RUN_WEIGHT_MIN);
        let mut newer = weight(self.fresh.len() as u64);
        let mut from = self.runs.len();
        for (place, run) in self.runs.iter().enumerate().rev() {
            if weight(run.header().count) <= newer {
                from = place;
            }
            newer += weight(run.header().count);
        }
        from
    }
}

/// The runs that bear their right name, in the order in which they are tried: by first entry, the longest first.
fn runs_in(folder: &Path) -> Result<Vec<(PathBuf, Header)>, KeysError> {
    let io = |source| KeysError::Io { path: folder.to_owned(), source };
    let mut runs = Vec::new();
    for file in fs::read_dir(folder).map_err(io)? {
        let file = file.map_err(io)?;
        let (name, path) = (file.file_name(), file.path());
        if name == UNFINISHED {
            remove(&path);
        } else if path.extension().is_some_and(|end| end == run::EXTENSION) && file.file_type().map_err(io)?.is_file() {
            match unless_damaged(Header::read(&path))?.filter(|header| name == header.name().as_str()) {
                Some(header) => runs.push((path, header)),
                None => remove(&path),
            }
        }
    }
    runs.sort_by_key(|(_, header)| (header.first, Reverse(header.last)));
    Ok(runs)
}

/// `None` for what is damaged: at opening that is as if it were not there.
fn unless_damaged<T>(result: Result<T, KeysError>) -> Result<Option<T>, KeysError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(KeysError::Damaged { .. }) => Ok(None),
        Err(error @ KeysError::Io { .. }) => Err(error),
    }
}

/// Removes a file that nobody needs. One that stays all the same is left out again at the next opening.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Makes the names in a folder outlast a power cut. Other systems than Unix cannot open a folder for it, and need not.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests;
