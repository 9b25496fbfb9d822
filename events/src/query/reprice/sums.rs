//! The calls of a span, added up at the prices of their time and at those asked for, on two threads where there is enough of them.

use super::{RepriceRates, RepriceRow, kinds::Kind};
use crate::{
    AsOf, Day, LogError, Row, Span, Summary, Tariff, Timestamp, Usage, Usd,
    log::segment::{Columns, Side},
    prices::{Consumed, Rated},
    projections::{Apart, Scope, apart, rows},
    query::{Dimension, Filter, View, days::Days, spend_by},
    tariff::Swap,
};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, HashMap};

/// The most kinds of calls whose rates an answer names.
const RATES_MAX: usize = 500;

/// Which calls are priced again, and by what.
pub(in crate::query) struct Asked<'a> {
    pub(in crate::query) filter: &'a Filter,
    pub(in crate::query) tariff: &'a Tariff,
    pub(in crate::query) as_of: AsOf,
    pub(in crate::query) swap: Swap,
}

/// What came of it.
#[derive(Default)]
pub(in crate::query) struct Repriced {
    sums: HashMap<Kind, BTreeMap<Option<Day>, Sum>>,
}

impl Repriced {
    /// Prices the calls of a span again, all that is asked in one pass over the log. `by`: what rows will be cut by.
    pub(in crate::query) fn of(view: &View<'_>, span: Span, by: &[Dimension], asked: &[Asked<'_>]) -> Result<Vec<Repriced>, LogError> {
        let share = |part: (u64, usize)| {
            let mut share = Share::new(view, span, by, asked);
            view.log.fold_share(span, part, &mut |columns| share.fold(columns))?;
            Ok::<_, LogError>(share.counted())
        };
        let counted = view.log.on_two_threads(&share)?;
        let mut repriced: Vec<Repriced> = asked.iter().map(|_| Repriced::default()).collect();
        for (nth, kind, day, sum) in counted.into_iter().flatten() {
            repriced[nth].sums.entry(kind).or_default().entry(day).or_default().add(&sum);
        }
        Ok(repriced)
    }

    /// All of it.
    pub(in crate::query) fn total(&self) -> RepriceRow {
        let mut total = Sum::default();
        self.sums.values().flat_map(BTreeMap::values).for_each(|sum| total.add(sum));
        total.row(Vec::new())
    }

    /// A row for each combination of names, in no order.
    pub(in crate::query) fn rows(&self, view: &View<'_>, by: &[Dimension]) -> Vec<RepriceRow> {
        let (home, projects) = (view.log.device(), &view.projections.projects);
        let mut rows = HashMap::<Vec<Option<String>>, Sum>::new();
        for (kind, days) in &self.sums {
            for (day, sum) in days {
                rows.entry(spend_by::names(by, *day, &kind.names().shown(projects), home)).or_default().add(sum);
            }
        }
        rows.into_iter().filter(|(_, sum)| sum.calls > 0).map(|(names, sum)| sum.row(names)).collect()
    }
}

/// What is added up of one part of the log.
struct Share<'a> {
    by_day: Days,
    span: Span,
    then: &'a Tariff,
    asked: &'a [Asked<'a>],
    scopes: Vec<Scope<'a>>,
    unswapped: Swap,
    /// By the bytes of a profile, since they are the same in every segment; none where no question is about its calls.
    known: FxHashMap<Box<[u8]>, Option<u32>>,
    kinds: Vec<Priced>,
    numbers: FxHashMap<Kind, u32>,
    /// Where the sums of a day and kind begin: one for each question that is about its calls.
    places: FxHashMap<(Option<Day>, u32), u32>,
    sums: Vec<Sum>,
}

