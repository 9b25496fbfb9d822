//! Every call, one row each: the export. Calls that are no longer told apart stand in it by summaries.

use super::{Fault, Filter, Query, View, spend_by, storage_fault};
use crate::{
    AsOf, By, Certainty, Cost, Day, Event, Pieces, RequestKey, Source, Span, Summary, Tariff, Timestamp, Usage, Usd,
    log::Snapshot,
    projections::{Names, ProjectNames, Scope},
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One row per call, or per summary of several. The names are an interface that scripts rely on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct CallRow {
    /// The identity of the call in the log, or of the summary.
    pub key: RequestKey,
    /// The provider's id of the answer.
    pub call_id: Option<String>,
    /// The provider's id of the HTTP request.
    pub request_id: Option<String>,
    /// When the call began.
    pub at: Timestamp,
    /// Who was called.
    pub provider: String,
    /// The model that answered.
    pub model: Option<String>,
    /// The program that called.
    pub client: Option<String>,
    /// Who saw the call.
    pub sources: Vec<Source>,
    /// What the call was made for.
    pub project: Option<String>,
    /// The client's session.
    pub session: Option<String>,
    /// The branch that was checked out.
    pub branch: Option<String>,
    /// How it was served, in the provider's word.
    pub tier: Option<String>,
    /// Uncached input tokens of every modality.
    pub input: u64,
    /// Cached input tokens.
    pub cache_read: u64,
    /// Tokens written to a cache of minutes (five or thirty), or of unnamed lifetime.
    pub cache_write_5m: u64,
    /// Tokens written to a cache of hours (one or twelve).
    pub cache_write_1h: u64,
    /// Output tokens of every modality, reasoning included.
    pub output: u64,
    /// Of the output: reasoning.
    pub reasoning: u64,
    /// Of all those: audio and image tokens that are billed apart.
    pub media: u64,
    /// Web searches that the provider ran.
    pub web_search: u32,
    /// What else is billed by the piece: the classes that occur, and their counts.
    pub pieces: Pieces,
    /// How many requests the row sums, where it is not one; 0 where nobody counted them.
    pub requests: Option<u32>,
    /// Whether the tokens are our estimate.
    pub estimated: bool,
    /// How far the tokens can be trusted.
    pub certainty: Certainty,
    /// Whether the cost is known.
    pub priced: bool,
    /// The cost, if it is known.
    pub cost_usd: Option<Usd>,
    /// Where the cost comes from.
    pub cost_basis: CostBasis,
    /// The row of the price book that made it, or why there is none.
    pub cost_note: String,
    /// The cost that the provider or client itself reported.
    pub reported_cost_usd: Option<Usd>,
    /// From the first byte of the request to the last of the reply.
    pub latency_ms: Option<u32>,
    /// The HTTP status of the reply.
    pub status: Option<u16>,
    /// The machine that made the call, by the name of its part of the journal.
    pub device: String,
    /// How many calls the row is of: one, if it is no summary.
    pub calls: u64,
    /// Whether it is a summary: sums, and no ids, session, branch, status and latency.
    pub summary: bool,
}

/// Where a cost comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum CostBasis {
    /// The provider reported it, or the client estimated it and there is no price.
    Reported,
    /// A price that the user agreed with the provider.
    Agreed,
    /// The price book at the time of the call.
    Book,
    /// Nobody knows it.
    Unpriced,
}

/// Every call in a span of days, by its own time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Calls {
    /// The first day, from the first call on if not named.
    pub first: Option<Day>,
    /// The last day, today if not named.
    pub last: Option<Day>,
    /// Which calls count.
    pub filter: Filter,
}

/// The answer to [`Calls`], oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct CallsAnswer {
    /// The calls.
    pub calls: Vec<CallRow>,
}

impl Query for Calls {
    const NAME: &'static str = "calls";
    type Answer = CallsAnswer;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<CallsAnswer, Fault> {
        // Without days every call counts, also one from a clock that ran ahead.
        let span = match (self.first, self.last) {
            (None, None) => Span::ALWAYS,
            (first, last) => {
                let (first, last) = spend_by::days(view, first, last, now)?;
                view.zone.days_span(first, last)
            }
        };
        let found = Found::replayed(view.log, span, view.scope(&self.filter))?;
        let (tariff, home) = (view.projections.tariff(), view.log.device());
        let calls = found.calls.iter().map(|(key, usage)| CallRow::new(*key, usage, tariff, home));
        let rows = calls.chain(found.summaries.iter().map(|summary| CallRow::of_summary(summary, tariff, home)));
        let mut rows: Vec<CallRow> = rows.map(|row| row.shown(&view.projections.projects)).collect();
        rows.sort_by_key(|row| (row.at, row.key));
        Ok(CallsAnswer { calls: rows })
    }
}

/// What a question about single calls is answered from.
#[derive(Default)]
pub(super) struct Found {
    /// Each call as it now stands.
    pub(super) calls: HashMap<RequestKey, Usage>,
    summaries: Vec<Summary>,
}

