//! Why does a call cost what it costs? Line by line.

mod bill;

use super::{CallRow, CostBasis, Fault, FaultCode, Query, View, storage_fault};
use crate::{
    Certainty, Entry, Event, Factor, Rate, RequestKey, Row, Seq, Source, Tariff, Tier, Timestamp, Unpriced, Usage, Usd,
    log::Snapshot,
    tariff::{Candidate, Edition, Origin},
};
use bill::{Bill, consumed};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How much of a key names a call.
const KEY_DIGITS_MIN: usize = 8;
/// Whose ids are looked up, rather than searched for.
const FAMILIES: [&str; 6] = ["anthropic", "openai", "gemini", "mistral", "cohere", "bedrock"];

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
    /// The class of tokens, or of fees (`web_search`, `file_search`, `page`, ...).
    pub class: String,
    /// How many tokens, searches, pages, ...
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
    /// When it was written.
    pub recorded_at: Timestamp,
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

    fn answer(&self, view: &View<'_>, _now: Timestamp) -> Result<ExplainAnswer, Fault> {
        let (key, usage) = self.find(view.log)?;
        let tariff = view.projections.tariff();
        let call = CallRow::new(key, &usage, tariff, view.log.device());
        let priced = tariff.listed(&usage, usage.band_prompt(), usage.at);
        let entries = view.log.entries_about(&key).map_err(|error| storage_fault(&error))?;
        let (listed_usd, candidate) = match &priced {
            Ok((usd, candidate)) => (Some(*usd), candidate.as_ref()),
            Err(_) => (None, None),
        };
        let bill = candidate.map(|candidate| Bill::of(candidate, &usage));
        Ok(ExplainAnswer {
            reason: reason(&call, &usage, &priced),
            call,
            request_model: usage.request_model.clone(),
            geo: usage.geo.clone(),
            listed_usd,
            listed_exact: bill.as_ref().and_then(Bill::exact),
            price: candidate.map(|candidate| price(candidate, &usage, tariff)),
            lines: bill.as_ref().map_or_else(|| consumed(&usage), |bill| bill.lines.clone()),
            factors: bill.map(|bill| bill.factors).unwrap_or_default(),
            entries: entries.iter().filter_map(EntryFacts::of).collect(),
        })
    }
}

impl Explain {
    /// The call that is meant, as it stands.
    fn find(&self, log: &Snapshot) -> Result<(RequestKey, Usage), Fault> {
        let fault = |error| storage_fault(&error);
        let named = self.call.trim();
        let nobody = || Fault::new(FaultCode::NotFound, format!("there is no call {named:?}"), "see `tollbar export` for keys and ids");
        if named.is_empty() {
            return Err(nobody());
        }
        // A whole key, or an id whose family is known, is looked up; all else is searched for.
        let by_family = FAMILIES.iter().map(|family| RequestKey::of(family, named));
        for key in named.parse().ok().into_iter().chain(by_family) {
            if let Some(call) = log.call(&key).map_err(fault)? {
                return Ok(call);
            }
        }
        let digits = named.to_ascii_lowercase();
        let is_beginning = digits.len() >= KEY_DIGITS_MIN && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut found: BTreeMap<RequestKey, Usage> = BTreeMap::new();
        for entry in log.replay() {
            let Entry { key: Some(key), event: Event::Used { usage } | Event::Restated { after: usage, .. }, .. } = entry.map_err(fault)?
            else {
                continue;
            };
            let has_id = [&usage.call_id, &usage.request_id].into_iter().any(|id| id.as_deref() == Some(named));
            if has_id || (is_beginning && key.to_string().starts_with(&digits)) {
                found.insert(key, *usage);
            }
        }
        match found.len() {
            0 => Err(nobody()),
            1 => found.into_iter().next().ok_or_else(nobody),
            calls => {
                let keys: Vec<String> = found.keys().take(3).map(ToString::to_string).collect();
                Err(Fault::refused(format!("{named:?} means {calls} calls"), format!("name one by its key, like {}", keys.join(" or "))))
            }
        }
    }
}

/// Whose word decides.
fn reason(call: &CallRow, usage: &Usage, priced: &Result<(Usd, Option<Candidate<'_>>), Unpriced>) -> String {
    match (call.cost_basis, priced) {
        (CostBasis::Reported, _) if usage.estimates_cost() => "the client's own estimate: no price is known for these tokens".to_owned(),
        (CostBasis::Reported, _) => "the provider or client reported the cost, which goes before every price".to_owned(),
        (CostBasis::Agreed, _) => "a price of yours goes before every book".to_owned(),
        (CostBasis::Book, Ok((_, None))) => format!("{}: it costs nothing", call.cost_note),
        (CostBasis::Book, Ok((usd, Some(_)))) => match usage.reported_cost.filter(|_| usage.estimates_cost()) {
            None => "the price book in force at the time of the call".to_owned(),
            Some(estimate) => format!(
                "the price book in force at the time of the call; the client's own estimate of {estimate} is {} from it",
                estimate - *usd
            ),
        },
        (CostBasis::Book, Err(_)) => "the price book in force at the time of the call".to_owned(),
        (CostBasis::Unpriced, Err(reason)) => format!("no price: {reason}"),
        (CostBasis::Unpriced, Ok(_)) => "no price".to_owned(),
    }
}

/// The price that made the cost, and why it is that one.
fn price(candidate: &Candidate<'_>, usage: &Usage, tariff: &Tariff) -> PriceFacts {
    let row = candidate.held.row;
    let called = usage.model.as_deref().or(usage.request_model.as_deref()).unwrap_or_default();
    let is_alias = row.model != called;
    let (matched, edition) = match candidate.origin {
        Origin::Listed { exact: true, edition, .. } if is_alias => (Matched::Alias, Some(edition)),
        Origin::Listed { exact: true, edition, .. } => (Matched::Exact, Some(edition)),
        Origin::Listed { exact: false, edition, .. } => (Matched::Inexact, Some(edition)),
        Origin::Agreed { .. } if is_alias => (Matched::Inexact, None),
        Origin::Agreed { .. } => (Matched::Exact, None),
    };
    let whose = if row.provider.is_empty() { "any provider's".to_owned() } else { format!("{}'s", row.provider) };
    let why = match matched {
        Matched::Exact => format!("{whose} price of {called}, by this very name"),
        Matched::Alias => format!("{whose} price of {}, of which {called} is another name", row.model),
        Matched::Inexact => format!("{called} of {} priced as {whose} {}", usage.provider, row.model),
    };
    let edition = edition.and_then(|edition| tariff.editions().get(edition));
    let prompt = usage.band_prompt();
    PriceFacts {
        custom: edition.is_none(),
        matched,
        why,
        tier: row.tier,
        band_above: row.bands.iter().rev().map(|band| band.above).find(|above| prompt > *above),
        book: edition.map(|edition| edition.id().to_owned()),
        book_from: edition.and_then(Edition::from),
        back_filled: candidate.origin.fills(),
        row: row.clone(),
    }
}

impl EntryFacts {
    fn of(entry: &Entry) -> Option<EntryFacts> {
        let (Event::Used { usage } | Event::Restated { after: usage, .. }) = &entry.event else { return None };
        Some(EntryFacts {
            seq: entry.seq,
            recorded_at: entry.recorded_at,
            sources: usage.sources.iter().collect(),
            certainty: usage.certainty,
            tokens: usage.tokens.total(),
        })
    }
}
