//! What is kept of a usage object beside the event: numbers and short words, no content, and never more than can be read again.
//!
//! Nearly every object is kept as it stands in the row, at the price of one copy. One that has anything else in it is taken apart and
//! cleaned.

use super::json::Json;
use events::{Said, names};
use memchr::memchr;
use serde_json::{Map, Value};

/// The largest usage object that is kept.
const BYTES_MAX: usize = 16 * 1024;
/// The longest text or name inside of one; those that Anthropic writes there are single words.
const TEXT_BYTES_MAX: usize = 64;
/// The most digits of a number; 2^64 has as many.
const NUMBER_BYTES_MAX: usize = 20;
/// How deep one may be. The line of the journal in which it is kept is read with a bound of its own.
const DEPTH_MAX: usize = 8;

/// The usage object of a message as it may be kept; `None` where it is too large.
pub(super) fn whole(raw: &[u8]) -> Option<Said> {
    let text = std::str::from_utf8(raw).ok().filter(|text| text.len() <= BYTES_MAX)?;
    if is_plain(text, DEPTH_MAX) {
        Some(Said::of_sound(text.into()))
    } else {
        Some(Said::from(&clean(serde_json::from_str(text).ok()?, 1)))
    }
}

/// The same, with fields that stand beside it and hold for it too, where it does not say them itself.
pub(super) fn with(raw: &[u8], shared: &[(&str, Option<&[u8]>)]) -> Option<Said> {
    let mut fields = serde_json::from_slice::<Map<String, Value>>(raw).ok().filter(|_| raw.len() <= BYTES_MAX)?;
    for (name, shared) in shared {
        if let Some(shared) = shared.and_then(|raw| serde_json::from_slice(raw).ok()) {
            fields.entry(*name).or_insert(shared);
        }
    }
    Some(Said::from(&clean(Value::Object(fields), 1)))
}

/// A usage object under the name of whose words it is in, so that the same reader can read it again.
pub(super) fn of(surface: &str, usage: Json<'_>) -> Option<Said> {
    let text = Some(usage.raw()).filter(|text| text.len() <= BYTES_MAX)?;
    if is_plain(text, DEPTH_MAX - 1) {
        return Some(Said::of_sound(format!(r#"{{"surface":"{surface}","usage":{text}}}"#).into()));
    }
    Some(Said::from(&Value::from_iter([("surface", Value::from(surface)), ("usage", clean(serde_json::from_str(text).ok()?, 2))])))
}

/// Whether a text is sound JSON of plain numbers and short words without escapes, no space between them, and not deeper than that.
fn is_plain(text: &str, depth_max: usize) -> bool {
    // Without a way out before the end this is seen on many bytes at once.
    let is_strange = text.bytes().fold(false, |is, byte| is | (byte < b' ') | (byte == b'\\'));
    !is_strange && plain(text.as_bytes(), depth_max).is_some_and(<[u8]>::is_empty)
}

/// What follows the plain value that the text begins with, if it does. The text has neither escapes nor line breaks.
fn plain(text: &[u8], depth_left: usize) -> Option<&[u8]> {
    match text.first()? {
        b'{' | b'[' if depth_left == 0 => None,
        b'{' => plain_list(&text[1..], b'}', |rest| plain(plain_word(rest)?.strip_prefix(b":")?, depth_left - 1)),
        b'[' => plain_list(&text[1..], b']', |rest| plain(rest, depth_left - 1)),
        b'"' => plain_word(text),
        b't' => text.strip_prefix(b"true"),
        b'f' => text.strip_prefix(b"false"),
        b'n' => text.strip_prefix(b"null"),
        _ => plain_number(text),
    }
}

fn plain_list<'t>(text: &'t [u8], end: u8, item: impl Fn(&'t [u8]) -> Option<&'t [u8]>) -> Option<&'t [u8]> {
    if text.first() == Some(&end) {
        return Some(&text[1..]);
    }
    let mut rest = item(text)?;
    while rest.first() == Some(&b',') {
        rest = item(&rest[1..])?;
    }
    (rest.first() == Some(&end)).then(|| &rest[1..])
}

fn plain_word(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"\"")?;
    let length = memchr(b'"', text).filter(|length| *length <= TEXT_BYTES_MAX)?;
    let word = std::str::from_utf8(&text[..length]).ok()?;
    names::is_word(word).then(|| &text[length + 1..])
}

/// Without an exponent: one that has digits before it can be out of range.
fn plain_number(text: &[u8]) -> Option<&[u8]> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(text.first() == Some(&b'-'));
    let whole = digits(&text[sign..]);
    let is_whole = whole == 1 || (whole > 1 && text[sign] != b'0');
    let rest = &text[sign + whole..];
    let fraction = rest.strip_prefix(b".").map_or(0, |rest| 1 + digits(rest));
    let is_over = !matches!(rest.get(fraction), Some(b'e' | b'E' | b'.' | b'0'..=b'9'));
    (is_whole && fraction != 1 && is_over && sign + whole + fraction <= NUMBER_BYTES_MAX).then(|| &rest[fraction..])
}

