//! What would the same calls cost at other prices?

use super::{Dimension, Fault, Filter, Query, View, calls::calls, spend_by};
use crate::{AsOf, Cost, Day, PriceBook, Timestamp, Usd};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What would the same calls cost at other prices? Replays the log; changes no event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Reprice {
    /// At which prices.
    pub as_of: RepriceAsOf,
    /// A price book in JSON to use instead of the one in force.
    #[serde(default)]
    pub book: Option<String>,
    /// The first day, from the first call on if not named.
    #[serde(default)]
    pub first: Option<Day>,
    /// The last day, today if not named.
    #[serde(default)]
    pub last: Option<Day>,
    /// Which calls count.
    #[serde(default)]
    pub filter: Filter,
    /// One to three dimensions; a row stands for each combination that has calls.
    pub by: Vec<Dimension>,
}

/// At which prices a call is priced again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum RepriceAsOf {
    /// Those of the day that is today.
    Today,
    /// Those of an instant.
    Instant(Timestamp),
    /// Those of each call's own time (under another book).
    Call,
}

/// The answer to [`Reprice`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RepriceAnswer {
    /// The first day that is counted.
    pub first: Day,
    /// The last day that is counted.
    pub last: Day,
    /// All of it.
    pub total: RepriceRow,
    /// By day ascending where the first dimension is the day; else the greatest difference first.
    pub rows: Vec<RepriceRow>,
}

/// What one combination of names cost then, and would cost now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RepriceRow {
    /// One name for each dimension that was asked for.
    pub names: Vec<Option<String>>,
    /// The calls.
    pub calls: u64,
    /// What they cost as of each call.
    pub then_usd: Usd,
    /// What they cost at the prices asked for.
    pub now_usd: Usd,
    /// `now_usd` less `then_usd`, over calls that have both.
    pub difference_usd: Usd,
    /// Calls that lack a price then or now, and so stand in neither sum.
    pub unpriced_calls: u64,
}

impl Query for Reprice {
    const NAME: &'static str = "reprice";
    type Answer = RepriceAnswer;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<RepriceAnswer, Fault> {
        spend_by::check_dimensions(&self.by)?;
        let (first, last) = spend_by::days(view, self.first, self.last, now)?;
        let then_book = view.projections.book();
        let other_book = match &self.book {
            None => None,
            Some(text) => Some(PriceBook::from_json(text.as_bytes()).map_err(|error| {
                Fault::refused(format!("this is no price book: {error}"), "see docs/PRICES.md for the form; the book in force stays")
            })?),
        };
        let now_book = other_book.as_ref().unwrap_or(then_book.as_ref());
        let as_of = match self.as_of {
            RepriceAsOf::Today => AsOf::Instant(now),
            RepriceAsOf::Instant(at) => AsOf::Instant(at),
            RepriceAsOf::Call => AsOf::Call,
        };
        let mut rows: HashMap<Vec<Option<String>>, RepriceRow> = HashMap::new();
        let mut total = RepriceRow::default();
        for (_, usage) in calls(view.log, view.zone.days_span(first, last), &self.filter)? {
            let costs = (then_book.cost_of(&usage, AsOf::Call), now_book.cost_of(&usage, as_of));
            let names: Vec<_> = self.by.iter().map(|dimension| dimension.name_of(&usage, view.zone)).collect();
            rows.entry(names).or_default().add(&costs);
            total.add(&costs);
        }
        let mut rows: Vec<_> = rows.into_iter().map(|(names, row)| RepriceRow { names, ..row }).collect();
        rows.sort_by(|one, other| {
            let size = |row: &RepriceRow| row.difference_usd.pico().unsigned_abs();
            spend_by::day_order(&self.by, &one.names, &other.names).then(size(other).cmp(&size(one))).then(one.names.cmp(&other.names))
        });
        Ok(RepriceAnswer { first, last, total, rows })
    }
}

impl RepriceRow {
    fn add(&mut self, costs: &(Cost<'_>, Cost<'_>)) {
        self.calls += 1;
        match costs {
            (Cost::Priced { usd: then, .. }, Cost::Priced { usd: now, .. }) => {
                self.then_usd += *then;
                self.now_usd += *now;
                self.difference_usd += *now - *then;
            }
            (Cost::Unpriced { .. }, _) | (_, Cost::Unpriced { .. }) => self.unpriced_calls += 1,
        }
    }
}
