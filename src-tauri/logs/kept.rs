//! What is kept of a usage object beside the event: numbers and short words, no content, and never more than can be read again.
//!
//! Nearly every object is kept as it stands in the row, at the price of one copy. One that has anything else in it is taken apart and
//! cleaned.

use super::json::Json;
use events::Said;
use serde_json::{Map, Value, value::RawValue};

/// The largest usage object that is kept.
const BYTES_MAX: usize = 16 * 1024;
/// The longest text or name inside of one; those that Anthropic writes there are single words.
const TEXT_BYTES_MAX: usize = 64;
/// The most digits of a number; 2^64 has as many.
const NUMBER_BYTES_MAX: usize = 20;
/// How deep one may be. The line of the journal in which it is kept is read with a bound of its own.
const DEPTH_MAX: usize = 8;

/// The usage object of a message as it may be kept; `None` where it is too large.
pub(super) fn whole(raw: &RawValue) -> Option<Said> {
    if raw.get().len() > BYTES_MAX {
        None
    } else if is_plain(raw.get()) {
        Some(Said::from(raw.to_owned()))
    } else {
        Some(Said::from(&clean(serde_json::from_str(raw.get()).ok()?, 1)))
    }
}

/// The same, with fields that stand beside it and hold for it too, where it does not say them itself.
pub(super) fn with(raw: &RawValue, shared: &[(&str, Option<&RawValue>)]) -> Option<Said> {
    let mut fields = serde_json::from_str::<Map<String, Value>>(raw.get()).ok().filter(|_| raw.get().len() <= BYTES_MAX)?;
    for (name, shared) in shared {
        if let Some(shared) = shared.and_then(|raw| serde_json::from_str(raw.get()).ok()) {
            fields.entry(*name).or_insert(shared);
        }
    }
    Some(Said::from(&clean(Value::Object(fields), 1)))
}

/// A usage object under the name of whose words it is in, so that the same reader can read it again.
pub(super) fn of(surface: &str, usage: Json<'_>) -> Option<Said> {
    let value = serde_json::from_str(usage.raw()).ok().filter(|_| usage.raw().len() <= BYTES_MAX)?;
    Some(Said::from(&Value::from_iter([("surface", Value::from(surface)), ("usage", clean(value, 2))])))
}

/// Whether JSON text has nothing in it but plain numbers and short words without escapes, and no space between them.
fn is_plain(json: &str) -> bool {
    let (mut depth, mut in_text) = (0, false);
    // The bytes of the text or number that is being read.
    let mut run = 0;
    json.bytes().all(|byte| {
        match (in_text, byte) {
            (true, b'"') => (in_text, run) = (false, 0),
            (true, b'\\' | 0..0x20) => return false,
            (true, _) => run += 1,
            (false, b'"') => (in_text, run) = (true, 0),
            (false, b'{' | b'[') => (depth, run) = (depth + 1, 0),
            (false, b'}' | b']') => (depth, run) = (depth - 1, 0),
            (false, b':' | b',') => run = 0,
            (false, b'0'..=b'9' | b'-' | b'.') => run += 1,
            // `true`, `false` and `null`; an exponent, which has digits before it, can be out of range.
            (false, b'a'..=b'z') if run == 0 => {}
            (false, _) => return false,
        }
        depth <= DEPTH_MAX && run <= if in_text { TEXT_BYTES_MAX } else { NUMBER_BYTES_MAX }
    })
}

/// Numbers and words only. A long text is not a word, and could be content; so could a long name.
fn clean(value: Value, depth: usize) -> Value {
    match value {
        Value::String(text) if text.len() > TEXT_BYTES_MAX => Value::Null,
        Value::Array(_) | Value::Object(_) if depth > DEPTH_MAX => Value::Null,
        Value::Array(items) => items.into_iter().map(|item| clean(item, depth + 1)).collect(),
        Value::Object(fields) => {
            let short = fields.into_iter().filter(|(name, _)| name.len() <= TEXT_BYTES_MAX);
            Value::Object(short.map(|(name, value)| (name, clean(value, depth + 1))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    fn kept(json: &str) -> Option<String> {
        whole(&raw(json)).map(|said| said.text().to_owned())
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
        assert!(is_plain(&format!(r#"{{"{word}":"{word}"}}"#)));
        assert_eq!(kept("{ \"a\" :\t\"\\u0062\" }").as_deref(), Some(r#"{"a":"b"}"#));
        assert_eq!(kept(&format!("[{}1]", "1,".repeat(BYTES_MAX))), None);
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