/// Numbers and words only. A long text is not a word, and could be content; so could a long name.
fn clean(value: Value, depth: usize) -> Value {
    match value {
        Value::String(text) if text.len() > TEXT_BYTES_MAX || !names::is_word(&text) => Value::Null,
        Value::Array(_) | Value::Object(_) if depth > DEPTH_MAX => Value::Null,
        Value::Array(items) => items.into_iter().map(|item| clean(item, depth + 1)).collect(),
        Value::Object(fields) => {
            let short = fields.into_iter().filter(|(name, _)| name.len() <= TEXT_BYTES_MAX && names::is_word(name));
            Value::Object(short.map(|(name, value)| (name, clean(value, depth + 1))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    fn kept(json: &str) -> Option<String> {
        whole(json.as_bytes()).map(|said| said.text().to_owned())
    }

    #[test]
    fn what_clients_write_is_kept_as_it_stands() {
        let usual = r#"{"input_tokens":3,"cache_creation":{"ephemeral_1h_input_tokens":11232},"inference_geo":"","ok":true,"none":null,"n":[-1,0.5],"max":18446744073709551615}"#;
        assert_eq!(kept(usual).as_deref(), Some(usual));
    }

    #[test]
    fn nothing_that_could_be_content_is_kept() {
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(kept(&format!(r#"{{"a":"{long}","b":1,"{long}":2}}"#)).as_deref(), Some(r#"{"a":null,"b":1}"#));
        let word = "x".repeat(TEXT_BYTES_MAX);
        assert!(is_plain(&format!(r#"{{"{word}":"{word}"}}"#), 1));
        assert_eq!(kept("{ \"a\" :\t\"\\u0062\" }").as_deref(), Some(r#"{"a":"b"}"#));
        assert_eq!(kept(&format!("[{}1]", "1,".repeat(BYTES_MAX))), None);
        assert_eq!(
            kept(r#"{"a":"free text","b":"sk-ant-1","my secret":1,"c":"standard"}"#).as_deref(),
            Some(r#"{"a":null,"b":null,"c":"standard"}"#)
        );
    }

    #[test]
    fn what_could_not_be_read_again_is_not_kept() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100));
        assert_eq!(kept(&deep), Some(format!("{}null{}", r#"{"a":"#.repeat(DEPTH_MAX), "}".repeat(DEPTH_MAX))));
        assert_eq!(kept(r#"{"a":1e999}"#), None);
        assert_eq!(kept(&format!(r#"{{"a":{}}}"#, "9".repeat(400))), None);
        assert_eq!(kept(r#"{"a":"\ud83d"}"#), None);
    }

    /// Any JSON, with texts and numbers of every kind.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?",
            "\"([a-z é]|\\\\n|\\\\u[0-9a-f]{4}){0,80}\"",
            "true|false|null",
        ];
        leaf.prop_recursive(12, 40, 4, |inner| {
            let field = ("[a-z_]{0,70}", inner.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
                proptest::collection::vec(field, 0..4).prop_map(|fields| format!("{{{}}}", fields.join(", "))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_no_json_is_not_plain(json in json(), at in 0usize..200, other in "[{}\\[\\],:\"0-9a-z.-]{0,2}") {
            let mut text = json;
            let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let end = (at + 1..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(at);
            text.replace_range(at..end, &other);
            prop_assert!(!is_plain(&text, DEPTH_MAX) || serde_json::from_str::<Value>(&text).is_ok(), "{text}");
        }

        #[test]
        fn whatever_is_kept_can_be_read_again_and_has_no_more_to_clean(json in json()) {
            prop_assume!(serde_json::from_str::<&RawValue>(&json).is_ok());
            if let Some(text) = kept(&json) {
                prop_assert!(!text.contains(|sign: char| sign.is_ascii_control()));
                let value: Value = serde_json::from_str(&text).expect("kept text is JSON that is in range");
                prop_assert_eq!(clean(value.clone(), 1), value, "and clean");
            }
        }
    }
}
