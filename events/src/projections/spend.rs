//! Spend per quarter of an hour, provider, model, project, client and device: whatever the zone, its days are sums of these
//! (every zone's offset is a multiple of fifteen minutes since 1972).
//!
//! What was folded lately stands in a table of cells; what is at rest is packed by stretches of some days. A cell may stand in both, and
//! what is known of it is the sum: nothing is unpacked to be changed, and cells that were taken away may come before those they are of.
//! So a snapshot needs no copy: cells that somebody reads are left as they are, and a new table is begun beside them.

use super::{
    labels::{LabelId, Labels, Names, Scope},
    packed::{Cell, PACK_QUARTERS, Pack},
};
use crate::{Certainty, Span, Timestamp, Tokens, Usd};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, mem, sync::Arc};

const QUARTER_MICROS: i64 = 15 * 60 * 1_000_000;
/// How many cells are kept unpacked where few are packed. More make folding an unsorted past faster and take more memory: 130 bytes each.
const LOOSE_CELLS_MIN: usize = 262_144;
/// How many are kept unpacked at most: with half as many as are packed, none is packed again and again.
const LOOSE_CELLS_MAX: usize = 524_288;
/// So many loose cells are copied for a snapshot in some ten microseconds. More are given to it, and to those after it. Tests meet both.
const COPIED_CELLS_MAX: usize = if cfg!(test) { 16 } else { 2_048 };

/// What some calls cost, and how sure that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Spend {
    /// The calls.
    pub calls: u64,
    /// What those of them that have a price cost.
    pub usd: Usd,
    /// Tokens that went in, cached ones included.
    pub tokens_in: u64,
    /// Of `tokens_in`: those read from a cache.
    pub tokens_cached: u64,
    /// Tokens that came out, reasoning included.
    pub tokens_out: u64,
    /// Calls whose model has no price: not in `usd`.
    pub unpriced_calls: u64,
    /// Their tokens.
    pub unpriced_tokens: u64,
    /// Calls whose tokens are our estimate, or were cut short.
    pub estimated_calls: u64,
    /// What those cost: in `usd`, but less sure.
    pub estimated_usd: Usd,
    /// Calls about whose tokens nothing is known: not in `usd`.
    pub unknown_calls: u64,
}

impl Spend {
    /// What one call cost that consumed these tokens; `None` where it has no price.
    pub(super) fn of(tokens: &Tokens, certainty: Certainty, cost: Option<Usd>) -> Spend {
        Spend::of_calls(1, tokens, certainty, cost)
    }

    /// What some calls cost that consumed these tokens together; `None` where none of them has a price.
    pub(super) fn of_calls(calls: u64, tokens: &Tokens, certainty: Certainty, cost: Option<Usd>) -> Spend {
        let mut spend = Spend {
            calls,
            tokens_in: tokens.prompt(),
            tokens_cached: tokens.cache_read.saturating_add(tokens.cache_read_audio),
            tokens_out: tokens.produced(),
            ..Spend::default()
        };
        match cost {
            Some(usd) => {
                spend.usd = usd;
                if is_unsure(certainty) {
                    spend.estimated_calls = calls;
                    spend.estimated_usd = usd;
                }
            }
            None if certainty == Certainty::Unknown => spend.unknown_calls = calls,
            None => {
                spend.unpriced_calls = calls;
                spend.unpriced_tokens = tokens.total();
            }
        }
        spend
    }

    /// Adds what other calls cost.
    pub fn add(&mut self, other: &Spend) {
        // A part of a sum may be less than nothing for a while, so counts go round; the whole never is.
        self.calls = self.calls.wrapping_add(other.calls);
        self.usd += other.usd;
        self.tokens_in = self.tokens_in.wrapping_add(other.tokens_in);
        self.tokens_cached = self.tokens_cached.wrapping_add(other.tokens_cached);
        self.tokens_out = self.tokens_out.wrapping_add(other.tokens_out);
        self.unpriced_calls = self.unpriced_calls.wrapping_add(other.unpriced_calls);
        self.unpriced_tokens = self.unpriced_tokens.wrapping_add(other.unpriced_tokens);
        self.estimated_calls = self.estimated_calls.wrapping_add(other.estimated_calls);
        self.estimated_usd += other.estimated_usd;
        self.unknown_calls = self.unknown_calls.wrapping_add(other.unknown_calls);
    }

