//! What the provider said about a call, in its own words: numbers and short names only, never content, and bounded.
//!
//! It stands beside the call in the journal. All that a meter concludes it concludes from this, so that a better meter can conclude again.

use crate::percent;
use events::{Fees, Tokens, Usd, names};
use serde_json::{Map, Value, value::RawValue};
use std::{borrow::Cow, collections::BTreeMap};

/// The largest usage object that is read.
const OBJECT_BYTES_MAX: usize = 64 << 10;
const DEPTH_MAX: usize = 6;
const FIELDS_MAX: usize = 96;
const ELEMENTS_MAX: usize = 64;
const NAME_CHARS_MAX: usize = 64;
const MODEL_CHARS_MAX: usize = 160;
const ID_CHARS_MAX: usize = 200;
/// More digits no count has.
const DIGITS_MAX: u32 = 20;
/// The field that notes a last word.
const WHOLE: &str = "whole";

/// What one call was said to have used.
#[derive(Default)]
pub(super) struct Said(Map<String, Value>);

impl Said {
    /// Takes up a value under a name. Within objects the last value that is not null wins, field by field: providers repeat and complete
    /// their usage in a stream, and a field that a later event leaves out is not zero (provider-usage, section 0, rule 5). Neither is one
    /// that a later event fills with a zero: counts are cumulative, so a zero behind a greater count is a placeholder.
    pub(super) fn hear(&mut self, name: &str, raw: &RawValue) {
        if let Some(value) = kept(raw, 0) {
            overlay(self.0.entry(name).or_insert(Value::Null), value);
        }
    }

    /// Takes up a value that stands alone, as a field under a name.
    pub(super) fn hear_in(&mut self, name: &str, field: &str, raw: &RawValue) {
        if let Some(value) = kept(raw, 0) {
            overlay(self.0.entry(name).or_insert(Value::Null), Value::Object(Map::from_iter([(field.to_owned(), value)])));
        }
    }

    /// Takes up a count that was summed.
    pub(super) fn set_in(&mut self, name: &str, field: &str, count: u64) {
        overlay(self.0.entry(name).or_insert(Value::Null), Value::Object(Map::from_iter([(field.to_owned(), count.into())])));
    }

    /// Takes up a name, such as the model's.
    pub(super) fn name(&mut self, name: &str, raw: Option<&RawValue>) {
        if let Some(text) = model(raw) {
            self.0.insert(name.to_owned(), Value::String(text));
        }
    }

    /// Notes something of our own.
    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Notes that the dialect's last word was heard, where nothing that was said could be read. Otherwise the usage tells it.
    pub(super) fn whole_but_unread(&mut self) {
        self.0.insert(WHOLE.to_owned(), Value::Bool(true));
    }

    /// Whether that was noted.
    pub(super) fn is_whole_but_unread(&self) -> bool {
        self.get(WHOLE) == Some(&Value::Bool(true))
    }

    /// For the journal: what was said, and on which surface, which decides how to read it.
    pub(super) fn into_value(mut self, surface: &str) -> Value {
        self.0.insert("surface".to_owned(), Value::String(surface.to_owned()));
        Value::Object(self.0)
    }
}

impl From<Map<String, Value>> for Said {
    fn from(fields: Map<String, Value>) -> Said {
        Said(fields)
    }
}

/// What a dialect concludes from what was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) tokens: Tokens,
    pub(super) fees: Fees,
    pub(super) tier: Option<String>,
    pub(super) geo: Option<String>,
    pub(super) reported_cost: Option<Usd>,
}

/// An id; `None` for what is empty or too long to be one.
pub(super) fn id(raw: Option<&RawValue>) -> Option<String> {
    text(raw?, ID_CHARS_MAX)
}

/// The name of a model as a path or a query has it, percent-encoded.
pub(super) fn model_in_path(text: &str) -> Option<String> {
    let text = String::from_utf8(percent::decoded(text)).ok()?;
    (!text.is_empty() && text.chars().count() <= MODEL_CHARS_MAX).then_some(text)
}

/// The name of a model, which may be long: a deployment, an ARN.
pub(super) fn model(raw: Option<&RawValue>) -> Option<String> {
    text(raw?, MODEL_CHARS_MAX)
}

/// A text that is not empty and of so many characters at most.
fn text(raw: &RawValue, chars_max: usize) -> Option<String> {
    let json = raw.get();
    // An escaped character takes six bytes at most.
    if !json.starts_with('"') || json.len() > 6 * chars_max + 2 {
        return None;
    }
    let text: String = serde_json::from_str(json).ok()?;
    (!text.is_empty() && text.chars().count() <= chars_max).then_some(text)
}

