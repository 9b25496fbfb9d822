//! The Zed editor's threads: packed documents in a database.
//!
//! Pure. The format is in `reference/log-formats.md`, section 14. A request has no time of its own, and its model is the thread's of today.

use super::{
    Client, Line,
    json::{Json, text},
    row::{Around, call, sighting},
    sqlite::Table,
};
use events::{Sighting, Tokens, Usage};

/// What a thread is taken from; the third column is its document.
pub(super) const TABLES: [Table; 1] = [Table {
    name: "threads",
    queries: &["SELECT rowid, json_object('id', id, 'updated', updated_at), data FROM threads WHERE ?1 IS NOT NULL ORDER BY rowid"],
}];

/// Reads a thread's row, with its document unpacked.
pub(super) fn line(line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(row) = Json::parse(&text).map(Json::object) else { return };
    let (Some(frame), Some(thread)) = (row.get("row").map(Json::object), row.get("document")) else { return };
    let known = ["model", "request_token_usage", "cumulative_token_usage", "messages", "title", "version", "updated_at"];
    let Some(thread) = around.row(thread.raw(), &known) else { return };
    let Some(id) = frame.word("id") else { return };
    let at = frame.get("updated").and_then(Json::instant).unwrap_or_default();
    let model = thread.get("model").map(Json::object).unwrap_or_default();
    let provider = model.word("provider").unwrap_or_else(|| "zed".to_owned());
    let requests = thread.get("request_token_usage").map(Json::object).unwrap_or_default();
    for (request, said) in requests.fields() {
        let Some(tokens) = around.counted(said, tokens(said)).filter(|tokens| tokens.total() > 0) else { continue };
        let usage = Usage {
            model: model.word("model"),
            session: Some(id.clone()),
            ..call(Client::Zed, &provider, format!("zed:{id}:{request}"), at, tokens)
        };
        found.push(sighting(Client::Zed, usage, said));
    }
}

/// Zed counts as Anthropic does: input without the cache.
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let usage = usage.object();
    let (input, output) = (usage.count("input_tokens"), usage.count("output_tokens"));
    let (read, write) = (usage.count("cache_read_input_tokens"), usage.count("cache_creation_input_tokens"));
    input.or(output).or(read).or(write)?;
    Some(Tokens {
        input: input.unwrap_or(0),
        cache_read: read.unwrap_or(0),
        cache_write_5m: write.unwrap_or(0),
        output: output.unwrap_or(0),
        ..Tokens::default()
    })
}
