//! A segment: some thousand entries as columns, compressed and checksummed. What the store keeps once entries are no longer the newest.

use crate::{Certainty, Entry, ProjectBy, Seq, Sources, Tokens, Usd};

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
    pub(crate) latency_ms: Vec<Option<u32>>,
    pub(crate) reported_cost: Vec<Option<Usd>>,
    /// The entries that speak of no call, in order.
    pub(crate) others: Vec<Entry>,
}
