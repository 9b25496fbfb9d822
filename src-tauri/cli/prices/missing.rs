//! `tollbar prices missing`

use super::super::{Which, ledger, print, print_json, table, table::Table};
use crate::words;
use clap::Args;
use events::query::{Fault, Missing as Question};

#[derive(Debug, Args)]
pub(in crate::cli) struct Missing {
    #[command(flatten)]
    which: Which,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Missing {
    pub(in crate::cli) fn run(self) -> Result<(), Fault> {
        let question = Question { first: self.which.since, last: self.which.until, filter: self.which.filter() };
        let answer = ledger()?.ask(question)?;
        if self.json {
            return print_json(&answer);
        }
        if answer.rows.is_empty() {
            return print(&format!("every call from {} to {} has a price\n", answer.first, answer.last));
        }
        let mut table = Table::new(4, &["provider", "model", "tier", "why", "calls", "tokens", "first", "last", "like"]);
        for row in &answer.rows {
            let like: Vec<String> = row.nearest.iter().map(|near| format!("{}/{}", near.provider, near.model)).collect();
            table.row(vec![
                row.provider.clone(),
                row.model.clone().unwrap_or_else(|| "no model".into()),
                row.tier.clone().unwrap_or_default(),
                row.reason.clone(),
                words::grouped(row.calls.into()),
                words::tokens(row.tokens_in.saturating_add(row.tokens_out)),
                row.first_at.utc().date_naive().to_string(),
                row.last_at.utc().date_naive().to_string(),
                like.join(", "),
            ]);
        }
        let note = "names that look alike are a hint, no call is priced by them; `tollbar prices set MODEL --input 3 --output 15` prices one\n";
        print(&format!("{}{}", table.text(), table::dim(note)))
    }
}
