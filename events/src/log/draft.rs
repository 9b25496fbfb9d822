//! From facts to entries: what a sighting adds to what is known of its call.

use super::{Fact, LogError, unmatched::Unmatched};
use crate::{CallUuid, Entry, Event, MatchedBy, RequestKey, Said, Seq, Sighting, Timestamp, Usage, sameness::Half};
use rustc_hash::{FxHashMap, FxHashSet};
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
    /// The key that a sighting's usage gives.
    own: Option<RequestKey>,
    /// The key of the call, by which it is known: another than its own where it was matched.
    key: Option<(RequestKey, Known)>,
    /// The key that it has if another call was given the same id; looked up where there may be another.
    apart: Option<(RequestKey, Known)>,
    /// Of a match, the call that a client's id is said to lead to.
    call: Option<(RequestKey, Known)>,
}

impl Held {
    /// `met`: the keys of the facts before it in the batch.
    pub(super) fn of<E>(
        fact: &Fact,
        met: &mut FxHashSet<RequestKey>,
        known: impl Fn(RequestKey) -> Result<(RequestKey, Known), E>,
    ) -> Result<Held, E> {
        match fact {
            Fact::Event(_) => Ok(Held::default()),
            Fact::Remetered { key, .. } => Ok(Held { key: Some(known(*key)?), ..Held::default() }),
            Fact::Matched { key, call, by: _ } => {
                met.extend([*key, *call]);
                Ok(Held { key: Some(known(*key)?), call: Some(known(*call)?), ..Held::default() })
            }
            Fact::Seen(sighting) => {
                let Some(key) = sighting.usage.key() else { return Ok(Held::default()) };
                let held = known(key)?;
                let is_new = met.insert(key) && matches!(held.1, Known::Not);
                let carried: Option<CallUuid> = sighting.usage.carried.filter(|_| !is_new && sighting.usage.call_id.is_some());
                let apart = carried.map(|carried| known(key.carried_by(carried))).transpose()?;
                Ok(Held { own: Some(key), key: Some(held), apart, call: None })
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
            (Event::Restated { before, after }, Some(key), Some(said)) if self.remetered => {
                Fact::Remetered { key, before: Some(before), after, said }
            }
            (Event::Used { usage } | Event::Restated { after: usage, .. }, _, said) => Fact::Seen(Box::new(Sighting { usage, said })),
            (Event::Matched { call, by, .. }, Some(key), _) => Fact::Matched { key, call, by },
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
                | Event::Lost
                | Event::Matched { .. }
                | Event::ProjectRenamed { .. }),
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

/// What facts become in a log.
pub(super) struct Drafting<'a> {
    /// Whose log it is.
    pub(super) device: &'a str,
    /// Calls from before then stand in summaries.
    pub(super) folded_before: Option<Timestamp>,
    /// After which entry.
    pub(super) last: Seq,
    pub(super) now: Timestamp,
    /// Kept up with the lines, once it is made.
    pub(super) unmatched: &'a mut Option<Unmatched>,
    /// What it is as the log stands.
    pub(super) newest_unmatched: &'a dyn Fn() -> Result<Unmatched, LogError>,
    /// What the log holds under a key.
    pub(super) known: &'a dyn Fn(RequestKey) -> Result<(RequestKey, Known), LogError>,
}

impl Drafting<'_> {
    /// The entries that the facts become. On an error, with the facts as they were or as ones that say the same.
    pub(super) fn lines(self, facts: impl ExactSizeIterator<Item = (Fact, Held)>) -> Result<Drafted, (LogError, Vec<Fact>)> {
        let lines = Vec::with_capacity(facts.len());
        let mut batch = Batch { drafting: self, lines, said_here: FxHashMap::default(), refused: 0 };
        let mut facts = facts;
        while let Some((fact, held)) = facts.next() {
            if let Err(stopped) = batch.take(fact, held) {
                let Stopped { error, undone } = *stopped;
                let before = batch.lines.into_iter().map(Line::into_fact);
                return Err((error, before.chain([undone]).chain(facts.map(|(fact, _)| fact)).collect()));
            }
        }
        Ok(Drafted { lines: batch.lines, refused: batch.refused })
    }
}

/// What could not be read, and the fact that waits for it.
struct Stopped {
    error: LogError,
    undone: Fact,
}

struct Batch<'a> {
    drafting: Drafting<'a>,
    lines: Vec<Line>,
    refused: u64,
    /// Which line of this batch speaks of a call, which the log does not know yet.
    said_here: FxHashMap<RequestKey, usize>,
}

