//! One file of an import: from where its last reading ended, in whatever form it is, through its reader into the batch.

use super::{
    Line,
    batch::Batch,
    client::{Client, Reader},
    cursor::{Cursor, Place},
    json,
    kin::{self, Kin},
    lines::{self, Lines},
    places::{self, Form},
    row::Around,
    sqlite, table,
    together::{PIECE_SIGHTINGS_MAX, Piece, Reading},
};
use crate::regular::{RegularFile, Unpacked, open_regular};
use events::{Project, Sighting};
use std::{
    borrow::Cow,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// The largest document that is read; it is held in memory.
const DOCUMENT_BYTES_MAX: u64 = 256 << 20;
/// The longest file of lines that is read.
const LOG_BYTES_MAX: u64 = 64 << 30;
/// How many of the rows that were read are read again: what a client writes first, it completes later.
const ROWS_AGAIN: i64 = 1024;
/// The largest window that a packed file may ask for, as a power of two.
const WINDOW_LOG_MAX: u32 = 27;

/// Nobody takes what is read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

enum Stop {
    Gone,
    File(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::File(error)
    }
}

impl From<Gone> for Stop {
    fn from(Gone: Gone) -> Stop {
        Stop::Gone
    }
}

/// Takes what was read.
pub(super) type Give<'g> = dyn FnMut(Piece) -> Result<(), Gone> + 'g;

/// Reads what is new in a file and gives it on, in pieces of which the last says so. `buffer` is used again from file to file.
pub(super) fn file(reading: &Reading<'_>, path: &Path, buffer: &mut Vec<u8>, give: &mut Give<'_>) -> Result<(), Gone> {
    let mut one =
        One { reading, path, name: name_of(path), batch: Batch::default(), found: Vec::new(), bytes_read: 0, fault: None, buffer, give };
    let end = match one.read() {
        Ok(cursor) => Piece { cursor, end: Some(one.fault.take()), ..one.piece() },
        Err(Stop::Gone) => return Err(Gone),
        Err(Stop::File(_)) if reading.stop().is_asked() => return Err(Gone),
        // Removed since it was found.
        Err(Stop::File(error)) if error.kind() == io::ErrorKind::NotFound => Piece { end: Some(None), ..one.piece() },
        Err(Stop::File(error)) => Piece { end: Some(Some(format!("cannot read: {error}"))), ..one.piece() },
    };
    give(end)
}

/// What the head of a log tells its reader.
pub(super) fn head(client: Client, path: &Path) -> Option<Reader> {
    let line = kin::first_line(path, is_packed(path))?;
    let mut reader = client.reader();
    let mut no_project = |_: &str| None;
    let line = Line { bytes: &line, file: &name_of(path), offset: 0 };
    line_of(&mut reader, path, &Kin::default(), &mut no_project, line, &mut Vec::new());
    Some(reader)
}

/// The name of a log, without folder and ending.
fn name_of(path: &Path) -> Cow<'_, str> {
    path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default()
}

/// One file of an import.
struct One<'a, 'r, 'g> {
    reading: &'a Reading<'r>,
    path: &'a Path,
    name: Cow<'a, str>,
    batch: Batch,
    /// What was found last, for a reader that has more to say of it.
    found: Vec<Sighting>,
    bytes_read: u64,
    fault: Option<String>,
    buffer: &'a mut Vec<u8>,
    give: &'a mut Give<'g>,
}