    /// Takes away what was added before, or will be.
    pub(super) fn subtract(&mut self, other: &Spend) {
        self.calls = self.calls.wrapping_sub(other.calls);
        self.usd -= other.usd;
        self.tokens_in = self.tokens_in.wrapping_sub(other.tokens_in);
        self.tokens_cached = self.tokens_cached.wrapping_sub(other.tokens_cached);
        self.tokens_out = self.tokens_out.wrapping_sub(other.tokens_out);
        self.unpriced_calls = self.unpriced_calls.wrapping_sub(other.unpriced_calls);
        self.unpriced_tokens = self.unpriced_tokens.wrapping_sub(other.unpriced_tokens);
        self.estimated_calls = self.estimated_calls.wrapping_sub(other.estimated_calls);
        self.estimated_usd -= other.estimated_usd;
        self.unknown_calls = self.unknown_calls.wrapping_sub(other.unknown_calls);
    }
}

/// Whether the tokens of a call are less than reported in full.
fn is_unsure(certainty: Certainty) -> bool {
    match certainty {
        Certainty::Estimated | Certainty::Partial => true,
        Certainty::Unknown | Certainty::Reported => false,
    }
}

/// Where a call is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    /// Quarters of an hour since 1970.
    quarter: i64,
    label: LabelId,
}

/// Which loose cell was counted in last. A guess: calls of one kind come one after another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LastCell(u32);

/// Spend per quarter of an hour and label.
#[derive(Debug, Clone)]
pub(crate) struct SpendFold {
    labels: Arc<Labels>,
    loose: Vec<(Place, Spend)>,
    /// Tables that were given to snapshots. They are packed with the others.
    given: Vec<Arc<Vec<(Place, Spend)>>>,
    loose_max: usize,
    places: FxHashMap<Place, u32>,
    packs: Arc<Packs>,
    calls: u64,
}

/// By the number of their stretch of days since 1970.
pub(super) type Packs = BTreeMap<i64, Arc<Pack>>;

impl Default for SpendFold {
    fn default() -> SpendFold {
        SpendFold {
            labels: Arc::default(),
            loose: Vec::new(),
            given: Vec::new(),
            loose_max: LOOSE_CELLS_MIN,
            places: FxHashMap::default(),
            packs: Arc::default(),
            calls: 0,
        }
    }
}

impl SpendFold {
    /// The number of a combination of names.
    pub(super) fn label(&mut self, names: &Names<'_>) -> LabelId {
        self.labels.find(names).unwrap_or_else(|| Arc::make_mut(&mut self.labels).id(names))
    }

    /// The same, for another thread to read.
    pub(super) fn snapshot(&mut self) -> SpendFold {
        if self.loose.len() > COPIED_CELLS_MAX {
            self.given.push(Arc::new(mem::take(&mut self.loose)));
            self.places.clear();
        }
        SpendFold {
            labels: self.labels.clone(),
            loose: self.loose.clone(),
            given: self.given.clone(),
            loose_max: self.loose_max,
            places: FxHashMap::default(),
            packs: self.packs.clone(),
            calls: self.calls,
        }
    }

    pub(super) fn add(&mut self, at: Timestamp, label: LabelId, spend: &Spend, last: &mut LastCell) {
        self.calls = self.calls.wrapping_add(spend.calls);
        self.cell(Place { quarter: quarter(at), label }, last).add(spend);
    }

    /// Takes away a call that is added with this very spend, before or after.
    pub(super) fn subtract(&mut self, at: Timestamp, label: LabelId, spend: &Spend, last: &mut LastCell) {
        self.calls = self.calls.wrapping_sub(spend.calls);
        self.cell(Place { quarter: quarter(at), label }, last).subtract(spend);
    }

    fn cell(&mut self, place: Place, last: &mut LastCell) -> &mut Spend {
        if self.loose.get(last.0 as usize).is_none_or(|(there, _)| *there != place) {
            *last = LastCell(self.find(place));
        }
        &mut self.loose[last.0 as usize].1
    }

