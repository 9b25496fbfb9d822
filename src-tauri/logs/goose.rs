//! Goose's ledger: a row of its database for each call.
//!
//! Pure. The format is in `reference/log-formats.md`, section 13. Rows that are carried forward are what the others lack, and count.

use super::{
    Client, Line,
    json::{Json, text, written_plainly},
    row::{Around, call, maker, sighting},
};
use events::{Sighting, Tokens, Usage};

macro_rules! of_ledger {
    ($cwd:literal, $join:literal) => {
        concat!(
            "SELECT l.id, json_object('id', CASE WHEN l.cost_source = 'carried_forward' AND NOT EXISTS (SELECT 1 FROM usage_ledger o ",
            "WHERE o.session_id = l.session_id AND o.cost_source = 'carried_forward' AND o.id < l.id) THEN 'accumulated' ELSE l.id END, ",
            "'session', l.session_id, 'at', l.created_timestamp, 'model', l.model, 'cost', l.cost",
            $cwd,
            ", 'usage', json_object('input', l.input_tokens, 'output', l.output_tokens, 'total', l.total_tokens, ",
            "'cache_read', l.cache_read_tokens, 'cache_write', l.cache_write_tokens)) FROM usage_ledger l",
            $join,
            " WHERE l.id > ?1 ORDER BY l.id"
        )
    };
}

macro_rules! of_sessions {
    ($cwd:literal) => {
        concat!(
            "SELECT rowid, json_object('id', 'accumulated', 'session', id, 'at', created_at, ",
            "'model', CASE WHEN json_valid(model_config_json) THEN json_extract(model_config_json, '$.model_name') END",
            $cwd,
            ", 'usage', json_object('input', accumulated_input_tokens, 'output', accumulated_output_tokens, 'total', accumulated_total_tokens)) ",
            "FROM sessions WHERE accumulated_total_tokens > 0 AND ?1 IS NOT NULL ORDER BY rowid"
        )
    };
}

/// What a call is taken from: the ledger with its session's folder, and without. Builds without a ledger have sums only, so a session is one
/// call, which grows. When a ledger is begun, it carries that sum forward, as the same call.
pub(super) const QUERIES: [&str; 4] = [
    of_ledger!(", 'cwd', s.working_dir", " LEFT JOIN sessions s ON s.id = l.session_id"),
    of_ledger!("", ""),
    of_sessions!(", 'cwd', working_dir"),
    of_sessions!(""),
];

/// Reads a row.
pub(super) fn line(line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(row) = Json::parse(&text).map(Json::object) else { return };
    let (Some(id), Some(said)) = (row.word("id"), row.get("usage")) else { return };
    let Some(tokens) = tokens(said) else { return };
    let at = row.get("at").and_then(|at| at.secs().or_else(|| at.time()).or_else(|| written_plainly(at))).unwrap_or_default();
    let (model, session) = (row.word("model"), row.word("session"));
    // Ids are counted per database.
    let id = format!("goose:{}:{id}", session.as_deref().unwrap_or_default());
    let usage = Usage {
        project: around.project(row.word("cwd").as_deref()),
        session,
        // A sum that was kept before there was a ledger.
        requests: (id.ends_with(":accumulated")).then_some(0),
        reported_cost: row.get("cost").and_then(Json::usd).filter(|cost| *cost > events::Usd::default()),
        ..call(Client::Goose, maker(model.as_deref()), id, at, tokens)
    };
    found.push(sighting(Client::Goose, Usage { model, ..usage }, said));
}

/// Whether input is with the cache, the row's own total tells: where it is input and output, the cache is within input.
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let usage = usage.object();
    let (input, output) = (usage.count("input"), usage.count("output"));
    input.or(output)?;
    let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
    let (read, write) = (usage.count("cache_read").unwrap_or(0), usage.count("cache_write").unwrap_or(0));
    let cache = read.saturating_add(write);
    let is_within = cache <= input && usage.count("total") == Some(input.saturating_add(output));
    Some(Tokens {
        input: if is_within { input - cache } else { input },
        cache_read: read,
        cache_write_5m: write,
        output,
        ..Tokens::default()
    })
}
