//! What is a subscription worth? What was paid for it, and what its calls would have cost by the token, kept apart.

use super::{Fault, Query, Spend, View, spend_by};
use crate::{Day, Timestamp, Usd};
use serde::{Deserialize, Serialize};

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
    type Answer = PlansAnswer;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<PlansAnswer, Fault> {
        spend_by::days(view, self.first, self.last, now)?;
        Ok(PlansAnswer { plans: Vec::new(), months: Vec::new(), billed: Spend::default(), covered: Spend::default(), paid_usd: Usd::ZERO })
    }
}
