//! What do models cost, from when to when, and who says so?

use super::{Fault, Query, View};
use crate::{Factor, Multiplier, Row, Timestamp, tariff::Edition};
use serde::{Deserialize, Serialize};

/// What do models cost? The prices in force, the user's own first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Models {
    /// Only models whose name or alias has this in it, in any case of letters.
    pub name: Option<String>,
    /// Only this provider's.
    pub provider: Option<String>,
    /// The prices of an instant, now if not named.
    pub as_of: Option<Timestamp>,
    /// Only prices that begin later than that.
    pub upcoming: bool,
}

/// The answer to [`Models`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ModelsAnswer {
    /// As of when.
    pub at: Timestamp,
    /// The books in force one after the other, oldest first.
    pub books: Vec<BookFacts>,
    /// By provider, model, tier and time; the user's own first.
    pub rows: Vec<ModelPrice>,
    /// Every price of the user's own, whatever was asked for.
    pub own: Vec<Row>,
    /// By what list prices are multiplied, by provider and time.
    pub multipliers: Vec<Multiplier>,
}

/// A book, and from when on it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct BookFacts {
    /// SHA-256 of its bytes, in hex.
    pub id: String,
    /// From when on calls are priced by it; from ever, where not given.
    pub from: Option<Timestamp>,
    /// Whether it is the one that the program ships with.
    pub bundled: bool,
    /// How many prices it has, or how many it changes where it is not the first.
    pub rows: u64,
}

/// One dated price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ModelPrice {
    /// The price. Of one of the user's own, the provider is empty where it holds for every one.
    #[serde(flatten)]
    pub row: Row,
    /// Whether it is the user's own.
    #[serde(default)]
    pub custom: bool,
    /// What the provider's book prices are multiplied by, where the user said so.
    #[serde(default)]
    pub multiplier: Option<Factor>,
}

impl Query for Models {
    const NAME: &'static str = "models";
    const IS_QUICK: bool = true;
    type Answer = ModelsAnswer;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<ModelsAnswer, Fault> {
        let at = self.as_of.unwrap_or(now);
        let tariff = view.projections.tariff();
        let agreements = tariff.agreements();
        let own = agreements.prices().iter().map(|known| ModelPrice { row: known.row.clone(), custom: true, multiplier: None });
        let listed = tariff.rows_at(at).into_iter().map(|row| {
            let multiplier = agreements.multiplier(&row.provider, at);
            ModelPrice { row: row.clone(), custom: false, multiplier }
        });
        let mut rows: Vec<ModelPrice> = own.chain(listed).filter(|price| self.wants(&price.row, at)).collect();
        rows.sort_by(|one, other| {
            let place = |price: &ModelPrice| {
                (!price.custom, price.row.provider.clone(), price.row.model.clone(), price.row.tier, price.row.span().from)
            };
            place(one).cmp(&place(other))
        });
        let multiplied = agreements.multipliers().iter();
        let multiplied =
            multiplied.map(|(provider, from, factor)| Multiplier { provider: provider.clone(), factor: *factor, from: Some(*from) });
        Ok(ModelsAnswer {
            at,
            books: tariff.editions().iter().map(BookFacts::of).collect(),
            rows,
            own: agreements.prices().iter().map(|known| known.row.clone()).collect(),
            multipliers: multiplied.collect(),
        })
    }
}

impl BookFacts {
    fn of(edition: &Edition) -> BookFacts {
        let rows = edition.book().rows().count() as u64;
        BookFacts { id: edition.id().to_owned(), from: edition.from(), bundled: edition.is_bundled(), rows }
    }
}

impl Models {
    fn wants(&self, row: &Row, at: Timestamp) -> bool {
        let named = |name: &str| {
            let name = name.to_lowercase();
            std::iter::once(&row.model).chain(&row.aliases).any(|known| known.to_lowercase().contains(&name))
        };
        let dated = if self.upcoming { row.from.is_some_and(|from| from > at) } else { row.span().contains(at) };
        dated && self.name.as_deref().is_none_or(named) && self.provider.as_deref().is_none_or(|provider| row.provider == provider)
    }
}
