//! Pi's sessions, and those of the programs that keep theirs as it does: one JSON object a line.
//!
//! Pure. The format is in `reference/log-formats.md`, section 16.

use super::{
    Client, Line,
    json::{Json, text},
    row::{Around, Setting, call, maker, sighting},
    sqlite::Table,
};
use events::{Sighting, Tokens, Usage};

/// Newer versions of OpenClaw keep their sessions so; what stands in it is not known, so that it cannot be read and must be said.
pub(super) const TABLES: [Table; 1] = [Table { name: "transcript_events", queries: &[] }];

/// Reads one line.
pub(super) fn line(setting: &mut Setting, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(row) = around.row(&text, &["type", "message", "id", "timestamp"]) else { return };
    match row.word("type").as_deref() {
        Some("session") => {
            setting.session = row.word("id");
            setting.cwd = row.word("cwd");
            (setting.provider, setting.model) = (row.word("provider"), row.word("modelId"));
            setting.at = row.get("timestamp").and_then(Json::instant).or(setting.at);
        }
        Some("model_change") => {
            (setting.provider, setting.model) = (row.word("provider"), row.any(&["modelId", "model"]).and_then(Json::word))
        }
        Some("message") => {}
        _ => return,
    }
    let Some(message) = row.get("message").map(Json::object) else { return };
    let Some(said) = message.get("usage").filter(|_| message.word("role").as_deref() == Some("assistant")) else { return };
    let Some(tokens) = around.counted(said, tokens(said)).filter(|tokens| tokens.total() > 0) else { return };
    let own_at = row.get("timestamp").and_then(Json::instant);
    let begun_at = message.get("timestamp").and_then(Json::instant);
    let at = setting.at(begun_at.or(own_at));
    let model = message.word("model").or_else(|| setting.model.clone());
    let provider = message.word("provider").or_else(|| setting.provider.clone()).unwrap_or_else(|| maker(model.as_deref()).to_owned());
    // Forks copy lines into other sessions, so neither session nor place is part of the key. A line's id is short: its time goes with it.
    let id = message.get("responseId").and_then(Json::id).unwrap_or_else(|| match row.word("id") {
        Some(id) => format!("pi:{}:{id}", at.micros()),
        None => format!("pi:{}:{}-{}-{}-{}", at.micros(), tokens.input, tokens.cache_read, tokens.cache_writes(), tokens.output),
    });
    let cost = said.at(&["cost", "total"]).and_then(Json::usd).filter(|cost| *cost > events::Usd::default());
    let usage = Usage {
        family: family(message.word("api").as_deref(), &provider).to_owned(),
        model,
        project: around.project(setting.cwd.as_deref()),
        session: setting.session.clone().or_else(|| Some(line.file.to_owned())),
        reported_cost: cost,
        ..call(Client::Pi, &provider, id, at, tokens)
    };
    found.push(sighting(Client::Pi, usage, said));
}

/// The API that was spoken: newer lines name it.
fn family(api: Option<&str>, provider: &str) -> &'static str {
    super::row::family(api.unwrap_or(provider))
}

/// Input is without the cache, and reasoning within output (log-formats 0.1).
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let usage = usage.object();
    let (input, output) = (usage.count("input"), usage.count("output"));
    input.or(output)?;
    let count = |name: &str| usage.count(name).unwrap_or(0);
    Some(Tokens {
        input: input.unwrap_or(0),
        cache_read: count("cacheRead"),
        cache_write_5m: count("cacheWrite"),
        output: output.unwrap_or(0),
        reasoning: usage.any(&["reasoning", "reasoningTokens"]).and_then(Json::count).unwrap_or(0),
        ..Tokens::default()
    })
}
