//! `tollbar budget set|list|remove`

use super::{ledger, print, print_json, table, table::Table};
use crate::words;
use clap::{Args, Subcommand, ValueEnum};
use events::{
    Budget as Facts, BudgetScope, Period, Usd,
    query::{BudgetLevel, Budgets, Fault},
};

#[derive(Debug, Subcommand)]
pub(super) enum Budget {
    /// Make a budget, or change the one of that name
    Set(Set),
    /// Show all budgets and how they stand
    List(List),
    /// Give a budget up
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// Its name
    name: String,
    /// The amount for one period, in dollars
    #[arg(value_name = "DOLLARS")]
    limit: Usd,
    /// How its time is cut
    #[arg(long, value_enum, default_value = "month")]
    period: Cut,
    /// Only calls for this project
    #[arg(long)]
    project: Option<String>,
    /// Only calls to this model
    #[arg(long)]
    model: Option<String>,
    /// Only calls to this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only calls from this machine, by the name of its journal
    #[arg(long)]
    device: Option<String>,
    /// At how many percent to notify
    #[arg(long, value_delimiter = ',', default_value = "80,100")]
    alert: Vec<u32>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Cut {
    Day,
    Week,
    Month,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// As JSON, with exact amounts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Its name
    name: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Budget {
    pub(super) fn run(self) -> Result<(), Fault> {
        match self {
            Budget::Set(set) => set.run(),
            Budget::List(list) => list.run(),
            Budget::Remove(remove) => remove.run(),
        }
    }
}

impl Set {
    fn run(self) -> Result<(), Fault> {
        let period = match self.period {
            Cut::Day => Period::Day,
            Cut::Week => Period::Week,
            Cut::Month => Period::Month,
        };
        let scope = BudgetScope { project: self.project, model: self.model, provider: self.provider, device: self.device };
        let budget = Facts { name: self.name.clone(), period, limit: self.limit, scope, alert_percents: self.alert };
        let told = ledger()?.tell(events::Command::SetBudget { budget })?;
        match (self.json, told.entries) {
            (true, _) => print_json(&told),
            (false, 0) => print(&format!("the budget {:?} stands like that already\n", self.name)),
            (false, _) => print(&format!("the budget {:?} is set: {} a {}\n", self.name, words::dollars(self.limit), word(period))),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Fault> {
        let answer = ledger()?.ask(Budgets::default())?;
        if self.json {
            return print_json(&answer);
        }
        if answer.budgets.is_empty() {
            return print("no budgets; set one with `tollbar budget set month 100`\n");
        }
        let mut table = Table::new(2, &["budget", "for", "spent", "of", "", ""]);
        for state in &answer.budgets {
            let scope = &state.budget.scope;
            let named = [("project", &scope.project), ("model", &scope.model), ("provider", &scope.provider), ("device", &scope.device)];
            let named: Vec<String> = named.into_iter().filter_map(|(what, name)| Some(format!("{what} {}", name.as_ref()?))).collect();
            let every = if named.is_empty() { "everything".to_owned() } else { named.join(", ") };
            let percent = format!("{} %", state.percent);
            table.row(vec![
                state.budget.name.clone(),
                format!("{every}, a {}", word(state.budget.period)),
                words::dollars(state.spent),
                words::dollars(state.budget.limit),
                match state.level {
                    BudgetLevel::Calm => percent,
                    BudgetLevel::Near => table::warned(&percent, false),
                    BudgetLevel::Over => table::warned(&percent, true),
                },
                if state.unpriced_calls > 0 { format!("+ {} unpriced", state.unpriced_calls) } else { String::new() },
            ]);
        }
        print(&table.text())
    }
}

impl Remove {
    fn run(self) -> Result<(), Fault> {
        let told = ledger()?.tell(events::Command::RemoveBudget { name: self.name.clone() })?;
        if self.json { print_json(&told) } else { print(&format!("the budget {:?} is gone\n", self.name)) }
    }
}

fn word(period: Period) -> &'static str {
    match period {
        Period::Day => "day",
        Period::Week => "week",
        Period::Month => "month",
    }
}
