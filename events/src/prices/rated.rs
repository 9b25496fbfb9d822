//! What the book says of one kind of calls, found out once: a fold over millions of calls of a few hundred kinds looks no name up.
//!
//! [`Rated::cost_of`] is [`PriceBook::cost_of`] without the reasons, for every usage there is.

use super::{
    AsOf, Factor, PriceBook, Row, Schedule, Tier, credible, is_free, is_local, rounded,
    row::{CLASSES, classes},
};
use crate::{Certainty, Rate, Span, Timestamp, Tokens, Usage, Usd, log::segment::Profile};

/// What decides which rows price a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) provider: &'a str,
    pub(crate) family: &'a str,
    pub(crate) model: Option<&'a str>,
    pub(crate) request_model: Option<&'a str>,
    pub(crate) tier: Option<&'a str>,
    pub(crate) geo: Option<&'a str>,
    pub(crate) certainty: Certainty,
}

/// What one call adds to its terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Consumed<'a> {
    pub(crate) at: Timestamp,
    pub(crate) tokens: &'a Tokens,
    pub(crate) web_search: u32,
    pub(crate) latency_ms: Option<u32>,
    pub(crate) reported_cost: Option<Usd>,
}

impl<'a> Consumed<'a> {
    /// What a call adds.
    pub(crate) fn of(usage: &'a Usage) -> Consumed<'a> {
        Consumed {
            at: usage.at,
            tokens: &usage.tokens,
            web_search: usage.fees.web_search,
            latency_ms: usage.latency_ms,
            reported_cost: usage.reported_cost,
        }
    }
}

/// The prices of all calls with the same [`Terms`].
#[derive(Debug)]
pub(crate) struct Rated {
    free: bool,
    /// Whether anything is known of the calls' tokens.
    counted: bool,
    list: List,
}

#[derive(Debug)]
enum List {
    /// It runs on the user's own machine.
    Local,
    /// The rows of the model for the tier, in the book's order; none where there is no price.
    Rows(Box<[DatedRates]>),
}

/// A row of the book, for one region.
#[derive(Debug)]
struct DatedRates {
    span: Span,
    below: ClassRates,
    /// By the prompt above which they hold, ascending.
    bands: Box<[(u64, ClassRates)]>,
    geo: Factor,
    hours: Option<(Factor, Box<[Schedule]>)>,
}

/// In atto-dollars for each token of a class, and for each search.
#[derive(Debug)]
struct ClassRates {
    tokens: [Option<u64>; CLASSES],
    web_search: Option<u64>,
}

impl<'a> Terms<'a> {
    /// Those of a profile's calls.
    pub(crate) fn of_profile(profile: &Profile<'a>) -> Terms<'a> {
        Terms {
            provider: profile.provider,
            family: profile.family,
            model: profile.model,
            request_model: profile.request_model,
            tier: profile.tier,
            geo: profile.geo,
            certainty: profile.certainty,
        }
    }

    /// Those of a call.
    pub(crate) fn of(usage: &'a Usage) -> Terms<'a> {
        Terms {
            provider: &usage.provider,
            family: &usage.family,
            model: usage.model.as_deref(),
            request_model: usage.request_model.as_deref(),
            tier: usage.tier.as_deref(),
            geo: usage.geo.as_deref(),
            certainty: usage.certainty,
        }
    }
}

impl PriceBook {
    /// What this book says of calls with these terms.
    pub(crate) fn rated(&self, terms: &Terms<'_>) -> Rated {
        let counted = terms.certainty != Certainty::Unknown;
        let rows = || {
            let (rows, _) = self.rows_for(terms)?;
            let tier = Tier::of(terms.tier)?;
            Some(rows.iter().filter(|row| row.tier == tier).map(|row| self.dated(row, terms.geo)).collect())
        };
        let list = match (is_local(terms), counted) {
            (true, _) => List::Local,
            (false, true) => List::Rows(rows().unwrap_or_default()),
            (false, false) => List::Rows(Box::default()),
        };
        Rated { free: is_free(terms.model), counted, list }
    }

    fn dated(&self, row: &Row, geo: Option<&str>) -> DatedRates {
        let schedules = |name: &str| self.schedules.iter().filter(|schedule| schedule.name == name).cloned().collect();
        let in_band = |band| {
            let (tokens, web_search) = row.rates.in_band(band);
            ClassRates { tokens: tokens.map(|rate| rate.map(atto)), web_search: web_search.map(atto) }
        };
        DatedRates {
            span: row.span(),
            below: in_band(&row.rates),
            bands: row.bands.iter().map(|band| (band.above, in_band(&band.rates))).collect(),
            geo: geo.and_then(|geo| row.geo.get(geo)).copied().unwrap_or(Factor::ONE),
            hours: row.hours.as_ref().map(|hours| (hours.factor, schedules(&hours.schedule))),
        }
    }
}

fn atto(rate: Rate) -> u64 {
    u64::try_from(rate.atto()).expect("a book is read only if its rates lie between zero and a limit far below this one")
}

impl Rated {
    /// What a call costs; `None` where it has no price.
    pub(crate) fn cost_of(&self, call: &Consumed<'_>, as_of: AsOf) -> Option<Usd> {
        let reported = call.reported_cost.and_then(|_| {
            let idle = self.counted && call.tokens.total() == 0 && call.web_search == 0;
            credible(call.reported_cost, self.free, idle)
        });
        match as_of {
            AsOf::Call => reported.or_else(|| self.cost(call, call.at)),
            AsOf::Instant(at) => self.cost(call, at).or(reported),
        }
    }

    fn cost(&self, call: &Consumed<'_>, at: Timestamp) -> Option<Usd> {
        match &self.list {
            List::Local => Some(Usd::ZERO),
            List::Rows(rows) => rows.iter().find(|row| row.span.contains(at))?.cost(call, at),
        }
    }
}

impl DatedRates {
    fn cost(&self, call: &Consumed<'_>, at: Timestamp) -> Option<Usd> {
        let rates = if self.bands.is_empty() { &self.below } else { self.band(call.tokens.prompt()) };
        let mut tokens = 0i128;
        for (count, rate) in classes(call.tokens).into_iter().zip(&rates.tokens) {
            if count > 0 {
                tokens = tokens.saturating_add(i128::from((*rate)?) * i128::from(count));
            }
        }
        let fees = match call.web_search {
            0 => 0,
            count => i128::from(rates.web_search?) * i128::from(count),
        };
        let hours = self.hours.as_ref().map_or(Factor::ONE, |(factor, schedules)| {
            // The hour of completion decides (provider-usage 9).
            let done = at.plus_micros(i64::from(call.latency_ms.unwrap_or(0)) * 1_000);
            if schedules.iter().any(|schedule| schedule.contains(done)) { *factor } else { Factor::ONE }
        });
        Some(rounded(tokens, fees, self.geo, hours))
    }

    fn band(&self, prompt: u64) -> &ClassRates {
        self.bands.iter().rev().find(|(above, _)| prompt > *above).map_or(&self.below, |(_, rates)| rates)
    }
}
