//! One text in the root table of a TOML file.

use super::edit::{Edited, line_around, line_end};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

const BOM: &str = "\u{feff}";

/// A member of the root table.
struct Member {
    name: Range<usize>,
    value: Range<usize>,
    /// Its value, if that is a text.
    text: Option<String>,
}

/// The text of that name.
pub(super) fn get(text: &str, name: &str) -> Result<Option<String>, String> {
    Ok(member(text, name)?.and_then(|member| member.text))
}

/// The file with a text of that name.
pub(super) fn set(text: &str, name: &str, value: &str) -> Result<Edited, String> {
    let quoted = toml::Value::from(value).to_string();
    match member(text, name)? {
        Some(member) => {
            let old = Some(text[member.value.clone()].to_owned());
            let text = [&text[..member.value.start], &quoted, &text[member.value.end..]].concat();
            Ok(Edited { text, old, had: 1 })
        }
        None => {
            // First of all, before any table begins.
            let (bom, rest) = text.split_at(if text.starts_with(BOM) { BOM.len() } else { 0 });
            Ok(Edited { text: format!("{bom}{name} = {quoted}{}{rest}", line_end(text)), old: None, had: 0 })
        }
    }
}

/// The file without it, or with the value that stood there.
pub(super) fn unset(text: &str, name: &str, old: Option<&str>) -> Result<String, String> {
    let Some(member) = member(text, name)? else { return Ok(text.to_owned()) };
    let (range, put) = match old {
        Some(old) => (member.value, old),
        None => (member.name.start..line_around(text, member.value.end).end, ""),
    };
    Ok([&text[..range.start], put, &text[range.end..]].concat())
}

fn member(text: &str, name: &str) -> Result<Option<Member>, String> {
    let bom = if text.starts_with(BOM) { BOM.len() } else { 0 };
    let table = DeTable::parse(&text[bom..]).map_err(|error| format!("it is no TOML: {}", error.message()))?;
    let Some((key, value)) = table.get_ref().get_key_value(name) else { return Ok(None) };
    let moved = |range: Range<usize>| range.start + bom..range.end + bom;
    let text = if let DeValue::String(text) = value.get_ref() { Some(text.to_string()) } else { None };
    Ok(Some(Member { name: moved(key.span()), value: moved(value.span()), text }))
}