impl Batch<'_> {
    fn take(&mut self, fact: Fact, held: Held) -> Result<(), Box<Stopped>> {
        match fact {
            Fact::Event(event) => self.push(None, event, None, false),
            Fact::Seen(sighting) => {
                let Sighting { mut usage, said } = *sighting;
                // A call of this machine's own is not named by its device, whoever tells it: another machine's journal that has it by merging.
                if usage.device.as_deref() == Some(self.drafting.device) {
                    usage.device = None;
                }
                if let Some((key, event)) = self.state(usage, held) {
                    self.push_matched(key, event, said)?;
                }
            }
            Fact::Remetered { key, before: expected, after, said } => match self.known(held.key) {
                // What was matched is counted as the call is.
                Some((found, Known::As(before)))
                    if found == key && before != after && expected.is_none_or(|expected| expected == before) =>
                {
                    self.push(Some(key), Event::Restated { before, after }, Some(said), true);
                }
                Some((_, Known::As(_) | Known::Not | Known::Lost)) | None => {}
            },
            Fact::Matched { key, call, by } => self.matched(key, held, call, by),
        }
        Ok(())
    }

    fn push(&mut self, key: Option<RequestKey>, event: Event, said: Option<Said>, remetered: bool) {
        let seq = Seq(self.drafting.last.0 + self.lines.len() as u64 + 1);
        let entry = Arc::new(Entry { seq, recorded_at: self.drafting.now, key, event });
        if let Some(unmatched) = self.drafting.unmatched {
            unmatched.see(&entry);
        }
        if let Some(key) = key {
            self.said_here.insert(key, self.lines.len());
        }
        self.lines.push(Line { entry, said, remetered });
    }

    /// Writes what is new of a call, and with it what makes it one with its counterpart, if that is there by now.
    fn push_matched(&mut self, key: RequestKey, event: Event, said: Option<Said>) -> Result<(), Box<Stopped>> {
        let (counted, now) = match event {
            Event::Used { usage } => (None, usage),
            Event::Restated { before, after } => (Some(before), after),
            Event::BudgetSet { .. }
            | Event::BudgetRemoved { .. }
            | Event::AlertRaised { .. }
            | Event::PriceBookAdopted { .. }
            | Event::PriceSet { .. }
            | Event::PriceUnset { .. }
            | Event::PricesMultiplied { .. }
            | Event::Summarised { .. }
            | Event::Folded { .. }
            | Event::Lost
            | Event::Matched { .. }
            | Event::ProjectRenamed { .. } => return Ok(()),
        };
        let stated = |before: Option<Box<Usage>>, now: Box<Usage>| match before {
            None => Event::Used { usage: now },
            Some(before) => Event::Restated { before, after: now },
        };
        let half = now.half();
        let found = self.begin_to_match().and_then(|()| half.map(|half| self.counterpart(half, &now)).transpose());
        let found = match found {
            Ok(found) => found.flatten(),
            Err(error) => return Err(Box::new(Stopped { error, undone: Fact::Seen(Box::new(Sighting { usage: now, said })) })),
        };
        match (half, found) {
            (Some(Half::Row), Some((call, carried, by))) => {
                let after = Box::new(carried.merged(&now.into_sighting_of(&carried)));
                self.push(Some(call), Event::Restated { before: carried, after }, None, false);
                self.push(Some(key), Event::Matched { call, by, before: counted }, said, false);
            }
            (Some(Half::Carried), Some((row_key, row, by))) => {
                let whole = Box::new(now.merged(&row.clone().into_sighting_of(&now)));
                self.push(Some(key), stated(counted, whole), said, false);
                self.push(Some(row_key), Event::Matched { call: key, by, before: Some(row) }, None, false);
            }
            (None, _) | (_, None) => self.push(Some(key), stated(counted, now), said, false),
        }
        Ok(())
    }

    /// With the first news of a call; a batch that tells none looks for nothing.
    fn begin_to_match(&mut self) -> Result<(), LogError> {
        if self.drafting.unmatched.is_none() {
            let mut unmatched = (self.drafting.newest_unmatched)()?;
            self.lines.iter().for_each(|line| unmatched.see(&line.entry));
            *self.drafting.unmatched = Some(unmatched);
        }
        Ok(())
    }

    /// The other half of a call, if the log has it.
    fn counterpart(&self, half: Half, usage: &Usage) -> Result<Option<(RequestKey, Box<Usage>, MatchedBy)>, LogError> {
        let counterparts = self.drafting.unmatched.as_ref().map(|unmatched| unmatched.counterparts(half, usage));
        for key in counterparts.unwrap_or_default() {
            let held = match self.said_here.get(&key) {
                Some(_) => (key, Known::Not),
                None => (self.drafting.known)(key)?,
            };
            let Some((found, Known::As(other))) = self.known(Some(held)) else { continue };
            let by = match half {
                Half::Row => usage.tells_of(&other),
                Half::Carried => other.tells_of(usage),
            };
            if let Some(by) = by.filter(|_| found == key) {
                return Ok(Some((key, other, by)));
            }
        }
        Ok(None)
    }

    /// Makes two known calls one, as another log of them says that they are.
    fn matched(&mut self, key: RequestKey, held: Held, call: RequestKey, by: MatchedBy) {
        let (Some((found, row)), Some((whole, Known::As(carried)))) = (self.known(held.key), self.known(held.call)) else { return };
        let row = match row {
            Known::As(row) if found == key && key != call && whole == call => Some(row),
            Known::Not if whole == call => None,
            Known::As(_) | Known::Not | Known::Lost => return,
        };
        if let Some(row) = &row {
            let after = Box::new(carried.merged(&Usage::clone(row).into_sighting_of(&carried)));
            if after != carried {
                self.push(Some(call), Event::Restated { before: carried, after }, None, false);
            }
        }
        self.push(Some(key), Event::Matched { call, by, before: row }, None, false);
    }

    /// What is known under a key: from the lines before, else from the log. With the key of the call that it was matched with.
    fn known(&self, held: Option<(RequestKey, Known)>) -> Option<(RequestKey, Known)> {
        let (mut key, mut held) = held?;
        let mut said_here = None;
        // A client's id leads to a call, and that to none further.
        for _ in 0..2 {
            match self.said_here.get(&key).map(|line| &self.lines[*line].entry.event) {
                Some(Event::Used { usage } | Event::Restated { after: usage, .. }) => said_here = Some(Known::As(usage.clone())),
                Some(Event::Matched { call, .. }) => {
                    key = *call;
                    // Of what cannot be read, nothing is written.
                    held = (self.drafting.known)(key).map_or(Known::Lost, |(_, known)| known);
                    continue;
                }
                Some(
                    Event::BudgetSet { .. }
                    | Event::BudgetRemoved { .. }
                    | Event::AlertRaised { .. }
                    | Event::PriceBookAdopted { .. }
                    | Event::PriceSet { .. }
                    | Event::PriceUnset { .. }
                    | Event::PricesMultiplied { .. }
                    | Event::Summarised { .. }
                    | Event::Folded { .. }
                    | Event::Lost
                    | Event::ProjectRenamed { .. },
                )
                | None => {}
            }
            break;
        }
        Some((key, said_here.unwrap_or(held)))
    }

    /// What a sighting adds to what is known of its call: the event to write; `None` for nothing new.
    fn state(&mut self, seen: Box<Usage>, held: Held) -> Option<(RequestKey, Event)> {
        let mut seen = seen;
        let (mut key, mut before) = self.known(held.key)?;
        if let (true, Known::As(call)) = (held.own != Some(key), &before) {
            seen = Box::new(seen.into_sighting_of(call));
        } else if matches!(&before, Known::As(other) if is_another_call(other, &seen))
            && let Some(apart) = self.known(held.apart)
        {
            (key, before) = apart;
        }
        let before = match before {
            // Missing a call that was never seen is better than counting one twice.
            Known::Not if self.drafting.folded_before.is_some_and(|before| seen.at < before) => {
                self.refused += 1;
                return None;
            }
            Known::Not => return Some((key, Event::Used { usage: seen })),
            Known::Lost => return None,
            Known::As(before) => before,
        };
        // Nearly every sighting of a known call is the very same one, told again.
        if before == seen {
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
    known.is_carried() && seen.is_carried() && known.carried.is_some() && known.carried != seen.carried
}
