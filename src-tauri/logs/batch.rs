//! Sightings on their way, those of one call made one.

use events::Sighting;
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::hash::BuildHasher;

/// A sighting and the hash of its call's id: the request key takes longer to make, and the log makes it.
pub(super) type Hashed = (u64, Sighting);

#[derive(Default)]
pub(super) struct Batch {
    sightings: Vec<Hashed>,
    by_hash: FxHashMap<u64, usize>,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.sightings.len()
    }

    /// Adds a sighting, most often of the call that the last one was of.
    pub(super) fn add(&mut self, sighting: Sighting) {
        match self.sightings.last_mut() {
            Some((_, last)) if is_of_one_call(last, &sighting) => merge(last, sighting),
            Some(_) | None => self.add_hashed((FxBuildHasher.hash_one(&sighting.usage.call_id), sighting)),
        }
    }

    pub(super) fn add_hashed(&mut self, (hash, sighting): Hashed) {
        let known = *self.by_hash.entry(hash).or_insert(self.sightings.len());
        match self.sightings.get_mut(known) {
            Some((_, known)) if is_of_one_call(known, &sighting) => merge(known, sighting),
            // Of two calls whose ids have one hash, the log finds out what they are.
            Some(_) | None => self.sightings.push((hash, sighting)),
        }
    }

    pub(super) fn take(&mut self) -> Vec<Hashed> {
        self.by_hash.clear();
        std::mem::take(&mut self.sightings)
    }
}

fn is_of_one_call(one: &Sighting, other: &Sighting) -> bool {
    one.usage.call_id.is_some() && one.usage.call_id == other.usage.call_id && one.usage.family == other.usage.family
}

fn merge(known: &mut Sighting, mut sighting: Sighting) {
    // Most lines of a call say the same at a later time, of which the earlier one counts, or count more tokens.
    sighting.usage.at = sighting.usage.at.earlier_known(known.usage.at);
    let tokens = std::mem::replace(&mut sighting.usage.tokens, known.usage.tokens);
    let is_same = sighting.usage == known.usage;
    sighting.usage.tokens = tokens;
    if is_same {
        if sighting.usage.tokens.cmp_as_counts(&known.usage.tokens).is_gt() {
            *known = sighting;
        }
        return;
    }
    let merged = known.usage.merged(&sighting.usage);
    // What was said stands with the tokens that it was read from.
    if merged.tokens != known.usage.tokens {
        known.said = sighting.said;
    }
    *known.usage = merged;
}
