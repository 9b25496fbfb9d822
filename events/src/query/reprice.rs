//! What would the same calls cost at other prices?

mod kinds;
mod sums;

use super::{Dimension, Fault, FaultCode, Filter, Query, View, spend_by, storage_fault};
use crate::{AsOf, Day, PriceBook, Row, Tariff, Tier, Timestamp, Usd, tariff::Swap};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) use sums::{Asked, Repriced};

/// How often an answer cuts the same calls otherwise.
const ALSO_BY_MAX: usize = 4;

/// What would the same calls cost at other prices? Reads the log; changes no event.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Reprice {
    /// At which prices.
    pub as_of: RepriceAsOf,
    /// A price book in JSON to use instead of the one in force.
    #[serde(default)]
    pub book: Option<String>,
    /// As if calls of some models had been made of others. The first that fits a call holds.
    #[serde(default)]
    pub models: Vec<ModelSwap>,
    /// As if every call had been served so. A model that has no such price is unpriced.
    #[serde(default)]
    pub tier: Option<Tier>,
    /// As if all that was written to a cache of five minutes or one hour had been written for so long.
    #[serde(default)]
    pub cache_ttl: Option<CacheTtl>,
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
    /// The same calls cut otherwise, at most four times: each costs little beside reading the log.
    #[serde(default)]
    pub also_by: Vec<Vec<Dimension>>,
}

/// At which prices a call is priced again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum RepriceAsOf {
    /// Those of the day that is today.
    #[default]
    Today,
    /// Those of an instant.
    Instant(Timestamp),
    /// Those of each call's own time (under another book, or as another model).
    Call,
    /// Those of each call's own time, by what the log knew of prices at an instant: what a summary said then.
    Known(Timestamp),
}

/// As if calls of one model had been made of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ModelSwap {
    /// The model of the calls, by the name they have or by what is left of it without date, region and reseller; every model, if not named.
    #[serde(default)]
    pub from: Option<String>,
    /// The model by whose prices they are priced.
    pub to: String,
    /// Whose price of it; the calls' own provider's if not named, or else its maker's.
    #[serde(default)]
    pub provider: Option<String>,
}

/// How long what is written to a cache lives there (Anthropic).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum CacheTtl {
    /// Five minutes.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// One hour.
    #[serde(rename = "1h")]
    OneHour,
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
    /// The same for each cut that was asked for besides, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_rows: Vec<Vec<RepriceRow>>,
    /// By which prices: one for each kind of calls, the greatest difference first.
    pub rates: Vec<RepriceRates>,
    /// What is taken for granted, in sentences.
    pub assumes: Vec<String>,
}

/// By which prices some calls were priced then and now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RepriceRates {
    /// Who was called.
    pub provider: String,
    /// The model that answered.
    pub model: Option<String>,
    /// How it was served, in the provider's word.
    pub tier: Option<String>,
    /// The calls.
    pub calls: u64,
    /// What they cost as of each call.
    pub then_usd: Usd,
    /// What they cost at the prices asked for.
    pub now_usd: Usd,
    /// The prices that held at the times of the calls, in order of time; none where the cost was reported or there is no price.
    pub then: Vec<Row>,
    /// The prices asked for.
    pub now: Vec<Row>,
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
        if self.also_by.len() > ALSO_BY_MAX {
            return Err(Fault::refused(format!("cannot cut {} times more", self.also_by.len()), format!("cut {ALSO_BY_MAX} times more")));
        }
        [&self.by].into_iter().chain(&self.also_by).try_for_each(|by| spend_by::check_dimensions(by))?;
        let (first, last) = spend_by::days(view, self.first, self.last, now)?;
        let (tariff, as_of) = self.prices(view, now)?;
        let asked = Asked { filter: &self.filter, tariff: &tariff, as_of, swap: self.swap(&tariff)? };
        let span = view.zone.days_span(first, last);
        let dimensions = [&self.by].into_iter().chain(&self.also_by).flatten().copied().collect::<Vec<_>>();
        let repriced = Repriced::of(view, span, &dimensions, std::slice::from_ref(&asked)).map_err(|error| storage_fault(&error))?;
        let repriced = repriced.into_iter().next().unwrap_or_default();
        Ok(RepriceAnswer {
            first,
            last,
            total: repriced.total(),
            rows: sorted_rows(&repriced, view, &self.by),
            also_rows: self.also_by.iter().map(|by| sorted_rows(&repriced, view, by)).collect(),
            rates: repriced.rates(view.projections.tariff(), &asked),
            assumes: self.assumes(),
        })
    }
}

fn sorted_rows(repriced: &Repriced, view: &View<'_>, by: &[Dimension]) -> Vec<RepriceRow> {
    let mut rows = repriced.rows(view, by);
    rows.sort_by(|one, other| {
        let size = |row: &RepriceRow| row.difference_usd.pico().unsigned_abs();
        spend_by::day_order(by, &one.names, &other.names).then(size(other).cmp(&size(one))).then(one.names.cmp(&other.names))
    });
    rows
}

impl Reprice {
    /// By which prices, and as of when.
    fn prices(&self, view: &View<'_>, now: Timestamp) -> Result<(Arc<Tariff>, AsOf), Fault> {
        let tariff = view.projections.tariff();
        let (tariff, as_of) = match self.as_of {
            RepriceAsOf::Today => (tariff.clone(), AsOf::Instant(now)),
            RepriceAsOf::Instant(at) => (Arc::new(tariff.known_at(at)), AsOf::Instant(at)),
            RepriceAsOf::Call => (tariff.clone(), AsOf::Call),
            RepriceAsOf::Known(at) => (Arc::new(tariff.known_at(at)), AsOf::Call),
        };
        let Some(text) = &self.book else { return Ok((tariff, as_of)) };
        let book = PriceBook::from_json(text.as_bytes()).map_err(|error| {
            Fault::refused(format!("this is no price book: {error}"), "see docs/PRICES.md for the form; the book in force stays")
        })?;
        Ok((Arc::new(tariff.under(Arc::new(book))), as_of))
    }

    fn swap(&self, tariff: &Tariff) -> Result<Swap, Fault> {
        if let Some(swap) = self.models.iter().find(|swap| !tariff.has_price(swap)) {
            let whose = swap.provider.as_ref().map_or_else(String::new, |provider| format!(" of {provider}"));
            let cause = format!("there is no price{whose} for the model {:?}", swap.to);
            return Err(Fault::new(FaultCode::NotFound, cause, "see `tollbar models` for all that have one"));
        }
        Ok(Swap { models: self.models.clone(), tier: self.tier, cache_ttl: self.cache_ttl })
    }

    fn assumes(&self) -> Vec<String> {
        let mut assumes = Vec::new();
        if !self.models.is_empty() {
            assumes.push("another model would have counted the same tokens and answered at the same length".to_owned());
            assumes.push("what the other model's cache has no rate for costs as its other writes, or else as input".to_owned());
        }
        if let Some(tier) = self.tier {
            assumes.push(format!("every call could have been served as {}; a model without such a price is in neither sum", tier.word()));
        }
        if self.cache_ttl.is_some() {
            assumes.push("the same tokens would have been written and read: what lives longer is not read more often".to_owned());
            assumes.push("only caches of five minutes and one hour are asked otherwise".to_owned());
        }
        assumes
    }
}
