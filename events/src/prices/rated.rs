//! What the book says of one kind of calls, found out once: a fold over millions of calls of a few hundred kinds looks no name up.
//!
//! [`Rated::cost_of`] is [`Tariff::cost_of`](crate::Tariff::cost_of) without the reasons, for every usage there is.

use super::{
    AsOf, CLASSES, FEES, Factor, PriceBook, Row, Schedule, classes, credible, fee_counts, is_free, is_local, lacking_request_fee, rounded,
    row::Rates,
};
use crate::{Certainty, Fees, Pieces, Rate, Span, Summary, Timestamp, Tokens, Usage, Usd, log::segment::Profile, sameness::estimates_cost};

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
    /// Whether a cost that was reported is the client's own estimate.
    pub(crate) estimates_cost: bool,
}

/// What one call adds to its terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Consumed<'a> {
    pub(crate) at: Timestamp,
    pub(crate) tokens: &'a Tokens,
    pub(crate) fees: Fees,
    pub(crate) latency_ms: Option<u32>,
    pub(crate) reported_cost: Option<Usd>,
    /// The prompt that decides the band, where it is not that of these tokens.
    pub(crate) prompt: Option<u64>,
}

impl<'a> Consumed<'a> {
    /// What the calls of a summary add.
    pub(crate) fn of_summary(summary: &'a Summary) -> Consumed<'a> {
        Consumed { prompt: Some(summary.prompt()), ..Consumed::of(&summary.usage) }
    }

    /// What a call adds.
    pub(crate) fn of(usage: &'a Usage) -> Consumed<'a> {
        Consumed {
            at: usage.at,
            tokens: &usage.tokens,
            fees: usage.fees,
            latency_ms: usage.latency_ms,
            reported_cost: usage.reported_cost,
            prompt: usage.requests.map(|_| usage.band_prompt()),
        }
    }
}

/// The prices of all calls with the same [`Terms`].
#[derive(Debug)]
pub(crate) struct Rated {
    free: bool,
    /// Whether anything is known of the calls' tokens.
    counted: bool,
    /// Whether a reported cost is the client's estimate, which a price goes before.
    estimates_cost: bool,
    /// Whether a reported cost speaks of something else than what is asked.
    swapped: Swapped,
    /// Whether it runs on the user's own machine, and costs nothing where no row says otherwise.
    local: bool,
    /// In the order in which they are asked; none where there is no price.
    rows: Box<[DatedRates]>,
}

/// What is asked otherwise than it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swapped {
    /// Nothing.
    Nothing,
    /// Only how long what is written to a cache lives.
    Writes,
    /// By whose prices, or as which tier.
    All,
}

/// A row, and when it is asked for a price.
#[derive(Clone, Debug)]
pub(crate) struct Held<'a> {
    /// The book that has its schedules; none for a price of the user's own.
    pub(crate) book: Option<&'a PriceBook>,
    /// The row.
    pub(crate) row: &'a Row,
    /// Its rates, where they are not the row's.
    pub(crate) rates: Option<Box<(Rates, Vec<Rates>)>>,
    /// When.
    pub(crate) span: Span,
    /// By what the user said that list prices are multiplied.
    pub(crate) multiplier: Factor,
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
    multiplier: Factor,
}

/// In atto-dollars for each token of a class, and for each search.
#[derive(Debug)]
struct ClassRates {
    tokens: [Option<u64>; CLASSES],
    fees: [Option<u64>; FEES],
    /// Whether every request has a fee of its own.
    by_request: bool,
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
            estimates_cost: estimates_cost(profile.client, profile.sources),
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
            estimates_cost: usage.estimates_cost(),
        }
    }
}

impl Rated {
    /// What rows say of calls with these terms. The first that holds at the time of a call and prices all of it does.
    pub(crate) fn new(terms: &Terms<'_>, swapped: Swapped, held: &[Held<'_>]) -> Rated {
        let counted = terms.certainty != Certainty::Unknown;
        let rows = if counted { held.iter().map(|held| DatedRates::of(held, terms.geo)).collect() } else { Box::default() };
        Rated { free: is_free(terms.model), estimates_cost: terms.estimates_cost, counted, swapped, local: is_local(terms), rows }
    }
}

