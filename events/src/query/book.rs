//! Which prices are in force, as one book?

use super::{Fault, Query, View};
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// The books that were adopted one after the other, as one.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct BookInForce {}

/// The answer to [`BookInForce`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BookInForceAnswer {
    /// Its text.
    pub book: String,
}

impl Query for BookInForce {
    const NAME: &'static str = "book_in_force";
    const IS_QUICK: bool = true;
    type Answer = BookInForceAnswer;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<BookInForceAnswer, Fault> {
        Ok(BookInForceAnswer { book: view.projections.tariff().book_at(now) })
    }
}
