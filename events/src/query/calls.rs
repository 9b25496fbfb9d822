//! Every call, one row each: the export.

use super::{Fault, Filter, Query, View};
use crate::{Certainty, RequestKey, Source, Timestamp, Usd};
use serde::{Deserialize, Serialize};

/// One row per call. The names are an interface that scripts rely on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct CallRow {
    /// The identity of the call in the log.
    pub key: RequestKey,
    /// The provider's id of the answer.
    pub call_id: Option<String>,
    /// The provider's id of the HTTP request.
    pub request_id: Option<String>,
    /// When the call began.
    pub at: Timestamp,
    /// Who was called.
    pub provider: String,
    /// The model that answered.
    pub model: Option<String>,
    /// The program that called.
    pub client: Option<String>,
    /// Who saw the call.
    pub sources: Vec<Source>,
    /// What the call was made for.
    pub project: Option<String>,
    /// The client's session.
    pub session: Option<String>,
    /// The branch that was checked out.
    pub branch: Option<String>,
    /// How it was served, in the provider's word.
    pub tier: Option<String>,
    /// Uncached input tokens.
    pub input: u64,
    /// Cached input tokens.
    pub cache_read: u64,
    /// Tokens written to a cache of minutes (five or thirty), or of unnamed lifetime.
    pub cache_write_5m: u64,
    /// Tokens written to a cache of hours (one or twelve).
    pub cache_write_1h: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Of the output: reasoning.
    pub reasoning: u64,
    /// Audio and image tokens that are billed apart.
    pub media: u64,
    /// Web searches that the provider ran.
    pub web_search: u32,
    /// Whether the tokens are our estimate.
    pub estimated: bool,
    /// How far the tokens can be trusted.
    pub certainty: Certainty,
    /// Whether the cost is known.
    pub priced: bool,
    /// The cost, if it is known.
    pub cost_usd: Option<Usd>,
    /// Where the cost comes from.
    pub cost_basis: CostBasis,
    /// The row of the price book that made it, or why there is none.
    pub cost_note: String,
    /// The cost that the provider or client itself reported.
    pub reported_cost_usd: Option<Usd>,
    /// From the first byte of the request to the last of the reply.
    pub latency_ms: Option<u32>,
    /// The HTTP status of the reply.
    pub status: Option<u16>,
}

/// Where a cost comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum CostBasis {
    /// The provider or client reported it.
    Reported,
    /// The price book at the time of the call.
    Book,
    /// Nobody knows it.
    Unpriced,
}
