//! Grok Build's sessions: one JSON object a line, with the usage of a turn at its end.
//!
//! Pure. The format is in `reference/log-formats.md`, section 17.

use super::{
    Client, Line,
    json::{Json, text},
    row::{Around, Setting, call, sighting},
};
use events::{Sighting, Tokens, Usage};

/// Reads one line.
pub(super) fn line(setting: &mut Setting, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(row) = around.row(&text, &["params", "method", "timestamp", "jsonrpc", "type"]) else { return };
    let Some(params) = row.get("params").map(Json::object) else { return };
    let Some(update) = params.get("update").map(Json::object) else { return };
    let exact_at = params.get("_meta").and_then(|meta| meta.at(&["agentTimestampMs"])).and_then(Json::instant);
    let at = setting.at(exact_at.or_else(|| row.get("timestamp").and_then(Json::instant)));
    setting.model = update.any(&["model", "modelId"]).and_then(Json::word).or(setting.model.take());
    let Some(said) = update.get("usage").filter(|_| update.word("sessionUpdate").as_deref() == Some("turn_completed")) else { return };
    // Events' ids are not unique; a prompt's is.
    let (Some(id), Some(tokens)) = (update.word("prompt_id"), around.counted(said, tokens(said)).filter(|tokens| tokens.total() > 0))
    else {
        return;
    };
    let usage = Usage {
        model: setting.model.clone(),
        session: params.word("sessionId"),
        ..call(Client::Grok, "xai", format!("grok:{id}"), at, tokens)
    };
    found.push(sighting(Client::Grok, usage, said));
}

/// Cache reads and writes are within input, and reasoning within output (log-formats 0.1).
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let usage = usage.object();
    let (input, output) = (usage.count("inputTokens"), usage.count("outputTokens"));
    input.or(output)?;
    let count = |name: &str| usage.count(name).unwrap_or(0);
    let (read, write) = (count("cachedReadTokens"), count("cacheCreationTokens"));
    Some(Tokens {
        input: input.unwrap_or(0).saturating_sub(read).saturating_sub(write),
        cache_read: read,
        cache_write_5m: write,
        output: output.unwrap_or(0),
        reasoning: count("reasoningTokens"),
        ..Tokens::default()
    })
}
