//! The event streams of AWS: binary messages, each with its length, headers, a payload and two checksums
//! (application/vnd.amazon.eventstream). Bedrock sends its replies so.
//!
//! A message is read as it comes: only its headers are buffered, and the payload goes where all documents of a reply go, which is bounded.

use super::document::{Document, REPLY_BYTES_MAX};
use super::frames::Frame;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::Crc;
use serde_json::value::RawValue;

/// The largest message (AWS: 16 MiB of payload, 128 KiB of headers).
const MESSAGE_BYTES_MAX: u32 = 24 << 20;
/// The most that its headers may take.
const HEADERS_BYTES_MAX: u32 = 128 << 10;
/// Both lengths, and their checksum.
pub(super) const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;
/// The header that tells an event from an exception.
const MESSAGE_TYPE: &[u8] = b":message-type";
/// The type of a header's value that is a text.
const TEXT: u8 = 7;

/// A stream that is being read.
pub(super) struct EventStream {
    stage: Stage,
    /// The part that is being gathered: prelude, headers or checksum.
    part: Vec<u8>,
    /// Over the message so far.
    crc: Crc,
    document: Document,
    exception: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Prelude,
    Headers {
        bytes: usize,
        payload: usize,
    },
    Payload {
        left: usize,
    },
    Checksum,
    /// What came is no such message: nothing after it can be found.
    Broken,
}

impl Default for EventStream {
    fn default() -> EventStream {
        EventStream { stage: Stage::Prelude, part: Vec::new(), crc: Crc::new(), document: Document::new(REPLY_BYTES_MAX), exception: false }
    }
}

impl EventStream {
    /// Whether a body that begins with this byte may be one: the length of a message is at most 24 MiB.
    pub(super) const fn begins_with(first: u8) -> bool {
        first <= 1
    }

    /// How much memory the message under way takes.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.part.capacity() + self.document.kept_bytes()
    }

    /// Whether no message is begun.
    pub(super) const fn closed(&self) -> bool {
        matches!(self.stage, Stage::Prelude) && self.part.is_empty()
    }

    pub(super) fn push(&mut self, bytes: &[u8], hear: &mut impl FnMut(&Document, Frame)) {
        let mut rest = bytes;
        while !rest.is_empty() && self.stage != Stage::Broken {
            match self.stage {
                Stage::Prelude => {
                    if let Some(prelude) = self.gather(&mut rest, PRELUDE_BYTES) {
                        self.stage = self.begin(&prelude).unwrap_or(Stage::Broken);
                    }
                }
                Stage::Headers { bytes, payload } => {
                    if let Some(headers) = self.gather(&mut rest, bytes) {
                        self.exception = message_type(&headers).is_some_and(|kind| kind != b"event");
                        self.crc.update(&headers);
                        self.stage = Stage::Payload { left: payload };
                        self.payload(&mut rest, payload);
                    }
                }
                Stage::Payload { left } => self.payload(&mut rest, left),
                Stage::Checksum => {
                    if let Some(checksum) = self.gather(&mut rest, CHECKSUM_BYTES) {
                        let whole = word(&checksum) == Some(self.crc.sum());
                        self.stage = if whole { Stage::Prelude } else { Stage::Broken };
                        if whole {
                            self.tell(hear);
                        }
                        self.document.clear();
                    }
                }
                Stage::Broken => {}
            }
        }
    }

    /// The part that is being gathered, once so many bytes of it are there.
    fn gather(&mut self, rest: &mut &[u8], bytes: usize) -> Option<Vec<u8>> {
        let (now, after) = rest.split_at(rest.len().min(bytes - self.part.len()));
        self.part.extend_from_slice(now);
        *rest = after;
        (self.part.len() == bytes).then(|| std::mem::take(&mut self.part))
    }

    fn begin(&mut self, prelude: &[u8]) -> Option<Stage> {
        let (total, headers) = (word(prelude)?, word(&prelude[4..])?);
        self.crc = Crc::new();
        self.crc.update(&prelude[..8]);
        let sound = word(&prelude[8..])? == self.crc.sum();
        self.crc.update(&prelude[8..]);
        let payload = total.checked_sub(headers.checked_add((PRELUDE_BYTES + CHECKSUM_BYTES) as u32)?)?;
        let fits = sound && total <= MESSAGE_BYTES_MAX && headers <= HEADERS_BYTES_MAX;
        let (bytes, payload) = (headers as usize, payload as usize);
        self.exception = false;
        fits.then_some(match (bytes, payload) {
            (0, 0) => Stage::Checksum,
            (0, left) => Stage::Payload { left },
            (bytes, payload) => Stage::Headers { bytes, payload },
        })
    }

    fn payload(&mut self, rest: &mut &[u8], left: usize) {
        let (now, after) = rest.split_at(rest.len().min(left));
        self.crc.update(now);
        self.document.push(now);
        *rest = after;
        let left = left - now.len();
        self.stage = if left == 0 { Stage::Checksum } else { Stage::Payload { left } };
    }

    /// A whole message has come. Where it wraps an event of the model's own, that is what is heard.
    fn tell(&self, hear: &mut impl FnMut(&Document, Frame)) {
        let frame = if self.exception { Frame::Exception } else { Frame::Event };
        let [wrapped] = self.document.pick(["bytes"]);
        let wrapped = wrapped.map(RawValue::get).and_then(|json| json.strip_prefix('"')?.strip_suffix('"'));
        match wrapped.and_then(|text| BASE64_STANDARD.decode(text).ok()) {
            Some(bytes) => {
                let mut inner = Document::new(REPLY_BYTES_MAX);
                inner.push(&bytes);
                hear(&inner, frame);
            }
            None => hear(&self.document, frame),
        }
    }
}

