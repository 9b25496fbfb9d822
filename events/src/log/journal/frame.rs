//! Frames: lines compressed together, each frame followed by a note of its extent.
//!
//! A note is a skippable frame of zstd, so `zstdcat` passes it over. It lets a reader walk a file backwards from its end, hop over frames
//! without decoding them, and find the next whole frame behind a damaged one. Frames of version 1 have no notes and stay readable.

use super::{JournalError, LineRef, line};
use crate::{Event, Seq};
use sha2::{Digest, Sha256};
use std::{io::Read, thread};
use zstd::{bulk, zstd_safe};

/// Measured on lifelike lines: higher levels cost more time and, on batches, save nothing.
const LEVEL: i32 = 1;
/// From so many lines on, two threads share the work.
const LINES_FOR_TWO: usize = 1024;
/// A frame is closed when its text has so many bytes, so that a reader's memory has a bound.
const FRAME_TEXT_BYTES: usize = 4 << 20;
/// A frame longer than this is not ours.
pub(super) const FRAME_BYTES_MAX: usize = 64 << 20;
/// A frame whose text is longer than this is not ours. Version 1 put whole batches into one frame.
pub(super) const FRAME_TEXT_BYTES_MAX: usize = 128 << 20;
/// What a buffer may hold on to while nothing is written.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// The first bytes of every frame.
pub(super) const FRAME_MAGIC: [u8; 4] = 0xFD2F_B528u32.to_le_bytes();
/// The first bytes of every note: one of the sixteen magics that zstd passes over, and the length of what follows.
pub(super) const NOTE_MAGIC: [u8; 8] = [0x5B, 0x2A, 0x4D, 0x18, 28, 0, 0, 0];
/// The length of a note.
pub(super) const NOTE_BYTES: usize = 36;

/// What stands behind a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The length of the frame before it.
    pub(super) frame_bytes: u32,
    /// From the first byte of the append that the frame was part of, to the end of this note; 0 in a file that was tidied.
    ///
    /// Only the frames of the last append can be torn; what lies before them was acknowledged.
    pub(super) append_bytes: u32,
    /// The first entry of the frame.
    pub(super) first: Seq,
    /// The last one.
    pub(super) last: Seq,
}

impl Note {
    pub(super) fn bytes(self) -> [u8; NOTE_BYTES] {
        let mut bytes = [0; NOTE_BYTES];
        bytes[..8].copy_from_slice(&NOTE_MAGIC);
        bytes[8..12].copy_from_slice(&self.frame_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.append_bytes.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.last.0.to_le_bytes());
        let check = check(&bytes[8..32]);
        bytes[32..].copy_from_slice(&check);
        bytes
    }

    /// The note that the bytes begin with, if they do.
    pub(super) fn read(bytes: &[u8]) -> Option<Note> {
        let bytes: &[u8; NOTE_BYTES] = bytes.first_chunk()?;
        if bytes[..8] != NOTE_MAGIC || bytes[32..] != check(&bytes[8..32]) {
            return None;
        }
        let u32_at = |at: usize| bytes[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let u64_at = |at: usize| bytes[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        Some(Note { frame_bytes: u32_at(8)?, append_bytes: u32_at(12)?, first: Seq(u64_at(16)?), last: Seq(u64_at(24)?) })
    }

    /// How many bytes the frame and its note take.
    pub(super) fn span_bytes(self) -> u64 {
        u64::from(self.frame_bytes) + NOTE_BYTES as u64
    }
}

fn check(bytes: &[u8]) -> [u8; 4] {
    let digest = Sha256::digest(bytes);
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Frames of lines, ready for one append.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) first: Seq,
    pub(super) last: Seq,
}

impl Batch {
    /// The length on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// Makes lines into frames. Needs no journal, so that it can work in a thread of its own while the batch before is being written.
#[derive(Default)]
pub(crate) struct Encoder {
    halves: [Half; 2],
}

impl Encoder {
    /// Gives back what only large batches need.
    pub(crate) fn rest(&mut self) {
        self.halves.iter_mut().for_each(|half| {
            half.text.clear();
            half.text.shrink_to(KEPT_BYTES_MAX);
        });
    }

