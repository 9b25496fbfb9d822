//! A question and the type of its answer: the same in process, over the control API and from the window.
//!
//! Money appears in answers only. The window computes none: what it shows stands here.

mod advice;
mod book;
mod budgets;
mod calls;
mod coverage;
mod days;
mod explain;
mod health;
mod missing;
mod missing_prices;
mod models;
mod plans;
mod projects;
mod recent;
mod reprice;
mod spend_by;
mod today;
mod upkeep;

use crate::{LogError, Projections, Timestamp, Zone, log::Snapshot, projections::Scope};
use serde::{Serialize, de::DeserializeOwned};

pub use crate::projections::Spend;
pub use advice::{Advice, AdviceAnswer, Idea, IdeaKind};
pub use book::{BookInForce, BookInForceAnswer};
pub use budgets::{BudgetLevel, BudgetState, Budgets, BudgetsAnswer};
pub use calls::{CallRow, Calls, CallsAnswer, CostBasis};
pub use coverage::{Coverage, CoverageAnswer, CoverageRow, Seen};
pub use explain::{CostFactor, CostLine, EntryFacts, Explain, ExplainAnswer, Matched, PriceFacts};
pub use health::{EngineFacts, Health, HealthAnswer, ProxyFacts, Unmetered};
pub use missing::{Missing, MissingAnswer, Sought};
pub use missing_prices::{MissingPrices, MissingPricesAnswer, MissingPricesRow, NearName};
pub use models::{BookFacts, ModelPrice, Models, ModelsAnswer};
pub use plans::{Plan, PlanMonth, Plans, PlansAnswer};
pub use projects::{ProjectRow, Projects, ProjectsAnswer};
pub use recent::{Recent, RecentAnswer};
pub use reprice::{CacheTtl, ModelSwap, Reprice, RepriceAnswer, RepriceAsOf, RepriceRates, RepriceRow};
pub use spend_by::{Dimension, Filter, SpendBy, SpendByAnswer, SpendRow};
pub use today::{HourSpend, Today, TodayAnswer};
pub use upkeep::{Size, Verify};

/// What a question is asked of.
pub struct View<'a> {
    /// The log, for questions that read it.
    pub log: &'a Snapshot,
    /// What is folded from it.
    pub projections: &'a Projections,
    /// The zone in which days begin and end.
    pub zone: Zone,
    /// The engine that runs, if one does.
    pub engine: Option<&'a EngineFacts>,
    /// The subscriptions that the configuration names.
    pub plans: &'a [Plan],
}

impl<'a> View<'a> {
    /// The calls that match a filter, in this log.
    fn scope(&self, filter: &'a Filter) -> Scope<'a> {
        Scope { filter, home: self.log.device(), projects: &self.projections.projects }
    }
}

/// A question. `now` is passed in: nothing here reads a clock.
pub trait Query: Serialize + DeserializeOwned + Send + 'static {
    /// Its name in `POST /ask/<name>`.
    const NAME: &'static str;
    /// Whether it is answered from what is folded, in milliseconds. Others read the log, which takes seconds where that is long.
    const IS_QUICK: bool = false;
    /// What comes back.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
    /// The answer as things stand at `now`.
    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<Self::Answer, Fault>;
}

/// What went wrong at the edge, for a reader: one line of cause, one line of what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize, thiserror::Error)]
#[error("{message}")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Fault {
    /// For readers that are programs.
    pub code: FaultCode,
    /// The cause: lower case, no trailing period, with the value in question.
    pub message: String,
    /// What to do; empty where there is nothing.
    #[serde(default)]
    pub hint: String,
}

fn storage_fault(error: &LogError) -> Fault {
    let code = if matches!(error, LogError::Unwanted) { FaultCode::Refused } else { FaultCode::Storage };
    Fault::new(code, error.to_string(), error.hint())
}

/// Kinds of [`Fault`]; a new one only when some reader acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum FaultCode {
    /// The wish or question makes no sense as it stands.
    Refused,
    /// What was named does not exist.
    NotFound,
    /// The log or its folder cannot be used.
    Storage,
    /// Nobody answers, or not to us.
    Unreachable,
    /// Ours to mend.
    Internal,
}

impl Fault {
    /// A fault with a way out.
    pub fn new(code: FaultCode, message: impl Into<String>, hint: impl Into<String>) -> Fault {
        Fault { code, message: message.into(), hint: hint.into() }
    }

    /// A wish or question that makes no sense.
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Fault {
        Fault::new(FaultCode::Refused, message, hint)
    }
}
