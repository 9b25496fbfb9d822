//! Cells at rest: the spend of some days as bytes, sorted by label and quarter.
//!
//! ```text
//! bytes  = run*
//! run    = label less the one before, cells, decimal places that all amounts of the run leave empty, cell*
//! cell   = head, [more quarters], [calls], amount, cached, uncached, out, [rare counts]
//! head   = bits 0-2 quarters since the cell before, bits 3-6 calls, bit 7 whether rare counts follow
//! ```
//!
//! Numbers are LEB128; amounts are zigzag, since a cell may hold less than nothing until what it is taken from is folded in.

use super::{Spend, labels::LabelId};
use crate::Usd;

/// The quarters of an hour in one pack: ten days and two thirds.
pub(super) const PACK_QUARTERS: i64 = 1 << PACK_BITS;
const PACK_BITS: u32 = 10;

const GAP_BITS: u8 = 0b0000_0111;
const CALLS_SHIFT: u32 = 3;
const CALLS_MAX: u8 = 0b1111;
const RARE: u8 = 0b1000_0000;
const PLACES_MAX: u32 = 12;

/// What the calls of one label in one quarter of an hour cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) label: LabelId,
    /// Counted from the beginning of the pack.
    pub(super) quarter: u16,
    pub(super) spend: Spend,
}

/// The cells of one stretch of [`PACK_QUARTERS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pack {
    pub(super) cells: u32,
    /// The first quarter in which there is a call.
    pub(super) first: u16,
    pub(super) bytes: Box<[u8]>,
}

impl Pack {
    /// The cells, sorted by label and quarter. Damaged bytes end early.
    pub(super) fn cells(&self) -> Cells<'_> {
        Cells { bytes: &self.bytes, label: 0, left: 0, unit: 1, quarter: 0, begun: false }
    }

    /// This pack with more cells, which are sorted by label and quarter too.
    pub(super) fn with(&self, more: impl Iterator<Item = Cell>) -> Pack {
        let mut packing = Packing::default();
        let (mut own, mut more) = (self.cells().peekable(), more.peekable());
        loop {
            let own_first = match (own.peek(), more.peek()) {
                (Some(one), Some(other)) => (one.label, one.quarter) <= (other.label, other.quarter),
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            if let Some(cell) = if own_first { own.next() } else { more.next() } {
                packing.push(cell);
            }
        }
        packing.finish()
    }
}

/// Writes cells that come sorted.
#[derive(Default)]
struct Packing {
    bytes: Vec<u8>,
    run: Vec<Cell>,
    cells: u32,
    first: Option<u16>,
    /// The smallest label that the next run can have.
    next_label: u64,
}

impl Packing {
    fn push(&mut self, cell: Cell) {
        match self.run.last_mut() {
            Some(last) if (last.label, last.quarter) == (cell.label, cell.quarter) => return last.spend.add(&cell.spend),
            Some(last) if last.label != cell.label => self.end_run(),
            Some(_) | None => {}
        }
        self.run.push(cell);
    }

    fn end_run(&mut self) {
        // What was taken away to the last call is gone.
        self.run.retain(|cell| cell.spend != Spend::default());
        let Some(label) = self.run.first().map(|cell| cell.label) else { return };
        let amounts = self.run.iter().flat_map(|cell| [cell.spend.usd, cell.spend.estimated_usd]);
        let places = amounts.fold(PLACES_MAX, empty_places);
        let unit = unit(places);
        put(&mut self.bytes, u128::from(u64::from(label) - self.next_label));
        put(&mut self.bytes, self.run.len() as u128);
        self.bytes.push(places as u8);
        let mut next = 0;
        for cell in &self.run {
            put_cell(&mut self.bytes, cell, cell.quarter - next, unit);
            next = cell.quarter + 1;
            self.first = Some(self.first.map_or(cell.quarter, |first| first.min(cell.quarter)));
        }
        self.cells += u32::try_from(self.run.len()).expect("a run has at most a cell for each quarter");
        self.next_label = u64::from(label) + 1;
        self.run.clear();
    }

