//! Qwen Code's book of calls, one a line; where a session is not in it, the session's transcript.
//!
//! Pure. The format is in `reference/log-formats.md`, section 5. The two name a call differently, so a session is read from one only.
//!
//! `/branch` copies a session's rows into another one, with old or new ids. Time, model and counts stay, and are the key of a row.

use super::{
    Client, Line,
    json::{Json, Object, text},
    row::{Around, Former, Setting, call, family, maker, sighting},
};
use events::{Sighting, Tokens, Usage};

/// The fields of a line of either.
const KNOWN: [&str; 9] = ["uuid", "sessionId", "type", "usageMetadata", "inputTokens", "timestamp", "message", "role", "subtype"];

/// Reads a line of either.
pub(super) fn line(setting: &mut Setting, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(row) = around.row(&text, &KNOWN) else { return };
    let Some(json) = Json::parse(text.trim()) else { return };
    let session = row.word("sessionId");
    if row.get("inputTokens").is_some() {
        let Some(id) = row.word("id") else { return };
        let at = setting.at(row.get("timestamp").and_then(Json::instant));
        if let Some(session) = &session {
            setting.cover(session, at);
        }
        return tell(setting, &row, json, format!("qwen:{id}"), session, around, found);
    }
    // A request's telemetry tells of the same request again and has no `usageMetadata`.
    let Some(said) = row.get("usageMetadata") else { return };
    let own_session = session.unwrap_or_else(|| line.file.to_owned());
    let own_at = row.get("timestamp").and_then(Json::instant);
    let at = setting.at(own_at);
    // A copied row names where it comes from.
    let session =
        row.get("forkedFrom").and_then(|from| from.at(&["sessionId"])).and_then(Json::word).unwrap_or_else(|| own_session.clone());
    if (around.covered)(&session, at) || (around.covered)(&own_session, at) {
        return;
    }
    let by_uuid = row.word("uuid").map(|id| format!("qwen:{own_session}:{id}"));
    let by_what_it_says = own_at.zip(tokens(said)).map(|(at, counted)| {
        let model = row.word("model").unwrap_or_default();
        format!("qwen:{}:{model}:{}-{}-{}-{}", at.micros(), counted.input, counted.cache_read, counted.output, counted.reasoning)
    });
    let Some(id) = by_what_it_says.or_else(|| by_uuid.clone()) else { return };
    if let Some(former) = by_uuid.filter(|former| *former != id) {
        let now = Some(id.clone());
        around.former(|| Former { family: family(maker(row.word("model").as_deref())).to_owned(), call_id: former, tokens: None, now });
    }
    tell(setting, &row, said, id, Some(session), around, found);
}

fn tell(
    setting: &mut Setting,
    row: &Object<'_>,
    said: Json<'_>,
    id: String,
    session: Option<String>,
    around: &mut Around<'_>,
    found: &mut Vec<Sighting>,
) {
    let Some(tokens) = around.counted(said, tokens(said)).filter(|tokens| tokens.total() > 0) else { return };
    let at = setting.at(row.get("timestamp").and_then(Json::instant));
    let model = row.word("model");
    let provider = maker(model.as_deref());
    let project = around.project(row.word("cwd").as_deref());
    let usage = Usage { model, project, session, branch: row.word("gitBranch"), ..call(Client::Qwen, provider, id, at, tokens) };
    found.push(sighting(Client::Qwen, usage, said));
}

/// Cache reads are within input. Thoughts stand beside output, but where the total is the sum without them (log-formats 0.1).
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let usage = usage.object();
    let count = |names: &[&str]| usage.any(names).and_then(Json::count);
    let (input, output) = (count(&["inputTokens", "promptTokenCount"]), count(&["outputTokens", "candidatesTokenCount"]));
    input.or(output)?;
    let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
    let cached = count(&["cachedTokens", "cachedContentTokenCount"]).unwrap_or(0);
    let thoughts = count(&["thoughtsTokens", "thoughtsTokenCount"]).unwrap_or(0);
    let is_within = thoughts <= output && count(&["totalTokens", "totalTokenCount"]) == Some(input.saturating_add(output));
    Some(Tokens {
        input: input.saturating_sub(cached),
        cache_read: cached,
        output: if is_within { output } else { output.saturating_add(thoughts) },
        reasoning: thoughts,
        ..Tokens::default()
    })
}
