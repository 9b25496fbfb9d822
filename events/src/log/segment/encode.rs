//! Writing segments.

use super::{
    Bounds, Kind, Segment, SegmentError,
    bytes::{put_bytes, put_instants, put_varint, put_wide, zigzag_wide},
    columns::{HAS_LATENCY, HAS_PIECES, HAS_REQUESTS, HAS_WEB_SEARCH},
    frame::{Body, ENTRIES_MAX, Packer, Part},
    profile::put_profile,
    texts::put_texts,
    tokens::put_tokens,
};
use crate::{Entry, Event, Pieces, Span, Timestamp, Tokens, Usage, wire};
use rustc_hash::FxHashMap;
use std::borrow::Borrow;

/// Makes segments; kept, because it holds what compresses and its buffers.
pub(in crate::log) struct Encoder {
    pub(super) packer: Packer,
    body: Body,
}

/// An entry that speaks of a call.
struct Call<'e> {
    entry: &'e Entry,
    /// How the call stands now.
    usage: &'e Usage,
}

/// Entries, sorted into what becomes columns.
#[derive(Default)]
struct Sorted<'e> {
    kinds: Vec<u8>,
    rows: Vec<&'e Usage>,
    calls: Vec<Call<'e>>,
    others: Vec<&'e Entry>,
}

impl Encoder {
    pub(in crate::log) fn new() -> Encoder {
        Encoder { packer: Packer::new(), body: Body::default() }
    }

    /// Seals entries that follow each other. Fails only where they are too large for one segment; half of them may fit.
    pub(in crate::log) fn encode<E: Borrow<Entry>>(&mut self, entries: &[E]) -> Result<Segment, SegmentError> {
        assert!(!entries.is_empty() && entries.len() <= ENTRIES_MAX, "a segment has entries, and a bound");
        assert!(
            entries.windows(2).all(|pair| pair[1].borrow().seq == pair[0].borrow().seq.next()),
            "the entries of a segment follow each other"
        );
        let sorted = Sorted::new(entries);
        let bounds = Bounds { first: entries[0].borrow().seq, entries: entries.len() as u32, span: sorted.span() };
        self.body.begin(&bounds);
        put_hot(&mut self.body, &sorted);
        let hot = self.packer.pack(Part::Hot, &bounds, &self.body)?;
        self.body.begin(&bounds);
        put_cold(&mut self.body, &sorted)?;
        let cold = self.packer.pack(Part::Cold, &bounds, &self.body)?;
        Ok(Segment { hot, cold })
    }
}

