//! The end of the file that was written last: what of it is whole, and what a crash or a power cut has torn.

use super::{
    JournalError,
    frame::{Decoder, NOTE_BYTES, NOTE_MAGIC, Note},
    line::ends,
    scan::{Piece, Scan},
};
use crate::{Seq, log::private_options};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// How much is searched for a note at once.
const SEARCH_BYTES: u64 = 1 << 20;

/// What of a file is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// The length of the file.
    pub(super) bytes: u64,
    /// The last entry in it; `None` where it holds none.
    pub(super) last: Option<Seq>,
}

impl Note {
    /// The note that ends at `end`, if one does and its frame fits before it.
    pub(super) fn before(file: &mut (impl Read + Seek), end: u64) -> io::Result<Option<Note>> {
        let Some(start) = end.checked_sub(NOTE_BYTES as u64) else { return Ok(None) };
        let mut bytes = [0; NOTE_BYTES];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut bytes)?;
        Ok(Note::read(&bytes).filter(|note| note.span_bytes() <= end && u64::from(note.append_bytes) <= end))
    }
}

/// Opens the file for appending. A torn end is kept beside it and cut off; the last frame gets its note if only that is missing.
pub(super) fn mend(path: &Path, mended: &mut Vec<String>) -> Result<(Tail, File), JournalError> {
    let io = |source| JournalError::Io { path: path.to_owned(), source };
    let mut file = private_options().read(true).append(true).open(path).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    if let Some(last) = whole_end(&mut file, bytes).map_err(io)? {
        return Ok((Tail { bytes, last: Some(last) }, file));
    }
    let found = search(&mut file, bytes).map_err(io)?;
    if found.whole_bytes < bytes {
        cut(&mut file, path, found.whole_bytes).map_err(io)?;
        mended.push(format!(
            "the journal {} ended in {} torn bytes; they were cut off and kept in {}",
            path.display(),
            bytes - found.whole_bytes,
            torn_path(path).display()
        ));
    }
    let mut tail = Tail { bytes: found.whole_bytes, last: found.last };
    if let Some(note) = found.lacking {
        file.write_all(&note.bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        tail.bytes += NOTE_BYTES as u64;
    }
    Ok((tail, file))
}

/// The last entry of a file that ends in a whole append. Reads that append only.
fn whole_end(file: &mut File, bytes: u64) -> io::Result<Option<Seq>> {
    let Some(note) = Note::before(file, bytes)? else { return Ok(None) };
    // A power cut can leave the right length with the wrong bytes, in all that was not yet acknowledged.
    let start = bytes - u64::from(note.append_bytes);
    Ok((frames_end(file, start, bytes, At::FirstDamage)?.whole_bytes == bytes).then_some(note.last))
}

struct Found {
    whole_bytes: u64,
    last: Option<Seq>,
    /// The note of the last frame, where that frame is whole and has none.
    lacking: Option<Note>,
}

/// What is whole in a file that does not end in a whole append.
fn search(file: &mut File, bytes: u64) -> io::Result<Found> {
    let Some((at, note)) = last_note(file, bytes)? else { return frames_end(file, 0, bytes, At::End) };
    let start = at - u64::from(note.append_bytes);
    let append = frames_end(file, start, at, At::FirstDamage)?;
    if append.whole_bytes == at {
        // Behind it lie a torn append, a frame whose note was lost, or frames of version 1.
        let behind = frames_end(file, at, bytes, At::End)?;
        return Ok(Found { last: behind.last.or(Some(note.last)), ..behind });
    }
    let last = match (append.last, Note::before(file, start)?) {
        (Some(last), _) => Some(last),
        (None, Some(before)) => Some(before.last),
        (None, None) => frames_end(file, 0, start, At::End)?.last,
    };
    Ok(Found { last, ..append })
}

/// The end of the last note before `end`, searching backwards, and the note.
fn last_note(file: &mut File, end: u64) -> io::Result<Option<(u64, Note)>> {
    let mut until = end;
    let mut window = Vec::new();
    while until > 0 {
        let start = until.saturating_sub(SEARCH_BYTES);
        window.clear();
        file.seek(SeekFrom::Start(start))?;
        // A note may lie across the windows.
        file.take((until - start).saturating_add(NOTE_BYTES as u64).min(end - start)).read_to_end(&mut window)?;
        for at in (0..window.len().saturating_sub(NOTE_BYTES - 1)).rev() {
            if window[at..].starts_with(&NOTE_MAGIC[..4])
                && let Some(note) = Note::read(&window[at..])
            {
                let note_end = start + (at + NOTE_BYTES) as u64;
                if note.span_bytes() <= note_end && u64::from(note.append_bytes) <= note_end {
                    return Ok(Some((note_end, note)));
                }
            }
        }
        until = start;
    }
    Ok(None)
}

/// Where looking for whole frames stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Within one append, nothing behind a torn frame was acknowledged.
    FirstDamage,
    /// Elsewhere all was, whatever is damaged in between.
    End,
}

/// The frames between two places that decode: where the last of them ends, and with which entry.
fn frames_end(file: &mut File, from: u64, until: u64, stop: At) -> io::Result<Found> {
    let mut found = Found { whole_bytes: from, last: None, lacking: None };
    let mut decoder = Decoder::new();
    let mut scan = Scan::new(&mut *file, from, until)?;
    while let Some(piece) = scan.next()? {
        let whole = match piece {
            Piece::Noted { bytes, note, .. } if decoder.text(&bytes).is_ok() => {
                Some(Found { whole_bytes: scan.position(), last: Some(note.last), lacking: None })
            }
            Piece::Bare { offset, end, text } => ends(&text).map(|(first, last)| {
                let lacking = u32::try_from(end - offset).ok().map(|frame_bytes| Note { frame_bytes, append_bytes: 0, first, last });
                Found { whole_bytes: end, last: Some(last), lacking }
            }),
            Piece::Noted { .. } | Piece::Damage { .. } => None,
        };
        match whole {
            Some(whole) => found = whole,
            None if stop == At::FirstDamage => break,
            None => {}
        }
    }
    Ok(found)
}

fn torn_path(path: &Path) -> PathBuf {
    path.with_extension("torn")
}

/// Keeps what lies behind `whole_bytes` in a file of its own and cuts it off.
fn cut(file: &mut File, path: &Path, whole_bytes: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(whole_bytes))?;
    let mut torn = private_options().append(true).create(true).open(torn_path(path))?;
    io::copy(file, &mut torn)?;
    torn.sync_all()?;
    file.set_len(whole_bytes)?;
    file.sync_all()
}
