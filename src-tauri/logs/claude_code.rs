//! Claude Code's session files: one JSON object a line, one line per content block of a reply, each with the usage of the whole call.
//!
//! Pure: bytes of a line in, sightings out. Only counts, names, ids and times leave this file; content is skipped unparsed.
//! The format and its traps are in `reference/log-formats.md`, section 1; "rule" below is its dedup rule.

use super::{Line, kept};
use events::{Certainty, Fees, Project, Said, Sighting, Source, Timestamp, Tokens, Usage};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::LazyLock};

/// Raised when this reader sees more in the same bytes than before: files read by an older one are read again.
pub(super) const VERSION: u32 = 1;

/// The longest id or name that is kept; a longer one is none.
const NAME_BYTES_MAX: usize = 512;
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
        let Some(counted) = parse::<UsageObject<'_>>(raw) else { return };
        let Some(own_tokens) = tokens(&counted) else { return };
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
            tier: tier(&counted),
            geo: geo(&counted),
            tokens: own_tokens,
            fees: fees(&counted),
            certainty: Certainty::Reported,
            reported_cost: row.cost_usd.and_then(|raw| raw.get().parse().ok()).filter(|cost| *cost >= events::Usd::default()),
            sources: Source::Log.into(),
            ..Usage::default()
        };
        // Rule 7. What an advisor and a compaction by the server consumed is not in the sum above it: calls of their own, numbered by kind
        // and named as the proxy names them (provider-usage, section 3, `iterations[]`).
        let iterations = counted.iterations.and_then(parse::<Vec<&RawValue>>).unwrap_or_default();
        let (mut advisors, mut compactions) = (0, 0);
        for raw in iterations.into_iter().take(ITERATIONS_MAX) {
            let Some(part) = parse::<UsageObject<'_>>(raw) else { continue };
            let Some(kind) = part.within() else { continue };
            let (number, model) = match kind {
                // Another model's, which is not guessed where it is not named.
                Within::Advisor => (&mut advisors, name(row.advisor_model)),
                Within::Compaction => (&mut compactions, usage.model.clone()),
            };
            let id = usage.call_id.as_ref().map(|id| format!("{id}:{}:{number}", kind.word()));
            *number += 1;
            let Some(tokens) = tokens(&part) else { continue };
            let model = name(part.model).or(model);
            let usage = Usage { model, call_id: id, tokens, fees: Fees::default(), reported_cost: None, ..usage.clone() };
            // How the whole was served, its parts were, and they do not say so themselves.
            let shared = [("service_tier", counted.service_tier), ("speed", counted.speed), ("inference_geo", counted.inference_geo)];
            found.push(Sighting { usage, said: kept::with(raw, &shared) });
        }
        found.push(Sighting { usage, said: kept::whole(raw) });
    }
}

/// What the reader makes today of a call that it recorded, from the usage object that it kept; `None` where nothing is counted in that.
///
/// What is not in the object stays: who, when, for what, and the cost, which stands beside it in the row. So does a tier or a place that
/// the object does not name: the rows of a call are one sighting, of which the last one's object is kept, and an earlier one may have
/// named it.
pub(crate) fn again(usage: &Usage, said: &Said) -> Option<Usage> {
    let counted: UsageObject<'_> = serde_json::from_str(said.text()).ok()?;
    let within = counted.within().filter(|kind| usage.call_id.as_deref().is_some_and(|id| id.contains(&format!(":{}:", kind.word()))));
    let (model, fees) = match within {
        Some(Within::Advisor | Within::Compaction) => (name(counted.model).or_else(|| usage.model.clone()), usage.fees),
        None => (usage.model.clone(), if counted.server_tool_use.is_some() { fees(&counted) } else { usage.fees }),
    };
    Some(Usage {
        tokens: tokens(&counted)?,
        tier: tier(&counted).or_else(|| usage.tier.clone()),
        geo: geo(&counted).or_else(|| usage.geo.clone()),
        model,
        fees,
        ..usage.clone()
    })
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

/// The usage object of a message, or one of its iterations; every field unparsed, as in a [`Row`].
#[derive(Deserialize)]
struct UsageObject<'a> {
    #[serde(borrow)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    output_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_read_input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_creation_input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_creation: Option<&'a RawValue>,
    #[serde(borrow)]
    output_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    server_tool_use: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    speed: Option<&'a RawValue>,
    #[serde(borrow)]
    inference_geo: Option<&'a RawValue>,
    #[serde(borrow)]
    iterations: Option<&'a RawValue>,
    /// Of an iteration only.
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    /// Of an iteration only.
    #[serde(borrow)]
    model: Option<&'a RawValue>,
}

