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

impl Query for Budgets {
    const NAME: &'static str = "budgets";
    const IS_QUICK: bool = true;
    type Answer = BudgetsAnswer;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<BudgetsAnswer, Fault> {
        Ok(BudgetsAnswer { budgets: view.projections.budgets.all().map(|budget| state(budget, view, now)).collect() })
    }
}

fn state(budget: &Budget, view: &View<'_>, now: Timestamp) -> BudgetState {
    let (period, spend) = view.projections.budget_spend(budget, now, view.zone, view.log.device());
    let percent = u32::try_from(spend.usd.percent_of(budget.limit).unwrap_or(0).max(0)).unwrap_or(u32::MAX);
    let elapsed = now.micros() - period.from.micros();
    let length = period.until.micros() - period.from.micros();
    let first_alert = budget.alert_percents.first().copied().unwrap_or(100);
    let level = match percent {
        100.. => BudgetLevel::Over,
        percent if percent >= first_alert => BudgetLevel::Near,
        _ => BudgetLevel::Calm,
    };
    // At the mean pace so far the limit is reached after elapsed * limit / spent.
    let crosses_at = (spend.usd.pico() > 0 && level != BudgetLevel::Over && elapsed > 0)
        .then(|| i128::from(elapsed).checked_mul(budget.limit.pico()).map(|product| product / spend.usd.pico()))
        .flatten()
        .and_then(|micros| i64::try_from(micros).ok())
        .map(|micros| period.from.plus_micros(micros))
        .filter(|at| period.contains(*at));
    BudgetState {
        budget: budget.clone(),
        period,
        spent: spend.usd,
        left: budget.limit - spend.usd,
        percent,
        elapsed_percent: u32::try_from(elapsed.saturating_mul(100) / length.max(1)).unwrap_or(0).min(100),
        level,
        unpriced_calls: spend.unpriced_calls + spend.unknown_calls,
        crosses_at,
    }
}
