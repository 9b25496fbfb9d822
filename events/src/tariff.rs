//! The prices in force: books one after the other, over them what the user agreed with providers, and by what list prices are multiplied.
//!
//! A call is priced by the book of its own time. A later book moves no price that the earlier one had: only what had none is filled in.
//! A tariff follows from a book and the facts about prices in the log; it never changes, another one is another value.

mod agreed;
mod brackets;
mod candidates;
mod changes;
mod facts;
mod swap;
#[cfg(test)]
mod tests;

use crate::{
    AsOf, By, Certainty, Cost, Entry, Event, PriceBook, Row, Schedule, Summary, Timestamp, Unpriced, Usage, Usd,
    log::segment::Profile,
    prices::{Consumed, Found, Terms, decided, is_local},
    wire,
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, sync::Arc};

pub(crate) use agreed::{Agreed, Agreements};
pub(crate) use brackets::{Bracket, Brackets};
pub(crate) use candidates::{Candidate, Origin};
pub(crate) use changes::{TooMuch, first as first_edition, next as next_edition};
pub use facts::{Adoption, AgreedName, AgreedPrice, Multiplier, PackedBook};
pub(crate) use swap::Swap;

/// The prices in force.
#[derive(Clone, Debug)]
pub struct Tariff {
    id: String,
    /// Every entry of the log that speaks of prices, oldest first.
    facts: Vec<Arc<Entry>>,
    /// Oldest first, and never none. The first is whole and holds from ever; each later one has what it changes.
    editions: Vec<Edition>,
    agreements: Agreements,
}

/// A book, and from when on calls are priced by it.
#[derive(Clone, Debug)]
pub(crate) struct Edition {
    id: String,
    from: Option<Timestamp>,
    /// When it was recorded; nobody did where no fact speaks of it.
    recorded_at: Option<Timestamp>,
    bundled: bool,
    book: Arc<PriceBook>,
}

impl Edition {
    /// SHA-256 of the whole book.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// From when on it holds; from ever, if not named.
    pub(crate) fn from(&self) -> Option<Timestamp> {
        self.from
    }

    /// Whether the program shipped with it.
    pub(crate) fn is_bundled(&self) -> bool {
        self.bundled
    }

    /// What it says otherwise than those before.
    pub(crate) fn book(&self) -> &PriceBook {
        &self.book
    }
}

impl Tariff {
    /// One book, from ever on.
    pub fn of(book: Arc<PriceBook>) -> Tariff {
        let edition = Edition { id: book.id().to_owned(), from: None, recorded_at: None, bundled: true, book };
        Tariff { id: edition.id.clone(), facts: Vec::new(), editions: vec![edition], agreements: Agreements::default() }
    }

    /// A book and what entries of the log, oldest first, say of prices. Those that speak of something else say nothing here.
    pub(crate) fn with(book: Arc<PriceBook>, facts: impl IntoIterator<Item = Arc<Entry>>) -> Tariff {
        let mut tariff = Tariff::of(book);
        let mut digest = Sha256::new();
        for entry in facts {
            digest.update(wire::encode(&entry));
            tariff.take_in(&entry);
            tariff.facts.push(entry);
        }
        if !tariff.facts.is_empty() {
            digest.update(&tariff.editions[0].id);
            tariff.id = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        }
        tariff
    }

    /// This one, and more facts.
    pub(crate) fn and(&self, more: impl IntoIterator<Item = Arc<Entry>>) -> Tariff {
        Tariff::with(self.editions[0].book.clone(), self.facts.iter().cloned().chain(more))
    }

    /// What was known of prices at an instant. The first book is known from ever.
    pub(crate) fn known_at(&self, at: Timestamp) -> Tariff {
        let known = |edition: &&Edition| edition.from.is_none() || edition.recorded_at.is_none_or(|recorded| recorded <= at);
        let facts: Vec<Arc<Entry>> = self.facts.iter().filter(|entry| entry.recorded_at <= at).cloned().collect();
        let mut agreements = Agreements::default();
        facts.iter().for_each(|entry| agree(&mut agreements, entry));
        Tariff { id: format!("{} at {at}", self.id), facts, editions: self.editions.iter().filter(known).cloned().collect(), agreements }
    }

