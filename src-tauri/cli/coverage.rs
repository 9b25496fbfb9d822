//! `tollbar coverage`

use super::{Which, ledger, print, print_json, table, table::Table};
use crate::{logs::Client, words};
use clap::Args;
use events::query::{self, CoverageAnswer, CoverageRow, Fault, Seen};

#[derive(Debug, Args)]
pub(super) struct Coverage {
    #[command(flatten)]
    which: Which,
    /// Each call of the hidden spend, too
    #[arg(long)]
    calls: bool,
    /// As JSON, with exact amounts
    #[arg(long)]
    json: bool,
}

impl Coverage {
    pub(super) fn run(self) -> Result<(), Fault> {
        let question = query::Coverage { first: self.which.since, last: self.which.until, filter: self.which.filter(), calls: self.calls };
        let answer = ledger()?.ask(question)?;
        if self.json { print_json(&answer) } else { print(&told(&answer, self.calls)) }
    }
}

fn told(answer: &CoverageAnswer, has_calls: bool) -> String {
    let mut table = Table::new(1, &["client", "log only", "", "proxy only", "", "both", "", "hidden", ""]);
    let total = [("total".to_owned(), &answer.total)];
    let client = |row: &CoverageRow| row.client.clone().unwrap_or_else(|| "no client".to_owned());
    for (name, row) in answer.rows.iter().map(|row| (client(row), row)).chain(total) {
        let seen = [row.log_only, row.proxy_only, row.both, row.hidden];
        table.row([name].into_iter().chain(seen.into_iter().flat_map(cells)).collect());
    }
    let days = table::dim(&format!("{} to {}", answer.first, answer.last));
    let proxied = answer.total.proxy_only.calls + answer.total.both.calls;
    let is_read = answer.rows.iter().any(|row| row.keeps_log);
    let hidden = match answer.total.hidden.calls {
        _ if proxied == 0 => "the proxy carried none of these calls, so nothing can be said of calls that are in no log".to_owned(),
        0 if !is_read => "no client's log was read, so nothing can be said of calls that are in none".to_owned(),
        0 => "nothing is hidden: of clients whose log was read, the proxy saw no call that is not in it".to_owned(),
        calls => format!(
            "hidden: {} of clients that keep a log, {}, which only the proxy saw{}",
            words::counted(calls, "call", "calls"),
            words::dollars(answer.total.hidden.usd),
            if has_calls { "" } else { "; --calls tells them" },
        ),
    };
    let mut text = format!("{days}\n{}{}\n", table.text(), table::dim(&hidden));
    for line in notes(answer, proxied == 0) {
        text += &table::dim(&line);
        text.push('\n');
    }
    if answer.total.neither.calls > 0 {
        let others = words::counted(answer.total.neither.calls, "call", "calls");
        text += &table::dim(&format!("{others} beside these were entered by hand or told by telemetry"));
        text.push('\n');
    }
    if has_calls && !answer.hidden_calls.is_empty() {
        let mut calls = Table::new(4, &["at", "client", "model", "call", "in", "out", "cost"]);
        for call in &answer.hidden_calls {
            let name = |name: &Option<String>| name.clone().unwrap_or_default();
            let tokens_in = call.input + call.cache_read + call.cache_write_5m + call.cache_write_1h;
            calls.row(vec![
                call.at.to_string(),
                name(&call.client),
                name(&call.model),
                name(&call.call_id),
                words::tokens(tokens_in),
                words::tokens(call.output),
                call.cost_usd.map_or("unpriced".to_owned(), words::dollars),
            ]);
        }
        text += &format!("\n{}", calls.text());
    }
    text
}

/// What the table cannot show: clients whose log was not read, and what clients never log.
fn notes(answer: &CoverageAnswer, never_proxied: bool) -> Vec<String> {
    let mut notes = Vec::new();
    for row in &answer.rows {
        let Some(client) = row.client.as_deref().and_then(|name| name.parse::<Client>().ok()) else { continue };
        let name = client.name();
        if !row.keeps_log && row.proxy_only.calls > 0 {
            notes.push(format!("the log of {name} was not read: `tollbar import --client {name}` reads it"));
        }
        if let Some(what) = client.never_logs().filter(|_| never_proxied || row.proxy_only.calls + row.both.calls == 0) {
            notes.push(format!("{name} never logs {what}"));
        }
    }
    if never_proxied && !notes.is_empty() {
        notes.push("only the proxy sees these: `tollbar connect` shows how a client is pointed at it".to_owned());
    }
    notes
}

/// Calls and dollars; nothing where there are none.
fn cells(seen: Seen) -> [String; 2] {
    match seen.calls {
        0 => [String::new(), String::new()],
        calls if seen.unpriced_calls == calls => [words::grouped(calls.into()), "unpriced".to_owned()],
        calls => [words::grouped(calls.into()), words::dollars(seen.usd)],
    }
}
