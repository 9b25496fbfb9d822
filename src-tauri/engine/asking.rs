//! Questions are answered beside the writer, each by the thread that asks it, over what the writer gives out between two batches.
//!
//! So an answer shows whole batches, and all that was acknowledged before it was asked; and nothing that is told waits for an answer.

use super::writer::{Owner, WriterHandle};
use crate::clock;
use events::{
    LogError, Projections, Seq, Zone,
    log::Snapshot,
    query::{EngineFacts, Fault, FaultCode, Plan, Query, View},
};
use std::sync::{Condvar, Mutex, Weak};

/// How many questions that read the log are answered at once: each may take both processors, and memory for what it finds.
const LONG_AT_ONCE: usize = 2;
/// How many that ask only for what is folded. They do not wait for the long ones.
const QUICK_AT_ONCE: usize = 2;

/// The log and what is folded from it, as both stood at one entry.
pub(super) struct State {
    pub(super) log: Snapshot,
    pub(super) projections: Projections,
}

/// What all answers share.
pub(super) struct Asking {
    zone: Zone,
    plans: Vec<Plan>,
    long: Turns,
    quick: Turns,
}

impl Asking {
    pub(super) fn new(zone: Zone, plans: Vec<Plan>) -> Asking {
        Asking { zone, plans, long: Turns::of(LONG_AT_ONCE), quick: Turns::of(QUICK_AT_ONCE) }
    }

    /// What the state says.
    pub(super) fn answer<Q: Query>(&self, query: &Q, state: &State, engine: Option<&EngineFacts>) -> Result<Q::Answer, Fault> {
        let State { log, projections } = state;
        query.answer(&View { log, projections, zone: self.zone, engine, plans: &self.plans }, clock::now())
    }
}

impl WriterHandle {
    /// Asks a question and waits for the answer.
    pub fn ask<Q: Query>(&self, query: Q) -> Result<Q::Answer, Fault> {
        self.ask_for(None, &query).map(|(_, answer)| answer)
    }

    /// Asks a question for somebody, and tells as of which entry it is answered. Where the asker goes, the log is read no further.
    pub(super) fn ask_for<Q: Query>(&self, asker: Option<&Weak<()>>, query: &Q) -> Result<(Seq, Q::Answer), Fault> {
        let turns = if Q::IS_QUICK { &self.asking.quick } else { &self.asking.long };
        let _turn = turns.take();
        if asker.is_some_and(|asker| asker.strong_count() == 0) {
            return Err(Fault::refused(LogError::Unwanted.to_string(), ""));
        }
        let engine = self.engine_facts();
        let state_now = || {
            let State { log, projections } = self.with(Owner::state)?;
            Ok::<_, Fault>(State { log: log.asked_by(asker.cloned()), projections })
        };
        let mut state = state_now()?;
        let mut answer = self.asking.answer(query, &state, engine.as_ref());
        // The store is a copy: one that cannot be read is made again from the journal, and this question answered from that.
        if answer.as_ref().is_err_and(|fault| fault.code == FaultCode::Storage) && !state.log.is_readable() {
            let damaged = state.log.clone();
            self.with(move |owner| owner.rebuild_damaged(&damaged))?;
            state.log = state.log.without_store();
            answer = self.asking.answer(query, &state, engine.as_ref());
        }
        answer.map(|answer| (state.log.last(), answer))
    }
}

/// So many may do something at once; others wait until it is their turn.
struct Turns {
    free: Mutex<usize>,
    given_back: Condvar,
}

/// Gives the turn back when it is dropped.
struct Turn<'a>(&'a Turns);

impl Turns {
    fn of(at_once: usize) -> Turns {
        Turns { free: Mutex::new(at_once), given_back: Condvar::new() }
    }

    fn take(&self) -> Turn<'_> {
        let free = self.free.lock().expect("nobody panics while holding it");
        let mut free = self.given_back.wait_while(free, |free| *free == 0).expect("nobody panics while holding it");
        *free -= 1;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().expect("nobody panics while holding it") += 1;
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests;
