//! `tollbar remeter`

use super::{ledger, print, print_json, progress_bar, table, table::Table};
use crate::{config::Home, engine::Ledger, remeter, words};
use clap::Args;
use events::{
    Command, Event, LogError, Remetered, RequestKey, Said, Seq, Usage,
    log::{BATCH_FACTS_MAX, JournalReader, devices},
    query::{Fault, FaultCode},
};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// How often the calls are looked at that changed meanwhile.
const LOOKS_MAX: u32 = 5;

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
    /// Calls that changed while they were metered again, each time, and so stay as they are.
    left: u64,
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
        let mut again = Again::default();
        read(&mut again)?;
        let Again { mut done, models, changed } = again;
        done.applied = self.apply;
        done.changed = changed.len() as u64;
        done.models = models.into_values().collect();
        if self.apply {
            let mut left = apply(&ledger, changed)?;
            // Calls that changed meanwhile are looked at again, with all lines that they have by now.
            for _ in 1..LOOKS_MAX {
                if left == 0 {
                    break;
                }
                let mut again = Again::default();
                read(&mut again)?;
                left = apply(&ledger, again.changed)?;
            }
            done.left = left;
        }
        if self.json { print_json(&done) } else { print(&told(&done)) }
    }
}

/// Restates calls. Returns how many were not: they changed since they were read.
fn apply(ledger: &Ledger, changed: Vec<Remetered>) -> Result<u64, Fault> {
    let mut left = 0;
    for calls in changed.chunks(BATCH_FACTS_MAX) {
        let told = ledger.tell(Command::Remeter { calls: calls.to_vec() })?;
        left += (calls.len() as u64).saturating_sub(told.entries);
    }
    Ok(left)
}

/// What came of the calls so far.
#[derive(Default)]
struct Again {
    done: Done,
    models: BTreeMap<String, Changed>,
    changed: Vec<Remetered>,
}

impl Again {
    /// Meters one call again, of all its lines.
    fn call(&mut self, key: RequestKey, lines: &[remeter::Line<'_>]) {
        self.done.calls += 1;
        let (Some(after), Some(before)) = (remeter::call(lines), lines.last().map(|line| line.after)) else { return };
        self.done.read += 1;
        if after == *before {
            return;
        }
        let name = before.model.clone().unwrap_or_default();
        let model = self.models.entry(name.clone()).or_insert_with(|| Changed { model: name, ..Changed::default() });
        model.calls += 1;
        model.tokens_in_before += before.tokens.prompt();
        model.tokens_in_after += after.tokens.prompt();
        model.tokens_out_before += before.tokens.produced();
        model.tokens_out_after += after.tokens.produced();
        self.changed.push(Remetered { key, before: Some(before.clone()), after, said: remeter::mark() });
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
    let left = match done.left {
        0 => String::new(),
        left => format!("{} changed meanwhile and stay as they are; run it again\n", words::counted(left, "call", "calls")),
    };
    format!("{read}\n{}{}{left}", table.text(), table::dim(&end))
}

/// Meters every call of the journal again. The journal is read twice, so that only calls of more than one line are held in memory; the second
/// time no further than the first, because a line that came in between would be taken for all that there is of its call.
fn read(again: &mut Again) -> Result<(), Fault> {
    let mut bounds = Bounds::new();
    let mut seen: Vec<u64> = Vec::new();
    // What was matched is counted as the call is that it was matched with.
    let mut matched: HashSet<RequestKey> = HashSet::new();
    each_line(&mut bounds, |key, after, _| match after {
        Some(_) => seen.push(print_of(&key)),
        None => drop(matched.insert(key)),
    })?;
    seen.sort_unstable();
    let told_again: HashSet<u64> = seen.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    drop(seen);
    let mut calls: HashMap<RequestKey, Vec<(Usage, Option<Said>)>> = HashMap::new();
    each_line(&mut bounds, |key, after, said| {
        let Some(after) = after.filter(|_| !matched.contains(&key)) else { return };
        if told_again.contains(&print_of(&key)) {
            calls.entry(key).or_default().push((after, said));
        } else {
            again.call(key, &[remeter::Line { after: &after, said: said.as_ref() }]);
        }
    })?;
    for (key, lines) in &calls {
        let lines: Vec<remeter::Line<'_>> = lines.iter().map(|(after, said)| remeter::Line { after, said: said.as_ref() }).collect();
        again.call(*key, &lines);
    }
    Ok(())
}

/// How far the journal of each device is read.
type Bounds = BTreeMap<String, Seq>;

/// Keys are hashes: two calls that share this much of theirs are only held in memory in vain.
fn print_of(key: &RequestKey) -> u64 {
    u64::from_be_bytes(*key.0.first_chunk().expect("a key has 16 bytes"))
}

/// The lines of this log's journal that speak of a call, in their order: the call from this line on, and what was said there. No call where
/// the key leads to another one from this line on.
///
/// A journal that was read before is read up to where it ended then.
fn each_line(bounds: &mut Bounds, mut with: impl FnMut(RequestKey, Option<Usage>, Option<Said>)) -> Result<(), Fault> {
    let fault = |error: LogError| Fault::new(FaultCode::Storage, error.to_string(), error.hint());
    let folder = Home::find()?.log();
    let devices = devices(&folder).map_err(|source| fault(LogError::Io { path: folder.clone(), source }))?;
    let bar = progress_bar("bytes");
    for (device, journal) in devices {
        let bound = bounds.get(&device).copied();
        let mut last = Seq(0);
        let mut reader = JournalReader::open(&journal).map_err(fault)?;
        bar.set_length(reader.bytes());
        while let Some(line) = reader.next() {
            bar.set_position(reader.bytes_read());
            // What is damaged is said by `tollbar ledger verify`.
            let Ok((entry, said)) = line else { continue };
            if bound.is_some_and(|bound| entry.seq > bound) {
                break;
            }
            last = entry.seq;
            match (entry.key, entry.event) {
                (Some(key), Event::Used { usage } | Event::Restated { after: usage, .. }) => with(key, Some(*usage), said),
                (Some(key), Event::Matched { .. }) => with(key, None, said),
                (None, Event::Used { .. } | Event::Restated { .. } | Event::Matched { .. })
                | (
                    _,
                    Event::BudgetSet { .. }
                    | Event::BudgetRemoved { .. }
                    | Event::AlertRaised { .. }
                    | Event::PriceBookAdopted { .. }
                    | Event::PriceSet { .. }
                    | Event::PriceUnset { .. }
                    | Event::PricesMultiplied { .. }
                    | Event::Summarised { .. }
                    | Event::Folded { .. }
                    | Event::Lost
                    | Event::ProjectRenamed { .. },
                ) => {}
            }
        }
        bounds.entry(device).or_insert(last);
    }
    bar.finish_and_clear();
    Ok(())
}
