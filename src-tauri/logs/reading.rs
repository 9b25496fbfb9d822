//! One file of an import: from where its last reading ended, in whatever form it is, through its reader into the batch.

use super::{
    BATCH_SIGHTINGS_MAX, Client, Import, Line, Stop,
    client::Reader,
    cursor::{Cursor, Place},
    json, kin,
    lines::{self, Lines},
    places::{self, Form},
    row::Around,
    sqlite, table,
};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// The largest document that is read; it is held in memory.
const DOCUMENT_BYTES_MAX: u64 = 256 << 20;
/// How many of the rows that were read are read again: what a client writes first, it completes later.
const ROWS_AGAIN: i64 = 1024;
/// The largest window that a packed file may ask for, as a power of two.
const WINDOW_LOG_MAX: u32 = 27;

impl<E> Import<'_, E> {
    /// Learns what files must know of each other before any is read, and puts those first that tell of calls best.
    pub(super) fn look_ahead(&mut self, files: &mut Vec<&PathBuf>) {
        match self.client {
            Client::Codex => {
                // A file is packed before its plain sibling is removed, and unpacked before more is added: the plain one is newer.
                files.retain(|path| !is_packed(path) || !path.with_extension("").exists());
                let unknown: Vec<&PathBuf> = files.iter().copied().filter(|path| self.cursors.get(path).is_none()).collect();
                unknown.into_iter().for_each(|path| self.learn_head(path));
            }
            Client::CopilotCli => files.sort_by_key(|path| path.extension().is_none_or(|ending| ending != "db")),
            Client::Qwen => files.sort_by_key(|path| !path.components().any(|part| part.as_os_str() == "usage")),
            Client::ClaudeCode
            | Client::GeminiCli
            | Client::OpenCode
            | Client::Kilo
            | Client::Droid
            | Client::Pi
            | Client::Amp
            | Client::Kimi
            | Client::Cline
            | Client::Crush
            | Client::Goose
            | Client::Zed
            | Client::Grok
            | Client::Aider
            | Client::Cursor => {}
        }
    }

    /// The head of a rollout names its session and the one that it was copied from.
    fn learn_head(&mut self, path: &Path) {
        let Some(line) = kin::first_line(path, is_packed(path)) else { return };
        let mut reader = self.client.reader();
        self.line(&mut reader, path, 0, &line, &mut Vec::new());
        self.kin.learn(&reader);
    }

    pub(super) fn file(&mut self, path: &Path) -> Result<(), Stop<E>> {
        match places::form(self.client, path) {
            Some(Form::Lines) => self.lines(path),
            Some(Form::PackedLines) => self.packed_lines(path),
            Some(Form::Document | Form::Table) => self.document(path),
            Some(Form::Database) => self.database(path),
            None => Ok(()),
        }
    }

    /// The cursor of a file, if it is this reader's.
    fn known(&self, path: &Path) -> Option<&Cursor> {
        let version = self.client.reader_version();
        self.cursors.get(path).filter(|cursor| cursor.reader.client() == self.client && cursor.reader_version == version)
    }

    fn lines(&mut self, path: &Path) -> Result<(), Stop<E>> {
        let seen = Place::of(&path.metadata()?);
        let version = self.client.reader_version();
        let known = self.known(path);
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
        let mut lines = Lines::new(file, start);
        let mut found = Vec::new();
        while let Some((offset, bytes)) = lines.next_whole()? {
            self.line(&mut reader, path, offset, bytes, &mut found);
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
        self.line(&mut reader, path, offset, bytes, &mut found);
        self.report.bytes_read += lines.bytes_read();
        let too_long = lines.too_long();
        let cursor = Cursor::at(lines.offset(), lines.source(), place, version, &cursor_reader)?;
        self.kin.learn(&reader);
        self.waiting.push((path.to_owned(), cursor));
        self.tell_too_long(path, too_long);
        Ok(())
    }

    /// Lines of a packed file, which is written once: all of them, or none where it is as it was.
    fn packed_lines(&mut self, path: &Path) -> Result<(), Stop<E>> {
        let mut file = File::open(path)?;
        let place = Place::of(&file.metadata()?);
        if self.known(path).is_some_and(|cursor| cursor.place == place) {
            return Ok(());
        }
        let mut reader = self.client.reader();
        let mut source = zstd::stream::read::Decoder::new(&mut file)?;
        source.window_log_max(WINDOW_LOG_MAX)?;
        let mut lines = Lines::new(source, 0);
        let mut found = Vec::new();
        while let Some((offset, bytes)) = lines.next_whole()? {
            self.line(&mut reader, path, offset, bytes, &mut found);
            if self.batch.sightings.len() >= BATCH_SIGHTINGS_MAX {
                self.hand_over().map_err(Stop::Sink)?;
            }
        }
        let (offset, bytes) = lines.rest();
        self.line(&mut reader, path, offset, bytes, &mut found);
        self.report.bytes_read += lines.bytes_read();
        let too_long = lines.too_long();
        drop(lines);
        self.kin.learn(&reader);
        let cursor = Cursor::at(0, &mut file, place, self.client.reader_version(), &reader)?;
        self.waiting.push((path.to_owned(), cursor));
        self.tell_too_long(path, too_long);
        Ok(())
    }

    /// A document is read whole whenever it changed; a table is one whose rows are read like lines.
    fn document(&mut self, path: &Path) -> Result<(), Stop<E>> {
        let mut file = File::open(path)?;
        let place = Place::of(&file.metadata()?);
        let known = self.known(path);
        if known.is_some_and(|cursor| cursor.place == place) {
            return Ok(());
        }
        let before = known.map(|cursor| cursor.reader.clone()).filter(Reader::outlives_its_document);
        let mut reader = before.unwrap_or_else(|| self.client.reader());
        let mut bytes = Vec::new();
        (&mut file).take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
            self.skip(path, format!("longer than {} MiB", DOCUMENT_BYTES_MAX >> 20));
            return Ok(());
        }
        self.report.bytes_read += bytes.len() as u64;
        let mut found = Vec::new();
        if places::form(self.client, path) == Some(Form::Table) {
            for (number, row) in (0..).zip(table::rows(&json::text(&bytes))) {
                self.line(&mut reader, path, number, row.as_bytes(), &mut found);
            }
        } else {
            self.line(&mut reader, path, 0, &bytes, &mut found);
        }
        // Half a document yields nothing; the client finishes it, and then its place changes.
        let cursor = Cursor::at(0, &mut file, place, self.client.reader_version(), &reader)?;
        self.waiting.push((path.to_owned(), cursor));
        Ok(())
    }

    /// The rows of a database from shortly before where the last reading ended.
    fn database(&mut self, path: &Path) -> Result<(), Stop<E>> {
        let place = place_of_database(path)?;
        let known = self.known(path);
        if known.is_some_and(|cursor| cursor.place == place) {
            return Ok(());
        }
        let last = known.filter(|cursor| cursor.place.same_file(&place)).map_or(0, |cursor| i64::try_from(cursor.offset).unwrap_or(0));
        let mut reader = known.map_or_else(|| self.client.reader(), |cursor| cursor.reader.clone());
        let mut until = self.rows(path, &mut reader, (last - ROWS_AGAIN).max(0))?;
        if until < last {
            // Numbered anew, or another database under this name.
            until = self.rows(path, &mut reader, 0)?;
        }
        self.kin.learn(&reader);
        let cursor = Cursor::of_database(u64::try_from(until).unwrap_or(0), place, self.client.reader_version(), &reader);
        self.waiting.push((path.to_owned(), cursor));
        Ok(())
    }

    fn rows(&mut self, path: &Path, reader: &mut Reader, after: i64) -> Result<i64, Stop<E>> {
        let (mut found, queries) = (Vec::new(), places::queries(self.client));
        let mut take = |number: i64, bytes: &[u8]| {
            self.report.bytes_read += bytes.len() as u64;
            self.line(reader, path, u64::try_from(number).unwrap_or(0), bytes, &mut found);
            if self.batch.sightings.len() >= BATCH_SIGHTINGS_MAX { self.hand_over() } else { Ok(()) }
        };
        match sqlite::rows(path, queries, after, &mut take)? {
            sqlite::Rows::Until(until) => Ok(until),
            // Beside the one that is wanted, clients keep others.
            sqlite::Rows::NotKnown => Ok(0),
            sqlite::Rows::Refused(error) => Err(Stop::Sink(error)),
        }
    }

    fn line(&mut self, reader: &mut Reader, path: &Path, offset: u64, bytes: &[u8], found: &mut Vec<events::Sighting>) {
        let name = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
        let (kin, projects) = (&self.kin, &mut *self.projects);
        let mut around = Around {
            path,
            projects: &mut |cwd| projects.of_folder(cwd),
            root: &|session| kin.root(session),
            covered: &|session| kin.covers(session),
            beside: &|name| kin::beside(path, name),
        };
        reader.line(Line { bytes, file: &name, offset }, &mut around, found);
        found.drain(..).for_each(|sighting| self.batch.add(sighting));
    }

    fn tell_too_long(&mut self, path: &Path, too_long: u64) {
        if too_long > 0 {
            self.skip(path, format!("{too_long} lines longer than {} MiB", lines::LINE_BYTES_MAX >> 20));
        }
    }
}

fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "zst")
}

/// How a database stands: with what was written ahead of it.
fn place_of_database(path: &Path) -> io::Result<Place> {
    let place = Place::of(&path.metadata()?);
    // Reading leaves an empty one behind where there was none.
    let ahead = sqlite::beside(path, "-wal").metadata().ok().filter(|ahead| ahead.len() > 0);
    Ok(ahead.map_or(place, |ahead| place.with(&Place::of(&ahead))))
}
