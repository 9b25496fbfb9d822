//! `tollbar ledger verify|rebuild|backup|merge|fold|size`

mod fold;

use super::{ledger, print, print_json, table::Table, warn};
use crate::{config::Home, engine::Told, words};
use clap::{Args, Subcommand};
use events::{
    Command, Event, LogError, Match, Seq, Sighting,
    log::{BATCH_FACTS_MAX, Backup as Copied, JournalReader, backup, devices},
    query::{Fault, FaultCode, Health, Size as SizeQuestion, Verify as VerifyQuestion},
};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a backup waits for another process that puts the log in order, before it looks again.
const AT_REST_STEP: Duration = Duration::from_millis(100);

#[derive(Debug, Subcommand)]
pub(super) enum Ledger {
    /// Try every checksum, and compare the journal with the store and the key index
    Verify(Verify),
    /// Make the store and the key index anew from the journal
    Rebuild(Rebuild),
    /// Copy the journal into a folder
    Backup(Backup),
    /// Take in another machine's calls from its data folder, a backup or a synced copy of either
    Merge(Merge),
    /// Add up the calls of long ago and no longer tell them apart, so that the log does not grow without bound
    Fold(fold::Fold),
    /// How large the log is, and where its bytes are
    Size(Size),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Rebuild {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// A folder that is empty, or does not exist yet
    folder: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Merge {
    /// The other machine's data folder, or the folder of its log
    folder: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Size {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Ledger {
    pub(super) fn run(self) -> Result<(), Fault> {
        match self {
            Ledger::Verify(command) => command.run(),
            Ledger::Rebuild(command) => command.run(),
            Ledger::Backup(command) => command.run(),
            Ledger::Merge(command) => command.run(),
            Ledger::Fold(command) => command.run(),
            Ledger::Size(command) => command.run(),
        }
    }
}

impl Verify {
    fn run(self) -> Result<(), Fault> {
        #[derive(Serialize)]
        struct Found {
            entries: Seq,
            findings: Vec<String>,
            more_findings: u64,
        }
        let ledger = ledger()?;
        let bar = super::progress_bar("entries");
        let mut found = Found { entries: Seq(0), findings: Vec::new(), more_findings: 0 };
        loop {
            let part = ledger.ask(VerifyQuestion { after: found.entries })?;
            found.entries = part.up_to;
            found.findings.extend(part.findings);
            found.more_findings += part.more_findings;
            bar.set_length(part.last.0);
            bar.set_position(part.up_to.0);
            if part.up_to >= part.last {
                break;
            }
        }
        bar.finish_and_clear();
        if self.json {
            print_json(&found)?;
        } else {
            print(&found.findings.iter().map(|finding| format!("{finding}\n")).collect::<String>())?;
        }
        let wrong = found.findings.len() as u64 + found.more_findings;
        if wrong > 0 {
            return Err(Fault::new(
                FaultCode::Storage,
                format!("{} in {}", words::counted(wrong, "thing is not right", "things are not right"), entries(found.entries)),
                "`tollbar ledger rebuild` writes back into the journal what the store has, and makes the store anew; \
                 `tollbar ledger merge` of a backup brings back the rest",
            ));
        }
        if self.json { Ok(()) } else { print(&format!("{} verified: journal, store and key index agree\n", entries(found.entries))) }
    }
}

impl Rebuild {
    fn run(self) -> Result<(), Fault> {
        let ledger = ledger()?;
        let spinner = super::spinner("reading the journal");
        let told = ledger.tell(Command::Rebuild {})?;
        spinner.finish_and_clear();
        if self.json { print_json(&told) } else { print(&format!("{} are in the new store\n", entries(told.seq))) }
    }
}

impl Backup {
    fn run(self) -> Result<(), Fault> {
        let home = Home::find()?;
        let pause = || std::thread::sleep(AT_REST_STEP);
        let Copied { bytes, entries, damage } = backup(&home.log(), &self.folder, &pause).map_err(|error| storage_fault(&error))?;
        if self.json {
            print_json(&serde_json::json!({ "folder": self.folder, "bytes": bytes, "entries": entries, "damage": damage }))?;
        } else {
            let note = "`tollbar ledger merge` reads it back into any log";
            let size = format!("{} KiB of journal", bytes.div_ceil(1024));
            let entries = self::entries(Seq(entries));
            print(&format!("{entries} in {size} are in {}, and were read back; {note}\n", self.folder.display()))?;
        }
        if damage.is_empty() {
            return Ok(());
        }
        let cause = format!("the copy is damaged where the journal is: {}", damage.join("; "));
        Err(Fault::new(FaultCode::Storage, cause, "run `tollbar ledger rebuild`, then back up again into another folder"))
    }
}

impl Merge {
    fn run(self) -> Result<(), Fault> {
        let folder = log_folder(&self.folder)?;
        let devices = devices(&folder).map_err(|source| storage_fault(&LogError::Io { path: folder.clone(), source }))?;
        let ledger = ledger()?;
        let bar = super::progress_bar("bytes");
        let (mut read, mut told, mut damage) = (0u64, Told::default(), Vec::new());
        // Prices go with the calls into a log that has neither: what is restored says what it said.
        let is_restored = ledger.ask(Health::default())?.calls == 0;
        let mut prices = Vec::new();
        // Calls in summaries: which they are nobody knows, so they could be counted twice.
        let mut summarised = 0;
        for (device, journal) in &devices {
            let mut reader = JournalReader::open(journal).map_err(|error| storage_fault(&error))?;
            bar.set_length(reader.bytes());
            let (mut batch, mut matches) = (Vec::new(), Vec::new());
            loop {
                let line = reader.next();
                let is_end = line.is_none();
                match line {
                    Some(Ok((entry, _))) if entry.event.is_of_prices() => {
                        read += 1;
                        prices.push(entry.event);
                    }
                    Some(Ok((entry, said))) => {
                        read += 1;
                        match entry.event {
                            Event::Used { mut usage } | Event::Restated { after: mut usage, .. } => {
                                usage.device.get_or_insert_with(|| device.clone());
                                batch.push(Sighting { usage, said });
                            }
                            Event::Summarised { summary } => summarised += summary.calls,
                            Event::Matched { call, by, .. } => matches.extend(entry.key.map(|key| Match { key, call, by })),
                            Event::BudgetSet { .. }
                            | Event::BudgetRemoved { .. }
                            | Event::AlertRaised { .. }
                            | Event::PriceBookAdopted { .. }
                            | Event::PriceSet { .. }
                            | Event::PriceUnset { .. }
                            | Event::PricesMultiplied { .. }
                            | Event::Folded { .. }
                            | Event::Lost
                            | Event::ProjectRenamed { .. } => {}
                        }
                    }
                    Some(Err(error)) => damage.push(error.to_string()),
                    None => {}
                }
                if batch.len().max(matches.len()) == BATCH_FACTS_MAX || is_end {
                    told = told.and(ledger.tell(Command::LogUsage { sightings: std::mem::take(&mut batch) })?);
                    // A match comes behind the call that it is of.
                    told = told.and(ledger.tell(Command::Match { matches: std::mem::take(&mut matches) })?);
                    bar.set_position(reader.bytes_read());
                }
                if is_end {
                    break;
                }
            }
        }
        bar.finish_and_clear();
        if is_restored && devices.len() == 1 {
            for events in prices.chunks(BATCH_FACTS_MAX) {
                told = told.and(ledger.tell(Command::TakePrices { events: events.to_vec() })?);
            }
        } else if !prices.is_empty() {
            warn("skipped: what that log says of prices; this one keeps its own");
        }
        damage.iter().for_each(|damage| warn(format_args!("skipped: {damage}")));
        let Told { entries, refused, .. } = told;
        if self.json {
            return print_json(&serde_json::json!({
                "devices": devices.len(), "read": read, "entries": entries, "refused": refused, "summarised": summarised, "damage": damage,
            }));
        }
        if summarised > 0 {
            let calls = words::counted(summarised, "call", "calls");
            warn(format_args!("skipped: {calls} in summaries; to have them again, put this journal in the place of an empty log's"));
        }
        let devices = words::counted(devices.len() as u64, "device", "devices");
        let refused = super::refused(refused);
        print(&format!("{} of {devices} read, {} new here{refused}\n", self::entries(Seq(read)), words::grouped(entries.into())))
    }
}

impl Size {
    fn run(self) -> Result<(), Fault> {
        let size = ledger()?.ask(SizeQuestion {})?;
        if self.json {
            return print_json(&size);
        }
        let each = |bytes: u64| if size.entries == 0 { String::new() } else { format!("{:.1}", bytes as f64 / size.entries as f64) };
        let mut table = Table::new(1, &["", "KiB", "bytes an entry"]);
        let parts = [
            ("journal", size.journal_bytes),
            ("store", size.store_bytes),
            ("key index", size.keys_bytes),
            ("checkpoint", size.checkpoint_bytes),
        ];
        let all = ("all", parts.iter().map(|(_, bytes)| bytes).sum());
        for (name, bytes) in parts.into_iter().chain([all]) {
            table.row(vec![name.into(), words::grouped(bytes.div_ceil(1024).into()), each(bytes)]);
        }
        print(&format!("{}, {} of them sealed\n{}", entries(Seq(size.entries)), words::grouped(size.sealed_entries.into()), table.text()))
    }
}

/// The folder of the log in what was named: a data folder, the home of one, or the log itself.
fn log_folder(named: &Path) -> Result<PathBuf, Fault> {
    let places = [named.to_owned(), named.join("log"), named.join("data").join("log")];
    places.into_iter().find(|place| place.join("journal").is_dir()).ok_or_else(|| {
        Fault::new(
            FaultCode::NotFound,
            format!("there is no journal in {}", named.display()),
            "name the other machine's data folder (`tollbar status` there shows its log), or a backup of it",
        )
    })
}

fn storage_fault(error: &LogError) -> Fault {
    Fault::new(FaultCode::Storage, error.to_string(), error.hint())
}

fn entries(count: Seq) -> String {
    words::counted(count.0, "entry", "entries")
}
