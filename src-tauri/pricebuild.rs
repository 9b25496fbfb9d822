//! Makes the bundled price book out of public data sets. Pure: bytes in, a book's bytes and a report out.
//!
//! Order of trust (prices.md 5): hand-kept overrides, genai-prices, model-prices for the labs' history, LiteLLM for tiers and regions
//! that the others lack. Where sets disagree, the one named first wins and the disagreement is reported. The rules of
//! thumb of provider-usage 2 to 10 are applied here, and named in the rows, so that pricing a call needs none.

mod card;
mod exact;
mod genai;
mod litellm;
mod model_prices;
mod rules;

use card::Card;
use events::{Factor, Hours, PriceBook, PriceError, Rate, Row, Schedule, Tier, Timestamp};
use exact::scaled;
use model_prices::{Snapshot, Step};
use std::collections::{BTreeMap, BTreeSet};

const GENAI_SET: &str = "genai-prices 0.2.3";
const MODEL_PRICES_SET: &str = "model-prices 0.0.5";
const LITELLM_SET: &str = "litellm 1.109.1";
const OVERRIDES_SET: &str = "overrides";
/// When [`LITELLM_SET`] was made: its prices have no dates of their own.
const LITELLM_AT: &str = "2026-10-27T00:00:00Z";

/// Providers of genai-prices that are taken, and what they are called here (the names of upstreams).
const PROVIDERS: [(&str, &str); 19] = [
    ("anthropic", "anthropic"),
    ("openai", "openai"),
    ("google", "google"),
    ("mistral", "mistral"),
    ("x-ai", "xai"),
    ("deepseek", "deepseek"),
    ("groq", "groq"),
    ("cohere", "cohere"),
    ("perplexity", "perplexity"),
    ("moonshotai", "moonshot"),
    ("azure", "azure"),
    ("aws", "bedrock"),
    ("cerebras", "cerebras"),
    ("together", "together"),
    ("fireworks", "fireworks"),
    ("zai", "zai"),
    ("voyageai", "voyageai"),
    ("avian", "avian"),
    ("doubleword", "doubleword"),
];

/// Labs of model-prices, and what they are called here.
const LABS: [(&str, &str); 8] = [
    ("anthropic", "anthropic"),
    ("openai", "openai"),
    ("google", "google"),
    ("mistral", "mistral"),
    ("xai", "xai"),
    ("deepseek", "deepseek"),
    ("cohere", "cohere"),
    ("moonshotai", "moonshot"),
];

/// Tiers as model-prices calls them.
const TIERS: [(&str, Tier); 4] = [("batch", Tier::Batch), ("flex", Tier::Flex), ("fast", Tier::Fast), ("ultrafast", Tier::Ultrafast)];

/// The bytes of the data sets.
#[derive(Clone, Copy, Debug)]
pub struct Sets<'a> {
    /// `genai-prices.json`, v1 shape.
    pub genai: &'a [u8],
    /// `model-prices-snapshot.json`.
    pub model_prices: &'a [u8],
    /// LiteLLM's table.
    pub litellm: &'a [u8],
    /// `overrides.json`: rows that replace others of the same provider, model, tier and time, each with its reason in `note`.
    pub overrides: &'a [u8],
}

/// A finished book.
#[derive(Debug)]
pub struct Built {
    /// Its bytes, which [`PriceBook::from_json`] has read and found sane.
    pub json: String,
    /// Where data sets differ by more than 1 % on one day.
    pub disagreements: Vec<Disagreement>,
}

/// That two sets name two prices for one thing on the day when the second one was made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Disagreement {
    /// Whose model.
    pub provider: String,
    /// The model.
    pub model: String,
    /// The class of tokens.
    pub class: &'static str,
    /// What stands in the book.
    pub ours: Rate,
    /// What the set says.
    pub theirs: Rate,
    /// The set.
    pub set: &'static str,
}

/// Why no book was made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A data set is not of the shape that is known.
    #[error("cannot read {set}: {cause}")]
    Set {
        /// Which.
        set: &'static str,
        /// Why.
        cause: serde_json::Error,
    },
    /// What came out is no sane book.
    #[error("the merged book is not sound: {0}")]
    Book(#[from] PriceError),
}

