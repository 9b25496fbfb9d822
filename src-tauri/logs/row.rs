//! What the readers of all clients share: what earlier rows said of later ones, what may be asked beside a row, and the call that comes of it.

use super::{
    Client,
    json::{Json, Object},
    kept,
};
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
    /// What the requests counted until now, of a client that writes sums between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sum: Option<Tokens>,
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

/// How a row was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Understood {
    /// It has fields that its client writes.
    Yes,
    /// It is JSON without any such field: of another schema.
    Foreign,
    /// It is no JSON, or only a part of it.
    Broken,
}

impl Understood {
    /// The worse of two.
    #[must_use]
    pub fn and(self, other: Understood) -> Understood {
        if self == Understood::Yes { other } else { self }
    }
}

/// How the rows of a file were understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) known: u64,
    pub(super) foreign: u64,
    pub(super) broken: u64,
}

impl Seen {
    pub(super) fn note(&mut self, understood: Understood) {
        match understood {
            Understood::Yes => self.known += 1,
            Understood::Foreign => self.foreign += 1,
            Understood::Broken => self.broken += 1,
        }
    }

    /// Notes a row by its fields. Returns them where they are known.
    pub(super) fn note_by_fields<'t>(&mut self, text: &'t str, known: &[&str]) -> Option<Object<'t>> {
        let text = text.trim_matches(|sign: char| sign.is_whitespace() || sign == '\0');
        if text.is_empty() {
            return None;
        }
        let row = Json::parse(text).and_then(Json::sound_object);
        let understood = match &row {
            Some(row) if row.has_any(known) => Understood::Yes,
            Some(_) => Understood::Foreign,
            None if Json::parse(text).is_some_and(|json| !json.is_object()) => Understood::Foreign,
            None => Understood::Broken,
        };
        self.note(understood);
        row.filter(|_| understood == Understood::Yes)
    }

    pub(super) const fn rows(&self) -> u64 {
        self.known + self.foreign + self.broken
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
    /// How the rows of the file were understood until now.
    pub(super) seen: &'a mut Seen,
    /// Where former versions' keys are put, if somebody asks for them.
    pub(super) former: Option<&'a mut Vec<Former>>,
}

/// A key under which a former version recorded what a row of a log says, wrongly: twice, or with other counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// The API family of the key.
    pub family: String,
    /// The id of the key.
    pub call_id: String,
    /// The counts that were recorded; any where none are named.
    pub tokens: Option<Tokens>,
    /// The id under which the same call is known now; of the same call where it is the same id. `None` where there was no call.
    pub now: Option<String>,
}

impl Around<'_> {
    pub(super) fn project(&mut self, cwd: Option<&str>) -> Option<Project> {
        (self.projects)(cwd?)
    }

    /// The fields of a row that is an object with any of the `known` fields. `None` where it has none of them or is no object, which is
    /// counted.
    pub(super) fn row<'t>(&mut self, text: &'t str, known: &[&str]) -> Option<Object<'t>> {
        self.seen.note_by_fields(text, known)
    }

    /// What a usage object counts. One without any known field is counted as not understood.
    pub(super) fn counted(&mut self, said: Json<'_>, tokens: Option<Tokens>) -> Option<Tokens> {
        if tokens.is_none() && is_of_another_schema(said) {
            self.seen.foreign += 1;
        }
        tokens
    }

    /// Notes a key that a former version recorded.
    pub(super) fn former(&mut self, former: impl FnOnce() -> Former) {
        if let Some(all) = &mut self.former {
            all.push(former());
        }
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

/// Whether a usage object in which nothing is counted has any number in it all the same.
fn is_of_another_schema(said: Json<'_>) -> bool {
    said.object().fields().any(|(_, value)| value.count().is_some_and(|count| count > 0))
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
