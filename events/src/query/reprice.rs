//! What would the same calls cost at other prices?

use super::{Dimension, Fault, Filter, Query, View, days::Days, spend_by, storage_fault};
use crate::{
    AsOf, Day, Event, PriceBook, Row, Span, Summary, Tier, Timestamp, Usd,
    log::segment::{Columns, Profile, Side},
    prices::{Rated, Terms},
    projections::{LabelId, Labels, Names, RatedTerms, Scope, rows},
};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};

/// What would the same calls cost at other prices? Reads the log; changes no event.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
            RepriceAsOf::Call | RepriceAsOf::Known(_) => AsOf::Call,
        };
        let span = view.zone.days_span(first, last);
        let mut sums = Sums {
            view,
            by: &self.by,
            span,
            scope: view.scope(&self.filter),
            then: Prices { book: then_book, as_of: AsOf::Call, rated: RatedTerms::default() },
            now: Prices { book: now_book, as_of, rated: RatedTerms::default() },
            days: Days::of(&self.by, view.zone),
            labels: Labels::default(),
            sums: FxHashMap::default(),
        };
        view.log.fold_columns(span, &mut |columns| sums.fold(columns)).map_err(|error| storage_fault(&error))?;
        let (total, mut rows) = sums.rows();
        rows.sort_by(|one, other| {
            let size = |row: &RepriceRow| row.difference_usd.pico().unsigned_abs();
            spend_by::day_order(&self.by, &one.names, &other.names).then(size(other).cmp(&size(one))).then(one.names.cmp(&other.names))
        });
        Ok(RepriceAnswer { first, last, total, rows, rates: Vec::new(), assumes: Vec::new() })
    }
}

/// What is added up while the log is read.
struct Sums<'a> {
    view: &'a View<'a>,
    by: &'a [Dimension],
    span: Span,
    scope: Scope<'a>,
    then: Prices<'a>,
    now: Prices<'a>,
    days: Days,
    labels: Labels,
    sums: FxHashMap<(Option<Day>, LabelId), Sum>,
}

/// A book, as of when it is asked, and what it has said.
struct Prices<'a> {
    book: &'a PriceBook,
    as_of: AsOf,
    rated: RatedTerms,
}

/// Of some calls. Signed: a restated call is taken away, perhaps from another row than the one that it is added to.
#[derive(Clone, Copy, Default)]
struct Sum {
    calls: i64,
    then_usd: Usd,
    now_usd: Usd,
    unpriced_calls: i64,
}

impl Prices<'_> {
    fn of(&mut self, profile: &Profile<'_>) -> Arc<Rated> {
        self.rated.of(&Terms::of_profile(profile), self.book)
    }
}

impl Sums<'_> {
    fn fold(&mut self, columns: &Columns<'_>) {
        // What a profile's calls are counted under and cost; none where the question is not about them.
        /// Under which label a profile counts, and what both books say of it.
        type Terms = (LabelId, Arc<Rated>, Arc<Rated>);
        let profiles: Vec<Option<Terms>> = columns
            .profiles
            .iter()
            .map(|profile| {
                let names = Names::of_profile(profile);
                self.scope.has(&names).then(|| (self.labels.id(&names), self.then.of(profile), self.now.of(profile)))
            })
            .collect();
        for row in rows(columns) {
            let Some((label, then, now)) = &profiles[row.profile] else { continue };
            if !self.span.contains(row.call.at) {
                continue;
            }
            let costs = (then.cost_of(&row.call, self.then.as_of), now.cost_of(&row.call, self.now.as_of));
            let sum = self.sums.entry((self.days.day(row.call.at), *label)).or_default();
            match row.side {
                Side::Added => sum.add(&Sum::of(1, costs)),
                Side::Taken => sum.subtract(&Sum::of(1, costs)),
            }
        }
        for entry in &columns.others {
            match &entry.event {
                Event::Summarised { summary } => self.fold_summary(summary),
                Event::Used { .. }
                | Event::Restated { .. }
                | Event::BudgetSet { .. }
                | Event::BudgetRemoved { .. }
                | Event::AlertRaised { .. }
                | Event::Folded { .. }
                | Event::Lost => {}
            }
        }
    }

    /// Summaries are priced as sums, each at the rates of the band that its calls lie in.
    fn fold_summary(&mut self, summary: &Summary) {
        let names = Names::of(&summary.usage);
        if !self.scope.has(&names) || !self.span.contains(summary.usage.at) {
            return;
        }
        let cost = |prices: &Prices<'_>| prices.book.cost_of_summary(summary, prices.as_of).usd();
        let costs = (cost(&self.then), cost(&self.now));
        let place = (self.days.day(summary.usage.at), self.labels.id(&names));
        self.sums.entry(place).or_default().add(&Sum::of(summary.calls, costs));
    }

    /// All of it, and a row for each combination of names.
    fn rows(self) -> (RepriceRow, Vec<RepriceRow>) {
        let mut total = Sum::default();
        let mut rows: HashMap<Vec<Option<String>>, Sum> = HashMap::new();
        for ((day, label), sum) in &self.sums {
            total.add(sum);
            let Some(label) = self.labels.names(*label) else { continue };
            rows.entry(spend_by::names(self.by, *day, &label, self.view.log.device())).or_default().add(sum);
        }
        let rows = rows.into_iter().filter(|(_, sum)| sum.calls > 0).map(|(names, sum)| sum.row(names)).collect();
        (total.row(Vec::new()), rows)
    }
}

impl Sum {
    /// Some calls, which cost so much then and now.
    fn of(calls: u64, costs: (Option<Usd>, Option<Usd>)) -> Sum {
        let calls = i64::try_from(calls).unwrap_or(i64::MAX);
        match costs {
            (Some(then_usd), Some(now_usd)) => Sum { calls, then_usd, now_usd, unpriced_calls: 0 },
            (None, _) | (_, None) => Sum { calls, unpriced_calls: calls, ..Sum::default() },
        }
    }

    fn add(&mut self, other: &Sum) {
        self.calls += other.calls;
        self.then_usd += other.then_usd;
        self.now_usd += other.now_usd;
        self.unpriced_calls += other.unpriced_calls;
    }

    fn subtract(&mut self, other: &Sum) {
        self.calls -= other.calls;
        self.then_usd -= other.then_usd;
        self.now_usd -= other.now_usd;
        self.unpriced_calls -= other.unpriced_calls;
    }

    fn row(self, names: Vec<Option<String>>) -> RepriceRow {
        RepriceRow {
            names,
            calls: u64::try_from(self.calls).unwrap_or(0),
            then_usd: self.then_usd,
            now_usd: self.now_usd,
            difference_usd: self.now_usd - self.then_usd,
            unpriced_calls: u64::try_from(self.unpriced_calls).unwrap_or(0),
        }
    }
}
