//! One member of a JSON file set or removed, with every other byte as it was: comments, order and trailing commas stay.

use super::edit::Edited;
use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{Object, Value},
    common::Ranged as _,
    parse_to_ast,
};
use std::ops::Range;

/// Where a path leads.
struct Place {
    /// Behind the brace of the innermost object on the way.
    inside: usize,
    /// Whether that object has members.
    filled: bool,
    /// How many names of the path exist.
    had: usize,
    /// The last of them, name and value, and the value alone, if the whole path exists.
    found: Option<(Range<usize>, Range<usize>)>,
}

/// The text at a path. `None` where there is none; an error where the text is no JSON.
pub(super) fn get(text: &str, path: &[&str]) -> Result<Option<String>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let value = place(text, path)?.found.map(|(_, value)| text[value].to_owned());
    Ok(value.map(|raw| serde_json::from_str::<String>(&raw).unwrap_or(raw)))
}

/// The file with a text at a path.
pub(super) fn set(text: &str, path: &[&str], value: &str) -> Result<Edited, String> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    if text.trim().is_empty() {
        let nested = path.iter().rev().fold(serde_json::Value::from(value), |inner, name| serde_json::json!({ *name: inner }));
        return Ok(Edited { text: format!("{nested:#}\n"), old: None, had: 0 });
    }
    let place = place(text, path)?;
    if let Some((_, range)) = place.found {
        let old = Some(text[range.clone()].to_owned());
        return Ok(Edited { text: [&text[..range.start], &quoted(value), &text[range.end..]].concat(), old, had: path.len() });
    }
    let (before, after) = text.split_at(place.inside);
    let missing = &path[place.had..];
    // The last name stands before the value; each name before it opens an object around that.
    let mut member = quoted(value);
    for (nth, name) in missing.iter().enumerate().rev() {
        member = format!("{}: {member}", quoted(name));
        if nth > 0 {
            member = format!("{{ {member} }}");
        }
    }
    let indent = &after[..after.len() - after.trim_start().len()];
    let added = if place.filled { format!("{indent}{member},") } else { member };
    Ok(Edited { text: [before, &added, after].concat(), old: None, had: place.had })
}

/// The file without what `set` put at a path: the old value again, or none, nor an object that was made for it and holds nothing else.
pub(super) fn unset(text: &str, path: &[&str], old: Option<&str>, had: usize) -> Result<String, String> {
    let mut text = text.to_owned();
    let mut names = path.len();
    loop {
        let found = place(&text, &path[..names])?.found;
        let Some((member, value)) = found else { return Ok(text) };
        if let (Some(old), true) = (old, names == path.len()) {
            text.replace_range(value, old);
            return Ok(text);
        }
        if names < path.len() && !text[value].trim_matches(['{', '}']).trim().is_empty() {
            return Ok(text);
        }
        // With the comma behind it and the space before it, as it was put; the last member takes the comma before it.
        let end = behind_comma(&text, member.end);
        let mut start = text[..member.start].trim_end().len();
        if end.is_none() && text[..start].ends_with(',') {
            start -= 1;
        }
        text.replace_range(start..end.unwrap_or(member.end), "");
        names -= 1;
        if names <= had {
            return Ok(text);
        }
    }
}

fn behind_comma(text: &str, end: usize) -> Option<usize> {
    let rest = &text[end..];
    rest.trim_start().starts_with(',').then(|| end + rest.len() - rest.trim_start().len() + 1)
}

fn place(text: &str, path: &[&str]) -> Result<Place, String> {
    const LAX: ParseOptions = ParseOptions {
        allow_comments: true,
        allow_loose_object_property_names: false,
        allow_trailing_commas: true,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let bom = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let parsed = parse_to_ast(&text[bom..], &CollectOptions::default(), &LAX);
    let parsed = parsed.map_err(|error| format!("line {} is no JSON that can be added to", error.line_display()))?;
    let Some(Value::Object(outermost)) = &parsed.value else { return Err("line 1 is no JSON object".to_owned()) };
    let mut object = outermost;
    let range = |range: jsonc_parser::common::Range| range.start + bom..range.end + bom;
    let inside = |object: &Object<'_>| object.range.start + bom + 1;
    let mut place = Place { inside: inside(object), filled: !object.properties.is_empty(), had: 0, found: None };
    for (nth, name) in path.iter().enumerate() {
        // Of several members of one name the last counts, as for clients.
        let Some(member) = object.properties.iter().rev().find(|member| member.name.as_str() == *name) else { break };
        place.had += 1;
        if nth + 1 == path.len() {
            place.found = Some((range(member.range), range(member.value.range())));
        } else {
            let Value::Object(inner) = &member.value else { return Err(format!("{name:?} is no object there")) };
            object = inner;
            (place.inside, place.filled) = (inside(object), !object.properties.is_empty());
        }
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: [&str; 2] = ["env", "URL"];

    #[test]
    fn what_is_added_is_all_that_changes_and_can_be_taken_away() {
        for (text, expected) in [
            ("{}", r#"{"env": { "URL": "x" }}"#),
            (
                "{\n  // mine\n  \"a\": [1, {\"env\": 2},],\n}\n",
                "{\n  \"env\": { \"URL\": \"x\" },\n  // mine\n  \"a\": [1, {\"env\": 2},],\n}\n",
            ),
            (r#"{"env":{"A":"}"}, "b":-1.5e3}"#, r#"{"env":{"URL": "x","A":"}"}, "b":-1.5e3}"#),
            ("{\"env\": {\n}}", "{\"env\": {\"URL\": \"x\"\n}}"),
            (r#"{"env":{"URL":"old"}}"#, r#"{"env":{"URL":"x"}}"#),
        ] {
            let edited = set(text, &PATH, "x").expect("it can be added to");
            assert_eq!(edited.text, expected);
            assert_eq!(get(&edited.text, &PATH), Ok(Some("x".into())));
            assert_eq!(unset(&edited.text, &PATH, edited.old.as_deref(), edited.had).expect("it can be taken away"), text);
        }
    }

    #[test]
    fn what_is_no_json_or_no_object_is_refused_and_left() {
        for text in ["[]", "{", "{\"env\": 1}", "{\"a\" 1}", "{\"a\": nul}", "{} {}", "/* "] {
            assert!(set(text, &PATH, "x").is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[{}\\[\\]\":,/*\\\\a env1ü\n]{0,60}") {
            if let Ok(edited) = set(&text, &PATH, "x") {
                proptest::prop_assert_eq!(get(&edited.text, &PATH), Ok(Some("x".to_owned())));
                let _ = unset(&edited.text, &PATH, edited.old.as_deref(), edited.had);
            }
        }

        #[test]
        fn what_serde_reads_stays_as_serde_reads_it(names in proptest::collection::btree_map("[a-c]|env", "[a-z]{0,3}", 0..4)) {
            let mut json = serde_json::to_value(&names).expect("a map of texts");
            if names.contains_key("env") {
                json["env"] = serde_json::json!({ "A": 1 });
            }
            let text = format!("{json:#}");
            let edited = set(&text, &PATH, "x").expect("an object can be added to");
            let mut expected = json.clone();
            expected["env"]["URL"] = "x".into();
            proptest::prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&edited.text).expect("still JSON"), expected);
            proptest::prop_assert_eq!(unset(&edited.text, &PATH, None, edited.had).expect("still JSON"), text);
        }
    }
}