/// Merges the data sets into one book.
pub fn build(sets: Sets<'_>) -> Result<Built, BuildError> {
    let bad = |set| move |cause| BuildError::Set { set, cause };
    let genai: Vec<genai::Provider> = serde_json::from_slice(sets.genai).map_err(bad(GENAI_SET))?;
    let snapshot: Snapshot = serde_json::from_slice(sets.model_prices).map_err(bad(MODEL_PRICES_SET))?;
    let litellm = litellm::Table::read(sets.litellm).map_err(bad(LITELLM_SET))?;
    let overrides: Vec<Row> = serde_json::from_slice(sets.overrides).map_err(bad(OVERRIDES_SET))?;

    let mut merge = Merge { snapshot, schedules: Vec::new(), models: BTreeMap::new(), disagreements: BTreeSet::new() };
    for (theirs, ours) in PROVIDERS {
        for provider in genai.iter().filter(|provider| provider.id == theirs) {
            merge.take_genai(ours, provider).map_err(bad(GENAI_SET))?;
        }
    }
    for (lab, ours) in LABS {
        let rules = genai.iter().find(|provider| PROVIDERS.contains(&(provider.id.as_str(), ours)));
        merge.take_lab(lab, ours, rules);
    }
    merge.take_clocks("deepseek");
    for (ours, ..) in litellm::KEYS {
        let rules = genai.iter().find(|provider| PROVIDERS.contains(&(provider.id.as_str(), ours)));
        merge.take_litellm(ours, &litellm, rules);
    }
    for row in overrides {
        merge.take_override(row);
    }
    merge.finish()
}

/// A model on its way into the book. Its rows have whole bands, and are sorted by tier and time.
#[derive(Default)]
struct Model {
    aliases: BTreeSet<String>,
    rows: Vec<Row>,
}

struct Merge {
    snapshot: Snapshot,
    schedules: Vec<Schedule>,
    models: BTreeMap<(String, String), Model>,
    disagreements: BTreeSet<Disagreement>,
}

impl Merge {
    fn take_genai(&mut self, ours: &str, provider: &genai::Provider) -> Result<(), serde_json::Error> {
        let source = provider.pricing_urls.iter().flatten().next().cloned().unwrap_or_default();
        let ids: BTreeSet<&str> = provider.models.iter().map(|model| model.id.as_str()).collect();
        let mut taken: BTreeSet<String> = BTreeSet::new();
        for model in &provider.models {
            // Open weights that OpenAI does not sell itself; a host's own price is another.
            if ours == "openai" && model.id.starts_with("gpt-oss") {
                continue;
            }
            let row = |from, card: &Card| row(ours, &model.id, Tier::Standard, from, card, &source, GENAI_SET);
            let mut rows: Vec<Row> =
                model.standard()?.iter().filter(|(_, card)| !card.is_nothing()).map(|(from, card)| row(*from, card)).collect();
            close(&mut rows);
            let variants = model.variants()?;
            let others: Vec<Row> = variants.iter().flat_map(|(tier, variants)| tier_rows(&rows, *tier, variants)).collect();
            rows.extend(others);
            if rows.is_empty() {
                continue;
            }
            let names = model.names.whole().into_iter().filter(|name| !ids.contains(name));
            let aliases = names.filter(|name| taken.insert((*name).to_owned())).map(str::to_owned).collect();
            self.models.insert((ours.to_owned(), model.id.clone()), Model { aliases, rows });
        }
        Ok(())
    }

    /// Takes a lab's history: dates of changes, tiers and models that genai-prices lacks.
    fn take_lab(&mut self, lab: &str, ours: &str, rules: Option<&genai::Provider>) {
        let ids: Vec<String> = self.snapshot.prices.get(lab).into_iter().flat_map(|models| models.keys().cloned()).collect();
        let at = self.snapshot.updated_at;
        for id in ids {
            let steps = self.snapshot.timeline(lab, &id, "standard");
            let Some(today) = steps.last().and_then(|step| step.card.clone()) else { continue };
            let theirs: Vec<_> = today.rates.iter().collect();
            let known = self.known_as(ours, &id).or_else(|| self.adopted(ours, &id, rules, at, &theirs));
            match known {
                Some(model) if ours != "deepseek" => {
                    self.compare(ours, &model, at, &theirs, MODEL_PRICES_SET);
                    self.date(ours, &model, &steps);
                    self.add_tiers(lab, ours, &model, &id);
                }
                Some(model) if model != id => {}
                // DeepSeek's prices depend on the hour, which only this set tells whole.
                Some(_) => {
                    let rows = step_rows(ours, &id, Tier::Standard, &steps);
                    self.model(ours, &id).rows = rows;
                }
                None => {
                    let rows = step_rows(ours, &id, Tier::Standard, &steps);
                    self.model(ours, &id).rows = rows;
                    self.add_tiers(lab, ours, &id, &id);
                }
            }
        }
    }