    fn finish(mut self) -> Pack {
        self.end_run();
        Pack { cells: self.cells, first: self.first.unwrap_or_default(), bytes: self.bytes.into_boxed_slice() }
    }
}

fn put_cell(bytes: &mut Vec<u8>, cell: &Cell, gap: u16, unit: i64) {
    // Taken apart without `..`, so that nothing is forgotten.
    let Spend {
        calls,
        usd,
        tokens_in,
        tokens_cached,
        tokens_out,
        unpriced_calls,
        unpriced_tokens,
        estimated_calls,
        estimated_usd,
        unknown_calls,
    } = cell.spend;
    let rare = [unpriced_calls, unpriced_tokens, estimated_calls, unknown_calls];
    let has_rare = rare != [0; 4] || estimated_usd != Usd::ZERO;
    let short_gap = u8::try_from(gap).unwrap_or(GAP_BITS).min(GAP_BITS);
    let short_calls = u8::try_from(calls).unwrap_or(CALLS_MAX).min(CALLS_MAX);
    bytes.push(short_gap | short_calls << CALLS_SHIFT | if has_rare { RARE } else { 0 });
    if short_gap == GAP_BITS {
        put(bytes, u128::from(gap));
    }
    if short_calls == CALLS_MAX {
        put(bytes, u128::from(calls));
    }
    put(bytes, zigzag(in_units(usd, unit)));
    put(bytes, u128::from(tokens_cached));
    put(bytes, u128::from(tokens_in.wrapping_sub(tokens_cached)));
    put(bytes, u128::from(tokens_out));
    if has_rare {
        rare.into_iter().for_each(|count| put(bytes, u128::from(count)));
        put(bytes, zigzag(in_units(estimated_usd, unit)));
    }
}

/// Reads cells one by one.
pub(super) struct Cells<'a> {
    bytes: &'a [u8],
    /// That of the run; before the first run, and after each, the smallest that the next one can have.
    label: LabelId,
    left: u64,
    unit: i64,
    quarter: u16,
    begun: bool,
}

impl Iterator for Cells<'_> {
    type Item = Cell;

    fn next(&mut self) -> Option<Cell> {
        if self.left == 0 {
            let gap = LabelId::try_from(self.take()?).ok()?;
            let lowest = if self.begun { self.label.checked_add(1)? } else { 0 };
            self.begun = true;
            self.label = lowest.checked_add(gap)?;
            self.left = self.take()?;
            self.unit = unit(u32::from(self.byte()?));
            self.quarter = 0;
        }
        self.left = self.left.checked_sub(1)?;
        let head = self.byte()?;
        let gap = match head & GAP_BITS {
            GAP_BITS => u16::try_from(self.take()?).ok()?,
            gap => gap.into(),
        };
        let quarter = self.quarter.checked_add(gap)?;
        self.quarter = quarter.checked_add(1)?;
        let calls = match head >> CALLS_SHIFT & CALLS_MAX {
            CALLS_MAX => self.take()?,
            calls => calls.into(),
        };
        let usd = self.amount()?;
        let tokens_cached = self.take()?;
        let tokens_in = self.take()?.wrapping_add(tokens_cached);
        let mut spend = Spend { calls, usd, tokens_in, tokens_cached, tokens_out: self.take()?, ..Spend::default() };
        if head & RARE != 0 {
            spend.unpriced_calls = self.take()?;
            spend.unpriced_tokens = self.take()?;
            spend.estimated_calls = self.take()?;
            spend.unknown_calls = self.take()?;
            spend.estimated_usd = self.amount()?;
        }
        Some(Cell { label: self.label, quarter, spend })
    }
}

impl Cells<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn take(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn amount(&mut self) -> Option<Usd> {
        let mut value = 0u128;
        for shift in (0..u128::BITS).step_by(7) {
            let byte = self.byte()?;
            value |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let units = (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
                // Sixty-four bits hold what calls cost, and are multiplied in one step.
                return Some(Usd::from_pico(match i64::try_from(units) {
                    Ok(units) => i128::from(units) * i128::from(self.unit),
                    Err(_) => units.saturating_mul(self.unit.into()),
                }));
            }
        }
        None
    }
}

