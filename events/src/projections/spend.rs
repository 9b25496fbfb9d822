//! Spend per quarter of an hour, provider, model, project and client: whatever the zone, its days are sums of these
//! (every zone's offset is a multiple of fifteen minutes since 1972).

use crate::{
    AsOf, Certainty, Cost, PriceBook, Span, Timestamp, Usage, Usd,
    query::{Dimension, Filter},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

const QUARTER_MICROS: i64 = 15 * 60 * 1_000_000;

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
    /// What one call cost.
    fn of(usage: &Usage, book: &PriceBook) -> Spend {
        let mut spend = Spend {
            calls: 1,
            tokens_in: usage.tokens.prompt(),
            tokens_cached: usage.tokens.cache_read.saturating_add(usage.tokens.cache_read_audio),
            tokens_out: usage.tokens.produced(),
            ..Spend::default()
        };
        match book.cost_of(usage, AsOf::Call) {
            Cost::Priced { usd, .. } => {
                spend.usd = usd;
                if is_unsure(usage.certainty) {
                    spend.estimated_calls = 1;
                    spend.estimated_usd = usd;
                }
            }
            Cost::Unpriced { .. } if usage.certainty == Certainty::Unknown => spend.unknown_calls = 1,
            Cost::Unpriced { .. } => {
                spend.unpriced_calls = 1;
                spend.unpriced_tokens = usage.tokens.total();
            }
        }
        spend
    }

    /// Adds what other calls cost.
    pub fn add(&mut self, other: &Spend) {
        self.calls += other.calls;
        self.usd += other.usd;
        self.tokens_in += other.tokens_in;
        self.tokens_cached += other.tokens_cached;
        self.tokens_out += other.tokens_out;
        self.unpriced_calls += other.unpriced_calls;
        self.unpriced_tokens += other.unpriced_tokens;
        self.estimated_calls += other.estimated_calls;
        self.estimated_usd += other.estimated_usd;
        self.unknown_calls += other.unknown_calls;
    }

    /// Takes away what was added before.
    fn subtract(&mut self, other: &Spend) {
        self.calls -= other.calls;
        self.usd -= other.usd;
        self.tokens_in -= other.tokens_in;
        self.tokens_cached -= other.tokens_cached;
        self.tokens_out -= other.tokens_out;
        self.unpriced_calls -= other.unpriced_calls;
        self.unpriced_tokens -= other.unpriced_tokens;
        self.estimated_calls -= other.estimated_calls;
        self.estimated_usd -= other.estimated_usd;
        self.unknown_calls -= other.unknown_calls;
    }
}

/// Whether the tokens of a call are less than reported in full.
fn is_unsure(certainty: Certainty) -> bool {
    match certainty {
        Certainty::Estimated | Certainty::Partial => true,
        Certainty::Unknown | Certainty::Reported => false,
    }
}

/// A name in the fold's table of names; 0 stands for none.
type NameId = u32;

/// The names under which a call is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Labels {
    provider: NameId,
    model: NameId,
    project: NameId,
    client: NameId,
}

/// Spend per quarter of an hour and label.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpendFold {
    names: Vec<String>,
    ids: HashMap<String, NameId>,
    cells: BTreeMap<(i64, Labels), Spend>,
    calls: u64,
}

impl SpendFold {
    pub(crate) fn add(&mut self, usage: &Usage, book: &PriceBook) {
        let place = (quarter(usage.at), self.labels(usage));
        self.cells.entry(place).or_default().add(&Spend::of(usage, book));
        self.calls += 1;
    }

    /// Takes away a call that was added with this very usage.
    pub(crate) fn subtract(&mut self, usage: &Usage, book: &PriceBook) {
        let place = (quarter(usage.at), self.labels(usage));
        if let Some(cell) = self.cells.get_mut(&place) {
            cell.subtract(&Spend::of(usage, book));
            if cell.calls == 0 {
                self.cells.remove(&place);
            }
            self.calls -= 1;
        }
    }

    /// All calls.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// The quarter of an hour in which the first call began.
    pub(crate) fn first_at(&self) -> Option<Timestamp> {
        self.cells.first_key_value().map(|((quarter, _), _)| Timestamp::from_micros(quarter * QUARTER_MICROS))
    }

    /// What the calls in a span cost that match the filter.
    pub(crate) fn total(&self, span: Span, filter: &Filter) -> Spend {
        let mut total = Spend::default();
        self.each(span, filter, |_, _, spend| total.add(spend));
        total
    }

    /// Calls `visit` with the beginning of the quarter, the label and the spend of each cell in the span that matches the filter.
    pub(crate) fn each(&self, span: Span, filter: &Filter, mut visit: impl FnMut(Timestamp, &Label<'_>, &Spend)) {
        let Some(wanted) = self.wanted(filter) else { return };
        let lowest = Labels { provider: 0, model: 0, project: 0, client: 0 };
        // A span begins and ends on a quarter: days of every zone do.
        let range = (quarter(span.from), lowest)..(quarter(span.until), lowest);
        for ((quarter, labels), spend) in self.cells.range(range) {
            if wanted.iter().all(|(dimension, id)| labels.id(*dimension) == Some(*id)) {
                visit(Timestamp::from_micros(quarter * QUARTER_MICROS), &Label { fold: self, labels: *labels }, spend);
            }
        }
    }

    /// The filter in numbers; `None` where it names what no call has.
    fn wanted(&self, filter: &Filter) -> Option<Vec<(Dimension, NameId)>> {
        let named = [
            (Dimension::Project, &filter.project),
            (Dimension::Model, &filter.model),
            (Dimension::Provider, &filter.provider),
            (Dimension::Client, &filter.client),
        ];
        named.into_iter().filter_map(|(dimension, name)| name.as_ref().map(|name| self.ids.get(name).map(|id| (dimension, *id)))).collect()
    }

    fn labels(&mut self, usage: &Usage) -> Labels {
        Labels {
            provider: self.id(Some(&usage.provider)),
            model: self.id(usage.model.as_deref()),
            project: self.id(usage.project.as_ref().map(|project| project.name.as_str())),
            client: self.id(usage.client.as_deref()),
        }
    }

    fn id(&mut self, name: Option<&str>) -> NameId {
        let Some(name) = name else { return 0 };
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        self.names.push(name.to_owned());
        let id = NameId::try_from(self.names.len()).expect("fewer than four thousand million different names");
        self.ids.insert(name.to_owned(), id);
        id
    }
}

impl Labels {
    fn id(&self, dimension: Dimension) -> Option<NameId> {
        match dimension {
            Dimension::Day => None,
            Dimension::Model => Some(self.model),
            Dimension::Project => Some(self.project),
            Dimension::Provider => Some(self.provider),
            Dimension::Client => Some(self.client),
        }
    }
}

/// The names under which a cell's calls are counted.
pub(crate) struct Label<'a> {
    fold: &'a SpendFold,
    labels: Labels,
}

impl Label<'_> {
    /// The name along a dimension; `None` for the day, which is no label, and where the calls have no such name.
    pub(crate) fn name(&self, dimension: Dimension) -> Option<&str> {
        let id = self.labels.id(dimension)?.checked_sub(1)?;
        self.fold.names.get(id as usize).map(String::as_str)
    }
}

fn quarter(at: Timestamp) -> i64 {
    at.micros().div_euclid(QUARTER_MICROS)
}