impl Found {
    /// Replays the log and takes what is in the span, by its own time.
    pub(super) fn replayed(log: &Snapshot, span: Span, scope: Scope<'_>) -> Result<Found, Fault> {
        let mut found = Found::default();
        for entry in log.replay() {
            let entry = entry.map_err(|error| storage_fault(&error))?;
            match (entry.key, entry.event) {
                (Some(key), Event::Used { usage }) => drop(found.calls.insert(key, *usage)),
                (Some(key), Event::Restated { after, .. }) => {
                    // Its first entry may have been rescued without its key.
                    found.calls.remove(&key.rescued());
                    found.calls.insert(key, *after);
                }
                (_, Event::Summarised { summary }) => found.summaries.push(*summary),
                (Some(key), Event::Matched { .. }) => {
                    found.calls.remove(&key.rescued());
                    found.calls.remove(&key);
                }
                (None, Event::Used { .. } | Event::Restated { .. } | Event::Matched { .. })
                | (
                    _,
                    Event::BudgetSet { .. }
                    | Event::BudgetRemoved { .. }
                    | Event::AlertRaised { .. }
                    | Event::PriceBookAdopted { .. }
                    | Event::PriceSet { .. }
                    | Event::PriceUnset { .. }
                    | Event::PricesMultiplied { .. }
                    | Event::Folded { .. }
                    | Event::Lost
                    | Event::ProjectRenamed { .. },
                ) => {}
            }
        }
        let wanted = |usage: &Usage| span.contains(usage.at) && scope.has(&Names::of(usage));
        found.calls.retain(|_, usage| wanted(usage));
        found.summaries.retain(|summary| wanted(&summary.usage));
        Ok(found)
    }
}

/// Who made a cost, in words.
fn told(by: By<'_>) -> (CostBasis, String) {
    match by {
        By::Reported => (CostBasis::Reported, "reported by the provider or the client".to_owned()),
        By::Client => (CostBasis::Reported, "estimated by the client".to_owned()),
        By::Agreed { row } => (CostBasis::Agreed, format!("{} ({})", row.model, row.source)),
        By::Local => (CostBasis::Book, "runs on this machine".to_owned()),
        By::Row { row, exact: true } => (CostBasis::Book, format!("{} ({})", row.model, row.source)),
        By::Row { row, exact: false } => (CostBasis::Book, format!("priced as {} {} ({})", row.provider, row.model, row.source)),
    }
}

impl CallRow {
    /// A row of nothing: what its columns are called is known without a call.
    pub fn empty() -> CallRow {
        let unknown = Cost::Unpriced { reason: crate::Unpriced::TokensUnknown };
        CallRow::costing(RequestKey([0; 16]), &Usage::default(), &unknown, "")
    }

    /// With the name under which the project is shown.
    pub(super) fn shown(self, projects: &ProjectNames) -> CallRow {
        CallRow { project: self.project.map(|recorded| projects.shown(&recorded).to_owned()), ..self }
    }

    pub(super) fn new(key: RequestKey, usage: &Usage, tariff: &Tariff, home: &str) -> CallRow {
        CallRow::costing(key, usage, &tariff.cost_of(usage, AsOf::Call), home)
    }

    fn of_summary(summary: &Summary, tariff: &Tariff, home: &str) -> CallRow {
        let row = CallRow::costing(summary.key(), &summary.usage, &tariff.cost_of_summary(summary, AsOf::Call), home);
        // The latency of one call, which is kept for prices by the hour, is not that of all.
        CallRow { calls: summary.calls, summary: true, latency_ms: None, ..row }
    }

    fn costing(key: RequestKey, usage: &Usage, cost: &Cost<'_>, home: &str) -> CallRow {
        let tokens = &usage.tokens;
        let (cost_basis, cost_note) = match cost {
            Cost::Priced { by, .. } => told(*by),
            Cost::Unpriced { reason } => (CostBasis::Unpriced, reason.to_string()),
        };
        let cost_usd = cost.usd();
        let cost_note = match (cost, usage.reported_cost) {
            (Cost::Priced { by: By::Local, .. }, _) if usage.model.as_deref().is_some_and(|model| model.ends_with(":free")) => {
                "a model that is given away".to_owned()
            }
            (Cost::Priced { by: By::Row { .. } | By::Agreed { .. }, .. }, Some(estimate)) if usage.estimates_cost() => {
                format!("{cost_note}; the client estimated {estimate}")
            }
            _ => cost_note,
        };
        let usage = usage.clone();
        CallRow {
            key,
            at: usage.at,
            sources: usage.sources.iter().collect(),
            input: tokens.input.saturating_add(tokens.input_audio).saturating_add(tokens.input_image),
            cache_read: tokens.cache_read.saturating_add(tokens.cache_read_audio),
            cache_write_5m: tokens.cache_write_5m.saturating_add(tokens.cache_write_30m),
            cache_write_1h: tokens.cache_write_1h.saturating_add(tokens.cache_write_12h),
            output: tokens.produced(),
            reasoning: tokens.reasoning,
            media: tokens.input_audio + tokens.cache_read_audio + tokens.input_image + tokens.output_audio + tokens.output_image,
            web_search: usage.fees.web_search,
            pieces: usage.fees.pieces,
            requests: usage.requests,
            estimated: usage.certainty == Certainty::Estimated,
            certainty: usage.certainty,
            priced: cost_usd.is_some(),
            cost_usd,
            cost_basis,
            cost_note,
            reported_cost_usd: usage.reported_cost,
            latency_ms: usage.latency_ms,
            status: usage.status,
            call_id: usage.call_id,
            request_id: usage.request_id,
            provider: usage.provider,
            model: usage.model,
            client: usage.client,
            project: usage.project.map(|project| project.name),
            session: usage.session,
            branch: usage.branch,
            tier: usage.tier,
            device: usage.device.unwrap_or_else(|| home.to_owned()),
            calls: 1,
            summary: false,
        }
    }
}
