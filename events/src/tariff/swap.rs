//! What is asked otherwise than it was: another model, another tier, another lifetime of what is written to a cache.

use super::Tariff;
use crate::{
    Certainty, PriceBook, Rates, Row, Tier,
    prices::{Found, Swapped, Terms, is_local, stems},
    query::{CacheTtl, ModelSwap},
};

/// Whose prices of a model are meant where nobody says whose: its maker's.
const MAKERS: [&str; 10] = ["anthropic", "openai", "google", "xai", "deepseek", "mistral", "moonshot", "zai", "cohere", "groq"];

/// What is asked otherwise than it was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Swap {
    pub(crate) models: Vec<ModelSwap>,
    pub(crate) tier: Option<Tier>,
    pub(crate) cache_ttl: Option<CacheTtl>,
}

impl Swap {
    /// The terms that are asked, what of a reported cost still holds, and whether another model's price is asked.
    pub(super) fn of<'a>(&'a self, terms: Terms<'a>, tariff: &'a Tariff) -> (Terms<'a>, Swapped, bool) {
        let swap = self.models.iter().find(|swap| swap.from.as_deref().is_none_or(|from| is_model(&terms, from, tariff)));
        let is_other = |swap: &&ModelSwap| {
            terms.model != Some(swap.to.as_str()) || swap.provider.as_deref().is_some_and(|provider| provider != terms.provider)
        };
        let model = swap.filter(is_other).map(|swap| swap.to.as_str());
        let swapped = match (model.is_some() || self.tier.is_some(), self.cache_ttl) {
            (true, _) => Swapped::All,
            (false, Some(_)) => Swapped::Writes,
            (false, None) => Swapped::Nothing,
        };
        let asked = match (swap, model) {
            (Some(swap), Some(to)) => {
                let provider = swap.provider.as_deref().or_else(|| tariff.seller_of(&terms, to)).unwrap_or(terms.provider);
                let family = if provider == terms.provider { terms.family } else { provider };
                Terms { provider, family, model: Some(to), request_model: None, ..terms }
            }
            (Some(_) | None, _) => terms,
        };
        let tier = self.tier.map_or(asked.tier, |tier| Some(tier.word()));
        (Terms { tier, ..asked }, swapped, model.is_some())
    }

    /// The rates by which a row prices what is asked: its own but for a cache that lives otherwise, and where a call of another model
    /// consumed what this one does not tell apart.
    pub(super) fn rates(&self, row: &Row, other_model: bool) -> Option<Box<(Rates, Vec<Rates>)>> {
        if self.cache_ttl.is_none() && !other_model {
            return None;
        }
        let asked = |rates: Rates| {
            let mut rates = if other_model { relaxed(rates) } else { rates };
            match self.cache_ttl {
                Some(CacheTtl::FiveMinutes) => rates.cache_write_1h = rates.cache_write_5m.or(rates.cache_write_1h),
                Some(CacheTtl::OneHour) => rates.cache_write_5m = rates.cache_write_1h.or(rates.cache_write_5m),
                None => {}
            }
            rates
        };
        let in_bands = row.bands.iter().map(|band| asked(band.rates.or(&row.rates))).collect();
        Some(Box::new((asked(row.rates.clone()), in_bands)))
    }
}

/// Whether calls of these terms are of a model of that name.
fn is_model(terms: &Terms<'_>, name: &str, tariff: &Tariff) -> bool {
    let called = terms.model.or(terms.request_model);
    let rows = || tariff.found(terms).map(|Found { rows, .. }| rows).and_then(|rows| rows.first());
    called.is_some_and(|model| stems(model).any(|stem| stem == name)) || rows().is_some_and(|row| row.model == name)
}

/// What a cache has no rate for costs as its other writes, or else as input.
fn relaxed(rates: Rates) -> Rates {
    let written = rates.cache_write_5m.or(rates.cache_write_30m).or(rates.cache_write_1h).or(rates.cache_write_12h).or(rates.input);
    Rates {
        cache_read: rates.cache_read.or(rates.input),
        cache_write_5m: rates.cache_write_5m.or(written),
        cache_write_30m: rates.cache_write_30m.or(written),
        cache_write_1h: rates.cache_write_1h.or(written),
        cache_write_12h: rates.cache_write_12h.or(written),
        ..rates
    }
}

impl Tariff {
    /// Whether a model that is asked has a price at all.
    pub(crate) fn has_price(&self, swap: &ModelSwap) -> bool {
        let agreed = self.agreements.prices().iter().any(|known| known.name.model == swap.to);
        agreed
            || match &swap.provider {
                Some(provider) => {
                    let terms = Terms {
                        provider,
                        family: provider,
                        model: Some(&swap.to),
                        request_model: None,
                        tier: None,
                        geo: None,
                        certainty: Certainty::Reported,
                        estimates_cost: false,
                    };
                    self.found(&terms).is_some()
                }
                None => self.maker_of(&swap.to).is_some(),
            }
    }

    /// By whose list a model is priced for calls of these terms: their own provider's if it sells it, else its maker's.
    fn seller_of(&self, terms: &Terms<'_>, model: &str) -> Option<&str> {
        let asked = Terms { model: Some(model), request_model: None, ..*terms };
        let own = self.found(&asked).filter(|_| !is_local(&asked)).and_then(|found| found.rows.first());
        own.map(|row| row.provider.as_str()).or_else(|| self.maker_of(model))
    }

    /// Who sells a model of this name, its maker before others.
    pub(crate) fn maker_of(&self, model: &str) -> Option<&str> {
        let sells = |book: &'_ PriceBook, provider: &str| stems(model).any(|name| book.named(provider, name).is_some());
        let books = || self.editions().iter().rev().map(|edition| edition.book());
        let maker = MAKERS.into_iter().find(|maker| books().any(|book| sells(book, maker)));
        maker.or_else(|| books().flat_map(|book| book.rows()).find(|row| sells_as(row, model)).map(|row| row.provider.as_str()))
    }
}

fn sells_as(row: &Row, model: &str) -> bool {
    stems(model).any(|name| row.model == name || row.aliases.iter().any(|alias| alias == name))
}
