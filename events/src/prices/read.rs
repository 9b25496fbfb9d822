//! A price book as bytes: one JSON object with one row a line, so that a change of prices is read as a change of lines.
//!
//! What is read may come from anywhere: size, rates and times are checked before one call is priced by it.

use super::{
    PriceBook, Rates, Row, Schedule, Tier,
    shelf::{Models, Shelf},
};
use crate::Rate;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const FORMAT: &str = "tollbar-prices/1";
pub(crate) const BOOK_BYTES_MAX: usize = 16 << 20;
const ROWS_MAX: usize = 100_000;
/// $1,000 per million tokens: above all that was ever published, below what a slip of the point makes (prices.md 5.4).
pub const RATE_MAX: Rate = Rate::from_atto(1_000 * 1_000_000_000_000);
/// $1 per search, page, second or picture.
pub const FEE_RATE_MAX: Rate = Rate::from_atto(1_000_000 * 1_000_000_000_000);

/// Why bytes are no price book.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// Larger than any honest book.
    #[error("a price book of {bytes} bytes: at most {BOOK_BYTES_MAX} are read")]
    TooLarge {
        /// How large.
        bytes: usize,
    },
    /// More rows than any honest book has.
    #[error("a price book of {rows} rows: at most {ROWS_MAX} are read")]
    TooManyRows {
        /// How many.
        rows: usize,
    },
    /// A page to look at, where the book was expected: a wrong address, a login or a proxy's excuse.
    #[error("a web page (HTML), not a price book")]
    WebPage,
    /// Not JSON, or not of this shape.
    #[error("not a price book: {0}")]
    Malformed(#[from] serde_json::Error),
    /// JSON of another kind.
    #[error("not a price book of format {FORMAT:?}, but {0:?}")]
    Format(String),
    /// Nothing in it.
    #[error("a price book without rows")]
    Empty,
    /// A row that cannot be.
    #[error("{provider}/{model}: {fault}")]
    Row {
        /// Its provider.
        provider: String,
        /// Its model.
        model: String,
        /// What is wrong with it.
        fault: RowFault,
    },
}

/// What is wrong with a row.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    /// Below zero or above a sane limit.
    #[error("a rate for {class} of {rate} dollars per million")]
    Rate {
        /// Of which class.
        class: &'static str,
        /// The rate.
        rate: Rate,
    },
    /// Two prices hold at once.
    #[error("two prices for tier {tier:?} at {at}")]
    Overlap {
        /// In which tier.
        tier: Tier,
        /// When.
        at: crate::Timestamp,
    },
    /// It ends before it begins.
    #[error("a price that ends before it begins")]
    Backwards,
    /// Bands out of order.
    #[error("bands that do not ascend")]
    Bands,
    /// Its schedule is missing.
    #[error("no schedule {0:?} in this book")]
    Schedule(String),
    /// Two models of one provider share a name.
    #[error("the name {0:?} means two models")]
    Name(String),
}

#[derive(Deserialize)]
struct Book {
    #[serde(default)]
    format: String,
    #[serde(default)]
    schedules: Vec<Schedule>,
    #[serde(default)]
    rows: Vec<Row>,
}