    /// The same under another book, from ever on.
    pub(crate) fn under(&self, book: Arc<PriceBook>) -> Tariff {
        let agreements = self.agreements.clone();
        Tariff { agreements, ..Tariff::of(book) }
    }

    fn take_in(&mut self, entry: &Entry) {
        agree(&mut self.agreements, entry);
        let Event::PriceBookAdopted { adoption } = &entry.event else { return };
        let first = &self.editions[0];
        // The very book that is there already need not be read again. One that is damaged changes nothing.
        let is_first = adoption.from.is_none();
        let book = if is_first && adoption.id == first.id { Some(first.book.clone()) } else { adoption.changes.unpack().map(Arc::new) };
        let Some(book) = book else { return };
        let edition =
            Edition { id: adoption.id.clone(), from: adoption.from, recorded_at: Some(entry.recorded_at), bundled: adoption.bundled, book };
        if is_first {
            self.editions = vec![edition];
        } else {
            let from = edition.from.max(self.editions.last().and_then(|last| last.from));
            self.editions.push(Edition { from, ..edition });
        }
    }

    /// What tells it from every other one.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The entries that it follows from, beside the first book.
    pub(crate) fn facts(&self) -> &[Arc<Entry>] {
        &self.facts
    }

    /// The books, oldest first.
    pub(crate) fn editions(&self) -> &[Edition] {
        &self.editions
    }

    /// The book that holds from now on.
    pub(crate) fn newest(&self) -> &Edition {
        self.editions.last().expect("there is always a first")
    }

    /// Whether a fact says which book holds from ever on, so that another program's book does not move the past.
    pub(crate) fn is_pinned(&self) -> bool {
        self.editions[0].recorded_at.is_some()
    }

    /// What was agreed with providers.
    pub(crate) fn agreements(&self) -> &Agreements {
        &self.agreements
    }

    /// The books that lie over each other up to one of them, the newest first.
    pub(crate) fn stack(&self, edition: usize) -> Vec<&PriceBook> {
        self.editions[..=edition].iter().rev().map(|edition| &*edition.book).collect()
    }

    /// The rows of a call's model in the newest book that has it.
    pub(crate) fn found(&self, terms: &Terms<'_>) -> Option<Found<'_>> {
        PriceBook::find(&self.stack(self.editions.len() - 1), terms)
    }

    /// What a call costs: as its provider reported, else as agreed with it, else by the book as of the time asked for.
    ///
    /// As of the call, a reported cost is the bill. As of another time prices come first, since the report speaks of then.
    /// A reported zero for tokens is no price (provider-usage 0, rule 9: own key, hosted elsewhere), except for `:free` models.
    pub fn cost_of(&self, usage: &Usage, as_of: AsOf) -> Cost<'_> {
        self.cost_of_all(usage, usage.band_prompt(), as_of)
    }

