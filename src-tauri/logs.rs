//! AI clients' own logs: found, read from where the last reading ended, and handed on as sightings.
//!
//! One pure reader per client (`claude_code.rs`, ...) turns lines into sightings; where logs lie, what was read already, and how a long
//! file passes through little memory is the same for all and stands here. A log that cannot be read never stops the others.
//! Reading anything twice is harmless, because the ledger knows a call by its key; cursors only save the work.

pub mod claude_code;
pub mod watch;

mod cursor;
mod lines;
mod walk;

pub use cursor::Cursors;
pub use lines::Line;
pub use walk::{files, usual_roots};

use crate::attribution::Projects;
use cursor::{Cursor, Place};
use events::{Project, RequestKey, Sighting};
use lines::Lines;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs::File,
    io::{self, Seek, SeekFrom},
    path::{Path, PathBuf},
    str::FromStr,
};

/// How many sightings are handed over at once, at most.
pub const BATCH_SIGHTINGS_MAX: usize = 2048;
/// How many files may wait for one batch to fill; keeps short what an interruption reads again.
const BATCH_FILES_MAX: usize = 512;

/// A program whose logs can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// Anthropic's Claude Code.
    ClaudeCode,
}

impl Client {
    /// Every one there is.
    pub const ALL: [Client; 1] = [Client::ClaudeCode];

    /// Its name on the command line and in [`events::Usage::client`].
    pub const fn name(self) -> &'static str {
        match self {
            Client::ClaudeCode => "claude-code",
        }
    }

    const fn reader_version(self) -> u32 {
        match self {
            Client::ClaudeCode => claude_code::VERSION,
        }
    }

    fn reader(self) -> Reader {
        match self {
            Client::ClaudeCode => Reader::ClaudeCode(claude_code::Reader::default()),
        }
    }
}

impl FromStr for Client {
    type Err = String;
    fn from_str(name: &str) -> Result<Client, String> {
        Client::ALL.into_iter().find(|client| client.name() == name).ok_or_else(|| {
            let known: Vec<_> = Client::ALL.into_iter().map(Client::name).collect();
            format!("no such client: {name:?} (known: {})", known.join(", "))
        })
    }
}

/// The reader of one file, with the state that it carries from line to line and, in the file's cursor, from import to import.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reader {
    ClaudeCode(claude_code::Reader),
}

impl Reader {
    const fn client(&self) -> Client {
        match self {
            Reader::ClaudeCode(_) => Client::ClaudeCode,
        }
    }

    fn line(&mut self, line: Line<'_>, projects: &mut dyn FnMut(&str) -> Option<Project>, found: &mut Vec<Sighting>) {
        match self {
            Reader::ClaudeCode(reader) => reader.line(line, projects, found),
        }
    }
}

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
    let mut import = Import { client, cursors, projects, sink, batch: Batch::default(), waiting: Vec::new(), report: Report::default() };
    for path in files {
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
    fn file(&mut self, path: &Path) -> Result<(), Stop<E>> {
        let seen = Place::of(&path.metadata()?);
        let version = self.client.reader_version();
        let known = self.cursors.get(path).filter(|cursor| cursor.reader.client() == self.client && cursor.reader_version == version);
        if known.is_some_and(|cursor| cursor.place == seen) {
            return Ok(());
        }
        let mut file = File::open(path)?;
        // Of the open file: the path may have been given to another one since.
        let place = Place::of(&file.metadata()?);
        let (mut reader, start) = match known {
            Some(cursor) if cursor.still_fits(&place, &mut file)? => (cursor.reader.clone(), cursor.offset),
            Some(_) | None => (self.client.reader(), 0),
        };
        file.seek(SeekFrom::Start(start))?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let mut lines = Lines::new(file, start);
        let mut found = Vec::new();
        while let Some((offset, bytes)) = lines.next_whole()? {
            let line = Line { bytes, file: &name, offset };
            reader.line(line, &mut |cwd| self.projects.of_folder(cwd), &mut found);
            found.drain(..).for_each(|sighting| self.batch.add(sighting));
            if self.batch.sightings.len() >= BATCH_SIGHTINGS_MAX {
                let cursor = Cursor::at(lines.offset(), lines.source(), place, version, &reader)?;
                self.waiting.push((path.to_owned(), cursor.unfinished()));
                self.hand_over().map_err(Stop::Sink)?;
            }
        }
        // The last line without its end: half a line is no JSON and yields nothing; a whole one is told now, and again when its end is
        // there. The cursor stays before it, and the reader forgets it.
        let cursor_reader = reader.clone();
        let (offset, bytes) = lines.rest();
        reader.line(Line { bytes, file: &name, offset }, &mut |cwd| self.projects.of_folder(cwd), &mut found);
        found.drain(..).for_each(|sighting| self.batch.add(sighting));
        self.report.bytes_read += lines.bytes_read();
        let too_long = lines.too_long();
        let cursor = Cursor::at(lines.offset(), lines.source(), place, version, &cursor_reader)?;
        self.waiting.push((path.to_owned(), cursor));
        if too_long > 0 {
            self.skip(path, format!("{too_long} lines longer than {} MiB", lines::LINE_BYTES_MAX >> 20));
        }
        Ok(())
    }

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
mod tests;
