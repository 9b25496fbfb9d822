//! `tollbar remeter`

use super::{ledger, print, print_json, progress_bar, table, table::Table};
use crate::{config::Home, remeter, words};
use clap::Args;
use events::{
    Command, Event, LogError, Remetered, RequestKey, Said, Usage,
    log::{BATCH_FACTS_MAX, JournalReader, devices},
    query::{Fault, FaultCode},
};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Args)]
pub(super) struct Remeter {
    /// Restate what changed; without it nothing is written
    #[arg(long)]
    apply: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What would change, or has changed.
#[derive(Debug, Default, Serialize)]
struct Done {
    calls: u64,
    read: u64,
    changed: u64,
    applied: bool,
    models: Vec<Changed>,
}

/// The changed calls of one model.
#[derive(Debug, Default, Serialize)]
struct Changed {
    model: String,
    calls: u64,
    tokens_in_before: u64,
    tokens_in_after: u64,
    tokens_out_before: u64,
    tokens_out_after: u64,
}

impl Remeter {
    pub(super) fn run(self) -> Result<(), Fault> {
        let ledger = ledger()?;
        let calls = read()?;
        let mut done = Done { calls: calls.len() as u64, applied: self.apply, ..Done::default() };
        let mut models: BTreeMap<String, Changed> = BTreeMap::new();
        let mut changed = Vec::new();
        for (key, lines) in calls {
            let lines: Vec<remeter::Line<'_>> = lines.iter().map(|(after, said)| remeter::Line { after, said: said.as_ref() }).collect();
            let (Some(after), Some(before)) = (remeter::call(&lines), lines.last().map(|line| line.after)) else { continue };
            done.read += 1;
            if after == *before {
                continue;
            }
            let name = before.model.clone().unwrap_or_default();
            let model = models.entry(name.clone()).or_insert_with(|| Changed { model: name, ..Changed::default() });
            model.calls += 1;
            model.tokens_in_before += before.tokens.prompt();
            model.tokens_in_after += after.tokens.prompt();
            model.tokens_out_before += before.tokens.produced();
            model.tokens_out_after += after.tokens.produced();
            changed.push(Remetered { key, after, said: remeter::mark() });
        }
        done.changed = changed.len() as u64;
        done.models = models.into_values().collect();
        if self.apply {
            for calls in changed.chunks(BATCH_FACTS_MAX) {
                ledger.tell(Command::Remeter { calls: calls.to_vec() })?;
            }
        }
        if self.json { print_json(&done) } else { print(&told(&done)) }
    }
}

fn told(done: &Done) -> String {
    let read = format!("{} of {} read again", words::grouped(done.read.into()), words::counted(done.calls, "call", "calls"));
    if done.changed == 0 {
        return format!("{read}: today's meters count every one of them as before\n");
    }
    let mut table = Table::new(1, &["model", "calls", "tokens in", "now", "tokens out", "now"]);
    for model in &done.models {
        table.row(vec![
            model.model.clone(),
            words::grouped(model.calls.into()),
            words::grouped(model.tokens_in_before.into()),
            words::grouped(model.tokens_in_after.into()),
            words::grouped(model.tokens_out_before.into()),
            words::grouped(model.tokens_out_after.into()),
        ]);
    }
    let changed = words::counted(done.changed, "call", "calls");
    let end = if done.applied {
        format!("{changed} restated, each with before and after\n")
    } else {
        format!("{changed} would be restated; nothing was written: `tollbar remeter --apply` does it\n")
    };
    format!("{read}\n{}{}", table.text(), table::dim(&end))
}

/// The lines of this log's journal by call, in their order: the call from each line on, and what was said there.
type Lines = HashMap<RequestKey, Vec<(Usage, Option<Said>)>>;

fn read() -> Result<Lines, Fault> {
    let fault = |error: LogError| Fault::new(FaultCode::Storage, error.to_string(), error.hint());
    let folder = Home::find()?.log();
    let devices = devices(&folder).map_err(|source| fault(LogError::Io { path: folder.clone(), source }))?;
    let mut calls = Lines::new();
    let bar = progress_bar("bytes");
    for (_, journal) in devices {
        let mut reader = JournalReader::open(&journal).map_err(fault)?;
        bar.set_length(reader.bytes());
        while let Some(line) = reader.next() {
            bar.set_position(reader.bytes_read());
            // What is damaged is said by `tollbar ledger verify`.
            let Ok((entry, said)) = line else { continue };
            match (entry.key, entry.event) {
                (Some(key), Event::Used { usage } | Event::Restated { after: usage, .. }) => {
                    calls.entry(key).or_default().push((*usage, said));
                }
                (None, Event::Used { .. } | Event::Restated { .. })
                | (
                    _,
                    Event::BudgetSet { .. }
                    | Event::BudgetRemoved { .. }
                    | Event::AlertRaised { .. }
                    | Event::Summarised { .. }
                    | Event::Folded { .. }
                    | Event::Lost,
                ) => {}
            }
        }
    }
    bar.finish_and_clear();
    Ok(calls)
}
