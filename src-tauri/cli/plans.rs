//! `tollbar plans`

use super::{ledger, print, print_json, table, table::Table};
use crate::words;
use clap::Args;
use events::{
    Day,
    query::{Fault, Plans as Question},
};

#[derive(Debug, Args)]
pub(super) struct Plans {
    /// A day of the first month, like 2026-09-01
    #[arg(long, value_name = "DAY")]
    since: Option<Day>,
    /// A day of the last month
    #[arg(long, value_name = "DAY")]
    until: Option<Day>,
    /// As JSON, with exact amounts
    #[arg(long)]
    json: bool,
}

impl Plans {
    pub(super) fn run(self) -> Result<(), Fault> {
        let answer = ledger()?.ask(Question { first: self.since, last: self.until })?;
        if self.json {
            return print_json(&answer);
        }
        if answer.plans.is_empty() {
            let example = "[plans.claude-max]\nmonthly = \"200\"\nclient = \"claude-code\"\n";
            return print(&format!("no plans; name yours in the configuration, like\n\n{example}"));
        }
        let mut table = Table::new(2, &["plan", "month", "calls", "paid", "worth by the token", "gain", ""]);
        for month in &answer.months {
            let gaps = [table::gaps(&month.worth), if month.over { String::new() } else { "not over yet".into() }];
            table.row(vec![
                month.plan.clone(),
                month.first.to_string().chars().take(7).collect(),
                words::grouped(month.worth.calls.into()),
                words::dollars(month.paid_usd),
                words::dollars(month.worth.usd),
                words::dollars(month.gain_usd),
                gaps.into_iter().filter(|gap| !gap.is_empty()).collect::<Vec<_>>().join(", "),
            ]);
        }
        let billed = format!(
            "\nbilled by the token, outside of every plan: {} for {}\npaid for plans: {}, for what would have cost {}\n",
            words::dollars(answer.billed.usd),
            words::counted(answer.billed.calls, "call", "calls"),
            words::dollars(answer.paid_usd),
            words::dollars(answer.covered.usd),
        );
        print(&format!("{}{}", table.text(), table::dim(&billed)))
    }
}
