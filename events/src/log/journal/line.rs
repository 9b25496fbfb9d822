//! One line of the journal as JSON text. Lines of every version stay readable; `tests/golden` holds one file of each.
//!
//! Version 2 differs from version 1, which is an [`Entry`] as serde writes it and `said` beside it, in three ways, each to save bytes:
//! a key that the usage gives anyway is not written; what calls have in common stands together, before what they have apart;
//! what was said names the tokens of the usage instead of saying their numbers again (`said_as`).

use super::said;
use crate::{Entry, Event, Project, RequestKey, Said, Seq, Summary, Timestamp, Tokens, Usage};
use chrono::{Datelike, Timelike};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::io::Write;

/// A line longer than this is not ours: the greatest entry holds two usages and one usage object.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;

/// What is to be written: an entry, and what the provider said of the call in its own words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineRef<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) said: Option<&'a Said>,
    /// Whether the entry was lost here, and is written back from the store. Readers pass the mark over; it is for people.
    pub(crate) rescued: bool,
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

impl From<Entry> for Line {
    /// Of an entry beside which nothing was said, as far as is known.
    fn from(entry: Entry) -> Line {
        Line { entry, kept: None }
    }
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
        RawValue::from_string(text).map(|raw| Some(Said::from(raw))).map_err(|error| error.to_string())
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
        Event::BudgetSet { .. }
        | Event::BudgetRemoved { .. }
        | Event::AlertRaised { .. }
        | Event::PriceBookAdopted { .. }
        | Event::PriceSet { .. }
        | Event::PriceUnset { .. }
        | Event::PricesMultiplied { .. }
        | Event::Summarised { .. }
        | Event::Folded { .. }
        | Event::Lost
        | Event::Matched { .. }
        | Event::ProjectRenamed { .. } => None,
    }
}

