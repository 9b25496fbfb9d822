//! Rows in time: cut, closed, joined, and a tier's made of the standard ones.

use super::{card::Card, exact::scaled, genai, model_prices::Step, sets::Set};
use events::{Basis, Row, Tier, Timestamp};

pub(super) fn row(provider: &str, model: &str, tier: Tier, from: Option<Timestamp>, card: &Card, source: &str, set: &str) -> Row {
    let (provider, model, source, set) = (provider.into(), model.into(), source.into(), set.into());
    Row { provider, model, tier, from, rates: card.rates.clone(), bands: card.bands.clone(), source, set, ..Row::default() }
}

/// Lets each row end where the next one begins.
pub(super) fn close(rows: &mut [Row]) {
    for nth in 1..rows.len() {
        rows[nth - 1].until = rows[nth].from;
    }
}

/// A row in up to three parts, cut at two instants.
pub(super) fn cut(row: &Row, one: Option<Timestamp>, other: Option<Timestamp>) -> Vec<Row> {
    let mut parts = vec![row.clone()];
    for at in [one, other].into_iter().flatten() {
        let last = parts.last_mut().expect("a row has at least one part");
        let span = last.span();
        if span.from < at && at < span.until {
            let after = Row { from: Some(at), ..last.clone() };
            last.until = Some(at);
            parts.push(after);
        }
    }
    parts
}

/// The rows of a tier: from the first variant on as listed, before it by the ratio to standard prices that was then seen.
pub(super) fn tier_rows(standard: &[Row], tier: Tier, variants: &[genai::Since]) -> Vec<Row> {
    let mut parts: Vec<Row> = standard.to_vec();
    for (from, _) in variants {
        parts = parts.iter().flat_map(|row| cut(row, *from, None)).collect();
    }
    let Some((first, first_card)) = variants.first() else { return Vec::new() };
    let seen = first.and_then(|first| standard.iter().find(|row| row.span().contains(first)));
    let mut rows = Vec::new();
    for part in parts {
        let listed = variants.iter().rev().find(|(from, _)| *from <= part.from);
        let (card, note) = match (listed, seen) {
            (Some((_, card)), _) => (Card::combined([&Card::of(&part), card], |_, [standard, listed]| listed.or(standard)), None),
            (None, Some(seen)) => {
                let day = first.map(|first| first.to_string()[..10].to_owned()).unwrap_or_default();
                (
                    by_ratio(&Card::of(&part), &Card::of(seen), first_card),
                    Some(format!("before {day} by the ratio to standard prices seen then")),
                )
            }
            (None, None) => continue,
        };
        // The day of a variant is that on which somebody looked.
        let basis = if note.is_some() { Basis::Inferred } else { Basis::Observed };
        rows.push(Row { tier, rates: card.rates, bands: card.bands, basis, note, ..part });
    }
    rows
}

/// What a tier cost when standard was `then`, if it was to standard as `listed` is to `seen`. A rate that does not come out even is left out.
pub(super) fn by_ratio(then: &Card, seen: &Card, listed: &Card) -> Card {
    Card::combined([then, seen, listed], |_, [then, seen, listed]| match (then, seen, listed) {
        (Some(then), Some(seen), Some(listed)) => scaled(then, listed.atto(), seen.atto()),
        (then, _, _) => then,
    })
}

pub(super) fn step_rows(provider: &str, model: &str, tier: Tier, steps: &[Step]) -> Vec<Row> {
    let until = steps.iter().skip(1).map(|step| step.from).chain([None]);
    let rows = steps.iter().zip(until).filter_map(|(step, until)| {
        let row = row(provider, model, tier, step.from, step.card.as_ref()?, &step.source, Set::ModelPrices.name());
        let basis = match step.from {
            Some(_) if step.documented => Basis::Documented,
            Some(_) => Basis::Observed,
            None => Basis::Listed,
        };
        Some(Row { until, basis, ..row })
    });
    rows.collect()
}

/// Neighbours in time that say the same are one row. What a note says of a part holds for the whole then.
pub(super) fn joined(rows: Vec<Row>) -> Vec<Row> {
    let mut joined: Vec<Row> = Vec::new();
    for row in rows {
        match joined.last_mut() {
            Some(last) if last.until.is_some() && last.until == row.from && same_price(last, &row) => {
                last.until = row.until;
                last.note = last.note.take().or(row.note);
            }
            _ => joined.push(row),
        }
    }
    joined
}

pub(super) fn same_price(a: &Row, b: &Row) -> bool {
    (a.tier, &a.rates, &a.bands, &a.geo, &a.hours, &a.inferred) == (b.tier, &b.rates, &b.bands, &b.geo, &b.hours, &b.inferred)
}
