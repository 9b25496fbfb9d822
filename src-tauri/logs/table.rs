//! Comma-separated values with a head, each row as a JSON object by the head's names, so that a reader sees what it always sees.

use serde_json::{Map, Value};

/// How many columns are read.
const COLUMNS_MAX: usize = 256;

/// The rows as JSON text. Quotes are those of RFC 4180; a row that is shorter than the head lacks its last fields.
pub(super) fn rows(text: &str) -> impl Iterator<Item = String> {
    let mut records = Records(text.strip_prefix('\u{feff}').unwrap_or(text));
    let head = records.next().unwrap_or_default();
    records.filter(|record| record.iter().any(|field| !field.is_empty())).map(move |record| {
        let fields = head.iter().cloned().zip(record.into_iter().map(Value::String));
        Value::Object(Map::from_iter(fields)).to_string()
    })
}

struct Records<'t>(&'t str);

impl Iterator for Records<'_> {
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        if self.0.is_empty() {
            return None;
        }
        let (mut record, mut field, mut in_quotes) = (Vec::new(), String::new(), false);
        let mut signs = self.0.char_indices().peekable();
        let mut until = self.0.len();
        while let Some((at, sign)) = signs.next() {
            match sign {
                '"' if in_quotes && signs.peek().is_some_and(|(_, next)| *next == '"') => {
                    signs.next();
                    field.push('"');
                }
                '"' => in_quotes = !in_quotes,
                ',' if !in_quotes => record.push(std::mem::take(&mut field)),
                '\n' if !in_quotes => {
                    until = at + 1;
                    break;
                }
                '\r' if !in_quotes => {}
                _ => field.push(sign),
            }
        }
        record.push(field);
        record.truncate(COLUMNS_MAX);
        self.0 = &self.0[until..];
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_commas_and_line_breaks_within_fields_are_theirs() {
        let text = "\u{feff}a,b\r\n\"1,000\",\"say \"\"x\"\"\ny\"\n\n2\n";
        assert_eq!(rows(text).collect::<Vec<_>>(), [r#"{"a":"1,000","b":"say \"x\"\ny"}"#, r#"{"a":"2"}"#]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_go_on_for_ever(text in "[a\",\n\r\u{feff}é]{0,60}") {
            prop_assert!(rows(&text).count() <= text.len());
        }
    }
}