    /// What the calls of a summary cost together: as of themselves to the pico-dollar what they cost one by one by the prices with which they
    /// were summed; as of another time, or by other prices, up to the rounding, of half a pico-dollar for each.
    pub fn cost_of_summary(&self, summary: &Summary, as_of: AsOf) -> Cost<'_> {
        match (self.cost_of_all(&summary.usage, summary.prompt(), as_of), as_of) {
            (Cost::Priced { usd, by }, AsOf::Call) => Cost::Priced { usd: usd + summary.rounding, by },
            (cost, AsOf::Call | AsOf::Instant(_)) => cost,
        }
    }

    fn cost_of_all(&self, usage: &Usage, prompt: u64, as_of: AsOf) -> Cost<'_> {
        let listed = |at| match self.listed(usage, prompt, at) {
            Ok((usd, None)) => Cost::Priced { usd, by: By::Local },
            Ok((usd, Some(Candidate { held, origin }))) => Cost::Priced {
                usd,
                by: match origin {
                    Origin::Agreed { .. } => By::Agreed { row: held.row },
                    Origin::Listed { exact, .. } => By::Row { row: held.row, exact },
                },
            },
            Err(reason) => Cost::Unpriced { reason },
        };
        decided(usage, as_of, listed)
    }

    /// What a call costs as if made at an instant, whatever was reported, and by what; by nothing where it runs on the user's own machine.
    pub(crate) fn listed(&self, usage: &Usage, prompt: u64, at: Timestamp) -> Result<(Usd, Option<Candidate<'_>>), Unpriced> {
        let terms = Terms::of(usage);
        if usage.certainty == Certainty::Unknown {
            return if is_local(&terms) { Ok((Usd::ZERO, None)) } else { Err(Unpriced::TokensUnknown) };
        }
        let candidates = self.candidates(&terms, &Swap::default(), false);
        let mut lacks = None;
        for candidate in candidates.into_iter().filter(|candidate| candidate.held.span.contains(at)) {
            match candidate.cost(usage, prompt, at) {
                Ok(usd) => return Ok((usd, Some(candidate))),
                Err(reason) => lacks = lacks.or(Some(reason)),
            }
        }
        match lacks {
            _ if is_local(&terms) => Ok((Usd::ZERO, None)),
            Some(reason) => Err(reason),
            None if self.found(&terms).is_some() => Err(Unpriced::NoRow),
            None => Err(Unpriced::UnknownModel),
        }
    }

    /// Why a call of a profile has no price.
    pub(crate) fn unpriced(&self, profile: &Profile<'_>, call: &Consumed<'_>) -> Unpriced {
        let own = |name: Option<&str>| name.map(str::to_owned);
        let usage = Usage {
            at: call.at,
            provider: profile.provider.to_owned(),
            family: profile.family.to_owned(),
            model: own(profile.model),
            request_model: own(profile.request_model),
            tier: own(profile.tier),
            tokens: *call.tokens,
            fees: call.fees,
            certainty: profile.certainty,
            ..Usage::default()
        };
        self.listed(&usage, call.prompt.unwrap_or_else(|| usage.tokens.prompt()), usage.at).err().unwrap_or(Unpriced::NoRow)
    }

    /// Every row that holds, or will, for calls of an instant: of each model those of the newest book of that time.
    pub(crate) fn rows_at(&self, at: Timestamp) -> Vec<&Row> {
        let begun = self.editions.iter().rposition(|edition| edition.from.is_none_or(|from| from <= at)).unwrap_or(0);
        let stack = self.stack(begun);
        let is_newest = |nth: usize, row: &Row| !stack[..nth].iter().any(|newer| newer.named(&row.provider, &row.model).is_some());
        stack.iter().enumerate().flat_map(|(nth, book)| book.rows().filter(move |row| is_newest(nth, row))).collect()
    }

    /// The books of an instant as one. A name is a model's own, else that of the newest model that has it.
    pub(crate) fn book_at(&self, at: Timestamp) -> String {
        let mut rows: Vec<Row> = self.rows_at(at).into_iter().cloned().collect();
        let mut taken: BTreeSet<(String, String)> = rows.iter().map(|row| (row.provider.clone(), row.model.clone())).collect();
        for row in &mut rows {
            let provider = row.provider.clone();
            row.aliases.retain(|alias| taken.insert((provider.clone(), alias.clone())));
        }
        let mut schedules: Vec<Schedule> = Vec::new();
        for schedule in self.editions.iter().rev().flat_map(|edition| edition.book.schedules()) {
            if schedules.iter().all(|known| known.name != schedule.name) {
                schedules.push(schedule.clone());
            }
        }
        PriceBook::to_json(&schedules, &rows)
    }
}

/// Takes in what an entry says of agreements.
fn agree(agreements: &mut Agreements, entry: &Entry) {
    match &entry.event {
        Event::PriceSet { price } => agreements.set(price, entry.recorded_at),
        Event::PriceUnset { name, from } => agreements.unset(name, *from),
        Event::PricesMultiplied { multiplier } => agreements.multiply(multiplier, entry.recorded_at),
        Event::Used { .. }
        | Event::Restated { .. }
        | Event::BudgetSet { .. }
        | Event::BudgetRemoved { .. }
        | Event::AlertRaised { .. }
        | Event::PriceBookAdopted { .. }
        | Event::Summarised { .. }
        | Event::Folded { .. }
        | Event::Lost
        | Event::Matched { .. }
        | Event::ProjectRenamed { .. } => {}
    }
}
