//! What was spent, by which day, model, project, provider or client?

use super::{Fault, Query, Spend, View};
use crate::{Day, Span, Timestamp};
use serde::{Deserialize, Serialize};

/// What was spent from `first` to `last`, cut by each dimension in turn?
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SpendBy {
    /// One to three dimensions; a row stands for each combination that has calls.
    pub by: Vec<Dimension>,
    /// The first day, from the first call on if not named.
    #[serde(default)]
    pub first: Option<Day>,
    /// The last day, today if not named.
    #[serde(default)]
    pub last: Option<Day>,
    /// Which calls count.
    #[serde(default)]
    pub filter: Filter,
}

/// What spend can be cut by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Dimension {
    /// Calendar day in the asker's zone.
    Day,
    /// The model that answered.
    Model,
    /// What the call was made for.
    Project,
    /// Who was called.
    Provider,
    /// The program that called.
    Client,
}

/// Which calls count: those that match all that is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Filter {
    /// Only this project.
    pub project: Option<String>,
    /// Only this model.
    pub model: Option<String>,
    /// Only this provider.
    pub provider: Option<String>,
    /// Only this client.
    pub client: Option<String>,
}

/// The answer to [`SpendBy`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SpendByAnswer {
    /// The first day that is counted.
    pub first: Day,
    /// The last day that is counted.
    pub last: Day,
    /// All of it.
    pub total: Spend,
    /// By day ascending where the first dimension is the day; else dearest first.
    pub rows: Vec<SpendRow>,
}

/// What one combination of names cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SpendRow {
    /// One name for each dimension that was asked for; `null` where the calls have none.
    pub names: Vec<Option<String>>,
    /// What they cost.
    pub spend: Spend,
}
