//! Prices as dated facts: what one [`Usage`] costs by a [`PriceBook`], as of an instant.
//!
//! Cost is a lookup and a sum: rules of thumb are applied where the book is built, and stand in its rows. There is no float, no clock
//! and no guess here: what has no price is [`Cost::Unpriced`], never zero.

#[cfg(test)]
mod decimal;
mod matching;
#[cfg(test)]
mod oracle;
mod rated;
mod read;
mod row;
mod schedule;
mod shelf;
#[cfg(test)]
mod tests;

pub use matching::maker;
pub(crate) use matching::{seller, stems};
pub(crate) use rated::{Consumed, Held, Rated, Swapped, Terms};
pub(crate) use read::BOOK_BYTES_MAX;
pub use read::{FEE_RATE_MAX, PriceError, RATE_MAX, RowFault};
pub use row::{Band, Basis, Factor, Rates, Row, Tier};
pub use schedule::{Hours, Minute, Schedule};

use crate::{Certainty, Timestamp, Usage, Usd};
pub(crate) use row::{CLASSES, FEES, classes, fee_counts, lacking_request_fee};
use shelf::Shelf;
use std::sync::{Arc, LazyLock};

/// Upstreams that run on the user's own machine.
const LOCAL: [&str; 2] = ["ollama", "llamacpp"];

/// Dated rates of many models, known by the hash of its bytes. It never changes; another book is another value.
#[derive(Debug)]
pub struct PriceBook {
    id: String,
    schedules: Vec<Schedule>,
    shelf: Shelf,
}

/// What a call costs, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost<'book> {
    /// It has a price.
    Priced {
        /// The amount.
        usd: Usd,
        /// Who says so.
        by: By<'book>,
    },
    /// It has none that we know. Not zero: unknown.
    Unpriced {
        /// Why.
        reason: Unpriced,
    },
}

impl Cost<'_> {
    /// The amount, if there is one.
    pub fn usd(&self) -> Option<Usd> {
        match self {
            Cost::Priced { usd, .. } => Some(*usd),
            Cost::Unpriced { .. } => None,
        }
    }
}

/// Who says what a call costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By<'book> {
    /// The provider itself, in the reply or in a log.
    Reported,
    /// The client, by its own estimate.
    Client,
    /// A row of the book.
    Row {
        /// It.
        row: &'book Row,
        /// Whether the row is for this provider's model under this very name; else the call is "priced as" the row's model.
        exact: bool,
    },
    /// A price that the user agreed with the provider, as a row.
    Agreed {
        /// It.
        row: &'book Row,
    },
    /// It ran on the user's own machine.
    Local,
}

/// Why a call has no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Unpriced {
    /// Nobody said how many tokens there were.
    #[error("tokens unknown")]
    TokensUnknown,
    /// The book does not know the model.
    #[error("unknown model")]
    UnknownModel,
    /// The book knows the model, but no price of it as of that time for that tier.
    #[error("no price for this tier at this time")]
    NoRow,
    /// The price says nothing of a class that was consumed.
    #[error("no rate for {0}")]
    NoRate(&'static str),
}

/// As of when a call shall be priced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AsOf {
    /// When it was made: the bill as it came.
    #[default]
    Call,
    /// At another instant: what it would cost then.
    Instant(Timestamp),
}

