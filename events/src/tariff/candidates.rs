//! Which rows may price a call, and in which order they are asked.

use super::{Agreed, Swap, Tariff};
use crate::{
    Factor, PriceBook, Row, Span, Tier, Timestamp, Unpriced, Usage, Usd,
    prices::{Found, Held, Rated, Terms, is_local},
};

/// A row that may price a call.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<'t> {
    pub(crate) held: Held<'t>,
    pub(crate) origin: Origin,
}

/// Whose word a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The user's.
    Agreed {
        /// Whether it began after the call, which had no price.
        fills: bool,
    },
    /// A book's.
    Listed {
        /// Which of the editions.
        edition: usize,
        /// Whether it is for this provider's model under this very name.
        exact: bool,
        /// Whether it was adopted after the call, which had no price.
        fills: bool,
    },
}

impl Tariff {
    /// What is said of calls with these terms, found out once.
    pub(crate) fn rated(&self, terms: &Terms<'_>, swap: &Swap) -> Rated {
        let (terms, swapped, other_model) = swap.of(*terms, self);
        let held: Vec<Held<'_>> = self.candidates(&terms, swap, other_model).into_iter().map(|candidate| candidate.held).collect();
        Rated::new(&terms, swapped, &held)
    }

    /// The rows that price calls of these terms in a span, as they are asked, in order of time.
    pub(crate) fn rows_in(&self, terms: &Terms<'_>, swap: &Swap, span: Span) -> Vec<Row> {
        let (terms, _, other_model) = swap.of(*terms, self);
        let meets = |candidate: &Candidate<'_>| {
            let both = candidate.held.span.within(span);
            both.from < both.until
        };
        let mut candidates = self.candidates(&terms, swap, other_model);
        candidates.retain(meets);
        // What only fills in where nothing else has a price is asked only there.
        if candidates.iter().any(|candidate| !candidate.origin.fills()) {
            candidates.retain(|candidate| !candidate.origin.fills());
        }
        candidates.sort_by_key(|candidate| candidate.held.span.from);
        candidates.into_iter().map(|candidate| candidate.held.as_row()).collect()
    }

    /// The rows that may price calls of these terms, in the order in which they are asked.
    pub(crate) fn candidates(&self, terms: &Terms<'_>, swap: &Swap, other_model: bool) -> Vec<Candidate<'_>> {
        let agreed = self.agreements.of(terms);
        let mut candidates: Vec<Candidate<'_>> = agreed.iter().map(|known| known.candidate(known.span, false, swap, other_model)).collect();
        if !is_local(terms) {
            self.list(terms, swap, other_model, &mut candidates);
        }
        candidates.extend(agreed.iter().filter_map(|known| Some(known.candidate(known.fills()?, true, swap, other_model))));
        candidates
    }

    /// Adds what the books say: each of its own time, then of the time before it.
    fn list<'t>(&'t self, terms: &Terms<'_>, swap: &Swap, other_model: bool, candidates: &mut Vec<Candidate<'t>>) {
        let Some(tier) = Tier::of(terms.tier) else { return };
        let found: Vec<Option<Found<'t>>> = (0..self.editions.len()).map(|nth| PriceBook::find(&self.stack(nth), terms)).collect();
        let mut add = |nth: usize, found: &Found<'t>, time: Span, fills: bool| {
            let edition = nth - found.book;
            let book: &'t PriceBook = &self.editions[edition].book;
            for row in found.rows.iter().filter(|row| row.tier == tier) {
                for (span, multiplier) in self.agreements.multiplied(terms.provider, row.span().within(time)) {
                    let held = Held { book: Some(book), row, rates: swap.rates(row, other_model), span, multiplier };
                    candidates.push(Candidate { held, origin: Origin::Listed { edition, exact: found.exact, fills } });
                }
            }
        };
        // Editions that say the same of the model one after the other are one.
        let same = |one: &Option<Found<'_>>, other: &Option<Found<'_>>| match (one, other) {
            (Some(one), Some(other)) => std::ptr::eq(one.rows, other.rows),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let begins: Vec<usize> = (0..found.len()).filter(|nth| *nth == 0 || !same(&found[nth - 1], &found[*nth])).collect();
        let from = |nth: usize| self.editions[nth].from.unwrap_or(Span::ALWAYS.from);
        for (place, nth) in begins.iter().enumerate() {
            let until = begins.get(place + 1).map_or(Span::ALWAYS.until, |next| from(*next));
            found[*nth].iter().for_each(|found| add(*nth, found, Span { from: from(*nth), until }, false));
        }
        for nth in begins.iter().filter(|nth| **nth > 0) {
            found[*nth].iter().for_each(|found| add(*nth, found, Span { from: Span::ALWAYS.from, until: from(*nth) }, true));
        }
    }
}

impl Origin {
    /// Whether it prices only what had no price.
    pub(crate) fn fills(self) -> bool {
        match self {
            Origin::Agreed { fills } | Origin::Listed { fills, .. } => fills,
        }
    }
}

impl Held<'_> {
    /// The row with the rates and the time in which it is asked.
    pub(crate) fn as_row(&self) -> Row {
        let mut row = self.row.clone();
        if let Some((rates, in_bands)) = self.rates.as_deref() {
            row.rates = rates.clone();
            row.bands.iter_mut().zip(in_bands).for_each(|(band, rates)| band.rates = rates.clone());
        }
        if self.multiplier != Factor::ONE {
            row.note = Some(format!("times {}, as you set it", self.multiplier));
        }
        row
    }
}

impl Agreed {
    fn candidate(&self, span: Span, fills: bool, swap: &Swap, other_model: bool) -> Candidate<'_> {
        let rates = swap.rates(&self.row, other_model);
        let held = Held { book: None, row: &self.row, rates, span, multiplier: Factor::ONE };
        Candidate { held, origin: Origin::Agreed { fills } }
    }
}

impl Candidate<'_> {
    /// What a call costs by it.
    pub(super) fn cost(&self, usage: &Usage, prompt: u64, at: Timestamp) -> Result<Usd, Unpriced> {
        let Held { book, row, multiplier, .. } = &self.held;
        // A price of the user's own has no hours, so that any book will do.
        book.unwrap_or_else(|| PriceBook::bundled()).cost_by(row, usage, prompt, at, *multiplier)
    }
}
