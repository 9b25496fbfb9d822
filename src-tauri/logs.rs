//! AI clients' own logs: found, read from where the last reading ended, and handed on as sightings.
//!
//! One pure reader per client (`claude_code.rs`, ...) turns lines, documents and rows into sightings; where logs lie, what was read already, and how a long
//! file passes through little memory is the same for all and stands here. A log that cannot be read never stops the others.
//! Reading anything twice is harmless, because the ledger knows a call by its key; cursors only save the work.

pub mod generic;
pub mod watch;

mod client;
mod places;
mod walk;

mod cursor;
mod kin;
mod lines;
mod reading;
mod sqlite;
mod table;

mod json;
mod kept;
mod row;

mod aider;
mod amp;
pub mod claude_code;
mod cline;
mod codex;
mod copilot;
mod crush;
mod cursor_csv;
mod droid;
mod gemini;
mod goose;
mod grok;
mod kimi;
mod opencode;
mod pi;
mod qwen;
mod zed;

pub use client::Client;
pub(crate) use client::again;
pub use cursor::Cursors;
pub use lines::Line;
pub use places::usual_roots;
pub use walk::files;

use crate::attribution::Projects;
use cursor::Cursor;
use events::{RequestKey, Sighting};
use kin::Kin;
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

/// How many sightings are handed over at once, at most.
pub const BATCH_SIGHTINGS_MAX: usize = 2048;
/// How many files may wait for one batch to fill; keeps short what an interruption reads again.
const BATCH_FILES_MAX: usize = 512;

/// How far an import is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files looked at.
    pub files_done: usize,
    /// Files to look at.
    pub files: usize,
    /// Bytes read until now.
    pub bytes_read: u64,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files looked at, those without news included.
    pub files: usize,
    /// Sightings handed over. A call that two batches saw counts twice here; the ledger knows that it is one.
    pub calls: usize,
    /// Bytes read.
    pub bytes_read: u64,
    /// What could not be read, and why. A file stands here once in the life of its [`Cursors`], until it could be read again.
    pub skipped: Vec<(PathBuf, String)>,
}

/// Reads what is new in a client's logs below `roots` (see [`usual_roots`]) and hands it to `sink` in batches of about
/// [`BATCH_SIGHTINGS_MAX`], each call at most once a batch.
///
/// A cursor moves when `sink` took the batch; the caller keeps the cursors ([`Cursors::save`]). What `sink` refuses ends the import.
pub fn import<E>(
    client: Client,
    roots: &[PathBuf],
    cursors: &mut Cursors,
    projects: &mut Projects,
    sink: &mut dyn FnMut(Vec<Sighting>) -> Result<(), E>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, E> {
    let (files, skipped) = walk::files_and_faults(client, roots);
    let mut report = import_files(client, &files, cursors, projects, sink, progress)?;
    for (path, reason) in skipped {
        if cursors.fault_is_new(&path, &reason) {
            report.skipped.push((path, reason));
        }
    }
    cursors.forget_missing(client, roots, &files);
    Ok(report)
}

/// As [`import`], for files that are known to have changed.
pub fn import_files<E>(
    client: Client,
    files: &[PathBuf],
    cursors: &mut Cursors,
    projects: &mut Projects,
    sink: &mut dyn FnMut(Vec<Sighting>) -> Result<(), E>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, E> {
    let mut kin = Kin::default();
    cursors.readers(client).for_each(|reader| kin.learn(reader));
    let mut import =
        Import { client, kin, cursors, projects, sink, batch: Batch::default(), waiting: Vec::new(), report: Report::default() };
    let mut files: Vec<&PathBuf> = files.iter().collect();
    import.look_ahead(&mut files);
    for path in &files {
        match import.file(path) {
            Ok(()) => import.cursors.fault_is_over(path),
            Err(Stop::Sink(error)) => return Err(error),
            Err(Stop::File(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(Stop::File(error)) => import.skip(path, format!("cannot read: {error}")),
        }
        import.report.files += 1;
        if import.batch.sightings.len() >= BATCH_SIGHTINGS_MAX || import.waiting.len() >= BATCH_FILES_MAX {
            import.hand_over()?;
        }
        progress(Progress { files_done: import.report.files, files: files.len(), bytes_read: import.report.bytes_read });
    }
    import.hand_over()?;
    Ok(import.report)
}

struct Import<'a, E> {
    client: Client,
    kin: Kin,
    cursors: &'a mut Cursors,
    projects: &'a mut Projects,
    sink: &'a mut dyn FnMut(Vec<Sighting>) -> Result<(), E>,
    batch: Batch,
    /// Cursors to be moved when the batch is taken.
    waiting: Vec<(PathBuf, Cursor)>,
    report: Report,
}

enum Stop<E> {
    Sink(E),
    File(io::Error),
}

impl<E> From<io::Error> for Stop<E> {
    fn from(error: io::Error) -> Stop<E> {
        Stop::File(error)
    }
}

impl<E> Import<'_, E> {
    fn hand_over(&mut self) -> Result<(), E> {
        let batch = std::mem::take(&mut self.batch).sightings;
        if !batch.is_empty() {
            let calls = batch.len();
            (self.sink)(batch)?;
            self.report.calls += calls;
        }
        for (path, cursor) in self.waiting.drain(..) {
            self.cursors.set(&path, cursor);
        }
        Ok(())
    }

    fn skip(&mut self, path: &Path, reason: String) {
        if self.cursors.fault_is_new(path, &reason) {
            self.report.skipped.push((path.to_owned(), reason));
        }
    }
}

/// Sightings on their way, those of one call made one.
#[derive(Default)]
struct Batch {
    sightings: Vec<Sighting>,
    by_key: HashMap<RequestKey, usize>,
}

impl Batch {
    fn add(&mut self, mut sighting: Sighting) {
        let known = sighting.usage.key().map(|key| *self.by_key.entry(key).or_insert(self.sightings.len()));
        match known.and_then(|at| self.sightings.get_mut(at)) {
            None => self.sightings.push(sighting),
            Some(known) => {
                // Most lines of a call say the same at a later time, of which the earlier one counts: nothing to merge.
                sighting.usage.at = sighting.usage.at.min(known.usage.at);
                if sighting.usage == known.usage {
                    return;
                }
                let merged = known.usage.merged(&sighting.usage);
                // What was said stands with the tokens that it was read from.
                if merged.tokens != known.usage.tokens {
                    known.said = sighting.said;
                }
                known.usage = merged;
            }
        }
    }
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
