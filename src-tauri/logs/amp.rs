//! Amp's threads: a JSON document each, rewritten in place; older ones with a ledger of calls, newer ones with the usage in each message.
//!
//! Pure. The format is in `reference/log-formats.md`, section 8.

use super::{
    Client, Line,
    json::{Json, Object, text},
    row::{Around, Former, call, family, maker, sighting},
};
use events::{Sighting, Timestamp, Tokens, Usage};
use std::collections::HashMap;

/// Reads a whole thread. Its ledger wins where there is one.
pub(super) fn line(line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(thread) = around.row(&text, &["messages", "usageLedger", "id", "v", "created"]) else { return };
    let begun_at = thread.get("created").and_then(Json::instant);
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
        if let Some(paid) = paid.filter(|_| around.former.is_some()) {
            former(&event, counted, *paid, &id, around);
        }
        tell(&event, &said, format!("amp:{id}"), &session, begun_at, around, found);
    }
    for message in messages.iter().filter(|_| !has_ledger) {
        let (Some(id), Some(said)) = (message.any(&["messageId", "id"]).and_then(Json::word), message.get("usage")) else { continue };
        tell(&said.object(), said.raw(), format!("amp:{session}:{id}"), &session, begun_at, around, found);
    }
}

/// The counts of an event of the ledger with those of the message that it paid for. Of some events the input has the cache writes in it, or
/// the whole cache: where it is the sum of what the message says.
fn with_cache(counted: Json<'_>, paid: Option<Json<'_>>) -> String {
    let (counted, paid) = (counted.object(), paid.map(Json::object).unwrap_or_default());
    let count = |from: &Object<'_>, name: &str| from.count(name).unwrap_or(0);
    let (written, read) = (count(&paid, "cacheCreationInputTokens"), count(&paid, "cacheReadInputTokens"));
    let input = count(&counted, "input");
    let within = paid.count("inputTokens").filter(|own| {
        let with = |more: u64| own.saturating_add(more) == input;
        with(written) || with(read) || with(written.saturating_add(read))
    });
    with_input(within.unwrap_or(input), &counted, &paid)
}

fn with_input(input: u64, counted: &Object<'_>, paid: &Object<'_>) -> String {
    let count = |from: &Object<'_>, name: &str| from.count(name).unwrap_or(0);
    format!(
        r#"{{"inputTokens":{},"outputTokens":{},"cacheCreationInputTokens":{},"cacheReadInputTokens":{}}}"#,
        input,
        count(counted, "output"),
        count(paid, "cacheCreationInputTokens"),
        count(paid, "cacheReadInputTokens")
    )
}

/// What versions before this one recorded of an event whose input has the cache in it.
fn former(event: &Object<'_>, counted: Json<'_>, paid: Json<'_>, id: &str, around: &mut Around<'_>) {
    let was = with_input(counted.object().count("input").unwrap_or(0), &counted.object(), &paid.object());
    if was != with_cache(counted, Some(paid)) {
        let model = event.word("model");
        let tokens = Json::parse(&was).and_then(|was| tokens(was, model.as_deref()));
        let (family, call_id) = (family(maker(model.as_deref())).to_owned(), format!("amp:{id}"));
        around.former(|| Former { family, call_id: call_id.clone(), tokens, now: Some(call_id) });
    }
}

fn tell(
    row: &Object<'_>,
    said: &str,
    id: String,
    session: &str,
    begun_at: Option<Timestamp>,
    around: &mut Around<'_>,
    found: &mut Vec<Sighting>,
) {
    let (Some(said), model) = (Json::parse(said), row.word("model")) else { return };
    let Some(tokens) = around.counted(said, tokens(said, model.as_deref())).filter(|tokens| tokens.total() > 0) else { return };
    let at = row.get("timestamp").and_then(Json::instant).or(begun_at).unwrap_or_default();
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
