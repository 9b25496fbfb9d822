//! Under which names projects are shown. What stands in the calls never changes: a name is given at the moment of asking.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The names of projects that are shown otherwise than they were recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProjectNames {
    /// By what was recorded.
    names: BTreeMap<String, String>,
}

impl ProjectNames {
    pub(super) fn rename(&mut self, recorded: &str, name: &str) {
        if recorded == name {
            self.names.remove(recorded);
        } else {
            self.names.insert(recorded.to_owned(), name.to_owned());
        }
    }

    /// Adds what was folded from other entries, none of which rename a project that is renamed here.
    pub(super) fn absorb(&mut self, other: ProjectNames) {
        self.names.extend(other.names);
    }

    /// The name under which a project is shown.
    pub(crate) fn shown<'a>(&'a self, recorded: &'a str) -> &'a str {
        self.names.get(recorded).map_or(recorded, String::as_str)
    }

    /// What was recorded of that which is shown under a name, besides the name itself.
    pub(crate) fn recorded_as<'a>(&'a self, shown: &'a str) -> impl Iterator<Item = &'a str> {
        self.names.iter().filter(move |(_, name)| *name == shown).map(|(recorded, _)| recorded.as_str())
    }

    /// Whether a project of this very name is shown under another.
    pub(crate) fn is_renamed(&self, recorded: &str) -> bool {
        self.names.contains_key(recorded)
    }

    /// What a user means by a name: a project that is shown so, else the one that was called so before.
    pub(crate) fn meant<'a>(&'a self, name: &'a str) -> &'a str {
        if self.recorded_as(name).next().is_some() { name } else { self.shown(name) }
    }
}
