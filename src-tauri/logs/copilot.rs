//! Copilot CLI's sessions: its database of calls, or the events of a session, which count a run when it ends.
//!
//! Pure. The format is in `reference/log-formats.md`, section 6. No provider's id stands in it.
//!
//! Of a session that the database tells call by call, the events are passed over. Else a run and a model are one call, of which the
//! replies count the output as they come, and the end of the run counts all.

use super::{
    Client, Line,
    json::{Json, Object, text},
    row::{Around, Former, Setting, call, family, sighting},
    sqlite::Table,
};
use events::{Certainty, Sighting, Timestamp, Tokens, Usage, Usd};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a call is taken from in the database: the newest schema first, which has the provider's id.
const QUERIES: [&str; 3] = [
    "SELECT e.rowid, json_object('id', e.id, 'apiCallId', e.api_call_id, 'session', e.session_id, 'model', e.model, 'at', e.created_at, \
     'cwd', s.cwd, 'nanoAiu', e.total_nano_aiu, 'usage', json_object('inputTokens', e.input_tokens, 'outputTokens', e.output_tokens, \
     'cacheReadTokens', e.cache_read_tokens, 'cacheWriteTokens', e.cache_write_tokens, 'reasoningTokens', e.reasoning_tokens)) \
     FROM assistant_usage_events e LEFT JOIN sessions s ON s.id = e.session_id WHERE e.rowid > ?1 ORDER BY e.rowid",
    "SELECT e.rowid, json_object('id', e.id, 'session', e.session_id, 'model', e.model, 'at', e.created_at, 'cwd', s.cwd, \
     'nanoAiu', e.total_nano_aiu, 'usage', json_object('inputTokens', e.input_tokens, 'outputTokens', e.output_tokens, \
     'cacheReadTokens', e.cache_read_tokens, 'cacheWriteTokens', e.cache_write_tokens, 'reasoningTokens', e.reasoning_tokens)) \
     FROM assistant_usage_events e LEFT JOIN sessions s ON s.id = e.session_id WHERE e.rowid > ?1 ORDER BY e.rowid",
    "SELECT e.rowid, json_object('id', e.id, 'session', e.session_id, 'model', e.model, 'at', e.created_at, \
     'usage', json_object('inputTokens', e.input_tokens, 'outputTokens', e.output_tokens, \
     'cacheReadTokens', e.cache_read_tokens, 'cacheWriteTokens', e.cache_write_tokens, 'reasoningTokens', e.reasoning_tokens)) \
     FROM assistant_usage_events e WHERE e.rowid > ?1 ORDER BY e.rowid",
];
/// The tables that tell of calls.
pub(super) const TABLES: [Table; 1] = [Table { name: "assistant_usage_events", queries: &QUERIES }];
/// The fields of an event, or of a row of the database.
const KNOWN: [&str; 6] = ["type", "data", "timestamp", "id", "session", "usage"];
/// From when on what a call was billed is its cost (log-formats, section 6): 2026-06-01.
const BILLED_FROM: Timestamp = Timestamp::from_secs(1_780_272_000);
/// A billion of these are one cent.
const PICO_PER_NANO_AIU: i128 = 10;
/// How many models one run is followed by.
const MODELS_MAX: usize = 64;

/// The reader of one file, and all that it remembers from line to line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Reader {
    setting: Setting,
    /// How many runs ended before this one.
    run: u32,
    run_at: Option<Timestamp>,
    /// The models of this run in the order in which they came.
    models: Vec<Model>,
    /// The session's calls are recorded one by one: what counts them together is passed over.
    has_records: bool,
    /// What earlier runs counted, by model: the counts mostly go on when a session is resumed.
    told: BTreeMap<String, Counts>,
}

/// A model of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Model {
    name: Option<String>,
    /// The replies did not name it. It is what the session was set to, and may be another one's.
    is_guessed: bool,
    /// The output of its replies.
    output: u64,
}

/// The counts of one model, as the client writes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    reasoning: u64,
    /// How many requests they are of; 0 where nobody says.
    requests: u64,
    /// What was billed for them.
    nano_aiu: u64,
}

