//! `tollbar export`

use super::{Which, ledger, print};
use clap::{Args, ValueEnum};
use events::query::{CallRow, Calls, Fault};
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
        let line = |call: &CallRow| serde_json::to_string(call).expect("a row holds only what JSON can hold");
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
            Value::Array(words) => words.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(" "),
            number_or_bool @ (Value::Bool(_) | Value::Number(_) | Value::Object(_)) => number_or_bool.to_string(),
        });
        text += &cells.collect::<Vec<_>>().join(",");
        text.push('\n');
    }
    text
}

/// A cell as RFC 4180 has it. A text that a spreadsheet would take for a formula gets an apostrophe in front.
fn quoted(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '@', '\t', '\r']) || text.starts_with('-') && text.parse::<f64>().is_err();
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn cells_are_quoted_and_no_formula() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("=SUM(A1)"), "'=SUM(A1)");
        assert_eq!(quoted("-0.5"), "-0.5");
    }
}