/// What is known of a kind of calls.
struct Priced {
    kind: Kind,
    then: Rated,
    /// For each question that is about them.
    now: Vec<(usize, Rated)>,
    /// The day and sums that a call of it was added to last. A guess: calls of one kind come one after another.
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
    fn new(view: &'a View<'_>, span: Span, by: &[Dimension], asked: &'a [Asked<'a>]) -> Share<'a> {
        Share {
            by_day: Days::of(by, view.zone),
            span,
            then: view.projections.tariff(),
            asked,
            scopes: asked.iter().map(|asked| view.scope(asked.filter)).collect(),
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
            self.count(kind, row.side, 1, row.call.at, |rated, as_of| rated.cost_of(&row.call, as_of));
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
        let Some(kind) = self.kind(Kind::of_usage(usage)).filter(|_| self.span.contains(usage.at)) else { return };
        let call = Consumed::of(usage);
        self.count(kind, Side::Taken, 1, usage.at, |rated, as_of| rated.cost_of(&call, as_of));
    }

    /// Summaries are priced as sums, each at the rates of the band that its calls lie in.
    fn fold_summary(&mut self, summary: &Summary) {
        let at = summary.usage.at;
        let Some(kind) = self.kind(Kind::of_usage(&summary.usage)).filter(|_| self.span.contains(at)) else { return };
        let call = Consumed::of_summary(summary);
        let rounded = |usd: Usd, as_of| if as_of == AsOf::Call { usd + summary.rounding } else { usd };
        self.count(kind, Side::Added, summary.calls, at, |rated, as_of| rated.cost_of(&call, as_of).map(|usd| rounded(usd, as_of)));
    }

    /// Adds or takes away some calls, for every question that is about them.
    fn count(&mut self, kind: u32, side: Side, calls: u64, at: Timestamp, cost: impl Fn(&Rated, AsOf) -> Option<Usd>) {
        let place = self.place(at, kind);
        let priced = &self.kinds[kind as usize];
        let then = cost(&priced.then, AsOf::Call);
        for ((nth, now), sum) in priced.now.iter().zip(&mut self.sums[place..]) {
            let some = Sum::of(calls, at, (then, cost(now, self.asked[*nth].as_of)));
            match side {
                Side::Added => sum.add(&some),
                Side::Taken => sum.subtract(&some),
            }
        }
    }

    fn kind(&mut self, kind: Kind) -> Option<u32> {
        if let Some(place) = self.numbers.get(&kind) {
            return Some(*place);
        }
        let (names, terms) = (kind.names(), kind.terms());
        let questions = self.asked.iter().enumerate().zip(&self.scopes).filter(|(_, scope)| scope.has(&names));
        let now: Vec<_> = questions.map(|((nth, asked), _)| (nth, asked.tariff.rated(&terms, &asked.swap))).collect();
        if now.is_empty() {
            return None;
        }
        let then = self.then.rated(&terms, &self.unswapped);
        let number = u32::try_from(self.kinds.len()).expect("fewer than four thousand million kinds of calls");
        self.numbers.insert(kind.clone(), number);
        self.kinds.push(Priced { kind, then, now, last: (None, u32::MAX) });
        Some(number)
    }

    /// Where the sums of a kind's calls of a day begin.
    fn place(&mut self, at: Timestamp, kind: u32) -> usize {
        let day = self.by_day.day(at);
        let priced = &mut self.kinds[kind as usize];
        if priced.last.0 != day || priced.last.1 == u32::MAX {
            let new = u32::try_from(self.sums.len()).expect("fewer than four thousand million days and kinds");
            let place = *self.places.entry((day, kind)).or_insert(new);
            if place == new {
                self.sums.resize(self.sums.len() + priced.now.len(), Sum::default());
            }
            priced.last = (day, place);
        }
        priced.last.1 as usize
    }

    /// Each question by its number, with the sums of each kind and day.
    fn counted(self) -> Vec<(usize, Kind, Option<Day>, Sum)> {
        let Share { kinds, places, sums, .. } = self;
        let of_place = |((day, kind), place): ((Option<Day>, u32), u32)| {
            let Priced { kind, now, .. } = &kinds[kind as usize];
            let sums = now.iter().zip(&sums[place as usize..]);
            sums.map(|((nth, _), sum)| (*nth, kind.clone(), day, *sum)).collect::<Vec<_>>()
        };
        places.into_iter().flat_map(of_place).collect()
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

impl Repriced {
    /// By which prices the calls were priced: one for each provider, model and tier.
    pub(in crate::query) fn rates(&self, then: &Tariff, asked: &Asked<'_>) -> Vec<RepriceRates> {
        rates(&self.sums, then, asked)
    }
}

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
