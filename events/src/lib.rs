//! The ledger: facts about LLM calls, the log that keeps them, and what is folded from it.
//!
//! This crate knows no network, no screen, no clock and no environment: time is passed in, files are named by the caller.
//! Read it in the order of the `mod` lines.

#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]
// The test that writes the window's types is told to by a variable.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod money;
mod time;
mod tokens;

mod event;
pub mod names;
mod pieces;
mod sameness;
mod wire;

pub mod log;
mod prices;
mod projections;
mod tariff;

mod command;
pub mod query;

#[doc(hidden)]
pub mod fuzzing;

pub use command::{Command, Match, Remetered, decide};
pub use event::{
    Alert, Budget, BudgetScope, CallUuid, Certainty, Entry, Event, Fees, MatchedBy, Project, ProjectBy, RequestKey, Said, Seq, Sighting,
    Source, Sources, Summary, Usage,
};
pub use log::{Fact, Log, LogError};
pub use money::{Rate, Usd};
pub use pieces::Pieces;
pub use prices::{
    AsOf, Band, Basis, By, Cost, FEE_RATE_MAX, Factor, Hours, Minute, PriceBook, PriceError, RATE_MAX, Rates, Row, RowFault, Schedule,
    Tier, Unpriced, maker as maker_of_model,
};
pub use projections::{Projections, RECENT_CALLS_MAX, Spend};
pub use tariff::{Adoption, AgreedName, AgreedPrice, Multiplier, PackedBook, Tariff};
pub use time::{Day, Period, Span, Timestamp, Zone};
pub use tokens::Tokens;

#[cfg(test)]
mod typescript;
