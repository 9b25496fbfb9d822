//! What was spent, by which day, model, project, provider, client or device?

use super::{Fault, Query, Spend, View, days::Days};
use crate::{
    Day, Span, Timestamp,
    names::OTHER,
    projections::{LabelId, Names},
};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
};

/// What was spent from `first` to `last`, cut by each dimension in turn?
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SpendBy {
    /// One to three dimensions; a row stands for each combination that has calls.
    pub by: Vec<Dimension>,
    /// The first day, from the first call on if not named.
    #[serde(default)]
    pub first: Option<Day>,
    /// The last day, today if not named.
    #[serde(default)]
    pub last: Option<Day>,
    /// Which calls count.
    #[serde(default)]
    pub filter: Filter,
}

/// What spend can be cut by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Dimension {
    /// Calendar day in the asker's zone.
    Day,
    /// The model that answered.
    Model,
    /// What the call was made for.
    Project,
    /// Who was called.
    Provider,
    /// The program that called.
    Client,
    /// The machine that made the call.
    Device,
}

/// Which calls count: those that match all that is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Filter {
    /// Only this project.
    pub project: Option<String>,
    /// Only this model.
    pub model: Option<String>,
    /// Only this provider.
    pub provider: Option<String>,
    /// Only this client.
    pub client: Option<String>,
    /// Only this device.
    pub device: Option<String>,
}

/// The answer to [`SpendBy`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SpendByAnswer {
    /// The first day that is counted.
    pub first: Day,
    /// The last day that is counted.
    pub last: Day,
    /// All of it.
    pub total: Spend,
    /// By day ascending where the first dimension is the day; else dearest first.
    pub rows: Vec<SpendRow>,
}

/// What one combination of names cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SpendRow {
    /// One name for each dimension that was asked for; `null` where the calls have none.
    pub names: Vec<Option<String>>,
    /// What they cost.
    pub spend: Spend,
}

/// The most dimensions that a question may name.
const DIMENSIONS_MAX: usize = 3;
/// The most rows with names of an answer; what is cheaper is one row.
const ROWS_MAX: usize = 20_000;

impl Query for SpendBy {
    const NAME: &'static str = "spend_by";
    const IS_QUICK: bool = true;
    type Answer = SpendByAnswer;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<SpendByAnswer, Fault> {
        check_dimensions(&self.by)?;
        let (first, last) = days(view, self.first, self.last, now)?;
        let span = view.zone.days_span(first, last);
        Ok(SpendByAnswer {
            first,
            last,
            total: view.projections.spend.total(span, view.scope(&self.filter)),
            rows: bounded(&self.by, rows(view, span, &self.by, &self.filter)),
        })
    }
}

/// The dearest rows, and one that has all others together, for each day where the days are told apart: names can be made up.
fn bounded(by: &[Dimension], mut rows: Vec<SpendRow>) -> Vec<SpendRow> {
    let are_named = by.iter().any(|dimension| *dimension != Dimension::Day);
    if rows.len() <= ROWS_MAX || !are_named {
        return rows;
    }
    rows.sort_by(|one, other| {
        other.spend.usd.cmp(&one.spend.usd).then(other.spend.calls.cmp(&one.spend.calls)).then(one.names.cmp(&other.names))
    });
    let mut others: BTreeMap<Vec<Option<String>>, Spend> = BTreeMap::new();
    for row in rows.split_off(ROWS_MAX) {
        let name =
            |(dimension, name): (&Dimension, Option<String>)| if *dimension == Dimension::Day { name } else { Some(OTHER.to_owned()) };
        others.entry(by.iter().zip(row.names).map(name).collect()).or_default().add(&row.spend);
    }
    for row in &mut rows {
        // A name that is called so, too.
        if let Some(spend) = others.remove(&row.names) {
            row.spend.add(&spend);
        }
    }
    rows.extend(others.into_iter().map(|(names, spend)| SpendRow { names, spend }));
    rows.sort_by(|one, other| day_order(by, &one.names, &other.names));
    rows
}

