//! What is folded from the log.
//!
//! Projections change only through [`Projections::apply`] and its like, which are total and deterministic: any split of a log folds to the same.

mod budgets;
mod checkpoint;
mod known;
mod labels;
mod packed;
mod projects;
mod recent;
mod spend;
#[cfg(test)]
mod tests;

use crate::{
    AsOf, Entry, Event, PriceBook, Seq, Summary, Tariff, Timestamp, Usage,
    log::segment::{Columns, Side},
    prices::Consumed,
};
use known::KnownProfiles;
use spend::LastCell;
use std::sync::Arc;

pub(crate) use budgets::BudgetFold;
pub(crate) use known::{Apart, RatedTerms, apart, rows};
pub(crate) use labels::{LabelId, Names, Scope};
pub(crate) use projects::ProjectNames;
pub use recent::RECENT_CALLS_MAX;
pub(crate) use recent::RecentFold;
pub use spend::Spend;
pub(crate) use spend::{SpendFold, quarter};

/// Everything that is folded from the log, under one tariff.
#[derive(Debug, Clone)]
pub struct Projections {
    tariff: Arc<Tariff>,
    /// Entries that speak of prices and that the tariff does not know: what is folded is not yet folded under them.
    price_news: Vec<Arc<Entry>>,
    up_to: Seq,
    last_call_at: Option<Timestamp>,
    pub(crate) spend: SpendFold,
    pub(crate) recent: RecentFold,
    pub(crate) budgets: Arc<BudgetFold>,
    pub(crate) projects: Arc<ProjectNames>,
    /// Follows from the book and what was met; no fact of its own.
    known: KnownProfiles,
}

impl Projections {
    /// Of an empty log, under a book.
    pub fn new(book: Arc<PriceBook>) -> Projections {
        Projections::under(Arc::new(Tariff::of(book)))
    }

    /// Of an empty log, under a tariff.
    pub(crate) fn under(tariff: Arc<Tariff>) -> Projections {
        Projections {
            tariff,
            price_news: Vec::new(),
            up_to: Seq(0),
            last_call_at: None,
            spend: SpendFold::default(),
            recent: RecentFold::default(),
            budgets: Arc::default(),
            projects: Arc::default(),
            known: KnownProfiles::default(),
        }
    }

    /// The same, to be asked by another thread while this goes on: in some microseconds, whatever is folded.
    pub fn snapshot(&mut self) -> Projections {
        Projections {
            tariff: self.tariff.clone(),
            price_news: self.price_news.clone(),
            up_to: self.up_to,
            last_call_at: self.last_call_at,
            spend: self.spend.snapshot(),
            recent: self.recent.clone(),
            budgets: self.budgets.clone(),
            projects: self.projects.clone(),
            known: KnownProfiles::default(),
        }
    }

    /// Folds one entry in.
    pub fn apply(&mut self, entry: &Entry) {
        self.up_to = entry.seq;
        match &entry.event {
            Event::Used { usage } => self.add(entry.seq, usage),
            Event::Restated { before, after } => {
                self.take_away(before);
                self.add(entry.seq, after);
            }
            Event::BudgetSet { budget } => Arc::make_mut(&mut self.budgets).set(budget),
            Event::BudgetRemoved { name } => Arc::make_mut(&mut self.budgets).remove(name),
            Event::AlertRaised { alert } => Arc::make_mut(&mut self.budgets).raised(alert),
            Event::PriceBookAdopted { .. } | Event::PriceSet { .. } | Event::PriceUnset { .. } | Event::PricesMultiplied { .. } => {
                self.hear_of_prices(entry);
            }
            Event::Summarised { summary } => self.add_summary(summary),
            Event::Matched { before, .. } => {
                if let Some(before) = before {
                    self.take_away(before);
                }
            }
            Event::ProjectRenamed { recorded, name } => Arc::make_mut(&mut self.projects).rename(recorded, name),
            Event::Folded { .. } | Event::Lost => {}
        }
    }

    fn hear_of_prices(&mut self, entry: &Entry) {
        let is_known = |known: &Arc<Entry>| known.seq == entry.seq;
        if !self.tariff.facts().iter().chain(&self.price_news).any(is_known) {
            self.price_news.push(Arc::new(entry.clone()));
        }
    }