impl Counts {
    fn read(usage: &Object<'_>) -> Option<Counts> {
        let (input, output) = (usage.count("inputTokens"), usage.count("outputTokens"));
        input.or(output)?;
        let count = |name: &str| usage.count(name).unwrap_or(0);
        Some(Counts {
            input: input.unwrap_or(0),
            output: output.unwrap_or(0),
            cache_read: count("cacheReadTokens"),
            cache_write: count("cacheWriteTokens"),
            reasoning: count("reasoningTokens"),
            ..Counts::default()
        })
    }

    /// What came to them; `None` where they began anew.
    fn since(&self, before: &Counts) -> Option<Counts> {
        Some(Counts {
            input: self.input.checked_sub(before.input)?,
            output: self.output.checked_sub(before.output)?,
            cache_read: self.cache_read.checked_sub(before.cache_read)?,
            cache_write: self.cache_write.checked_sub(before.cache_write)?,
            reasoning: self.reasoning.checked_sub(before.reasoning)?,
            requests: self.requests.saturating_sub(before.requests),
            nano_aiu: self.nano_aiu.checked_sub(before.nano_aiu)?,
        })
    }

    fn said(&self) -> String {
        let Counts { input, output, cache_read, cache_write, reasoning, requests: _, nano_aiu: _ } = self;
        format!(
            r#"{{"inputTokens":{input},"outputTokens":{output},"cacheReadTokens":{cache_read},"cacheWriteTokens":{cache_write},"reasoningTokens":{reasoning}}}"#
        )
    }
}

impl Reader {
    pub(super) fn covers(&self) -> &BTreeMap<String, Timestamp> {
        &self.setting.covers
    }

    /// Reads an event of a session, or a row of the database.
    pub(super) fn line(&mut self, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let text = text(line.bytes);
        let Some(row) = around.row(&text, &KNOWN) else { return };
        let Some(data) = row.get("data").map(Json::object) else { return self.row(&row, around, found) };
        let at = row.get("timestamp").and_then(Json::instant);
        self.setting.at = at.or(self.setting.at);
        match row.word("type").as_deref() {
            Some("session.start" | "session.resume") => self.start(&data, around),
            Some("session.model_change") => {
                self.setting.model = data.any(&["newModel", "model"]).and_then(Json::id).or(self.setting.model.take());
            }
            Some("session.compaction_complete") if data.get("success").is_some_and(Json::is_true) => self.told.clear(),
            Some("assistant.message") => self.reply(&data, around, found),
            Some("session.usage_record") => self.record(&data, around, found),
            Some("session.shutdown") => self.end(&data, around, found),
            _ => {}
        }
    }

    fn start(&mut self, data: &Object<'_>, around: &Around<'_>) {
        let context = data.get("context").map(Json::object).unwrap_or_default();
        let setting = &mut self.setting;
        setting.session = data.word("sessionId").or(setting.session.take()).or_else(|| around.folder(1).map(str::to_owned));
        setting.cwd = context.word("cwd").or(setting.cwd.take());
        setting.branch = context.word("branch").or(setting.branch.take());
        setting.model = data.any(&["selectedModel", "model"]).or_else(|| context.get("model")).and_then(Json::id).or(setting.model.take());
    }

    fn reply(&mut self, data: &Object<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let Some(output) = data.count("outputTokens").filter(|output| *output > 0 && !self.has_records) else { return };
        // `auto` lets the server choose.
        let is_name = |model: &String| model != "auto";
        let told = data.get("model").and_then(Json::id).filter(is_name);
        let is_guessed = told.is_none();
        let model = told.or_else(|| self.setting.model.clone().filter(is_name));
        self.run_at = self.run_at.or(self.setting.at);
        let Some(at) = self.place(model.as_deref(), is_guessed) else { return };
        let told = &mut self.models[at].output;
        *told = told.saturating_add(output);
        let counts = Counts { output: *told, ..Counts::default() };
        self.tell(at, counts, Certainty::Partial, around, found);
    }

