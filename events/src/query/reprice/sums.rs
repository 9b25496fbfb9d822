//! The calls of a span, added up at the prices of their time and at those asked for, on two threads where there is enough of them.

use super::{RepriceRates, RepriceRow, kinds::Kind};
use crate::{
    AsOf, Day, Event, LogError, Row, Span, Summary, Tariff, Timestamp, Usd,
    log::segment::{Columns, Side},
    prices::{Consumed, Rated},
    projections::{Scope, rows},
    query::{Dimension, Filter, View, days::Days, spend_by},
    tariff::Swap,
};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, HashMap};

/// The most kinds of calls whose rates an answer names.
const RATES_MAX: usize = 500;

/// By what calls are priced again.
pub(in crate::query) struct Asked<'a> {
    pub(in crate::query) tariff: &'a Tariff,
    pub(in crate::query) as_of: AsOf,
    pub(in crate::query) swap: Swap,
}

/// What came of it.
pub(in crate::query) struct Repriced {
    pub(in crate::query) total: RepriceRow,
    /// One for each combination of names, in no order.
    pub(in crate::query) rows: Vec<RepriceRow>,
    pub(in crate::query) rates: Vec<RepriceRates>,
}

impl Repriced {
    /// Prices the calls of a span again.
    pub(in crate::query) fn of(
        view: &View<'_>,
        span: Span,
        filter: &Filter,
        by: &[Dimension],
        asked: &Asked<'_>,
    ) -> Result<Repriced, LogError> {
        let share = |part: (u64, usize)| {
            let mut share = Share::new(view, span, filter, by, asked);
            view.log.fold_share(span, part, &mut |columns| share.fold(columns))?;
            Ok::<_, LogError>(share.counted())
        };
        let counted = view.log.on_two_threads(&share)?;
        let mut sums: HashMap<Kind, BTreeMap<Option<Day>, Sum>> = HashMap::new();
        for (kind, day, sum) in counted.into_iter().flatten() {
            sums.entry(kind).or_default().entry(day).or_default().add(&sum);
        }
        let home = view.log.device();
        let (mut total, mut rows) = (Sum::default(), HashMap::<Vec<Option<String>>, Sum>::new());
        for (kind, days) in &sums {
            for (day, sum) in days {
                total.add(sum);
                rows.entry(spend_by::names(by, *day, &kind.names(), home)).or_default().add(sum);
            }
        }
        let rows = rows.into_iter().filter(|(_, sum)| sum.calls > 0).map(|(names, sum)| sum.row(names)).collect();
        Ok(Repriced { total: total.row(Vec::new()), rows, rates: rates(&sums, view.projections.tariff(), asked) })
    }
}

/// What is added up of one part of the log.
struct Share<'a> {
    by_day: Days,
    span: Span,
    scope: Scope<'a>,
    then: &'a Tariff,
    asked: &'a Asked<'a>,
    unswapped: Swap,
    /// By the bytes of a profile, since they are the same in every segment; none where the question is not about its calls.
    known: FxHashMap<Box<[u8]>, Option<u32>>,
    kinds: Vec<Priced>,
    numbers: FxHashMap<Kind, u32>,
    places: FxHashMap<(Option<Day>, u32), u32>,
    sums: Vec<Sum>,
}

/// What is known of a kind of calls.
struct Priced {
    kind: Kind,
    then: Rated,
    now: Rated,
    /// The day and sum that a call of it was added to last. A guess: calls of one kind come one after another.
    last: (Option<Day>, u32),
}

/// Of some calls. Signed: a restated call is taken away, perhaps from another row than the one that it is added to.
#[derive(Clone, Copy)]
pub(in crate::query) struct Sum {
    calls: i64,
    then_usd: Usd,
    now_usd: Usd,
    unpriced_calls: i64,
    /// When the first and the last of them were made.
    times: (Timestamp, Timestamp),
}

impl Default for Sum {
    fn default() -> Sum {
        Sum { calls: 0, then_usd: Usd::ZERO, now_usd: Usd::ZERO, unpriced_calls: 0, times: (Span::ALWAYS.until, Span::ALWAYS.from) }
    }
}

