//! From facts to entries: what a sighting adds to what is known of its call.

use super::Fact;
use crate::{CallUuid, Entry, Event, RequestKey, Said, Seq, Sighting, Source, Timestamp, Usage};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// What the log holds under a key.
pub(super) enum Known {
    Not,
    /// It was seen, and what was written of it is destroyed: it is in every sum as it was, and stays so.
    Lost,
    As(Box<Usage>),
}

/// What the log holds, before a batch, of the call that a fact speaks of.
#[derive(Default)]
pub(super) struct Held {
    /// The key of the call.
    key: Option<(RequestKey, Known)>,
    /// The key that it has if another call was given the same id.
    apart: Option<(RequestKey, Known)>,
}

impl Held {
    pub(super) fn of<E>(fact: &Fact, known: impl Fn(RequestKey) -> Result<Known, E>) -> Result<Held, E> {
        let with = |key: RequestKey| known(key).map(|known| (key, known));
        match fact {
            Fact::Event(_) => Ok(Held::default()),
            Fact::Remetered { key, .. } => Ok(Held { key: Some(with(*key)?), apart: None }),
            Fact::Seen(sighting) => {
                let Some(key) = sighting.usage.key() else { return Ok(Held::default()) };
                let carried: Option<CallUuid> = sighting.usage.carried.filter(|_| sighting.usage.call_id.is_some());
                let apart = carried.map(|carried| with(key.carried_by(carried))).transpose()?;
                Ok(Held { key: Some(with(key)?), apart })
            }
        }
    }
}

/// An entry that is not written yet.
pub(super) struct Line {
    pub(super) entry: Arc<Entry>,
    pub(super) said: Option<Said>,
    /// Whether it takes the place of what was known, rather than adding to it.
    remetered: bool,
}

impl Line {
    /// The fact that the entry was made of, or one that says the same.
    pub(super) fn into_fact(self) -> Fact {
        let Entry { key, event, .. } = Arc::unwrap_or_clone(self.entry);
        match (event, key, self.said) {
            (Event::Restated { after, .. }, Some(key), Some(said)) if self.remetered => Fact::Remetered { key, after, said },
            (Event::Used { usage } | Event::Restated { after: usage, .. }, _, said) => {
                Fact::Seen(Box::new(Sighting { usage: *usage, said }))
            }
            (
                event @ (Event::BudgetSet { .. }
                | Event::BudgetRemoved { .. }
                | Event::AlertRaised { .. }
                | Event::PriceBookAdopted { .. }
                | Event::PriceSet { .. }
                | Event::PriceUnset { .. }
                | Event::PricesMultiplied { .. }
                | Event::Summarised { .. }
                | Event::Folded { .. }
                | Event::Lost),
                _,
                _,
            ) => Fact::Event(event),
        }
    }
}

/// What became of facts.
pub(super) struct Drafted {
    pub(super) lines: Vec<Line>,
    /// Sightings of unknown calls that were made before the log was folded: summaries may have them.
    pub(super) refused: u64,
}

/// What entries the facts become, after `last`, in the log of `device`, in which calls from before `folded_before` stand in summaries.
pub(super) fn lines(
    facts: impl ExactSizeIterator<Item = (Fact, Held)>,
    device: &str,
    folded_before: Option<Timestamp>,
    last: Seq,
    now: Timestamp,
) -> Drafted {
    let lines = Vec::with_capacity(facts.len());
    let mut batch = Batch { lines, said_here: FxHashMap::default(), folded_before, refused: 0 };
    for (fact, held) in facts {
        let (key, event, said, remetered) = match (fact, held) {
            (Fact::Event(event), _) => (None, event, None, false),
            (Fact::Seen(sighting), held) => {
                let Sighting { mut usage, said } = *sighting;
                // A call of this machine's own is not named by its device, whoever tells it: another machine's journal that has it by merging.
                if usage.device.as_deref() == Some(device) {
                    usage.device = None;
                }
                match batch.state(usage, held) {
                    Some((key, event)) => (Some(key), event, said, false),
                    None => continue,
                }
            }
            (Fact::Remetered { key, after, said }, held) => match batch.known(held.key) {
                Some((_, Known::As(before))) if before != after => (Some(key), Event::Restated { before, after }, Some(said), true),
                Some((_, Known::As(_) | Known::Not | Known::Lost)) | None => continue,
            },
        };
        if let Some(key) = key {
            batch.said_here.insert(key, batch.lines.len());
        }
        let seq = Seq(last.0 + batch.lines.len() as u64 + 1);
        batch.lines.push(Line { entry: Arc::new(Entry { seq, recorded_at: now, key, event }), said, remetered });
    }
    Drafted { lines: batch.lines, refused: batch.refused }
}

struct Batch {
    lines: Vec<Line>,
    folded_before: Option<Timestamp>,
    refused: u64,
    /// Which line of this batch speaks of a call, which the log does not know yet.
    said_here: FxHashMap<RequestKey, usize>,
}

impl Batch {
    /// What is known under a key: from the lines before, else from the log.
    fn known(&self, held: Option<(RequestKey, Known)>) -> Option<(RequestKey, Known)> {
        let (key, held) = held?;
        let said_here = self.said_here.get(&key).and_then(|line| match &self.lines[*line].entry.event {
            Event::Used { usage } | Event::Restated { after: usage, .. } => Some(Known::As(usage.clone())),
            Event::BudgetSet { .. }
            | Event::BudgetRemoved { .. }
            | Event::AlertRaised { .. }
            | Event::PriceBookAdopted { .. }
            | Event::PriceSet { .. }
            | Event::PriceUnset { .. }
            | Event::PricesMultiplied { .. }
            | Event::Summarised { .. }
            | Event::Folded { .. }
            | Event::Lost => None,
        });
        Some((key, said_here.unwrap_or(held)))
    }

    /// What a sighting adds to what is known of its call: the event to write; `None` for nothing new.
    fn state(&mut self, seen: Usage, held: Held) -> Option<(RequestKey, Event)> {
        let (mut key, mut before) = self.known(held.key)?;
        if matches!(&before, Known::As(other) if is_another_call(other, &seen))
            && let Some(apart) = self.known(held.apart)
        {
            (key, before) = apart;
        }
        let before = match before {
            // Missing a call that was never seen is better than counting one twice.
            Known::Not if self.folded_before.is_some_and(|before| seen.at < before) => {
                self.refused += 1;
                return None;
            }
            Known::Not => return Some((key, Event::Used { usage: Box::new(seen) })),
            Known::Lost => return None,
            Known::As(before) => before,
        };
        // Nearly every sighting of a known call is the very same one, told again.
        if *before == seen {
            return None;
        }
        let after = Box::new(before.merged(&seen));
        (after != before).then_some((key, Event::Restated { before, after }))
    }
}

/// Whether the proxy carried two calls to which a careless server gave one id (a local server that says `chatcmpl-0`, a stand-in).
///
/// Providers never give one id to two calls, and a second look at an answer (`GET`) is not marked as carried.
fn is_another_call(known: &Usage, seen: &Usage) -> bool {
    let by_proxy = |usage: &Usage| usage.sources.has(Source::Proxy) || usage.sources.has(Source::Connect);
    by_proxy(known) && by_proxy(seen) && known.carried.is_some() && known.carried != seen.carried
}
