//! Newer prices: data sets fetched or read from a folder, merged, compared with the book in force, and refused or proposed.
//!
//! Nothing here is executed, and nothing is adopted: a [`Proposal`] is a book as text and what it changes. What cannot be fetched, read
//! or believed leaves everything as it is.

mod address;
mod daily;
mod fetch;
mod folder;
mod succession;
#[cfg(test)]
mod tests;

pub use address::Address;
pub use daily::Daily;
pub use fetch::{FetchError, Fetched, fetch};
pub use folder::{Folder, FolderError};
pub use succession::{Change, What};

use crate::{
    clock,
    engine::{Ledger, Told, WriterHandle},
    pricebuild::{self, BuildError, Set, Sets},
};
use events::{
    Command, PriceBook, PriceError, Rate, Timestamp,
    query::{BookInForce, BookInForceAnswer, Fault, FaultCode},
};

/// How many of a hundred known models a set must still list.
const LISTED_PERCENT_MIN: usize = 95;
/// A price that changes by more than this factor is adopted only if somebody was asked.
const FACTOR_MAX: i128 = 10;

/// A book that could follow the one in force.
#[derive(Debug)]
pub struct Proposal {
    /// Its text.
    pub book: String,
    /// What it says otherwise, in the order of providers and models.
    pub changes: Vec<Change>,
    /// How many known prices no set lists any more. They stay in the book.
    pub retired: usize,
}

/// Why there is no proposal.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The sets make no book.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Too much is missing: a set that was cut or changed its form is likelier than so many models that went away.
    #[error("of {known} models that {set} had, it lists {listed}: at least {LISTED_PERCENT_MIN} % are expected")]
    Shrunk {
        /// The set.
        set: &'static str,
        /// Models of the book in force that are from it.
        known: usize,
        /// Those that it lists still.
        listed: usize,
    },
    /// What came out is no sane book.
    #[error("the new book is not sound: {0}")]
    Book(#[from] PriceError),
}

impl Proposal {
    /// The changes that nobody should adopt unasked.
    pub fn large(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.is_large())
    }

    /// From when on it says something else of what had a price; nothing of the past is touched where it is none.
    pub fn from(&self) -> Option<Timestamp> {
        self.changes.iter().filter_map(|change| if let What::Changed { from, .. } = change.what { from } else { None }).min()
    }
}

/// Merges the sets and lets the outcome follow the book in force, as of a day.
///
/// What had no price is filled in, the past included. What had one changes from the change's own date on, or from today, where the
/// sets name no date. What no set lists any more stays.
pub fn propose(in_force: &PriceBook, sets: &Sets<'_>, today: Timestamp) -> Result<Proposal, UpdateError> {
    let built = pricebuild::build(sets, None)?;
    let newer = PriceBook::from_json(built.json.as_bytes())?;
    for set in Set::ALL {
        let (known, listed) = succession::listed(in_force, &newer, set);
        if listed * 100 < known * LISTED_PERCENT_MIN {
            return Err(UpdateError::Shrunk { set: set.name(), known, listed });
        }
    }
    let succession = succession::of(in_force, &newer, today);
    let book = PriceBook::to_json(&succession.schedules, &succession.rows);
    PriceBook::from_json(book.as_bytes())?;
    Ok(Proposal { book, changes: succession.changes, retired: succession.retired })
}

/// The book in force.
pub(crate) fn in_force(ledger: &Ledger) -> Result<PriceBook, Fault> {
    read(ledger.ask(BookInForce {})?)
}

/// The book in force, asked where the log is.
fn in_force_of(writer: &WriterHandle) -> Result<PriceBook, Fault> {
    read(writer.ask(BookInForce {})?)
}

fn read(answer: BookInForceAnswer) -> Result<PriceBook, Fault> {
    PriceBook::from_json(answer.book.as_bytes())
        .map_err(|cause| Fault::new(FaultCode::Internal, format!("the book in force cannot be read: {cause}"), ""))
}

/// Tells the log that calls are priced by a book from the first of its changes on, from now where it only fills in what had no price.
/// The book that held until now is written down first, so that the past stays what it was.
pub(crate) fn adopt(tell: &dyn Fn(Command) -> Result<Told, Fault>, book: String, from: Option<Timestamp>) -> Result<Told, Fault> {
    let from = from.map(|from| from.min(clock::now()));
    tell(Command::AdoptPriceBook { book, from })
}

/// Whether one rate is so many times another that a slip is likelier than a change.
fn is_far(one: Rate, other: Rate) -> bool {
    let (low, high) = (one.min(other).atto(), one.max(other).atto());
    high > low.saturating_mul(FACTOR_MAX)
}
