//! The merge itself: who is taken for what, in the order of trust.

use super::{
    BuildError, Built, Disagreement, OVERRIDES_SET,
    card::Card,
    genai, litellm,
    model_prices::{Snapshot, Step, TIERS},
    rules,
    sets::Set,
    steps::{close, cut, joined, row, step_rows, tier_rows},
};
use events::{Basis, Certainty, Cost, Factor, Hours, PriceBook, Rate, Rates, Row, Schedule, Tier, Timestamp, Unpriced, Usage};
use std::collections::{BTreeMap, BTreeSet};

/// Who asks for others' models what their makers ask: the maker's dated list is better than today's copy of it.
const PASSES_ON: [&str; 5] = ["azure", "copilot", "openrouter", "vercel-gateway", "vertex"];

/// Makers whose models nobody sells at a price of his own.
const CLOSED: [&str; 5] = ["anthropic", "openai", "google", "xai", "cohere"];

/// A model on its way into the book. Its rows have whole bands, and are sorted by tier and time.
#[derive(Default)]
struct Model {
    aliases: BTreeSet<String>,
    rows: Vec<Row>,
}

pub(super) struct Merge {
    snapshot: Snapshot,
    schedules: Vec<Schedule>,
    models: BTreeMap<(String, String), Model>,
    disagreements: BTreeSet<Disagreement>,
    refused: BTreeSet<String>,
}

impl Merge {
    pub(super) fn new(snapshot: Snapshot) -> Merge {
        Merge { snapshot, schedules: Vec::new(), models: BTreeMap::new(), disagreements: BTreeSet::new(), refused: BTreeSet::new() }
    }

