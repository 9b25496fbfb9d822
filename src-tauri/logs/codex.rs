//! Codex's rollouts: one JSON record a line, with the usage of each call in a record of its own, or (until 0.153) as running totals only.
//!
//! Pure: bytes of a line in, sightings out. The format and its traps are in `reference/log-formats.md`, section 2.
//!
//! A forked or spawned session repeats its parent's rows, with new times. What a row of totals tells has the root session and the totals
//! for its key, so that the same row is the same call in whatever file, however often and in whatever order it is read; nothing is left
//! out by a guess where the repetition ends.

pub mod threads;

mod totals;

use super::{
    Client, Line,
    json::{Json, Object, text},
    row::{Around, call, sighting},
};
use events::{Sighting, Timestamp, Tokens, Usage};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use totals::{Lineages, Totals};

/// How many records wait for the row of totals that repeats them.
const AWAITED_MAX: usize = 32;

/// What stands in every line that is read.
static NEEDLES: LazyLock<[memmem::Finder<'static>; 4]> =
    LazyLock::new(|| ["\"token_", "turn_context", "session_meta", "thread_settings_applied"].map(memmem::Finder::new));

/// What a line must have one of to be read.
pub(super) fn needles() -> &'static [memmem::Finder<'static>] {
    &*NEEDLES
}

/// The reader of one rollout, and all that it remembers from line to line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Reader {
    last_at: Option<Timestamp>,
    /// The session that the file is of: that of its first `session_meta`. Later ones are ancestors', repeated.
    thread: Option<String>,
    /// The session that it was forked from or spawned by.
    parent: Option<String>,
    provider: Option<String>,
    cwd: Option<String>,
    branch: Option<String>,
    model: Option<String>,
    tier: Option<String>,
    lineages: Lineages,
    /// Usages of records whose row of totals is still to come.
    awaited: Vec<Totals>,
}

impl Reader {
    /// Reads one line. Lines without usage, and bytes that are no JSON, yield nothing.
    pub(super) fn line(&mut self, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        if !NEEDLES.iter().any(|needle| needle.find(line.bytes).is_some()) {
            return;
        }
        let text = text(line.bytes);
        let Some(row) = Json::parse(&text).map(Json::object) else { return };
        let (Some(kind), Some(payload)) = (row.word("type"), row.get("payload").map(Json::object)) else { return };
        let own_at = row.get("timestamp").and_then(Json::time);
        self.last_at = own_at.or(self.last_at);
        match kind.as_str() {
            "session_meta" => self.session(&payload),
            "turn_context" => self.turn(&payload),
            "token_usage_record" => self.record(&payload, around, found),
            "event_msg" => match payload.word("type").as_deref() {
                Some("token_count") => self.token_count(&payload, line, around, found),
                Some("thread_settings_applied") => self.settings(&payload),
                _ => {}
            },
            _ => {}
        }
    }

    /// The session of the file and its parent.
    pub(super) fn parent(&self) -> Option<(&str, &str)> {
        Some((self.thread.as_deref()?, self.parent.as_deref()?))
    }

    fn session(&mut self, meta: &Object<'_>) {
        if self.thread.is_some() {
            return;
        }
        self.thread = meta.any(&["id", "session_id"]).and_then(Json::word);
        let spawned_by = || meta.get("source")?.at(&["subagent", "thread_spawn", "parent_thread_id"]);
        self.parent = meta.any(&["forked_from_id", "parent_thread_id"]).or_else(spawned_by).and_then(Json::word);
        if self.parent == self.thread {
            self.parent = None;
        }
        self.provider = meta.word("model_provider");
        self.cwd = meta.word("cwd");
        self.branch = meta.get("git").and_then(|git| git.at(&["branch"])).and_then(Json::word);
    }

    fn turn(&mut self, turn: &Object<'_>) {
        self.model = turn.word("model").or(self.model.take());
        self.cwd = turn.word("cwd").or(self.cwd.take());
    }

    /// How later calls are served. The client's configuration is of today and says nothing of the past (log-formats 2.2, rule 8).
    fn settings(&mut self, payload: &Object<'_>) {
        let Some(settings) = payload.get("thread_settings").map(Json::object) else { return };
        self.model = settings.word("model").or(self.model.take());
        self.tier = settings.word("service_tier");
    }

    /// A call's own record (log-formats 2.1). The sums beside its usage are of turn and thread.
    fn record(&mut self, record: &Object<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let (Some(id), Some(usage)) = (record.get("response_id").and_then(Json::id), record.get("usage")) else { return };
        let (Some(counted), Some(tokens)) = (Totals::read(usage), tokens(usage)) else { return };
        if self.awaited.len() >= AWAITED_MAX {
            self.awaited.remove(0);
        }
        self.awaited.push(counted);
        found.push(sighting(Client::Codex, self.call(id, tokens, around), usage));
    }

    /// A row of totals (log-formats 2.2): what it adds to its lineage is a call, unless a record told of it.
    fn token_count(&mut self, payload: &Object<'_>, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let Some(info) = payload.get("info").map(Json::object) else { return };
        let last = info.get("last_token_usage").and_then(Totals::read);
        let total = info.get("total_token_usage").and_then(Totals::read);
        if last.is_none_or(|last| last.is_nothing()) && total.is_none_or(|total| total.is_nothing()) {
            return;
        }
        let Some(used) = self.lineages.advance(last, total) else { return };
        if let Some(at) = self.awaited.iter().position(|awaited| last.is_some_and(|last| last.same_call(awaited))) {
            self.awaited.remove(at);
            return;
        }
        let thread = self.thread.as_deref().unwrap_or(line.file);
        let id = match total {
            // By the parent, which is known here even where nothing else was read of this file.
            Some(total) => format!("codex:{}:{total}", (around.root)(self.parent.as_deref().unwrap_or(thread))),
            // Without totals nothing tells a repeated row from a like one but its time.
            None => format!("codex:{thread}:{}:{used}", self.last_at.unwrap_or_default()),
        };
        self.model = self.model.take().or_else(|| info.word("model"));
        let said = used.said();
        let Some(said) = Json::parse(&said) else { return };
        let Some(tokens) = tokens(said) else { return };
        found.push(sighting(Client::Codex, self.call(id, tokens, around), said));
    }

    fn call(&self, id: String, tokens: Tokens, around: &mut Around<'_>) -> Usage {
        Usage {
            family: "openai".to_owned(),
            model: self.model.clone(),
            project: around.project(self.cwd.as_deref()),
            session: self.thread.clone(),
            branch: self.branch.clone().filter(|branch| branch != "HEAD"),
            tier: self.tier.clone(),
            ..call(Client::Codex, self.provider.as_deref().unwrap_or("openai"), id, self.last_at.unwrap_or_default(), tokens)
        }
    }
}

/// OpenAI counts cache reads and writes within input, and reasoning within output (log-formats 0.1).
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let counted = Totals::read(usage)?;
    Some(Tokens {
        input: counted.input.saturating_sub(counted.cached).saturating_sub(counted.cache_write),
        cache_read: counted.cached,
        cache_write_30m: counted.cache_write,
        output: counted.output,
        reasoning: counted.reasoning,
        ..Tokens::default()
    })
}