/// A copy of a value without what is no number, name or truth value. A number that is no integer is kept as the text that stood there:
/// as a float it would lose digits, and some of them are money.
fn kept(raw: &RawValue, depth: usize) -> Option<Value> {
    let json = raw.get();
    if depth > DEPTH_MAX || json.len() > OBJECT_BYTES_MAX {
        return None;
    }
    Some(match json.as_bytes().first()? {
        b'{' => {
            let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(json).ok()?;
            let short = fields.into_iter().filter(|(name, _)| name.chars().count() <= NAME_CHARS_MAX && names::is_word(name));
            let kept = short.filter_map(|(name, raw)| Some((name.into_owned(), kept(raw, depth + 1)?)));
            Value::Object(kept.take(FIELDS_MAX).collect())
        }
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            Value::Array(elements.into_iter().filter_map(|raw| kept(raw, depth + 1)).take(ELEMENTS_MAX).collect())
        }
        // Free text may be content, and a key may stand anywhere.
        b'"' => Value::String(text(raw, NAME_CHARS_MAX).filter(|text| names::is_word(text))?),
        b't' => Value::Bool(true),
        b'f' => Value::Bool(false),
        b'n' => return None,
        _ => match json.parse::<u64>() {
            Ok(integer) => Value::from(integer),
            Err(_) => Value::String(json.chars().take(NAME_CHARS_MAX).collect()),
        },
    })
}

/// `old`, with all of `new` laid over it.
fn overlay(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                overlay(old.entry(name).or_insert(Value::Null), value);
            }
        }
        // What is no object says nothing of one.
        (Value::Object(_), _) => {}
        (old, new) if counts_something(old) && counts_nothing(&new) => {}
        (old, new) => *old = new,
    }
}

/// Whether a value is a number above zero, or has one within.
fn counts_something(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_u64() != Some(0),
        Value::String(text) => is_decimal(text) && !is_zero(text),
        Value::Array(elements) => elements.iter().any(counts_something),
        Value::Object(fields) => fields.values().any(counts_something),
        Value::Null | Value::Bool(_) => false,
    }
}

/// Whether a value is a zero, or a list without a count above zero.
fn counts_nothing(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => is_decimal(text) && is_zero(text),
        Value::Array(elements) => !elements.iter().any(counts_something),
        Value::Null | Value::Bool(_) | Value::Object(_) => false,
    }
}

/// Whether a text is a number as [`kept`] keeps those that are no integers.
fn is_decimal(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit() || first == '-') && text.parse::<f64>().is_ok()
}

fn is_zero(text: &str) -> bool {
    !text.split(['e', 'E']).next().unwrap_or_default().bytes().any(|byte| (b'1'..=b'9').contains(&byte))
}

/// The output that a usage counts, in any dialect.
pub(super) fn produced(usage: &Value) -> u64 {
    const OUTPUTS: [&str; 12] = [
        "completion_tokens",
        "output_tokens",
        "outputTokens",
        "candidatesTokenCount",
        "responseTokenCount",
        "total_output_tokens",
        "eval_count",
        "billed_units.output_tokens",
        "generation_token_count",
        "totalOutputTextTokenCount",
        "outputTokenCount",
        "timings.predicted_n",
    ];
    let thoughts = count(usage, &["thoughtsTokenCount", "total_thought_tokens"]).unwrap_or(0);
    OUTPUTS.iter().filter_map(|name| count(usage, &[name])).max().unwrap_or(0).saturating_add(thoughts)
}

/// The value at a path of names (`cost_details.upstream_inference_cost`).
pub(super) fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, name| value.get(name))
}

