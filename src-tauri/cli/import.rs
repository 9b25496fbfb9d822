//! `tollbar import`

use super::{ledger, print, print_json, progress_bar};
use crate::{
    attribution::Projects,
    engine::Told,
    logs::{self, Client, Cursors, Progress},
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
    /// As JSON
    #[arg(long)]
    json: bool,
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
        if self.json {
            return print_json(&done);
        }
        for Skipped { path, reason } in &done.skipped {
            eprintln!("skipped {}: {reason}", path.display());
        }
        let refused = super::refused(done.refused);
        print(&format!("{} files read, {} calls seen, {} entries new{refused}\n", done.files, done.calls_seen, done.entries))
    }
}
