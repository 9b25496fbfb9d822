//! What is folded from the log.
//!
//! Projections change only through [`Projections::apply`], which is total and deterministic: any split of a log folds to the same.

mod budgets;
mod recent;
mod spend;

use crate::{Entry, Event, PriceBook, Seq, Timestamp, Usage};
use std::sync::Arc;

pub(crate) use budgets::BudgetFold;
pub use recent::RECENT_CALLS_MAX;
pub(crate) use recent::RecentFold;
pub use spend::Spend;
pub(crate) use spend::SpendFold;

/// Everything that is folded from the log, under one price book.
#[derive(Debug, Clone)]
pub struct Projections {
    book: Arc<PriceBook>,
    up_to: Seq,
    last_call_at: Option<Timestamp>,
    pub(crate) spend: SpendFold,
    pub(crate) recent: RecentFold,
    pub(crate) budgets: BudgetFold,
}

impl Projections {
    /// Of an empty log.
    pub fn new(book: Arc<PriceBook>) -> Projections {
        Projections {
            book,
            up_to: Seq(0),
            last_call_at: None,
            spend: SpendFold::default(),
            recent: RecentFold::default(),
            budgets: BudgetFold::default(),
        }
    }

    /// Folds one entry in.
    pub fn apply(&mut self, entry: &Entry) {
        self.up_to = entry.seq;
        match &entry.event {
            Event::Used { usage } => self.add(entry, usage),
            Event::Restated { before, after } => {
                self.spend.subtract(before, &self.book);
                if let Some(key) = entry.key {
                    self.recent.remove(before.at, key);
                }
                self.add(entry, after);
            }
            Event::BudgetSet { budget } => self.budgets.set(budget),
            Event::BudgetRemoved { name } => self.budgets.remove(name),
            Event::AlertRaised { alert } => self.budgets.raised(alert),
        }
    }

    fn add(&mut self, entry: &Entry, usage: &Usage) {
        self.spend.add(usage, &self.book);
        self.last_call_at = self.last_call_at.max(Some(usage.at));
        if let Some(key) = entry.key {
            self.recent.insert(usage, key);
        }
    }

    /// The newest entry that is folded in.
    pub fn up_to(&self) -> Seq {
        self.up_to
    }

    /// The book that prices are taken from.
    pub fn book(&self) -> &Arc<PriceBook> {
        &self.book
    }

    /// When the newest call began.
    pub fn last_call_at(&self) -> Option<Timestamp> {
        self.last_call_at
    }
}
