//! `tollbar advice`

use super::{Which, ledger, print, print_json, table, table::Table};
use crate::words;
use clap::Args;
use events::query::{Advice as Question, Fault};

#[derive(Debug, Args)]
pub(super) struct Advice {
    /// Models to compare with; the others that the log knows, if none is named
    #[arg(long = "to", value_name = "MODEL", value_delimiter = ',')]
    models: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// As JSON, with exact amounts
    #[arg(long)]
    json: bool,
}

impl Advice {
    pub(super) fn run(self) -> Result<(), Fault> {
        let question = Question { first: self.which.since, last: self.which.until, filter: self.which.filter(), models: self.models };
        let answer = ledger()?.ask(question)?;
        if self.json {
            return print_json(&answer);
        }
        let calls = words::counted(answer.calls, "call", "calls");
        let head = format!("{} to {}: {calls}, {}", answer.first, answer.last, words::dollars(answer.usd));
        if answer.ideas.is_empty() {
            return print(&format!("{head}\nnothing to compare with: name models with --to\n"));
        }
        let mut table = Table::new(1, &["what if", "calls", "was", "would be", "saves", ""]);
        for idea in &answer.ideas {
            table.row(vec![
                idea.title.clone(),
                words::grouped(idea.calls.into()),
                words::dollars(idea.then_usd),
                words::dollars(idea.now_usd),
                words::dollars(idea.saves_usd),
                if idea.unpriced_calls > 0 { format!("{} unpriced, in neither sum", words::grouped(idea.unpriced_calls.into())) } else { String::new() },
            ]);
        }
        let mut assumes: Vec<&str> = Vec::new();
        for assumed in answer.ideas.iter().flat_map(|idea| &idea.assumes) {
            if !assumes.contains(&assumed.as_str()) {
                assumes.push(assumed);
            }
        }
        let assumes: String = assumes.iter().map(|assumed| format!("assumed: {assumed}\n")).collect();
        print(&format!("{}\n{}\n{}", table::dim(&head), table.text(), table::dim(&assumes)))
    }
}
