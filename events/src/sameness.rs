//! Whether a row of a client's log and a call that the proxy carried are the same, where nothing names it: Gemini CLI, opencode and others
//! write no provider's id, only their own (clients-measured, section 4).
//!
//! The row is the call if the model and all tokens are equal and session or time agree. Tokens of two calls are hardly ever equal to the
//! last one, since each carries a prompt of its own length; where they are, as with a stand-in that always answers alike, each row takes one
//! call, the nearest in time, and the sums are right whichever it was.

use crate::{Certainty, MatchedBy, Source, Sources, Timestamp, Tokens, Usage};

/// How far a row's time may lie outside of the call, in microseconds. Clients stamp a row when its message begins or when it is written; the
/// waiting between tries lies before the call that came through, and what the client does with the answer behind it.
const WINDOW_MICROS: i64 = 5 * 60 * 1_000_000;
/// How far it may lie where both name the session. No more than the margin of a folding log, which refuses what is older.
const SESSION_WINDOW_MICROS: i64 = 24 * 3_600 * 1_000_000;
/// How the names end under which libraries call, which keep no log: whoever calls through one may have one.
const LIBRARIES: [&str; 7] = ["-python", "-node", "-go", "-java", "-ruby", "-php", "-sdk"];

/// What a sighting without its counterpart can be matched as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// A row that bears the client's own id.
    Row,
    /// A call that the proxy carried and no log told of.
    Carried,
}

/// Whether a name is that of a library rather than of a program.
pub(crate) fn is_library(client: &str) -> bool {
    LIBRARIES.iter().any(|ending| client.ends_with(ending))
}

/// Clients whose own estimate of a call's cost is in their log (log-formats, sections on each). OpenCode's charges reasoning twice.
/// Pi's and Cline's are not among them: Pi's equals tokens times rates, and Cline takes the cost that a provider reports.
const ESTIMATING: [&str; 6] = ["opencode", "kilo", "aider", "goose", "crush", "claude-code"];

/// Whether the reported cost of a call is only the estimate of the client whose log it is from.
pub(crate) fn estimates_cost(client: Option<&str>, sources: Sources) -> bool {
    let others = [Source::Proxy, Source::Connect, Source::Manual];
    let is_logged_only = sources.has(Source::Log) && !others.into_iter().any(|source| sources.has(source));
    is_logged_only && client.is_some_and(|client| ESTIMATING.contains(&client))
}

impl Usage {
    /// Whether its reported cost is the client's own estimate.
    pub(crate) fn estimates_cost(&self) -> bool {
        estimates_cost(self.client.as_deref(), self.sources)
    }

    /// What it can be matched as; `None` where it is whole, or says too little.
    pub(crate) fn half(&self) -> Option<Half> {
        if self.certainty != Certainty::Reported || self.tokens.total() == 0 || self.model.is_none() {
            return None;
        }
        let (carried, logged) = (self.is_carried(), self.sources.has(Source::Log));
        match (carried, logged) {
            (false, true) => self.has_clients_id().then_some(Half::Row),
            (true, false) => Some(Half::Carried),
            (true, true) | (false, false) => None,
        }
    }

    /// Whether its id is one that the client gave, as readers of logs mark it: `opencode:msg_1` of `opencode`.
    pub(crate) fn has_clients_id(&self) -> bool {
        let (Some(client), Some(id)) = (&self.client, &self.call_id) else { return false };
        id.strip_prefix(client.as_str()).is_some_and(|rest| rest.starts_with(':'))
    }

    pub(crate) fn is_carried(&self) -> bool {
        self.sources.has(Source::Proxy) || self.sources.has(Source::Connect)
    }

    /// Whether this row tells of a call that the proxy carried, and by what that is known.
    pub(crate) fn tells_of(&self, carried: &Usage) -> Option<MatchedBy> {
        let same_model = self.model.is_some() && (self.model == carried.model || self.model == carried.request_model);
        let may_be_caller = match (&self.client, &carried.client) {
            (Some(row), Some(caller)) => row == caller || is_library(caller),
            (None, _) | (_, None) => true,
        };
        if !same_model || !may_be_caller || self.device != carried.device || told(&self.tokens) != told(&carried.tokens) {
            return None;
        }
        let (by, window) = match (&self.session, &carried.session) {
            (Some(one), Some(other)) if one == other => (MatchedBy::Session, SESSION_WINDOW_MICROS),
            (Some(_), Some(_)) => return None,
            (None, _) | (_, None) => (MatchedBy::Time, WINDOW_MICROS),
        };
        let (from, until) = (carried.at.plus_micros(-window), carried.done_if_begun(carried.at).plus_micros(window));
        (from <= self.at && self.at <= until).then_some(by)
    }

    /// The row as one more sighting of the call that it tells of: without what is the client's own, its id and its guesses about provider,
    /// model and cost.
    pub(crate) fn into_sighting_of(self, carried: &Usage) -> Usage {
        Usage { call_id: None, family: carried.family.clone(), model: None, reported_cost: None, ..self }
    }
}

/// The tokens as any client tells them: not by modality, nor what of the input a cache took up, nor how many of them were reasoning. The
/// library by which opencode calls servers of OpenAI's dialect knows of no writes: they are input in its log.
pub(crate) fn told(tokens: &Tokens) -> [u64; 3] {
    let input = tokens.input.saturating_add(tokens.input_audio).saturating_add(tokens.input_image);
    let read = tokens.cache_read.saturating_add(tokens.cache_read_audio);
    [input.saturating_add(tokens.cache_writes()), read, tokens.produced()]
}

/// When a row may have been made that tells of a call at an instant, or the other way round.
pub(crate) fn around(at: Timestamp) -> (Timestamp, Timestamp) {
    // A call lasts, and either may be the one that is known.
    (at.plus_micros(-2 * SESSION_WINDOW_MICROS), at.plus_micros(2 * SESSION_WINDOW_MICROS))
}