    /// The lines as frames; `None` where there are no lines. `Err` where a line is longer than can be read back.
    pub(crate) fn encode(&mut self, lines: &[LineRef<'_>]) -> Result<Option<Batch>, JournalError> {
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Ok(None) };
        let [one, other] = &mut self.halves;
        let mut frames = if lines.len() < LINES_FOR_TWO {
            one.frames(lines)?
        } else {
            let half = lines.len() / 2;
            let (front, back) = lines.split_at(half + lines[half..].iter().take_while(|line| belongs_before(line)).count());
            let (front, back) = thread::scope(|scope| {
                let front = scope.spawn(|| one.frames(front));
                let back = other.frames(back);
                (front.join(), back)
            });
            let mut frames = front.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            frames.extend(back?);
            frames
        };
        let mut bytes = Vec::with_capacity(frames.iter().map(|frame| frame.bytes.len() + NOTE_BYTES).sum());
        for frame in frames.drain(..) {
            frame.write(Some(bytes.len()), &mut bytes);
        }
        Ok(Some(Batch { bytes, first: first.entry.seq, last: last.entry.seq }))
    }
}

/// One frame and which entries it holds.
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    pub(super) first: Seq,
    pub(super) last: Seq,
}

impl Frame {
    /// Writes the frame and its note. `before`: how much of the same append stands before it; `None` in a tidied file.
    pub(super) fn write(&self, before: Option<usize>, out: &mut Vec<u8>) {
        let u32_of = |bytes: usize| u32::try_from(bytes).expect("a batch is far smaller than 4 GiB");
        let append_bytes = before.map_or(0, |before| u32_of(before + self.bytes.len() + NOTE_BYTES));
        let note = Note { frame_bytes: u32_of(self.bytes.len()), append_bytes, first: self.first, last: self.last };
        out.extend_from_slice(&self.bytes);
        out.extend_from_slice(&note.bytes());
    }
}

/// A context of zstd and a buffer, kept from batch to batch.
struct Half {
    compressor: bulk::Compressor<'static>,
    text: Vec<u8>,
}

impl Default for Half {
    fn default() -> Half {
        Half { compressor: compressor(LEVEL), text: Vec::new() }
    }
}

/// A compressor that writes checksums.
pub(super) fn compressor(level: i32) -> bulk::Compressor<'static> {
    let mut compressor = bulk::Compressor::new(level).expect("the level is one that zstd knows");
    compressor.set_parameter(zstd_safe::CParameter::ChecksumFlag(true)).expect("a fresh context takes its parameters");
    compressor
}

impl Half {
    fn frames(&mut self, lines: &[LineRef<'_>]) -> Result<Vec<Frame>, JournalError> {
        let mut frames = Vec::with_capacity(1);
        let mut first = None;
        self.text.clear();
        for (number, line) in lines.iter().enumerate() {
            let before = self.text.len();
            line::write_line(line, &mut self.text);
            let bytes = self.text.len() - before;
            if bytes > line::LINE_BYTES_MAX {
                return Err(JournalError::TooLong { seq: line.entry.seq, bytes });
            }
            let first_seq = *first.get_or_insert(line.entry.seq);
            let next = lines.get(number + 1);
            if next.is_none_or(|next| self.text.len() >= FRAME_TEXT_BYTES && !belongs_before(next)) {
                let bytes = self.compressor.compress(&self.text).expect("memory takes it");
                frames.push(Frame { bytes, first: first_seq, last: line.entry.seq });
                first = None;
                self.text.clear();
            }
        }
        Ok(frames)
    }
}

/// Whether a line is to be in the frame of the line before it, so that the end of an append is torn before both or behind both: what is taken
/// away by the one is added by the other.
fn belongs_before(line: &LineRef<'_>) -> bool {
    matches!(line.entry.event, Event::Matched { .. })
}

/// Decodes frames; keeps zstd's context from one to the next.
pub(super) struct Decoder(bulk::Decompressor<'static>);

impl Decoder {
    pub(super) fn new() -> Decoder {
        Decoder(bulk::Decompressor::new().expect("a context without a dictionary has no reason to fail"))
    }

    /// The text of one whole frame. `Err` says what is wrong.
    pub(super) fn text(&mut self, frame: &[u8]) -> Result<String, String> {
        let stated = zstd_safe::get_frame_content_size(frame).map_err(|_| "a frame without a header".to_owned())?;
        let text = match stated {
            Some(bytes) if bytes > FRAME_TEXT_BYTES_MAX as u64 => return Err(format!("a frame of {bytes} bytes of text")),
            Some(bytes) => self.0.decompress(frame, bytes as usize).map_err(|error| error.to_string())?,
            // Version 1 wrote frames as streams, which do not state how long their text is.
            None => stream_text(frame).map_err(|error| error.to_string())?,
        };
        if text.len() > FRAME_TEXT_BYTES_MAX {
            return Err(format!("a frame of more than {FRAME_TEXT_BYTES_MAX} bytes of text"));
        }
        String::from_utf8(text).map_err(|error| error.to_string())
    }
}

fn stream_text(frame: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    zstd::Decoder::with_buffer(frame)?.single_frame().take(FRAME_TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_note_is_read_as_it_was_written_and_no_other_bytes_are(
            frame_bytes: u32, append_bytes: u32, first: u64, last: u64, at in 0..NOTE_BYTES, bit in 0..8u8,
        ) {
            let note = Note { frame_bytes, append_bytes, first: Seq(first), last: Seq(last) };
            let mut bytes = note.bytes();
            proptest::prop_assert_eq!(Note::read(&bytes), Some(note));
            proptest::prop_assert_eq!(Note::read(&bytes[..at]), None);
            bytes[at] ^= 1 << bit;
            proptest::prop_assert_eq!(Note::read(&bytes), None);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = Decoder::new().text(&bytes);
            bytes.splice(0..0, FRAME_MAGIC);
            let _ = Decoder::new().text(&bytes);
        }
    }
}
