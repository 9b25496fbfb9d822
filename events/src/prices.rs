//! Prices as dated facts: what one [`Usage`] costs by a [`PriceBook`], as of an instant.
//!
//! Cost is a lookup and a sum: rules of thumb are applied where the book is built, and stand in its rows. There is no float, no clock
//! and no guess here: what has no price is [`Cost::Unpriced`], never zero.

mod matching;
#[cfg(test)]
mod oracle;
mod rated;
mod read;
mod row;
mod schedule;
mod shelf;
#[cfg(test)]
mod decimal;
#[cfg(test)]
mod tests;

pub(crate) use rated::{Consumed, Rated, Terms};
pub use read::{PriceError, RATE_MAX, RowFault};
pub use row::{Band, Basis, Factor, Rates, Row, Tier};
pub use schedule::{Hours, Minute, Schedule};

use crate::{Certainty, Summary, Timestamp, Usage, Usd};
use row::{CLASSES, classes};
use shelf::Shelf;
use std::{
    cmp::Ordering,
    sync::{Arc, LazyLock},
};

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
    /// The provider or client itself, in the reply or log.
    Reported,
    /// A row of the book.
    Row {
        /// It.
        row: &'book Row,
        /// Whether the row is for this provider's model under this very name; else the call is "priced as" the row's model.
        exact: bool,
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

/// What of a call decides by which rates of a book it is priced, beside its names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Bracket {
    /// How many limits of bands its prompt exceeds.
    prompt: usize,
    /// How many beginnings and ends of prices lie before it.
    dated: usize,
    /// Which of the schedules it ended in.
    scheduled: Vec<bool>,
    /// Which classes of tokens occur: a book may lack the rate of one.
    classes: [bool; CLASSES],
    web_search: bool,
    /// Whether a cost was reported, and whether it is below zero, zero or above: zero may say nothing.
    reported: Option<Ordering>,
}

/// Where a book's prices change.
#[derive(Clone, Debug)]
pub(crate) struct Brackets<'book> {
    prompts: Vec<u64>,
    instants: Vec<Timestamp>,
    schedules: &'book [Schedule],
}

impl Brackets<'_> {
    /// Where a call lies.
    pub(crate) fn of(&self, usage: &Usage) -> Bracket {
        let (prompt, done) = (usage.tokens.prompt(), usage.done_if_begun(usage.at));
        Bracket {
            prompt: self.prompts.partition_point(|above| prompt > *above),
            dated: self.instants.partition_point(|instant| usage.at >= *instant),
            scheduled: self.schedules.iter().map(|schedule| schedule.contains(done)).collect(),
            classes: classes(&usage.tokens).map(|count| count > 0),
            web_search: usage.fees.web_search > 0,
            reported: usage.reported_cost.map(|cost| cost.cmp(&Usd::ZERO)),
        }
    }
}

