//! Takes the content encoding off a copy of a body, piece by piece, while the body itself passes untouched.
//!
//! Nothing is held but the decoder's own window. A body that cannot be decoded is not observed further; that is no error of the call.

use super::websocket::{Sender, WebSocket};
use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::{self, Write};

/// The largest window that a zstd body may ask for: 8 MiB, the limit of RFC 9659.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const BROTLI_BUFFER_BYTES: usize = 4 << 10;
/// The most decoded bytes of one body that are observed. The largest legitimate bodies are results of batches.
const DECODED_BYTES_MAX: u64 = 1 << 30;
/// How many decoded bytes may come of each encoded one. Replies that say one word again and again come to some dozens.
const RATIO_MAX: u64 = 200;
/// As many decoded bytes may come of any body.
const RATIO_FREE_BYTES: u64 = 4 << 20;

/// Bytes in, still encoded; bytes out into `W`, decoded.
///
/// A body that decodes to more than [`DECODED_BYTES_MAX`] bytes, or to more than [`RATIO_MAX`] times its length, is not observed further.
pub(super) struct Decoder<W: Write> {
    stage: Stage<Bounded<W>>,
    gave_up: bool,
    encoded_bytes: u64,
}

/// Passes decoded bytes on, up to an allowance that grows with the encoded ones.
struct Bounded<W> {
    sink: W,
    written_bytes: u64,
    allowed_bytes: u64,
}

impl<W> Bounded<W> {
    const fn new(sink: W) -> Bounded<W> {
        Bounded { sink, written_bytes: 0, allowed_bytes: RATIO_FREE_BYTES }
    }
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written_bytes + bytes.len() as u64 > self.allowed_bytes {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the body decodes to too much"));
        }
        let written = self.sink.write(bytes)?;
        self.written_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

enum Stage<W: Write> {
    Plain(W),
    Gzip(Box<MultiGzDecoder<W>>),
    /// What it is shows in the first byte, and until that has come the sink waits.
    First(Named, Option<W>),
    Zlib(Box<ZlibDecoder<W>>),
    Bare(Box<DeflateDecoder<W>>),
    Brotli(Box<DecompressorWriter<W>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, W>>),
    Socket(Box<WebSocket<W>>),
}

/// A coding that the head names.
#[derive(Clone, Copy)]
enum Named {
    Gzip,
    /// Zlib's format, or a bare block.
    Deflate,
    Zstd,
    /// One that nobody knows.
    Unknown,
}

/// The first byte of a gzip member (RFC 1952).
const GZIP_FIRST: u8 = 0x1f;
/// Those of a zstd frame, and of one that is skipped (RFC 8878).
const ZSTD_FIRST: [u8; 17] = [0x28, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f];

impl<W: Write + Default> Decoder<W> {
    /// `encoding` is the header `content-encoding`.
    pub(super) fn new(encoding: Option<&str>, sink: W) -> Decoder<W> {
        let encoding = encoding.unwrap_or_default().trim().to_ascii_lowercase();
        let sink = Bounded::new(sink);
        let stage = match encoding.as_str() {
            "" | "identity" => Stage::Plain(sink),
            "gzip" | "x-gzip" => Stage::First(Named::Gzip, Some(sink)),
            "deflate" => Stage::First(Named::Deflate, Some(sink)),
            "br" => Stage::Brotli(Box::new(DecompressorWriter::new(sink, BROTLI_BUFFER_BYTES))),
            "zstd" => Stage::First(Named::Zstd, Some(sink)),
            // Several codings, one over the other, no provider has been seen to send.
            several if several.contains(',') => return Decoder { stage: Stage::Plain(sink), gave_up: true, encoded_bytes: 0 },
            _ => Stage::First(Named::Unknown, Some(sink)),
        };
        Decoder { stage, gave_up: false, encoded_bytes: 0 }
    }

    /// For one direction of a WebSocket, whose server answered with these `sec-websocket-extensions`.
    pub(super) fn websocket(extensions: Option<&str>, sender: Sender, sink: W) -> Decoder<W> {
        let socket = WebSocket::new(extensions, sender, Bounded::new(sink));
        Decoder { stage: Stage::Socket(Box::new(socket)), gave_up: false, encoded_bytes: 0 }
    }

