//! `tollbar summary`

use super::{Which, ledger, print, print_json, table, table::Table};
use crate::words;
use clap::{Args, ValueEnum};
use events::query::{Dimension, Fault, SpendBy};

#[derive(Debug, Args)]
pub(super) struct Summary {
    /// What to cut by: up to three, in order
    #[arg(long, value_enum, value_delimiter = ',', default_value = "day")]
    by: Vec<By>,
    #[command(flatten)]
    which: Which,
    /// As JSON, with exact amounts
    #[arg(long)]
    json: bool,
}

/// What spend can be cut by, as the command line says it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum By {
    Day,
    Model,
    Project,
    Provider,
    Client,
    Device,
}

impl By {
    pub(super) fn dimension(self) -> Dimension {
        match self {
            By::Day => Dimension::Day,
            By::Model => Dimension::Model,
            By::Project => Dimension::Project,
            By::Provider => Dimension::Provider,
            By::Client => Dimension::Client,
            By::Device => Dimension::Device,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            By::Day => "day",
            By::Model => "model",
            By::Project => "project",
            By::Provider => "provider",
            By::Client => "client",
            By::Device => "device",
        }
    }
}

/// A row's names, each missing one said as `no model`.
pub(super) fn names(names: &[Option<String>], by: &[By]) -> Vec<String> {
    names.iter().zip(by).map(|(name, by)| name.clone().unwrap_or_else(|| format!("no {}", by.word()))).collect()
}

impl Summary {
    pub(super) fn run(self) -> Result<(), Fault> {
        let by = self.by.iter().map(|by| by.dimension()).collect();
        let question = SpendBy { by, first: self.which.since, last: self.which.until, filter: self.which.filter() };
        let answer = ledger()?.ask(question)?;
        if self.json {
            return print_json(&answer);
        }
        let heads: Vec<&str> = self.by.iter().map(|by| by.word()).chain(["calls", "in", "cached", "out", "cost", ""]).collect();
        let mut table = Table::new(self.by.len(), &heads);
        let mut total = vec!["total".to_owned()];
        total.resize(self.by.len(), String::new());
        for (names, spend) in answer.rows.iter().map(|row| (names(&row.names, &self.by), &row.spend)).chain([(total, &answer.total)]) {
            let amounts = [
                words::grouped(spend.calls.into()),
                words::tokens(spend.tokens_in),
                words::tokens(spend.tokens_cached),
                words::tokens(spend.tokens_out),
                words::dollars(spend.usd),
                table::gaps(spend),
            ];
            table.row(names.into_iter().chain(amounts).collect());
        }
        print(&format!("{}\n{}", table::dim(&format!("{} to {}", answer.first, answer.last)), table.text()))
    }
}
