//! `tollbar import`

use super::{ledger, print, print_json, progress_bar};
use crate::{
    attribution::Projects,
    engine::{Ledger, Told},
    logs::{
        self, Client, Cursors, Progress,
        generic::{self, Format, Map, Place},
    },
    words,
};
use clap::Args;
use events::query::{Fault, FaultCode};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Import {
    /// Only this client's logs: claude-code, codex, gemini-cli, opencode, copilot-cli, ...
    #[arg(long)]
    client: Option<Client>,
    /// The folder that the client's own variable would name (CLAUDE_CONFIG_DIR, ...); its usual places if not named
    #[arg(long, requires = "client")]
    root: Option<PathBuf>,
    /// Files of another make: of LiteLLM, LangChain, SDKs, or with --map of any
    #[arg(conflicts_with_all = ["client", "root"])]
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
    /// cache_read, cache_write, cache_write_1h, reasoning, cost, id, at, session, project, client, tier
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

impl Import {
    pub(super) fn run(self) -> Result<(), Fault> {
        if let Some(root) = self.root.as_ref().filter(|root| !root.is_dir()) {
            return Err(Fault::new(
                FaultCode::NotFound,
                format!("there is no folder {}", root.display()),
                "name the folder that holds the client's logs, like ~/.claude",
            ));
        }
        let ledger = ledger()?;
        if !self.files.is_empty() {
            return self.files(&ledger);
        }
        let clients = self.client.map_or(Client::ALL.to_vec(), |client| vec![client]);
        let mut projects = Projects::new(std::env::home_dir());
        let mut done = Done::default();
        let bar = progress_bar("files");
        for client in clients {
            let roots = self.root.clone().map_or_else(|| logs::usual_roots(client, &|name| std::env::var(name).ok()), |root| vec![root]);
            // From the beginning, every time: the log knows what it has, and a cursor of another log would hide what it lacks.
            let mut cursors = Cursors::default();
            let mut told = Told::default();
            let mut sink = |sightings| ledger.log_usage(sightings).map(|written| told = told.and(written));
            let mut progress = |progress: Progress| {
                bar.set_length(progress.files as u64);
                bar.set_position(progress.files_done as u64);
            };
            let report = logs::import(client, &roots, &mut cursors, &mut projects, &mut sink, &mut progress)?;
            done.files += report.files;
            done.bytes_read += report.bytes_read;
            done.calls_seen += report.calls;
            done.entries += told.entries;
            done.refused += told.refused;
            done.skipped.extend(report.skipped.into_iter().map(|(path, reason)| Skipped { path, reason }));
        }
        bar.finish_and_clear();
        done.tell(self.json)
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
            let is_table = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
            let format = format.unwrap_or(if is_table { Format::Csv } else { Format::Jsonl });
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
            eprintln!("skipped {}: {reason}", path.display());
        }
        let refused = super::refused(done.refused);
        print(&format!("{} files read, {} calls seen, {} entries new{refused}\n", done.files, done.calls_seen, done.entries))
    }
}
