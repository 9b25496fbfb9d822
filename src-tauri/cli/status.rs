//! `tollbar status`

use super::{print, print_json, table};
use crate::{
    clock,
    config::{Config, Home},
    engine::Ledger,
    words,
};
use clap::Args;
use events::{
    Timestamp,
    query::{Fault, Filter, Health, MissingPrices, MissingPricesRow},
};
use serde::Serialize;

#[derive(Debug, Args)]
pub(super) struct Status {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// How many models without a price are named.
const UNPRICED_NAMED_MAX: usize = 3;

/// Since when the spend is incomplete, because calls have no price.
#[derive(Debug, Serialize)]
struct Incomplete {
    /// The first call without a price.
    since: Timestamp,
    /// All calls without one.
    calls: u64,
    /// Their models, those with most tokens first.
    models: Vec<String>,
}

impl Incomplete {
    /// `None` where every call has a price, or the log cannot say.
    fn of(ledger: &Ledger) -> Option<Incomplete> {
        let answer = ledger.ask(MissingPrices { first: None, last: None, filter: Filter::default() }).ok()?;
        let since = answer.rows.iter().map(|row| row.first_at).min()?;
        let name = |row: &MissingPricesRow| format!("{}/{}", row.provider, row.model.as_deref().unwrap_or("no model"));
        Some(Incomplete { since, calls: answer.calls, models: answer.rows.iter().map(name).collect() })
    }

    /// A line for people.
    fn line(&self) -> String {
        let Incomplete { since, calls, models } = self;
        let mut named: Vec<&str> = models.iter().map(String::as_str).take(UNPRICED_NAMED_MAX).collect();
        named.dedup();
        let more = models.len().saturating_sub(UNPRICED_NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let calls = words::counted(*calls, "call has", "calls have");
        let day = since.utc().date_naive();
        format!("spend     incomplete since {day}: {calls} no price ({}{more}); see `tollbar prices missing`", named.join(", "))
    }
}

impl Status {
    pub(super) fn run(self) -> Result<(), Fault> {
        let home = Home::find()?;
        let config = Config::read(&home)?;
        let ledger = Ledger::open(&home, &config)?;
        let health = ledger.ask(Health::default())?;
        // A log that cannot be read has no book.
        let incomplete = if health.price_book.is_empty() { None } else { Incomplete::of(&ledger) };
        if self.json {
            let mut answer = serde_json::to_value(&health).expect("the answer holds only what JSON can hold");
            answer["incomplete"] = serde_json::to_value(&incomplete).expect("it holds only what JSON can hold");
            return print_json(&answer);
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
        if let Some(incomplete) = &incomplete {
            text += &format!("{}\n", table::warned(&incomplete.line(), false));
        }
        let warnings = health.engine.as_ref().map_or(&health.mended, |engine| &engine.warnings);
        for warning in warnings {
            text += &format!("{}\n", table::warned(&format!("note      {warning}"), false));
        }
        print(&text)
    }
}
