//! Kimi CLI's and Kimi Code's wire logs: one JSON object a line.
//!
//! Pure. The format is in `reference/log-formats.md`, section 10.

use super::{
    Client, Line,
    json::{Json, text},
    row::{Around, Setting, call, sighting},
};
use events::{Sighting, Tokens, Usage};

/// The fields of a line of either.
const KNOWN: [&str; 6] = ["type", "message", "timestamp", "time", "usage", "method"];

/// Reads one line.
pub(super) fn line(setting: &mut Setting, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(row) = around.row(&text, &KNOWN) else { return };
    let own_at = row.any(&["timestamp", "time", "created_at"]).and_then(Json::instant);
    let at = setting.at(own_at);
    let kind = row.word("type");
    if kind.as_deref() == Some("llm.request") {
        setting.model = row.word("model").or(setting.model.take());
    }
    let (said, id, model) = if kind.as_deref() == Some("usage.record") {
        let Some(said) = row.get("usage") else { return };
        // A record of the session's scope is of one request outside of a turn (a compaction, a title), and in some versions the sum of all
        // requests before it.
        let counted = tokens(said).unwrap_or_default();
        let is_of_session = row.word("usageScope").is_some_and(|scope| scope == "session");
        if is_of_session && setting.sum == Some(counted) {
            return;
        }
        setting.sum.get_or_insert_default().add(&counted);
        // Session and agent. A record has no id but what it says and when: its place shifts when the file is rewritten.
        let agent: Vec<_> = [3, 1].into_iter().filter_map(|steps| around.folder(steps)).collect();
        let place = own_at.zip(tokens(said)).map(|(at, tokens)| {
            format!("{}:{}-{}-{}-{}", at.micros(), tokens.input, tokens.cache_read, tokens.cache_writes(), tokens.output)
        });
        let place = place.unwrap_or_else(|| line.offset.to_string());
        (said, format!("kimi:{}:{place}", agent.join(":")), setting.model.clone().or_else(|| row.word("model")))
    } else {
        let Some(message) = row.get("message").map(Json::object) else { return };
        let Some(payload) = message.get("payload").filter(|_| message.word("type").as_deref() == Some("StatusUpdate")) else { return };
        let payload = payload.object();
        let (Some(said), Some(id)) = (payload.get("token_usage"), payload.get("message_id").and_then(Json::id)) else { return };
        (said, id, setting.model.clone())
    };
    let Some(tokens) = around.counted(said, tokens(said)).filter(|tokens| tokens.total() > 0) else { return };
    let session = around.path.ancestors().find_map(|folder| {
        let above = folder.parent()?.parent()?.file_name()?;
        (above == "sessions").then(|| folder.file_name()?.to_str().map(str::to_owned))?
    });
    let usage = Usage { model, session, ..call(Client::Kimi, "moonshot", id, at, tokens) };
    found.push(sighting(Client::Kimi, usage, said));
}

/// Input is without the cache, in either spelling (log-formats 0.1).
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let usage = usage.object();
    let count = |names: &[&str]| usage.any(names).and_then(Json::count);
    let (input, output) = (count(&["input_other", "inputOther"]), count(&["output"]));
    input.or(output)?;
    Some(Tokens {
        input: input.unwrap_or(0),
        cache_read: count(&["input_cache_read", "inputCacheRead"]).unwrap_or(0),
        cache_write_5m: count(&["input_cache_creation", "inputCacheCreation"]).unwrap_or(0),
        output: output.unwrap_or(0),
        ..Tokens::default()
    })
}
