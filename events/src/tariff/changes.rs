//! What a book says otherwise than the books before: a new edition is kept by its differences.

use super::facts::{Adoption, PackedBook};
use crate::{PriceBook, Row, Schedule, Timestamp};

/// Why a book cannot be adopted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("what this price book says is more than a line of the journal holds")]
pub(crate) struct TooMuch;

/// The whole book, from ever on.
pub(crate) fn first(book: &PriceBook) -> Result<Adoption, TooMuch> {
    let text = PriceBook::to_json(book.schedules(), book.rows());
    Ok(Adoption { id: book.id().to_owned(), from: None, bundled: is_bundled(book), changes: PackedBook::pack(&text).ok_or(TooMuch)? })
}

/// What a book says otherwise than those before, the newest of which is the first; nothing where it says nothing else.
pub(crate) fn next(before: &[&PriceBook], book: &PriceBook, from: Timestamp) -> Result<Option<Adoption>, TooMuch> {
    let rows: Vec<Row> = book
        .rows()
        .chunk_by(|one, other| (&one.provider, &one.model) == (&other.provider, &other.model))
        .filter(|model| !says_the_same(before, book, model))
        .flatten()
        .cloned()
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let named = |schedule: &&Schedule| rows.iter().filter_map(|row| row.hours.as_ref()).any(|hours| hours.schedule == schedule.name);
    let schedules: Vec<Schedule> = book.schedules().iter().filter(named).cloned().collect();
    let changes = PackedBook::pack(&PriceBook::to_json(&schedules, &rows)).ok_or(TooMuch)?;
    Ok(Some(Adoption { id: book.id().to_owned(), from: Some(from), bundled: is_bundled(book), changes }))
}

fn is_bundled(book: &PriceBook) -> bool {
    book.id() == PriceBook::bundled().id()
}

/// Whether every name of a model leads to the same prices in the books before.
fn says_the_same(before: &[&PriceBook], book: &PriceBook, model: &[Row]) -> bool {
    let Some(row) = model.first() else { return true };
    let mut names = model.iter().flat_map(|row| &row.aliases).chain([&row.model]);
    names.all(|name| {
        let known = before.iter().find_map(|before| Some((before, before.named(&row.provider, name)?)));
        known.is_some_and(|(before, known)| {
            known.len() == model.len() && known.iter().zip(model).all(|(known, row)| prices(known) == prices(row) && hours(before, known) == hours(book, row))
        })
    })
}

/// A row without what says who says so: a set that is taken again names its new version on every row.
fn prices(row: &Row) -> Row {
    Row { aliases: Vec::new(), inferred: Vec::new(), source: String::new(), set: String::new(), note: None, ..row.clone() }
}

fn hours<'b>(book: &'b PriceBook, row: &Row) -> Vec<&'b Schedule> {
    let name = row.hours.as_ref().map(|hours| &hours.schedule);
    book.schedules().iter().filter(|schedule| Some(&schedule.name) == name).collect()
}