    /// The next piece. Whatever can be decoded of it by now is.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.gave_up || bytes.is_empty() {
            return;
        }
        if let Stage::First(named, sink) = &mut self.stage {
            let (named, sink) = (*named, sink.take().unwrap_or_else(|| Bounded::new(W::default())));
            match begun(named, bytes[0], sink) {
                Some(stage) => self.stage = stage,
                None => return self.gave_up = true,
            }
        }
        self.encoded_bytes = self.encoded_bytes.saturating_add(bytes.len() as u64);
        let (encoded_bytes, is_plain) = (self.encoded_bytes, self.is_plain());
        if let Some(bounded) = self.bounded() {
            // A conversation may go on for days: its allowance has no end, but its ratio.
            let most = if is_plain { u64::MAX } else { DECODED_BYTES_MAX };
            bounded.allowed_bytes = RATIO_FREE_BYTES.saturating_add(encoded_bytes.saturating_mul(RATIO_MAX)).min(most);
        }
        self.gave_up = self.write(bytes).is_err();
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        fn all(writer: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
            writer.write_all(bytes)?;
            writer.flush()
        }
        match &mut self.stage {
            Stage::Plain(sink) => sink.write_all(bytes),
            Stage::Gzip(decoder) => all(decoder, bytes),
            Stage::First(..) => Ok(()),
            Stage::Zlib(decoder) => all(decoder, bytes),
            Stage::Bare(decoder) => all(decoder, bytes),
            Stage::Brotli(decoder) => all(decoder, bytes),
            Stage::Zstd(decoder) => all(decoder, bytes),
            Stage::Socket(socket) => socket.push(bytes),
        }
    }

    /// Whether the rest of the body is not observed.
    pub(super) const fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// Whether the body has no end of its own that must be bounded: it is not packed, or is a conversation.
    const fn is_plain(&self) -> bool {
        matches!(self.stage, Stage::Plain(_) | Stage::Socket(_))
    }

    /// Where the decoded bytes went.
    pub(super) fn sink(&mut self) -> Option<&mut W> {
        self.bounded().map(|bounded| &mut bounded.sink)
    }

    fn bounded(&mut self) -> Option<&mut Bounded<W>> {
        match &mut self.stage {
            Stage::Plain(sink) => Some(sink),
            Stage::Gzip(decoder) => Some(decoder.get_mut()),
            Stage::First(_, sink) => sink.as_mut(),
            Stage::Zlib(decoder) => Some(decoder.get_mut()),
            Stage::Bare(decoder) => Some(decoder.get_mut()),
            Stage::Brotli(decoder) => Some(decoder.get_mut()),
            Stage::Zstd(decoder) => Some(decoder.get_mut()),
            Stage::Socket(socket) => Some(socket.sink()),
        }
    }
}

/// How a body goes on whose head names a coding and which begins with this byte; `None` where it cannot be decoded.
///
/// There are relays that decode a body and leave its head as it was: what begins as text is text.
fn begun<W: Write>(named: Named, first: u8, sink: W) -> Option<Stage<W>> {
    let is_text = first.is_ascii_graphic() || first.is_ascii_whitespace();
    match named {
        Named::Gzip if first == GZIP_FIRST => Some(Stage::Gzip(Box::new(MultiGzDecoder::new(sink)))),
        // RFC 1950: the low four bits of a zlib header are 8. A bare block that begins so would be of the reserved type.
        Named::Deflate if first & 0x0f == 8 => Some(Stage::Zlib(Box::new(ZlibDecoder::new(sink)))),
        Named::Deflate => Some(Stage::Bare(Box::new(DeflateDecoder::new(sink)))),
        Named::Zstd if ZSTD_FIRST.contains(&first) => Some(Stage::Zstd(Box::new(zstd_decoder(sink).ok()?))),
        Named::Gzip | Named::Zstd | Named::Unknown => is_text.then_some(Stage::Plain(sink)),
    }
}

