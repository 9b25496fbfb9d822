//! Wishes about prices.

use super::{Fact, check_name};
use crate::{
    AgreedName, AgreedPrice, Event, Multiplier, PriceBook, Row, Span, Tariff, Timestamp,
    query::{Fault, FaultCode},
    tariff::{TooMuch, first_edition, next_edition},
};

/// Adopts a book: calls are priced by it from an instant on, now if not named. What the books before priced stays as it was.
pub(super) fn adopt(text: &str, from: Option<Timestamp>, tariff: &Tariff, now: Timestamp) -> Result<Vec<Fact>, Fault> {
    let book = PriceBook::from_json(text.as_bytes()).map_err(|error| {
        Fault::refused(format!("this is no price book: {error}"), "see docs/PRICES.md for the form; the book in force stays")
    })?;
    let newest = tariff.newest();
    let from = from.unwrap_or(now).max(newest.from().unwrap_or(Span::ALWAYS.from));
    let too_much = |TooMuch| Fault::refused(TooMuch.to_string(), "the book in force stays");
    let stack = tariff.stack(tariff.editions().len() - 1);
    let Some(adoption) = next_edition(&stack, &book, from).map_err(too_much)? else { return Ok(Vec::new()) };
    let first = if tariff.is_pinned() { None } else { Some(first_edition(tariff.editions()[0].book()).map_err(too_much)?) };
    let adopted = |adoption| Fact::Event(Event::PriceBookAdopted { adoption: Box::new(adoption) });
    Ok(first.into_iter().chain([adoption]).map(adopted).collect())
}

/// Writes down which book holds from ever on, so that another program's does not move the past.
pub(super) fn pin(tariff: &Tariff) -> Result<Vec<Fact>, Fault> {
    if tariff.is_pinned() {
        return Ok(Vec::new());
    }
    let adoption = first_edition(tariff.editions()[0].book()).map_err(|TooMuch| Fault::refused(TooMuch.to_string(), ""))?;
    Ok(vec![Fact::Event(Event::PriceBookAdopted { adoption: Box::new(adoption) })])
}

/// Takes over what another log says of prices, where this one says nothing.
pub(super) fn take(events: Vec<Event>, tariff: &Tariff) -> Vec<Fact> {
    if !tariff.facts().is_empty() {
        return Vec::new();
    }
    events.into_iter().filter(Event::is_of_prices).map(Fact::Event).collect()
}

/// Sets a price of the user's own.
pub(super) fn set(price: AgreedPrice, tariff: &Tariff, now: Timestamp) -> Result<Vec<Fact>, Fault> {
    check(&price.name)?;
    if price.rates.iter().all(|(_, rate)| rate.is_none()) {
        return Err(Fault::refused(format!("a price of {} without a rate", price.name.model), "give at least --input and --output"));
    }
    let span = Span { from: price.from.unwrap_or(now), until: price.until.unwrap_or(Span::ALWAYS.until) };
    if span.from >= span.until {
        return Err(Fault::refused(
            format!("a price of {} that ends at {} before it begins at {}", price.name.model, span.until, span.from),
            "give the earlier day first",
        ));
    }
    // A price of the user's own is held to what a book is held to.
    let row = Row {
        provider: price.name.provider.clone().unwrap_or_else(|| "any provider".into()),
        model: price.name.model.clone(),
        rates: price.rates.clone(),
        source: "the user".into(),
        ..Row::default()
    };
    PriceBook::from_json(PriceBook::to_json(&[], &[row]).as_bytes())
        .map_err(|error| Fault::refused(error.to_string(), "rates are dollars per million tokens, from 0 to 1000"))?;
    let known = || tariff.agreements().prices().iter().filter(|known| known.name == price.name);
    if known().any(|known| known.says(&price, now)) {
        return Ok(Vec::new());
    }
    let overlaps = |other: Span| {
        let corrects = other.from == span.from;
        let follows = other.until == Span::ALWAYS.until && other.from < span.from;
        let meets = other.from < span.until && span.from < other.until;
        meets && !corrects && !follows
    };
    if let Some(other) = known().find(|known| overlaps(known.span)) {
        return Err(Fault::refused(
            format!("{} has a price of yours from {} on, which overlaps with this one", price.name.model, other.span.from),
            format!("end this one with --until, or take that one away with `tollbar prices unset {}`", price.name.model),
        ));
    }
    let price = AgreedPrice { from: Some(span.from), fills: price.fills || price.from.is_none(), ..price };
    Ok(vec![Fact::Event(Event::PriceSet { price: Box::new(price) })])
}

/// Takes a price of the user's own away.
pub(super) fn unset(name: AgreedName, from: Option<Timestamp>, tariff: &Tariff) -> Result<Vec<Fact>, Fault> {
    let begun = from.unwrap_or(Span::ALWAYS.from);
    if !tariff.agreements().prices().iter().any(|known| known.name == name && known.span.until > begun) {
        let what = format!("there is no price of yours for {} ({})", name.model, name.tier.word());
        return Err(Fault::new(FaultCode::NotFound, what, "see `tollbar prices list`; name its --provider and --tier if it has one"));
    }
    Ok(vec![Fact::Event(Event::PriceUnset { name, from })])
}

/// Multiplies what books say of a provider.
pub(super) fn multiply(multiplier: Multiplier, tariff: &Tariff, now: Timestamp) -> Result<Vec<Fact>, Fault> {
    check_name("provider", &multiplier.provider)?;
    let from = multiplier.from.unwrap_or(now);
    let stands = tariff.agreements().multiplier(&multiplier.provider, from).unwrap_or(crate::Factor::ONE);
    let later = tariff.agreements().multipliers().iter().any(|(provider, since, _)| *provider == multiplier.provider && *since > from);
    if stands == multiplier.factor && !later {
        return Ok(Vec::new());
    }
    Ok(vec![Fact::Event(Event::PricesMultiplied { multiplier: Multiplier { from: Some(from), ..multiplier } })])
}

fn check(name: &AgreedName) -> Result<(), Fault> {
    check_name("model", &name.model)?;
    name.provider.as_deref().map_or(Ok(()), |provider| check_name("provider", provider))
}