    fn add(&mut self, seq: Seq, usage: &Usage) {
        let known = self.known.of_usage(usage, &mut self.spend, &self.tariff);
        let spend = known.spend_of(&Consumed::of(usage));
        self.spend.add(usage.at, known.label, &spend, &mut known.last);
        self.last_call_at = self.last_call_at.max(Some(usage.at));
        self.recent.insert(usage.at, seq);
    }

    fn take_away(&mut self, usage: &Usage) {
        let known = self.known.of_usage(usage, &mut self.spend, &self.tariff);
        let spend = known.spend_of(&Consumed::of(usage));
        self.spend.subtract(usage.at, known.label, &spend, &mut known.last);
    }

    fn add_summary(&mut self, summary: &Summary) {
        let usage = &summary.usage;
        let label = self.spend.label(&Names::of(usage));
        let spend = Spend::of_calls(summary.calls, &usage.tokens, usage.certainty, self.tariff.cost_of_summary(summary, AsOf::Call).usd());
        self.spend.add(usage.at, label, &spend, &mut LastCell::default());
        self.last_call_at = self.last_call_at.max(Some(usage.at));
    }

    /// Whether all that can be asked of both is the same, but for the calls that are told singly.
    pub(crate) fn totals_equal(&self, other: &Projections) -> bool {
        self.spend.equals(&other.spend) && self.budgets == other.budgets && self.projects == other.projects
    }

    /// Folds a segment in: the same as its entries one by one, and many times faster.
    pub(crate) fn apply_columns(&mut self, columns: &Columns<'_>) {
        let mut known = self.known.of(columns, &mut self.spend, &self.tariff);
        for row in rows(columns) {
            let known = &mut known[row.profile];
            let spend = known.spend_of(&row.call);
            match row.side {
                Side::Taken => self.spend.subtract(row.call.at, known.label, &spend, &mut known.last),
                Side::Added => {
                    self.spend.add(row.call.at, known.label, &spend, &mut known.last);
                    self.last_call_at = self.last_call_at.max(Some(row.call.at));
                    self.recent.insert(row.call.at, row.seq);
                }
            }
        }
        columns.others.iter().for_each(|entry| self.apply(entry));
        if let Some(after_first) = u64::from(columns.entries).checked_sub(1) {
            self.up_to = Seq(columns.first.0 + after_first);
        }
    }

    /// Adds what was folded from other entries of the same log, under the same book. Budgets, what was told of them
    /// and names of projects must all have gone to one of the two.
    pub(crate) fn absorb(&mut self, other: Projections) {
        debug_assert_eq!(self.tariff.id(), other.tariff.id(), "amounts of two tariffs are not added");
        self.price_news.extend(other.price_news);
        self.spend.absorb(other.spend);
        other.recent.newest().into_iter().for_each(|(at, seq)| self.recent.insert(at, seq));
        Arc::make_mut(&mut self.budgets).absorb(Arc::unwrap_or_clone(other.budgets));
        Arc::make_mut(&mut self.projects).absorb(Arc::unwrap_or_clone(other.projects));
        self.last_call_at = self.last_call_at.max(other.last_call_at);
        self.up_to = self.up_to.max(other.up_to);
    }

    /// Packs what was folded. For when there is time: after a replay, or when nothing was written for a while.
    pub fn settle(&mut self) {
        self.spend.settle();
    }

    /// Says up to where shares of a log were folded, once all of them are in.
    pub(crate) fn folded_up_to(&mut self, last: Seq) {
        self.up_to = last;
    }

    /// The newest entry that is folded in.
    pub fn up_to(&self) -> Seq {
        self.up_to
    }

    /// The prices under which it is folded.
    pub fn tariff(&self) -> &Arc<Tariff> {
        &self.tariff
    }

    /// The prices under which it must be folded again, if entries spoke of prices.
    pub(crate) fn next_tariff(&self) -> Option<Arc<Tariff>> {
        (!self.price_news.is_empty()).then(|| Arc::new(self.tariff.and(self.price_news.iter().cloned())))
    }

    /// The quarter of an hour in which the first call began.
    pub fn first_call_at(&self) -> Option<Timestamp> {
        self.spend.first_at()
    }

    /// When the newest call began.
    pub fn last_call_at(&self) -> Option<Timestamp> {
        self.last_call_at
    }
}
