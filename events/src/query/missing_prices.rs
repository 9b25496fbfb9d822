//! Which calls have no price, and why?

pub(super) mod near;

use super::{Fault, Filter, Query, View, spend_by, storage_fault};
use crate::{
    AsOf, Certainty, Cost, Day, Span, Summary, Tariff, Timestamp, Tokens, Unpriced, Usage,
    log::segment::{Columns, Side},
    prices::{Rated, Terms},
    projections::{Apart, Names, Scope, apart, rows},
    tariff::Swap,
};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};

/// Which calls have no price? Those about whose tokens nothing is known are not among them: no price would help.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct MissingPrices {
    /// The first day, from the first call on if not named.
    pub first: Option<Day>,
    /// The last day, today if not named.
    pub last: Option<Day>,
    /// Which calls count.
    pub filter: Filter,
}

/// The answer to [`MissingPrices`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct MissingPricesAnswer {
    /// The first day that is counted.
    pub first: Day,
    /// The last day that is counted.
    pub last: Day,
    /// All calls without a price.
    pub calls: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Most tokens first.
    pub rows: Vec<MissingPricesRow>,
}

/// Calls without a price that have all in common that decides about one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct MissingPricesRow {
    /// Who was called.
    pub provider: String,
    /// The model, where one is known.
    pub model: Option<String>,
    /// How it was served, in the provider's word.
    pub tier: Option<String>,
    /// Why there is no price.
    pub reason: String,
    /// The calls.
    pub calls: u64,
    /// Tokens that went in, cached ones included.
    pub tokens_in: u64,
    /// Tokens that came out.
    pub tokens_out: u64,
    /// The first of them.
    pub first_at: Timestamp,
    /// The last of them.
    pub last_at: Timestamp,
    /// Priced models whose names look alike, the likest first. A hint for a reader: no call is priced by it.
    pub nearest: Vec<NearName>,
}

/// A model of the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct NearName {
    /// Whose.
    pub provider: String,
    /// Its name.
    pub model: String,
}

impl Query for MissingPrices {
    const NAME: &'static str = "missing_prices";
    type Answer = MissingPricesAnswer;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<MissingPricesAnswer, Fault> {
        let (first, last) = spend_by::days(view, self.first, self.last, now)?;
        let (tariff, span) = (view.projections.tariff(), view.zone.days_span(first, last));
        let mut sums = Sums { tariff, span, scope: view.scope(&self.filter), known: FxHashMap::default(), sums: HashMap::new() };
        view.log.fold_columns(span, &mut |columns| sums.fold(columns)).map_err(|error| storage_fault(&error))?;
        let mut rows: Vec<MissingPricesRow> = sums.sums.into_iter().filter_map(|(kind, sum)| sum.row(kind)).collect();
        rows.sort_by(|one, other| {
            let size = |row: &MissingPricesRow| (row.tokens_in + row.tokens_out, row.calls);
            size(other)
                .cmp(&size(one))
                .then_with(|| (&one.provider, &one.model, &one.tier).cmp(&(&other.provider, &other.model, &other.tier)))
        });
        let names = near::Names::of(tariff);
        rows.iter_mut().for_each(|row| row.nearest = row.model.as_deref().map(|model| names.nearest(model)).unwrap_or_default());
        let tokens = rows.iter().map(|row| row.tokens_in + row.tokens_out).sum();
        Ok(MissingPricesAnswer { first, last, calls: rows.iter().map(|row| row.calls).sum(), tokens, rows })
    }
}

/// What is added up while the log is read.
struct Sums<'a> {
    tariff: &'a Tariff,
    span: Span,
    scope: Scope<'a>,
    /// By the bytes of a profile; none where the question is not about its calls.
    known: FxHashMap<Box<[u8]>, Option<Known>>,
    sums: HashMap<Arc<Kind>, Sum>,
}

/// What is known of a profile: of what kind its calls are, and what they cost.
type Known = (Arc<Kind>, Arc<Rated>);

/// What decides about a price, and may say why there is none.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    provider: String,
    model: Option<String>,
    tier: Option<String>,
}

