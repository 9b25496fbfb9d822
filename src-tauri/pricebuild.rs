//! Makes a price book out of public data sets. Pure: bytes in, a book's bytes and a report out.
//!
//! Order of trust (prices.md 5): hand-kept overrides, genai-prices, model-prices for the labs' history, LiteLLM for tiers, regions and
//! models that the others lack, models.dev for the long tail of sellers. Where sets disagree, the one named first wins and the
//! disagreement is reported. The rules of thumb of provider-usage 2 to 10 are applied here, and named in the rows, so that pricing a
//! call needs none.

mod card;
mod exact;
mod genai;
mod litellm;
mod merge;
mod model_prices;
mod models_dev;
mod rules;
mod sets;
mod steps;
#[cfg(test)]
mod tests;

pub use sets::{SET_BYTES_MAX, Set, Sets};

use events::{PriceBook, PriceError, Rate, Row, Tier};
use merge::{Listed, Merge};
use model_prices::Snapshot;
use std::fmt;

/// Rows that replace others of the same provider, model, tier and time, each with its source and the reason in `note`.
const OVERRIDES: &[u8] = include_bytes!("../events/prices/overrides.json");
const OVERRIDES_SET: &str = "overrides";

/// A finished book.
#[derive(Debug)]
pub struct Built {
    /// Its bytes, which [`PriceBook::from_json`] has read and found sane.
    pub json: String,
    /// Where data sets differ by more than 1 % on one day.
    pub disagreements: Vec<Disagreement>,
    /// Prices of the long tail that cannot be, and were left out.
    pub refused: Vec<String>,
    /// How many models of an earlier book no set lists any more; their rows are kept.
    pub retired: usize,
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
    /// Of prompts above so many tokens; 0 of all.
    pub above: u64,
    /// What stands in the book.
    pub ours: Rate,
    /// Which set it is from.
    pub by: String,
    /// What the other set says.
    pub theirs: Rate,
    /// The other set.
    pub set: &'static str,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Disagreement { provider, model, class, above, ours, by, theirs, set } = self;
        let band = if *above > 0 { format!(" above {above}") } else { String::new() };
        write!(f, "{provider}/{model} {class}{band}: {ours} in {by}, {theirs} in {set}")
    }
}

/// Why no book was made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A data set is larger than any honest one.
    #[error("{set} has {bytes} bytes: at most {SET_BYTES_MAX} are read")]
    TooLarge {
        /// Which.
        set: &'static str,
        /// How large.
        bytes: usize,
    },
    /// A page to look at, where a data set was expected.
    #[error("{set} is a web page (HTML), not data")]
    WebPage {
        /// Which.
        set: &'static str,
    },
    /// Nested to hurt whoever reads it.
    #[error("{set} is nested too deep to be data")]
    Deep {
        /// Which.
        set: &'static str,
    },
    /// A data set is not of the shape that is known, or ends too early.
    #[error("cannot read {set}: {cause}")]
    Set {
        /// Which.
        set: &'static str,
        /// Why.
        cause: serde_json::Error,
    },
    /// A data set is well-formed and says nothing.
    #[error("{set} has no models that are known here")]
    Empty {
        /// Which.
        set: &'static str,
    },
    /// What came out is no sane book.
    #[error("the merged book is not sound: {0}")]
    Book(#[from] PriceError),
}

/// Merges the data sets into one book. Models of the earlier book that no set lists any more are kept: old calls still need their price.
pub fn build(sets: &Sets<'_>, earlier: Option<&PriceBook>) -> Result<Built, BuildError> {
    let genai: Vec<genai::Provider> = sets::read(Set::GenaiPrices, sets.genai)?;
    let snapshot: Snapshot = sets::read(Set::ModelPrices, sets.model_prices)?;
    let litellm: litellm::Table = sets::read(Set::LiteLlm, sets.litellm)?;
    let catalogue: models_dev::Catalogue = sets::read(Set::ModelsDev, sets.models_dev)?;
    let overrides: Vec<Row> = serde_json::from_slice(OVERRIDES).map_err(|cause| BuildError::Set { set: OVERRIDES_SET, cause })?;

    // Two sets have no dates; each is compared as of the day when it was made.
    let labs_at = snapshot.updated_at;
    let catalogue_at = catalogue.at().map_or(labs_at, |at| at.min(labs_at));
    sets::expect(Set::GenaiPrices, genai::PROVIDERS.iter().any(|(theirs, _)| genai.iter().any(|provider| provider.id == *theirs)))?;
    sets::expect(Set::ModelPrices, model_prices::LABS.iter().any(|(lab, _)| !snapshot.models(lab).is_empty()))?;
    sets::expect(Set::LiteLlm, litellm::KEYS.iter().any(|key| !litellm.models(key).is_empty()))?;
    sets::expect(Set::ModelsDev, models_dev::PROVIDERS.iter().any(|(theirs, _)| !catalogue.models(theirs).is_empty()))?;

    let mut merge = Merge::new(snapshot);
    let of_genai = |theirs: &'static str| genai.iter().filter(move |provider| provider.id == theirs);
    let unread = |set: Set| move |cause| BuildError::Set { set: set.name(), cause };
    for (theirs, ours) in genai::PROVIDERS {
        for provider in of_genai(theirs) {
            merge.take_genai(ours, provider, None).map_err(unread(Set::GenaiPrices))?;
        }
    }
    let rules_of = |ours: &str| genai.iter().find(|provider| genai::PROVIDERS.contains(&(provider.id.as_str(), ours)));
    for (lab, ours) in model_prices::LABS {
        merge.take_lab(lab, ours, rules_of(ours)).map_err(unread(Set::ModelPrices))?;
    }
    merge.take_clocks("deepseek");
    for key in &litellm::KEYS {
        merge.take_litellm(key, &litellm, rules_of(key.ours), labs_at);
    }
    let known = merge.book()?;
    for (theirs, ours) in genai::RESELLERS {
        for provider in of_genai(theirs) {
            merge.take_genai(ours, provider, Some(&known)).map_err(unread(Set::GenaiPrices))?;
        }
    }
    let known = merge.book()?;
    for key in &litellm::KEYS {
        for (name, entry) in litellm.models(key) {
            let (cards, source) = (entry.cards(key), entry.source());
            let source = source.as_deref().unwrap_or(Set::LiteLlm.page());
            merge.fill(key.ours, name, &known, &Listed { cards: &cards, at: labs_at, set: Set::LiteLlm, source });
        }
    }
    let known = merge.book()?;
    for (theirs, ours) in models_dev::PROVIDERS {
        for (name, card) in catalogue.models(theirs) {
            merge.compare_known(ours, name, catalogue_at, &card, Set::ModelsDev);
            let cards = [(Tier::Standard, card)];
            merge.fill(ours, name, &known, &Listed { cards: &cards, at: catalogue_at, set: Set::ModelsDev, source: Set::ModelsDev.page() });
        }
    }
    for row in overrides {
        merge.take_override(row);
    }
    let retired = earlier.map_or(0, |earlier| merge.keep_retired(earlier));
    merge.finish(retired)
}