/// The count at the first of the paths where one stands. Negative counts, which some servers send for "unknown", are zero.
pub(super) fn count(value: &Value, paths: &[&str]) -> Option<u64> {
    paths.iter().find_map(|path| match at(value, path)? {
        Value::Number(number) => number.as_u64(),
        // A number that is no integer (`12.0`, `-1`, `1e3`), or one in quotes.
        Value::String(text) => whole_part_of(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

/// Whether a usage counts no prompt, in any dialect.
pub(super) fn reads_nothing(usage: &Value) -> bool {
    const INPUTS: [&str; 12] = [
        "prompt_tokens",
        "input_tokens",
        "inputTokens",
        "promptTokenCount",
        "total_input_tokens",
        "prompt_eval_count",
        "billed_units.input_tokens",
        "prompt_token_count",
        "inputTextTokenCount",
        "inputTokenCount",
        "timings.prompt_n",
        "cache_read_input_tokens",
    ];
    INPUTS.iter().all(|name| count(usage, &[name]).unwrap_or(0) == 0)
}

/// A count as one of pieces; zero where there is none.
pub(super) fn pieces(count: Option<u64>) -> u32 {
    count.map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX))
}

/// A count at a path, a part of one taken for a whole: half a second is billed as one.
pub(super) fn count_up(value: &Value, path: &str) -> Option<u64> {
    let whole = count(value, &[path])?;
    let has_part = at(value, path).and_then(Value::as_str).and_then(|text| text.split_once('.')).is_some_and(|(_, part)| !is_zero(part));
    Some(whole.saturating_add(u64::from(has_part)))
}

/// Whether a usage counts what is billed by the piece instead of by tokens: the seconds of a sound, searches of a ranking, pages
/// (provider-usage, sections 2.5, 6 and 13).
pub(super) fn counts_other_than_tokens(usage: &Value) -> bool {
    count(usage, &["seconds", "characters", "billed_units.search_units", "pages_processed"]).is_some()
}

/// Whether a field says something: some servers fill one that has nothing to say.
pub(super) fn says_something(raw: Option<&RawValue>) -> bool {
    raw.is_some_and(|raw| !matches!(raw.get(), "{}" | "[]" | "\"\"" | "false" | "0"))
}

/// The integer that a number is at least; zero for one below zero.
pub(super) fn whole_part(raw: &RawValue) -> Option<u64> {
    whole_part_of(raw.get().trim_matches('"'))
}

fn whole_part_of(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('-') {
        return rest.starts_with(|first: char| first.is_ascii_digit()).then_some(0);
    }
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let exponent: i32 = exponent.parse().ok()?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !part.is_empty() && !digits(part) || exponent.unsigned_abs() > DIGITS_MAX {
        return None;
    }
    // The point moves by the exponent.
    let point = i32::try_from(whole.len()).ok()?.saturating_add(exponent).max(0).unsigned_abs() as usize;
    let moved: String = whole.chars().chain(part.chars()).chain(std::iter::repeat('0')).take(point).collect();
    if moved.is_empty() { Some(0) } else { moved.parse().ok() }
}

/// The amount in dollars at a path, exact.
pub(super) fn dollars(value: &Value, path: &str) -> Option<Usd> {
    match at(value, path)? {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The name at a path.
pub(super) fn name<'v>(value: &'v Value, path: &str) -> Option<&'v str> {
    at(value, path)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    #[test]
    fn the_last_value_that_is_not_null_wins_field_by_field() {
        let mut said = Said::default();
        said.hear("usage", &raw(r#"{"input_tokens":3,"cache_creation":{"ephemeral_1h_input_tokens":9},"output_tokens":1}"#));
        said.hear("usage", &raw(r#"{"input_tokens":null,"output_tokens":90,"speed":"fast"}"#));
        let expected = json!({"input_tokens":3,"cache_creation":{"ephemeral_1h_input_tokens":9},"output_tokens":90,"speed":"fast"});
        assert_eq!(said.get("usage"), Some(&expected));
    }

    #[test]
    fn a_zero_behind_a_count_is_a_placeholder() {
        let mut said = Said::default();
        said.hear(
            "usage",
            &raw(r#"{"input_tokens":0,"details":[{"modality":"TEXT","tokenCount":5}],"cost":0.5,"cache":{"read":7},"output_tokens":1}"#),
        );
        said.hear(
            "usage",
            &raw(r#"{"input_tokens":9,"details":[{"modality":"TEXT","tokenCount":0}],"cost":0.0,"cache":{"read":0},"output_tokens":4}"#),
        );
        said.hear("usage", &raw(r#"{"input_tokens":0,"details":[],"cost":0,"cache":0,"output_tokens":0}"#));
        let expected =
            json!({"input_tokens":9,"details":[{"modality":"TEXT","tokenCount":5}],"cost":"0.5","cache":{"read":7},"output_tokens":4});
        assert_eq!(said.get("usage"), Some(&expected));
    }

    #[test]
    fn long_texts_are_dropped_and_decimals_keep_their_digits() {
        let long = "x".repeat(65);
        let mut said = Said::default();
        said.hear("usage", &raw(&format!(r#"{{"text":"{long}","cost":0.10000000000000000555,"time":1e-3,"ok":true,"{long}":1,"n":-4}}"#)));
        let usage = said.get("usage").expect("an object");
        assert_eq!(usage, &json!({"cost":"0.10000000000000000555","time":"1e-3","ok":true,"n":"-4"}));
        assert_eq!(dollars(usage, "cost").map(Usd::pico), Some(100_000_000_000));
        assert_eq!(count(usage, &["none", "n"]), Some(0));
    }

    #[test]
    fn what_is_too_large_or_too_deep_is_not_kept() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100));
        assert!(kept(&raw(&deep), 0).is_some_and(|value| value.to_string().len() < 60));
        assert_eq!(kept(&raw(&format!("[{}1]", "1,".repeat(OBJECT_BYTES_MAX))), 0), None);
    }
}
