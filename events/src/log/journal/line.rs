//! One line of the journal as JSON text. Lines of every version stay readable; `tests/golden` holds one file of each.
//!
//! Version 2 differs from version 1, which is an [`Entry`] as serde writes it and `said` beside it, in three ways, each to save bytes:
//! a key that the usage gives anyway is not written; what calls have in common stands together, before what they have apart;
//! what was said names the tokens of the usage instead of saying their numbers again (`said_as`).

use super::said;
use crate::{
    Alert, Budget, CallUuid, Certainty, Entry, Event, Fees, Project, RequestKey, Said, Seq, Sources, Timestamp, Tokens, Usage, Usd,
};
use chrono::{Datelike, Timelike};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use std::io::Write;

/// A line longer than this is not ours: the greatest entry holds two usages and one usage object.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;

/// What is to be written: an entry, and what the provider said of the call in its own words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineRef<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) said: Option<&'a Said>,
}

/// What was read: an entry, and what was said, which is made into text only when it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) entry: Entry,
    kept: Option<Kept>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    Plain(Box<str>),
    InTokens(Box<str>),
}

impl Line {
    /// What the provider said, in its own words. `Err` says why it cannot be told.
    pub(crate) fn said(&self) -> Result<Option<Said>, String> {
        let text = match &self.kept {
            None => return Ok(None),
            Some(Kept::Plain(text)) => text.clone().into_string(),
            Some(Kept::InTokens(text)) => match usage(&self.entry.event) {
                Some(usage) => said::in_numbers(text, &usage.tokens)?,
                None => return Err("it names the tokens of an entry that has none".into()),
            },
        };
        RawValue::from_string(text).map(|raw| Some(Said(raw))).map_err(|error| error.to_string())
    }
}

/// Why a line is none that we can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LineFault {
    /// No line of any tollbar.
    Damaged(String),
    /// Sound, but of a kind that this program does not know.
    Later { seq: Seq, reason: String },
}

/// The usage that an event ends with, where it speaks of a call.
fn usage(event: &Event) -> Option<&Usage> {
    match event {
        Event::Used { usage } | Event::Restated { after: usage, .. } => Some(usage),
        Event::BudgetSet { .. } | Event::BudgetRemoved { .. } | Event::AlertRaised { .. } | Event::Lost => None,
    }
}

/// Writes the line and its end.
pub(super) fn write_line(line: &LineRef<'_>, text: &mut Vec<u8>) {
    let LineRef { entry, said } = line;
    let usage = usage(&entry.event);
    write!(text, "{{\"seq\":{},\"recorded_at\":\"", entry.seq.0).expect("memory takes it");
    text.extend_from_slice(TimeText::of(entry.recorded_at).as_str().as_bytes());
    text.push(b'"');
    if let Some(key) = entry.key.filter(|key| usage.and_then(Usage::key) != Some(*key)) {
        write!(text, ",\"key\":\"{key}\"").expect("memory takes it");
    }
    if let Some(said) = said {
        let before = text.len();
        text.extend_from_slice(b",\"said_as\":");
        if !usage.is_some_and(|usage| said::write_in_tokens(said.text(), &usage.tokens, text)) {
            text.truncate(before);
            text.extend_from_slice(b",\"said\":");
            // Between the words of JSON a line's end is a space like any other, and within them it is never bare.
            text.extend(said.text().bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        }
    }
    text.extend_from_slice(b",\"event\":");
    serde_json::to_writer(&mut *text, &EventText::of(&entry.event)).expect("an event holds only what JSON can hold, and memory takes it");
    text.extend_from_slice(b"}\n");
}

/// Reads a line of any version. What it says beyond what is known is passed over.
pub(super) fn read_line(text: &str) -> Result<Line, LineFault> {
    let line: LineText<'_> = serde_json::from_str(text).map_err(|error| fault(text, &error))?;
    // A call's line without a key has the key that its usage gives.
    let key = line.key.or_else(|| usage(&line.event).and_then(Usage::key));
    if key.is_none() && usage(&line.event).is_some() {
        return Err(LineFault::Damaged(format!("entry {} is a call without an identity", line.seq.0)));
    }
    let kept = match (line.said_as, line.said) {
        (Some(raw), _) => Some(Kept::InTokens(raw.get().into())),
        (None, Some(raw)) => Some(Kept::Plain(raw.get().into())),
        (None, None) => None,
    };
    Ok(Line { entry: Entry { seq: line.seq, recorded_at: line.recorded_at, key, event: line.event }, kept })
}

/// A frame that decodes has a right checksum, so a line in it that is JSON is as some tollbar wrote it: not damage, but a later program.
fn fault(text: &str, error: &serde_json::Error) -> LineFault {
    #[derive(Deserialize)]
    struct Outline<'a> {
        seq: Seq,
        #[serde(borrow, rename = "event")]
        _event: &'a RawValue,
    }
    match serde_json::from_str::<Outline<'_>>(text) {
        Ok(outline) => LineFault::Later { seq: outline.seq, reason: error.to_string() },
        Err(_) => LineFault::Damaged(error.to_string()),
    }
}

