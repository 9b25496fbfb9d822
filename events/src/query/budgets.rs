//! How do the budgets stand?

use super::{Fault, Query, View};
use crate::{Budget, Span, Timestamp, Usd};
use serde::{Deserialize, Serialize};

/// How do the budgets stand?
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Budgets {}

/// The answer to [`Budgets`], by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct BudgetsAnswer {
    /// Each budget in its present period.
    pub budgets: Vec<BudgetState>,
}

/// One budget in its present period.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct BudgetState {
    /// The budget.
    pub budget: Budget,
    /// The period that now lies in.
    pub period: Span,
    /// What was spent in it.
    pub spent: Usd,
    /// What is left; negative when over.
    pub left: Usd,
    /// Spent in whole percent of the limit.
    pub percent: u32,
    /// How much of the period has passed, in whole percent.
    pub elapsed_percent: u32,
    /// Calm, near or over.
    pub level: BudgetLevel,
    /// Calls in the period that have no price and so are not in `spent`.
    pub unpriced_calls: u64,
    /// When the limit is crossed if spending goes on at the period's mean pace; `null` when over already, or not within the period.
    pub crosses_at: Option<Timestamp>,
}

/// How near a budget's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum BudgetLevel {
    /// Below the first threshold.
    Calm,
    /// At or above the first threshold.
    Near,
    /// At or above the limit.
    Over,
}
