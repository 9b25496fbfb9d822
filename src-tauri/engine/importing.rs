//! Keeps the log up with AI clients' own logs: reads what is new at the start and whenever a file changed.

use super::{WriterHandle, remainder};
use crate::{
    attribution::Projects,
    config::Home,
    logs::{
        self, Client, Cursors,
        watch::{Change, Watch},
    },
};
use events::{Command, Seq, Sighting, query::Fault};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// What could not be read or written on the way, one line per client.
pub(super) type Troubles = Arc<Mutex<Vec<String>>>;

/// Watches every client's usual places. A client that cannot be watched is said in `troubles` and costs the others nothing.
pub(super) fn watch_clients(home: &Home, writer: &WriterHandle, troubles: &Troubles) -> Vec<Watch> {
    let watch = |client: Client| {
        let roots = logs::usual_roots(client, &|name| std::env::var(name).ok());
        let mut importer = Importer::new(home, client, roots.clone(), writer.clone(), troubles.clone());
        let reading = importer.cursors.stop().clone();
        match logs::watch::watch(client, roots, move |change| importer.read(&change)) {
            Ok(watch) => Some(watch.ending(reading)),
            Err(error) => {
                say(troubles, format!("the logs of {} are not watched: {error}; `tollbar import` reads them", client.name()));
                None
            }
        }
    };
    Client::ALL.iter().copied().filter_map(watch).collect()
}

struct Importer {
    client: Client,
    roots: Vec<PathBuf>,
    log: PathBuf,
    cursors_path: PathBuf,
    cursors: Cursors,
    projects: Projects,
    writer: WriterHandle,
    troubles: Troubles,
}

impl Importer {
    fn new(home: &Home, client: Client, roots: Vec<PathBuf>, writer: WriterHandle, troubles: Troubles) -> Importer {
        let cursors_path = Cursors::path(&home.log(), client);
        // Cursors that cannot be read cost one reading from the beginning; the log knows what it has.
        let cursors = Cursors::load(&cursors_path).unwrap_or_default();
        // Only the writer knows how far its log goes.
        let cursors = writer.tell(Command::LogUsage { sightings: Vec::new() }).map(|told| cursors.for_log(told.seq)).unwrap_or_default();
        let projects = Projects::new(std::env::home_dir());
        Importer { client, roots, log: home.log(), cursors_path, cursors, projects, writer, troubles }
    }

    fn read(&mut self, change: &Change) {
        if self.cursors.stop().is_asked() {
            return;
        }
        let Importer { client, roots, cursors, projects, writer, .. } = self;
        let mut last = None;
        let mut sink = |sightings: Vec<Sighting>| -> Result<(), Fault> {
            last = Some(writer.tell(Command::LogUsage { sightings })?.seq);
            Ok(())
        };
        let report = match change {
            Change::All => logs::import(*client, roots, cursors, projects, &mut sink, &mut |_| {}),
            Change::Files(files) => logs::import_files(*client, files, cursors, projects, &mut sink, &mut |_| {}),
        };
        match report {
            Ok(report) => {
                for (path, reason) in report.skipped {
                    say(&self.troubles, unreadable(&path, &reason));
                }
                if *change == Change::All && *client == Client::Codex {
                    self.settle_threads(&mut last);
                }
            }
            // What the log did not take is read again with the next change.
            Err(fault) => say(&self.troubles, format!("the logs of {} wait: {fault}", self.client.name())),
        }
        for folder in self.projects.take_stalled() {
            say(&self.troubles, format!("{folder} does not answer: calls made there have only its name as their project"));
        }
        if let Some(last) = last {
            self.cursors.are_in_log(last);
        }
        if let Err(error) = self.cursors.save(&self.cursors_path) {
            say(&self.troubles, format!("cannot keep how far the logs of {} were read: {error}", self.client.name()));
        }
    }
}

impl Importer {
    /// What Codex counted in threads whose rollouts are gone.
    fn settle_threads(&mut self, last: &mut Option<Seq>) {
        let (writer, fresh) = (&self.writer, last.is_some());
        let mut tell = |command| writer.tell(command).inspect(|told| *last = Some(told.seq));
        match remainder::settle(&self.log, &self.roots, &mut self.cursors, fresh, &mut tell) {
            Ok(skipped) => skipped.iter().for_each(|(path, reason)| say(&self.troubles, unreadable(path, reason))),
            Err(fault) => say(&self.troubles, format!("the threads of codex without a log wait: {fault}")),
        }
    }
}

/// A source that cannot be read, as engine and doctor both say it.
pub(crate) fn unreadable(path: &Path, reason: &str) -> String {
    format!("{}: {reason}", path.display())
}

/// Notes a trouble once, and no more of them than a reader can take.
pub(super) fn say(troubles: &Troubles, trouble: String) {
    const TROUBLES_MAX: usize = 20;
    let mut troubles = troubles.lock().expect("nobody panics while holding it");
    if troubles.len() < TROUBLES_MAX && !troubles.contains(&trouble) {
        troubles.push(trouble);
    }
}