impl<'e> Sorted<'e> {
    fn new<E: Borrow<Entry>>(entries: &'e [E]) -> Sorted<'e> {
        let mut sorted = Sorted::default();
        for entry in entries.iter().map(Borrow::borrow) {
            let kind = match &entry.event {
                Event::Used { usage } => {
                    sorted.rows.push(usage);
                    sorted.calls.push(Call { entry, usage });
                    Kind::Used
                }
                Event::Restated { before, after } => {
                    sorted.rows.extend([&**before, &**after]);
                    sorted.calls.push(Call { entry, usage: after });
                    Kind::Restated
                }
                Event::BudgetSet { .. }
                | Event::BudgetRemoved { .. }
                | Event::AlertRaised { .. }
                | Event::PriceBookAdopted { .. }
                | Event::PriceSet { .. }
                | Event::PriceUnset { .. }
                | Event::PricesMultiplied { .. }
                | Event::Summarised { .. }
                | Event::Folded { .. }
                | Event::Lost
                | Event::Matched { .. }
                | Event::ProjectRenamed { .. } => {
                    sorted.others.push(entry);
                    Kind::Other
                }
            };
            sorted.kinds.push(kind as u8);
        }
        sorted
    }

    /// Holds the `at` of every row, of every summary, and of what a match takes away.
    fn span(&self) -> Span {
        let summaries = self.others.iter().filter_map(|entry| match &entry.event {
            Event::Summarised { summary } => Some(summary.usage.at),
            Event::Matched { before, .. } => before.as_ref().map(|before| before.at),
            Event::Used { .. }
            | Event::Restated { .. }
            | Event::BudgetSet { .. }
            | Event::BudgetRemoved { .. }
            | Event::AlertRaised { .. }
            | Event::PriceBookAdopted { .. }
            | Event::PriceSet { .. }
            | Event::PriceUnset { .. }
            | Event::PricesMultiplied { .. }
            | Event::Folded { .. }
            | Event::Lost
            | Event::ProjectRenamed { .. } => None,
        });
        let instants: Vec<Timestamp> = self.rows.iter().map(|usage| usage.at).chain(summaries).collect();
        match (instants.iter().min(), instants.iter().max()) {
            (Some(first), Some(last)) => Span { from: *first, until: last.plus_micros(1) },
            (None, _) | (_, None) => Span { from: Timestamp::default(), until: Timestamp::default() },
        }
    }
}

fn put_hot(body: &mut Body, sorted: &Sorted<'_>) {
    let rows = &sorted.rows;
    body.bytes.extend_from_slice(&sorted.kinds);
    let (profile, profiles) = put_profiles(body, rows);
    body.cut();
    put_instants(&mut body.bytes, rows.iter().map(|usage| usage.at.micros()));
    body.cut();
    let tokens: Vec<Tokens> = rows.iter().map(|usage| usage.tokens).collect();
    put_tokens(body, &tokens, &profile, profiles);
    body.cut();
    let has = |flag, is: bool| if is { flag } else { 0 };
    let web_search = has(HAS_WEB_SEARCH, rows.iter().any(|usage| usage.fees.web_search > 0));
    let latency = has(HAS_LATENCY, rows.iter().any(|usage| usage.latency_ms.is_some()));
    let pieces = has(HAS_PIECES, rows.iter().any(|usage| !usage.fees.pieces.is_none()));
    let requests = has(HAS_REQUESTS, rows.iter().any(|usage| usage.requests.is_some()));
    body.bytes.push(web_search | latency | pieces | requests);
    if web_search > 0 {
        rows.iter().for_each(|usage| put_varint(&mut body.bytes, usage.fees.web_search.into()));
    }
    if latency > 0 {
        rows.iter().for_each(|usage| put_varint(&mut body.bytes, usage.latency_ms.map_or(0, |latency_ms| 1 + u64::from(latency_ms))));
    }
    if pieces > 0 {
        put_pieces(&mut body.bytes, rows);
    }
    if requests > 0 {
        let requests = put_places(&mut body.bytes, rows.iter().map(|usage| usage.requests));
        requests.iter().for_each(|requests| put_varint(&mut body.bytes, u64::from(*requests)));
    }
    let costs = put_places(&mut body.bytes, rows.iter().map(|usage| usage.reported_cost));
    costs.iter().for_each(|cost| put_wide(&mut body.bytes, zigzag_wide(cost.pico())));
    body.cut();
    sorted.others.iter().for_each(|entry| put_bytes(&mut body.bytes, &wire::encode(entry)));
}

/// Writes the classes of pieces that occur, each by name, with the rows that have some of it and how many.
fn put_pieces(out: &mut Vec<u8>, rows: &[&Usage]) {
    let counts = |place: usize| rows.iter().map(move |usage| Some(usage.fees.pieces.counts()[place]).filter(|count| *count > 0));
    let names: Vec<&str> = Pieces::default().iter().map(|(class, _)| class).collect();
    let occurring: Vec<usize> = (0..names.len()).filter(|place| counts(*place).any(|count| count.is_some())).collect();
    put_varint(out, occurring.len() as u64);
    for place in occurring {
        put_bytes(out, names[place].as_bytes());
        put_places(out, counts(place)).iter().for_each(|count| put_varint(out, u64::from(*count)));
    }
}

/// Writes each profile once, and which one each row has; returns these, and how many there are.
fn put_profiles(body: &mut Body, rows: &[&Usage]) -> (Vec<u32>, usize) {
    let mut numbers: FxHashMap<Vec<u8>, u32> = FxHashMap::default();
    let (mut all, mut profile) = (Vec::new(), Vec::with_capacity(rows.len()));
    let (mut bytes, mut last, mut number) = (Vec::new(), Vec::new(), 0);
    for usage in rows {
        bytes.clear();
        put_profile(&mut bytes, usage);
        // Calls come by conversation: most have the profile of the call before.
        if bytes != last {
            number = numbers.get(&bytes).copied().unwrap_or_else(|| {
                let new = numbers.len() as u32;
                put_bytes(&mut all, &bytes);
                numbers.insert(bytes.clone(), new);
                new
            });
            std::mem::swap(&mut bytes, &mut last);
        }
        profile.push(number);
    }
    put_varint(&mut body.bytes, numbers.len() as u64);
    body.bytes.extend_from_slice(&all);
    profile.iter().for_each(|number| put_varint(&mut body.bytes, u64::from(*number)));
    (profile, numbers.len())
}

fn put_cold(body: &mut Body, sorted: &Sorted<'_>) -> Result<(), SegmentError> {
    let (rows, calls) = (&sorted.rows, &sorted.calls);
    put_instants(&mut body.bytes, calls.iter().map(|call| call.entry.recorded_at.micros()));
    let strange = |call: &Call<'_>| (call.entry.key != call.usage.key()).then_some(call.entry.key);
    let keys = put_places(&mut body.bytes, calls.iter().map(strange));
    for key in keys {
        body.bytes.push(u8::from(key.is_some()));
        body.bytes.extend_from_slice(&key.map_or([0; 16], |key| key.0));
    }
    body.cut();
    put_sessions(body, rows);
    put_texts(body, rows.iter().map(|usage| usage.call_id.as_deref()))?;
    put_texts(body, rows.iter().map(|usage| usage.request_id.as_deref()))?;
    let carried = put_places(&mut body.bytes, rows.iter().map(|usage| usage.carried));
    carried.iter().for_each(|carried| body.bytes.extend_from_slice(&carried.0.to_be_bytes()));
    Ok(())
}

/// Each session once, and which one each row has: 0 for none.
fn put_sessions(body: &mut Body, rows: &[&Usage]) {
    let mut numbers: FxHashMap<&str, u64> = FxHashMap::default();
    let (mut all, mut session) = (Vec::new(), Vec::new());
    let (mut last, mut number) = (None, 0);
    for usage in rows {
        let name = usage.session.as_deref();
        if name != last {
            number = name.map_or(0, |name| {
                let new = numbers.len() as u64 + 1;
                *numbers.entry(name).or_insert_with(|| {
                    put_bytes(&mut all, name.as_bytes());
                    new
                })
            });
            last = name;
        }
        put_varint(&mut session, number);
    }
    put_varint(&mut body.bytes, numbers.len() as u64);
    body.bytes.extend_from_slice(&all);
    body.cut();
    body.bytes.extend_from_slice(&session);
}

/// Writes which rows have what few of them have, and returns what they have.
fn put_places<T>(out: &mut Vec<u8>, values: impl Iterator<Item = Option<T>>) -> Vec<T> {
    let (mut gaps, mut found, mut next) = (Vec::new(), Vec::new(), 0);
    for (row, value) in values.enumerate() {
        if let Some(value) = value {
            put_varint(&mut gaps, (row - next) as u64);
            found.push(value);
            next = row + 1;
        }
    }
    put_varint(out, found.len() as u64);
    out.extend_from_slice(&gaps);
    found
}
