//! What is found out about a profile once: under which label its calls are counted, and what they cost.

use super::{
    labels::{LabelId, Names},
    spend::{LastCell, Spend, SpendFold},
};
use crate::{
    AsOf, Certainty, Event, Seq, Summary, Tariff, Timestamp, Usage,
    event::band_prompt,
    log::segment::{Columns, Profile, Side, put_profile},
    prices::{Consumed, Rated, Terms},
    tariff::Swap,
};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// How many profiles are kept from one segment to the next. A log has some hundreds; a strange one shall not fill the memory.
const PROFILES_MAX: usize = 8192;

/// A profile's label and prices.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) label: LabelId,
    pub(super) rated: Arc<Rated>,
    pub(super) certainty: Certainty,
    pub(super) last: LastCell,
}

impl Known {
    /// What one call of the profile adds to the sums.
    pub(super) fn spend_of(&self, call: &Consumed<'_>) -> Spend {
        Spend::of(call.tokens, self.certainty, self.rated.cost_of(call, AsOf::Call))
    }
}

/// The profiles that were met, by their bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownProfiles {
    profiles: FxHashMap<Box<[u8]>, Known>,
    /// Profiles that differ in project or branch have the same prices.
    rated: RatedTerms,
    /// Room for the profile of one call.
    bytes: Vec<u8>,
}

impl KnownProfiles {
    /// What is known of each profile of a segment.
    pub(super) fn of(&mut self, columns: &Columns<'_>, spend: &mut SpendFold, tariff: &Tariff) -> Vec<Known> {
        if self.profiles.len() > PROFILES_MAX {
            *self = KnownProfiles::default();
        }
        columns.profiles.iter().map(|profile| self.known(profile, spend, tariff)).collect()
    }

    /// What is known of a call's profile.
    pub(super) fn of_usage(&mut self, usage: &Usage, spend: &mut SpendFold, tariff: &Tariff) -> &mut Known {
        self.bytes.clear();
        put_profile(&mut self.bytes, usage);
        if !self.profiles.contains_key(&self.bytes[..]) {
            if self.profiles.len() > PROFILES_MAX {
                self.profiles.clear();
            }
            let known = Known {
                label: spend.label(&Names::of(usage)),
                rated: self.rated.of(&Terms::of(usage), tariff),
                certainty: usage.certainty,
                last: LastCell::default(),
            };
            self.profiles.insert(self.bytes[..].into(), known);
        }
        self.profiles.get_mut(&self.bytes[..]).expect("it was put there just now, if it was not there")
    }

    fn known(&mut self, profile: &Profile<'_>, spend: &mut SpendFold, tariff: &Tariff) -> Known {
        if let Some(known) = self.profiles.get(profile.bytes) {
            return known.clone();
        }
        let known = Known {
            label: spend.label(&Names::of_profile(profile)),
            rated: self.rated.of(&Terms::of_profile(profile), tariff),
            certainty: profile.certainty,
            last: LastCell::default(),
        };
        self.profiles.insert(profile.bytes.into(), known.clone());
        known
    }
}

/// Prices by the terms that decide them, of one tariff.
#[derive(Clone, Debug, Default)]
pub(crate) struct RatedTerms {
    rated: FxHashMap<TermsKey, Arc<Rated>>,
}

/// The names of [`Terms`], owned.
type TermsKey = ([Option<String>; 6], Certainty, bool);

impl RatedTerms {
    /// What the tariff says of a profile's calls.
    pub(crate) fn of(&mut self, terms: &Terms<'_>, tariff: &Tariff) -> Arc<Rated> {
        let names = [Some(terms.provider), Some(terms.family), terms.model, terms.request_model, terms.tier, terms.geo];
        let key = (names.map(|name| name.map(str::to_owned)), terms.certainty, terms.estimates_cost);
        self.rated.entry(key).or_insert_with(|| Arc::new(tariff.rated(terms, &Swap::default()))).clone()
    }
}

/// One usage of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColumnRow<'a> {
    /// Its place among the segment's profiles.
    pub(crate) profile: usize,
    pub(crate) seq: Seq,
    pub(crate) side: Side,
    pub(crate) call: Consumed<'a>,
}

/// What counts in a segment and stands in no row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Apart<'a> {
    /// Calls of long ago, added up.
    Sums(&'a Summary),
    /// What a match counts elsewhere.
    TakenAway(&'a Usage),
}

/// What counts in a segment beside its rows.
pub(crate) fn apart<'a>(columns: &'a Columns<'_>) -> impl Iterator<Item = Apart<'a>> {
    columns.others.iter().filter_map(|entry| match &entry.event {
        Event::Summarised { summary } => Some(Apart::Sums(summary)),
        Event::Matched { before, .. } => before.as_deref().map(Apart::TakenAway),
        Event::Used { .. }
        | Event::Restated { .. }
        | Event::BudgetSet { .. }
        | Event::BudgetRemoved { .. }
        | Event::AlertRaised { .. }
        | Event::PriceBookAdopted { .. }
        | Event::PriceSet { .. }
        | Event::PriceUnset { .. }
        | Event::PricesMultiplied { .. }
        | Event::Folded { .. }
        | Event::Lost
        | Event::ProjectRenamed { .. } => None,
    })
}

/// The usages of a segment, one by one.
pub(crate) fn rows<'a>(columns: &'a Columns<'_>) -> impl Iterator<Item = ColumnRow<'a>> {
    // Taken apart without `..`, so that a new column cannot be left out unnoticed.
    let Columns {
        first,
        entries: _,
        profiles: _,
        profile,
        entry,
        side,
        at,
        tokens,
        web_search: _,
        pieces: _,
        requests: _,
        latency_ms,
        reported_cost,
        others: _,
    } = columns;
    let places = profile.iter().zip(entry).zip(side).zip(at);
    let numbers = tokens.iter().zip(latency_ms).zip(reported_cost);
    places.zip(numbers).enumerate().map(|(row, ((((profile, entry), side), at), ((tokens, latency_ms), reported_cost)))| ColumnRow {
        profile: *profile as usize,
        seq: Seq(first.0 + u64::from(*entry)),
        side: *side,
        call: Consumed {
            at: Timestamp::from_micros(*at),
            tokens,
            fees: columns.fees(row),
            latency_ms: *latency_ms,
            reported_cost: *reported_cost,
            prompt: columns.requests(row).map(|requests| band_prompt(tokens, Some(requests))),
        },
    })
}
