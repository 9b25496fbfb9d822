//! Where in a row what stands: a list of places for each field, of which the first counts that has something.

use super::super::json::Json;
use events::{Timestamp, Usd};
use std::str::FromStr;

/// How deep a place may lie.
const STEPS_MAX: usize = 16;
/// What of a call can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The model.
    Model,
    /// Who was called.
    Provider,
    /// Tokens that went in.
    Input,
    /// Tokens that came out.
    Output,
    /// Tokens read from a cache.
    CacheRead,
    /// Tokens written to a cache, of whatever life.
    CacheWrite,
    /// Of those: for five minutes.
    CacheWrite5m,
    /// Of those: for an hour.
    CacheWrite1h,
    /// Tokens of reasoning.
    Reasoning,
    /// The cost that was reported.
    Cost,
    /// The provider's id of the answer, or the log's own.
    Id,
    /// When the call began.
    At,
    /// The session.
    Session,
    /// The project.
    Project,
    /// The program.
    Client,
    /// How it was served.
    Tier,
}

impl Field {
    const ALL: [(&'static str, Field); 16] = [
        ("model", Field::Model),
        ("provider", Field::Provider),
        ("input", Field::Input),
        ("output", Field::Output),
        ("cache_read", Field::CacheRead),
        ("cache_write", Field::CacheWrite),
        ("cache_write_5m", Field::CacheWrite5m),
        ("cache_write_1h", Field::CacheWrite1h),
        ("reasoning", Field::Reasoning),
        ("cost", Field::Cost),
        ("id", Field::Id),
        ("at", Field::At),
        ("session", Field::Session),
        ("project", Field::Project),
        ("client", Field::Client),
        ("tier", Field::Tier),
    ];
}

/// One place of one field, as the command line says it: `input=usage.prompt_tokens`; `provider==openai` for what is the same in every row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    field: Field,
    path: String,
}

impl Place {
    pub(super) fn new(field: Field, path: &str) -> Place {
        Place { field, path: path.to_owned() }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let (name, path) = text.split_once('=').ok_or_else(|| format!("{text:?} is not like input=usage.prompt_tokens"))?;
        let field = Field::ALL.iter().find(|(known, _)| *known == name.trim()).map(|(_, field)| *field);
        let names = || Field::ALL.map(|(name, _)| name).join(", ");
        let field = field.ok_or_else(|| format!("{name:?} is none of {}", names()))?;
        if path.is_empty() || path.split('.').count() > STEPS_MAX {
            return Err(format!("{path:?} is no place in a row"));
        }
        Ok(Place::new(field, path))
    }
}

/// Where in a row what stands, and what the counts include.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    /// The places, the first of a field that has something counts.
    pub places: Vec<Place>,
    /// Whether input includes what was read from and written to a cache; by the provider's rule where it is not said.
    pub input_includes_cache: Option<bool>,
    /// Whether reasoning stands beside output; by the provider's rule where it is not said.
    pub reasoning_is_beside: Option<bool>,
}

impl Map {
    pub(super) fn word(&self, field: Field, row: &str) -> Option<String> {
        self.first(field, row, |raw| raw.word().map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()))
    }

    pub(super) fn count(&self, field: Field, row: &str) -> Option<u64> {
        self.first(field, row, |raw| match raw.text() {
            // In a table every number is a text, perhaps with its thousands apart.
            Some(text) => {
                let digits: String = text.trim().chars().filter(|sign| *sign != ',').collect();
                Json::parse(&digits)?.count()
            }
            None => raw.count(),
        })
    }

    pub(super) fn usd(&self, field: Field, row: &str) -> Option<Usd> {
        self.first(field, row, |raw| raw.usd())
    }

    pub(super) fn time(&self, field: Field, row: &str) -> Option<Timestamp> {
        self.first(field, row, |raw| raw.instant())
    }

    fn first<T>(&self, field: Field, row: &str, read: impl Fn(Json<'_>) -> Option<T>) -> Option<T> {
        self.places.iter().filter(|place| place.field == field).find_map(|place| {
            let raw = match place.path.strip_prefix('=') {
                Some(same) => serde_json::Value::from(same).to_string(),
                None => find(row, &place.path)?,
            };
            read(Json::parse(&raw)?)
        })
    }
}

/// What stands at a place, as JSON text: by the whole name, else step by step through objects, arrays and texts that are JSON themselves.
pub(super) fn find(row: &str, path: &str) -> Option<String> {
    let row = Json::parse(row)?;
    if let Some(inner) = row.text().filter(|text| text.starts_with(['{', '['])) {
        return find(&inner, path);
    }
    if let Some(found) = row.object().get(path) {
        return Some(found.raw().to_owned());
    }
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    let next = match step.parse::<usize>() {
        Ok(place) => row.items().nth(place).or_else(|| row.object().get(step)),
        Err(_) => row.object().get(step),
    }?;
    if rest.is_empty() { Some(next.raw().to_owned()) } else { find(next.raw(), rest) }
}
