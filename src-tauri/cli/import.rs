//! `tollbar import`

use super::{ledger, print, print_json, progress_bar, warn};
use crate::{
    attribution::Projects,
    config::Home,
    engine::{Ledger, Told, remainder},
    logs::{
        self, Client, Cursors, Progress, Report,
        generic::{self, Format, Map, Place},
    },
    words,
};
use clap::Args;
use events::{
    Seq, Sighting,
    query::{Fault, FaultCode},
};
use indicatif::ProgressBar;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

/// How many batches may wait for the log.
const BATCHES_WAITING_MAX: usize = 1;

#[derive(Debug, Args)]
pub(super) struct Import {
    /// Only this client's logs: claude-code, codex, gemini-cli, opencode, copilot-cli, ...
    #[arg(long)]
    client: Option<Client>,
    /// The folder that the client's own variable would name (CLAUDE_CONFIG_DIR, ...); its usual places if not named
    #[arg(long, requires = "client")]
    root: Option<PathBuf>,
    /// Read logs from their beginning, and not only what is new in them
    #[arg(long)]
    again: bool,
    /// Files of another make: of LiteLLM, LangChain, SDKs, or with --map of any
    #[arg(conflicts_with_all = ["client", "root", "again"])]
    files: Vec<PathBuf>,
    #[command(flatten)]
    generic: Generic,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// How files of another make are read.
#[derive(Debug, Args)]
struct Generic {
    /// How their rows are written; by the file's ending if not said
    #[arg(long, value_enum, requires = "files")]
    format: Option<Format>,
    /// Where in a row what stands, like model=model,input=usage.prompt_tokens,output=usage.completion_tokens,at=created; a name of a field
    /// twice gives a second place to look, and provider==openai says what is the same in every row. Fields: model, provider, input, output,
    /// cache_read, cache_write, cache_write_5m, cache_write_1h, reasoning, cost, id, at, session, project, client, tier
    #[arg(long, value_name = "FIELD=PATH", value_delimiter = ',', requires = "files")]
    map: Vec<Place>,
    /// Whether input includes what was read from and written to a cache; by the provider's rule if not said
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", requires = "map")]
    input_includes_cache: Option<bool>,
    /// Whether reasoning stands beside output rather than within; by the provider's rule if not said
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", requires = "map")]
    reasoning_is_beside: Option<bool>,
}

/// What an import did, for scripts.
#[derive(Debug, Default, Serialize)]
struct Done {
    files: usize,
    bytes_read: u64,
    calls_seen: usize,
    entries: u64,
    refused: u64,
    skipped: Vec<Skipped>,
}

#[derive(Debug, Serialize)]
struct Skipped {
    path: PathBuf,
    reason: String,
}

/// One client's logs, read on a thread of their own.
struct Reading {
    client: Client,
    roots: Vec<PathBuf>,
    cursors: PathBuf,
    again: bool,
    bar: ProgressBar,
}

/// What was read.
enum Read {
    /// Something new.
    Batch(Vec<Sighting>),
    /// All there is of a client.
    All(Box<Whole>),
}

/// How the reading of a client's logs went, and how far, to be kept at a path.
struct Whole {
    client: Client,
    report: Report,
    cursors: Cursors,
    path: PathBuf,
}

impl Reading {
    /// Finds the logs, and once it is told how far the log goes, gives what is new in batches, and then how far that is. Whoever takes
    /// no more of them does not ask for it.
    fn run(self, last: &Receiver<Seq>, give: &SyncSender<Read>) {
        // Cursors that cannot be read cost one reading from the beginning; the log knows what it has.
        let kept = if self.again { Cursors::default() } else { Cursors::load(&self.cursors).unwrap_or_default() };
        let found = logs::find(self.client, &self.roots);
        // No log, no reading.
        let Ok(last) = last.recv() else { return };
        let mut cursors = kept.for_log(last);
        let mut projects = Projects::new(std::env::home_dir());
        let (mut files, mut files_done) = (0, 0);
        let mut progress = |now: Progress| {
            self.bar.inc_length((now.files - std::mem::replace(&mut files, now.files)) as u64);
            self.bar.inc((now.files_done - std::mem::replace(&mut files_done, now.files_done)) as u64);
        };
        let mut sink = |batch| give.send(Read::Batch(batch)).map_err(drop);
        let report = logs::import_found(self.client, &self.roots, found, &mut cursors, &mut projects, &mut sink, &mut progress);
        if let Ok(report) = report {
            let _ = give.send(Read::All(Box::new(Whole { client: self.client, report, cursors, path: self.cursors })));
        }
    }
}

impl Done {
    fn add(&mut self, report: Report) {
        self.files += report.files;
        self.bytes_read += report.bytes_read;
        self.calls_seen += report.calls;
        self.skipped.extend(report.skipped.into_iter().map(|(path, reason)| Skipped { path, reason }));
    }
}

impl Import {
    pub(super) fn run(self) -> Result<(), Fault> {
        if let Some(root) = self.root.as_ref().filter(|root| !root.is_dir()) {
            return Err(Fault::new(
                FaultCode::NotFound,
                format!("there is no folder {}", root.display()),
                "name the folder that holds the client's logs, like ~/.claude",
            ));
        }
        if !self.files.is_empty() {
            return self.files(&ledger()?);
        }
        let clients = self.client.map_or(Client::ALL.to_vec(), |client| vec![client]);
        let bar = progress_bar("files");
        let mut done = Done::default();
        let log = Home::find()?.log();
        thread::scope(|scope| -> Result<(), Fault> {
            // All clients' logs are found while the log is opened, and read at once, as far ahead as it can be told of them.
            let (give, reads) = sync_channel(BATCHES_WAITING_MAX);
            let mut waiting = Vec::new();
            for client in clients {
                let reading = Reading {
                    client,
                    roots: self.root.clone().map_or_else(|| logs::usual_roots(client, &|name| std::env::var(name).ok()), |root| vec![root]),
                    cursors: Cursors::path(&log, client),
                    again: self.again,
                    bar: bar.clone(),
                };
                let (tell, last) = sync_channel(1);
                let give = give.clone();
                scope.spawn(move || reading.run(&last, &give));
                waiting.push(tell);
            }
            drop(give);
            let ledger = ledger()?;
            let mut told = Told { seq: ledger.log_usage_at_once(Vec::new())?.seq, ..Told::default() };
            for tell in waiting {
                // One that has panicked is told of by the scope.
                let _ = tell.send(told.seq);
            }
            for read in reads {
                match read {
                    Read::Batch(batch) => told = told.and(ledger.log_usage_at_once(batch)?),
                    Read::All(whole) => {
                        let Whole { client, report, mut cursors, path } = *whole;
                        done.add(report);
                        if client == Client::Codex {
                            done.skipped.extend(self.settle_threads(&ledger, &log, &mut cursors, &mut told)?);
                        }
                        // A running engine keeps its own.
                        if let Ledger::Local(_) = &ledger {
                            cursors.are_in_log(told.seq);
                            // What is not kept is read again.
                            let _ = cursors.save(&path);
                        }
                    }
                }
            }
            (done.entries, done.refused) = (told.entries, told.refused);
            Ok(())
        })?;
        bar.finish_and_clear();
        done.tell(self.json)
    }

