//! Tasks of Cline, Roo and Kilo Code in editors, and sessions of Cline's command line: JSON documents that are rewritten.
//!
//! Pure. The format is in `reference/log-formats.md`, section 11.

use super::{
    Client, Line,
    json::{Json, Object, text},
    row::{Around, Understood, call, maker, sighting},
};
use events::{Sighting, Timestamp, Tokens, Usage, Usd};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many requests of one task are remembered.
const REQUESTS_MAX: usize = 65_536;
/// The fields of a message of a task.
const KNOWN: [&str; 6] = ["say", "ask", "type", "ts", "text", "metrics"];

/// The reader of one document, and what it saw in it before.
///
/// A restored checkpoint removes messages, and says in one of its own what their requests used. That counts as far as they were not seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Reader {
    /// The requests, by their time in microseconds.
    requests: BTreeMap<i64, Request>,
}

/// A request of a task, or what removed ones used together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Request {
    used: Used,
    /// A message about removed requests has it in it.
    is_removed: bool,
    /// Of such a message: what of it was not seen before.
    unseen: Option<Used>,
}

/// Counts of the client's, as it writes them, with what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Used {
    input: u64,
    output: u64,
    reads: u64,
    writes: u64,
    cost: Usd,
}

impl Used {
    fn read(said: Json<'_>) -> Used {
        let object = said.object();
        let count = |name: &str| object.count(name).unwrap_or(0);
        let cost = object.get("cost").and_then(Json::usd).unwrap_or_default();
        Used { input: count("tokensIn"), output: count("tokensOut"), reads: count("cacheReads"), writes: count("cacheWrites"), cost }
    }

    fn less(self, other: Used) -> Used {
        Used {
            input: self.input.saturating_sub(other.input),
            output: self.output.saturating_sub(other.output),
            reads: self.reads.saturating_sub(other.reads),
            writes: self.writes.saturating_sub(other.writes),
            cost: if self.cost > other.cost { self.cost - other.cost } else { Usd::default() },
        }
    }

    fn said(&self) -> String {
        let Used { input, output, reads, writes, cost } = self;
        format!(r#"{{"tokensIn":{input},"tokensOut":{output},"cacheReads":{reads},"cacheWrites":{writes},"cost":{cost}}}"#)
    }
}

impl Reader {
    /// Reads a whole document: an editor's list of messages, or the command line's session.
    pub(super) fn line(&mut self, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let text = text(line.bytes);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let Some(json) = Json::parse(text) else { return around.seen.note(Understood::Broken) };
        if !json.is_object() {
            return self.of_editor(json, around, found);
        }
        let Some(session) = around.row(text, &["messages", "id", "sessionId", "metadata"]) else { return };
        if let Some(messages) = session.get("messages") {
            of_command_line(&session, messages, line, around, found);
        }
    }

    fn of_editor(&mut self, messages: Json<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let Some(task) = around.folder(1).map(str::to_owned) else { return };
        let (mut task_model, mut last_at) = (None, None);
        let mut present = Vec::new();
        let mut rows = 0;
        for raw in messages.items() {
            rows += 1;
            let Some(message) = around.row(raw.raw(), &KNOWN) else { continue };
            let at = message.get("ts").and_then(Json::instant).or(last_at);
            last_at = at;
            let kind = message.word("say").unwrap_or_default();
            if !matches!(kind.as_str(), "api_req_started" | "subagent_usage" | "deleted_api_reqs") {
                continue;
            }
            let Some(inner) = message.get("text").and_then(Json::text) else { continue };
            let Some(said) = Json::parse(&inner) else { continue };
            let Some(counted) = around.counted(said, tokens(said)).filter(|tokens| tokens.total() > 0) else { continue };
            let request = said.object();
            let info = message.get("modelInfo").map(Json::object).unwrap_or_default();
            let model = request.word("model").or_else(|| info.word("modelId"));
            let model = model.or_else(|| task_model.get_or_insert_with(|| named_beside(around)).clone());
            let at = at.unwrap_or_default();
            present.push(at.micros());
            // A message's place shifts when the task is edited; its time stays.
            let id = |kind: &str| format!("cline:{task}:{kind}{}", at.micros());
            match kind.as_str() {
                "deleted_api_reqs" => {
                    let unseen = self.unseen(at, Used::read(said), &present).said();
                    let Some(unseen) = Json::parse(&unseen) else { continue };
                    if let Some(tokens) = tokens(unseen).filter(|tokens| tokens.total() > 0) {
                        tell(unseen.at(&["cost"]), model, id("removed:"), &task, at, tokens, unseen, found);
                    }
                    continue;
                }
                // What a batch of subagents used together.
                "subagent_usage" => tell(request.get("cost"), model, id("subagents:"), &task, at, counted, said, found),
                _ => tell(request.get("cost"), model, id(""), &task, at, counted, said, found),
            }
            self.see(at, Request { used: Used::read(said), ..Request::default() });
        }
        if rows == 0 && messages.raw() != "[]" {
            around.seen.note(Understood::Foreign);
        }
    }

    fn see(&mut self, at: Timestamp, request: Request) {
        if self.requests.len() < REQUESTS_MAX || self.requests.contains_key(&at.micros()) {
            let known = self.requests.entry(at.micros()).or_default();
            *known = Request { is_removed: known.is_removed, unseen: request.unseen.or(known.unseen), ..request };
        }
    }

    /// What removed requests used that were not seen before. `present` are those that still stand before the message.
    fn unseen(&mut self, at: Timestamp, used: Used, present: &[i64]) -> Used {
        if let Some(unseen) = self.requests.get(&at.micros()).and_then(|known| known.unseen) {
            return unseen;
        }
        let mut unseen = used;
        let before = self.requests.range_mut(..at.micros());
        for (_, request) in before.filter(|(at, request)| !request.is_removed && !present.contains(at)) {
            request.is_removed = true;
            unseen = unseen.less(request.used);
        }
        self.see(at, Request { used, is_removed: false, unseen: Some(unseen) });
        unseen
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

fn of_command_line(session: &Object<'_>, messages: Json<'_>, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let name = session.any(&["id", "sessionId"]).and_then(Json::word);
    let name = name.unwrap_or_else(|| line.file.strip_suffix(".messages").unwrap_or(line.file).to_owned());
    for (place, message) in messages.items().enumerate() {
        let message = message.object();
        let Some(said) = message.get("metrics") else { continue };
        let Some(tokens) = around.counted(said, tokens(said)).filter(|tokens| tokens.total() > 0) else { continue };
        let model = message.get("modelInfo").and_then(|info| info.object().any(&["id", "modelId"])).and_then(Json::word);
        let at = message.any(&["ts", "timestamp"]).and_then(Json::instant).unwrap_or_default();
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
