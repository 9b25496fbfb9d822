//! Amp's threads: a JSON document each, rewritten in place; older ones with a ledger of calls, newer ones with the usage in each message.
//!
//! Pure. The format is in `reference/log-formats.md`, section 8.

use super::{
    Client, Line,
    json::{Json, Object, text},
    row::{call, maker, sighting},
};
use events::{Sighting, Tokens, Usage};
use std::collections::HashMap;

/// Reads a whole thread. Its ledger wins where there is one.
pub(super) fn line(line: Line<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(thread) = Json::parse(&text).map(Json::object) else { return };
    let session = thread.word("id").unwrap_or_else(|| line.file.to_owned());
    let messages: Vec<Object<'_>> = thread.get("messages").into_iter().flat_map(Json::items).map(Json::object).collect();
    let mut has_ledger = false;
    let by_id: HashMap<String, Json<'_>> =
        messages.iter().filter_map(|message| Some((message.any(&["messageId", "id"])?.word()?, message.get("usage")?))).collect();
    for event in thread.get("usageLedger").and_then(|ledger| ledger.at(&["events"])).into_iter().flat_map(Json::items) {
        let event = event.object();
        let (Some(id), Some(counted)) = (event.word("id"), event.get("tokens")) else { continue };
        has_ledger = true;
        // The ledger has no cache; the message that it paid for does.
        let paid = event.word("toMessageId").and_then(|id| by_id.get(&id));
        let said = with_cache(counted, paid.copied());
        tell(&event, &said, format!("amp:{id}"), &session, found);
    }
    for message in messages.iter().filter(|_| !has_ledger) {
        let (Some(id), Some(said)) = (message.any(&["messageId", "id"]).and_then(Json::word), message.get("usage")) else { continue };
        tell(&said.object(), said.raw(), format!("amp:{session}:{id}"), &session, found);
    }
}

fn with_cache(counted: Json<'_>, paid: Option<Json<'_>>) -> String {
    let (counted, paid) = (counted.object(), paid.map(Json::object).unwrap_or_default());
    let count = |from: &Object<'_>, name: &str| from.count(name).unwrap_or(0);
    format!(
        r#"{{"inputTokens":{},"outputTokens":{},"cacheCreationInputTokens":{},"cacheReadInputTokens":{}}}"#,
        count(&counted, "input"),
        count(&counted, "output"),
        count(&paid, "cacheCreationInputTokens"),
        count(&paid, "cacheReadInputTokens")
    )
}

fn tell(row: &Object<'_>, said: &str, id: String, session: &str, found: &mut Vec<Sighting>) {
    let (Some(said), model) = (Json::parse(said), row.word("model")) else { return };
    let Some(tokens) = tokens(said, model.as_deref()).filter(|tokens| tokens.total() > 0) else { return };
    let at = row.get("timestamp").and_then(|at| at.time().or_else(|| at.millis())).unwrap_or_default();
    let provider = maker(model.as_deref());
    let usage = Usage { model, session: Some(session.to_owned()), ..call(Client::Amp, provider, id, at, tokens) };
    found.push(sighting(Client::Amp, usage, said));
}

/// Input is without the cache. What Amp calls cache creation of OpenAI's models is their uncached input.
pub(super) fn tokens(usage: Json<'_>, model: Option<&str>) -> Option<Tokens> {
    let usage = usage.object();
    let (input, output) = (usage.count("inputTokens"), usage.count("outputTokens"));
    input.or(output)?;
    let written = usage.count("cacheCreationInputTokens").unwrap_or(0);
    let (more_input, cache_write_5m) = if maker(model) == "openai" { (written, 0) } else { (0, written) };
    Some(Tokens {
        input: input.unwrap_or(0).saturating_add(more_input),
        cache_read: usage.count("cacheReadInputTokens").unwrap_or(0),
        cache_write_5m,
        output: output.unwrap_or(0),
        ..Tokens::default()
    })
}