#[derive(Deserialize)]
struct LineText<'a> {
    seq: Seq,
    recorded_at: Timestamp,
    #[serde(default)]
    key: Option<RequestKey>,
    event: Event,
    #[serde(borrow, default)]
    said: Option<&'a RawValue>,
    #[serde(borrow, default)]
    said_as: Option<&'a RawValue>,
}

/// [`Event`] in the order of fields that compresses best; read back by [`Event`] itself.
// Made for one line at a time, on the stack: its size costs nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum EventText<'a> {
    Used { usage: UsageText<'a> },
    Restated { before: UsageText<'a>, after: UsageText<'a> },
    BudgetSet { budget: &'a Budget },
    BudgetRemoved { name: &'a str },
    AlertRaised { alert: &'a Alert },
    Lost,
}

impl EventText<'_> {
    fn of(event: &Event) -> EventText<'_> {
        match event {
            Event::Used { usage } => EventText::Used { usage: UsageText::of(usage) },
            Event::Restated { before, after } => EventText::Restated { before: UsageText::of(before), after: UsageText::of(after) },
            Event::BudgetSet { budget } => EventText::BudgetSet { budget },
            Event::BudgetRemoved { name } => EventText::BudgetRemoved { name },
            Event::AlertRaised { alert } => EventText::AlertRaised { alert },
            Event::Lost => EventText::Lost,
        }
    }
}

/// First what neighbouring calls share, then what every call has of its own: the shared part is one match for the compressor.
#[derive(Serialize)]
struct UsageText<'a> {
    provider: &'a str,
    family: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    certainty: Certainty,
    sources: Sources,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    geo: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'a Project>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(serialize_with = "write_time")]
    at: Timestamp,
    #[serde(skip_serializing_if = "Fees::is_none")]
    fees: Fees,
    tokens: &'a Tokens,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_cost: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    carried: Option<CallUuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<&'a str>,
}

impl UsageText<'_> {
    // Taken apart without `..`, so that a new field of `Usage` cannot be forgotten here.
    fn of(usage: &Usage) -> UsageText<'_> {
        let Usage {
            at,
            provider,
            family,
            model,
            request_model,
            call_id,
            request_id,
            carried,
            device,
            client,
            project,
            session,
            branch,
            tier,
            geo,
            tokens,
            fees,
            certainty,
            reported_cost,
            latency_ms,
            status,
            sources,
        } = usage;
        UsageText {
            provider,
            family,
            device: device.as_deref(),
            client: client.as_deref(),
            certainty: *certainty,
            sources: *sources,
            status: *status,
            tier: tier.as_deref(),
            geo: geo.as_deref(),
            project: project.as_ref(),
            request_model: request_model.as_deref(),
            model: model.as_deref(),
            branch: branch.as_deref(),
            session: session.as_deref(),
            at: *at,
            fees: *fees,
            tokens,
            reported_cost: *reported_cost,
            latency_ms: *latency_ms,
            carried: *carried,
            request_id: request_id.as_deref(),
            call_id: call_id.as_deref(),
        }
    }
}

fn write_time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(TimeText::of(*at).as_str())
}

/// A time as [`Timestamp`] shows itself. Made by hand where the year has four digits: chrono's formatting costs more than all else in a line.
enum TimeText {
    Fixed([u8; 27]),
    Long(String),
}

impl TimeText {
    fn of(at: Timestamp) -> TimeText {
        let utc = at.utc();
        let Ok(year @ 0..=9999) = u32::try_from(utc.year()) else { return TimeText::Long(at.to_string()) };
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let mut put = |end: usize, digits: usize, mut number: u32| {
            for byte in text[end - digits..end].iter_mut().rev() {
                *byte = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        put(4, 4, year);
        put(7, 2, utc.month());
        put(10, 2, utc.day());
        put(13, 2, utc.hour());
        put(16, 2, utc.minute());
        put(19, 2, utc.second());
        put(26, 6, utc.timestamp_subsec_micros());
        TimeText::Fixed(text)
    }

    fn as_str(&self) -> &str {
        match self {
            TimeText::Fixed(text) => std::str::from_utf8(text).expect("digits and signs"),
            TimeText::Long(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_is_written_as_it_shows_itself(micros in prop_oneof![any::<i64>(), -70_000_000_000_000_000i64..300_000_000_000_000_000]) {
            let at = Timestamp::from_micros(micros);
            let text = TimeText::of(at);
            prop_assert_eq!(text.as_str(), at.to_string());
        }

        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,80}") {
            let _ = read_line(&text);
            let _ = read_line(&format!("{{\"seq\":1,\"recorded_at\":\"2026-11-22T08:30:00Z\",\"event\":{text}}}"));
        }
    }
}
