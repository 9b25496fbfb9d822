//! One JSON document of a request or a reply: kept in bounded memory, read in parts, read as far as it goes.
//!
//! A document may be cut off or too large to keep. What its beginning says is then still known, and what its end says can be found by name.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The largest document of a reply that is kept whole. Of a larger one, beginning and end are kept.
pub(super) const REPLY_BYTES_MAX: usize = 8 << 20;
/// The largest request that is kept whole, for the model's name in it.
pub(super) const REQUEST_BYTES_MAX: usize = 1 << 20;
/// How much of the beginning of a larger document is kept: ids and names stand there.
const HEAD_BYTES: usize = 64 << 10;
/// How much of its end: the usage stands there.
const TAIL_BYTES: usize = 256 << 10;
/// What is looked for by name at the end of a document that is not whole. Not `model` or `id`: tools and outputs have those, too.
const NAMES_IN_TAIL: [&str; 7] = ["usage", "usageMetadata", "tool_usage", "copilot_usage", "service_tier", "modelVersion", "responseId"];
/// How many places with the right name are tried at the end of a document.
const TAIL_TRIES_MAX: usize = 64;

/// A JSON document that grows by pieces.
pub(super) struct Document {
    head: Vec<u8>,
    /// Set once the document has outgrown `bytes_max`: its last bytes.
    tail: Option<Vec<u8>>,
    bytes_max: usize,
}

impl Document {
    pub(super) const fn new(bytes_max: usize) -> Document {
        Document { head: Vec::new(), tail: None, bytes_max }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.tail.is_none() {
            if self.head.len() + bytes.len() <= self.bytes_max {
                self.head.extend_from_slice(bytes);
                return;
            }
            // However the bytes were cut into pieces, the head is the same.
            let short = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..short]);
            let mut tail = self.head.split_off(HEAD_BYTES.min(self.head.len()));
            self.head.shrink_to_fit();
            keep_last(&mut tail, &bytes[short..]);
            self.tail = Some(tail);
        } else if let Some(tail) = &mut self.tail {
            keep_last(tail, bytes);
        }
    }

    pub(super) fn clear(&mut self) {
        self.head.clear();
        self.head.shrink_to(HEAD_BYTES);
        self.tail = None;
    }

    /// How much memory it takes.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.head.capacity() + self.tail.as_ref().map_or(0, Vec::capacity)
    }

    /// The bytes as far as they are kept from the first one on.
    pub(super) fn beginning(&self) -> &[u8] {
        &self.head
    }

    /// The last bytes that are kept, where they are not all there.
    pub(super) fn end(&self) -> &[u8] {
        self.tail.as_deref().unwrap_or_default()
    }

    /// The bytes, where they are all there.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        self.tail.is_none().then_some(&self.head)
    }

    /// The values at these paths (`usage`, `response.usage`), as far as they can be read. `null` is as good as absent.
    pub(super) fn pick<const N: usize>(&self, paths: [&str; N]) -> [Option<&RawValue>; N] {
        let mut found = [None; N];
        let wanted = paths.iter().copied().enumerate().collect();
        let mut json = serde_json::Deserializer::from_slice(&self.head);
        // A document that is cut or wrong has told what it could: what was found before stays found.
        let _ = Fields { wanted, found: &mut found }.deserialize(&mut json);
        for (place, path) in found.iter_mut().zip(paths) {
            let name = path.rsplit('.').next().unwrap_or(path);
            if place.is_none() && NAMES_IN_TAIL.contains(&name) {
                *place = self.last(name);
            }
        }
        found
    }

    /// Of a document that is not whole: the value that was given this name last, at whatever depth.
    ///
    /// A name inside of a text cannot be mistaken for one: its quotes are escaped there.
    pub(super) fn last(&self, name: &str) -> Option<&RawValue> {
        let tail = self.tail.as_deref()?;
        let tail = &tail[tail.len().saturating_sub(TAIL_BYTES)..];
        let quoted = format!("\"{name}\"");
        memchr::memmem::rfind_iter(tail, &quoted).take(TAIL_TRIES_MAX).find_map(|at| {
            let value = tail[at + quoted.len()..].trim_ascii_start().strip_prefix(b":")?;
            let raw = <&RawValue>::deserialize(&mut serde_json::Deserializer::from_slice(value)).ok()?;
            (raw.get() != "null").then_some(raw)
        })
    }
}