impl DatedRates {
    fn of(held: &Held<'_>, geo: Option<&str>) -> DatedRates {
        let Held { book, row, rates, span, multiplier } = held;
        let schedules =
            |name: &str| book.iter().flat_map(|book| &book.schedules).filter(|schedule| schedule.name == name).cloned().collect();
        let (below, in_bands): (&Rates, Vec<&Rates>) = match rates.as_deref() {
            Some((below, in_bands)) => (below, in_bands.iter().collect()),
            None => (&row.rates, row.bands.iter().map(|band| &band.rates).collect()),
        };
        let in_band = |band| {
            let (tokens, fees) = below.in_band(band);
            let by_request = lacking_request_fee(&fees, &Pieces::NONE).is_some();
            ClassRates { tokens: tokens.map(|rate| rate.map(atto)), fees: fees.map(|rate| rate.map(atto)), by_request }
        };
        DatedRates {
            span: *span,
            below: in_band(below),
            bands: row.bands.iter().zip(in_bands).map(|(band, rates)| (band.above, in_band(rates))).collect(),
            geo: geo.and_then(|geo| row.geo.get(geo)).copied().unwrap_or(Factor::ONE),
            hours: row.hours.as_ref().map(|hours| (hours.factor, schedules(&hours.schedule))),
            multiplier: *multiplier,
        }
    }
}

fn atto(rate: Rate) -> u64 {
    u64::try_from(rate.atto()).expect("a book is read only if its rates lie between zero and a limit far below this one")
}

impl Rated {
    /// What a call costs; `None` where it has no price.
    pub(crate) fn cost_of(&self, call: &Consumed<'_>, as_of: AsOf) -> Option<Usd> {
        let speaks = match self.swapped {
            Swapped::Nothing => true,
            Swapped::Writes => call.tokens.cache_write_5m == 0 && call.tokens.cache_write_1h == 0,
            Swapped::All => false,
        };
        let reported = call.reported_cost.filter(|_| speaks).and_then(|_| {
            let idle = self.counted && call.tokens.total() == 0 && call.fees.is_none();
            credible(call.reported_cost, self.free, idle)
        });
        match as_of {
            AsOf::Call if self.estimates_cost && call.tokens.total() > 0 => self.cost(call, call.at).or(reported),
            AsOf::Call => reported.or_else(|| self.cost(call, call.at)),
            AsOf::Instant(at) => self.cost(call, at).or(reported),
        }
    }

    fn cost(&self, call: &Consumed<'_>, at: Timestamp) -> Option<Usd> {
        let listed = self.rows.iter().filter(|row| row.span.contains(at)).find_map(|row| row.cost(call, at));
        listed.or(self.local.then_some(Usd::ZERO))
    }
}

impl DatedRates {
    fn cost(&self, call: &Consumed<'_>, at: Timestamp) -> Option<Usd> {
        let rates = if self.bands.is_empty() { &self.below } else { self.band(call.prompt.unwrap_or_else(|| call.tokens.prompt())) };
        let mut tokens = 0i128;
        for (count, rate) in classes(call.tokens).into_iter().zip(&rates.tokens) {
            if count > 0 {
                tokens = tokens.saturating_add(i128::from((*rate)?) * i128::from(count));
            }
        }
        let mut fees = 0i128;
        if rates.by_request || !call.fees.is_none() {
            let counts = fee_counts(&call.fees);
            if rates.by_request && counts[FEES - 3..].iter().all(|count| *count == 0) {
                return None;
            }
            for (count, rate) in counts.into_iter().zip(&rates.fees) {
                if count > 0 {
                    fees = fees.saturating_add(i128::from((*rate)?) * i128::from(count));
                }
            }
        }
        let hours = self.hours.as_ref().map_or(Factor::ONE, |(factor, schedules)| {
            // The hour of completion decides (provider-usage 9).
            let done = at.plus_micros(i64::from(call.latency_ms.unwrap_or(0)) * 1_000);
            if schedules.iter().any(|schedule| schedule.contains(done)) { *factor } else { Factor::ONE }
        });
        Some(rounded(tokens, fees, self.geo, hours, self.multiplier))
    }

    fn band(&self, prompt: u64) -> &ClassRates {
        self.bands.iter().rev().find(|(above, _)| prompt > *above).map_or(&self.below, |(_, rates)| rates)
    }
}