    fn find(&mut self, place: Place) -> u32 {
        if let Some(found) = self.places.get(&place) {
            return *found;
        }
        let given: usize = self.given.iter().map(|cells| cells.len()).sum();
        if given + self.loose.len() >= self.loose_max {
            self.pack();
        }
        let new = u32::try_from(self.loose.len()).expect("there are at most LOOSE_CELLS_MAX of them");
        self.loose.push((place, Spend::default()));
        self.places.insert(place, new);
        new
    }

    /// Packs all cells and gives the memory of the loose ones back.
    pub(super) fn settle(&mut self) {
        self.pack();
        self.loose = Vec::new();
        self.places = FxHashMap::default();
    }

    fn pack(&mut self) {
        self.places.clear();
        self.given.drain(..).for_each(|cells| self.loose.extend_from_slice(&cells));
        self.loose.sort_unstable_by_key(|(place, _)| (stretch(place.quarter), place.label, place.quarter));
        let packs = Arc::make_mut(&mut self.packs);
        for cells in self.loose.chunk_by(|(one, _), (other, _)| stretch(one.quarter) == stretch(other.quarter)) {
            let Some((first, _)) = cells.first() else { continue };
            let more = cells.iter().map(|(place, spend)| in_pack(*place, spend));
            add_to_pack(packs, stretch(first.quarter), more);
        }
        self.loose.clear();
        let packed: usize = self.packs.values().map(|pack| pack.cells as usize).sum();
        self.loose_max = (packed / 2).clamp(LOOSE_CELLS_MIN, LOOSE_CELLS_MAX);
    }

    /// Adds what was folded from other entries of the same log.
    pub(super) fn absorb(&mut self, mut other: SpendFold) {
        other.pack();
        let labels: Vec<LabelId> = other.labels.all().map(|names| self.label(&names)).collect();
        let packs = Arc::make_mut(&mut self.packs);
        for (stretch, pack) in Arc::unwrap_or_clone(other.packs) {
            // A label that its own table does not have is damage; there is nothing to count it under.
            let own = |cell: Cell| labels.get(cell.label as usize).map(|label| Cell { label: *label, ..cell });
            let mut cells: Vec<Cell> = pack.cells().filter_map(own).collect();
            cells.sort_unstable_by_key(|cell| (cell.label, cell.quarter));
            add_to_pack(packs, stretch, cells.into_iter());
        }
        self.calls = self.calls.wrapping_add(other.calls);
    }

    /// Whether every cell of both is the same.
    pub(super) fn equals(&self, other: &SpendFold) -> bool {
        let mut rest = self.clone();
        let labels: Vec<LabelId> = other.labels.all().map(|names| rest.label(&names)).collect();
        let mut last = LastCell::default();
        let mut is_sound = true;
        other.each_cell(Span::ALWAYS, |place, spend| match labels.get(place.label as usize) {
            Some(label) => rest.cell(Place { label: *label, ..place }, &mut last).subtract(spend),
            None => is_sound = false,
        });
        rest.settle();
        is_sound && rest.packs.is_empty() && self.calls == other.calls
    }

    /// All calls.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// The quarter of an hour in which the first call began.
    pub(crate) fn first_at(&self) -> Option<Timestamp> {
        let loose = self.loose().map(|(place, _)| stretch(place.quarter));
        let mut stretches: Vec<i64> = self.packs.keys().copied().chain(loose).collect();
        stretches.sort_unstable();
        stretches.dedup();
        stretches.into_iter().find_map(|stretch| self.first_in(stretch)).map(began)
    }

    /// The first quarter of a stretch in which there is a call: where loose cells take away what packed ones hold, all must be added up.
    fn first_in(&self, stretch: i64) -> Option<i64> {
        let from = stretch.saturating_mul(PACK_QUARTERS);
        let own = |place: &Place| self::stretch(place.quarter) == stretch;
        if !self.loose().any(|(place, _)| own(place)) {
            return self.packs.get(&stretch).map(|pack| from.saturating_add(pack.first.into()));
        }
        let mut calls: BTreeMap<(i64, LabelId), u64> = BTreeMap::new();
        self.each_cell(Span { from: began(from), until: began(from.saturating_add(PACK_QUARTERS)) }, |place, spend| {
            let counted = calls.entry((place.quarter, place.label)).or_default();
            *counted = counted.wrapping_add(spend.calls);
        });
        calls.into_iter().find(|(_, calls)| *calls > 0).map(|((quarter, _), _)| quarter)
    }

