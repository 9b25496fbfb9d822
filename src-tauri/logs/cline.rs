//! Tasks of Cline, Roo and Kilo Code in editors, and sessions of Cline's command line: JSON documents that are rewritten.
//!
//! Pure. The format is in `reference/log-formats.md`, section 11.

use super::{
    Client, Line,
    json::{Json, Object, text},
    row::{Around, call, maker, sighting},
};
use events::{Sighting, Timestamp, Tokens, Usage};

/// Reads a whole document: an editor's list of messages, or the command line's session.
pub(super) fn line(line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(json) = Json::parse(&text) else { return };
    let session = json.object();
    match session.get("messages") {
        Some(messages) => of_command_line(&session, messages, line, found),
        None => of_editor(json, around, found),
    }
}

fn of_editor(messages: Json<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let Some(task) = around.folder(1).map(str::to_owned) else { return };
    let mut task_model = None;
    for message in messages.items() {
        let message = message.object();
        if message.word("say").as_deref() != Some("api_req_started") {
            continue;
        }
        let (Some(inner), Some(ts)) = (message.get("text").and_then(Json::text), message.get("ts")) else { continue };
        let Some(said) = Json::parse(&inner) else { continue };
        let Some(tokens) = tokens(said).filter(|tokens| tokens.total() > 0) else { continue };
        let request = said.object();
        let model = request.word("model").or_else(|| message.get("modelInfo").and_then(|info| info.at(&["modelId"])).and_then(Json::word));
        let model = model.or_else(|| task_model.get_or_insert_with(|| named_beside(around)).clone());
        let at = ts.millis().unwrap_or_default();
        // A message's place shifts when the task is edited; its time stays.
        let id = format!("cline:{task}:{}", at.micros());
        tell(request.get("cost"), model, id, &task, at, tokens, said, found);
    }
}

/// The model that the task's own files name.
fn named_beside(around: &Around<'_>) -> Option<String> {
    let metadata = (around.near)(1, "task_metadata.json");
    let used = metadata.as_deref().and_then(Json::parse).and_then(|it| it.at(&["model_usage"]));
    let last = used.into_iter().flat_map(Json::items).filter_map(|it| it.at(&["model_id"])?.word()).last();
    last.or_else(|| {
        let history = (around.near)(1, "api_conversation_history.json")?;
        let (_, rest) = history.split_once("<model>")?;
        let (name, _) = rest.split_once("</model>")?;
        (!name.is_empty() && name.len() <= 200 && !name.contains(char::is_whitespace)).then(|| name.to_owned())
    })
}

fn of_command_line(session: &Object<'_>, messages: Json<'_>, line: Line<'_>, found: &mut Vec<Sighting>) {
    let name = session.any(&["id", "sessionId"]).and_then(Json::word);
    let name = name.unwrap_or_else(|| line.file.strip_suffix(".messages").unwrap_or(line.file).to_owned());
    for (place, message) in messages.items().enumerate() {
        let message = message.object();
        let Some(said) = message.get("metrics") else { continue };
        let Some(tokens) = tokens(said).filter(|tokens| tokens.total() > 0) else { continue };
        let model = message.get("modelInfo").and_then(|info| info.object().any(&["id", "modelId"])).and_then(Json::word);
        let at = message.get("ts").and_then(Json::millis).unwrap_or_default();
        let id = message.word("id").unwrap_or_else(|| format!("{place}"));
        tell(said.at(&["cost"]), model, format!("cline:{name}:{id}"), &name, at, tokens, said, found);
    }
}

#[expect(clippy::too_many_arguments, reason = "the two documents share the words and nothing else")]
fn tell(
    cost: Option<Json<'_>>,
    model: Option<String>,
    id: String,
    session: &str,
    at: Timestamp,
    tokens: Tokens,
    said: Json<'_>,
    found: &mut Vec<Sighting>,
) {
    let name = model.as_deref().and_then(|model| model.rsplit('/').next());
    let usage = Usage {
        session: Some(session.to_owned()),
        reported_cost: cost.and_then(Json::usd).filter(|cost| *cost > events::Usd::default()),
        ..call(Client::Cline, maker(name), id, at, tokens)
    };
    found.push(sighting(Client::Cline, Usage { model, ..usage }, said));
}

/// Of Anthropic's protocol input is without the cache, of OpenAI's the cache is within it.
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let usage = usage.object();
    let count = |names: &[&str]| usage.any(names).and_then(Json::count);
    let (input, output) = (count(&["tokensIn", "inputTokens"]), count(&["tokensOut", "outputTokens"]));
    input.or(output)?;
    let read = count(&["cacheReads", "cacheReadTokens"]).unwrap_or(0);
    let write = count(&["cacheWrites", "cacheWriteTokens"]).unwrap_or(0);
    let is_within = usage.word("apiProtocol").is_some_and(|protocol| protocol == "openai");
    let cache = if is_within { read.saturating_add(write) } else { 0 };
    Some(Tokens {
        input: input.unwrap_or(0).saturating_sub(cache),
        cache_read: read,
        cache_write_5m: write,
        output: output.unwrap_or(0),
        ..Tokens::default()
    })
}
