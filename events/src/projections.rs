//! What is folded from the log.

use crate::Usd;
use serde::{Deserialize, Serialize};

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
