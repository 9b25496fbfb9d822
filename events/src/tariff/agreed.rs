//! What the user agreed with providers, as it stands after every word about it.

use super::facts::{AgreedName, AgreedPrice, Multiplier};
use crate::{
    Factor, Row, Span, Timestamp,
    prices::{Terms, seller, stems},
};

/// A price of the user's own, and when it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) name: AgreedName,
    pub(crate) span: Span,
    /// Whether it prices calls before it that have no other price.
    fills: bool,
    /// As a row of a book.
    pub(crate) row: Row,
}

/// What was agreed, and by what list prices are multiplied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agreements {
    /// The first that fits a call holds.
    prices: Vec<Agreed>,
    /// By provider and time.
    multipliers: Vec<(String, Timestamp, Factor)>,
}

impl Agreed {
    /// When it is asked for a price, beside its own time: before it, where nothing else has one.
    pub(super) fn fills(&self) -> Option<Span> {
        self.fills.then_some(Span { from: Span::ALWAYS.from, until: self.span.from })
    }
}

impl Agreements {
    /// Takes in a price. One of the same day takes the other's place; one that begins later ends an open one.
    pub(super) fn set(&mut self, price: &AgreedPrice, recorded_at: Timestamp) {
        let span = Span { from: price.from.unwrap_or(recorded_at), until: price.until.unwrap_or(Span::ALWAYS.until) };
        self.prices.retain(|known| known.name != price.name || known.span.from != span.from);
        for known in self.prices.iter_mut().filter(|known| known.name == price.name && known.span.from < span.from) {
            known.end(span.from);
        }
        self.prices.push(Agreed { name: price.name.clone(), span, fills: price.fills, row: row(price, span) });
        // A price for one provider goes before one for every provider.
        self.prices.sort_by(|one, other| {
            (&one.name.model, one.name.provider.is_none(), &one.name, one.span.from)
                .cmp(&(&other.name.model, other.name.provider.is_none(), &other.name, other.span.from))
        });
    }

    /// Takes a price away from an instant on, or as if it had never been.
    pub(super) fn unset(&mut self, name: &AgreedName, from: Option<Timestamp>) {
        let from = from.unwrap_or(Span::ALWAYS.from);
        self.prices.retain(|known| known.name != *name || known.span.from < from);
        self.prices.iter_mut().filter(|known| known.name == *name).for_each(|known| known.end(from));
    }

    pub(super) fn multiply(&mut self, multiplier: &Multiplier, recorded_at: Timestamp) {
        let (provider, from) = (&multiplier.provider, multiplier.from.unwrap_or(recorded_at));
        self.multipliers.retain(|(known, since, _)| (known, since) != (provider, &from));
        self.multipliers.push((provider.clone(), from, multiplier.factor));
        self.multipliers.sort();
    }

    /// Every price.
    pub(crate) fn prices(&self) -> &[Agreed] {
        &self.prices
    }

    /// The prices of a call's terms, the nearest name first.
    pub(super) fn of<'t>(&'t self, terms: &Terms<'_>) -> Vec<&'t Agreed> {
        let Some(model) = terms.model.or(terms.request_model).filter(|_| !self.prices.is_empty()) else { return Vec::new() };
        let Some(tier) = crate::Tier::of(terms.tier) else { return Vec::new() };
        let own = |name: &AgreedName| {
            let of = |provider: &String| provider == terms.provider || provider == seller(terms.provider);
            name.tier == tier && name.provider.as_ref().is_none_or(of)
        };
        let with_name = |stem| self.prices.iter().filter(move |known| known.name.model == stem && own(&known.name));
        stems(model).flat_map(with_name).collect()
    }

    /// By what a provider's list prices are multiplied, and in which part of a span.
    pub(super) fn multiplied(&self, provider: &str, span: Span) -> Vec<(Span, Factor)> {
        let own: Vec<_> = self.multipliers.iter().filter(|(name, ..)| name == provider).map(|(_, from, factor)| (*from, *factor)).collect();
        let begins = [(Span::ALWAYS.from, Factor::ONE)].into_iter().chain(own.iter().copied());
        let ends = own.iter().map(|(from, _)| *from).chain([Span::ALWAYS.until]);
        let parts = begins.zip(ends).map(|((from, factor), until)| (Span { from, until }.within(span), factor));
        parts.filter(|(span, _)| span.from < span.until).collect()
    }

    /// The multiplier of a provider at an instant, if there is one.
    pub(crate) fn multiplier(&self, provider: &str, at: Timestamp) -> Option<Factor> {
        let begun = self.multipliers.iter().rev().find(|(name, from, _)| name == provider && *from <= at);
        begun.map(|(.., factor)| *factor).filter(|factor| *factor != Factor::ONE)
    }

    /// Every multiplier: whose, from when on, and by how much.
    pub(crate) fn multipliers(&self) -> &[(String, Timestamp, Factor)] {
        &self.multipliers
    }

    /// Where prices change.
    pub(super) fn instants(&self) -> impl Iterator<Item = Timestamp> {
        self.prices.iter().flat_map(|known| [known.span.from, known.span.until]).chain(self.multipliers.iter().map(|(_, from, _)| *from))
    }
}

impl Agreed {
    /// Whether a price says the very same.
    pub(crate) fn says(&self, price: &AgreedPrice, now: Timestamp) -> bool {
        let span = Span { from: price.from.unwrap_or(self.span.from), until: price.until.unwrap_or(Span::ALWAYS.until) };
        let began = price.from.is_some() || self.span.from <= now;
        began && self.fills == (price.fills || price.from.is_none()) && self.span == span && self.row == row(price, span)
    }

    fn end(&mut self, until: Timestamp) {
        self.span.until = self.span.until.min(until);
        self.row.until = Some(self.span.until).filter(|until| *until != Span::ALWAYS.until);
    }
}

/// A price as a row of a book: a cache without a rate costs as input does.
fn row(price: &AgreedPrice, span: Span) -> Row {
    let mut rates = price.rates.clone();
    let mut inferred = Vec::new();
    for class in ["cache_read", "cache_write_5m", "cache_write_30m", "cache_write_1h", "cache_write_12h"] {
        if let Some(rate @ None) = rates.get_mut(class) {
            *rate = price.rates.input;
            inferred.push(class.to_owned());
        }
    }
    Row {
        provider: price.name.provider.clone().unwrap_or_default(),
        model: price.name.model.clone(),
        tier: price.name.tier,
        from: Some(span.from),
        until: price.until,
        rates,
        inferred,
        source: "set by you".into(),
        set: "yours".into(),
        ..Row::default()
    }
}