impl PriceBook {
    /// The book that the program ships with. What of it is asked for is read once, on first use.
    pub fn bundled() -> &'static Arc<PriceBook> {
        static BUNDLED: LazyLock<Arc<PriceBook>> = LazyLock::new(|| Arc::new(PriceBook::of_the_program()));
        &BUNDLED
    }

    /// SHA-256 of the book's bytes, in hex: what `sha256sum` says of its file.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// All prices, retired ones included, sorted by provider, model, tier and time.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.shelf.rows()
    }

    /// The schedules that rows name.
    pub fn schedules(&self) -> &[Schedule] {
        &self.schedules
    }

    /// What a call costs: as its provider reported, else by this book as of the time asked for.
    ///
    /// As of the call, a reported cost is the bill. As of another time the book comes first, since the report speaks of then.
    /// A reported zero for tokens is no price (provider-usage 0, rule 9: own key, hosted elsewhere), except for `:free` models.
    pub fn cost_of(&self, usage: &Usage, as_of: AsOf) -> Cost<'_> {
        decided(usage, as_of, |at| self.cost(usage, at))
    }

    /// What a call costs by this book, as if made at an instant. Rounded once, half to even, to the pico-dollar.
    pub fn cost(&self, usage: &Usage, at: Timestamp) -> Cost<'_> {
        match self.priced(usage, at) {
            Ok((usd, by)) => Cost::Priced { usd, by },
            Err(reason) => Cost::Unpriced { reason },
        }
    }

    fn priced(&self, usage: &Usage, at: Timestamp) -> Result<(Usd, By<'_>), Unpriced> {
        let terms = Terms::of(usage);
        if is_local(&terms) {
            return Ok((Usd::ZERO, By::Local));
        }
        if usage.certainty == Certainty::Unknown {
            return Err(Unpriced::TokensUnknown);
        }
        let Found { rows, exact, .. } = PriceBook::find(&[self], &terms).ok_or(Unpriced::UnknownModel)?;
        let tier = Tier::of(usage.tier.as_deref()).ok_or(Unpriced::NoRow)?;
        let row = rows.iter().find(|row| row.tier == tier && row.span().contains(at)).ok_or(Unpriced::NoRow)?;
        let usd = self.cost_by(row, usage, usage.band_prompt(), at, Factor::ONE)?;
        Ok((usd, By::Row { row, exact }))
    }

    /// What tokens and searches cost by a row of this book, as if made at an instant, where a prompt is so large and the user said by what
    /// list prices are multiplied.
    pub(crate) fn cost_by(&self, row: &Row, usage: &Usage, prompt: u64, at: Timestamp, multiplier: Factor) -> Result<Usd, Unpriced> {
        let (tokens, fees) = row.cost_atto(prompt, &usage.tokens, &usage.fees).map_err(Unpriced::NoRate)?;
        let geo = usage.geo.as_deref().and_then(|geo| row.geo.get(geo)).copied().unwrap_or(Factor::ONE);
        // The hour of completion decides (provider-usage 9).
        Ok(rounded(tokens, fees, geo, self.factor(row, usage.done_if_begun(at)), multiplier))
    }

    /// The factor of the hour that an instant lies in.
    pub(crate) fn factor(&self, row: &Row, at: Timestamp) -> Factor {
        let hours = row.hours.as_ref();
        let hours = hours.filter(|hours| self.schedules.iter().any(|schedule| schedule.name == hours.schedule && schedule.contains(at)));
        hours.map_or(Factor::ONE, |hours| hours.factor)
    }

    /// The rows of the model of this very name, or with this alias.
    pub(crate) fn named(&self, provider: &str, name: &str) -> Option<&[Row]> {
        self.shelf.named(provider, name)
    }

    /// The rows of the model that answered (else of the one that was asked for). Of books that lie over each other, the first that has a
    /// name says what it means.
    pub(crate) fn find<'b>(books: &[&'b PriceBook], terms: &Terms<'_>) -> Option<Found<'b>> {
        let named = |provider: &str, name: &str| books.iter().enumerate().find_map(|(nth, book)| Some((nth, book.named(provider, name)?)));
        let found = |(book, rows), exact| Found { book, rows, exact };
        // Nearly every call is its provider's own model by its own name.
        if let Some(own) = terms.model.and_then(|model| named(matching::seller(terms.provider), model)) {
            return Some(found(own, true));
        }
        PriceBook::find_spelled(books, terms).or_else(|| {
            // Names in other letters, or in the order in which clients show them.
            let respelled = |name: Option<&str>| name.map(matching::respelled).unwrap_or_default();
            let (models, asked) = (respelled(terms.model), respelled(terms.request_model));
            let as_model = |name: &String| PriceBook::find_spelled(books, &Terms { model: Some(name), request_model: None, ..*terms });
            models.iter().chain(&asked).find_map(as_model).map(|found| Found { exact: false, ..found })
        })
    }

    /// The rows of a model under this spelling of its name.
    fn find_spelled<'b>(books: &[&'b PriceBook], terms: &Terms<'_>) -> Option<Found<'b>> {
        let named = |provider: &str, name: &str| books.iter().enumerate().find_map(|(nth, book)| Some((nth, book.named(provider, name)?)));
        let found = |(book, rows), exact| Found { book, rows, exact };
        let models = [(terms.model, true), (terms.request_model, terms.model.is_none())];
        for (model, answered) in models {
            let Some(model) = model else { continue };
            let known = |provider: &str| books.iter().any(|book| book.shelf.sells(provider));
            for (nth, seller) in matching::sellers(terms.provider, terms.family, model, known).enumerate() {
                let of_seller = matching::stems(model).enumerate().find_map(|(stem, name)| Some((stem, named(seller, name)?)));
                if let Some((stem, rows)) = of_seller {
                    return Some(found(rows, answered && nth == 0 && stem == 0));
                }
            }
        }
        None
    }
}