    /// The end of a run, with the counts of all of it.
    fn end(&mut self, data: &Object<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let metrics = data.get("modelMetrics").map(Json::object).unwrap_or_default();
        let named: Vec<&str> = metrics.fields().take(MODELS_MAX).map(|(model, _)| model).collect();
        // What the replies did not name is a model that the end names, and not one that it does not.
        let strangers =
            self.models.iter_mut().filter(|model| model.is_guessed && !named.contains(&model.name.as_deref().unwrap_or_default()));
        let taken: usize = if named.is_empty() { 0 } else { strangers.map(|model| model.name = None).count() };
        for (model, metric) in metrics.fields().take(MODELS_MAX) {
            let usage = metric.at(&["usage"]);
            let Some(counts) = usage.and_then(|usage| around.counted(usage, tokens(usage)).and(Counts::read(&usage.object()))) else {
                continue;
            };
            let requests = metric.at(&["requests", "count"]).and_then(Json::count).unwrap_or(0);
            let nano_aiu = metric.at(&["totalNanoAiu"]).and_then(Json::count).unwrap_or(0);
            let counts = Counts { requests, nano_aiu, ..counts };
            let Some(at) = self.place(Some(model), false) else { continue };
            // Some versions count on when a session is resumed, others begin anew: then the output is not that of the runs before and of
            // this one's replies.
            let goes_on = |before: &&Counts| counts.output >= before.output.saturating_add(self.models[at].output);
            let used = self.told.get(model).filter(goes_on).and_then(|before| counts.since(before)).unwrap_or(counts);
            self.told.insert(model.to_owned(), counts);
            if used != Counts::default() && !self.has_records {
                self.tell(at, used, Certainty::Reported, around, found);
            }
        }
        self.former_places(taken, around);
        self.run = self.run.saturating_add(1);
        (self.run_at, self.models) = (None, Vec::new());
    }

    /// Former versions counted a model that only the end names beside what the replies said of it.
    fn former_places(&self, taken: usize, around: &mut Around<'_>) {
        let Some(session) = self.setting.session.as_deref().or(around.folder(1)).map(str::to_owned) else { return };
        for extra in 0..taken {
            let call_id = format!("copilot-cli:{session}:{}:{}", self.run, self.models.len() + extra);
            around.former(|| Former { family: family("copilot").to_owned(), call_id, tokens: None, now: None });
        }
    }

    /// A call's own record.
    fn record(&mut self, data: &Object<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let inner = data.get("usage").map(Json::object);
        let from = inner.as_ref().filter(|usage| usage.has_any(&["inputTokens", "outputTokens"])).unwrap_or(data);
        let Some(counts) = Counts::read(from).filter(|counts| *counts != Counts::default()) else { return };
        let Some(session) = self.setting.session.as_deref().or(around.folder(1)).map(str::to_owned) else { return };
        let time = self.setting.at.unwrap_or_default();
        self.has_records = true;
        if (around.covered)(&session, time) {
            return;
        }
        let said = counts.said();
        let Some(said) = Json::parse(&said) else { return };
        let model = data.any(&["model", "modelId"]).and_then(Json::id).or_else(|| self.setting.model.clone());
        let id = data.get("apiCallId").and_then(Json::id);
        let billed = data.any(&["totalNanoAiu", "nanoAiu"]).and_then(Json::count);
        let id = id.unwrap_or_else(|| format!("copilot-cli:{session}:{}:{}-{}", time.micros(), counts.input, counts.output));
        let family = if id.starts_with("msg_") { "anthropic" } else { family("copilot") };
        let usage = Usage {
            model,
            project: around.project(self.setting.cwd.as_deref()),
            session: Some(session),
            branch: self.setting.branch.clone(),
            family: family.to_owned(),
            reported_cost: billed.and_then(|nano| billed_usd(nano, time)),
            ..call(Client::CopilotCli, "copilot", id, time, tokens(said).unwrap_or_default())
        };
        found.push(sighting(Client::CopilotCli, usage, said));
    }

