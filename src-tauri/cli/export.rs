//! `tollbar export`

use super::{Which, ledger, print};
use clap::{Args, ValueEnum};
use events::{
    names,
    query::{CallRow, Calls, Fault},
};
use serde_json::Value;

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The form of the rows
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Format,
    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Jsonl,
    Json,
    Csv,
}

impl Export {
    pub(super) fn run(self) -> Result<(), Fault> {
        let question = Calls { first: self.which.since, last: self.which.until, filter: self.which.filter() };
        let calls = ledger()?.ask(question)?.calls;
        let line = |call: &CallRow| {
            let json = serde_json::to_string(call).expect("a row holds only what JSON can hold");
            names::shown_json(&json).into_owned()
        };
        let text = match self.format {
            Format::Jsonl => calls.iter().map(|call| line(call) + "\n").collect(),
            Format::Json => format!("[{}]\n", calls.iter().map(|call| format!("\n{}", line(call))).collect::<Vec<_>>().join(",")),
            Format::Csv => csv(&calls),
        };
        print(&text)
    }
}

/// The same columns in the same order as the JSON rows. A list is joined by spaces, what is unknown is empty.
fn csv(calls: &[CallRow]) -> String {
    let row = |call: &CallRow| serde_json::to_value(call).expect("a row holds only what JSON can hold");
    // A row without anything in it still knows its columns.
    let Value::Object(columns) = row(&CallRow::empty()) else { return String::new() };
    let columns: Vec<String> = columns.keys().cloned().collect();
    let mut text = columns.join(",") + "\n";
    for call in calls.iter().map(row) {
        let cells = columns.iter().map(|column| match &call[column] {
            Value::Null => String::new(),
            Value::String(text) => quoted(text),
            Value::Array(words) => quoted(&words.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(" ")),
            number_or_bool @ (Value::Bool(_) | Value::Number(_) | Value::Object(_)) => number_or_bool.to_string(),
        });
        text += &cells.collect::<Vec<_>>().join(",");
        text.push('\n');
    }
    text
}

/// A cell of text as RFC 4180 has it, always quoted; an amount stands as it is.
///
/// A spreadsheet takes a cell for a formula that begins with one of a few signs, in full width too. One that splits at another sign than
/// the comma may begin a cell in the middle of ours. An apostrophe in front makes it text.
fn quoted(text: &str) -> String {
    let is_amount = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    if is_amount && text.parse::<f64>().is_ok() {
        return text.to_owned();
    }
    let text = names::shown(text, true);
    let (mut cell, mut begins) = (String::from("\""), true);
    for letter in text.chars() {
        if begins && matches!(letter, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠' | '\t' | '\r') {
            cell.push('\'');
        }
        begins = matches!(letter, ';' | '\t' | '\r' | '\n') || begins && (letter.is_whitespace() || letter == '"');
        cell.push(letter);
        if letter == '"' {
            cell.push('"');
        }
    }
    cell.push('"');
    cell
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn cells_are_quoted_and_no_formula() {
        for (text, cell) in [
            ("plain", "\"plain\""),
            ("", "\"\""),
            ("a,\"b\"", "\"a,\"\"b\"\"\""),
            ("=SUM(A1)", "\"'=SUM(A1)\""),
            (" @x", "\" '@x\""),
            ("a;=1+1", "\"a;'=1+1\""),
            ("a\t-1", "\"a\t'-1\""),
            ("＝1", "\"'＝1\""),
            ("a-b=c", "\"a-b=c\""),
            ("-0.5", "-0.5"),
            ("--", "\"'--\""),
        ] {
            assert_eq!(quoted(text), cell, "{text:?}");
        }
    }
}
