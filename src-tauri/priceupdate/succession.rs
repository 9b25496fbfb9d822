//! One book after another: what stays, what is filled in, what changes and from when.

use super::is_far;
use crate::pricebuild::Set;
use events::{Basis, PriceBook, Rate, Row, Schedule, Span, Tier, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A price that is new, or another one than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub provider: String,
    /// Of which model.
    pub model: String,
    /// How served.
    pub tier: Tier,
    /// What became of it.
    pub what: What,
}

/// What became of a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// There was none. Calls of the past get it too.
    Filled {
        /// By class of tokens.
        rates: Vec<(&'static str, Rate)>,
    },
    /// There was another one.
    Changed {
        /// From when on.
        from: Option<Timestamp>,
        /// By class of tokens, where they differ: before and after.
        rates: Vec<(&'static str, Option<Rate>, Option<Rate>)>,
    },
}

impl Change {
    /// Whether there was another price before.
    pub fn is_of_known(&self) -> bool {
        match &self.what {
            What::Filled { .. } => false,
            What::Changed { .. } => true,
        }
    }

    /// Whether a slip is likelier than a change.
    pub fn is_large(&self) -> bool {
        match &self.what {
            What::Filled { .. } => false,
            What::Changed { rates, .. } => {
                rates.iter().any(|(_, before, after)| before.zip(*after).is_some_and(|(before, after)| is_far(before, after)))
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change { provider, model, tier, what } = self;
        let rate = |rate: &Option<Rate>| rate.map_or_else(|| "none".to_owned(), |rate| rate.to_string());
        write!(f, "{provider}/{model}")?;
        if *tier != Tier::Standard {
            write!(f, " {}", tier.word())?;
        }
        match what {
            What::Filled { rates } => {
                let rates: Vec<String> = rates.iter().map(|(class, rate)| format!("{class} {rate}")).collect();
                write!(f, ": new, {}", rates.join(", "))
            }
            What::Changed { from, rates } => {
                let rates: Vec<String> =
                    rates.iter().map(|(class, before, after)| format!("{class} {} -> {}", rate(before), rate(after))).collect();
                let from = from.map_or_else(|| "always".to_owned(), |from| format!("from {}", from.utc().format("%Y-%m-%d %H:%M UTC")));
                write!(f, ": {from}, {}", if rates.is_empty() { "other terms".to_owned() } else { rates.join(", ") })
            }
        }
    }
}

/// What follows, and what it is made of.
pub(super) struct Succession {
    pub(super) rows: Vec<Row>,
    pub(super) schedules: Vec<Schedule>,
    pub(super) changes: Vec<Change>,
    /// Models and tiers of the earlier book that the newer one does not have.
    pub(super) retired: usize,
}

type Key<'a> = (&'a str, &'a str, Tier);

/// Lets one book follow another.
pub(super) fn of(earlier: &PriceBook, newer: &PriceBook, today: Timestamp) -> Succession {
    let (old, new) = (by_key(earlier), by_key(newer));
    let mut rows: Vec<Row> = Vec::new();
    let mut changes = Vec::new();
    let keys: BTreeSet<Key<'_>> = old.keys().chain(new.keys()).copied().collect();
    for key in keys {
        let none = Vec::new();
        let (before, after) = (old.get(&key).unwrap_or(&none), new.get(&key).unwrap_or(&none));
        let (timeline, what) = followed(before, after, today);
        let change = |what| Change { provider: key.0.to_owned(), model: key.1.to_owned(), tier: key.2, what };
        changes.extend(what.into_iter().map(change));
        let retired = after.is_empty();
        rows.extend(timeline.into_iter().map(|row| Row { retired, ..row }));
    }
    name(&mut rows, [newer, earlier]);
    let schedules = schedules(earlier, newer, today);
    let retired = old.keys().filter(|key| !new.contains_key(*key)).count();
    Succession { rows, schedules, changes, retired }
}

/// How many models of a set one book has, and how many of them another has still, from that set or one that is trusted more.
pub(super) fn listed(earlier: &PriceBook, newer: &PriceBook, set: Set) -> (usize, usize) {
    let trusted: Vec<&str> = Set::ALL.iter().take_while(|other| **other <= set).map(|other| other.name()).collect();
    let names = |row: &Row| -> Vec<String> { row.aliases.iter().chain([&row.model]).cloned().collect() };
    let still: BTreeSet<(&str, String)> = newer
        .rows()
        .filter(|row| trusted.contains(&row.set.as_str()))
        .flat_map(|row| names(row).into_iter().map(|name| (row.provider.as_str(), name)))
        .collect();
    let of_set = |row: &&Row| row.set == set.name() && !row.retired;
    let known: BTreeSet<(&str, String)> = earlier.rows().filter(of_set).map(|row| (row.provider.as_str(), row.model.clone())).collect();
    (known.len(), known.intersection(&still).count())
}

fn by_key(book: &PriceBook) -> BTreeMap<Key<'_>, Vec<&Row>> {
    let mut rows: BTreeMap<Key<'_>, Vec<&Row>> = BTreeMap::new();
    book.rows().for_each(|row| rows.entry((&row.provider, &row.model, row.tier)).or_default().push(row));
    rows
}

/// The rows of one model and tier, and what they say otherwise.
fn followed(before: &[&Row], after: &[&Row], today: Timestamp) -> (Vec<Row>, Vec<What>) {
    let mut instants: Vec<Timestamp> =
        before.iter().chain(after).flat_map(|row| [row.span().from, row.span().until]).chain([today]).collect();
    instants.extend([Span::ALWAYS.from, Span::ALWAYS.until]);
    instants.sort_unstable();
    instants.dedup();
    let mut rows: Vec<Row> = Vec::new();
    let mut changes: Vec<What> = Vec::new();
    for part in instants.windows(2) {
        let span = Span { from: part[0], until: part[1] };
        let at = |rows: &[&Row]| rows.iter().copied().find(|row| row.span().contains(span.from)).cloned();
        let (row, change) = match (at(before), at(after)) {
            (None, None) => continue,
            (Some(old), None) => (old, None),
            (None, Some(new)) => {
                let change = before.is_empty().then(|| What::Filled { rates: told(&new) });
                (new, change)
            }
            (Some(old), Some(new)) if same_price(&old, &new) => (old, None),
            (Some(old), Some(new)) => {
                let dated = new.span().from > old.span().from;
                if dated || span.from >= today {
                    let change = What::Changed { from: instant(span.from), rates: differing(&old, &new) };
                    let basis = if dated { new.basis } else { Basis::Observed };
                    (Row { basis, ..new }, Some(change))
                } else {
                    (old, None)
                }
            }
        };
        // The same change goes on, or the same filling.
        let goes_on = |last: &What, change: &What| match (last, change) {
            (What::Filled { .. }, What::Filled { .. }) => true,
            (What::Changed { rates: last, .. }, What::Changed { rates, .. }) => last == rates,
            (What::Filled { .. } | What::Changed { .. }, _) => false,
        };
        if let Some(change) = change
            && !changes.last().is_some_and(|last| goes_on(last, &change))
        {
            changes.push(change);
        }
        let row = Row { from: instant(span.from), until: instant(span.until), ..row };
        match rows.last_mut() {
            Some(last) if last.until == row.from && last.until.is_some() && same_price(last, &row) && last.source == row.source => {
                last.until = row.until;
            }
            _ => rows.push(row),
        }
    }
    (rows, changes)
}

fn instant(at: Timestamp) -> Option<Timestamp> {
    (at != Span::ALWAYS.from && at != Span::ALWAYS.until).then_some(at)
}

fn same_price(a: &Row, b: &Row) -> bool {
    (&a.rates, &a.bands, &a.geo, &a.hours) == (&b.rates, &b.bands, &b.geo, &b.hours)
}

fn told(row: &Row) -> Vec<(&'static str, Rate)> {
    row.rates.iter().filter_map(|(class, rate)| Some((class, rate?))).collect()
}

fn differing(old: &Row, new: &Row) -> Vec<(&'static str, Option<Rate>, Option<Rate>)> {
    let pairs = old.rates.iter().zip(new.rates.iter());
    pairs.filter(|((_, old), (_, new))| old != new).map(|((class, old), (_, new))| (class, old, new)).collect()
}

/// Gives each model's first row its aliases. A name is a model's own, else that of the book named first, and never two models'.
fn name(rows: &mut [Row], books: [&PriceBook; 2]) {
    let mut taken: BTreeSet<(String, String)> = rows.iter().map(|row| (row.provider.clone(), row.model.clone())).collect();
    let mut aliases: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for row in books.into_iter().flat_map(PriceBook::rows) {
        for alias in &row.aliases {
            if taken.insert((row.provider.clone(), alias.clone())) {
                aliases.entry((row.provider.clone(), row.model.clone())).or_default().insert(alias.clone());
            }
        }
    }
    for row in rows {
        row.aliases = aliases.remove(&(row.provider.clone(), row.model.clone())).unwrap_or_default().into_iter().collect();
    }
}

/// The newer schedules, as far as they leave the past as it was; and those that only the earlier book has.
fn schedules(earlier: &PriceBook, newer: &PriceBook, today: Timestamp) -> Vec<Schedule> {
    let past = |schedule: &Schedule| {
        let days = schedule.holidays.iter().filter(|day| day.date() < today.utc().date_naive()).copied().collect::<Vec<_>>();
        (schedule.hours_utc.clone(), schedule.weekdays_only, schedule.calendar_utc_offset_hours, days)
    };
    let mut schedules: Vec<Schedule> = Vec::new();
    for old in earlier.schedules() {
        let new = newer.schedules().iter().find(|new| new.name == old.name && past(new) == past(old));
        schedules.push(new.unwrap_or(old).clone());
    }
    let unknown = |new: &&Schedule| earlier.schedules().iter().all(|old| old.name != new.name);
    schedules.extend(newer.schedules().iter().filter(unknown).cloned());
    schedules
}
