//! A segment: some thousand entries as columns, compressed and checksummed. What the store keeps once entries are no longer the newest.
//!
//! It has two values. The hot one holds the columns that folding reads, and whole what speaks of no call; the cold one holds the ids.
//! Each is a header (`frame.rs`) and one zstd frame. A column stands for itself in the frame, because bytes of one nature compress best:
//!
//! ```text
//! hot   first entry, entries                       cold   first entry, entries
//!       kind of each entry (`Kind`)                       recorded_at of each call's entry
//!       profiles, profile of each row                     keys that are not `usage.key()`
//!       at                                                sessions, session of each row
//!       token classes that occur: a column each           call_id, request_id: shared with the one before, rest
//!       web_search, latency_ms where they occur           carried, where it occurs
//!       pieces by class, requests, where they occur
//!       reported_cost, where it occurs
//!       entries that speak of no single call (`wire`)
//! ```
//!
//! Version 1 stays readable for ever: the golden file in `tests/golden` is never edited.

mod bytes;
mod columns;
mod encode;
mod frame;
mod profile;
mod texts;
mod tokens;
mod whole;

use crate::{Certainty, Entry, Fees, Pieces, ProjectBy, Seq, Sources, Span, Tokens, Usd};
use std::io;

pub(in crate::log) use encode::Encoder;
pub(in crate::log) use frame::Unpacker;
pub(crate) use profile::put_profile;
pub(in crate::log) use whole::Whole;

/// Why bytes are no segment, or entries cannot become one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SegmentError {
    /// Written by a later program.
    #[error("a segment of version {0}, which this program does not know")]
    Version(u8),
    /// The frame does not unpack, or to something else than was packed.
    #[error("a damaged segment: {0}")]
    Frame(io::Error),
    /// Not what the version says.
    #[error("a damaged segment: {0}")]
    Damaged(&'static str),
    /// More than a reader would take. Fewer entries fit.
    #[error("a segment of {0} bytes is too large")]
    TooLarge(usize),
}

/// A segment as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::log) struct Segment {
    /// What folding reads.
    pub(in crate::log) hot: Vec<u8>,
    /// What only whole entries need.
    pub(in crate::log) cold: Vec<u8>,
}

/// What a segment holds, known without unpacking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Bounds {
    /// The first entry.
    pub(in crate::log) first: Seq,
    /// How many entries there are.
    pub(in crate::log) entries: u32,
    /// Holds the `at` of every row and every summary; empty where there is none.
    pub(in crate::log) span: Span,
}

impl Bounds {
    /// What the header of a hot value says.
    pub(in crate::log) fn read(hot: &[u8]) -> Result<Bounds, SegmentError> {
        frame::bounds(frame::Part::Hot, hot)
    }
}

/// What the calls of a segment have in common, each combination once.
///
/// `bytes` is the same for equal profiles in every segment: what is found out about one (its labels, its prices) can be kept by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Profile<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) provider: &'a str,
    pub(crate) family: &'a str,
    pub(crate) model: Option<&'a str>,
    pub(crate) request_model: Option<&'a str>,
    pub(crate) device: Option<&'a str>,
    pub(crate) client: Option<&'a str>,
    pub(crate) project: Option<(ProjectBy, &'a str)>,
    pub(crate) branch: Option<&'a str>,
    pub(crate) tier: Option<&'a str>,
    pub(crate) geo: Option<&'a str>,
    pub(crate) certainty: Certainty,
    pub(crate) sources: Sources,
    pub(crate) status: Option<u16>,
}

/// What a row does to a fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The usage counts from here on: a `Used`, or the `after` of a `Restated`.
    Added,
    /// The usage counts no more: the `before` of a `Restated`.
    Taken,
}

/// The numbers of a segment, column by column: all that folding reads. A row is one usage, so a `Restated` entry has two rows, `before` first.
#[derive(Debug, Default)]
pub(crate) struct Columns<'a> {
    /// The first entry of the segment, and how many there are.
    pub(crate) first: Seq,
    pub(crate) entries: u32,
    pub(crate) profiles: Vec<Profile<'a>>,
    /// Which of `profiles` the row has.
    pub(crate) profile: Vec<u32>,
    /// Which entry of the segment the row belongs to, from 0 on.
    pub(crate) entry: Vec<u32>,
    pub(crate) side: Vec<Side>,
    /// In microseconds.
    pub(crate) at: Vec<i64>,
    pub(crate) tokens: Vec<Tokens>,
    pub(crate) web_search: Vec<u32>,
    /// What else is billed by the piece; empty where nothing is.
    pub(crate) pieces: Vec<Pieces>,
    /// How many requests a row sums; empty where all rows are single requests.
    pub(crate) requests: Vec<Option<u32>>,
    pub(crate) latency_ms: Vec<Option<u32>>,
    pub(crate) reported_cost: Vec<Option<Usd>>,
    /// The entries that speak of no single call, in order.
    pub(crate) others: Vec<Entry>,
}

impl Columns<'_> {
    /// The fees of a row.
    pub(crate) fn fees(&self, row: usize) -> Fees {
        Fees { web_search: self.web_search[row], pieces: self.pieces.get(row).copied().unwrap_or_default() }
    }

    /// How many requests a row sums, where it is not one.
    pub(crate) fn requests(&self, row: usize) -> Option<u32> {
        self.requests.get(row).copied().flatten()
    }
}

/// What an entry is, as a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// A `Used`: one row.
    Used = 0,
    /// A `Restated`: two rows.
    Restated = 1,
    /// Anything that speaks of no single call: no row.
    Other = 2,
}

/// For the fuzzers: reads any bytes as a segment, and folds what has columns.
pub(super) fn read_any(bytes: &[u8]) {
    let _ = Bounds::read(bytes);
    let _ = Unpacker::new().unpack(frame::Part::Hot, bytes, &mut Vec::new());
    if let Ok(columns) = Columns::read(bytes) {
        crate::Projections::new(crate::PriceBook::bundled().clone()).apply_columns(&columns);
    }
}

#[cfg(test)]
mod sweep;
#[cfg(test)]
mod tests;