impl Kind {
    fn of(usage: &Usage) -> Kind {
        let model = usage.model.clone().or_else(|| usage.request_model.clone());
        Kind { provider: usage.provider.clone(), model, tier: usage.tier.clone() }
    }
}

/// Of some calls. Signed, since a restated call is taken away.
#[derive(Default)]
struct Sum {
    calls: i64,
    tokens_in: i128,
    tokens_out: i128,
    times: Option<(Timestamp, Timestamp)>,
    reason: Option<Unpriced>,
}

impl Sums<'_> {
    fn fold(&mut self, columns: &Columns<'_>) {
        let known: Vec<_> = columns
            .profiles
            .iter()
            .map(|profile| {
                if let Some(known) = self.known.get(profile.bytes) {
                    return known.clone();
                }
                let own = |name: Option<&str>| name.map(str::to_owned);
                let is_asked = profile.certainty != Certainty::Unknown && self.scope.has(&Names::of_profile(profile));
                let known = is_asked.then(|| {
                    let kind = Kind {
                        provider: profile.provider.to_owned(),
                        model: own(profile.model.or(profile.request_model)),
                        tier: own(profile.tier),
                    };
                    (Arc::new(kind), Arc::new(self.tariff.rated(&Terms::of_profile(profile), &Swap::default())))
                });
                self.known.insert(profile.bytes.into(), known.clone());
                known
            })
            .collect();
        for row in rows(columns) {
            let Some((kind, rated)) = &known[row.profile] else { continue };
            if !self.span.contains(row.call.at) || rated.cost_of(&row.call, AsOf::Call).is_some() {
                continue;
            }
            let sum = self.sums.entry(kind.clone()).or_default();
            sum.count(if row.side == Side::Added { 1 } else { -1 }, row.call.at, row.call.tokens);
            if sum.reason.is_none() {
                sum.reason = Some(self.tariff.unpriced(&columns.profiles[row.profile], &row.call));
            }
        }
        for apart in apart(columns) {
            match apart {
                Apart::Sums(summary) => self.fold_summary(summary),
                Apart::TakenAway(before) => self.take_away(before),
            }
        }
    }

    /// Takes away what a match counts elsewhere.
    fn take_away(&mut self, usage: &Usage) {
        let is_asked = self.span.contains(usage.at) && self.scope.has(&Names::of(usage)) && usage.certainty != Certainty::Unknown;
        if is_asked && self.tariff.cost_of(usage, AsOf::Call).usd().is_none() {
            self.sums.entry(Arc::new(Kind::of(usage))).or_default().count(-1, usage.at, &usage.tokens);
        }
    }

    fn fold_summary(&mut self, summary: &Summary) {
        let usage = &summary.usage;
        let is_asked = self.span.contains(usage.at) && self.scope.has(&Names::of(usage)) && usage.certainty != Certainty::Unknown;
        if let (true, Cost::Unpriced { reason }) = (is_asked, self.tariff.cost_of_summary(summary, AsOf::Call)) {
            let sum = self.sums.entry(Arc::new(Kind::of(usage))).or_default();
            sum.count(i64::try_from(summary.calls).unwrap_or(i64::MAX), usage.at, &usage.tokens);
            sum.reason = sum.reason.or(Some(reason));
        }
    }
}

impl Sum {
    fn count(&mut self, calls: i64, at: Timestamp, tokens: &Tokens) {
        let sign = i128::from(calls.signum());
        self.calls += calls;
        self.tokens_in += sign * i128::from(tokens.prompt());
        self.tokens_out += sign * i128::from(tokens.produced());
        if calls > 0 {
            self.times = Some(self.times.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        }
    }

    fn row(self, kind: Arc<Kind>) -> Option<MissingPricesRow> {
        let count = |count: i128| u64::try_from(count).unwrap_or(0);
        let (first_at, last_at) = self.times?;
        (self.calls > 0).then(|| MissingPricesRow {
            provider: kind.provider.clone(),
            model: kind.model.clone(),
            tier: kind.tier.clone(),
            reason: self.reason.map(|reason| reason.to_string()).unwrap_or_default(),
            calls: count(self.calls.into()),
            tokens_in: count(self.tokens_in),
            tokens_out: count(self.tokens_out),
            first_at,
            last_at,
            nearest: Vec::new(),
        })
    }
}
