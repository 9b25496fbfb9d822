//! Who saw the calls: clients' own logs, the proxy, or both? What only the proxy saw of a client that keeps a log is hidden spend.

use super::{CallRow, Fault, Filter, Query, View, calls::Found, spend_by, storage_fault};
use crate::{
    AsOf, Day, Source, Sources, Span, Timestamp, Usage, Usd,
    log::segment::{Columns, Side},
    prices::Terms,
    projections::{Apart, Names, RatedTerms, Scope, apart, rows},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Who saw the calls of each client? Reads the log.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Coverage {
    /// The first day, from the first call on if not named.
    pub first: Option<Day>,
    /// The last day, today if not named.
    pub last: Option<Day>,
    /// Which calls count.
    pub filter: Filter,
    /// Whether the calls of the hidden spend are to be told one by one.
    pub calls: bool,
}

/// The answer to [`Coverage`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct CoverageAnswer {
    /// The first day that is counted.
    pub first: Day,
    /// The last day that is counted.
    pub last: Day,
    /// All clients together.
    pub total: CoverageRow,
    /// The most hidden first, then the dearest.
    pub rows: Vec<CoverageRow>,
    /// The calls of the hidden spend, oldest first, if they were asked for.
    pub hidden_calls: Vec<CallRow>,
}

/// Who saw the calls of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct CoverageRow {
    /// The client; `null` where the calls name none, and in the total.
    pub client: Option<String>,
    /// Whether the ledger has anything from a log of the client's, whenever it was.
    pub keeps_log: bool,
    /// Calls that stand in the client's log, and that the proxy did not carry.
    pub log_only: Seen,
    /// Calls that the proxy carried, and that no log tells of.
    pub proxy_only: Seen,
    /// Calls that both saw.
    pub both: Seen,
    /// Calls that neither saw: entered by hand, or told by telemetry.
    pub neither: Seen,
    /// Of `proxy_only`: what a log hides that is kept.
    pub hidden: Seen,
}

/// Some calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Seen {
    /// How many they are.
    pub calls: u64,
    /// What those of them cost that have a price.
    pub usd: Usd,
    /// How many of them have none.
    pub unpriced_calls: u64,
}

impl Seen {
    fn of(calls: u64, cost: Option<Usd>) -> Seen {
        Seen { calls, usd: cost.unwrap_or(Usd::ZERO), unpriced_calls: if cost.is_some() { 0 } else { calls } }
    }

    // A part of a sum may be less than nothing for a while, so counts go round; the whole never is.
    fn add(&mut self, other: &Seen) {
        self.calls = self.calls.wrapping_add(other.calls);
        self.usd += other.usd;
        self.unpriced_calls = self.unpriced_calls.wrapping_add(other.unpriced_calls);
    }

    fn subtract(&mut self, other: &Seen) {
        self.calls = self.calls.wrapping_sub(other.calls);
        self.usd -= other.usd;
        self.unpriced_calls = self.unpriced_calls.wrapping_sub(other.unpriced_calls);
    }
}

/// Who saw a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Log,
    Proxy,
    Both,
    Neither,
}

impl By {
    fn of(sources: Sources) -> By {
        match (sources.has(Source::Log), sources.has(Source::Proxy) || sources.has(Source::Connect)) {
            (true, false) => By::Log,
            (false, true) => By::Proxy,
            (true, true) => By::Both,
            (false, false) => By::Neither,
        }
    }
}

impl Query for Coverage {
    const NAME: &'static str = "coverage";
    type Answer = CoverageAnswer;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<CoverageAnswer, Fault> {
        let (first, last) = spend_by::days(view, self.first, self.last, now)?;
        let span = view.zone.days_span(first, last);
        let mut sums = Sums {
            view,
            span,
            scope: view.scope(&self.filter),
            rated: RatedTerms::default(),
            rows: BTreeMap::new(),
            logged: BTreeMap::new(),
        };
        // From beginning to end, since whether a client keeps a log is no matter of days.
        view.log.fold_columns(Span::ALWAYS, &mut |columns| sums.fold(columns)).map_err(|error| storage_fault(&error))?;
        let rows = sums.rows();
        let hidden_calls = if self.calls { self.hidden_calls(view, span, &rows)? } else { Vec::new() };
        let total = rows.iter().fold(CoverageRow::default(), |mut total, row| {
            total.add(row);
            total
        });
        Ok(CoverageAnswer { first, last, total, rows, hidden_calls })
    }
}

