//! Budgets as they were last set, and what was told of them.

use super::Projections;
use crate::{Alert, Budget, Day, Span, Timestamp, Usd, Zone, query::Filter};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Default)]
pub(crate) struct BudgetFold {
    budgets: BTreeMap<String, Budget>,
    /// The thresholds that were told, per budget, period and limit. A new limit is a new promise and is told anew.
    raised: BTreeSet<(String, Day, Usd, u32)>,
}

impl BudgetFold {
    pub(crate) fn set(&mut self, budget: &Budget) {
        self.budgets.insert(budget.name.clone(), budget.clone());
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.budgets.remove(name);
    }

    pub(crate) fn raised(&mut self, alert: &Alert) {
        self.raised.insert((alert.budget.clone(), alert.period_start, alert.limit, alert.percent));
    }

    /// By name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Budget> {
        self.budgets.values()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Budget> {
        self.budgets.get(name)
    }
}

impl Projections {
    /// What a budget's calls cost in the period that `now` lies in.
    pub(crate) fn budget_spend(&self, budget: &Budget, now: Timestamp, zone: Zone) -> (Span, super::Spend) {
        let period = zone.period_span(budget.period, now);
        let scope = &budget.scope;
        let filter = Filter { project: scope.project.clone(), model: scope.model.clone(), provider: scope.provider.clone(), client: None };
        (period, self.spend.total(period, &filter))
    }

    /// What must be told now: every threshold that a budget's spend has reached and that was not told yet, once per period, ever.
    /// Each becomes an `AlertRaised` event before anybody is told.
    pub fn alerts_due(&self, now: Timestamp, zone: Zone) -> Vec<Alert> {
        let mut due = Vec::new();
        for budget in self.budgets.all() {
            let (period, spend) = self.budget_spend(budget, now, zone);
            let Some(reached) = spend.usd.percent_of(budget.limit) else { continue };
            let period_start = zone.day(period.from);
            for percent in budget.alert_percents.iter().copied().filter(|percent| i128::from(*percent) <= reached) {
                let alert = Alert { budget: budget.name.clone(), period_start, percent, spent: spend.usd, limit: budget.limit };
                if !self.budgets.raised.contains(&(alert.budget.clone(), period_start, alert.limit, percent)) {
                    due.push(alert);
                }
            }
        }
        due
    }
}