impl PriceBook {
    /// Reads and checks a book. Rows may stand in any order; fields that are not known are ignored.
    pub fn from_json(bytes: &[u8]) -> Result<PriceBook, PriceError> {
        if bytes.len() > BOOK_BYTES_MAX {
            return Err(PriceError::TooLarge { bytes: bytes.len() });
        }
        if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<') {
            return Err(PriceError::WebPage);
        }
        let Book { format, mut schedules, mut rows } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(PriceError::Format(format));
        }
        if rows.is_empty() {
            return Err(PriceError::Empty);
        }
        if rows.len() > ROWS_MAX {
            return Err(PriceError::TooManyRows { rows: rows.len() });
        }
        schedules.iter_mut().for_each(|schedule| schedule.holidays.sort());
        rows.sort_by(|a, b| order(a).cmp(&order(b)));
        for (row, next) in rows.iter().zip(rows.iter().skip(1).map(Some).chain([None])) {
            check(row, next, &schedules).map_err(|fault| refused(row, fault))?;
        }
        let id = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(PriceBook { id, schedules, shelf: shelved(rows)? })
    }

    /// The book that the program ships with. It is in the one form, and was read and hashed by a test: here only what is asked for is.
    pub(super) fn of_the_program() -> PriceBook {
        const BYTES: &str = include_str!("../../prices/book.json");
        const ID: &str = include_str!("../../prices/book.sha256");
        const ROWS: &str = "], \"rows\": [\n";
        let (head, rows) = BYTES.split_once(ROWS).expect("the one form of a book has its rows last");
        let head: Book = serde_json::from_str(&format!("{head}]}}")).expect("a test reads all of the bundled book");
        let rows = rows.strip_suffix("]}\n").expect("the one form of a book ends with its rows");
        PriceBook { id: ID.trim_end().to_owned(), schedules: head.schedules, shelf: Shelf::unread(rows) }
    }

    /// The one way to write a book: sorted, one row a line.
    pub fn to_json(schedules: &[Schedule], rows: &[Row]) -> String {
        let mut rows: Vec<&Row> = rows.iter().collect();
        rows.sort_by(|a, b| order(a).cmp(&order(b)));
        let schedules: Vec<String> = schedules.iter().map(line).collect();
        let rows: Vec<String> = rows.into_iter().map(line).collect();
        format!("{{\"format\": \"{FORMAT}\", \"schedules\": [\n{}\n], \"rows\": [\n{}\n]}}\n", schedules.join(",\n"), rows.join(",\n"))
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("rows and schedules hold only texts, numbers and lists")
}

fn order(row: &Row) -> (&str, &str, Tier, crate::Timestamp) {
    (&row.provider, &row.model, row.tier, row.span().from)
}

fn refused(row: &Row, fault: RowFault) -> PriceError {
    PriceError::Row { provider: row.provider.clone(), model: row.model.clone(), fault }
}

/// Whether a row is sane, and ends before the next one of its kind begins.
fn check(row: &Row, next: Option<&Row>, schedules: &[Schedule]) -> Result<(), RowFault> {
    check_rates(&row.rates)?;
    row.bands.iter().try_for_each(|band| check_rates(&band.rates))?;
    if row.span().from >= row.span().until {
        return Err(RowFault::Backwards);
    }
    if row.bands.windows(2).any(|pair| pair[0].above >= pair[1].above) {
        return Err(RowFault::Bands);
    }
    if let Some(hours) = &row.hours
        && schedules.iter().all(|schedule| schedule.name != hours.schedule)
    {
        return Err(RowFault::Schedule(hours.schedule.clone()));
    }
    let same = |next: &&Row| (&next.provider, &next.model, next.tier) == (&row.provider, &row.model, row.tier);
    match next.filter(same).map(|next| next.span().from).filter(|begin| *begin < row.span().until) {
        Some(at) => Err(RowFault::Overlap { tier: row.tier, at }),
        None => Ok(()),
    }
}

fn check_rates(rates: &Rates) -> Result<(), RowFault> {
    let sane = |class, rate: Rate| rate >= Rate::default() && rate <= if Rates::is_fee(class) { FEE_RATE_MAX } else { RATE_MAX };
    match rates.iter().find_map(|(class, rate)| rate.filter(|rate| !sane(class, *rate)).map(|rate| (class, rate))) {
        Some((class, rate)) => Err(RowFault::Rate { class, rate }),
        None => Ok(()),
    }
}

/// That two models of a seller have one name.
pub(super) fn two_models(row: &Row, name: &str) -> PriceError {
    refused(row, RowFault::Name(name.to_owned()))
}

/// Rows by seller. They must be sorted.
fn shelved(rows: Vec<Row>) -> Result<Shelf, PriceError> {
    let mut sellers: Vec<(String, Vec<Row>)> = Vec::new();
    for row in rows {
        match sellers.last_mut() {
            Some((name, of_seller)) if *name == row.provider => of_seller.push(row),
            _ => sellers.push((row.provider.clone(), vec![row])),
        }
    }
    let read = sellers.into_iter().map(|(name, rows)| Ok((name, Models::new(rows)?)));
    Ok(Shelf::of(read.collect::<Result<_, PriceError>>()?))
}
