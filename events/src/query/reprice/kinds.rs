//! What calls have in common that decides where they are counted and by what they are priced.

use crate::{Certainty, Usage, log::segment::Profile, prices::Terms, projections::Names};

/// Names and terms of some calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    provider: String,
    family: String,
    model: Option<String>,
    request_model: Option<String>,
    project: Option<String>,
    client: Option<String>,
    device: Option<String>,
    tier: Option<String>,
    geo: Option<String>,
    certainty: Certainty,
    estimates_cost: bool,
}

impl Kind {
    pub(super) fn of_profile(profile: &Profile<'_>) -> Kind {
        Kind::new(&Names::of_profile(profile), &Terms::of_profile(profile))
    }

    pub(super) fn of_usage(usage: &Usage) -> Kind {
        Kind::new(&Names::of(usage), &Terms::of(usage))
    }

    fn new(names: &Names<'_>, terms: &Terms<'_>) -> Kind {
        let own = |name: Option<&str>| name.map(str::to_owned);
        Kind {
            provider: terms.provider.to_owned(),
            family: terms.family.to_owned(),
            model: own(terms.model),
            request_model: own(terms.request_model),
            project: own(names.project),
            client: own(names.client),
            device: own(names.device),
            tier: own(terms.tier),
            geo: own(terms.geo),
            certainty: terms.certainty,
            estimates_cost: terms.estimates_cost,
        }
    }

    pub(super) fn names(&self) -> Names<'_> {
        Names {
            provider: &self.provider,
            model: self.model.as_deref(),
            project: self.project.as_deref(),
            client: self.client.as_deref(),
            device: self.device.as_deref(),
        }
    }

    pub(super) fn terms(&self) -> Terms<'_> {
        Terms {
            provider: &self.provider,
            family: &self.family,
            model: self.model.as_deref(),
            request_model: self.request_model.as_deref(),
            tier: self.tier.as_deref(),
            geo: self.geo.as_deref(),
            certainty: self.certainty,
            estimates_cost: self.estimates_cost,
        }
    }
}
