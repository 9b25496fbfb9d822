//! Crush's sessions: a row of its database each, of which only the cost adds up.
//!
//! Pure. The format is in `reference/log-formats.md`, section 12. Its token columns hold the last call's counts, or none, and are not read.

use super::{
    Client, Line,
    json::{Json, text},
    row::{Around, call},
    sqlite::Table,
};
use events::{Certainty, Sighting, Tokens, Usage};

/// What a session is taken from. The cost of those within a session is in it.
pub(super) const TABLES: [Table; 1] = [Table {
    name: "sessions",
    queries: &["SELECT rowid, json_object('id', id, 'cost', cost, 'created', created_at) FROM sessions \
        WHERE parent_session_id IS NULL AND cost > 0 AND ?1 IS NOT NULL ORDER BY rowid"],
}];

/// Reads a row.
pub(super) fn line(line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(row) = around.row(&text, &["id"]) else { return };
    let (Some(id), Some(cost)) = (row.word("id"), row.get("cost").and_then(Json::usd)) else { return };
    let at = row.get("created").and_then(Json::instant).unwrap_or_default();
    // `<project>/.crush/crush.db`
    let folder = around.path.parent().filter(|folder| folder.ends_with(".crush")).and_then(|folder| folder.parent());
    let cwd = folder.and_then(|folder| folder.to_str()).map(str::to_owned);
    let usage = Usage {
        project: around.project(cwd.as_deref()),
        session: Some(id.clone()),
        reported_cost: Some(cost),
        certainty: Certainty::Unknown,
        ..call(Client::Crush, "unknown", format!("crush:{id}"), at, Tokens::default())
    };
    found.push(usage.into());
}
