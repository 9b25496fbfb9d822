//! `tollbar doctor`
//!
//! Ends with 0 where nothing is to be done, and with 1 where something is: what is only good to know does not count.

use super::{print, print_json, table, table::Table};
use crate::{
    config::{Config, Home},
    connect,
    doctor::{self, Finding, History, Level, Patient},
    engine::{ControlClient, Ledger},
    logs::Client,
    service, words,
};
use clap::Args;
use events::query::{Fault, Health};
use serde::Serialize;

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Told<'a> {
    well: bool,
    engine_runs: bool,
    service: &'a service::Standing,
    clients: &'a [History],
    findings: &'a [Finding],
}

impl Doctor {
    /// Whether nothing is to be done.
    pub(super) fn run(self) -> Result<bool, Fault> {
        let home = Home::find()?;
        let config = Config::read(&home)?;
        let env = |name: &str| std::env::var(name).ok();
        let engine_runs = matches!(ControlClient::knock(&home), Ok(Some(_)));
        let ledger = Ledger::open(&home, &config)?;
        let spinner = super::spinner("reading the clients' logs");
        let mut clients = Vec::new();
        for client in Client::ALL {
            clients.extend(doctor::history(*client, &ledger, &env)?);
        }
        spinner.finish_and_clear();
        let health = ledger.ask(Health::default())?;
        let service = service::standing(&env);
        let findings = doctor::findings(&Patient {
            engine: health.engine.as_ref(),
            mended: &health.mended,
            service: &service,
            clients: &clients,
            pointing: connect::survey(&home, &config, &env).findings,
        });
        let well = findings.iter().all(|finding| finding.level == Level::Note);
        if self.json {
            print_json(&Told { well, engine_runs, service: &service, clients: &clients, findings: &findings })?;
        } else {
            print(&told(&clients, &findings, well))?;
        }
        Ok(well)
    }
}

fn told(clients: &[History], findings: &[Finding], well: bool) -> String {
    let mut text = String::new();
    if clients.is_empty() {
        text += "no AI client keeps a history here that tollbar can read\n";
    } else {
        let mut table = Table::new(1, &["client", "files", "not imported", "not readable", "safe to delete", "deleted by the client"]);
        for history in clients {
            table.row(vec![
                history.client.clone(),
                words::grouped(history.files as u128),
                words::grouped(history.calls_missing.into()),
                words::grouped(history.unreadable.len() as u128),
                if history.safe_to_delete { "yes" } else { "no" }.to_owned(),
                history.deletes.clone(),
            ]);
        }
        text += &table.text();
    }
    for finding in findings {
        let what = match finding.level {
            Level::Todo => table::warned(&format!("to do  {}", finding.what), true),
            Level::Note => format!("note   {}", finding.what),
        };
        text += &format!("{what}\n");
        if !finding.way_out.is_empty() {
            text += &table::dim(&format!("       {}", finding.way_out));
            text.push('\n');
        }
    }
    text + if well { "all is well: nothing needs to be done\n" } else { "" }
}