fn keep_last(tail: &mut Vec<u8>, bytes: &[u8]) {
    tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
    if tail.len() > 2 * TAIL_BYTES {
        tail.drain(..tail.len() - TAIL_BYTES);
        tail.shrink_to(2 * TAIL_BYTES);
    }
}

/// Reads an object for the values at some paths, and passes over all else without keeping it.
struct Fields<'w, 'f, 'de> {
    /// Where each value goes, and the rest of its path.
    wanted: Vec<(usize, &'w str)>,
    found: &'f mut [Option<&'de RawValue>],
}

impl<'de> DeserializeSeed<'de> for Fields<'_, '_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(hit) = map.next_key_seed(Key(&self.wanted))? {
            match hit {
                Hit::Here(place) => {
                    let raw: &'de RawValue = map.next_value()?;
                    if raw.get() != "null" {
                        self.found[place] = Some(raw);
                    }
                }
                Hit::Below(wanted) => map.next_value_seed(Fields { wanted, found: self.found })?,
                Hit::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// What a key means for the paths that are wanted.
enum Hit<'w> {
    Here(usize),
    Below(Vec<(usize, &'w str)>),
    Other,
}

struct Key<'k, 'w>(&'k [(usize, &'w str)]);

impl<'de, 'w> DeserializeSeed<'de> for Key<'_, 'w> {
    type Value = Hit<'w>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Hit<'w>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'w> Visitor<'_> for Key<'_, 'w> {
    type Value = Hit<'w>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Hit<'w>, E> {
        if let Some((place, _)) = self.0.iter().find(|(_, path)| *path == key) {
            return Ok(Hit::Here(*place));
        }
        let below = |&(place, path): &(usize, &'w str)| Some((place, path.strip_prefix(key)?.strip_prefix('.')?));
        let below: Vec<_> = self.0.iter().filter_map(below).collect();
        Ok(if below.is_empty() { Hit::Other } else { Hit::Below(below) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(json: &str) -> Document {
        let mut document = Document::new(REPLY_BYTES_MAX);
        document.push(json.as_bytes());
        document
    }

    fn picked<'d, const N: usize>(document: &'d Document, paths: [&str; N]) -> [Option<&'d str>; N] {
        document.pick(paths).map(|raw| raw.map(RawValue::get))
    }

    #[test]
    fn values_are_found_by_path_and_null_is_absent() {
        let document = document(r#"{"a":{"b":{"c":1,"d":[{"c":2}]},"e":null},"f":"x\u0041","b":[1,{"c":3}],"g":7}"#);
        assert_eq!(picked(&document, ["a.b.c", "a.e", "f", "b.c", "g.h"]), [Some("1"), None, Some(r#""x\u0041""#), None, None]);
    }

    #[test]
    fn a_cut_document_tells_what_it_said_before() {
        let document = document(r#"{"id":"msg_1","usage":{"input_tokens":3},"model":"claude"#);
        assert_eq!(picked(&document, ["id", "usage", "model"]), [Some(r#""msg_1""#), Some(r#"{"input_tokens":3}"#), None]);
    }

    #[test]
    fn a_document_too_large_to_keep_has_a_beginning_and_an_end() {
        let text = "x".repeat(3 * REPLY_BYTES_MAX);
        let json = format!(r#"{{"id":"resp_1","output":"{text}\"usage\":{{}}","usage":{{"input_tokens":7}},"tools":[]}}"#);
        for piece in [json.len(), 1000, 65_537] {
            let mut document = Document::new(REPLY_BYTES_MAX);
            json.as_bytes().chunks(piece).for_each(|bytes| document.push(bytes));
            assert_eq!(picked(&document, ["id", "usage"]), [Some(r#""resp_1""#), Some(r#"{"input_tokens":7}"#)], "in pieces of {piece}");
            assert!(document.head.capacity() + document.tail.as_ref().map_or(0, Vec::capacity) < 1 << 20);
        }
    }
}
