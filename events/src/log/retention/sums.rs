//! Calls added up to summaries: together go those that no sum over days, names or machines and no price of the book can tell apart.

use crate::{
    AsOf, Summary, Tariff, Usage, Usd,
    projections::quarter,
    tariff::{Bracket, Brackets},
};
use std::collections::BTreeMap;

/// The summaries of some calls.
pub(super) struct Sums<'t> {
    tariff: &'t Tariff,
    brackets: Brackets<'t>,
    sums: BTreeMap<Kind, Vec<Sum>>,
    calls: u64,
}

/// What the calls of a summary have in common. In the order of time, so that a question about some days finds them together.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    /// In which it began: days of every zone are made of whole ones.
    quarter: i64,
    /// In which it ended, which decides a price by the hour; most books' hours begin on one.
    done: i64,
    bracket: Bracket,
    /// [`common`], as bytes.
    names: Vec<u8>,
}

/// Some calls of one kind.
struct Sum {
    summary: Summary,
    /// What they cost one by one; none of them has a price, or all have.
    cost: Option<Usd>,
}

impl<'t> Sums<'t> {
    pub(super) fn new(tariff: &'t Tariff) -> Sums<'t> {
        Sums { tariff, brackets: tariff.brackets(), sums: BTreeMap::new(), calls: 0 }
    }

    /// How many calls were added.
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    /// Adds a call.
    pub(super) fn add(&mut self, usage: &Usage) {
        let common = common(usage);
        let kind = Kind {
            quarter: quarter(usage.at),
            done: quarter(usage.done_if_begun(usage.at)),
            bracket: self.brackets.of(usage),
            names: rmp_serde::to_vec(&common).expect("a usage holds only what MessagePack can hold"),
        };
        let cost = self.tariff.cost_of(usage, AsOf::Call).usd();
        self.calls += 1;
        let sums = self.sums.entry(kind).or_default();
        if !sums.last_mut().is_some_and(|sum| sum.add(usage, cost)) {
            sums.push(Sum::of(common, usage, cost));
        }
    }

    /// The summaries, by time.
    pub(super) fn into_summaries(self) -> impl Iterator<Item = Summary> {
        let Sums { tariff, sums, .. } = self;
        sums.into_values().flatten().map(move |Sum { mut summary, cost }| {
            if let (Some(each), Some(sum)) = (cost, tariff.cost_of_summary(&summary, AsOf::Call).usd()) {
                summary.rounding = each - sum;
            }
            summary
        })
    }
}

impl Sum {
    fn of(common: Usage, usage: &Usage, cost: Option<Usd>) -> Sum {
        let Usage { at, tokens, fees, requests, reported_cost, latency_ms, .. } = *usage;
        Sum {
            summary: Summary {
                usage: Usage { at, tokens, fees, requests, reported_cost, latency_ms, ..common },
                calls: 1,
                rounding: Usd::ZERO,
            },
            cost,
        }
    }

    /// Adds one more call, unless a number would be more than can be counted, so that nothing is ever cut off. Whether it did.
    fn add(&mut self, call: &Usage, cost: Option<Usd>) -> bool {
        let Summary { usage, calls, rounding: _ } = &mut self.summary;
        let (Some(tokens), Some(fees), Some(requests), Some(reported_cost), Some(cost)) = (
            usage.tokens.checked_add(&call.tokens),
            usage.fees.checked_add(call.fees),
            summed_requests(usage.requests, call.requests),
            both(usage.reported_cost, call.reported_cost),
            both(self.cost, cost),
        ) else {
            return false;
        };
        (usage.at, usage.latency_ms) = (usage.at, usage.latency_ms).min((call.at, call.latency_ms));
        (usage.tokens, usage.fees, usage.requests, usage.reported_cost) = (tokens, fees, requests, reported_cost);
        *calls += 1;
        self.cost = cost;
        true
    }
}

/// The requests of two calls of one bracket, of which both are sums or none is, and both are counted or none is.
fn summed_requests(one: Option<u32>, other: Option<u32>) -> Option<Option<u32>> {
    match (one, other) {
        (Some(one), Some(other)) => one.checked_add(other).map(Some),
        (None, None) => Some(None),
        (Some(_), None) | (None, Some(_)) => None,
    }
}

/// The sum of two amounts of calls of one kind, of which both have one or none has.
fn both(one: Option<Usd>, other: Option<Usd>) -> Option<Option<Usd>> {
    match (one, other) {
        (Some(one), Some(other)) => one.pico().checked_add(other.pico()).map(|sum| Some(Usd::from_pico(sum))),
        (None, None) => Some(None),
        (Some(_), None) | (None, Some(_)) => None,
    }
}

/// What a summary keeps of a call but for its numbers.
// Taken apart without `..`, so that for a new field of `Usage` it is decided here whether it outlasts the single call.
fn common(usage: &Usage) -> Usage {
    let Usage {
        at: _,
        provider,
        family,
        model,
        request_model,
        call_id: _,
        request_id: _,
        carried: _,
        device,
        client,
        project,
        session: _,
        branch: _,
        tier,
        geo,
        tokens: _,
        fees: _,
        requests: _,
        certainty,
        reported_cost: _,
        latency_ms: _,
        status: _,
        sources,
    } = usage;
    Usage {
        provider: provider.clone(),
        family: family.clone(),
        model: model.clone(),
        request_model: request_model.clone(),
        device: device.clone(),
        client: client.clone(),
        project: project.clone(),
        tier: tier.clone(),
        geo: geo.clone(),
        certainty: *certainty,
        sources: *sources,
        ..Usage::default()
    }
}