impl<'a> Share<'a> {
    fn new(view: &'a View<'_>, span: Span, filter: &'a Filter, by: &[Dimension], asked: &'a Asked<'a>) -> Share<'a> {
        Share {
            by_day: Days::of(by, view.zone),
            span,
            scope: view.scope(filter),
            then: view.projections.tariff(),
            asked,
            unswapped: Swap::default(),
            known: FxHashMap::default(),
            kinds: Vec::new(),
            numbers: FxHashMap::default(),
            places: FxHashMap::default(),
            sums: Vec::new(),
        }
    }

    fn fold(&mut self, columns: &Columns<'_>) {
        let kinds: Vec<Option<u32>> = columns
            .profiles
            .iter()
            .map(|profile| match self.known.get(profile.bytes) {
                Some(known) => *known,
                None => {
                    let known = self.kind(Kind::of_profile(profile));
                    self.known.insert(profile.bytes.into(), known);
                    known
                }
            })
            .collect();
        for row in rows(columns) {
            let Some(kind) = kinds[row.profile] else { continue };
            if !self.span.contains(row.call.at) {
                continue;
            }
            let priced = &self.kinds[kind as usize];
            let costs = (priced.then.cost_of(&row.call, AsOf::Call), priced.now.cost_of(&row.call, self.asked.as_of));
            let one = Sum::of(1, row.call.at, costs);
            let sum = self.sum(row.call.at, kind);
            match row.side {
                Side::Added => sum.add(&one),
                Side::Taken => sum.subtract(&one),
            }
        }
        for entry in &columns.others {
            match &entry.event {
                Event::Summarised { summary } => self.fold_summary(summary),
                Event::Used { .. }
                | Event::Restated { .. }
                | Event::BudgetSet { .. }
                | Event::BudgetRemoved { .. }
                | Event::AlertRaised { .. }
                | Event::PriceBookAdopted { .. }
                | Event::PriceSet { .. }
                | Event::PriceUnset { .. }
                | Event::PricesMultiplied { .. }
                | Event::Folded { .. }
                | Event::Lost => {}
            }
        }
    }

    /// Summaries are priced as sums, each at the rates of the band that its calls lie in.
    fn fold_summary(&mut self, summary: &Summary) {
        let at = summary.usage.at;
        let Some(kind) = self.kind(Kind::of_usage(&summary.usage)).filter(|_| self.span.contains(at)) else { return };
        let call = Consumed::of_summary(summary);
        let rounded = |usd: Usd, as_of| if as_of == AsOf::Call { usd + summary.rounding } else { usd };
        let priced = &self.kinds[kind as usize];
        let then = priced.then.cost_of(&call, AsOf::Call).map(|usd| rounded(usd, AsOf::Call));
        let now = priced.now.cost_of(&call, self.asked.as_of).map(|usd| rounded(usd, self.asked.as_of));
        self.sum(at, kind).add(&Sum::of(summary.calls, at, (then, now)));
    }

    fn kind(&mut self, kind: Kind) -> Option<u32> {
        if !self.scope.has(&kind.names()) {
            return None;
        }
        if let Some(place) = self.numbers.get(&kind) {
            return Some(*place);
        }
        let then = self.then.rated(&kind.terms(), &self.unswapped);
        let now = self.asked.tariff.rated(&kind.terms(), &self.asked.swap);
        let number = u32::try_from(self.kinds.len()).expect("fewer than four thousand million kinds of calls");
        self.numbers.insert(kind.clone(), number);
        self.kinds.push(Priced { kind, then, now, last: (None, u32::MAX) });
        Some(number)
    }

    fn sum(&mut self, at: Timestamp, kind: u32) -> &mut Sum {
        let day = self.by_day.day(at);
        let last = &mut self.kinds[kind as usize].last;
        if last.0 != day || last.1 == u32::MAX {
            let new = u32::try_from(self.sums.len()).expect("fewer than four thousand million days and kinds");
            let place = *self.places.entry((day, kind)).or_insert(new);
            if place == new {
                self.sums.push(Sum::default());
            }
            *last = (day, place);
        }
        &mut self.sums[last.1 as usize]
    }

    fn counted(self) -> Vec<(Kind, Option<Day>, Sum)> {
        let Share { kinds, places, sums, .. } = self;
        places.into_iter().map(|((day, kind), place)| (kinds[kind as usize].kind.clone(), day, sums[place as usize])).collect()
    }
}

impl Sum {
    /// Some calls, which cost so much then and now.
    fn of(calls: u64, at: Timestamp, costs: (Option<Usd>, Option<Usd>)) -> Sum {
        let calls = i64::try_from(calls).unwrap_or(i64::MAX);
        let times = (at, at);
        match costs {
            (Some(then_usd), Some(now_usd)) => Sum { calls, then_usd, now_usd, unpriced_calls: 0, times },
            (None, _) | (_, None) => Sum { calls, unpriced_calls: calls, times, ..Sum::default() },
        }
    }

