//! Codex's rollouts: one JSON record a line, with the usage of each call in a record of its own, or (until 0.153) as running totals only.
//!
//! Pure: bytes of a line in, sightings out. The format and its traps are in `reference/log-formats.md`, section 2.
//!
//! A forked session repeats its parent's rows, with new times. The key of a row of totals is its totals and the session that they count
//! for: the root session of a family of forks, which go on counting from their parent's totals, or the spawned session, which counts from
//! zero. The same row is so the same call in whatever file, however often and in whatever order it is read, and spawned siblings that
//! count the same are two calls. A file may repeat its parent's `session_meta` before the rows; then they are of that session.

pub mod threads;

mod totals;

use super::{
    Client, Line,
    json::{Json, Object, text},
    row::{Around, Former, call, sighting},
};
use events::{Sighting, Timestamp, Tokens, Usage};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use totals::{Lineages, Totals};

/// How many records wait for the row of totals that repeats them.
const AWAITED_MAX: usize = 32;
/// From this version on every call has a record of its own, and rows of totals repeat them.
const RECORDS_FROM: (u32, u32) = (0, 153);
/// What a spawned session writes so soon after it began repeats its parent's rows, in microseconds: no call is answered as fast.
const REPEATED_MICROS: i64 = 1_000_000;
/// The fields of a row, of any version.
pub(super) const KNOWN: [&str; 8] = ["type", "payload", "timestamp", "record_type", "id", "instructions", "role", "content"];

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
    /// The session of the last `session_meta`.
    origin: Option<Origin>,
    /// When the session of the file began.
    begun_at: Option<Timestamp>,
    /// Every call has a record.
    has_records: bool,
    provider: Option<String>,
    cwd: Option<String>,
    branch: Option<String>,
    model: Option<String>,
    tier: Option<String>,
    lineages: Lineages,
    /// Usages of records whose row of totals is still to come.
    awaited: Vec<Totals>,
}

/// A session, as its `session_meta` names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    session: String,
    /// The session that it was forked from or spawned by.
    parent: Option<String>,
    /// Spawned sessions count from zero, since Codex 0.144; forks go on from their parent's totals.
    is_spawned: bool,
}

impl Origin {
    fn read(meta: &Object<'_>) -> Option<Origin> {
        let session = meta.any(&["id", "session_id"]).and_then(Json::word)?;
        let spawned_by = || meta.get("source")?.at(&["subagent", "thread_spawn", "parent_thread_id"]);
        let spawner = meta.get("parent_thread_id").or_else(spawned_by).and_then(Json::word).filter(|spawner| *spawner != session);
        let is_spawned = spawner.is_some();
        let parent = meta.get("forked_from_id").and_then(Json::word).filter(|parent| *parent != session).or(spawner);
        Some(Origin { session, parent, is_spawned })
    }
}

impl Reader {
    /// Reads one line. Lines without usage, and bytes that are no JSON, yield nothing.
    pub(super) fn line(&mut self, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        if !NEEDLES.iter().any(|needle| needle.find(line.bytes).is_some()) {
            return;
        }
        let text = text(line.bytes);
        let Some(row) = around.row(&text, &KNOWN) else { return };
        let (Some(kind), Some(payload)) = (row.word("type"), row.get("payload").map(Json::object)) else { return };
        // Some rows have the time of their own that the line lacks, as the meta line does.
        let own_at = row.get("timestamp").or_else(|| payload.get("timestamp")).and_then(Json::instant);
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
        let Some(origin) = Origin::read(meta) else { return };
        let (thread, parent) = (origin.session.clone(), origin.parent.clone());
        self.origin = Some(origin);
        if self.thread.is_some() {
            return;
        }
        (self.thread, self.parent) = (Some(thread), parent);
        self.begun_at = meta.get("timestamp").and_then(Json::instant).or(self.last_at);
        self.has_records = meta.word("cli_version").as_deref().and_then(version).is_some_and(|version| version >= RECORDS_FROM);
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
        let Some(usage) = record.get("usage") else { return };
        let (Some(counted), Some(tokens)) = (Totals::read(usage), around.counted(usage, tokens(usage))) else { return };
        if counted.is_nothing() {
            return;
        }
        let id = record.get("response_id").and_then(Json::id).or_else(|| {
            // Of a provider that names no answer: the thread's totals tell it from the others.
            let totals = record.get("thread_token_usage").and_then(Totals::read)?;
            let thread = record.word("thread_id").or_else(|| self.thread.clone())?;
            Some(format!("codex:{thread}:{totals}"))
        });
        let Some(id) = id else { return };
        if self.awaited.len() >= AWAITED_MAX {
            self.awaited.remove(0);
        }
        self.awaited.push(counted);
        found.push(sighting(Client::Codex, self.call(id, tokens, around), usage));
    }

