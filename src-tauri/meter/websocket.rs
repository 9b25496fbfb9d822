//! One direction of a WebSocket (RFC 6455), its messages written out one after another, unmasked and inflated (RFC 7692).
//!
//! Nothing is buffered but the head of a frame, whatever lengths are claimed.

use super::frames::SEPARATOR;
use flate2::{Decompress, FlushDecompress, Status};
use std::io::{self, Write};

/// The longest head of a frame: two bytes, eight of length, four of mask.
const HEAD_BYTES_MAX: usize = 14;
/// What is inflated or unmasked at once.
const PIECE_BYTES: usize = 4 << 10;
/// A deflated message ends in an empty block, which is not sent.
const EMPTY_BLOCK: [u8; 4] = [0, 0, 0xff, 0xff];

/// Whose frames these are, and so which of the negotiated parameters is about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

/// Frames in, messages out into `W`, each behind a [`SEPARATOR`].
pub(super) struct WebSocket<W> {
    sink: W,
    /// Where both sides agreed on it.
    deflate: Option<Deflate>,
    head: Vec<u8>,
    frame: Option<Frame>,
    /// Whether the message under way is deflated; `None` between messages.
    message: Option<bool>,
}

struct Deflate {
    inflate: Decompress,
    /// Whether each message is deflated on its own.
    forgets: bool,
}

/// A frame whose head has come.
struct Frame {
    left: u64,
    mask: [u8; 4],
    /// How far into the mask we are.
    turn: usize,
    last: bool,
    control: bool,
}

impl<W: Write> WebSocket<W> {
    /// `extensions` is the header `sec-websocket-extensions` of the server's answer.
    pub(super) fn new(extensions: Option<&str>, sender: Sender, sink: W) -> WebSocket<W> {
        let deflate = extensions.and_then(|extensions| {
            let agreed =
                extensions.split(',').map(str::trim).find(|it| it.split(';').next().map(str::trim) == Some("permessage-deflate"))?;
            let forgets = match sender {
                Sender::Client => "client_no_context_takeover",
                Sender::Server => "server_no_context_takeover",
            };
            let forgets = agreed.split(';').any(|parameter| parameter.trim() == forgets);
            Some(Deflate { inflate: Decompress::new(false), forgets })
        });
        WebSocket { sink, deflate, head: Vec::new(), frame: None, message: None }
    }

    pub(super) const fn sink(&mut self) -> &mut W {
        &mut self.sink
    }

