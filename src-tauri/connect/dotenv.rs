//! One variable of a file of `NAME=value` lines.

use super::edit::{Edited, line_end};

/// Its value.
pub(super) fn get(text: &str, name: &str) -> Option<String> {
    let (_, line) = line(text, name)?;
    let value = line.trim_start().trim_start_matches("export ").trim_start()[name.len()..].trim_start();
    let value = value.trim_start_matches('=').trim();
    let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''));
    let value = match quote {
        Some(quote) => value[1..].split(quote).next().unwrap_or_default(),
        None => value.split(" #").next().unwrap_or_default().trim_end(),
    };
    Some(value.to_owned())
}

/// The text with a value.
pub(super) fn set(text: &str, name: &str, value: &str) -> Edited {
    let ours = format!("{name}={value}");
    match line(text, name) {
        Some((start, line)) => {
            let text = [&text[..start], &ours, &text[start + line.len()..]].concat();
            Edited { text, old: Some(line.to_owned()), had: 1 }
        }
        None => {
            let end = line_end(text);
            let before = if text.is_empty() || text.ends_with('\n') { "" } else { end };
            Edited { text: [text, before, &ours, end].concat(), old: None, had: 0 }
        }
    }
}

/// The text without it, or with the line that stood there.
pub(super) fn unset(text: &str, name: &str, old: Option<&str>) -> String {
    let Some((start, line)) = line(text, name) else { return text.to_owned() };
    let end = start + line.len();
    match old {
        Some(old) => [&text[..start], old, &text[end..]].concat(),
        None => [&text[..start], text[end..].strip_prefix("\r\n").or(text[end..].strip_prefix('\n')).unwrap_or(&text[end..])].concat(),
    }
}

/// The line of a variable, and where it begins. Of several the last counts.
fn line<'t>(text: &'t str, name: &str) -> Option<(usize, &'t str)> {
    let mut start = 0;
    let mut found = None;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        let trimmed = bare.trim_start();
        let trimmed = trimmed.strip_prefix("export ").map_or(trimmed, str::trim_start);
        if trimmed.strip_prefix(name).map(str::trim_start).is_some_and(|rest| rest.starts_with('=')) {
            found = Some((start, bare));
        }
        start += line.len();
    }
    found
}
