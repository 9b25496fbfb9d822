//! Budgets as they were last set, and what was told of them.

use super::{Projections, Scope};
use crate::{Alert, Budget, BudgetScope, Day, Span, Timestamp, Usd, Zone, query::Filter};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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

    /// Adds what was folded from other entries, none of which speak of a budget that is known here.
    pub(super) fn absorb(&mut self, other: BudgetFold) {
        self.budgets.extend(other.budgets);
        self.raised.extend(other.raised);
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
    /// What a budget's calls cost in the period that `now` lies in. `home` is what the log's own device is called.
    pub(crate) fn budget_spend(&self, budget: &Budget, now: Timestamp, zone: Zone, home: &str) -> (Span, super::Spend) {
        let period = zone.period_span(budget.period, now);
        let BudgetScope { project, model, provider, device } = budget.scope.clone();
        let filter = Filter { project, model, provider, client: None, device };
        (period, self.spend.total(period, Scope { filter: &filter, home, projects: &self.projects }))
    }

    /// What must be told now: every threshold that a budget's spend has reached and that was not told yet, once per period, ever.
    /// Each becomes an `AlertRaised` event before anybody is told. `home` is what the log's own device is called.
    pub fn alerts_due(&self, now: Timestamp, zone: Zone, home: &str) -> Vec<Alert> {
        let mut due = Vec::new();
        for budget in self.budgets.all() {
            let (period, spend) = self.budget_spend(budget, now, zone, home);
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
