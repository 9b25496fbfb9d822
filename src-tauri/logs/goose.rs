//! Goose's ledger: a row of its database for each call.
//!
//! Pure. The format is in `reference/log-formats.md`, section 13. Rows that are carried forward are what the others lack, and count.

use super::{
    Client, Line,
    json::{Json, text},
    row::{Around, call, maker, sighting},
};
use events::{Sighting, Tokens, Usage};

/// What a call is taken from: the ledger with its session's folder, and without.
pub(super) const QUERIES: [&str; 2] = [
    "SELECT l.id, json_object('id', l.id, 'session', l.session_id, 'at', l.created_timestamp, 'model', l.model, 'cost', l.cost, \
     'cwd', s.working_dir, 'usage', json_object('input', l.input_tokens, 'output', l.output_tokens, 'total', l.total_tokens, \
     'cache_read', l.cache_read_tokens, 'cache_write', l.cache_write_tokens)) \
     FROM usage_ledger l LEFT JOIN sessions s ON s.id = l.session_id WHERE l.id > ?1 ORDER BY l.id",
    "SELECT l.id, json_object('id', l.id, 'session', l.session_id, 'at', l.created_timestamp, 'model', l.model, 'cost', l.cost, \
     'usage', json_object('input', l.input_tokens, 'output', l.output_tokens, 'total', l.total_tokens, \
     'cache_read', l.cache_read_tokens, 'cache_write', l.cache_write_tokens)) \
     FROM usage_ledger l WHERE l.id > ?1 ORDER BY l.id",
];

/// Reads a row.
pub(super) fn line(line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(row) = Json::parse(&text).map(Json::object) else { return };
    let (Some(id), Some(said)) = (row.word("id"), row.get("usage")) else { return };
    let Some(tokens) = tokens(said) else { return };
    let at = row.get("at").and_then(Json::secs).unwrap_or_default();
    let (model, session) = (row.word("model"), row.word("session"));
    // Ids are counted per database.
    let id = format!("goose:{}:{id}", session.as_deref().unwrap_or_default());
    let usage = Usage {
        project: around.project(row.word("cwd").as_deref()),
        session,
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
