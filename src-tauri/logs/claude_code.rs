//! Claude Code's session files: one JSON object a line, one line per content block of a reply, each with the usage of the whole call.
//!
//! Pure: bytes of a line in, sightings out. Only counts, names, ids and times leave this file; content is skipped unparsed.
//! The format and its traps are in `reference/log-formats.md`, section 1; "rule" below is its dedup rule.

use super::Line;
use events::{Certainty, Fees, Project, Sighting, Source, Timestamp, Tokens, Usage};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use std::{borrow::Cow, sync::LazyLock};

/// Raised when this reader sees more in the same bytes than before: files read by an older one are read again.
pub(super) const VERSION: u32 = 1;

/// The longest id or name that is kept; a longer one is none.
const NAME_BYTES_MAX: usize = 512;
/// The largest usage object that is kept beside the event.
const SAID_BYTES_MAX: usize = 16 * 1024;
/// The longest text inside a kept usage object; those that Anthropic writes there are single words.
const SAID_TEXT_BYTES_MAX: usize = 64;
/// How many iterations of one message are looked at.
const ITERATIONS_MAX: usize = 1024;

static USAGE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new("\"usage\""));

/// The reader of one file, and all that it remembers from line to line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// The last time that a line named. A call without a time gets its neighbour's, which stays the same however often the file is read;
    /// one before any time in the file has the epoch. Never the clock's, nor the file's.
    last_at: Option<Timestamp>,
}

impl Reader {
    /// Reads one line. Lines without usage, and bytes that are no JSON, yield nothing.
    ///
    /// The same call comes with each of its lines; which sighting of it counts is for [`Usage::merged`] to say (rule 2: largest output).
    pub fn line(&mut self, line: Line<'_>, projects: &mut dyn FnMut(&str) -> Option<Project>, found: &mut Vec<Sighting>) {
        let has_usage = USAGE.find(line.bytes).is_some();
        if !has_usage && self.last_at.is_some() {
            return;
        }
        // Damaged text lies in content, which is skipped; the line still counts. (The lossy reading of sound text is slow, so not at once.)
        let text = std::str::from_utf8(line.bytes).map_or_else(|_| String::from_utf8_lossy(line.bytes), Cow::Borrowed);
        let Ok(row) = serde_json::from_str::<Row<'_>>(&text) else { return };
        if let Some(at) = row.at() {
            self.last_at = Some(at);
        }
        if !has_usage {
            return;
        }
        // `data.message` of a progress line tells the main session of a subagent's reply while it runs. It is a copy of a row in the
        // subagent's own file, often of an early snapshot, and is left to that file.
        self.call(&row, line, projects, found);
    }

    /// The call that a row tells of, with its advisors.
    fn call(&self, row: &Row<'_>, line: Line<'_>, projects: &mut dyn FnMut(&str) -> Option<Project>, found: &mut Vec<Sighting>) {
        let Some(message) = row.message.and_then(parse::<Message<'_>>) else { return };
        let Some(raw) = message.usage else { return };
        let Some(said) = parse::<Value>(raw) else { return };
        let Some(own_tokens) = tokens(&said) else { return };
        let model = name(message.model);
        // Written by the client itself in the place of a reply: no call was billed.
        if row.is_api_error_message.is_some_and(|raw| raw.get() == "true") || model.as_deref() == Some("<synthetic>") {
            return;
        }
        let request_id = name(row.request_id);
        // Rule 1, and rule 3: the request's id is no part of the key, because other servers omit it and side chains change it.
        let call_id = name(message.id)
            .or_else(|| request_id.clone())
            .or_else(|| name(row.uuid))
            .unwrap_or_else(|| format!("{}:{}", line.file, line.offset));
        let usage = Usage {
            at: row.at().or(self.last_at).unwrap_or_default(),
            provider: provider(&call_id).to_owned(),
            family: "anthropic".to_owned(),
            model,
            call_id: Some(call_id),
            request_id,
            client: Some("claude-code".to_owned()),
            project: name(row.cwd).and_then(|cwd| projects(&cwd)),
            session: name(row.session_id),
            branch: name(row.git_branch).filter(|branch| branch != "HEAD"),
            tier: tier(&said),
            geo: word(&said, "inference_geo").filter(|geo| geo != "not_available" && geo != "global"),
            tokens: own_tokens,
            fees: Fees { web_search: web_searches(&said) },
            certainty: Certainty::Reported,
            reported_cost: row.cost_usd.and_then(|raw| raw.get().parse().ok()).filter(|cost| *cost >= events::Usd::default()),
            sources: Source::Log.into(),
            ..Usage::default()
        };
        let is_small = raw.get().len() <= SAID_BYTES_MAX;
        // Rule 7. What an advisor and a compaction by the server consumed is not in the sum above it: calls of their own, numbered by kind
        // and named as the proxy names them (provider-usage, section 3, `iterations[]`).
        let iterations = said.get("iterations").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let (mut advisors, mut compactions) = (0, 0);
        for part in iterations.iter().take(ITERATIONS_MAX) {
            let (kind, number, model) = match part.get("type").and_then(Value::as_str) {
                // Another model's, which is not guessed where it is not named.
                Some("advisor_message") => ("advisor", &mut advisors, name(row.advisor_model)),
                Some("compaction") => ("compaction", &mut compactions, usage.model.clone()),
                _ => continue,
            };
            let id = usage.call_id.as_ref().map(|id| format!("{id}:{kind}:{number}"));
            *number += 1;
            let Some(tokens) = tokens(part) else { continue };
            let model = word(part, "model").or(model);
            let usage = Usage { model, call_id: id, tokens, fees: Fees::default(), reported_cost: None, ..usage.clone() };
            found.push(Sighting { usage, said: is_small.then(|| events::Said::from(&words_only(part.clone()))) });
        }
        found.push(Sighting { usage, said: is_small.then(|| events::Said::from(&words_only(said))) });
    }
}

/// A line, every field unparsed, so that a field of an unforeseen type costs that field and not the line (rule 10).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    request_id: Option<&'a RawValue>,
    #[serde(borrow)]
    uuid: Option<&'a RawValue>,
    #[serde(borrow)]
    session_id: Option<&'a RawValue>,
    #[serde(borrow)]
    cwd: Option<&'a RawValue>,
    #[serde(borrow)]
    git_branch: Option<&'a RawValue>,
    #[serde(borrow)]
    advisor_model: Option<&'a RawValue>,
    #[serde(borrow)]
    is_api_error_message: Option<&'a RawValue>,
    /// Until version 1.0.8.
    #[serde(borrow, rename = "costUSD")]
    cost_usd: Option<&'a RawValue>,
}

