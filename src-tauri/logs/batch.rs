//! Sightings on their way, those of one call made one.

use events::{RequestKey, Sighting};
use std::collections::HashMap;

/// A sighting and the key of its call.
pub(super) type Keyed = (Option<RequestKey>, Sighting);

#[derive(Default)]
pub(super) struct Batch {
    sightings: Vec<Keyed>,
    by_key: HashMap<RequestKey, usize>,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.sightings.len()
    }

    /// Adds a sighting, most often of the call that the last one was of.
    pub(super) fn add(&mut self, sighting: Sighting) {
        match self.sightings.last_mut() {
            Some((_, last)) if is_of_one_call(last, &sighting) => merge(last, sighting),
            Some(_) | None => self.add_keyed((sighting.usage.key(), sighting)),
        }
    }

    pub(super) fn add_keyed(&mut self, (key, sighting): Keyed) {
        let known = key.map(|key| *self.by_key.entry(key).or_insert(self.sightings.len()));
        match known.and_then(|at| self.sightings.get_mut(at)) {
            None => self.sightings.push((key, sighting)),
            Some((_, known)) => merge(known, sighting),
        }
    }

    pub(super) fn take(&mut self) -> Vec<Keyed> {
        self.by_key.clear();
        std::mem::take(&mut self.sightings)
    }
}

/// Seen without making keys of ids.
fn is_of_one_call(one: &Sighting, other: &Sighting) -> bool {
    one.usage.call_id.is_some() && one.usage.call_id == other.usage.call_id && one.usage.family == other.usage.family
}

fn merge(known: &mut Sighting, mut sighting: Sighting) {
    // Most lines of a call say the same at a later time, of which the earlier one counts: nothing to merge.
    sighting.usage.at = sighting.usage.at.min(known.usage.at);
    if sighting.usage == known.usage {
        return;
    }
    let merged = known.usage.merged(&sighting.usage);
    // What was said stands with the tokens that it was read from.
    if merged.tokens != known.usage.tokens {
        known.said = sighting.said;
    }
    known.usage = merged;
}