    /// Which model of the run it is. Replies whose model is not known are of the first that comes to be.
    fn place(&mut self, model: Option<&str>, is_guessed: bool) -> Option<usize> {
        let known = |known: &Model| known.name.as_deref() == model;
        let nameless = || self.models.iter().position(|model| model.name.is_none());
        if let Some(at) = self.models.iter().position(known).or_else(nameless) {
            let found = &mut self.models[at];
            found.name = found.name.take().or_else(|| model.map(str::to_owned));
            found.is_guessed &= is_guessed;
            return Some(at);
        }
        let fresh = Model { name: model.map(str::to_owned), is_guessed, output: 0 };
        (self.models.len() < MODELS_MAX).then(|| self.models.push(fresh))?;
        Some(self.models.len() - 1)
    }

    fn tell(&self, at: usize, counts: Counts, certainty: Certainty, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let Setting { session, cwd, branch, .. } = &self.setting;
        let Some(session) = session.as_deref().or(around.folder(1)).map(str::to_owned) else { return };
        let time = self.run_at.or(self.setting.at).unwrap_or_default();
        if (around.covered)(&session, time) {
            return;
        }
        let said = counts.said();
        let (Some(said), model) = (Json::parse(&said), self.models[at].name.clone()) else { return };
        let id = format!("copilot-cli:{session}:{}:{at}", self.run);
        let usage = Usage {
            model,
            project: around.project(cwd.as_deref()),
            session: Some(session),
            branch: branch.clone(),
            certainty,
            reported_cost: billed_usd(counts.nano_aiu, time),
            requests: Some(u32::try_from(counts.requests).unwrap_or(u32::MAX)),
            ..call(Client::CopilotCli, "copilot", id, time, tokens(said).unwrap_or_default())
        };
        found.push(sighting(Client::CopilotCli, usage, said));
    }

    /// A call as the database keeps it.
    fn row(&mut self, row: &Object<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let (Some(id), Some(said)) = (row.word("id"), row.get("usage")) else { return };
        let Some(tokens) = around.counted(said, tokens(said)) else { return };
        let at = row.get("at").and_then(Json::instant);
        let (session, at) = (row.word("session"), self.setting.at(at));
        if let Some(session) = &session {
            self.setting.cover(session, at);
        }
        // A number counts the rows of one database, and begins at 1 in every other one.
        let is_number = id.bytes().all(|digit| digit.is_ascii_digit());
        let by_row = match &session {
            Some(session) if is_number => format!("copilot-cli:{session}:row:{id}"),
            None if is_number => format!("copilot-cli:{}:{}-{}-{}:{id}", at.micros(), tokens.input, tokens.cache_read, tokens.output),
            Some(_) | None => format!("copilot-cli:{id}"),
        };
        let key = row.get("apiCallId").and_then(Json::id).unwrap_or(by_row);
        let of_key = if key.starts_with("msg_") { "anthropic" } else { family("copilot") };
        let former = format!("copilot-cli:{id}");
        if former != key {
            let now = Some(key.clone());
            around.former(|| Former { family: family("copilot").to_owned(), call_id: former, tokens: Some(tokens), now });
        }
        let usage = Usage {
            model: row.word("model"),
            project: around.project(row.word("cwd").as_deref()),
            session,
            family: of_key.to_owned(),
            reported_cost: row.count("nanoAiu").and_then(|nano| billed_usd(nano, at)),
            ..call(Client::CopilotCli, "copilot", key, at, tokens)
        };
        found.push(sighting(Client::CopilotCli, usage, said));
    }
}

/// What was billed, once that is known.
fn billed_usd(nano_aiu: u64, at: Timestamp) -> Option<Usd> {
    (nano_aiu > 0 && at >= BILLED_FROM).then(|| Usd::from_pico(i128::from(nano_aiu) * PICO_PER_NANO_AIU))
}

/// Copilot counts cache reads and writes within input, and reasoning within output (log-formats 0.1).
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let Counts { input, output, cache_read, cache_write, reasoning, requests: _, nano_aiu: _ } = Counts::read(&usage.object())?;
    Some(Tokens {
        input: input.saturating_sub(cache_read).saturating_sub(cache_write),
        cache_read,
        cache_write_5m: cache_write,
        output,
        reasoning,
        ..Tokens::default()
    })
}