/// Writes the line and its end.
pub(super) fn write_line(line: &LineRef<'_>, text: &mut Vec<u8>) {
    let LineRef { entry, said, rescued } = line;
    let usage = usage(&entry.event);
    text.extend_from_slice(b"{\"seq\":");
    write_count(entry.seq.0, text);
    text.extend_from_slice(b",\"recorded_at\":\"");
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
    if *rescued {
        text.extend_from_slice(b",\"rescued\":true");
    }
    text.extend_from_slice(b",\"event\":");
    write_event(&entry.event, text);
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

/// The first and the last entry of a frame.
pub(super) fn ends(text: &str) -> Option<(Seq, Seq)> {
    let seq = |line: &str| match read_line(line) {
        Ok(line) => Some(line.entry.seq),
        Err(LineFault::Later { seq, .. }) => Some(seq),
        Err(LineFault::Damaged(_)) => None,
    };
    Some((seq(text.lines().next()?)?, seq(text.lines().next_back()?)?))
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

/// Writes an event; read back by [`Event`] itself.
fn write_event(event: &Event, out: &mut Vec<u8>) {
    match event {
        Event::Used { usage } => {
            out.extend_from_slice(b"{\"used\":{\"usage\":");
            write_usage(usage, out);
            out.extend_from_slice(b"}}");
        }
        Event::Restated { before, after } => {
            out.extend_from_slice(b"{\"restated\":{\"before\":");
            write_usage(before, out);
            out.extend_from_slice(b",\"after\":");
            write_usage(after, out);
            out.extend_from_slice(b"}}");
        }
        Event::Summarised { summary } => {
            let Summary { usage, calls, rounding } = &**summary;
            out.extend_from_slice(b"{\"summarised\":{\"summary\":{\"usage\":");
            write_usage(usage, out);
            out.extend_from_slice(b",\"calls\":");
            write_count(*calls, out);
            write_some(b",\"rounding\":", Some(rounding).filter(|rounding| !rounding.is_zero()), out);
            out.extend_from_slice(b"}}}");
        }
        Event::BudgetSet { .. }
        | Event::BudgetRemoved { .. }
        | Event::AlertRaised { .. }
        | Event::PriceBookAdopted { .. }
        | Event::PriceSet { .. }
        | Event::PriceUnset { .. }
        | Event::PricesMultiplied { .. }
        | Event::Folded { .. }
        | Event::Lost
        | Event::Matched { .. }
        | Event::ProjectRenamed { .. } => write_json(event, out),
    }
}

/// Writes a usage: first what neighbouring calls share, then what every call has of its own. The shared part is one match for the compressor.
// Taken apart without `..`, so that a new field of `Usage` cannot be forgotten here.
fn write_usage(usage: &Usage, out: &mut Vec<u8>) {
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
        requests,
        certainty,
        reported_cost,
        latency_ms,
        status,
        sources,
    } = usage;
    out.extend_from_slice(b"{\"provider\":");
    write_text(provider, out);
    out.extend_from_slice(b",\"family\":");
    write_text(family, out);
    write_name(b",\"device\":", device.as_deref(), out);
    write_name(b",\"client\":", client.as_deref(), out);
    out.extend_from_slice(b",\"certainty\":");
    write_json(certainty, out);
    out.extend_from_slice(b",\"sources\":");
    write_json(sources, out);
    write_some(b",\"status\":", status.as_ref(), out);
    write_name(b",\"tier\":", tier.as_deref(), out);
    write_name(b",\"geo\":", geo.as_deref(), out);
    if let Some(Project { by, name }) = project {
        out.extend_from_slice(b",\"project\":{\"by\":");
        write_json(by, out);
        out.extend_from_slice(b",\"name\":");
        write_text(name, out);
        out.push(b'}');
    }
    write_name(b",\"request_model\":", request_model.as_deref(), out);
    write_name(b",\"model\":", model.as_deref(), out);
    write_name(b",\"branch\":", branch.as_deref(), out);
    write_name(b",\"session\":", session.as_deref(), out);
    out.extend_from_slice(b",\"at\":\"");
    out.extend_from_slice(TimeText::of(*at).as_str().as_bytes());
    out.push(b'"');
    write_some(b",\"fees\":", Some(fees).filter(|fees| !fees.is_none()), out);
    out.extend_from_slice(b",\"tokens\":");
    write_tokens(tokens, out);
    write_some(b",\"requests\":", requests.as_ref(), out);
    write_some(b",\"reported_cost\":", reported_cost.as_ref(), out);
    write_some(b",\"latency_ms\":", latency_ms.as_ref(), out);
    write_some(b",\"carried\":", carried.as_ref(), out);
    write_name(b",\"request_id\":", request_id.as_deref(), out);
    write_name(b",\"call_id\":", call_id.as_deref(), out);
    out.push(b'}');
}

fn write_tokens(tokens: &Tokens, out: &mut Vec<u8>) {
    let mut sign = b'{';
    for (name, count) in said::classes(tokens) {
        if count > 0 {
            out.extend_from_slice(&[sign, b'"']);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            write_count(count, out);
            sign = b',';
        }
    }
    if sign == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

fn write_name(before: &[u8], name: Option<&str>, out: &mut Vec<u8>) {
    if let Some(name) = name {
        out.extend_from_slice(before);
        write_text(name, out);
    }
}

fn write_some<T: Serialize>(before: &[u8], value: Option<&T>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        out.extend_from_slice(before);
        write_json(value, out);
    }
}

/// A string. Nearly none has a sign that must be written otherwise.
fn write_text(text: &str, out: &mut Vec<u8>) {
    // Without a way out before the end it is done on many bytes at once.
    if text.bytes().fold(false, |is, byte| is | (byte < b' ') | (byte == b'"') | (byte == b'\\')) {
        write_json(text, out);
    } else {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
}

fn write_count(mut count: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut from = digits.len();
    loop {
        from -= 1;
        digits[from] = b'0' + (count % 10) as u8;
        count /= 10;
        if count == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[from..]);
}

fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("an event holds only what JSON can hold, and memory takes it");
}

/// A time as [`Timestamp`] shows itself. Made by hand where the year has four digits: chrono's formatting costs more than all else in a line.
enum TimeText {
    Fixed([u8; 27]),
    Long(String),
}

impl TimeText {
    fn of(at: Timestamp) -> TimeText {
        let utc = at.utc().naive_utc();
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
        put(26, 6, utc.nanosecond() / 1_000);
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
