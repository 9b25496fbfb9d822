//! Copilot CLI's sessions: its database of calls, or the events of a session, which count a run when it ends.
//!
//! Pure. The format is in `reference/log-formats.md`, section 6. No provider's id stands in it.
//!
//! Of a session that the database tells call by call, the events are passed over. Else a run and a model are one call, of which the
//! replies count the output as they come, and the end of the run counts all.

use super::{
    Client, Line,
    json::{Json, Object, text, written_plainly},
    row::{Around, Setting, call, sighting},
};
use events::{Certainty, Sighting, Timestamp, Tokens, Usage, Usd};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a call is taken from in the database: the newest schema first.
pub(super) const QUERIES: [&str; 2] = [
    "SELECT e.rowid, json_object('id', e.id, 'session', e.session_id, 'model', e.model, 'at', e.created_at, 'cwd', s.cwd, \
     'nanoAiu', e.total_nano_aiu, 'usage', json_object('inputTokens', e.input_tokens, 'outputTokens', e.output_tokens, \
     'cacheReadTokens', e.cache_read_tokens, 'cacheWriteTokens', e.cache_write_tokens, 'reasoningTokens', e.reasoning_tokens)) \
     FROM assistant_usage_events e LEFT JOIN sessions s ON s.id = e.session_id WHERE e.rowid > ?1 ORDER BY e.rowid",
    "SELECT e.rowid, json_object('id', e.id, 'session', e.session_id, 'model', e.model, 'at', e.created_at, \
     'usage', json_object('inputTokens', e.input_tokens, 'outputTokens', e.output_tokens, \
     'cacheReadTokens', e.cache_read_tokens, 'cacheWriteTokens', e.cache_write_tokens, 'reasoningTokens', e.reasoning_tokens)) \
     FROM assistant_usage_events e WHERE e.rowid > ?1 ORDER BY e.rowid",
];
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
    /// The models of this run in the order in which they came, with the output of their replies. A reply that names none is the first's.
    models: Vec<(Option<String>, u64)>,
    /// What earlier runs counted, by model: the counts mostly go on when a session is resumed.
    told: BTreeMap<String, Counts>,
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
            requests: 0,
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
        })
    }

    fn said(&self) -> String {
        let Counts { input, output, cache_read, cache_write, reasoning, requests: _ } = self;
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
        let Some(row) = Json::parse(&text).map(Json::object) else { return };
        let Some(data) = row.get("data").map(Json::object) else { return self.row(&row, around, found) };
        let at = row.get("timestamp").and_then(Json::time);
        self.setting.at = at.or(self.setting.at);
        match row.word("type").as_deref() {
            Some("session.start" | "session.resume") => self.start(&data, around),
            Some("session.model_change") => self.setting.model = data.word("newModel").or(self.setting.model.take()),
            Some("session.compaction_complete") if data.get("success").is_some_and(Json::is_true) => self.told.clear(),
            Some("assistant.message") => self.reply(&data, around, found),
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
        setting.model = data.any(&["selectedModel", "model"]).or_else(|| context.get("model")).and_then(Json::id);
    }

    fn reply(&mut self, data: &Object<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let Some(output) = data.count("outputTokens").filter(|output| *output > 0) else { return };
        let model = data.get("model").and_then(Json::id).or_else(|| self.setting.model.clone());
        self.run_at = self.run_at.or(self.setting.at);
        let Some(at) = self.place(model.as_deref()) else { return };
        let told = &mut self.models[at].1;
        *told = told.saturating_add(output);
        let counts = Counts { output: *told, ..Counts::default() };
        self.tell(at, counts, Certainty::Partial, around, found);
    }

    /// The end of a run, with the counts of all of it.
    fn end(&mut self, data: &Object<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let metrics = data.get("modelMetrics").map(Json::object).unwrap_or_default();
        for (model, metric) in metrics.fields().take(MODELS_MAX) {
            let Some(counts) = metric.at(&["usage"]).and_then(|usage| Counts::read(&usage.object())) else { continue };
            let requests = metric.at(&["requests", "count"]).and_then(Json::count).unwrap_or(0);
            let counts = Counts { requests, ..counts };
            let Some(at) = self.place(Some(model)) else { continue };
            // Some versions count on when a session is resumed, others begin anew: then the output is not that of the runs before and of
            // this one's replies.
            let goes_on = |before: &&Counts| counts.output >= before.output.saturating_add(self.models[at].1);
            let used = self.told.get(model).filter(goes_on).and_then(|before| counts.since(before)).unwrap_or(counts);
            self.told.insert(model.to_owned(), counts);
            if used != Counts::default() {
                self.tell(at, used, Certainty::Reported, around, found);
            }
        }
        self.run = self.run.saturating_add(1);
        (self.run_at, self.models) = (None, Vec::new());
    }

    /// Which model of the run it is. Replies whose model is not known are of the first that comes to be.
    fn place(&mut self, model: Option<&str>) -> Option<usize> {
        let known = |known: &(Option<String>, u64)| known.0.as_deref() == model;
        let nameless = || self.models.iter().position(|(name, _)| name.is_none());
        if let Some(at) = self.models.iter().position(known).or_else(nameless) {
            self.models[at].0 = self.models[at].0.take().or_else(|| model.map(str::to_owned));
            return Some(at);
        }
        (self.models.len() < MODELS_MAX).then(|| self.models.push((model.map(str::to_owned), 0)))?;
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
        let (Some(said), model) = (Json::parse(&said), self.models[at].0.clone()) else { return };
        let id = format!("copilot-cli:{session}:{}:{at}", self.run);
        let usage = Usage {
            model,
            project: around.project(cwd.as_deref()),
            session: Some(session),
            branch: branch.clone(),
            certainty,
            requests: Some(u32::try_from(counts.requests).unwrap_or(u32::MAX)),
            ..call(Client::CopilotCli, "copilot", id, time, tokens(said).unwrap_or_default())
        };
        found.push(sighting(Client::CopilotCli, usage, said));
    }

    /// A call as the database keeps it.
    fn row(&mut self, row: &Object<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let (Some(id), Some(said)) = (row.word("id"), row.get("usage")) else { return };
        let Some(tokens) = tokens(said) else { return };
        let at = row.get("at").and_then(|at| at.time().or_else(|| written_plainly(at)).or_else(|| at.millis()));
        let (session, at) = (row.word("session"), self.setting.at(at));
        if let Some(session) = &session {
            self.setting.cover(session, at);
        }
        let billed = row.count("nanoAiu").filter(|nano| *nano > 0 && at >= BILLED_FROM);
        let usage = Usage {
            model: row.word("model"),
            project: around.project(row.word("cwd").as_deref()),
            session,
            reported_cost: billed.map(|nano| Usd::from_pico(i128::from(nano) * PICO_PER_NANO_AIU)),
            ..call(Client::CopilotCli, "copilot", format!("copilot-cli:{id}"), at, tokens)
        };
        found.push(sighting(Client::CopilotCli, usage, said));
    }
}

/// Copilot counts cache reads and writes within input, and reasoning within output (log-formats 0.1).
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let Counts { input, output, cache_read, cache_write, reasoning, requests: _ } = Counts::read(&usage.object())?;
    Some(Tokens {
        input: input.saturating_sub(cache_read).saturating_sub(cache_write),
        cache_read,
        cache_write_5m: cache_write,
        output,
        reasoning,
        ..Tokens::default()
    })
}