    fn add(&mut self, other: &Sum) {
        self.calls += other.calls;
        self.then_usd += other.then_usd;
        self.now_usd += other.now_usd;
        self.unpriced_calls += other.unpriced_calls;
        self.times = (self.times.0.min(other.times.0), self.times.1.max(other.times.1));
    }

    fn subtract(&mut self, other: &Sum) {
        self.calls -= other.calls;
        self.then_usd -= other.then_usd;
        self.now_usd -= other.now_usd;
        self.unpriced_calls -= other.unpriced_calls;
    }

    fn row(self, names: Vec<Option<String>>) -> RepriceRow {
        RepriceRow {
            names,
            calls: u64::try_from(self.calls).unwrap_or(0),
            then_usd: self.then_usd,
            now_usd: self.now_usd,
            difference_usd: self.now_usd - self.then_usd,
            unpriced_calls: u64::try_from(self.unpriced_calls).unwrap_or(0),
        }
    }
}

/// By which prices the calls were priced: one for each provider, model and tier.
fn rates(sums: &HashMap<Kind, BTreeMap<Option<Day>, Sum>>, then: &Tariff, asked: &Asked<'_>) -> Vec<RepriceRates> {
    let mut rates: BTreeMap<(String, Option<String>, Option<String>), RepriceRates> = BTreeMap::new();
    for (kind, days) in sums {
        let mut sum = Sum::default();
        days.values().for_each(|day| sum.add(day));
        if sum.calls <= 0 {
            continue;
        }
        let terms = kind.terms();
        let (provider, model, tier) = (terms.provider.to_owned(), terms.model.map(str::to_owned), terms.tier.map(str::to_owned));
        let rate = rates.entry((provider.clone(), model.clone(), tier.clone())).or_insert_with(|| RepriceRates {
            provider,
            model,
            tier,
            ..RepriceRates::default()
        });
        rate.calls += u64::try_from(sum.calls).unwrap_or(0);
        rate.then_usd += sum.then_usd;
        rate.now_usd += sum.now_usd;
        let made = Span { from: sum.times.0, until: sum.times.1.plus_micros(1) };
        let asked_at = match asked.as_of {
            AsOf::Call => made,
            AsOf::Instant(at) => Span { from: at, until: at.plus_micros(1) },
        };
        add_new(&mut rate.then, then.rows_in(&terms, &Swap::default(), made));
        add_new(&mut rate.now, asked.tariff.rows_in(&terms, &asked.swap, asked_at));
    }
    let mut rates: Vec<RepriceRates> = rates.into_values().collect();
    rates.sort_by_key(|rate| std::cmp::Reverse((rate.now_usd - rate.then_usd).pico().unsigned_abs()));
    rates.truncate(RATES_MAX);
    rates
}

fn add_new(rows: &mut Vec<Row>, more: Vec<Row>) {
    more.into_iter().for_each(|row| {
        if !rows.contains(&row) {
            rows.push(row);
        }
    });
}
