//! Why does a call cost what it costs? Line by line.

use super::{CallRow, CostBasis, Fault, FaultCode, Query, View};
use crate::{Certainty, Factor, Rate, Row, Seq, Source, Tier, Timestamp, Usd};
use serde::{Deserialize, Serialize};

/// Why does one call cost what it costs?
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Explain {
    /// Its key, or the beginning of one (eight digits and more), or the provider's id of the answer or request.
    pub call: String,
}

/// The answer to [`Explain`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ExplainAnswer {
    /// The call as the export shows it, with its cost and where that comes from.
    pub call: CallRow,
    /// The model that was asked for, where it differs from the one that answered.
    pub request_model: Option<String>,
    /// Where it was served, where that has a price.
    pub geo: Option<String>,
    /// Whose word decides, in a sentence.
    pub reason: String,
    /// What the call costs by list, whoever's word decides; `null` where there is no price.
    pub listed_usd: Option<Usd>,
    /// What is not rounded yet of `listed_usd`: dollars with up to eighteen places.
    pub listed_exact: Option<String>,
    /// The price that makes `listed_usd`.
    pub price: Option<PriceFacts>,
    /// What was consumed, class by class.
    pub lines: Vec<CostLine>,
    /// What the lines are multiplied by, in order.
    pub factors: Vec<CostFactor>,
    /// Every entry of the log that speaks of the call, oldest first.
    pub entries: Vec<EntryFacts>,
}

/// A price, and why it is the one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PriceFacts {
    /// The price. Of one of the user's own, the provider is empty where it holds for every one.
    pub row: Row,
    /// Whether it is the user's own.
    pub custom: bool,
    /// How the call's model leads to it.
    pub matched: Matched,
    /// The same in a sentence.
    pub why: String,
    /// As which tier the call was served.
    pub tier: Tier,
    /// The limit that its prompt exceeds, where larger prompts cost otherwise.
    pub band_above: Option<u64>,
    /// The book that has it, by SHA-256.
    pub book: Option<String>,
    /// From when on calls are priced by that book.
    pub book_from: Option<Timestamp>,
    /// Whether the book came after the call, which had no price until then.
    pub back_filled: bool,
}

/// How a call's model leads to a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Matched {
    /// By its provider and its very name.
    Exact,
    /// By another name of the model.
    Alias,
    /// By a name without its date, region or reseller, by another provider's list, or by the model that was asked for.
    Inexact,
}

/// What was consumed of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct CostLine {
    /// The class of tokens, or `web_search`.
    pub class: String,
    /// How many tokens or searches.
    pub units: u64,
    /// In dollars per million; `null` where the price says nothing of the class.
    pub rate: Option<Rate>,
    /// Dollars, exact, with up to eighteen places, before any factor.
    pub amount: Option<String>,
    /// Whether no source lists the rate, and it follows from the provider's rules.
    pub inferred: bool,
    /// Whether factors for regions and hours apply to it.
    pub scaled: bool,
}

/// What lines are multiplied by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct CostFactor {
    /// Why, in words: a region, hours of the day, the user's multiplier.
    pub why: String,
    /// By how much.
    pub factor: Factor,
}

/// An entry of the log about a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct EntryFacts {
    /// Its place.
    pub seq: Seq,
    /// When it was written; `null` where the store no longer tells.
    pub recorded_at: Option<Timestamp>,
    /// Who had seen the call by then.
    pub sources: Vec<Source>,
    /// How far the tokens could be trusted by then.
    pub certainty: Certainty,
    /// All billed tokens by then.
    pub tokens: u64,
}

impl Query for Explain {
    const NAME: &'static str = "explain";
    type Answer = ExplainAnswer;

    fn answer(&self, _view: &View<'_>, _now: Timestamp) -> Result<ExplainAnswer, Fault> {
        let _ = CostBasis::Book;
        Err(Fault::new(FaultCode::NotFound, format!("there is no call {:?}", self.call), "see `tollbar export` for keys and ids"))
    }
}
