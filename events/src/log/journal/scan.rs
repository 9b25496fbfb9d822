//! One file of a journal as frames, front to back, with at most one frame in memory. Finds the next whole frame behind a damaged place.

use super::frame::{Decoder, FRAME_BYTES_MAX, FRAME_MAGIC, NOTE_BYTES, NOTE_MAGIC, Note};
use std::io::{self, Read, Seek, SeekFrom};
use zstd::zstd_safe;

/// How much is asked of the system at once.
const READ_BYTES: usize = 256 << 10;

/// What stands at some place of a file.
#[derive(Debug)]
pub(super) enum Piece {
    /// A frame whose extent its note confirms. It may still turn out not to decode, which costs itself and nothing else.
    Noted { offset: u64, bytes: Vec<u8>, note: Note },
    /// A frame without a note, which decodes. `end` is the first byte behind it.
    Bare { offset: u64, end: u64, text: String },
    /// Bytes from `offset` on that belong to no frame.
    Damage { offset: u64, reason: String },
}

/// A file being walked.
pub(super) struct Scan<R> {
    source: R,
    /// What was read and not yet passed.
    buffer: Vec<u8>,
    /// How much at the front of `buffer` was passed.
    passed: usize,
    /// Where in the file `buffer` begins.
    offset: u64,
    /// How much of the file may still be read.
    unread: u64,
    decoder: Decoder,
}

impl<R: Read + Seek> Scan<R> {
    /// Walks the bytes from `from` to `until`.
    pub(super) fn new(mut source: R, from: u64, until: u64) -> io::Result<Scan<R>> {
        source.seek(SeekFrom::Start(from))?;
        let unread = until.saturating_sub(from);
        Ok(Scan { source, buffer: Vec::new(), passed: 0, offset: from, unread, decoder: Decoder::new() })
    }

    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            self.fill(NOTE_BYTES)?;
            if self.rest().is_empty() {
                return Ok(None);
            }
            if Note::read(self.rest()).is_some() {
                self.passed += NOTE_BYTES;
                continue;
            }
            if let Some(piece) = self.frame()? {
                return Ok(Some(piece));
            }
            return self.resume().map(Some);
        }
    }

    /// Where in the file we are.
    pub(super) fn position(&self) -> u64 {
        self.offset + self.passed as u64
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.passed..]
    }

    /// Reads until `bytes` are at hand or the file ends.
    fn fill(&mut self, bytes: usize) -> io::Result<()> {
        if self.rest().len() >= bytes || self.unread == 0 {
            return Ok(());
        }
        self.buffer.drain(..self.passed);
        self.offset += self.passed as u64;
        self.passed = 0;
        let wanted = bytes.max(READ_BYTES) - self.buffer.len();
        let read = self.source.by_ref().take(self.unread.min(wanted as u64)).read_to_end(&mut self.buffer)?;
        // A file that was cut while we read it simply ends here.
        self.unread = if read == 0 { 0 } else { self.unread - read as u64 };
        Ok(())
    }

    /// The frame that begins here, if a whole one does. Passes it and its note.
    fn frame(&mut self) -> io::Result<Option<Piece>> {
        let Some(length) = self.extent()? else { return Ok(None) };
        self.fill(length + NOTE_BYTES)?;
        let offset = self.position();
        let frame = &self.buffer[self.passed..self.passed + length];
        let note = Note::read(&self.buffer[self.passed + length..]).filter(|note| note.frame_bytes as usize == length);
        let piece = match note {
            Some(note) => Piece::Noted { offset, bytes: frame.to_vec(), note },
            None => match self.decoder.text(frame) {
                Ok(text) => Piece::Bare { offset, end: offset + length as u64, text },
                Err(_) => return Ok(None),
            },
        };
        self.passed += length + note.map_or(0, |_| NOTE_BYTES);
        Ok(Some(piece))
    }

    /// The length of the frame that begins here, by the lengths of its blocks.
    fn extent(&mut self) -> io::Result<Option<usize>> {
        if !self.rest().starts_with(&FRAME_MAGIC) {
            return Ok(None);
        }
        let mut wanted = READ_BYTES;
        loop {
            self.fill(wanted)?;
            match zstd_safe::find_frame_compressed_size(self.rest()) {
                Ok(length) if length > 0 && length <= self.rest().len() => return Ok((length <= FRAME_BYTES_MAX).then_some(length)),
                // Perhaps only because its end was not read yet.
                Ok(_) | Err(_) if self.unread > 0 && wanted < FRAME_BYTES_MAX => wanted *= 2,
                Ok(_) | Err(_) => return Ok(None),
            }
        }
    }

    /// Passes what cannot be used, up to the next frame that can, or behind the note of the frame that is damaged.
    fn resume(&mut self) -> io::Result<Piece> {
        let offset = self.position();
        let reason = if self.rest().starts_with(&FRAME_MAGIC) { "a frame is broken" } else { "bytes that are no frame" };
        let piece = Piece::Damage { offset, reason: reason.into() };
        self.passed += 1;
        loop {
            self.fill(READ_BYTES)?;
            let Some(step) = next_magic(self.rest()) else {
                // The last bytes may be the first of a magic.
                let keep = if self.unread == 0 { 0 } else { FRAME_MAGIC.len() - 1 };
                self.passed = self.buffer.len().saturating_sub(keep).max(self.passed);
                if self.unread == 0 {
                    return Ok(piece);
                }
                self.fill(READ_BYTES)?;
                continue;
            };
            self.passed += step;
            self.fill(NOTE_BYTES)?;
            if Note::read(self.rest()).is_some() {
                self.passed += NOTE_BYTES;
                return Ok(piece);
            }
            if self.is_whole()? {
                return Ok(piece);
            }
            self.passed += 1;
        }
    }

    /// Whether a frame begins here that can be used.
    fn is_whole(&mut self) -> io::Result<bool> {
        let Some(length) = self.extent()? else { return Ok(false) };
        self.fill(length + NOTE_BYTES)?;
        let frame = &self.buffer[self.passed..self.passed + length];
        let noted = Note::read(&self.buffer[self.passed + length..]).is_some_and(|note| note.frame_bytes as usize == length);
        Ok(noted || self.decoder.text(frame).is_ok())
    }
}

/// How far away the next bytes are that a frame or a note begins with.
fn next_magic(bytes: &[u8]) -> Option<usize> {
    let (frame, note) = (FRAME_MAGIC, &NOTE_MAGIC[..4]);
    bytes.windows(4).position(|window| window == frame || window == note)
}