    /// What the calls in a span cost that are in the scope.
    pub(crate) fn total(&self, span: Span, scope: Scope<'_>) -> Spend {
        let mut total = Spend::default();
        self.each(span, scope, |_, _, spend| total.add(spend));
        total
    }

    /// Calls `visit` with the beginning of the quarter, the label and the spend of each cell in the span that is in the scope.
    ///
    /// A quarter of a label may come twice, and only the sum of both means anything.
    pub(crate) fn each(&self, span: Span, scope: Scope<'_>, mut visit: impl FnMut(Timestamp, LabelId, &Spend)) {
        let wanted: Vec<bool> = self.labels.all().map(|names| scope.has(&names)).collect();
        self.each_cell(span, |place, spend| {
            if wanted.get(place.label as usize).copied().unwrap_or(false) {
                visit(began(place.quarter), place.label, spend);
            }
        });
    }

    /// The projects that some calls are recorded for; one may come several times, and one whose calls are all taken away as well.
    pub(crate) fn projects(&self) -> impl Iterator<Item = &str> {
        self.labels.all().filter_map(|names| names.project)
    }

    /// The names of a label that was visited.
    pub(crate) fn names(&self, label: LabelId) -> Option<Names<'_>> {
        self.labels.names(label)
    }

    /// All cells that are not packed; one may come several times.
    fn loose(&self) -> impl Iterator<Item = &(Place, Spend)> {
        self.given.iter().flat_map(|cells| cells.iter()).chain(&self.loose)
    }

    fn each_cell(&self, span: Span, mut visit: impl FnMut(Place, &Spend)) {
        // A span begins and ends on a quarter: days of every zone do. Only the last quarter of all time is none.
        let quarters = quarter(span.from)..quarter(span.until.plus_micros(-1)).saturating_add(1);
        if quarters.is_empty() {
            return;
        }
        for (number, pack) in self.packs.range(stretch(quarters.start)..=stretch(quarters.end)) {
            let from = number.saturating_mul(PACK_QUARTERS);
            for cell in pack.cells() {
                let quarter = from.saturating_add(cell.quarter.into());
                if quarters.contains(&quarter) {
                    visit(Place { quarter, label: cell.label }, &cell.spend);
                }
            }
        }
        self.loose().filter(|(place, _)| quarters.contains(&place.quarter)).for_each(|(place, spend)| visit(*place, spend));
    }

    /// The parts that a checkpoint keeps. What is loose is not among them.
    pub(super) fn parts(&self) -> (&Labels, &Packs) {
        debug_assert!(self.loose().next().is_none(), "a checkpoint is made of what is packed");
        (&self.labels, &self.packs)
    }

    /// How many different names calls are counted under.
    pub(crate) fn names_count(&self) -> usize {
        self.labels.names_count()
    }

    /// Whether calls are counted under a name, of whatever kind.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.labels.has_name(name)
    }

    pub(super) fn from_parts(labels: Labels, packs: Packs, calls: u64) -> SpendFold {
        SpendFold { labels: Arc::new(labels), packs: Arc::new(packs), calls, ..SpendFold::default() }
    }
}

/// Adds sorted cells to what a stretch has.
fn add_to_pack(packs: &mut Packs, stretch: i64, more: impl Iterator<Item = Cell>) {
    let pack = packs.entry(stretch).or_default();
    *pack = Arc::new(pack.with(more));
    if pack.cells == 0 {
        packs.remove(&stretch);
    }
}

/// The quarter of an hour that an instant lies in, counted from 1970.
pub(crate) fn quarter(at: Timestamp) -> i64 {
    at.micros().div_euclid(QUARTER_MICROS)
}

fn began(quarter: i64) -> Timestamp {
    Timestamp::from_micros(quarter.saturating_mul(QUARTER_MICROS))
}

fn stretch(quarter: i64) -> i64 {
    quarter.div_euclid(PACK_QUARTERS)
}

fn in_pack(place: Place, spend: &Spend) -> Cell {
    let quarter = u16::try_from(place.quarter.rem_euclid(PACK_QUARTERS)).expect("a pack has fewer quarters than sixteen bits count");
    Cell { label: place.label, quarter, spend: *spend }
}