impl One<'_, '_, '_> {
    /// Reads it, and says how far; `None` where that is as far as before.
    fn read(&mut self) -> Result<Option<Cursor>, Stop> {
        match places::form(self.reading.client, self.path) {
            Some(Form::Lines) => self.lines(),
            Some(Form::PackedLines) => self.packed_lines(),
            Some(Form::Document | Form::Table) => self.document(),
            Some(Form::Database) => self.database(),
            None => Ok(None),
        }
    }

    /// What was found until now.
    fn piece(&mut self) -> Piece {
        self.found.drain(..).for_each(|sighting| self.batch.add(sighting));
        Piece { sightings: self.batch.take(), cursor: None, bytes_read: std::mem::take(&mut self.bytes_read), end: None }
    }

    fn is_full(&self) -> bool {
        self.batch.len() + self.found.len() >= PIECE_SIGHTINGS_MAX
    }

    /// The cursor of the file, if it is this reader's.
    fn known(&self) -> Option<&Cursor> {
        let client = self.reading.client;
        self.reading
            .cursors
            .get(self.path)
            .filter(|cursor| cursor.reader.client() == client && cursor.reader_version == client.reader_version())
    }

    fn open(&self, bytes_max: u64) -> io::Result<RegularFile> {
        Ok(open_regular(self.path)?.at_most(bytes_max)?.until(self.reading.stop().clone()))
    }

    fn lines(&mut self) -> Result<Option<Cursor>, Stop> {
        let version = self.reading.client.reader_version();
        let known = self.known();
        if let Some(cursor) = known
            && cursor.place == Place::of(&self.path.metadata()?)
        {
            return Ok(None);
        }
        let mut file = self.open(LOG_BYTES_MAX)?;
        // Of the open file: the path may have been given to another one since.
        let place = Place::of(file.opened());
        let (mut reader, start) = match known {
            Some(cursor) if cursor.still_fits(&place, &mut file)? => (cursor.reader.clone(), cursor.offset),
            Some(_) | None => (self.reading.client.reader(), 0),
        };
        file.seek(SeekFrom::Start(start))?;
        let mut lines = Lines::new(file, start, std::mem::take(self.buffer));
        while let Some((offset, bytes)) = lines.next_with(reader.needles())? {
            self.line(&mut reader, offset, bytes);
            if self.is_full() {
                let cursor = cursor_in(&mut lines, place, version, &reader)?.unfinished();
                let piece = Piece { cursor: Some(cursor), ..self.piece() };
                (self.give)(piece)?;
            }
        }
        // The last line without its end: half a line is no JSON and yields nothing; a whole one is told now, and again when its end is
        // there. The cursor stays before it, and the reader forgets it.
        let mut cursor = cursor_in(&mut lines, place, version, &reader)?;
        let (offset, bytes) = lines.rest();
        self.line(&mut reader, offset, bytes);
        self.bytes_read += lines.bytes_read();
        self.tell_long(&lines);
        // Written to while it was read: lines were added, or it has become another file, of which the beginning was not seen.
        if Place::of(&lines.source().now()?) != place {
            cursor = Cursor::at(0, lines.source(), place, version, &self.reading.client.reader())?.unfinished();
        }
        *self.buffer = lines.into_buffer();
        Ok(Some(cursor))
    }

    /// Lines of a packed file, which is written once: all of them, or none where it is as it was.
    fn packed_lines(&mut self) -> Result<Option<Cursor>, Stop> {
        let mut file = self.open(LOG_BYTES_MAX)?;
        let place = Place::of(file.opened());
        if self.known().is_some_and(|cursor| cursor.place == place) {
            return Ok(None);
        }
        let mut reader = self.reading.client.reader();
        let packed_bytes = file.length();
        let mut source = zstd::stream::read::Decoder::new(&mut file)?;
        source.window_log_max(WINDOW_LOG_MAX)?;
        let source = Unpacked::new(source, packed_bytes, self.reading.stop().clone());
        let mut lines = Lines::new(source, 0, std::mem::take(self.buffer));
        while let Some((offset, bytes)) = lines.next_with(reader.needles())? {
            self.line(&mut reader, offset, bytes);
            if self.is_full() {
                let piece = self.piece();
                (self.give)(piece)?;
            }
        }
        let (offset, bytes) = lines.rest();
        self.line(&mut reader, offset, bytes);
        self.bytes_read += lines.bytes_read();
        self.tell_long(&lines);
        *self.buffer = lines.into_buffer();
        Ok(Some(Cursor::at(0, &mut file, place, self.reading.client.reader_version(), &reader)?))
    }

    /// A document is read whole whenever it changed; a table is one whose rows are read like lines.
    fn document(&mut self) -> Result<Option<Cursor>, Stop> {
        let mut file = self.open(u64::MAX)?;
        let place = Place::of(file.opened());
        let known = self.known();
        if known.is_some_and(|cursor| cursor.place == place) {
            return Ok(None);
        }
        let before = known.map(|cursor| cursor.reader.clone()).filter(Reader::outlives_its_document);
        let mut reader = before.unwrap_or_else(|| self.reading.client.reader());
        let mut bytes = Vec::new();
        (&mut file).take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
            self.fault = Some(format!("longer than {} MiB", DOCUMENT_BYTES_MAX >> 20));
            return Ok(None);
        }
        self.bytes_read += bytes.len() as u64;
        if places::form(self.reading.client, self.path) == Some(Form::Table) {
            for (number, row) in (0..).zip(table::rows(&json::text(&bytes))) {
                self.line(&mut reader, number, row.as_bytes());
            }
        } else {
            self.line(&mut reader, 0, &bytes);
        }
        // Half a document yields nothing; the client finishes it, and then its place changes.
        Ok(Some(Cursor::at(0, &mut file, place, self.reading.client.reader_version(), &reader)?))
    }

    /// The rows of a database from shortly before where the last reading ended.
    fn database(&mut self) -> Result<Option<Cursor>, Stop> {
        let place = place_of_database(self.path)?;
        let known = self.known();
        if known.is_some_and(|cursor| cursor.place == place) {
            return Ok(None);
        }
        let last = known.filter(|cursor| cursor.place.same_file(&place)).map_or(0, |cursor| i64::try_from(cursor.offset).unwrap_or(0));
        let mut reader = known.map_or_else(|| self.reading.client.reader(), |cursor| cursor.reader.clone());
        let mut until = self.rows(&mut reader, (last - ROWS_AGAIN).max(0))?;
        if until < last {
            // Numbered anew, or another database under this name.
            until = self.rows(&mut reader, 0)?;
        }
        let version = self.reading.client.reader_version();
        Ok(Some(Cursor::of_database(u64::try_from(until).unwrap_or(0), place, version, &reader)))
    }

    fn rows(&mut self, reader: &mut Reader, after: i64) -> Result<i64, Stop> {
        let queries = places::queries(self.reading.client);
        let (path, stop) = (self.path, self.reading.stop());
        let mut take = |number: i64, bytes: &[u8]| {
            self.bytes_read += bytes.len() as u64;
            self.line(reader, u64::try_from(number).unwrap_or(0), bytes);
            if self.is_full() {
                let piece = self.piece();
                return (self.give)(piece);
            }
            Ok(())
        };
        match sqlite::rows(path, queries, after, stop, &mut take)? {
            sqlite::Rows::Until(until) => Ok(until),
            // Beside the one that is wanted, clients keep others.
            sqlite::Rows::NotKnown => Ok(0),
            sqlite::Rows::Refused(gone) => Err(Stop::from(gone)),
        }
    }

    fn line(&mut self, reader: &mut Reader, offset: u64, bytes: &[u8]) {
        let projects = &self.reading.projects;
        let mut project = |cwd: &str| projects.lock().expect("nobody panics while holding it").of_folder(cwd);
        let line = Line { bytes, file: &self.name, offset };
        line_of(reader, self.path, self.reading.kin, &mut project, line, &mut self.found);
        let before_last = self.found.len().saturating_sub(1);
        self.found.drain(..before_last).for_each(|sighting| self.batch.add(sighting));
    }

    fn tell_long<R: Read>(&mut self, lines: &Lines<R>) {
        let (mib, long, too_long) = (lines::LINE_BYTES_MAX >> 20, lines.long(), lines.too_long());
        self.fault = match (long, too_long) {
            (0, 0) => None,
            (_, 0) => Some(format!("{long} lines longer than {mib} MiB, of which long texts were passed over and all else was read")),
            (_, _) => Some(format!("{too_long} lines longer than {mib} MiB without their long texts were not read")),
        };
    }
}