/// The pico-dollars that an amount of a run is counted in.
fn unit(places: u32) -> i64 {
    10i64.pow(places.min(PLACES_MAX))
}

/// How many of so many decimal places an amount leaves empty, from the pico-dollar up. Rates do: a token costs no single pico-dollars.
fn empty_places(places: u32, usd: Usd) -> u32 {
    let Ok(pico) = i64::try_from(usd.pico()) else { return 0 };
    (0..=places).rev().find(|places| pico % unit(*places) == 0).unwrap_or_default()
}

fn in_units(usd: Usd, unit: i64) -> i128 {
    match i64::try_from(usd.pico()) {
        Ok(pico) => (pico / unit).into(),
        Err(_) => usd.pico() / i128::from(unit),
    }
}

/// Small amounts of either sign as small numbers.
fn zigzag(value: i128) -> u128 {
    ((value << 1) ^ (value >> 127)).cast_unsigned()
}

fn put(bytes: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn cell()(
            label in prop_oneof![0..5u32, any::<u32>()], quarter in 0..1024u16, calls in prop_oneof![0..40u64, any::<u64>()],
            usd in prop_oneof![(0..9_000i128).prop_map(|cents| cents * 10_000_000_000), any::<i64>().prop_map(i128::from), any::<i128>()],
            counts in prop::collection::vec(prop_oneof![2 => Just(0u64), 2 => 0..900_000u64, 1 => any::<u64>()], 7), estimated in any::<i64>(),
        ) -> Cell {
            let spend = Spend {
                calls, usd: Usd::from_pico(usd / 4), tokens_in: counts[0], tokens_cached: counts[1], tokens_out: counts[2],
                unpriced_calls: counts[3], unpriced_tokens: counts[4], estimated_calls: counts[5], unknown_calls: counts[6],
                estimated_usd: if counts[5] > 0 { Usd::from_pico(estimated.into()) } else { Usd::ZERO },
            };
            Cell { label, quarter, spend }
        }
    }

    fn sorted(mut cells: Vec<Cell>) -> Vec<Cell> {
        cells.retain(|cell| cell.spend != Spend::default());
        cells.sort_by_key(|cell| (cell.label, cell.quarter));
        cells.dedup_by_key(|cell| (cell.label, cell.quarter));
        cells
    }

    proptest! {
        #[test]
        fn what_is_packed_is_read_back(cells in prop::collection::vec(cell(), 0..40)) {
            let cells = sorted(cells);
            let pack = Pack::default().with(cells.clone().into_iter());
            prop_assert_eq!(pack.cells().collect::<Vec<_>>(), cells.clone());
            prop_assert_eq!(pack.cells as usize, cells.len());
            prop_assert_eq!(Some(pack.first).filter(|_| !cells.is_empty()), cells.iter().map(|cell| cell.quarter).min());
        }

        #[test]
        fn packing_more_adds_up(one in prop::collection::vec(cell(), 0..20), other in prop::collection::vec(cell(), 0..20)) {
            let (one, other) = (sorted(one), sorted(other));
            let pack = |cells: &[Cell]| Pack::default().with(cells.iter().cloned());
            prop_assert_eq!(pack(&one).with(other.iter().cloned()), pack(&other).with(one.iter().cloned()));
            let mut negative = one.clone();
            for cell in &mut negative {
                let spend = std::mem::take(&mut cell.spend);
                cell.spend.subtract(&spend);
            }
            prop_assert_eq!(pack(&one).with(negative.into_iter()), Pack::default(), "what is taken away is gone");
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let pack = Pack { cells: 0, first: 0, bytes: bytes.into() };
            prop_assert!(pack.cells().count() <= 200);
            let _ = pack.with(pack.cells());
        }
    }
}
