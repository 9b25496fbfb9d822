//! What would have been cheaper? Answered from the real calls; each idea says what it takes for granted.

use super::{
    CacheTtl, Dimension, Fault, FaultCode, Filter, ModelSwap, Plan, Plans, Query, RepriceRow, View,
    reprice::{Asked, Repriced},
    spend_by, storage_fault,
};
use crate::{AsOf, Day, Span, Tier, Timestamp, Usd, tariff::Swap};
use serde::{Deserialize, Serialize};

/// For how many models of the log, the dearest first, others are tried.
const MODELS_MAX: usize = 3;
/// How many others are tried where nobody names them.
const OTHERS_MAX: usize = 5;
const LIBRARY_WORDS: [&str; 12] = ["python", "node", "js", "typescript", "go", "java", "ruby", "dotnet", "rust", "sdk", "curl", "http"];

const SAME_TOKENS: &str = "the other model would have counted the same tokens and answered at the same length";
const OTHER_CACHE: &str = "what the other model's cache has no rate for costs as its other writes, or else as input";
const NOBODY_WAITED: &str = "nobody waits for these calls: a program made them, through a library, and may get them within a day";
const READ_SOON: &str = "the same tokens would have been read: no pause between calls was longer than five minutes";
const WRITTEN_ONCE: &str = "the same tokens would have been written: none was written again because it had lived its five minutes";
const SAME_CACHE: &str = "the cache would have been hit as often";

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
        let span = view.zone.days_span(first, last);
        let total = view.projections.spend.total(span, view.scope(&self.filter));
        let asking = Asking { view, span, filter: &self.filter };
        let mut comparisons = asking.models(&self.models)?;
        comparisons.extend(asking.cache_ttls());
        comparisons.extend(asking.batch());
        let mut ideas = asking.compared(comparisons)?;
        ideas.extend(self.plans(view, (first, last), now)?);
        ideas.sort_by(|one, other| (other.saves_usd, one.kind, &one.title).cmp(&(one.saves_usd, other.kind, &other.title)));
        Ok(AdviceAnswer { first, last, calls: total.calls, usd: total.usd, ideas })
    }
}

/// Which calls are asked about.
struct Asking<'a> {
    view: &'a View<'a>,
    span: Span,
    filter: &'a Filter,
}

/// Some calls as they were, and as they could have been.
struct Comparison {
    filter: Filter,
    swap: Swap,
    /// What is known of it before.
    idea: Idea,
}

impl Asking<'_> {
    /// The calls of the dearest models, as if made of others.
    fn models(&self, named: &[String]) -> Result<Vec<Comparison>, Fault> {
        let known = spend_by::rows(self.view, self.span, &[Dimension::Model], self.filter);
        let known: Vec<String> =
            known.into_iter().filter(|row| row.spend.usd > Usd::ZERO).filter_map(|row| row.names.into_iter().next()?).collect();
        let others = if named.is_empty() { &known[..known.len().min(OTHERS_MAX)] } else { named };
        let mut comparisons = Vec::new();
        for from in known.iter().take(MODELS_MAX) {
            for to in others.iter().filter(|to| *to != from) {
                let swap = ModelSwap { from: Some(from.clone()), to: to.clone(), provider: None };
                if !self.view.projections.tariff().has_price(&swap) {
                    let cause = format!("there is no price for the model {to:?}");
                    return if named.is_empty() { continue } else { Err(Fault::new(FaultCode::NotFound, cause, "see `tollbar models`")) };
                }
                comparisons.push(Comparison {
                    filter: Filter { model: Some(from.clone()), ..self.filter.clone() },
                    swap: Swap { models: vec![swap], ..Swap::default() },
                    idea: Idea::about(IdeaKind::Model, format!("{to} instead of {from}"), (from, to), &[SAME_TOKENS, OTHER_CACHE]),
                });
            }
        }
        Ok(comparisons)
    }

    /// All that was written to a cache, for one hour or for five minutes.
    fn cache_ttls(&self) -> Vec<Comparison> {
        let ttls = [(CacheTtl::FiveMinutes, "1 hour", "5 minutes", READ_SOON), (CacheTtl::OneHour, "5 minutes", "1 hour", WRITTEN_ONCE)];
        let comparison = |(ttl, from, to, assumes)| Comparison {
            filter: self.filter.clone(),
            swap: Swap { cache_ttl: Some(ttl), ..Swap::default() },
            idea: Idea::about(IdeaKind::CacheTtl, format!("cache writes for {to} instead of {from}"), (from, to), &[assumes]),
        };
        ttls.into_iter().map(comparison).collect()
    }

    /// Calls of programs rather than of people, in batches.
    fn batch(&self) -> Vec<Comparison> {
        let clients = spend_by::rows(self.view, self.span, &[Dimension::Client], self.filter);
        let clients = clients.into_iter().filter_map(|row| row.names.into_iter().next()?).filter(|client| is_library(client));
        let comparison = |client: String| Comparison {
            swap: Swap { tier: Some(Tier::Batch), ..Swap::default() },
            idea: Idea::about(
                IdeaKind::Batch,
                format!("batches for what {client} calls"),
                (&client, Tier::Batch.word()),
                &[NOBODY_WAITED, SAME_CACHE],
            ),
            filter: Filter { client: Some(client), ..self.filter.clone() },
        };
        clients.map(comparison).collect()
    }

    /// What comes of the comparisons, in one pass over the log.
    fn compared(&self, comparisons: Vec<Comparison>) -> Result<Vec<Idea>, Fault> {
        let tariff = self.view.projections.tariff();
        let asked: Vec<Asked<'_>> = comparisons
            .iter()
            .map(|Comparison { filter, swap, .. }| Asked { filter, tariff, as_of: AsOf::Call, swap: swap.clone() })
            .collect();
        let repriced = Repriced::of(self.view, self.span, &[], &asked).map_err(|error| storage_fault(&error))?;
        let totals: Vec<RepriceRow> = repriced.iter().map(Repriced::total).collect();
        let told = comparisons.into_iter().zip(totals).filter(|(Comparison { idea, .. }, total)| match idea.kind {
            IdeaKind::Model | IdeaKind::Plan => true,
            IdeaKind::CacheTtl | IdeaKind::Batch => !total.difference_usd.is_zero(),
        });
        Ok(told.map(|(Comparison { idea, .. }, total)| idea.costing(&total)).collect())
    }
}