impl UsageObject<'_> {
    /// What kind of call within another one it counts, if it does.
    fn within(&self) -> Option<Within> {
        match name(self.kind)?.as_str() {
            "advisor_message" => Some(Within::Advisor),
            "compaction" => Some(Within::Compaction),
            _ => None,
        }
    }
}

/// A call within a call that the sum above it leaves out.
#[derive(Clone, Copy)]
enum Within {
    Advisor,
    Compaction,
}

impl Within {
    /// The word for it in ids.
    const fn word(self) -> &'static str {
        match self {
            Within::Advisor => "advisor",
            Within::Compaction => "compaction",
        }
    }
}

/// The objects inside of a usage object, of which counts are taken.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Details<'a> {
    #[serde(borrow)]
    ephemeral_5m_input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    ephemeral_1h_input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    web_search_requests: Option<&'a RawValue>,
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// A text that can be an id, a name or a path: not empty, not endless, without control characters.
fn name(raw: Option<&RawValue>) -> Option<String> {
    raw.and_then(parse::<String>).and_then(fit)
}

fn fit(text: String) -> Option<String> {
    (!text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.contains(char::is_control)).then_some(text)
}

/// Anthropic counts input apart from cache reads and writes, and reasoning within output (log-formats 0.1), so the classes are disjoint
/// as they come. `None` where nothing is counted.
///
/// A write whose lifetime is not said lives five minutes, Anthropic's default.
fn tokens(counted: &UsageObject<'_>) -> Option<Tokens> {
    let (input, output) = (count(counted.input_tokens), count(counted.output_tokens));
    let (read, written) = (count(counted.cache_read_input_tokens), count(counted.cache_creation_input_tokens));
    input.or(output).or(read).or(written)?;
    let split = details(counted.cache_creation);
    let one_hour = count(split.ephemeral_1h_input_tokens).unwrap_or(0);
    let five_minutes = count(split.ephemeral_5m_input_tokens).unwrap_or(0);
    Some(Tokens {
        input: input.unwrap_or(0),
        cache_read: read.unwrap_or(0),
        cache_write_5m: five_minutes.max(written.unwrap_or(0).saturating_sub(one_hour)),
        cache_write_1h: one_hour,
        output: output.unwrap_or(0),
        reasoning: count(details(counted.output_tokens_details).thinking_tokens).unwrap_or(0),
        ..Tokens::default()
    })
}

/// A count; what is no whole number is none.
fn count(raw: Option<&RawValue>) -> Option<u64> {
    raw?.get().parse().ok()
}

fn details(raw: Option<&RawValue>) -> Details<'_> {
    raw.and_then(parse).unwrap_or_default()
}

/// Rule 9. Fast mode has a price of its own; otherwise the tier is what the provider calls it.
fn tier(counted: &UsageObject<'_>) -> Option<String> {
    name(counted.speed).filter(|speed| speed == "fast").or_else(|| name(counted.service_tier))
}

fn geo(counted: &UsageObject<'_>) -> Option<String> {
    name(counted.inference_geo).filter(|geo| geo != "not_available" && geo != "global")
}

fn fees(counted: &UsageObject<'_>) -> Fees {
    let searches = count(details(counted.server_tool_use).web_search_requests).unwrap_or(0);
    Fees { web_search: u32::try_from(searches).unwrap_or(u32::MAX) }
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