    /// The next piece; an error where it is not WebSocket, after which nothing can be made of the rest.
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while let Some((&first, after)) = rest.split_first() {
            if let Some(mut frame) = self.frame.take() {
                let (now, after) = rest.split_at(rest.len().min(usize::try_from(frame.left).unwrap_or(usize::MAX)));
                self.payload(&mut frame, now)?;
                rest = after;
                self.go_on(frame)?;
                continue;
            }
            self.head.push(first);
            rest = after;
            if let Some(frame) = self.begin()? {
                self.head.clear();
                self.go_on(frame)?;
            }
        }
        Ok(())
    }

    /// The frame, once its head is there.
    fn begin(&mut self) -> io::Result<Option<Frame>> {
        let &[flags, length, ref more @ ..] = self.head.as_slice() else { return Ok(None) };
        let length_bytes = match length & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask_bytes = if length & 0x80 == 0 { 0 } else { 4 };
        debug_assert!(self.head.len() <= HEAD_BYTES_MAX, "a head ends");
        if more.len() < length_bytes + mask_bytes {
            return Ok(None);
        }
        let (long, mask) = more.split_at(length_bytes);
        let left = if long.is_empty() { u64::from(length & 0x7f) } else { long.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) };
        let mask = mask.first_chunk().copied().unwrap_or_default();
        let (opcode, deflated, last) = (flags & 0x0f, flags & 0x40 != 0, flags & 0x80 != 0);
        let control = opcode >= 8;
        let sound = flags & 0x30 == 0
            && match opcode {
                0 => self.message.is_some() && !deflated,
                1 | 2 => self.message.is_none() && (!deflated || self.deflate.is_some()),
                8..=10 => last && !deflated && left <= 125,
                _ => false,
            };
        if !sound {
            return Err(io::Error::other("this is no WebSocket frame"));
        }
        if matches!(opcode, 1 | 2) {
            self.message = Some(deflated);
            self.sink.write_all(&[SEPARATOR])?;
        }
        Ok(Some(Frame { left, mask, turn: 0, last, control }))
    }

    fn payload(&mut self, frame: &mut Frame, bytes: &[u8]) -> io::Result<()> {
        frame.left -= bytes.len() as u64;
        if frame.control {
            return Ok(());
        }
        let mut clear = [0; PIECE_BYTES];
        for piece in bytes.chunks(PIECE_BYTES) {
            let clear = &mut clear[..piece.len()];
            for (place, byte) in clear.iter_mut().zip(piece) {
                *place = byte ^ frame.mask[frame.turn];
                frame.turn = (frame.turn + 1) % 4;
            }
            self.text(clear)?;
        }
        Ok(())
    }

    /// Keeps the frame, or ends it, and the message with the last one.
    fn go_on(&mut self, frame: Frame) -> io::Result<()> {
        if frame.left > 0 {
            self.frame = Some(frame);
        } else if frame.last && !frame.control {
            if self.message == Some(true) {
                self.text(&EMPTY_BLOCK)?;
                if let Some(deflate) = self.deflate.as_mut().filter(|deflate| deflate.forgets) {
                    deflate.inflate.reset(false);
                }
            }
            self.message = None;
        }
        Ok(())
    }

    fn text(&mut self, bytes: &[u8]) -> io::Result<()> {
        let deflate = match (&mut self.deflate, self.message) {
            (Some(deflate), Some(true)) => deflate,
            _ => return self.sink.write_all(bytes),
        };
        let mut rest = bytes;
        let mut out = [0; PIECE_BYTES];
        loop {
            let (before_in, before_out) = (deflate.inflate.total_in(), deflate.inflate.total_out());
            let status = deflate.inflate.decompress(rest, &mut out, FlushDecompress::Sync).map_err(io::Error::other)?;
            let read = usize::try_from(deflate.inflate.total_in() - before_in).unwrap_or(rest.len());
            let written = usize::try_from(deflate.inflate.total_out() - before_out).unwrap_or(out.len());
            self.sink.write_all(&out[..written])?;
            rest = &rest[read..];
            if status == Status::StreamEnd {
                // A sender may end its stream with the message; the next one begins anew.
                deflate.inflate.reset(false);
                if rest == EMPTY_BLOCK || rest.is_empty() {
                    return Ok(());
                }
            } else if read == 0 && written == 0 || rest.is_empty() && written < out.len() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fuzzing::frame;
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    fn deflated(compress: &mut Compress, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.len() + 100);
        compress.compress_vec(message, &mut out, FlushCompress::Sync).expect("deflates");
        out.truncate(out.len() - EMPTY_BLOCK.len());
        out
    }

    fn read(extensions: Option<&str>, sender: Sender, bytes: &[u8], size: usize) -> (Vec<u8>, bool) {
        let mut socket = WebSocket::new(extensions, sender, Vec::new());
        let sound = bytes.chunks(size.max(1)).all(|piece| socket.push(piece).is_ok());
        (std::mem::take(socket.sink()), sound)
    }

    #[test]
    fn messages_are_put_together_from_fragments_and_control_frames_between_them_are_not() {
        let mask = Some([1, 2, 3, 250]);
        let long = vec![b'x'; 70_000];
        let frames = [
            frame(0x01, b"{\"a\":", mask),
            frame(0x89, b"ping", mask),
            frame(0x80, b"1}", mask),
            frame(0x82, &long, mask),
            frame(0x81, b"", mask),
            frame(0x81, &long[..200], mask),
            frame(0x88, b"", mask),
        ]
        .concat();
        let expected = [b"\x1e{\"a\":1}\x1e", long.as_slice(), b"\x1e\x1e", &long[..200]].concat();
        for size in [1, 2, 3, 7, 1000, frames.len()] {
            assert!(read(None, Sender::Client, &frames, size) == (expected.clone(), true), "in pieces of {size}");
        }
    }

    #[test]
    fn deflated_messages_are_inflated_with_and_without_what_came_before() {
        let text = "one response after another response ".repeat(300);
        for (extensions, forgets) in [
            ("permessage-deflate", false),
            ("x, permessage-deflate; server_no_context_takeover; client_max_window_bits=15", true),
            ("permessage-deflate;client_no_context_takeover", false),
        ] {
            let mut compress = Compress::new(Compression::default(), false);
            let mut frames = Vec::new();
            for _ in 0..3 {
                let packed = deflated(&mut compress, text.as_bytes());
                let (head, tail) = packed.split_at(packed.len() / 2);
                frames.extend([frame(0x41, head, None), frame(0x80, tail, None), frame(0x81, b"plain", None)].concat());
                if forgets {
                    compress.reset();
                }
            }
            let expected = format!("\x1e{text}\x1eplain").repeat(3).into_bytes();
            for size in [1, 61, frames.len()] {
                assert!(read(Some(extensions), Sender::Server, &frames, size) == (expected.clone(), true), "{extensions} by {size}");
            }
        }
    }

    #[test]
    fn what_is_no_frame_ends_the_observation() {
        for bytes in [&[0x91, 0][..], &[0x83, 0], &[0x80, 0], &[0xc1, 0], &[0x09, 0], &[0x89, 126, 0, 200], &[0x01, 0, 0x01, 0]] {
            assert!(!read(None, Sender::Server, bytes, 9).1, "{bytes:?}");
        }
        assert!(!read(Some("permessage-deflate"), Sender::Server, &frame(0xc1, b"\xff\xff\xff", None), 9).1);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_pieces_change_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 1usize..40) {
            let whole = read(None, Sender::Client, &bytes, bytes.len());
            prop_assert_eq!(read(None, Sender::Client, &bytes, size), whole);
            read(Some("permessage-deflate"), Sender::Client, &bytes, size);
        }
    }
}