    /// What Codex counted in threads whose rollouts are gone: those of its usual places too, of which another folder may have had rollouts.
    fn settle_threads(&self, ledger: &Ledger, log: &Path, cursors: &mut Cursors, told: &mut Told) -> Result<Vec<Skipped>, Fault> {
        let usual = logs::usual_roots(Client::Codex, &|name| std::env::var(name).ok());
        let roots: Vec<PathBuf> = self.root.iter().cloned().chain(usual).collect();
        let fresh = told.entries > 0 || self.again;
        let mut tell = |command| ledger.tell(command).inspect(|more| *told = told.and(*more));
        let skipped = remainder::settle(log, &roots, cursors, fresh, &mut tell)?;
        Ok(skipped.into_iter().map(|(path, reason)| Skipped { path, reason }).collect())
    }

    /// Reads files of another make.
    fn files(&self, ledger: &Ledger) -> Result<(), Fault> {
        let Generic { format, map, input_includes_cache, reasoning_is_beside } = &self.generic;
        let map = (!map.is_empty()).then(|| Map {
            places: map.clone(),
            input_includes_cache: *input_includes_cache,
            reasoning_is_beside: *reasoning_is_beside,
        });
        let mut done = Done::default();
        for path in &self.files {
            let is = |ending: &str| path.extension().is_some_and(|it| it.eq_ignore_ascii_case(ending));
            let by_name = if is("csv") {
                Format::Csv
            } else if is("json") {
                Format::Json
            } else {
                Format::Jsonl
            };
            let format = format.unwrap_or(by_name);
            let mut told = Told::default();
            let mut sink = |sightings| ledger.log_usage(sightings).map(|written| told = told.and(written));
            let found = generic::read(path, format, map.as_ref(), &mut sink)?;
            done.files += 1;
            done.bytes_read += found.bytes;
            done.calls_seen += found.calls;
            done.entries += told.entries;
            done.refused += told.refused;
            let passed_over = [(found.broken, "that are no JSON objects"), (found.uncounted, "in which no tokens are counted")];
            for (rows, which) in passed_over.into_iter().filter(|(rows, _)| *rows > 0) {
                let reason = format!("{} {which}", words::counted(rows, "row", "rows"));
                done.skipped.push(Skipped { path: path.clone(), reason });
            }
        }
        done.tell(self.json)
    }
}

impl Done {
    fn tell(&self, json: bool) -> Result<(), Fault> {
        let done = self;
        if json {
            return print_json(done);
        }
        for Skipped { path, reason } in &done.skipped {
            warn(format_args!("skipped {}: {reason}", path.display()));
        }
        let refused = super::refused(done.refused);
        print(&format!("{} files read, {} calls seen, {} entries new{refused}\n", done.files, done.calls_seen, done.entries))
    }
}
