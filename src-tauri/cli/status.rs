//! `tollbar status`

use super::{print, print_json, table};
use crate::{
    clock,
    config::{Config, Home},
    engine::Ledger,
    words,
};
use clap::Args;
use events::query::{Fault, Health};

#[derive(Debug, Args)]
pub(super) struct Status {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self) -> Result<(), Fault> {
        let home = Home::find()?;
        let config = Config::read(&home)?;
        let health = Ledger::open(&home, &config)?.ask(Health::default())?;
        if self.json {
            return print_json(&health);
        }
        let now = clock::now();
        let mut text = String::new();
        match &health.engine {
            None => text += "stopped   start it with `tollbar serve` or the desktop app\n",
            Some(engine) => {
                text +=
                    &format!("running   pid {}, version {}, since {}\n", engine.pid, health.version, words::ago(engine.started_at, now));
                if let Some(proxy) = &engine.proxy {
                    let carried = words::counted(proxy.carried, "call", "calls");
                    text += &format!("proxy     {}  {carried} carried, {} under way\n", proxy.address, proxy.in_flight);
                    if proxy.unobserved > 0 {
                        let lost = words::counted(proxy.unobserved, "call", "calls");
                        text += &format!("{}\n", table::warned(&format!("          {lost} passed but could not be recorded"), true));
                    }
                    if proxy.unplaced > 0 {
                        let unplaced = words::counted(proxy.unplaced, "call", "calls");
                        text += &format!("          {unplaced} recorded without a project: the folder did not answer within 2 s\n");
                    }
                }
                text += &format!("dashboard {}  (open it with `tollbar dashboard`)\n", engine.dashboard);
            }
        }
        let last = health.last_call_at.map_or("none yet".to_owned(), |at| words::ago(at, now));
        let is_unread = health.price_book.is_empty();
        if is_unread {
            text += "recorded  unknown: the log cannot be read\n";
        } else {
            text += &format!("recorded  {}, the last {last}\n", words::counted(health.calls, "call", "calls"));
        }
        if is_unread {
            text += &format!("log       {}\n", health.folder);
        } else {
            text += &format!(
                "log       {}  {} KiB of journal, price book {}\n",
                health.folder,
                health.journal_bytes.div_ceil(1024),
                health.price_book
            );
        }
        let warnings = health.engine.as_ref().map_or(&health.mended, |engine| &engine.warnings);
        for warning in warnings {
            text += &format!("{}\n", table::warned(&format!("note      {warning}"), false));
        }
        print(&text)
    }
}
