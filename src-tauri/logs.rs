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

mod batch;
mod cursor;
mod kin;
mod lines;
mod reading;
mod sqlite;
mod table;
mod times;
mod together;
mod utf16;

mod fields;
mod json;
mod kept;
mod row;

mod aider;
mod amp;
pub mod claude_code;
mod cline;
pub mod codex;
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
pub use row::Former;
pub use walk::{Found, files, find, find_beside};

use crate::attribution::Projects;
use events::{Sighting, log::BATCH_FACTS_MAX};
use kin::Kin;
use std::path::PathBuf;

/// How many sightings are handed over at once, at most: as many as the log takes.
pub const BATCH_SIGHTINGS_MAX: usize = BATCH_FACTS_MAX;

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
    /// Keys of former versions, where they were asked for ([`Cursors::ask_for_former`]).
    pub former: Vec<Former>,
}

/// Reads what is new in a client's logs below `roots` (see [`usual_roots`]) and hands it to `sink` in batches of at most
/// [`BATCH_SIGHTINGS_MAX`], each call at most once a batch.
///
/// Files are read on all cores while `sink` works, and handed over in the order of their names, whichever of them was read first.
/// A cursor moves when `sink` took the batch; the caller keeps the cursors ([`Cursors::save`]). What `sink` refuses ends the import.
pub fn import<E>(
    client: Client,
    roots: &[PathBuf],
    cursors: &mut Cursors,
    projects: &mut Projects,
    sink: &mut dyn FnMut(Vec<Sighting>) -> Result<(), E>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, E> {
    import_found(client, roots, find(client, roots), cursors, projects, sink, progress)
}

/// As [`import`], of what was found below the roots just now.
pub fn import_found<E>(
    client: Client,
    roots: &[PathBuf],
    found: Found,
    cursors: &mut Cursors,
    projects: &mut Projects,
    sink: &mut dyn FnMut(Vec<Sighting>) -> Result<(), E>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, E> {
    let Found { files, faults } = found;
    let mut report = import_files(client, &files, cursors, projects, sink, progress)?;
    for (path, reason) in faults {
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
    let mut report = Report::default();
    for turn in together::in_turns(client, files) {
        let heads = together::heads(client, &turn, cursors);
        heads.iter().for_each(|reader| kin.learn(reader));
        let wants_former = cursors.wants_former();
        let reading = together::Reading::new(client, cursors, &kin, projects, wants_former);
        let taken = together::read(&reading, &turn, &mut |parcel| {
            let calls = parcel.sightings.len();
            if calls > 0 {
                sink(parcel.sightings)?;
            }
            report.calls += calls;
            report.former.extend(parcel.former);
            report.files += parcel.files;
            report.bytes_read += parcel.bytes_read;
            progress(Progress { files_done: report.files, files: files.len(), bytes_read: report.bytes_read });
            Ok(())
        });
        for (path, cursor) in taken.cursors {
            kin.learn(&cursor.reader);
            cursors.set(&path, cursor);
        }
        for (path, fault) in taken.faults {
            match fault {
                None => cursors.fault_is_over(&path),
                Some(reason) if cursors.fault_is_new(&path, &reason) => report.skipped.push((path, reason)),
                Some(_) => {}
            }
        }
        taken.result?;
    }
    Ok(report)
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
