//! One text in the outermost mapping of a YAML file.

use super::edit::{Edited, line_around, line_end};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::{fmt::Write as _, ops::Range};

const BOM: &str = "\u{feff}";

/// A member of the outermost mapping.
#[derive(Default)]
struct Member {
    /// Its name, if that is a text.
    key: Option<String>,
    key_at: Range<usize>,
    value_at: Range<usize>,
    /// Its value, if that is a text on one line.
    text: Option<String>,
    /// What it says, as it is parsed.
    events: String,
}

/// How the outermost mapping is written.
#[derive(Clone, Copy)]
enum Kind {
    /// Not at all: the file has no content.
    Missing,
    /// A line for each member; where the first one begins.
    Block(usize),
    /// In braces; behind the first one.
    Flow(usize),
}

/// The text of that name.
pub(super) fn get(text: &str, name: &str) -> Result<Option<String>, String> {
    let (_, members) = members(text)?;
    Ok(of_name(members, name).and_then(|member| member.text))
}

/// The file with a text of that name.
pub(super) fn set(text: &str, name: &str, value: &str) -> Result<Edited, String> {
    let (kind, there) = members(text)?;
    let others = without(&there, name);
    let is_filled = !there.is_empty();
    // A text in double quotes is written as in JSON.
    let quoted = serde_json::Value::from(value).to_string();
    let ours = format!("{name}: {quoted}");
    let end = line_end(text);
    let (range, put, old) = match (of_name(there, name), kind) {
        (Some(member), _) if member.text.is_none() => return Err(format!("{name:?} is no text on one line there")),
        (Some(member), _) => (member.value_at.clone(), quoted, Some(text[member.value_at].to_owned())),
        (None, Kind::Missing) => {
            let before = if text.is_empty() || text == BOM || text.ends_with('\n') { "" } else { end };
            (text.len()..text.len(), format!("{before}{ours}{end}"), None)
        }
        (None, Kind::Block(first)) => {
            let line = line_around(text, first).start;
            let line = if line == 0 && text.starts_with(BOM) { BOM.len() } else { line };
            let indent = &text[line..first];
            if !indent.bytes().all(|byte| byte == b' ') {
                return Err("its first name does not begin a line".to_owned());
            }
            (line..line, format!("{indent}{ours}{end}"), None)
        }
        (None, Kind::Flow(inside)) => (inside..inside, if is_filled { format!("{ours}, ") } else { ours }, None),
    };
    let edited = [&text[..range.start], &put, &text[range.end..]].concat();
    let (_, now) = members(&edited)?;
    if without(&now, name) != others {
        return Err(format!("{name:?} cannot be put in there"));
    }
    let had = usize::from(old.is_some());
    Ok(Edited { text: edited, old, had })
}

/// The file without it, or with the value that stood there.
pub(super) fn unset(text: &str, name: &str, old: Option<&str>) -> Result<String, String> {
    let (kind, members) = members(text)?;
    let Some(Member { key_at: key, value_at: value, .. }) = of_name(members, name) else { return Ok(text.to_owned()) };
    let (range, put) = match (old, kind) {
        (Some(old), _) => (value, old),
        (None, Kind::Missing | Kind::Block(_)) => (line_around(text, key.start).start..line_around(text, value.end).end, ""),
        (None, Kind::Flow(_)) => {
            let rest = &text[value.end..];
            let comma = rest.trim_start().strip_prefix(',').map(|behind| text.len() - behind.trim_start_matches(' ').len());
            let before = text[..key.start].trim_end();
            match comma {
                Some(end) => (key.start..end, ""),
                None if before.ends_with(',') => (before.len() - 1..value.end, ""),
                None => (key.start..value.end, ""),
            }
        }
    };
    Ok([&text[..range.start], put, &text[range.end..]].concat())
}

/// The member of that name. Of several the last counts.
fn of_name(members: Vec<Member>, name: &str) -> Option<Member> {
    members.into_iter().rev().find(|member| member.key.as_deref() == Some(name))
}

/// What a file says besides that name.
fn without(members: &[Member], name: &str) -> Vec<String> {
    members.iter().filter(|member| member.key.as_deref() != Some(name)).map(|member| member.events.clone()).collect()
}