    fn model(&mut self, provider: &str, id: &str) -> &mut Model {
        self.models.entry((provider.to_owned(), id.to_owned())).or_default()
    }

    /// The model of this name.
    fn known_as(&self, provider: &str, name: &str) -> Option<String> {
        let mut models = self.models.iter().filter(|((of, _), _)| of == provider);
        models.find(|((_, id), model)| id == name || model.aliases.contains(name)).map(|((_, id), _)| id.clone())
    }

    /// The model that genai-prices' rules would take the name for, if the price says so too; the name is its alias from now on.
    fn adopted(
        &mut self,
        ours: &str,
        name: &str,
        rules: Option<&genai::Provider>,
        at: Timestamp,
        rates: &[(&'static str, Option<Rate>)],
    ) -> Option<String> {
        let id = rules?.models.iter().find(|model| model.names.take(name))?.id.clone();
        let model = self.models.get_mut(&(ours.to_owned(), id.clone()))?;
        let row = model.rows.iter().find(|row| row.tier == Tier::Standard && row.span().contains(at))?;
        let same = |class, ours: Option<Rate>| ours.is_some() && rates.contains(&(class, ours));
        (same("input", row.rates.input) && same("output", row.rates.output)).then(|| {
            model.aliases.insert(name.to_owned());
            id
        })
    }

    fn compare(&mut self, provider: &str, id: &str, at: Timestamp, theirs: &[(&'static str, Option<Rate>)], set: &'static str) {
        let Some(model) = self.models.get(&(provider.to_owned(), id.to_owned())) else { return };
        let Some(row) = model.rows.iter().find(|row| row.tier == Tier::Standard && row.span().contains(at)) else { return };
        for (class, ours) in row.rates.iter() {
            let theirs = theirs.iter().find(|(of, _)| *of == class).and_then(|(_, rate)| *rate);
            if let (Some(ours), Some(theirs)) = (ours, theirs)
                && (ours.atto() - theirs.atto()).abs() * 100 > ours.atto().max(theirs.atto())
            {
                let (provider, model) = (provider.to_owned(), id.to_owned());
                self.disagreements.insert(Disagreement { provider, model, class, ours, theirs, set });
            }
        }
    }

    /// Cuts an undated standard price where a documented source saw it change, if the two sets agree on what holds since.
    fn date(&mut self, provider: &str, id: &str, steps: &[Step]) {
        let model = self.model(provider, id);
        let mut standard = model.rows.iter_mut().filter(|row| row.tier == Tier::Standard);
        let (Some(row), None) = (standard.next(), standard.next()) else { return };
        let ([.., before, after], None, None) = (steps, row.from, row.until) else { return };
        let (Some(old), Some(new), Some(at), true) = (&before.card, &after.card, after.from, after.documented) else { return };
        let ours = Card::of(row);
        if !Card::combined([new, &ours], |_, [new, ours]| new.filter(|_| ours.is_some())).is_part_of(&ours) {
            return;
        }
        let earlier = Card::combined([old, new, &ours], |_, [old, new, ours]| match (old, new) {
            (Some(old), Some(new)) if old != new => Some(old),
            _ => ours,
        });
        if earlier == ours {
            return;
        }
        row.from = Some(at);
        row.source.clone_from(&after.source);
        let mut first = self::row(provider, id, Tier::Standard, None, &earlier, &before.source, MODEL_PRICES_SET);
        first.until = Some(at);
        model.rows.insert(0, first);
    }

    /// Takes tiers that genai-prices does not have for the model.
    fn add_tiers(&mut self, lab: &str, ours: &str, id: &str, theirs: &str) {
        for (name, tier) in TIERS {
            let steps = self.snapshot.timeline(lab, theirs, name);
            let model = self.model(ours, id);
            if model.rows.iter().all(|row| row.tier != tier) {
                // This set tells no fees; those do not depend on the tier.
                let web_search = model.rows.iter().rev().find(|row| row.tier == Tier::Standard).and_then(|row| row.rates.web_search);
                let with_fees = |mut row: Row| {
                    row.rates.web_search = web_search;
                    row
                };
                model.rows.extend(step_rows(ours, id, tier, &steps).into_iter().map(with_fees));
            }
        }
    }

    /// Cuts a provider's rows where its hours begin and end to have a price.
    fn take_clocks(&mut self, provider: &str) {
        for clock in self.snapshot.clocks(provider) {
            for ((_, id), model) in self.models.iter_mut().filter(|((of, _), _)| of == provider) {
                let Some(factor) = clock.factor(id).and_then(|factor| Factor::parse(factor)) else { continue };
                model.rows = model.rows.iter().flat_map(|row| cut(row, Some(clock.from), clock.until)).collect();
                let inside = |row: &&mut Row| row.from >= Some(clock.from) && clock.until.is_none_or(|until| row.from < Some(until));
                for row in model.rows.iter_mut().filter(inside) {
                    row.hours = Some(Hours { schedule: clock.schedule.name.clone(), factor });
                }
            }
            self.schedules.push(clock.schedule);
        }
    }

    /// Takes aliases, regions, and tiers that no other set has, as multiples of standard prices.
    fn take_litellm(&mut self, ours: &str, table: &litellm::Table, rules: Option<&genai::Provider>) {
        let at = Timestamp::parse(LITELLM_AT).expect("a constant that is an instant");
        for (name, entry) in table.models(ours) {
            let known = self.known_as(ours, name).or_else(|| self.adopted(ours, name, rules, at, &entry.standard()));
            let Some(id) = known else { continue };
            self.compare(ours, &id, at, &entry.standard(), LITELLM_SET);
            let model = self.model(ours, &id);
            let geo = entry.geo();
            model.rows.iter_mut().for_each(|row| row.geo.extend(geo.clone()));
            for tier in [Tier::Batch, Tier::Flex, Tier::Priority] {
                if model.rows.iter().any(|row| row.tier == tier) {
                    continue;
                }
                let standard: Vec<Row> = model.rows.iter().filter(|row| row.tier == Tier::Standard).cloned().collect();
                for row in standard {
                    let Some(card) = entry.tier(tier, &Card::of(&row)) else { continue };
                    let note = Some("standard prices, by today's ratio".to_owned());
                    model.rows.push(Row { tier, rates: card.rates, bands: card.bands, set: LITELLM_SET.into(), note, ..row });
                }
            }
        }
    }

    /// Puts a hand-kept row in the place of what else holds for it.
    fn take_override(&mut self, mut row: Row) {
        for ((_, id), model) in self.models.iter_mut().filter(|((provider, _), _)| *provider == row.provider) {
            if *id != row.model {
                model.aliases.remove(&row.model);
            }
        }
        row.set = OVERRIDES_SET.into();
        let model = self.model(&row.provider, &row.model);
        let (same, mut rows): (Vec<Row>, Vec<Row>) = model.rows.drain(..).partition(|other| other.tier == row.tier);
        let outside = same.iter().flat_map(|other| cut(other, row.from, row.until));
        rows.extend(outside.filter(|other| other.span().until <= row.span().from || other.span().from >= row.span().until));
        rows.push(row);
        model.rows = rows;
    }

    fn finish(mut self) -> Result<Built, BuildError> {
        let mut rows = Vec::new();
        let ids: BTreeSet<(String, String)> = self.models.keys().cloned().collect();
        for ((provider, id), model) in &mut self.models {
            model.rows.retain(|row| !Card::of(row).is_nothing());
            model.rows.iter_mut().for_each(rules::complete);
            model.rows.sort_by_key(|row| (row.tier, row.span().from));
            model.rows = joined(std::mem::take(&mut model.rows));
            if let Some(first) = model.rows.first_mut() {
                first.aliases = model
                    .aliases
                    .iter()
                    .filter(|alias| !ids.contains(&(provider.clone(), (*alias).clone())) && *alias != id)
                    .cloned()
                    .collect();
            }
            rows.append(&mut model.rows);
        }
        for row in &mut rows {
            row.bands = Card::of(row).sparse_bands();
        }
        let json = PriceBook::to_json(&self.schedules, &rows);
        PriceBook::from_json(json.as_bytes())?;
        Ok(Built { json, disagreements: self.disagreements.into_iter().collect() })
    }
}

fn row(provider: &str, model: &str, tier: Tier, from: Option<Timestamp>, card: &Card, source: &str, set: &str) -> Row {
    let (provider, model, source, set) = (provider.into(), model.into(), source.into(), set.into());
    Row { provider, model, tier, from, rates: card.rates.clone(), bands: card.bands.clone(), source, set, ..Row::default() }
}

/// Lets each row end where the next one begins.
fn close(rows: &mut [Row]) {
    for nth in 1..rows.len() {
        rows[nth - 1].until = rows[nth].from;
    }
}

/// A row in up to three parts, cut at two instants.
fn cut(row: &Row, one: Option<Timestamp>, other: Option<Timestamp>) -> Vec<Row> {
    let mut parts = vec![row.clone()];
    for at in [one, other].into_iter().flatten() {
        let last = parts.last_mut().expect("a row has at least one part");
        let span = last.span();
        if span.from < at && at < span.until {
            let after = Row { from: Some(at), ..last.clone() };
            last.until = Some(at);
            parts.push(after);
        }
    }
    parts
}

/// The rows of a tier: from the first variant on as listed, before it by the ratio to standard prices that was then seen.
fn tier_rows(standard: &[Row], tier: Tier, variants: &[genai::Since]) -> Vec<Row> {
    let mut parts: Vec<Row> = standard.to_vec();
    for (from, _) in variants {
        parts = parts.iter().flat_map(|row| cut(row, *from, None)).collect();
    }
    let Some((first, first_card)) = variants.first() else { return Vec::new() };
    let seen = first.and_then(|first| standard.iter().find(|row| row.span().contains(first)));
    let mut rows = Vec::new();
    for part in parts {
        let listed = variants.iter().rev().find(|(from, _)| *from <= part.from);
        let (card, note) = match (listed, seen) {
            (Some((_, card)), _) => (Card::combined([&Card::of(&part), card], |_, [standard, listed]| listed.or(standard)), None),
            (None, Some(seen)) => {
                let day = first.map(|first| first.to_string()[..10].to_owned()).unwrap_or_default();
                (
                    by_ratio(&Card::of(&part), &Card::of(seen), first_card),
                    Some(format!("before {day} by the ratio to standard prices seen then")),
                )
            }
            (None, None) => continue,
        };
        rows.push(Row { tier, rates: card.rates, bands: card.bands, note, ..part });
    }
    rows
}

/// What a tier cost when standard was `then`, if it was to standard as `listed` is to `seen`. A rate that does not come out even is left out.
fn by_ratio(then: &Card, seen: &Card, listed: &Card) -> Card {
    Card::combined([then, seen, listed], |_, [then, seen, listed]| match (then, seen, listed) {
        (Some(then), Some(seen), Some(listed)) => scaled(then, listed.atto(), seen.atto()),
        (then, _, _) => then,
    })
}

fn step_rows(provider: &str, model: &str, tier: Tier, steps: &[Step]) -> Vec<Row> {
    let until = steps.iter().skip(1).map(|step| step.from).chain([None]);
    let rows = steps.iter().zip(until).filter_map(|(step, until)| {
        let row = row(provider, model, tier, step.from, step.card.as_ref()?, &step.source, MODEL_PRICES_SET);
        Some(Row { until, ..row })
    });
    rows.collect()
}

/// Neighbours in time that say the same are one row. What a note says of a part holds for the whole then.
fn joined(rows: Vec<Row>) -> Vec<Row> {
    let mut joined: Vec<Row> = Vec::new();
    for row in rows {
        match joined.last_mut() {
            Some(last) if last.until.is_some() && last.until == row.from && same_price(last, &row) => {
                last.until = row.until;
                last.note = last.note.take().or(row.note);
            }
            _ => joined.push(row),
        }
    }
    joined
}

fn same_price(a: &Row, b: &Row) -> bool {
    (a.tier, &a.rates, &a.bands, &a.geo, &a.hours, &a.inferred) == (b.tier, &b.rates, &b.bands, &b.geo, &b.hours, &b.inferred)
}

#[cfg(test)]
mod tests;