impl Advice {
    /// Each plan against paying by the token.
    fn plans(&self, view: &View<'_>, (first, last): (Day, Day), now: Timestamp) -> Result<Vec<Idea>, Fault> {
        if self.filter != Filter::default() {
            return Ok(Vec::new());
        }
        let answer = Plans { first: Some(first), last: Some(last) }.answer(view, now)?;
        let idea = |plan: &Plan| {
            let (mut calls, mut worth, mut paid, mut unpriced, mut months) = (0, Usd::ZERO, Usd::ZERO, 0, 0u32);
            for month in answer.months.iter().filter(|month| month.plan == plan.name) {
                calls += month.worth.calls;
                worth += month.worth.usd;
                paid += month.paid_usd;
                unpriced += month.worth.unpriced_calls + month.worth.unknown_calls;
                months += 1;
            }
            Idea {
                kind: IdeaKind::Plan,
                title: format!("pay by the token instead of {}", plan.name),
                from: Some(plan.name.clone()),
                to: None,
                calls,
                then_usd: paid,
                now_usd: worth,
                saves_usd: paid - worth,
                unpriced_calls: unpriced,
                assumes: vec![
                    format!("{months} whole months of the plan were paid for"),
                    "the same calls would have been made at list prices".into(),
                ],
            }
        };
        Ok(answer.plans.iter().map(idea).filter(|idea| idea.calls > 0 || !idea.then_usd.is_zero()).collect())
    }
}

impl Idea {
    /// Of which nobody knows yet what it saves.
    fn about(kind: IdeaKind, title: String, (from, to): (&str, &str), assumes: &[&str]) -> Idea {
        Idea {
            kind,
            title,
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
            calls: 0,
            then_usd: Usd::ZERO,
            now_usd: Usd::ZERO,
            saves_usd: Usd::ZERO,
            unpriced_calls: 0,
            assumes: assumes.iter().map(|sentence| (*sentence).to_owned()).collect(),
        }
    }

    fn costing(self, RepriceRow { names: _, calls, then_usd, now_usd, difference_usd: _, unpriced_calls }: &RepriceRow) -> Idea {
        let (calls, then_usd, now_usd, unpriced_calls) = (*calls, *then_usd, *now_usd, *unpriced_calls);
        Idea { calls, then_usd, now_usd, saves_usd: then_usd - now_usd, unpriced_calls, ..self }
    }
}

/// Whether the name of a client is that of a library, through which a program calls and nobody sits waiting.
fn is_library(client: &str) -> bool {
    let name = client.to_ascii_lowercase();
    LIBRARY_WORDS.iter().any(|word| name.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == *word))
}

#[cfg(test)]
mod tests;