fn line_of(
    reader: &mut Reader,
    path: &Path,
    kin: &Kin,
    projects: &mut dyn FnMut(&str) -> Option<Project>,
    line: Line<'_>,
    found: &mut Vec<Sighting>,
) {
    let mut around = Around {
        path,
        projects,
        root: &|session| kin.root(session),
        covered: &|session, at| kin.covers(session, at),
        near: &|steps, name| kin::near(path, steps, name),
    };
    reader.line(line, &mut around, found);
}

/// Where lines are to be read on. What stands before is remembered as it was read: the file may have become another one since.
fn cursor_in(lines: &mut Lines<RegularFile>, place: Place, version: u32, reader: &Reader) -> io::Result<Cursor> {
    let offset = lines.offset();
    match lines.tail() {
        Some(tail) => Ok(Cursor::after(tail, offset, place, version, reader)),
        None => Cursor::at(offset, lines.source(), place, version, reader),
    }
}

pub(super) fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "zst")
}

/// How a database stands: with what was written ahead of it.
fn place_of_database(path: &Path) -> io::Result<Place> {
    let place = Place::of(&path.metadata()?);
    // Reading leaves an empty one behind where there was none.
    let ahead = sqlite::beside(path, "-wal").metadata().ok().filter(|ahead| ahead.len() > 0);
    Ok(ahead.map_or(place, |ahead| place.with(&Place::of(&ahead))))
}
