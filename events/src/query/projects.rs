//! Which projects are there, and under which names were they recorded?

use super::{Dimension, Fault, Filter, Query, Spend, View, spend_by};
use crate::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Which projects are there?
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Projects {}

/// The answer to [`Projects`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ProjectsAnswer {
    /// The dearest first.
    pub projects: Vec<ProjectRow>,
}

/// A project, or several that are shown as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ProjectRow {
    /// The name that is shown.
    pub name: String,
    /// The names under which its calls were recorded.
    pub recorded: Vec<String>,
    /// What all of its calls cost.
    pub spend: Spend,
}

impl Query for Projects {
    const NAME: &'static str = "projects";
    const IS_QUICK: bool = true;
    type Answer = ProjectsAnswer;

    fn answer(&self, view: &View<'_>, _now: Timestamp) -> Result<ProjectsAnswer, Fault> {
        let names = &view.projections.projects;
        let mut recorded: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for name in view.projections.spend.projects() {
            recorded.entry(names.shown(name)).or_default().insert(name);
        }
        let rows = spend_by::rows(view, Span::ALWAYS, &[Dimension::Project], &Filter::default());
        let row = |row: spend_by::SpendRow| {
            let name = row.names.into_iter().next().flatten()?;
            let recorded = recorded.get(name.as_str()).into_iter().flatten().map(|name| (*name).to_owned()).collect();
            Some(ProjectRow { recorded, spend: row.spend, name })
        };
        Ok(ProjectsAnswer { projects: rows.into_iter().filter_map(row).collect() })
    }
}
