//! `tollbar today`

use super::{ledger, print, print_json, table, table::Table};
use crate::words;
use clap::Args;
use events::query::{self, Fault};

#[derive(Debug, Args)]
pub(super) struct Today {
    /// As JSON, with exact amounts
    #[arg(long)]
    json: bool,
}

impl Today {
    pub(super) fn run(self) -> Result<(), Fault> {
        let today = ledger()?.ask(query::Today::default())?;
        if self.json {
            return print_json(&today);
        }
        let mut text = format!("{}  {}\n", words::dollars(today.today.usd), table::dim(&format!("today, {} ({})", today.day, today.zone)));
        let gaps = table::gaps(&today.today);
        if !gaps.is_empty() {
            text += &format!("{}\n", table::warned(&gaps, false));
        }
        let spent = |spend: &query::Spend| format!("{} in {}", words::dollars(spend.usd), words::counted(spend.calls, "call", "calls"));
        text += &format!("week {}, month {}, yesterday {}\n", spent(&today.week), spent(&today.month), spent(&today.yesterday));
        for (what, rows) in [("model", &today.models), ("project", &today.projects)] {
            if rows.is_empty() {
                continue;
            }
            let mut table = Table::new(1, &[what, "calls", "in", "out", "cost", ""]);
            for row in rows {
                let name = row.names.first().cloned().flatten().unwrap_or_else(|| format!("no {what}"));
                let spend = &row.spend;
                table.row(vec![
                    name,
                    words::grouped(spend.calls.into()),
                    words::tokens(spend.tokens_in),
                    words::tokens(spend.tokens_out),
                    words::dollars(spend.usd),
                    table::gaps(spend),
                ]);
            }
            text += &format!("\n{}", table.text());
        }
        print(&text)
    }
}