impl Row<'_> {
    fn at(&self) -> Option<Timestamp> {
        name(self.timestamp).and_then(|text| Timestamp::parse(&text))
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// A text that can be an id, a name or a path: not empty, not endless, without control characters.
fn name(raw: Option<&RawValue>) -> Option<String> {
    raw.and_then(parse::<String>).and_then(fit)
}

fn word(object: &Value, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).map(str::to_owned).and_then(fit)
}

fn fit(text: String) -> Option<String> {
    (!text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.contains(char::is_control)).then_some(text)
}

/// Anthropic counts input apart from cache reads and writes, and reasoning within output (log-formats 0.1), so the classes are disjoint
/// as they come. `None` where nothing is counted.
///
/// A write whose lifetime is not said lives five minutes, Anthropic's default.
fn tokens(said: &Value) -> Option<Tokens> {
    let count = |object: &Value, key: &str| object.get(key).and_then(Value::as_u64);
    let (input, output) = (count(said, "input_tokens"), count(said, "output_tokens"));
    let (read, written) = (count(said, "cache_read_input_tokens"), count(said, "cache_creation_input_tokens"));
    input.or(output).or(read).or(written)?;
    let of_ttl = |key| said.get("cache_creation").and_then(|split| count(split, key)).unwrap_or(0);
    let (five_minutes, one_hour) = (of_ttl("ephemeral_5m_input_tokens"), of_ttl("ephemeral_1h_input_tokens"));
    Some(Tokens {
        input: input.unwrap_or(0),
        cache_read: read.unwrap_or(0),
        cache_write_5m: five_minutes.max(written.unwrap_or(0).saturating_sub(one_hour)),
        cache_write_1h: one_hour,
        output: output.unwrap_or(0),
        reasoning: said.get("output_tokens_details").and_then(|details| count(details, "thinking_tokens")).unwrap_or(0),
        ..Tokens::default()
    })
}

/// Rule 9. Fast mode has a price of its own; otherwise the tier is what the provider calls it.
fn tier(said: &Value) -> Option<String> {
    word(said, "speed").filter(|speed| speed == "fast").or_else(|| word(said, "service_tier"))
}

fn web_searches(said: &Value) -> u32 {
    let count = said.get("server_tool_use").and_then(|tools| tools.get("web_search_requests")).and_then(Value::as_u64);
    u32::try_from(count.unwrap_or(0)).unwrap_or(u32::MAX)
}

/// Who served the call, as far as its id betrays it (log-formats 1, "Fields"). Other servers of the same API cannot be told apart here;
/// where the proxy saw the call too, it knows better.
fn provider(call_id: &str) -> &'static str {
    if call_id.starts_with("msg_bdrk_") {
        "bedrock"
    } else if call_id.starts_with("msg_vrtx_") {
        "vertex"
    } else {
        "anthropic"
    }
}

/// The usage object as it may be kept: numbers and words. A long text is not a word, and could be content.
fn words_only(mut said: Value) -> Value {
    match &mut said {
        Value::String(text) if text.len() > SAID_TEXT_BYTES_MAX => return Value::Null,
        Value::Array(items) => items.iter_mut().for_each(|item| *item = words_only(item.take())),
        Value::Object(fields) => fields.values_mut().for_each(|value| *value = words_only(value.take())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    said
}