impl PriceBook {
    /// Where the prices change: calls of one bracket and with the same names are priced by the same rates.
    pub(crate) fn brackets(&self) -> Brackets<'_> {
        let mut prompts: Vec<u64> = self.rows().flat_map(|row| row.bands.iter().map(|band| band.above)).collect();
        let mut instants: Vec<Timestamp> = self.rows().flat_map(|row| [row.span().from, row.span().until]).collect();
        prompts.sort_unstable();
        prompts.dedup();
        instants.sort_unstable();
        instants.dedup();
        Brackets { prompts, instants, schedules: &self.schedules }
    }

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
        self.cost_of_all(usage, usage.tokens.prompt(), as_of)
    }

    /// What the calls of a summary cost together: as of themselves to the pico-dollar what they cost one by one by the book with which they
    /// were summed; as of another time, or by a book with other prices, up to the rounding, of half a pico-dollar for each.
    pub fn cost_of_summary(&self, summary: &Summary, as_of: AsOf) -> Cost<'_> {
        match (self.cost_of_all(&summary.usage, summary.prompt(), as_of), as_of) {
            (Cost::Priced { usd, by }, AsOf::Call) => Cost::Priced { usd: usd + summary.rounding, by },
            (cost, AsOf::Call | AsOf::Instant(_)) => cost,
        }
    }

    fn cost_of_all(&self, usage: &Usage, prompt: u64, as_of: AsOf) -> Cost<'_> {
        let idle = usage.certainty != Certainty::Unknown && usage.tokens.total() == 0 && usage.fees.is_none();
        let reported = credible(usage.reported_cost, is_free(usage.model.as_deref()), idle);
        let reported = reported.map(|usd| Cost::Priced { usd, by: By::Reported });
        match as_of {
            AsOf::Call => reported.unwrap_or_else(|| self.listed(usage, prompt, usage.at)),
            AsOf::Instant(at) => match (self.listed(usage, prompt, at), reported) {
                (Cost::Unpriced { .. }, Some(reported)) => reported,
                (cost, _) => cost,
            },
        }
    }

    /// What a call costs by this book, as if made at an instant. Rounded once, half to even, to the pico-dollar.
    pub fn cost(&self, usage: &Usage, at: Timestamp) -> Cost<'_> {
        self.listed(usage, usage.tokens.prompt(), at)
    }

    fn listed(&self, usage: &Usage, prompt: u64, at: Timestamp) -> Cost<'_> {
        match self.priced(usage, prompt, at) {
            Ok((usd, by)) => Cost::Priced { usd, by },
            Err(reason) => Cost::Unpriced { reason },
        }
    }

    fn priced(&self, usage: &Usage, prompt: u64, at: Timestamp) -> Result<(Usd, By<'_>), Unpriced> {
        let terms = Terms::of(usage);
        if is_local(&terms) {
            return Ok((Usd::ZERO, By::Local));
        }
        if usage.certainty == Certainty::Unknown {
            return Err(Unpriced::TokensUnknown);
        }
        let (rows, exact) = self.rows_for(&terms).ok_or(Unpriced::UnknownModel)?;
        let tier = Tier::of(usage.tier.as_deref()).ok_or(Unpriced::NoRow)?;
        let row = rows.iter().find(|row| row.tier == tier && row.span().contains(at)).ok_or(Unpriced::NoRow)?;
        let (tokens, fees) = row.cost_atto(prompt, &usage.tokens, usage.fees.web_search).map_err(Unpriced::NoRate)?;
        let geo = usage.geo.as_deref().and_then(|geo| row.geo.get(geo)).copied().unwrap_or(Factor::ONE);
        // The hour of completion decides (provider-usage 9).
        let done = usage.done_if_begun(at);
        Ok((rounded(tokens, fees, geo, self.factor(row, done)), By::Row { row, exact }))
    }

    fn factor(&self, row: &Row, at: Timestamp) -> Factor {
        let hours = row.hours.as_ref();
        let hours = hours.filter(|hours| self.schedules.iter().any(|schedule| schedule.name == hours.schedule && schedule.contains(at)));
        hours.map_or(Factor::ONE, |hours| hours.factor)
    }

    /// The rows of the model that answered (else of the one that was asked for), and whether they are its own by this very name.
    fn rows_for(&self, terms: &Terms<'_>) -> Option<(&[Row], bool)> {
        // Nearly every call is its provider's own model by its own name.
        let own = terms.model.and_then(|model| self.shelf.named(matching::seller(terms.provider), model));
        if let Some(rows) = own {
            return Some((rows, true));
        }
        let models = [(terms.model, true), (terms.request_model, terms.model.is_none())];
        for (model, answered) in models {
            let Some(model) = model else { continue };
            let known = |provider: &str| self.shelf.sells(provider);
            for (nth, seller) in matching::sellers(terms.provider, terms.family, model, known).enumerate() {
                let found = matching::stems(model).enumerate().find_map(|(stem, name)| Some((stem, self.shelf.named(seller, name)?)));
                if let Some((stem, rows)) = found {
                    return Some((rows, answered && nth == 0 && stem == 0));
                }
            }
        }
        None
    }
}

/// Whether a call ran on the user's own machine. Ollama also hands calls on to its cloud, which is not free.
fn is_local(terms: &Terms<'_>) -> bool {
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

/// Tokens by both factors, and fees, as money; exact up to the one rounding at the end.
fn rounded(tokens_atto: i128, fees_atto: i128, geo: Factor, hours: Factor) -> Usd {
    const UNIT: i128 = (Factor::UNIT as i128) * (Factor::UNIT as i128);
    const HALF_PICO_ATTO: i128 = 500_000;
    if geo == Factor::ONE && hours == Factor::ONE {
        return Usd::from_atto(tokens_atto.saturating_add(fees_atto));
    }
    let scaled = tokens_atto.saturating_mul(geo.thousandths()).saturating_mul(hours.thousandths());
    let atto = (scaled / UNIT).saturating_add(fees_atto);
    // What is cut off here matters only where the rest looks like exactly half a pico-dollar.
    let sticky = scaled % UNIT != 0 && atto % (2 * HALF_PICO_ATTO) == HALF_PICO_ATTO;
    Usd::from_atto(atto.saturating_add(i128::from(sticky)))
}
