//! Doors for the fuzzers in `tests/fuzz`: any bytes, in any framing, in any dialect. However they are cut into pieces, they say the same.

use super::eventstream::PRELUDE_BYTES;
use super::{Call, Ending, Meter, SWITCHING_PROTOCOLS};
use events::{CallUuid, Sighting, Source, Timestamp};
use flate2::Crc;

/// What a fuzzer may be pointed at: five framings, which come in every dialect; and each dialect, which comes in any framing and encoding.
pub const TARGETS: [&str; 11] =
    ["sse", "ndjson", "array", "eventstream", "websocket", "openai", "anthropic", "gemini", "bedrock", "ollama", "cohere"];

/// The paths of each dialect.
const DIALECTS: [(&str, &[&str]); 6] = [
    (
        "openai",
        &[
            "/v1/chat/completions",
            "/v1/responses",
            "/x",
            "/v1/files/f/content",
            "/v1/realtime",
            "/v1/audio/speech",
            "/v1/audio/transcriptions",
            "/v1/images/generations",
            "/v1/embeddings",
        ],
    ),
    ("anthropic", &["/v1/messages", "/v1/messages/batches/b/results", "/v1/complete"]),
    (
        "gemini",
        &["/m/g:streamGenerateContent", "/v1beta/batches/b", "/ws/x.BidiGenerateContent", "/v1beta/interactions", "/m/g:embedContent"],
    ),
    ("bedrock", &["/model/m/converse-stream", "/model/m/invoke-with-response-stream"]),
    ("ollama", &["/api/chat", "/api/embed"]),
    ("cohere", &["/v2/chat", "/v1/rerank", "/v1/chat"]),
];
/// The paths of conversations.
const SOCKETS: [&str; 3] = ["/v1/realtime", "/v1/responses?socket", "/ws/x.BidiGenerateContent"];
const ENCODINGS: [&str; 5] = ["identity", "gzip", "deflate", "br", "zstd"];
/// A choice from here on leaves a body as it is, in a framing that may be none.
const AS_IT_IS: u8 = 0x80;

/// Loads the tokenizer, which takes longer than any input may.
pub fn warm() {
    crate::estimate::tokens("one word");
}

/// Runs a target over an input: two bytes choose, the others are the body.
///
/// # Panics
/// Where pieces make a difference, which is what a fuzzer looks for.
pub fn run(target: &str, input: &[u8]) {
    let [choice, piece, body @ ..] = input else { return };
    let number = usize::from(choice & !AS_IT_IS);
    let (path, encoding) = match DIALECTS.iter().find(|(dialect, _)| *dialect == target) {
        Some((_, paths)) => (paths[number % paths.len()], ENCODINGS[number / paths.len() % ENCODINGS.len()]),
        None if target == "websocket" => (SOCKETS[number % SOCKETS.len()], ENCODINGS[number / SOCKETS.len() % ENCODINGS.len()]),
        None => {
            let paths: Vec<&str> = DIALECTS.iter().flat_map(|(_, paths)| *paths).copied().collect();
            (paths[number % paths.len()], ENCODINGS[0])
        }
    };
    let framed = if *choice >= AS_IT_IS { body.to_vec() } else { framed(target, body) };
    let size = usize::from(*piece) + 1;
    let (whole, cut) = (sightings(path, encoding, &framed, usize::MAX), sightings(path, encoding, &framed, size));
    // How much of a damaged body can be decoded depends on its pieces.
    if let (Some(whole), Some(cut)) = (whole, cut) {
        assert_eq!(cut, whole, "in pieces of {size} bytes {path} says something else");
    }
}

/// Lines as the documents of a framing.
fn framed(target: &str, body: &[u8]) -> Vec<u8> {
    let lines = body.split(|byte| *byte == b'\n');
    match target {
        "sse" => lines.flat_map(|line| [b"data:", line, b"\n\n"].concat()).collect(),
        "ndjson" => [b"{", body].concat(),
        "array" => [b"[{", body].concat(),
        "eventstream" => {
            let kinds = ["event", "exception"];
            lines.flat_map(|line| message(kinds[usize::from(line.last() == Some(&b'!'))], line)).collect()
        }
        "websocket" => lines.flat_map(|line| frame(0x81, line, None)).collect(),
        _ => body.to_vec(),
    }
}

/// What is seen of a call whose request and reply have the same body, in pieces of at most so many bytes; `None` where it cannot be decoded.
fn sightings(path: &str, encoding: &str, body: &[u8], piece: usize) -> Option<Vec<Sighting>> {
    let (at, uuid) = (Timestamp::from_micros(0), CallUuid(1));
    let websocket = path.ends_with("realtime") || path.ends_with("socket") || path.starts_with("/ws/");
    let method = if ["results", "content", "/b"].iter().any(|end| path.ends_with(end)) { "GET" } else { "POST" };
    let call = Call { provider: "fuzz", method, path, encoding: Some(encoding), websocket, at, uuid, source: Source::Proxy };
    let mut meter = Meter::start(&call)?;
    let mut sightings = Vec::new();
    body.chunks(piece).for_each(|piece| meter.request(piece));
    let extensions = (encoding == "deflate").then_some("permessage-deflate");
    meter.head(if websocket { SWITCHING_PROTOCOLS } else { 200 }, |name| match name {
        "content-encoding" => Some(encoding),
        "sec-websocket-extensions" => extensions,
        _ => None,
    });
    for piece in body.chunks(piece) {
        meter.reply(piece);
        sightings.extend(meter.settled(at));
    }
    let damaged = meter.gave_up();
    sightings.extend(meter.finish(Ending::Complete, at));
    (!damaged).then_some(sightings)
}

/// A message of an event stream, as AWS frames it.
pub(super) fn message(kind: &str, payload: &[u8]) -> Vec<u8> {
    /// The type of a header's value that is a text, and its length.
    const TEXT: u8 = 7;
    let mut headers: Vec<u8> = Vec::new();
    for (name, value) in [(":event-type", "chunk"), (":message-type", kind)] {
        headers.extend([low_bytes(name.len())[3]].iter().chain(name.as_bytes()));
        headers.extend([TEXT].iter().chain(&low_bytes(value.len())[2..]).chain(value.as_bytes()));
    }
    let mut bytes: Vec<u8> = Vec::new();
    bytes.extend(low_bytes(PRELUDE_BYTES + headers.len() + payload.len() + 4));
    bytes.extend(low_bytes(headers.len()));
    bytes.extend(crc(&bytes));
    bytes.extend(headers);
    bytes.extend(payload);
    bytes.extend(crc(&bytes));
    bytes
}

pub(super) fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_be_bytes()
}

/// A frame of a WebSocket with a payload; masked as clients must.
pub(super) fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let length = (payload.len() as u64).to_be_bytes();
    let mut bytes = vec![first];
    match payload.len() {
        0..126 => bytes.push(masked | length[7]),
        126..0x10000 => bytes.extend([masked | 126].iter().chain(&length[6..])),
        _ => bytes.extend([masked | 127].iter().chain(&length)),
    }
    bytes.extend(mask.iter().flatten());
    let mask = mask.unwrap_or_default();
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The last four bytes of a length.
fn low_bytes(length: usize) -> [u8; 4] {
    let bytes = (length as u64).to_be_bytes();
    [bytes[4], bytes[5], bytes[6], bytes[7]]
}