impl Coverage {
    fn hidden_calls(&self, view: &View<'_>, span: Span, rows: &[CoverageRow]) -> Result<Vec<CallRow>, Fault> {
        let keepers: BTreeSet<&str> = rows.iter().filter(|row| row.keeps_log).filter_map(|row| row.client.as_deref()).collect();
        let found = Found::replayed(view.log, span, view.scope(&self.filter))?;
        let (tariff, home) = (view.projections.tariff(), view.log.device());
        let is_hidden =
            |usage: &Usage| By::of(usage.sources) == By::Proxy && usage.client.as_deref().is_some_and(|client| keepers.contains(client));
        let hidden = found.calls.iter().filter(|(_, usage)| is_hidden(usage));
        let mut calls: Vec<CallRow> =
            hidden.map(|(key, usage)| CallRow::new(*key, usage, tariff, home).shown(&view.projections.projects)).collect();
        calls.sort_by_key(|row| (row.at, row.key));
        Ok(calls)
    }
}

/// What is added up while the log is read.
struct Sums<'a> {
    view: &'a View<'a>,
    span: Span,
    scope: Scope<'a>,
    rated: RatedTerms,
    rows: BTreeMap<Option<String>, CoverageRow>,
    /// How many calls of each client some log told of, in all days.
    logged: BTreeMap<String, i64>,
}

impl Sums<'_> {
    fn fold(&mut self, columns: &Columns<'_>) {
        let tariff = self.view.projections.tariff();
        let profiles: Vec<_> = columns
            .profiles
            .iter()
            .map(|profile| {
                let wanted = self.scope.has(&Names::of_profile(profile));
                (wanted, By::of(profile.sources), profile.client, self.rated.of(&Terms::of_profile(profile), tariff))
            })
            .collect();
        for row in rows(columns) {
            let (wanted, by, client, rated) = &profiles[row.profile];
            self.log_of(*client, *by, if row.side == Side::Added { 1 } else { -1 });
            if *wanted && self.span.contains(row.call.at) {
                let seen = Seen::of(1, rated.cost_of(&row.call, AsOf::Call));
                let place = self.place(*client, *by);
                match row.side {
                    Side::Added => place.add(&seen),
                    Side::Taken => place.subtract(&seen),
                }
            }
        }
        for apart in apart(columns) {
            match apart {
                Apart::Sums(summary) => {
                    let cost = tariff.cost_of_summary(summary, AsOf::Call).usd();
                    self.whole(&summary.usage, summary.calls, cost, Side::Added);
                }
                Apart::TakenAway(before) => self.whole(before, 1, tariff.cost_of(before, AsOf::Call).usd(), Side::Taken),
            }
        }
    }

    /// Adds or takes away what stands in no column.
    fn whole(&mut self, usage: &Usage, calls: u64, cost: Option<Usd>, side: Side) {
        let (client, by) = (usage.client.as_deref(), By::of(usage.sources));
        self.log_of(client, by, if side == Side::Added { 1 } else { -1 });
        if !self.scope.has(&Names::of(usage)) || !self.span.contains(usage.at) {
            return;
        }
        let place = self.place(client, by);
        match side {
            Side::Added => place.add(&Seen::of(calls, cost)),
            Side::Taken => place.subtract(&Seen::of(calls, cost)),
        }
    }

    fn log_of(&mut self, client: Option<&str>, by: By, calls: i64) {
        let (Some(client), By::Log | By::Both) = (client, by) else { return };
        match self.logged.get_mut(client) {
            Some(logged) => *logged += calls,
            None => drop(self.logged.insert(client.to_owned(), calls)),
        }
    }

    fn place(&mut self, client: Option<&str>, by: By) -> &mut Seen {
        let row = self.rows.entry(client.map(str::to_owned)).or_default();
        match by {
            By::Log => &mut row.log_only,
            By::Proxy => &mut row.proxy_only,
            By::Both => &mut row.both,
            By::Neither => &mut row.neither,
        }
    }

    fn rows(self) -> Vec<CoverageRow> {
        let finish = |(client, row): (Option<String>, CoverageRow)| {
            let keeps_log = client.as_ref().and_then(|client| self.logged.get(client)).is_some_and(|calls| *calls > 0);
            let hidden = if keeps_log { row.proxy_only } else { Seen::default() };
            CoverageRow { client, keeps_log, hidden, ..row }
        };
        let mut rows: Vec<CoverageRow> = self.rows.into_iter().map(finish).filter(|row| row.calls() > 0).collect();
        let dollars = |row: &CoverageRow| row.log_only.usd + row.proxy_only.usd + row.both.usd + row.neither.usd;
        rows.sort_by(|one, other| {
            (other.hidden.usd, dollars(other)).cmp(&(one.hidden.usd, dollars(one))).then_with(|| one.client.cmp(&other.client))
        });
        rows
    }
}

impl CoverageRow {
    fn calls(&self) -> u64 {
        [self.log_only, self.proxy_only, self.both, self.neither].iter().map(|seen| seen.calls).sum()
    }

    fn add(&mut self, other: &CoverageRow) {
        self.keeps_log |= other.keeps_log;
        self.log_only.add(&other.log_only);
        self.proxy_only.add(&other.proxy_only);
        self.both.add(&other.both);
        self.neither.add(&other.neither);
        self.hidden.add(&other.hidden);
    }
}
