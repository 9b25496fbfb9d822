//! What would have been cheaper? Answered from the real calls; each idea says what it takes for granted.

use super::{Fault, Filter, Query, View, spend_by};
use crate::{Day, Timestamp, Usd};
use serde::{Deserialize, Serialize};

/// What would have been cheaper?
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Advice {
    /// The first day, from the first call on if not named.
    pub first: Option<Day>,
    /// The last day, today if not named.
    pub last: Option<Day>,
    /// Which calls count.
    pub filter: Filter,
    /// Models to compare with; where none is named, the others that the log knows.
    pub models: Vec<String>,
}

/// The answer to [`Advice`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct AdviceAnswer {
    /// The first day that is counted.
    pub first: Day,
    /// The last day that is counted.
    pub last: Day,
    /// The calls.
    pub calls: u64,
    /// What they cost.
    pub usd: Usd,
    /// What saves most first; what would have cost more is told too, last.
    pub ideas: Vec<Idea>,
}

/// One thing that could have been otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Idea {
    /// Of which kind.
    pub kind: IdeaKind,
    /// What would be otherwise, in a line.
    pub title: String,
    /// The model, client or plan that it is about.
    pub from: Option<String>,
    /// What would take its place.
    pub to: Option<String>,
    /// The calls that it is about.
    pub calls: u64,
    /// What they cost.
    pub then_usd: Usd,
    /// What they would have cost.
    pub now_usd: Usd,
    /// What is saved; less than zero where it would have cost more.
    pub saves_usd: Usd,
    /// Calls that lack a price then or now, and so stand in neither sum.
    pub unpriced_calls: u64,
    /// What it takes for granted, in sentences.
    pub assumes: Vec<String>,
}

/// What could have been otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum IdeaKind {
    /// Another model for the same calls.
    Model,
    /// Another lifetime of what is written to the cache.
    CacheTtl,
    /// A batch, for calls that nobody waited for.
    Batch,
    /// A plan, or none.
    Plan,
}

impl Query for Advice {
    const NAME: &'static str = "advice";
    type Answer = AdviceAnswer;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<AdviceAnswer, Fault> {
        let (first, last) = spend_by::days(view, self.first, self.last, now)?;
        let total = view.projections.spend.total(view.zone.days_span(first, last), view.scope(&self.filter));
        Ok(AdviceAnswer { first, last, calls: total.calls, usd: total.usd, ideas: Vec::new() })
    }
}