/// Rows of a model, found by a call's terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'book> {
    /// Which of the books has them.
    pub(crate) book: usize,
    /// They.
    pub(crate) rows: &'book [Row],
    /// Whether they are the provider's own model's by this very name.
    pub(crate) exact: bool,
}

/// What a call costs where a reported cost and a price are known.
///
/// As of the call, what the provider reported is the bill. A client's own estimate goes behind the price, if the tokens are known.
pub(crate) fn decided<'b>(usage: &Usage, as_of: AsOf, listed: impl Fn(Timestamp) -> Cost<'b>) -> Cost<'b> {
    let estimated = usage.estimates_cost();
    let by = if estimated { By::Client } else { By::Reported };
    let reported = reported(usage).map(|usd| Cost::Priced { usd, by });
    let price_first = |at| match (listed(at), reported) {
        (Cost::Unpriced { .. }, Some(reported)) => reported,
        (cost, _) => cost,
    };
    match as_of {
        AsOf::Call if estimated && usage.tokens.total() > 0 => price_first(usage.at),
        AsOf::Call => reported.unwrap_or_else(|| listed(usage.at)),
        AsOf::Instant(at) => price_first(at),
    }
}

/// What a provider or client reported, where it says something.
pub(crate) fn reported(usage: &Usage) -> Option<Usd> {
    let idle = usage.certainty != Certainty::Unknown && usage.tokens.total() == 0 && usage.fees.is_none();
    credible(usage.reported_cost, is_free(usage.model.as_deref()), idle)
}

/// Whether a call costs nothing: it ran on the user's own machine, or a reseller gives the model away. Ollama also hands calls on to its
/// cloud, which is not free.
pub(crate) fn is_local(terms: &Terms<'_>) -> bool {
    if is_free(terms.model) {
        return true;
    }
    LOCAL.contains(&terms.provider) && !terms.model.is_some_and(|model| model.ends_with("cloud"))
}

/// Whether a model is one of those that resellers give away.
fn is_free(model: Option<&str>) -> bool {
    model.is_some_and(|model| model.ends_with(":free"))
}

/// A reported cost, unless it says nothing: zero is a price only of what is free, or where nothing was consumed.
fn credible(reported: Option<Usd>, free: bool, idle: bool) -> Option<Usd> {
    reported.filter(|cost| *cost > Usd::ZERO || (*cost == Usd::ZERO && (free || idle)))
}

/// Tokens by both factors, and fees, all multiplied, as money; exact up to the one rounding at the end.
fn rounded(tokens_atto: i128, fees_atto: i128, geo: Factor, hours: Factor, multiplier: Factor) -> Usd {
    if geo == Factor::ONE && hours == Factor::ONE && multiplier == Factor::ONE {
        return Usd::from_atto(tokens_atto.saturating_add(fees_atto));
    }
    const UNIT: i128 = Factor::UNIT as i128;
    const HALF_PICO_ATTO: i128 = 500_000;
    let tokens = tokens_atto.saturating_mul(geo.thousandths()).saturating_mul(hours.thousandths());
    let listed = tokens.saturating_add(fees_atto.saturating_mul(UNIT * UNIT));
    // Few prices are multiplied by the user, and the others shall have all the room.
    let (scaled, unit) = match multiplier {
        Factor::ONE => (listed, UNIT.pow(2)),
        multiplier => (listed.saturating_mul(multiplier.thousandths()), UNIT.pow(3)),
    };
    let (atto, cut_off) = (scaled / unit, scaled % unit);
    // What is cut off here matters only where the rest looks like exactly half a pico-dollar.
    let sticky = cut_off != 0 && atto % (2 * HALF_PICO_ATTO) == HALF_PICO_ATTO;
    Usd::from_atto(atto.saturating_add(i128::from(sticky)))
}
