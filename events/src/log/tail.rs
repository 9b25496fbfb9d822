//! Single entries as columns in memory, so that one fold reads both them and segments.

use super::segment::{Columns, Profile, Side};
use crate::{Entry, Event, Usage};
use std::collections::HashMap;

/// Shows entries that follow each other as columns.
pub(crate) fn with_columns<R>(entries: &[Entry], visit: impl FnOnce(&Columns<'_>) -> R) -> R {
    let profiles: Vec<(Vec<u8>, &Usage)> = {
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut profiles = Vec::new();
        for usage in entries.iter().flat_map(usages).map(|(_, usage)| usage) {
            let bytes = profile_bytes(usage);
            known.entry(bytes.clone()).or_insert_with(|| {
                profiles.push((bytes, usage));
                profiles.len()
            });
        }
        profiles
    };
    let places: HashMap<&[u8], u32> = (0..).zip(&profiles).map(|(place, (bytes, _))| (&bytes[..], place)).collect();
    let mut columns = Columns {
        first: entries.first().map(|entry| entry.seq).unwrap_or_default(),
        entries: u32::try_from(entries.len()).expect("single entries are fewer than fill a segment"),
        profiles: profiles.iter().map(|(bytes, usage)| profile(bytes, usage)).collect(),
        ..Columns::default()
    };
    for (place, entry) in (0..).zip(entries) {
        let usages = usages(entry);
        if usages.clone().next().is_none() {
            columns.others.push(entry.clone());
        }
        for (side, usage) in usages {
            columns.profile.push(places[&profile_bytes(usage)[..]]);
            columns.entry.push(place);
            columns.side.push(side);
            columns.at.push(usage.at.micros());
            columns.tokens.push(usage.tokens);
            columns.web_search.push(usage.fees.web_search);
            columns.latency_ms.push(usage.latency_ms);
            columns.reported_cost.push(usage.reported_cost);
        }
    }
    visit(&columns)
}

/// The usages that an entry takes away and adds.
fn usages(entry: &Entry) -> impl Iterator<Item = (Side, &Usage)> + Clone {
    let (taken, added) = match &entry.event {
        Event::Used { usage } => (None, Some(&**usage)),
        Event::Restated { before, after } => (Some(&**before), Some(&**after)),
        Event::BudgetSet { .. } | Event::BudgetRemoved { .. } | Event::AlertRaised { .. } => (None, None),
    };
    taken.map(|usage| (Side::Taken, usage)).into_iter().chain(added.map(|usage| (Side::Added, usage)))
}

fn profile<'a>(bytes: &'a [u8], usage: &'a Usage) -> Profile<'a> {
    Profile {
        bytes,
        provider: &usage.provider,
        family: &usage.family,
        model: usage.model.as_deref(),
        request_model: usage.request_model.as_deref(),
        device: usage.device.as_deref(),
        client: usage.client.as_deref(),
        project: usage.project.as_ref().map(|project| (project.by, project.name.as_str())),
        branch: usage.branch.as_deref(),
        tier: usage.tier.as_deref(),
        geo: usage.geo.as_deref(),
        certainty: usage.certainty,
        sources: usage.sources,
        status: usage.status,
    }
}

fn profile_bytes(usage: &Usage) -> Vec<u8> {
    let whom = (&usage.provider, &usage.family, &usage.model, &usage.request_model, &usage.tier, &usage.geo, usage.certainty);
    let whose = (&usage.device, &usage.client, &usage.project, &usage.branch, usage.sources, usage.status);
    rmp_serde::to_vec(&(whom, whose)).expect("names are MessagePack")
}