fn zstd_decoder<W: Write>(sink: W) -> io::Result<zstd::stream::write::Decoder<'static, W>> {
    let mut decoder = zstd::stream::write::Decoder::new(sink)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(encoding: &str, body: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::default();
        let mut out = Vec::new();
        match encoding {
            "gzip" => io::copy(&mut flate2::read::GzEncoder::new(body, level), &mut out),
            "zlib" => io::copy(&mut flate2::read::ZlibEncoder::new(body, level), &mut out),
            "bare" => io::copy(&mut flate2::read::DeflateEncoder::new(body, level), &mut out),
            "br" => io::copy(&mut brotli::CompressorReader::new(body, 4096, 5, 20), &mut out),
            "zstd" => io::copy(&mut zstd::stream::read::Encoder::new(body, 3).expect("an encoder"), &mut out),
            other => panic!("{other}"),
        }
        .expect("encodes");
        out
    }

    fn decoded(encoding: &str, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let encoding = if matches!(encoding, "zlib" | "bare") { "deflate" } else { encoding };
        let mut decoder = Decoder::new(Some(encoding), Vec::new());
        pieces.iter().for_each(|piece| decoder.push(piece));
        (decoder.sink().map(std::mem::take).unwrap_or_default(), decoder.gave_up())
    }

    #[test]
    fn every_encoding_is_taken_off_however_the_bytes_are_cut() {
        let body: Vec<u8> = (0..30_000u32).flat_map(|n| format!("data: {n}\n\n").into_bytes()).collect();
        for encoding in ["gzip", "zlib", "bare", "br", "zstd"] {
            let bytes = encoded(encoding, &body);
            for size in [1, 61, 4096, bytes.len()] {
                let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
                assert!(decoded(encoding, &pieces) == (body.clone(), false), "{encoding} in pieces of {size}");
            }
            let (half, _) = decoded(encoding, &[&bytes[..bytes.len() / 2]]);
            assert!(!half.is_empty() && body.starts_with(&half), "{encoding}: what has come can be read");
        }
    }

    #[test]
    fn a_body_that_its_head_calls_encoded_and_is_not_is_read_as_it_is() {
        for encoding in ["gzip", "zstd", "utf-8", "none"] {
            assert_eq!(decoded(encoding, &[b"{\"a\"", b":1}"]), (b"{\"a\":1}".to_vec(), false), "{encoding}");
        }
        assert!(decoded("gzip, br", &[b"{}"]).1, "what is encoded twice is not observed");
    }

    #[test]
    fn bomb_is_given_up_in_every_encoding() {
        let body = vec![b' '; 64 << 20];
        let packed = |encoding: &str| {
            let mut out = Vec::new();
            match encoding {
                "br" => io::copy(&mut brotli::CompressorReader::new(&body[..], 4096, 5, 22), &mut out),
                "zstd" => io::copy(&mut zstd::stream::read::Encoder::new(&body[..], 3).expect("an encoder"), &mut out),
                _ => io::copy(&mut flate2::read::GzEncoder::new(&body[..], flate2::Compression::best()), &mut out),
            }
            .expect("encodes");
            out
        };
        for encoding in ["gzip", "br", "zstd"] {
            let bomb = packed(encoding);
            for size in [1 << 10, bomb.len()] {
                let (out, gave_up) = decoded(encoding, &bomb.chunks(size).collect::<Vec<_>>());
                assert!(gave_up, "{encoding}");
                assert!(out.len() as u64 <= RATIO_FREE_BYTES + bomb.len() as u64 * RATIO_MAX, "{encoding}: {}", out.len());
            }
        }
    }

    #[test]
    fn two_members_are_one_body_and_damage_ends_the_observation() {
        for encoding in ["gzip", "zstd"] {
            let twice = [encoded(encoding, b"one "), encoded(encoding, b"two")].concat();
            assert_eq!(decoded(encoding, &[&twice]), (b"one two".to_vec(), false), "{encoding}");
        }
        for encoding in ["gzip", "deflate", "br", "zstd", "compress"] {
            let (_, gave_up) = decoded(encoding, &[b"\xff\xff not encoded at all", b"more"]);
            assert!(gave_up, "{encoding}");
        }
    }
}
