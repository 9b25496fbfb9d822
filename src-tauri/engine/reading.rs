//! What can be read of a log that cannot be opened: a copy of its journal, opened in a temporary folder.
//!
//! Nothing is written beside the log, and its lock is not asked for: a disk that is full or mounted for reading only, and an engine that
//! does not answer, hide no figures.

use super::{
    asking::{Asking, State},
    ledger::storage_fault,
};
use crate::config::{Config, Home};
use events::{
    Log, PriceBook,
    log::devices,
    query::{EngineFacts, Fault, FaultCode, Query},
};
use std::{
    env, fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const PREFIX: &str = "tollbar-reading-";
/// What a folder for the copy must have free, beside twice the bytes of the journal.
const FREE_BYTES_MIN: u64 = 16 << 20;

/// A copy of a log, which is removed when this is dropped.
pub(super) struct Reading {
    state: State,
    asking: Asking,
    /// How long the journal was when it was copied.
    journal_bytes: u64,
    _log: Log,
    _folder: TempDir,
}

impl Reading {
    /// Copies the journal of a home and opens the copy.
    pub(super) fn of(home: &Home, config: &Config) -> Result<Reading, Fault> {
        let failed = |error: &io::Error| Fault::new(FaultCode::Storage, format!("the journal cannot be read: {error}"), "");
        let (device, files) = journal(home).map_err(|error| failed(&error))?;
        let journal_bytes = files.iter().map(|(_, bytes)| bytes).sum();
        let folder = temporary_folder(journal_bytes).map_err(|error| failed(&error))?;
        let copies = folder.path().join("log").join("journal").join(&device);
        fs::create_dir_all(&copies).map_err(|error| failed(&error))?;
        for (file, _) in &files {
            fs::copy(file, copies.join(file.file_name().unwrap_or_default())).map_err(|error| failed(&error))?;
        }
        let open = || Log::open_folded(&folder.path().join("log"), &device, PriceBook::bundled());
        let opened = catch_unwind(AssertUnwindSafe(open));
        let (log, projections) = opened
            .map_err(|_| Fault::new(FaultCode::Internal, "the journal cannot be read: an internal fault", ""))?
            .map_err(|error| storage_fault(&error))?;
        let state = State { log: log.snapshot(), projections };
        let asking = Asking::new(config.zone, config.plans.clone());
        Ok(Reading { state, asking, journal_bytes, _log: log, _folder: folder })
    }

    /// Whether the journal has not grown since.
    pub(super) fn is_current(&self, home: &Home) -> bool {
        journal(home).is_ok_and(|(_, files)| files.iter().map(|(_, bytes)| bytes).sum::<u64>() == self.journal_bytes)
    }

    /// Answers a question from the copy.
    pub(super) fn answer<Q: Query>(&self, query: &Q, engine: Option<&EngineFacts>) -> Result<Q::Answer, Fault> {
        self.asking.answer(query, &self.state, engine)
    }

    /// The newest entry of the copy.
    pub(super) fn last(&self) -> events::Seq {
        self.state.log.last()
    }
}

/// The name of this machine's journal, and its files with their lengths. Changes nothing.
fn journal(home: &Home) -> io::Result<(String, Vec<(PathBuf, u64)>)> {
    let named = fs::read_to_string(home.data.join("device")).unwrap_or_default();
    let mut found = Vec::new();
    for (device, folder) in devices(&home.log())? {
        let mut files = Vec::new();
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            if path.extension().is_some_and(|end| end == "zst") {
                let bytes = fs::metadata(&path)?.len();
                files.push((path, bytes));
            }
        }
        found.push((device, files));
    }
    // Without the right name, the largest is likeliest ours.
    let place = found.iter().position(|(device, _)| device == named.trim());
    let largest =
        || found.iter().enumerate().max_by_key(|(_, (_, files))| files.iter().map(|(_, bytes)| bytes).sum::<u64>()).map(|(place, _)| place);
    match place.or_else(largest) {
        Some(place) => Ok(found.swap_remove(place)),
        None => Err(io::Error::new(io::ErrorKind::NotFound, format!("there is none in {}", home.log().display()))),
    }
}

/// A private folder where there is room for a copy: on the usual disk for such, or in memory.
fn temporary_folder(journal_bytes: u64) -> io::Result<TempDir> {
    let needed = journal_bytes.saturating_mul(2).saturating_add(FREE_BYTES_MIN);
    let places = [env::temp_dir(), PathBuf::from("/dev/shm"), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    for place in places.iter().filter(|place| free_bytes(place).is_none_or(|free| free >= needed)) {
        remove_left_over(place);
        if let Ok(folder) = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place) {
            return Ok(folder);
        }
    }
    Err(io::Error::new(io::ErrorKind::StorageFull, format!("no temporary folder has {} MiB free (TMPDIR names one)", needed >> 20)))
}

/// Removes copies whose process was killed: nobody holds their lock.
fn remove_left_over(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))
            && let Ok(lock) = fs::File::open(entry.path().join("log").join("lock"))
            && lock.try_lock().is_ok()
        {
            // Another user's stays.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    // A folder that is not there has no room.
    Some(rustix::fs::statvfs(folder).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize)))
}

#[cfg(not(unix))]
fn free_bytes(folder: &Path) -> Option<u64> {
    (!folder.exists()).then_some(0)
}
