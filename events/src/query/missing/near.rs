//! Names that look alike: a hint for a reader, never a price.

use super::NearName;
use crate::Tariff;
use std::{cmp::Reverse, collections::BTreeSet};

/// How many names are told.
const NEAREST_MAX: usize = 3;
/// How much of both names must be alike, in thousandths.
const ALIKE_MIN: usize = 500;

/// The priced models, by name.
pub(in crate::query) struct Names<'t> {
    names: Vec<(&'t str, &'t str, BTreeSet<[u8; 2]>)>,
}

impl<'t> Names<'t> {
    pub(in crate::query) fn of(tariff: &'t Tariff) -> Names<'t> {
        let rows = tariff.editions().iter().flat_map(|edition| edition.book().rows());
        let models: BTreeSet<(&str, &str)> = rows.map(|row| (row.provider.as_str(), row.model.as_str())).collect();
        Names { names: models.into_iter().map(|(provider, model)| (provider, model, pairs(model))).collect() }
    }

    /// The likest, most alike first.
    pub(in crate::query) fn nearest(&self, model: &str) -> Vec<NearName> {
        let wanted = pairs(model);
        let alike = |pairs: &BTreeSet<[u8; 2]>| 2_000 * wanted.intersection(pairs).count() / (wanted.len() + pairs.len()).max(1);
        let mut found: Vec<_> = self.names.iter().map(|(provider, name, pairs)| (Reverse(alike(pairs)), *name, *provider)).collect();
        found.retain(|(Reverse(alike), ..)| *alike >= ALIKE_MIN);
        found.sort_unstable();
        found.dedup_by_key(|(_, name, _)| *name);
        found.truncate(NEAREST_MAX);
        found.into_iter().map(|(_, model, provider)| NearName { provider: provider.to_owned(), model: model.to_owned() }).collect()
    }
}

/// What a name is made of: its neighbouring letters, without what stands before a slash, in one case, its signs alike.
fn pairs(name: &str) -> BTreeSet<[u8; 2]> {
    let bare = name.rsplit('/').next().unwrap_or(name);
    let letters: Vec<u8> = bare.bytes().map(|byte| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }).collect();
    letters.windows(2).map(|pair| [pair[0], pair[1]]).collect()
}
