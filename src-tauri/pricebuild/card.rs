//! Arithmetic on the rates and bands of rows. Here every band holds all rates; rows are written with those that differ.

use events::{Band, FEE_RATE_MAX, RATE_MAX, Rate, Rates, Row};
use std::collections::BTreeSet;

/// Rates and bands without the rest of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) rates: Rates,
    pub(super) bands: Vec<Band>,
}

impl Card {
    /// The rates of a row. Its bands must be whole.
    pub(super) fn of(row: &Row) -> Card {
        Card { rates: row.rates.clone(), bands: row.bands.clone() }
    }

    /// The rates of a row as it is written, whose bands have only what differs.
    pub(super) fn of_sparse(row: &Row) -> Card {
        let base = Card { rates: row.rates.clone(), bands: Vec::new() };
        Card::combined([&base, &Card::of(row)], |_, [base, card]| card.or(base))
    }

    /// The rates for a prompt just above so many tokens.
    fn above(&self, tokens: u64) -> &Rates {
        self.bands.iter().rev().find(|band| band.above <= tokens).map_or(&self.rates, |band| &band.rates)
    }

    /// A card whose every rate is made from those of others, in each band that any of them has.
    pub(super) fn combined<const N: usize>(cards: [&Card; N], make: impl Fn(&str, [Option<Rate>; N]) -> Option<Rate>) -> Card {
        let rates_of = |rates: [&Rates; N]| {
            let mut made = Rates::default();
            for (nth, (class, _)) in Rates::default().iter().enumerate() {
                let given = rates.map(|rates| rates.iter().nth(nth).and_then(|(_, rate)| rate));
                *made.get_mut(class).expect("a class that was just listed") = make(class, given);
            }
            made
        };
        let thresholds: BTreeSet<u64> = cards.iter().flat_map(|card| card.bands.iter().map(|band| band.above)).collect();
        let band = |above| Band { above, rates: rates_of(cards.map(|card| card.above(above))) };
        Card { rates: rates_of(cards.map(|card| &card.rates)), bands: thresholds.into_iter().map(band).collect() }
    }

    /// Whether all that this card says, the other says too.
    pub(super) fn is_part_of(&self, other: &Card) -> bool {
        let within = |some: &Rates, all: &Rates| some.iter().zip(all.iter()).all(|((_, some), (_, all))| some.is_none() || some == all);
        let same_bands = self.bands.iter().map(|band| band.above).eq(other.bands.iter().map(|band| band.above));
        within(&self.rates, &other.rates) && same_bands && self.bands.iter().zip(&other.bands).all(|(a, b)| within(&a.rates, &b.rates))
    }

    /// A rate that cannot be, if there is one.
    pub(super) fn absurd(&self) -> Option<(&'static str, Rate)> {
        let all = std::iter::once(&self.rates).chain(self.bands.iter().map(|band| &band.rates)).flat_map(Rates::iter);
        let mut named = all.filter_map(|(class, rate)| Some((class, rate?)));
        named.find(|(class, rate)| !(Rate::default()..=if Rates::is_fee(class) { FEE_RATE_MAX } else { RATE_MAX }).contains(rate))
    }

    /// Whether it says nothing, or that everything is free.
    pub(super) fn is_nothing(&self) -> bool {
        self.rates.iter().all(|(_, rate)| rate.is_none_or(|rate| rate == Rate::default()))
    }

    /// Bands with only those rates that differ from the base; bands that change nothing left out.
    pub(super) fn sparse_bands(&self) -> Vec<Band> {
        let mut below = self.rates.clone();
        let mut bands = Vec::new();
        for band in &self.bands {
            if band.rates == below {
                continue;
            }
            below.clone_from(&band.rates);
            let mut rates = band.rates.clone();
            for (class, base) in self.rates.iter() {
                let rate = rates.get_mut(class).expect("a class that was just listed");
                *rate = rate.filter(|rate| Some(*rate) != base);
            }
            bands.push(Band { above: band.above, rates });
        }
        bands
    }
}
