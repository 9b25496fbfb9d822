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
        let mut ideas = asking.models(&self.models)?;
        ideas.extend(asking.cache_ttls()?);
        ideas.extend(asking.batch()?);
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

impl Asking<'_> {
    /// The calls of the dearest models, as if made of others.
    fn models(&self, named: &[String]) -> Result<Vec<Idea>, Fault> {
        let known = spend_by::rows(self.view, self.span, &[Dimension::Model], self.filter);
        let known: Vec<String> = known.into_iter().filter(|row| row.spend.usd > Usd::ZERO).filter_map(|row| row.names.into_iter().next()?).collect();
        let others = if named.is_empty() { &known[..known.len().min(OTHERS_MAX)] } else { named };
        let mut ideas = Vec::new();
        for from in known.iter().take(MODELS_MAX) {
            for to in others.iter().filter(|to| *to != from) {
                let swap = ModelSwap { from: Some(from.clone()), to: to.clone(), provider: None };
                if !self.view.projections.tariff().has_price(&swap) {
                    let cause = format!("there is no price for the model {to:?}");
                    return if named.is_empty() { continue } else { Err(Fault::new(FaultCode::NotFound, cause, "see `tollbar models`")) };
                }
                let filter = Filter { model: Some(from.clone()), ..self.filter.clone() };
                let asked = self.priced(&filter, Swap { models: vec![swap], ..Swap::default() })?;
                ideas.push(Idea {
                    kind: IdeaKind::Model,
                    title: format!("{to} instead of {from}"),
                    from: Some(from.clone()),
                    to: Some(to.clone()),
                    assumes: [SAME_TOKENS, OTHER_CACHE].map(str::to_owned).to_vec(),
                    ..Idea::of(&asked)
                });
            }
        }
        Ok(ideas)
    }

    /// All that was written to a cache, for one hour or for five minutes.
    fn cache_ttls(&self) -> Result<Vec<Idea>, Fault> {
        let mut ideas = Vec::new();
        for (ttl, from, to) in [(CacheTtl::FiveMinutes, "1 hour", "5 minutes"), (CacheTtl::OneHour, "5 minutes", "1 hour")] {
            let asked = self.priced(self.filter, Swap { cache_ttl: Some(ttl), ..Swap::default() })?;
            if asked.difference_usd.is_zero() {
                continue;
            }
            let assumes = match ttl {
                CacheTtl::FiveMinutes => "the same tokens would have been read: no pause between calls was longer than five minutes",
                CacheTtl::OneHour => "the same tokens would have been written: none was written again because it had lived its five minutes",
            };
            ideas.push(Idea {
                kind: IdeaKind::CacheTtl,
                title: format!("cache writes for {to} instead of {from}"),
                from: Some(from.to_owned()),
                to: Some(to.to_owned()),
                assumes: vec![assumes.to_owned()],
                ..Idea::of(&asked)
            });
        }
        Ok(ideas)
    }

    /// Calls of programs rather than of people, in batches.
    fn batch(&self) -> Result<Vec<Idea>, Fault> {
        let clients = spend_by::rows(self.view, self.span, &[Dimension::Client], self.filter);
        let mut ideas = Vec::new();
        for client in clients.into_iter().filter_map(|row| row.names.into_iter().next()?).filter(|client| is_library(client)) {
            let filter = Filter { client: Some(client.clone()), ..self.filter.clone() };
            let asked = self.priced(&filter, Swap { tier: Some(Tier::Batch), ..Swap::default() })?;
            if asked.difference_usd.is_zero() {
                continue;
            }
            ideas.push(Idea {
                kind: IdeaKind::Batch,
                title: format!("batches for what {client} calls"),
                from: Some(client),
                to: Some(Tier::Batch.word().to_owned()),
                assumes: [NOBODY_WAITED, SAME_CACHE].map(str::to_owned).to_vec(),
                ..Idea::of(&asked)
            });
        }
        Ok(ideas)
    }

    fn priced(&self, filter: &Filter, swap: Swap) -> Result<RepriceRow, Fault> {
        let asked = Asked { tariff: self.view.projections.tariff(), as_of: AsOf::Call, swap };
        let repriced = Repriced::of(self.view, self.span, filter, &[], &asked).map_err(|error| storage_fault(&error))?;
        Ok(repriced.total)
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
                assumes: vec![format!("{months} whole months of the plan were paid for"), "the same calls would have been made at list prices".into()],
            }
        };
        Ok(answer.plans.iter().map(idea).filter(|idea| idea.calls > 0 || !idea.then_usd.is_zero()).collect())
    }
}

impl Idea {
    fn of(asked: &RepriceRow) -> Idea {
        Idea {
            kind: IdeaKind::Model,
            title: String::new(),
            from: None,
            to: None,
            calls: asked.calls,
            then_usd: asked.then_usd,
            now_usd: asked.now_usd,
            saves_usd: asked.then_usd - asked.now_usd,
            unpriced_calls: asked.unpriced_calls,
            assumes: Vec::new(),
        }
    }
}

/// Whether the name of a client is that of a library, through which a program calls and nobody sits waiting.
fn is_library(client: &str) -> bool {
    let name = client.to_ascii_lowercase();
    LIBRARY_WORDS.iter().any(|word| name.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == *word))
}