    pub(super) fn take_genai(
        &mut self,
        ours: &str,
        provider: &genai::Provider,
        known: Option<&PriceBook>,
    ) -> Result<(), serde_json::Error> {
        let source = provider.pricing_urls.iter().flatten().next().cloned().unwrap_or_default();
        let ids: BTreeSet<&str> = provider.models.iter().map(|model| model.id.as_str()).collect();
        let mut taken: BTreeSet<String> = BTreeSet::new();
        for model in &provider.models {
            // Open weights that OpenAI does not sell itself; a host's own price is another.
            if ours == "openai" && model.id.starts_with("gpt-oss") {
                continue;
            }
            // The maker's dated list is better than a reseller's copy.
            let at = self.snapshot.updated_at;
            if known.is_some_and(
                |known| matches!(found(known, ours, &model.id, at), Found::Row(row) if CLOSED.contains(&row.provider.as_str())),
            ) {
                continue;
            }
            let row = |from: Option<Timestamp>, card: &Card| {
                let basis = if from.is_some() { Basis::Documented } else { Basis::Listed };
                Row { basis, ..row(ours, &model.id, Tier::Standard, from, card, &source, Set::GenaiPrices.name()) }
            };
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
    pub(super) fn take_lab(&mut self, lab: &str, ours: &str, rules: Option<&genai::Provider>) -> Result<(), serde_json::Error> {
        let at = self.snapshot.updated_at;
        for id in self.snapshot.models(lab) {
            let steps = self.snapshot.timeline(lab, &id, "standard")?;
            let Some(today) = steps.last().and_then(|step| step.card.clone()) else { continue };
            if is_billed_by_the_call(ours, &id) {
                continue;
            }
            let known = self.known_as(ours, &id).or_else(|| self.adopted(ours, &id, rules, at, &today));
            match known {
                Some(model) if ours != "deepseek" => {
                    self.compare(ours, &model, at, &today, Set::ModelPrices);
                    self.date(ours, &model, &steps);
                    self.add_tiers(lab, ours, &model, &id)?;
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
                    self.add_tiers(lab, ours, &id, &id)?;
                }
            }
        }
        Ok(())
    }

    fn model(&mut self, provider: &str, id: &str) -> &mut Model {
        self.models.entry((provider.to_owned(), id.to_owned())).or_default()
    }

    /// The model of this name.
    fn known_as(&self, provider: &str, name: &str) -> Option<String> {
        let of_provider = self.models.range((provider.to_owned(), String::new())..);
        let mut models = of_provider.take_while(|((of, _), _)| of == provider);
        models.find(|((_, id), model)| id == name || model.aliases.contains(name)).map(|((_, id), _)| id.clone())
    }

    /// The model that genai-prices' rules would take the name for, if the price says so too; the name is its alias from now on.
    fn adopted(&mut self, ours: &str, name: &str, rules: Option<&genai::Provider>, at: Timestamp, today: &Card) -> Option<String> {
        let id = rules?.models.iter().find(|model| model.names.take(name))?.id.clone();
        let model = self.models.get_mut(&(ours.to_owned(), id.clone()))?;
        let row = model.rows.iter().find(|row| row.tier == Tier::Standard && row.span().contains(at))?;
        let same = |ours: Option<Rate>, theirs: Option<Rate>| ours.is_some() && ours == theirs;
        (same(row.rates.input, today.rates.input) && same(row.rates.output, today.rates.output)).then(|| {
            model.aliases.insert(name.to_owned());
            id
        })
    }

    /// Notes where a set's prices differ from the book's by more than 1 %, if the book knows the model by this very name; and takes
    /// the classes of tokens that only the set has.
    pub(super) fn compare_known(&mut self, provider: &str, name: &str, at: Timestamp, theirs: &Card, set: Set) {
        if let Some(id) = self.known_as(provider, name) {
            self.compare(provider, &id, at, theirs, set);
        }
    }

    fn compare(&mut self, provider: &str, id: &str, at: Timestamp, theirs: &Card, set: Set) {
        let Some(model) = self.models.get_mut(&(provider.to_owned(), id.to_owned())) else { return };
        let Some(row) = model.rows.iter_mut().find(|row| row.tier == Tier::Standard && row.span().contains(at)) else { return };
        if row.set != set.name() {
            let found = disagreements(row, theirs, set);
            self.disagreements.extend(found);
            add_classes(row, theirs, set);
        }
    }

    /// Cuts an undated standard price where a documented source saw it change, if the two sets agree on what holds since.
    fn date(&mut self, provider: &str, id: &str, steps: &[Step]) {
        let model = self.model(provider, id);
        let Some(row) = model.rows.iter_mut().find(|row| row.tier == Tier::Standard && row.from.is_none()) else { return };
        let steps: Vec<&Step> = steps.iter().filter(|step| step.from < row.until || row.until.is_none()).collect();
        let [.., before, after] = steps[..] else { return };
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
        (row.from, row.basis) = (Some(at), Basis::Documented);
        row.source.clone_from(&after.source);
        let mut first = super::steps::row(provider, id, Tier::Standard, None, &earlier, &before.source, Set::ModelPrices.name());
        first.until = Some(at);
        model.rows.insert(0, first);
    }

    /// Takes tiers that genai-prices does not have for the model.
    fn add_tiers(&mut self, lab: &str, ours: &str, id: &str, theirs: &str) -> Result<(), serde_json::Error> {
        for (name, tier) in TIERS {
            let steps = self.snapshot.timeline(lab, theirs, name)?;
            let model = self.model(ours, id);
            if model.rows.iter().all(|row| row.tier != tier) {
                // This set tells no fees; those do not depend on the tier.
                let standard = model.rows.iter().rev().find(|row| row.tier == Tier::Standard).map(|row| row.rates.clone());
                let with_fees = |mut row: Row| {
                    let listed = standard.iter().flat_map(Rates::iter);
                    for (class, rate) in listed.filter(|(class, _)| Rates::is_fee(class)) {
                        *row.rates.get_mut(class).expect("a class that was just listed") = rate;
                    }
                    row
                };
                model.rows.extend(step_rows(ours, id, tier, &steps).into_iter().map(with_fees));
            }
        }
        Ok(())
    }

    /// Cuts a provider's rows where its hours begin and end to have a price.
    pub(super) fn take_clocks(&mut self, provider: &str) {
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

    /// Takes aliases, regions, classes, and tiers that no other set has, as multiples of standard prices.
    pub(super) fn take_litellm(&mut self, key: &litellm::Key, table: &litellm::Table, rules: Option<&genai::Provider>, at: Timestamp) {
        let ours = key.ours;
        for (name, entry) in table.models(key) {
            let Some(standard) = entry.standard(key) else { continue };
            let known = self.known_as(ours, name).or_else(|| self.adopted(ours, name, rules, at, &standard));
            let Some(id) = known else { continue };
            self.compare(ours, &id, at, &standard, Set::LiteLlm);
            let model = self.model(ours, &id);
            let geo = entry.geo();
            model.rows.iter_mut().for_each(|row| row.geo.extend(geo.clone()));
            for tier in [Tier::Batch, Tier::Flex, Tier::Priority] {
                if model.rows.iter().any(|row| row.tier == tier) {
                    continue;
                }
                let standard: Vec<Row> = model.rows.iter().filter(|row| row.tier == Tier::Standard).cloned().collect();
                for row in standard {
                    let Some(card) = entry.multiple(tier, &Card::of(&row)) else { continue };
                    let note = Some("standard prices, by today's ratio".to_owned());
                    let (rates, bands, set) = (card.rates, card.bands, Set::LiteLlm.name().into());
                    model.rows.push(Row { tier, rates, bands, set, note, basis: Basis::Inferred, ..row });
                }
            }
        }
    }

    /// The book so far.
    pub(super) fn book(&self) -> Result<PriceBook, BuildError> {
        let rows: Vec<Row> = self.models.iter().flat_map(|((provider, id), model)| self.finished(provider, id, model)).collect();
        Ok(PriceBook::from_json(PriceBook::to_json(&self.schedules, &rows).as_bytes())?)
    }

    /// Takes a model that the book so far does not have, or not at this price, as it is listed today.
    pub(super) fn fill(&mut self, ours: &str, name: &str, known: &PriceBook, listed: &Listed<'_>) {
        let Listed { cards, at, set, source } = *listed;
        let Some(today) = cards.iter().find(|(tier, _)| *tier == Tier::Standard).map(|(_, card)| card.clone()) else { return };
        let has_fee = today.rates.iter().any(|(class, rate)| Rates::is_fee(class) && rate.is_some());
        let is_covered = today.rates.request_low.is_some() && !name.contains("deep-research");
        let lacks_request_fee = is_billed_by_the_call(ours, name) && !is_covered;
        if today.rates.input.is_none() && !has_fee || lacks_request_fee || self.known_as(ours, name).is_some() {
            return;
        }
        if self.is_version(ours, name, at, &today) {
            return;
        }
        if let Some((class, rate)) = cards.iter().find_map(|(_, card)| card.absurd()) {
            self.refused.insert(format!("{ours}/{name}: {rate} dollars per million for {class} in {}", set.name()));
            return;
        }
        match found(known, ours, name, at) {
            Found::Nowhere => {}
            Found::NotThen => return,
            Found::Row(row) if (row.rates.input, row.rates.output) == (today.rates.input, today.rates.output) => return,
            // A variant behind a colon may have a price of its own (OpenRouter's `:extended`, `:thinking`).
            Found::Row(row) if PASSES_ON.contains(&ours) && CLOSED.contains(&row.provider.as_str()) && !name.contains(':') => {
                let here = |it: Disagreement| Disagreement {
                    provider: ours.to_owned(),
                    model: name.to_owned(),
                    by: format!("{}'s of {}", it.provider, it.by),
                    ..it
                };
                self.disagreements.extend(disagreements(row, &today, set).into_iter().map(here));
                return;
            }
            // A name that looks like another one's, or a region's, with a price of its own.
            Found::Row(_) => {}
        }
        let rows = cards.iter().map(|(tier, card)| row(ours, name, *tier, None, card, source, set.name()));
        self.model(ours, name).rows = rows.collect();
    }

    /// Whether a name is that of a known model and a version behind it, at the same price today: then its past is the model's too, and
    /// the name is its alias from now on.
    fn is_version(&mut self, ours: &str, name: &str, at: Timestamp, today: &Card) -> bool {
        let of_provider = self.models.range_mut((ours.to_owned(), String::new())..).take_while(|((of, _), _)| of == ours);
        let versioned = of_provider.filter(|((_, id), _)| name.strip_prefix(id.as_str()).is_some_and(|rest| rest.starts_with('-')));
        let same = |model: &Model| {
            let row = model.rows.iter().find(|row| row.tier == Tier::Standard && row.span().contains(at));
            row.is_some_and(|row| disagreements(row, today, Set::LiteLlm).is_empty() && row.rates.input == today.rates.input)
        };
        let best = versioned.filter(|(_, model)| same(model)).max_by_key(|((_, id), _)| id.len());
        best.is_some_and(|(_, model)| model.aliases.insert(name.to_owned()))
    }

    /// Puts a hand-kept row in the place of what else holds for it.
    pub(super) fn take_override(&mut self, mut row: Row) {
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

    /// Keeps the tiers and models of an earlier book that no set lists any more; returns how many.
    pub(super) fn keep_retired(&mut self, earlier: &PriceBook) -> usize {
        let mut kept = 0;
        let rows: Vec<&Row> = earlier.rows().collect();
        for rows in rows.chunk_by(|a, b| (&a.provider, &a.model, a.tier) == (&b.provider, &b.model, b.tier)) {
            let first = rows[0];
            let id = self.known_as(&first.provider, &first.model);
            // Under another name it is listed still.
            if id.as_ref().is_some_and(|id| *id != first.model) {
                continue;
            }
            let names: Vec<String> = first.aliases.iter().filter(|name| self.known_as(&first.provider, name).is_none()).cloned().collect();
            let model = self.model(&first.provider, &first.model);
            if model.rows.iter().all(|row| row.tier != first.tier) {
                kept += 1;
                model.aliases.extend(names);
                model.rows.extend(rows.iter().map(|row| Row { bands: Card::of_sparse(row).bands, retired: true, ..(*row).clone() }));
            }
        }
        for schedule in earlier.schedules() {
            if self.schedules.iter().all(|known| known.name != schedule.name) {
                self.schedules.push(schedule.clone());
            }
        }
        kept
    }

    pub(super) fn finish(self, retired: usize) -> Result<Built, BuildError> {
        let rows: Vec<Row> = self.models.iter().flat_map(|((provider, id), model)| self.finished(provider, id, model)).collect();
        let used = |schedule: &&Schedule| rows.iter().any(|row| row.hours.as_ref().is_some_and(|hours| hours.schedule == schedule.name));
        let schedules: Vec<Schedule> = self.schedules.iter().filter(used).cloned().collect();
        let json = PriceBook::to_json(&schedules, &rows);
        PriceBook::from_json(json.as_bytes())?;
        let (disagreements, refused) = (self.disagreements.into_iter().collect(), self.refused.into_iter().collect());
        Ok(Built { json, disagreements, refused, retired })
    }

    /// A model's rows as they are written.
    fn finished(&self, provider: &str, id: &str, model: &Model) -> Vec<Row> {
        let mut rows: Vec<Row> = model.rows.iter().filter(|row| !Card::of(row).is_nothing()).cloned().collect();
        rows.iter_mut().for_each(rules::complete);
        rows.sort_by_key(|row| (row.tier, row.span().from));
        let mut rows = joined(rows);
        rows.iter_mut().for_each(|row| {
            row.bands = Card::of(row).sparse_bands();
            row.aliases = Vec::new();
        });
        if let Some(first) = rows.first_mut() {
            let is_model = |alias: &String| self.models.contains_key(&(provider.to_owned(), alias.clone()));
            first.aliases = model.aliases.iter().filter(|alias| *alias != id && !is_model(alias)).cloned().collect();
        }
        rows
    }
}

/// A model as an undated set lists it.
#[derive(Clone, Copy)]
pub(super) struct Listed<'a> {
    pub(super) cards: &'a [(Tier, Card)],
    pub(super) at: Timestamp,
    pub(super) set: Set,
    pub(super) source: &'a str,
}

/// What a book says of a name.
enum Found<'book> {
    Row(&'book Row),
    /// It knows the model, but no price of it then.
    NotThen,
    Nowhere,
}

fn found<'book>(book: &'book PriceBook, provider: &str, name: &str, at: Timestamp) -> Found<'book> {
    let usage = Usage { provider: provider.to_owned(), model: Some(name.to_owned()), certainty: Certainty::Reported, ..Usage::default() };
    match book.cost(&usage, at) {
        Cost::Priced { by: events::By::Row { row, .. }, .. } => Found::Row(row),
        Cost::Unpriced { reason: Unpriced::UnknownModel } => Found::Nowhere,
        Cost::Priced { .. } | Cost::Unpriced { .. } => Found::NotThen,
    }
}

/// Whether a fee comes on top of every call that no usage shows (Perplexity's search models): tokens alone would be too little.
fn is_billed_by_the_call(provider: &str, name: &str) -> bool {
    provider == "perplexity" && name.trim_start_matches("perplexity/").starts_with("sonar") || name.starts_with("perplexity/sonar")
}

/// Takes classes of tokens that only the other set has a rate for, if the two agree on text.
fn add_classes(row: &mut Row, theirs: &Card, set: Set) {
    // What a cache write costs is the maker's to say: some sets name the price of a read, or none.
    let is_added = |class: &str, ours: Option<Rate>, theirs: Option<Rate>| {
        // Zero stands where nobody knows of a price.
        ours.is_none() && theirs.is_some_and(|rate| rate != Rate::default()) && !class.starts_with("cache_write")
    };
    if (row.rates.input, row.rates.output) != (theirs.rates.input, theirs.rates.output) || row.bands.len() != theirs.bands.len() {
        return;
    }
    let classes = row.rates.iter().zip(theirs.rates.iter());
    let missing: Vec<&str> =
        classes.filter(|((class, ours), (_, theirs))| is_added(class, *ours, *theirs)).map(|((class, _), _)| class).collect();
    if missing.is_empty() {
        return;
    }
    let both = Card::combined([&Card::of(row), theirs], |class, [ours, theirs]| if missing.contains(&class) { theirs } else { ours });
    (row.rates, row.bands) = (both.rates, both.bands);
    let told = format!("{} by {}", missing.join(", "), set.name());
    row.note = Some(row.note.take().map_or_else(|| told.clone(), |note| format!("{note}; {told}")));
}

fn disagreements(row: &Row, theirs: &Card, set: Set) -> Vec<Disagreement> {
    let ours = Card::of(row);
    let steps = std::iter::once((0, &ours.rates, &theirs.rates)).chain(
        ours.bands.iter().filter_map(|band| Some((band.above, &band.rates, &theirs.bands.iter().find(|it| it.above == band.above)?.rates))),
    );
    let mut found = Vec::new();
    for (above, ours, theirs) in steps {
        for ((class, ours), (_, theirs)) in ours.iter().zip(theirs.iter()) {
            if let (Some(ours), Some(theirs)) = (ours, theirs)
                && (ours.atto() - theirs.atto()).abs() * 100 > ours.atto().max(theirs.atto())
            {
                let (provider, model, by) = (row.provider.clone(), row.model.clone(), row.set.clone());
                found.push(Disagreement { provider, model, class, above, ours, by, theirs, set: set.name() });
            }
        }
    }
    found
}
