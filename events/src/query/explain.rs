//! Why does a call cost what it costs? Line by line.

use super::{CallRow, CostBasis, Fault, FaultCode, Query, View, storage_fault};
use crate::{
    Certainty, Entry, Event, Factor, Log, Rate, Rates, RequestKey, Row, Seq, Source, Tariff, Tier, Timestamp, Unpriced, Usage, Usd,
    prices::{Held, classes},
    tariff::{Candidate, Edition, Origin},
};
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
        let priced = tariff.listed(&usage, usage.tokens.prompt(), usage.at);
        let entries = view.log.entries_about(&key).map_err(|error| storage_fault(&error))?;
        let (listed_usd, candidate) = match &priced {
            Ok((usd, candidate)) => (Some(*usd), candidate.as_ref()),
            Err(_) => (None, None),
        };
        let bill = candidate.map(|candidate| Bill::of(candidate, &usage));
        Ok(ExplainAnswer {
            reason: reason(&call, &priced),
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
    fn find(&self, log: &Log) -> Result<(RequestKey, Usage), Fault> {
        let fault = |error| storage_fault(&error);
        let named = self.call.trim();
        let nobody = || Fault::new(FaultCode::NotFound, format!("there is no call {named:?}"), "see `tollbar export` for keys and ids");
        if named.is_empty() {
            return Err(nobody());
        }
        // A whole key, or an id whose family is known, is looked up; all else is searched for.
        let by_family = FAMILIES.iter().map(|family| RequestKey::of(family, named));
        for key in named.parse().ok().into_iter().chain(by_family) {
            if let Some(usage) = log.call(&key).map_err(fault)? {
                return Ok((key, usage));
            }
        }
        let digits = named.to_ascii_lowercase();
        let is_beginning = digits.len() >= KEY_DIGITS_MIN && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut found: BTreeMap<RequestKey, Usage> = BTreeMap::new();
        for entry in log.replay() {
            let Entry { key: Some(key), event: Event::Used { usage } | Event::Restated { after: usage, .. }, .. } = entry.map_err(fault)? else { continue };
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
fn reason(call: &CallRow, priced: &Result<(Usd, Option<Candidate<'_>>), Unpriced>) -> String {
    match (call.cost_basis, priced) {
        (CostBasis::Reported, _) => "the provider or client reported the cost, which goes before every price".to_owned(),
        (CostBasis::Agreed, _) => "a price of yours goes before every book".to_owned(),
        (CostBasis::Book, Ok((_, None))) => "it ran on this machine, which costs nothing".to_owned(),
        (CostBasis::Book, _) => "the price book in force at the time of the call".to_owned(),
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
    let prompt = usage.tokens.prompt();
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

/// What was consumed where nothing prices it.
fn consumed(usage: &Usage) -> Vec<CostLine> {
    let line = |(class, units, scaled): (&str, u64, bool)| CostLine { class: class.to_owned(), units, rate: None, amount: None, inferred: false, scaled };
    units(usage).map(line).collect()
}

/// Every class that occurs, its units, and whether factors of region and hour apply to it.
fn units(usage: &Usage) -> impl Iterator<Item = (&'static str, u64, bool)> {
    let names = Rates::default();
    let names: Vec<&'static str> = names.iter().map(|(class, _)| class).collect();
    let counts = classes(&usage.tokens).into_iter().map(|count| (count, true)).chain([(u64::from(usage.fees.web_search), false)]);
    let units = names.into_iter().zip(counts.collect::<Vec<_>>()).map(|(class, (count, scaled))| (class, count, scaled));
    units.filter(|(_, count, _)| *count > 0)
}

/// A call's cost, not yet added up.
struct Bill {
    lines: Vec<CostLine>,
    factors: Vec<CostFactor>,
    tokens_atto: i128,
    fees_atto: i128,
    /// Of region and hour, for tokens only; then the user's, for all.
    scales: [Factor; 3],
}

impl Bill {
    fn of(candidate: &Candidate<'_>, usage: &Usage) -> Bill {
        let Held { book, row, multiplier, .. } = &candidate.held;
        let prompt = usage.tokens.prompt();
        let band = row.bands.iter().rev().find(|band| prompt > band.above).map(|band| &band.rates);
        let rates = band.map_or_else(|| row.rates.clone(), |band| band.or(&row.rates));
        let mut bill = Bill { lines: Vec::new(), factors: Vec::new(), tokens_atto: 0, fees_atto: 0, scales: [Factor::ONE; 3] };
        for (class, units, scaled) in units(usage) {
            let rate = rates.iter().find(|(name, _)| *name == class).and_then(|(_, rate)| rate);
            let atto = rate.map(|rate| rate.cost_atto(units));
            *(if scaled { &mut bill.tokens_atto } else { &mut bill.fees_atto }) += atto.unwrap_or(0);
            let inferred = row.inferred.iter().any(|known| known == class);
            bill.lines.push(CostLine { class: class.to_owned(), units, rate, amount: atto.map(exact), inferred, scaled });
        }
        let geo = usage.geo.as_deref().and_then(|geo| Some((geo, *row.geo.get(geo)?)));
        let hours = book.map_or(Factor::ONE, |book| book.factor(row, usage.done_if_begun(usage.at)));
        let schedule = row.hours.as_ref().map(|hours| hours.schedule.as_str()).unwrap_or_default();
        bill.scales = [geo.map_or(Factor::ONE, |(_, factor)| factor), hours, *multiplier];
        let whys = [
            format!("processed in {}", geo.map(|(geo, _)| geo).unwrap_or_default()),
            format!("ended in the hours of {schedule}"),
            format!("list prices of {} are multiplied, as you set it", usage.provider),
        ];
        let factors = whys.into_iter().zip(bill.scales).filter(|(_, factor)| *factor != Factor::ONE);
        bill.factors = factors.map(|(why, factor)| CostFactor { why, factor }).collect();
        bill
    }

    /// All of it before it is rounded, where eighteen places hold that.
    fn exact(&self) -> Option<String> {
        let unit = i128::from(Factor::UNIT);
        let [geo, hours, multiplier] = self.scales.map(Factor::thousandths);
        let tokens = self.tokens_atto.checked_mul(geo)?.checked_mul(hours)?;
        let all = tokens.checked_add(self.fees_atto.checked_mul(unit * unit)?)?.checked_mul(multiplier)?;
        (all % unit.pow(3) == 0).then(|| exact(all / unit.pow(3)))
    }
}

/// Atto-dollars as dollars, without zeros at the end.
fn exact(atto: i128) -> String {
    const ATTO_PER_DOLLAR: u128 = 1_000_000_000_000_000_000;
    let (sign, atto) = (if atto < 0 { "-" } else { "" }, atto.unsigned_abs());
    let text = format!("{sign}{}.{:018}", atto / ATTO_PER_DOLLAR, atto % ATTO_PER_DOLLAR);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
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