/// Refuses what cannot be cut.
pub(super) fn check_dimensions(by: &[Dimension]) -> Result<(), Fault> {
    if by.is_empty() || by.len() > DIMENSIONS_MAX {
        return Err(Fault::refused(format!("cannot cut by {} dimensions", by.len()), format!("name one to {DIMENSIONS_MAX} of them")));
    }
    Ok(())
}

/// The days that are asked for: from the first call to today where they are not named.
pub(super) fn days(view: &View<'_>, first: Option<Day>, last: Option<Day>, now: Timestamp) -> Result<(Day, Day), Fault> {
    let today = view.zone.day(now);
    let last = last.unwrap_or(today);
    let first = first.unwrap_or_else(|| view.projections.spend.first_at().map_or(last, |at| view.zone.day(at)).min(last));
    if first > last {
        return Err(Fault::refused(format!("{first} comes after {last}"), "give the earlier day first"));
    }
    Ok((first, last))
}

/// Rows that begin with the day stand by day; others have no order by that.
pub(super) fn day_order(by: &[Dimension], one: &[Option<String>], other: &[Option<String>]) -> Ordering {
    if by.first() == Some(&Dimension::Day) { one.first().cmp(&other.first()) } else { Ordering::Equal }
}

/// The spend in a span, a row for each combination of names.
pub(super) fn rows(view: &View<'_>, span: Span, by: &[Dimension], filter: &Filter) -> Vec<SpendRow> {
    let spend = &view.projections.spend;
    let mut days = Days::of(by, view.zone);
    // First by number, since names take long to compare; then by name, since labels differ in more than what was asked for.
    let mut sums: FxHashMap<(Option<Day>, LabelId), Spend> = FxHashMap::default();
    spend.each(span, view.scope(filter), |at, label, spend| sums.entry((days.day(at), label)).or_default().add(spend));
    let mut rows: HashMap<Vec<Option<String>>, Spend> = HashMap::new();
    for ((day, label), sum) in sums {
        let Some(label) = spend.names(label).map(|label| label.shown(&view.projections.projects)) else { continue };
        rows.entry(names(by, day, &label, view.log.device())).or_default().add(&sum);
    }
    // What was restated under another name leaves nothing behind.
    rows.retain(|_, spend| spend.calls > 0);
    let mut rows: Vec<SpendRow> = rows.into_iter().map(|(names, spend)| SpendRow { names, spend }).collect();
    rows.sort_by(|one, other| {
        day_order(by, &one.names, &other.names)
            .then(other.spend.usd.cmp(&one.spend.usd))
            .then(other.spend.calls.cmp(&one.spend.calls))
            .then(one.names.cmp(&other.names))
    });
    rows
}

/// One name for each dimension.
pub(super) fn names(by: &[Dimension], day: Option<Day>, names: &Names<'_>, home: &str) -> Vec<Option<String>> {
    let name = |dimension: &Dimension| match dimension {
        Dimension::Day => day.map(|day| day.to_string()),
        Dimension::Model | Dimension::Project | Dimension::Provider | Dimension::Client | Dimension::Device => {
            names.along(*dimension, home).map(str::to_owned)
        }
    };
    by.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Usd;

    #[test]
    fn rows_beyond_the_limit_are_one_row_with_all_their_spend() {
        let row = |number: i128| {
            let spend = Spend { usd: Usd::from_pico(number), calls: 1, ..Spend::default() };
            SpendRow { names: vec![Some(format!("m{number}"))], spend }
        };
        let rows: Vec<SpendRow> = (1..=25_000).map(row).collect();
        let bounded = bounded(&[Dimension::Model], rows.clone());
        assert_eq!(bounded.len(), ROWS_MAX + 1);
        assert_eq!(bounded.iter().map(|row| row.spend.calls).sum::<u64>(), 25_000);
        let sum = |rows: &[SpendRow]| {
            rows.iter()
                .fold(Spend::default(), |mut sum, row| {
                    sum.add(&row.spend);
                    sum
                })
                .usd
        };
        assert_eq!(sum(&bounded), sum(&rows));
        assert_eq!(bounded.last().map(|row| row.names[0].as_deref()), Some(Some(OTHER)));
    }
}