fn members(text: &str) -> Result<(Kind, Vec<Member>), String> {
    let bom = if text.starts_with(BOM) { BOM.len() } else { 0 };
    // Places are counted in characters.
    let mut offsets: Vec<usize> = text[bom..].char_indices().map(|(at, _)| at + bom).collect();
    offsets.push(text.len());
    let at = |place: usize| offsets.get(place).copied().unwrap_or(text.len());
    let mut kind = Kind::Missing;
    let mut members = Vec::new();
    let (mut depth, mut documents) = (0_usize, 0);
    // The member that is being read, and whether its name is behind.
    let mut member: Option<(Member, bool)> = None;
    for (event, span) in events(text)? {
        let opens = matches!(event, Event::MappingStart(..) | Event::SequenceStart(..));
        let closes = matches!(event, Event::MappingEnd | Event::SequenceEnd);
        let is_leaf = matches!(event, Event::Scalar(..) | Event::Alias(_));
        let span_at = at(span.start.index())..at(span.end.index());
        depth -= usize::from(closes);
        if depth == 0 {
            let is_nothing = matches!(&event, Event::Scalar(text, ..) if text.is_empty() || text == "~") && span.is_empty();
            documents += usize::from(matches!(event, Event::DocumentStart(_)));
            if matches!(event, Event::MappingStart(..)) {
                let is_flow = text[span_at.start..].starts_with('{');
                kind = if is_flow { Kind::Flow(span_at.start + 1) } else { Kind::Block(span_at.start) };
            } else if opens || is_leaf && !is_nothing {
                return Err("it is no YAML mapping".to_owned());
            }
        } else {
            let starts = depth == 1 && !closes;
            let (current, has_key) = member.get_or_insert_with(Default::default);
            let place = if *has_key { &mut current.value_at } else { &mut current.key_at };
            *place = if starts { span_at } else { place.start..span_at.end };
            // Writing to a text does not fail.
            let _ = write!(current.events, "{event:?} ");
            if let (Event::Scalar(scalar, style, ..), 1) = (&event, depth) {
                if *has_key {
                    let end = end_of_line_scalar(&text[current.value_at.clone()], *style);
                    current.text = end.map(|_| scalar.to_string());
                    current.value_at.end = end.map_or(current.value_at.end, |length| current.value_at.start + length);
                } else {
                    current.key = Some(scalar.to_string());
                }
            }
            if depth == 1 && (is_leaf || closes) {
                if *has_key {
                    members.extend(member.take().map(|(member, _)| member));
                } else {
                    *has_key = true;
                }
            }
        }
        depth += usize::from(opens);
    }
    if documents > 1 { Err("it holds several documents".to_owned()) } else { Ok((kind, members)) }
}

/// How long a text is that stands on one line; the parser's own end is behind a comment that follows it.
fn end_of_line_scalar(scalar: &str, style: ScalarStyle) -> Option<usize> {
    let quoted = |is_end: fn(&str) -> bool, quote: char| {
        let mut rest = scalar.char_indices().skip(1);
        loop {
            match rest.next()? {
                (_, '\n') => return None,
                (_, '\\') if quote == '"' => drop(rest.next()),
                (at, letter) if letter == quote && is_end(&scalar[at + 1..]) => return Some(at + 1),
                (_, letter) if letter == quote => drop(rest.next()),
                _ => {}
            }
        }
    };
    match style {
        ScalarStyle::Plain => {
            let text = scalar.split(" #").next().unwrap_or_default().trim_end();
            (!text.contains('\n')).then_some(text.len())
        }
        ScalarStyle::DoubleQuoted => quoted(|_| true, '"'),
        // Two of them stand for one.
        ScalarStyle::SingleQuoted => quoted(|rest| !rest.starts_with('\''), '\''),
        ScalarStyle::Literal | ScalarStyle::Folded => None,
    }
}

fn events(text: &str) -> Result<Vec<(Event<'_>, Span)>, String> {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    let events: Result<Vec<_>, _> = Parser::new_from_str(text).collect();
    events.map_err(|error| format!("it is no YAML: {}", error.info()))
}
