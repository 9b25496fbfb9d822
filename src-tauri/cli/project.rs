//! `tollbar project list|rename|merge|restore`

use super::{ledger, print, print_json, table, table::Table};
use crate::words;
use clap::{Args, Subcommand};
use events::{
    Command,
    query::{Fault, Projects},
};

#[derive(Debug, Subcommand)]
pub(super) enum Project {
    /// Show all projects, what they cost, and the names under which their calls were recorded
    List(List),
    /// Show a project under another name: the past, what is to come, and in budgets
    Rename(Rename),
    /// Show several projects as one
    Merge(Merge),
    /// Show a project under the name again under which its calls were recorded
    Restore(Restore),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// As JSON, with exact amounts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Rename {
    /// How it is shown now
    old: String,
    /// How it shall be shown
    new: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Merge {
    /// How they are shown now, and last how they shall be shown
    #[arg(required = true, num_args = 2.., value_names = ["FROM", "INTO"])]
    names: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The name under which its calls were recorded
    recorded: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Project {
    pub(super) fn run(self) -> Result<(), Fault> {
        match self {
            Project::List(list) => list.run(),
            Project::Rename(Rename { old, new, json }) => {
                let told = format!("{old:?} is shown as {new:?}");
                tell(Command::RenameProjects { names: vec![old], name: new }, &told, json)
            }
            Project::Merge(Merge { mut names, json }) => {
                let into = names.pop().unwrap_or_default();
                let told = format!("{} are shown as {into:?}", names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "));
                tell(Command::RenameProjects { names, name: into }, &told, json)
            }
            Project::Restore(Restore { recorded, json }) => {
                let told = format!("{recorded:?} is shown as it was recorded");
                tell(Command::RestoreProject { recorded }, &told, json)
            }
        }
    }
}

fn tell(command: Command, done: &str, json: bool) -> Result<(), Fault> {
    let told = ledger()?.tell(command)?;
    match (json, told.entries) {
        (true, _) => print_json(&told),
        (false, 0) => print("it is so already\n"),
        (false, _) => print(&format!("{done}, the past included; the calls themselves stay as they were recorded\n")),
    }
}

impl List {
    fn run(self) -> Result<(), Fault> {
        let answer = ledger()?.ask(Projects::default())?;
        if self.json {
            return print_json(&answer);
        }
        if answer.projects.is_empty() {
            return print("no call names a project\n");
        }
        let mut table = Table::new(2, &["project", "recorded as", "calls", "cost", ""]);
        for row in &answer.projects {
            let recorded = if row.recorded == [row.name.clone()] { String::new() } else { row.recorded.join(", ") };
            let calls = words::grouped(row.spend.calls.into());
            table.row(vec![row.name.clone(), recorded, calls, words::dollars(row.spend.usd), table::gaps(&row.spend)]);
        }
        print(&table.text())
    }
}
