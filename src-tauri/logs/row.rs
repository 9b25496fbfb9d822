//! What the readers of all clients share: what earlier rows said of later ones, what may be asked beside a row, and the call that comes of it.

use super::{Client, json::Json, kept};
use events::{Certainty, Project, Sighting, Source, Timestamp, Tokens, Usage};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// How many sessions one file is remembered to cover.
const COVERED_MAX: usize = 65_536;

/// What earlier rows of a file said that holds for later ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Setting {
    /// The last time that a row named: a row without one has its neighbour's, never the clock's.
    pub(super) at: Option<Timestamp>,
    pub(super) session: Option<String>,
    pub(super) cwd: Option<String>,
    pub(super) branch: Option<String>,
    pub(super) model: Option<String>,
    pub(super) provider: Option<String>,
    /// The sessions that this file tells of call by call, and from when on.
    #[serde(rename = "covers_from", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) covers: BTreeMap<String, Timestamp>,
}

impl Setting {
    /// The row's own time, which its followers have too where they name none.
    pub(super) fn at(&mut self, own: Option<Timestamp>) -> Timestamp {
        self.at = own.or(self.at);
        self.at.unwrap_or_default()
    }

    pub(super) fn cover(&mut self, session: &str, at: Timestamp) {
        let has_room = self.covers.len() < COVERED_MAX;
        match self.covers.get_mut(session) {
            Some(from) => *from = at.min(*from),
            None if has_room => {
                self.covers.insert(session.to_owned(), at);
            }
            None => {}
        }
    }
}

/// What a reader may ask beside its row. The answers come from outside, so that readers do no input of their own.
pub(super) struct Around<'a> {
    /// Where the file lies.
    pub(super) path: &'a Path,
    /// The project of a working folder.
    pub(super) projects: &'a mut dyn FnMut(&str) -> Option<Project>,
    /// The first of the sessions from which a session was copied.
    pub(super) root: &'a dyn Fn(&str) -> String,
    /// Whether another file tells of the session call by call at that time.
    pub(super) covered: &'a dyn Fn(&str, Timestamp) -> bool,
    /// The beginning of a file in the folder so many steps above: one for the file's own.
    pub(super) near: &'a dyn Fn(usize, &str) -> Option<String>,
}

impl Around<'_> {
    pub(super) fn project(&mut self, cwd: Option<&str>) -> Option<Project> {
        (self.projects)(cwd?)
    }

    /// The name of the folder so many steps above the file.
    pub(super) fn folder(&self, steps: usize) -> Option<&str> {
        self.path.ancestors().nth(steps)?.file_name()?.to_str()
    }
}

/// A call that a client's log tells of, to be completed by its reader. `id` is the provider's, or made of what the client never gives twice.
pub(super) fn call(client: Client, provider: &str, id: String, at: Timestamp, tokens: Tokens) -> Usage {
    Usage {
        at,
        provider: provider.to_owned(),
        family: family(provider).to_owned(),
        call_id: Some(id),
        client: Some(client.name().to_owned()),
        tokens,
        certainty: Certainty::Reported,
        sources: Source::Log.into(),
        ..Usage::default()
    }
}

/// With the usage object in the client's words, by which the call can be counted again.
pub(super) fn sighting(client: Client, usage: Usage, said: Json<'_>) -> Sighting {
    Sighting { usage: usage.into(), said: kept::of(client.name(), said) }
}

/// The API that a provider speaks, by what clients call it. Most speak OpenAI's.
pub(super) fn family(provider: &str) -> &'static str {
    let is = |word: &str| provider.contains(word);
    if is("anthropic") || is("bedrock") || is("claude") {
        "anthropic"
    } else if is("google") || is("gemini") || is("vertex") {
        "gemini"
    } else {
        "openai"
    }
}

/// Who serves a model, by its name, where the log does not say: the makers' own names only, so that nobody else is guessed.
pub(super) fn maker(model: Option<&str>) -> &'static str {
    match model.and_then(events::maker_of_model) {
        Some("google") => "gemini",
        Some(maker) => maker,
        None => "unknown",
    }
}
