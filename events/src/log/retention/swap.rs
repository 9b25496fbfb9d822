//! How a folded log takes the place of the old one, whatever instant the machine stops at.
//!
//! All of it lies in the log's own folder, under the log's own lock, and is moved by renames alone. What is found there tells what is to
//! be done next, so that the next opening goes on where a crash has stopped:
//!
//! ```text
//! folded.unfinished   is being made: thrown away
//! folded.ready        is whole, and was found to come to the same totals: put in place
//! folded.old          the old journal: thrown away once the new one stands in its place
//! ```

use super::super::{LogError, folder::sync_folder, upkeep::devices};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub(super) const UNFINISHED: &str = "folded.unfinished";
const READY: &str = "folded.ready";
const OLD: &str = "folded.old";
/// What is made from the journal and comes with it. Every folded log has the first two; a checkpoint of another log is known for one.
const DERIVED: [&str; 3] = ["store", "keys", "checkpoint"];

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// From here on the folded log is the log.
pub(super) fn commit(folder: &Path) -> Result<(), LogError> {
    Step::Rename(folder.join(UNFINISHED), folder.join(READY)).take(folder)
}

/// Finishes what was begun. Whether there was anything.
pub(in crate::log) fn finish(folder: &Path) -> Result<bool, LogError> {
    let mut any = false;
    while let Some(step) = next_step(folder)? {
        step.take(folder)?;
        any = true;
    }
    Ok(any)
}

/// Whether a folded log is taking the place of the old one at this instant, or was stopped while it did.
pub(in crate::log) fn is_unfinished(folder: &Path) -> bool {
    [READY, OLD].into_iter().any(|name| folder.join(name).exists())
}

/// What is to be done next, as the folder of the log stands.
pub(super) fn next_step(folder: &Path) -> Result<Option<Step>, LogError> {
    let [unfinished, ready, old] = [UNFINISHED, READY, OLD].map(|name| folder.join(name));
    if unfinished.exists() {
        return Ok(Some(Step::Remove(unfinished)));
    }
    if !ready.exists() {
        return Ok(old.exists().then_some(Step::Remove(old)));
    }
    let journals = match devices(&ready) {
        Ok(journals) => journals,
        // The rest of it is being removed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(LogError::Io { path: ready, source }),
    };
    if let Some((device, fresh)) = journals.into_iter().next() {
        let place = folder.join("journal").join(device);
        return Ok(Some(match (place.exists(), old.exists()) {
            (true, true) => Step::Remove(old),
            (true, false) => Step::Rename(place, old),
            (false, _) => Step::Rename(fresh, place),
        }));
    }
    let derived = DERIVED.into_iter().map(|name| (ready.join(name), folder.join(name))).find(|(fresh, _)| fresh.exists());
    Ok(Some(match derived {
        Some((_, place)) if place.exists() => Step::Remove(place),
        Some((fresh, place)) => Step::Rename(fresh, place),
        None => Step::Remove(ready),
    }))
}

impl Step {
    /// Does it, and makes it outlast a power cut before the next one is done.
    pub(super) fn take(&self, folder: &Path) -> Result<(), LogError> {
        let (path, done) = match self {
            Step::Rename(from, to) => (from, fs::rename(from, to)),
            Step::Remove(path) if path.is_dir() => (path, fs::remove_dir_all(path)),
            Step::Remove(path) => (path, fs::remove_file(path)),
        };
        let synced = done.and_then(|()| sync_folder(&folder.join("journal"))).and_then(|()| sync_folder(folder));
        synced.map_err(|source| LogError::Io { path: path.clone(), source })
    }
}