/// The first four bytes as a number.
fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|word| u32::from_be_bytes(*word))
}

/// What kind of message the headers say it is; `None` where they do not, or cannot be read.
fn message_type(headers: &[u8]) -> Option<&[u8]> {
    let mut rest = headers;
    loop {
        let (name_bytes, after) = rest.split_first()?;
        let (name, after) = after.split_at_checked(usize::from(*name_bytes))?;
        let (kind, after) = after.split_first()?;
        let (value, after) = match kind {
            // True and false; a byte; a short; an integer; a long and a time; a UUID.
            0 | 1 => after.split_at_checked(0)?,
            2 => after.split_at_checked(1)?,
            3 => after.split_at_checked(2)?,
            4 => after.split_at_checked(4)?,
            5 | 8 => after.split_at_checked(8)?,
            9 => after.split_at_checked(16)?,
            // Bytes and texts, with their length before them.
            6 | &TEXT => {
                let (length, after) = after.split_first_chunk::<2>()?;
                after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?
            }
            _ => return None,
        };
        if name == MESSAGE_TYPE && *kind == TEXT {
            return Some(value);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::super::fuzzing::{crc, message};
    use super::*;
    use proptest::prelude::*;

    fn heard(bytes: &[u8], size: usize) -> (Vec<(String, Frame)>, bool) {
        let (mut stream, mut told) = (EventStream::default(), Vec::new());
        let mut hear = |document: &Document, frame| {
            told.push((String::from_utf8_lossy(document.whole().expect("small")).into_owned(), frame));
        };
        bytes.chunks(size.max(1)).for_each(|piece| stream.push(piece, &mut hear));
        (told, stream.closed())
    }

    #[test]
    fn messages_are_read_in_any_pieces_and_wrapped_events_are_unwrapped() {
        let wrapped = format!(r#"{{"bytes":"{}","p":"abc"}}"#, BASE64_STANDARD.encode(br#"{"type":"message_stop"}"#));
        let stream = [message("event", br#"{"usage":{}}"#), message("event", wrapped.as_bytes()), message("exception", b"{}")].concat();
        let expected = [
            (r#"{"usage":{}}"#.to_owned(), Frame::Event),
            (r#"{"type":"message_stop"}"#.to_owned(), Frame::Event),
            ("{}".to_owned(), Frame::Exception),
        ];
        for size in 1..=stream.len() {
            assert_eq!(heard(&stream, size), (expected.to_vec(), true), "in pieces of {size}");
        }
        assert!(!heard(&stream[..stream.len() - 1], 9).1);
    }

    #[test]
    fn a_damaged_message_and_all_after_it_are_not_read() {
        let one = message("event", b"{\"a\":1}");
        for at in 0..one.len() {
            let mut damaged = one.clone();
            damaged[at] ^= 0x10;
            let (told, closed) = heard(&[damaged, one.clone()].concat(), 7);
            assert_eq!((told, closed), (Vec::new(), false), "byte {at}");
        }
    }

    #[test]
    fn a_length_that_is_claimed_takes_no_memory_and_one_too_large_is_not_believed() {
        let begun = |total: u32, headers: u32| {
            let lengths = [total.to_be_bytes(), headers.to_be_bytes()].concat();
            let mut stream = EventStream::default();
            stream.push(&[lengths.as_slice(), &crc(&lengths)].concat(), &mut |_, _| {});
            stream
        };
        for (total, headers) in
            [(MESSAGE_BYTES_MAX + 1, 0), (u32::MAX, 0), (1 << 20, HEADERS_BYTES_MAX + 1), (15, 0), (16, 1), (u32::MAX, u32::MAX)]
        {
            assert!(begun(total, headers).stage == Stage::Broken, "{total} {headers}");
        }
        let mut stream = begun(MESSAGE_BYTES_MAX, 0);
        assert!(stream.kept_bytes() < 1 << 10);
        (0..23).for_each(|_| stream.push(&vec![b'x'; 1 << 20], &mut |_, _| {}));
        assert!(stream.kept_bytes() < 20 << 20, "{}", stream.kept_bytes());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), size in 1usize..50, sound in any::<bool>()) {
            if sound && bytes.len() >= PRELUDE_BYTES {
                bytes[..4].copy_from_slice(&[0, 0, 0, 60]);
                bytes[4..7].copy_from_slice(&[0, 0, 0]);
                let sum = crc(&bytes[..8]);
                bytes[8..12].copy_from_slice(&sum);
            }
            heard(&bytes, size);
            message_type(&bytes);
        }
    }
}