    /// A row of totals (log-formats 2.2): what it adds to its lineage is a call, unless a record told of it.
    fn token_count(&mut self, payload: &Object<'_>, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let Some(info) = payload.get("info").map(Json::object) else { return };
        let last = info.get("last_token_usage").and_then(|last| around.counted(last, tokens(last)).and(Totals::read(last)));
        let total = info.get("total_token_usage").and_then(|total| around.counted(total, tokens(total)).and(Totals::read(total)));
        if last.is_none_or(|last| last.is_nothing()) && total.is_none_or(|total| total.is_nothing()) {
            return;
        }
        let thread = self.thread.as_deref().unwrap_or(line.file);
        // By the parent, which is known here even where nothing else was read of this file.
        let by_root = |total: Totals| format!("codex:{}:{total}", (around.root)(self.parent.as_deref().unwrap_or(thread)));
        let was = if around.former.is_some() { self.lineages.clone().advanced_before(last, total) } else { None };
        // A row says the usage of its record again; one of an answer that was cut says nothing, and its totals have grown by it.
        let by_last = |awaited: &Totals| last.is_some_and(|last| last.same_call(awaited));
        let grown = total.and_then(|total| self.lineages.grown_to(&total));
        let by_growth = |awaited: &Totals| grown.is_some_and(|grown| grown.same_call(awaited));
        let is_said_again = self.awaited.iter().any(by_last);
        let place = self.awaited.iter().position(by_last).or_else(|| self.awaited.iter().position(by_growth));
        let used = self.lineages.advance(last, total);
        let used = used.filter(|_| place.is_none() && !self.has_records);
        let was = was.filter(|_| !is_said_again);
        if let Some(place) = place {
            self.awaited.remove(place);
        }
        let id = match total {
            Some(total) => format!("codex:{}:{total}", self.counted_for(line.file, around)),
            // Without totals nothing tells a repeated row from a like one but its time.
            None => format!("codex:{thread}:{}:{}", self.last_at.unwrap_or_default(), used.or(was).unwrap_or_default()),
        };
        if let Some(was) = was {
            let former_id = total.map_or_else(|| id.clone(), by_root);
            if former_id != id || used != Some(was) {
                let (now, tokens) = (used.map(|_| id.clone()), Json::parse(&was.said()).and_then(tokens));
                around.former(|| Former { family: "openai".to_owned(), call_id: former_id, tokens, now });
            }
        }
        let Some(used) = used else { return };
        self.model = self.model.take().or_else(|| info.word("model"));
        let said = used.said();
        let Some(said) = Json::parse(&said) else { return };
        let Some(tokens) = tokens(said) else { return };
        found.push(sighting(Client::Codex, self.call(id, tokens, around), said));
    }

    /// The session that a row of totals counts for.
    fn counted_for(&self, file: &str, around: &Around<'_>) -> String {
        match &self.origin {
            Some(origin) if origin.is_spawned && !self.is_repeated(origin) => origin.session.clone(),
            Some(origin) => (around.root)(origin.parent.as_deref().unwrap_or(&origin.session)),
            None => (around.root)(file),
        }
    }

    /// Whether the last row was written as soon as the session of the file began.
    fn is_repeated(&self, origin: &Origin) -> bool {
        let (Some(begun_at), Some(at)) = (self.begun_at, self.last_at) else { return false };
        self.thread.as_ref() == Some(&origin.session) && at < begun_at.plus_micros(REPEATED_MICROS)
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

/// `0.153.4` and `0.169.0-alpha.1` without what follows the second number. A build of its own (`0.0.0`) tells no version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(['.', '-', '+']);
    let version = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    (version > (0, 0)).then_some(version)
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
