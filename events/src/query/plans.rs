//! What is a subscription worth? What was paid for it, and what its calls would have cost by the token, kept apart.

use super::{Fault, Filter, Query, Spend, View, spend_by};
use crate::{Day, Timestamp, Usd, projections::Names};
use serde::{Deserialize, Serialize};

/// The most months that one answer tells of: a hundred years.
const MONTHS_MAX: usize = 1_200;

/// A subscription, as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Plan {
    /// Its name: `claude-max`.
    pub name: String,
    /// What it costs a month.
    pub monthly: Usd,
    /// Only calls by this client are covered.
    #[serde(default)]
    pub client: Option<String>,
    /// Only calls to this provider are covered.
    #[serde(default)]
    pub provider: Option<String>,
    /// Its first day; from ever, if not named.
    #[serde(default)]
    pub from: Option<Day>,
    /// Its last day; for ever, if not named.
    #[serde(default)]
    pub until: Option<Day>,
}

/// What were the plans worth, month by month?
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Plans {
    /// A day of the first month, that of the first call if not named.
    pub first: Option<Day>,
    /// A day of the last month, that of today if not named.
    pub last: Option<Day>,
}

/// The answer to [`Plans`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PlansAnswer {
    /// The plans of the configuration.
    pub plans: Vec<Plan>,
    /// By month ascending, then by plan.
    pub months: Vec<PlanMonth>,
    /// All calls that no plan covers: what was billed by the token.
    pub billed: Spend,
    /// All calls that a plan covers, at list prices: what nobody was billed.
    pub covered: Spend,
    /// What was paid for all plans.
    pub paid_usd: Usd,
}

/// One plan in one month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PlanMonth {
    /// The plan.
    pub plan: String,
    /// The month's first day that the plan covers.
    pub first: Day,
    /// The last such day.
    pub last: Day,
    /// Whether the month is over.
    pub over: bool,
    /// What was paid.
    pub paid_usd: Usd,
    /// What the calls would have cost by the token, at list prices.
    pub worth: Spend,
    /// `worth.usd` less `paid_usd`.
    pub gain_usd: Usd,
}

impl Query for Plans {
    const NAME: &'static str = "plans";
    const IS_QUICK: bool = true;
    type Answer = PlansAnswer;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<PlansAnswer, Fault> {
        let (first, last) = spend_by::days(view, self.first, self.last, now)?;
        let mut answer = PlansAnswer {
            plans: view.plans.to_vec(),
            months: Vec::new(),
            billed: Spend::default(),
            covered: Spend::default(),
            paid_usd: Usd::ZERO,
        };
        for (begin, end) in months(first, last) {
            let mut worth = vec![Spend::default(); view.plans.len()];
            let everything = Filter::default();
            let spend = &view.projections.spend;
            // A call that two plans cover belongs to the first of them.
            spend.each(view.zone.days_span(begin, end), view.scope(&everything), |at, label, spent| {
                let day = view.zone.day(at);
                let Some(names) = spend.names(label) else { return };
                match view.plans.iter().position(|plan| plan.covers(&names, day)) {
                    Some(plan) => worth[plan].add(spent),
                    None => answer.billed.add(spent),
                }
            });
            for (plan, worth) in view.plans.iter().zip(worth) {
                answer.covered.add(&worth);
                let (first, last) = (plan.from.map_or(begin, |from| from.max(begin)), plan.until.map_or(end, |until| until.min(end)));
                if first > last {
                    continue;
                }
                answer.paid_usd += plan.monthly;
                let gain_usd = worth.usd - plan.monthly;
                let over = end < view.zone.day(now);
                answer.months.push(PlanMonth { plan: plan.name.clone(), first, last, over, paid_usd: plan.monthly, worth, gain_usd });
            }
        }
        Ok(answer)
    }
}

impl Plan {
    /// Whether calls of these names on a day are paid for by it.
    fn covers(&self, names: &Names<'_>, day: Day) -> bool {
        let same = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        let active = self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day <= until);
        active && same(&self.client, names.client) && same(&self.provider, Some(names.provider))
    }
}

/// The first and the last day of each month from that of one day to that of another.
fn months(first: Day, last: Day) -> Vec<(Day, Day)> {
    let mut months = Vec::new();
    let mut begin = first.month_begin();
    while begin <= last && months.len() < MONTHS_MAX {
        // The first of the next month lies between 28 and 31 days ahead.
        let next = begin.plus(31).month_begin();
        months.push((begin, next.plus(-1)));
        begin = next;
    }
    months
}
