//! Where prices change: calls of one bracket and with the same names are priced by the same rates.

use super::Tariff;
use crate::{
    Schedule, Timestamp, Usage, Usd,
    prices::{CLASSES, FEES, classes, fee_counts},
};
use std::cmp::Ordering;

/// What of a call decides by which rates it is priced, beside its names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Bracket {
    /// How many limits of bands its prompt exceeds.
    prompt: usize,
    /// How many beginnings and ends of prices lie before it.
    dated: usize,
    /// Which of the schedules it ended in.
    scheduled: Vec<bool>,
    /// Which classes of tokens occur: a book may lack the rate of one.
    classes: [bool; CLASSES],
    /// Which classes of fees occur.
    fees: [bool; FEES],
    /// Whether it is the sum of several requests, and whether somebody counted them.
    sums: Option<bool>,
    /// Whether a cost was reported, and whether it is below zero, zero or above: zero may say nothing.
    reported: Option<Ordering>,
}

/// Where prices change.
#[derive(Clone, Debug)]
pub(crate) struct Brackets<'t> {
    prompts: Vec<u64>,
    instants: Vec<Timestamp>,
    schedules: Vec<&'t Schedule>,
}

impl Brackets<'_> {
    /// Where a call lies.
    pub(crate) fn of(&self, usage: &Usage) -> Bracket {
        let (prompt, done) = (usage.band_prompt(), usage.done_if_begun(usage.at));
        Bracket {
            prompt: self.prompts.partition_point(|above| prompt > *above),
            dated: self.instants.partition_point(|instant| usage.at >= *instant),
            scheduled: self.schedules.iter().map(|schedule| schedule.contains(done)).collect(),
            classes: classes(&usage.tokens).map(|count| count > 0),
            fees: fee_counts(&usage.fees).map(|count| count > 0),
            sums: usage.requests.map(|requests| requests > 0),
            reported: usage.reported_cost.map(|cost| cost.cmp(&Usd::ZERO)),
        }
    }
}

impl Tariff {
    /// Where its prices change.
    pub(crate) fn brackets(&self) -> Brackets<'_> {
        let rows = || self.editions().iter().flat_map(|edition| edition.book().rows());
        let mut prompts: Vec<u64> = rows().flat_map(|row| row.bands.iter().map(|band| band.above)).collect();
        let dated = rows().flat_map(|row| [row.span().from, row.span().until]);
        let adopted = self.editions().iter().filter_map(|edition| edition.from());
        let mut instants: Vec<Timestamp> = dated.chain(adopted).chain(self.agreements().instants()).collect();
        prompts.sort_unstable();
        prompts.dedup();
        instants.sort_unstable();
        instants.dedup();
        Brackets { prompts, instants, schedules: self.editions().iter().flat_map(|edition| edition.book().schedules()).collect() }
    }
}
