//! The rows of a book by seller, each seller's read when first asked for: a book knows thousands of models, and a user calls three sellers.

use super::{PriceError, Row};
use rustc_hash::FxHashMap;
use std::{ops::Range, sync::OnceLock};

/// All rows of a book.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// By name, ascending.
    sellers: Vec<Seller>,
    places: FxHashMap<String, usize>,
}

#[derive(Debug)]
struct Seller {
    name: String,
    /// The rows as they are written, where nobody has read them yet.
    lines: &'static str,
    models: OnceLock<Models>,
}

/// What a seller sells.
#[derive(Debug)]
pub(super) struct Models {
    /// Sorted by model, tier and time.
    rows: Vec<Row>,
    /// Every name and alias, to the rows of the model.
    names: FxHashMap<String, Range<usize>>,
}

impl Shelf {
    /// Of rows that were read, by seller.
    pub(super) fn of(sellers: Vec<(String, Models)>) -> Shelf {
        Shelf::new(sellers.into_iter().map(|(name, models)| Seller { name, lines: "", models: OnceLock::from(models) }).collect())
    }

    /// Of rows in the one form in which a book is written, one a line and sorted, that are known to be sound.
    pub(super) fn unread(rows: &'static str) -> Shelf {
        let mut sellers: Vec<Seller> = Vec::new();
        let mut begun = 0;
        let mut at = 0;
        for line in rows.split_inclusive('\n') {
            let name = line.strip_prefix(r#"{"provider":""#).and_then(|rest| rest.split('"').next()).unwrap_or_default();
            if sellers.last().is_none_or(|seller| seller.name != name) {
                begun = at;
                sellers.push(Seller { name: name.to_owned(), lines: "", models: OnceLock::new() });
            }
            at += line.len();
            if let Some(seller) = sellers.last_mut() {
                seller.lines = &rows[begun..at];
            }
        }
        Shelf::new(sellers)
    }

    fn new(sellers: Vec<Seller>) -> Shelf {
        let places = sellers.iter().enumerate().map(|(place, seller)| (seller.name.clone(), place)).collect();
        Shelf { sellers, places }
    }

    /// The rows of a seller's model of this very name, or with this alias.
    pub(super) fn named(&self, seller: &str, name: &str) -> Option<&[Row]> {
        let models = self.sellers[*self.places.get(seller)?].models();
        models.names.get(name).map(|rows| &models.rows[rows.clone()])
    }

    /// Whether there are rows of this seller.
    pub(super) fn sells(&self, seller: &str) -> bool {
        self.places.contains_key(seller)
    }

    /// All rows, by seller, model, tier and time.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.sellers.iter().flat_map(|seller| &seller.models().rows)
    }
}

impl Seller {
    fn models(&self) -> &Models {
        self.models.get_or_init(|| {
            let lines = self.lines.lines().map(|line| line.strip_suffix(',').unwrap_or(line));
            let rows = lines.map(|line| serde_json::from_str(line).expect("a test reads all of the bundled book")).collect();
            Models::new(rows).expect("a test reads all of the bundled book")
        })
    }
}

impl Models {
    /// Of one seller's rows, sorted by model, tier and time.
    pub(super) fn new(rows: Vec<Row>) -> Result<Models, PriceError> {
        let mut names: FxHashMap<String, Range<usize>> = FxHashMap::default();
        let mut start = 0;
        for model in rows.chunk_by(|a, b| a.model == b.model) {
            let range = start..start + model.len();
            start = range.end;
            let mut aliases: Vec<&String> = model.iter().flat_map(|row| &row.aliases).chain([&model[0].model]).collect();
            aliases.sort_unstable();
            aliases.dedup();
            for name in aliases {
                if names.insert(name.clone(), range.clone()).is_some() {
                    return Err(super::read::two_models(&model[0], name));
                }
            }
        }
        // A name in other letters means the same, where it is not another model's.
        let lower: Vec<(String, Range<usize>)> = names
            .iter()
            .filter(|(name, _)| name.bytes().any(|byte| byte.is_ascii_uppercase()))
            .map(|(name, range)| (name.to_ascii_lowercase(), range.clone()))
            .collect();
        for (name, range) in lower {
            names.entry(name).or_insert(range);
        }
        Ok(Models { rows, names })
    }
}
