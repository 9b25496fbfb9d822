//! The names under which calls are counted, each combination once, by number.

use super::ProjectNames;
use crate::{
    Usage,
    log::segment::Profile,
    query::{Dimension, Filter},
};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// A combination of names, by its place in the table.
pub(crate) type LabelId = u32;

/// A name, by its place in the table and from 1 on; 0 stands for none.
type NameId = u32;

/// The names under which a call is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    pub(crate) provider: &'a str,
    pub(crate) model: Option<&'a str>,
    pub(crate) project: Option<&'a str>,
    pub(crate) client: Option<&'a str>,
    pub(crate) device: Option<&'a str>,
}

impl<'a> Names<'a> {
    pub(crate) fn of(usage: &'a Usage) -> Names<'a> {
        Names {
            provider: &usage.provider,
            model: usage.model.as_deref(),
            project: usage.project.as_ref().map(|project| project.name.as_str()),
            client: usage.client.as_deref(),
            device: usage.device.as_deref(),
        }
    }

    pub(crate) fn of_profile(profile: &Profile<'a>) -> Names<'a> {
        Names {
            provider: profile.provider,
            model: profile.model,
            project: profile.project.map(|(_, name)| name),
            client: profile.client,
            device: profile.device,
        }
    }

    /// With the name under which the project is shown.
    pub(crate) fn shown(self, projects: &'a ProjectNames) -> Names<'a> {
        Names { project: self.project.map(|recorded| projects.shown(recorded)), ..self }
    }

    /// The name along a dimension; `None` for the day, which is no name, and where the calls have none.
    pub(crate) fn along(&self, dimension: Dimension, home: &'a str) -> Option<&'a str> {
        match dimension {
            Dimension::Day => None,
            Dimension::Model => self.model,
            Dimension::Project => self.project,
            Dimension::Provider => Some(self.provider),
            Dimension::Client => self.client,
            Dimension::Device => Some(self.device.unwrap_or(home)),
        }
    }
}

/// Which calls count, what the log's own device is called (a call that names no device was made there), and how projects are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) filter: &'a Filter,
    pub(crate) home: &'a str,
    pub(crate) projects: &'a ProjectNames,
}

impl Scope<'_> {
    /// Whether calls of these names have all that is named.
    pub(crate) fn has(&self, names: &Names<'_>) -> bool {
        let Filter { project, model, provider, client, device } = self.filter;
        let same = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        let shown = |recorded| self.projects.shown(recorded);
        project.as_deref().is_none_or(|wanted| names.project.map(shown) == Some(self.projects.meant(wanted)))
            && same(model, names.model)
            && same(provider, Some(names.provider))
            && same(client, names.client)
            && same(device, Some(names.device.unwrap_or(self.home)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Label {
    provider: NameId,
    model: NameId,
    project: NameId,
    client: NameId,
    device: NameId,
}

/// Every combination of names that was met, in the order in which it was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    names: Vec<String>,
    labels: Vec<Label>,
    name_ids: FxHashMap<String, NameId>,
    label_ids: FxHashMap<Label, LabelId>,
}

impl Labels {
    /// The number of a combination.
    pub(crate) fn id(&mut self, names: &Names<'_>) -> LabelId {
        let label = Label {
            provider: self.name_id(Some(names.provider)),
            model: self.name_id(names.model),
            project: self.name_id(names.project),
            client: self.name_id(names.client),
            device: self.name_id(names.device),
        };
        if let Some(id) = self.label_ids.get(&label) {
            return *id;
        }
        let id = LabelId::try_from(self.labels.len()).expect("fewer than four thousand million different labels");
        self.labels.push(label);
        self.label_ids.insert(label, id);
        id
    }

    /// The number of a combination, if it was met.
    pub(super) fn find(&self, names: &Names<'_>) -> Option<LabelId> {
        let name = |name: Option<&str>| name.map_or(Some(0), |name| self.name_ids.get(name).copied());
        let label = Label {
            provider: name(Some(names.provider))?,
            model: name(names.model)?,
            project: name(names.project)?,
            client: name(names.client)?,
            device: name(names.device)?,
        };
        self.label_ids.get(&label).copied()
    }

    fn name_id(&mut self, name: Option<&str>) -> NameId {
        let Some(name) = name else { return 0 };
        if let Some(id) = self.name_ids.get(name) {
            return *id;
        }
        self.names.push(name.to_owned());
        let id = NameId::try_from(self.names.len()).expect("fewer than four thousand million different names");
        self.name_ids.insert(name.to_owned(), id);
        id
    }

    /// How many names there are.
    pub(super) fn names_count(&self) -> usize {
        self.names.len()
    }

    /// Whether calls are counted under a name, of whatever kind.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.name_ids.contains_key(name)
    }

    /// Every combination, by number.
    pub(crate) fn all(&self) -> impl Iterator<Item = Names<'_>> {
        self.labels.iter().map(|label| self.named(*label))
    }

    /// The combination of a number that was given here.
    pub(crate) fn names(&self, id: LabelId) -> Option<Names<'_>> {
        self.labels.get(id as usize).map(|label| self.named(*label))
    }

    fn named(&self, label: Label) -> Names<'_> {
        let name = |id: NameId| id.checked_sub(1).and_then(|place| self.names.get(place as usize)).map(String::as_str);
        Names {
            provider: name(label.provider).unwrap_or_default(),
            model: name(label.model),
            project: name(label.project),
            client: name(label.client),
            device: name(label.device),
        }
    }

    /// What a checkpoint keeps of it: names and labels.
    pub(super) fn to_parts(&self) -> LabelParts {
        LabelParts { names: self.names.clone(), labels: self.labels.clone() }
    }

    pub(super) fn from_parts(parts: LabelParts) -> Labels {
        let LabelParts { names, labels } = parts;
        Labels {
            name_ids: (1..).zip(&names).map(|(id, name)| (name.clone(), id)).collect(),
            label_ids: (0..).zip(&labels).map(|(id, label)| (*label, id)).collect(),
            names,
            labels,
        }
    }
}

/// [`Labels`] without what follows from it.
#[derive(Serialize, Deserialize)]
pub(super) struct LabelParts {
    names: Vec<String>,
    labels: Vec<Label>,
}
