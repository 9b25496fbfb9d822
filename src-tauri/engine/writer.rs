//! The one thread that owns the log and the projections.
//!
//! It takes what is told in batches, appends, folds, raises the alerts that are due, and publishes what changed. Questions are
//! answered between batches, so that an answer always shows whole ones.

use super::ledger::storage_fault;
use crate::clock;
use events::{
    Alert, Command, Event, Fact, Log, Projections, Seq, Sighting, Zone, decide,
    log::{BATCH_FACTS_MAX, Tidied},
    query::{EngineFacts, Fault, FaultCode, Plan, Query, View},
};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::broadcast;

/// How many messages may wait for the writer.
const QUEUE_MESSAGES_MAX: usize = 1024;
/// How many facts wait in memory while the disk does not take them. More are given up, oldest first, and counted.
const WAITING_FACTS_MAX: usize = 16_384;
/// How many changes a slow listener may lag behind before it misses some and has to ask again.
const CHANGES_MAX: usize = 256;
/// After so long without anything to write, the store is flushed, so that the next start has nothing to catch up on.
const FLUSH_AFTER: Duration = Duration::from_secs(2);
/// A checkpoint is written when an opening would have to fold more than this, once nothing is to be written; so many take a few milliseconds.
const CHECKPOINT_ENTRIES: u64 = 8_192;

/// The log grew.
#[derive(Clone, Debug)]
pub struct Change {
    /// The newest entry.
    pub seq: Seq,
    /// What was raised on the way.
    pub alerts: Arc<[Alert]>,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The newest entry.
    pub seq: Seq,
    /// How many entries the command became.
    pub entries: u64,
    /// How many calls it told of that the log does not know and that may stand in summaries: they are not counted again.
    #[serde(default)]
    pub refused: u64,
}

impl Told {
    /// What became of this command and a later one.
    #[must_use]
    pub fn and(self, later: Told) -> Told {
        Told { seq: later.seq, entries: self.entries + later.entries, refused: self.refused + later.refused }
    }
}

type Answering = Box<dyn FnOnce(&mut Owner) + Send>;

enum Message {
    /// Sightings from the proxy or a watcher, already acknowledged by nobody: they are retried until the disk takes them.
    Seen(Vec<Sighting>),
    /// Anything that wants an answer.
    Ask(Answering),
    Stop,
}

/// What the writer thread owns.
struct Owner {
    log: Log,
    projections: Projections,
    zone: Zone,
    plans: Vec<Plan>,
    facts: Arc<Mutex<Option<EngineFacts>>>,
    changes: broadcast::Sender<Change>,
    unrecorded: Arc<AtomicU64>,
    trouble: Arc<Mutex<Option<Fault>>>,
    flushed: bool,
    /// Packs older frames of the journal better, beside the writer.
    tidying: Option<JoinHandle<Option<Tidied>>>,
}

/// A way to the writer; cheap to clone.
#[derive(Clone)]
pub struct WriterHandle {
    sender: SyncSender<Message>,
    changes: broadcast::Sender<Change>,
    facts: Arc<Mutex<Option<EngineFacts>>>,
    unrecorded: Arc<AtomicU64>,
    trouble: Arc<Mutex<Option<Fault>>>,
}

/// The writer thread. Dropping it stops the thread after what is queued is written.
pub struct Writer {
    handle: WriterHandle,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Takes the log over. `projections` are folded up to its end.
    pub fn start(log: Log, projections: Projections, zone: Zone, plans: Vec<Plan>) -> Writer {
        let (sender, receiver) = sync_channel(QUEUE_MESSAGES_MAX);
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        let facts = Arc::<Mutex<Option<EngineFacts>>>::default();
        let unrecorded = Arc::<AtomicU64>::default();
        let trouble = Arc::<Mutex<Option<Fault>>>::default();
        let owner = Owner {
            log,
            projections,
            zone,
            plans,
            facts: facts.clone(),
            changes: changes.clone(),
            unrecorded: unrecorded.clone(),
            trouble: trouble.clone(),
            flushed: true,
            tidying: None,
        };
        let thread = std::thread::Builder::new()
            .name("tollbar-writer".into())
            .spawn(move || owner.run(&receiver))
            .expect("the system gives a thread to a program that starts");
        Writer { handle: WriterHandle { sender, changes, facts, unrecorded, trouble }, thread: Some(thread) }
    }

    /// A way to it.
    pub fn handle(&self) -> &WriterHandle {
        &self.handle
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A writer that is gone already has nothing left to stop.
            let _ = self.handle.sender.send(Message::Stop);
            let _ = thread.join();
        }
    }
}

impl WriterHandle {
    /// Asks a question and waits for the answer.
    pub fn ask<Q: Query>(&self, query: Q) -> Result<Q::Answer, Fault> {
        self.with(move |owner| owner.answer(&query))?
    }

    /// Tells a command and waits until it is on the disk or refused.
    pub fn tell(&self, command: Command) -> Result<Told, Fault> {
        self.with(move |owner| owner.tell(command))?
    }

    /// Hands sightings over; waits only while the queue is full. They are on the disk soon, and tried again while the disk is full.
    pub fn seen(&self, sightings: Vec<Sighting>) {
        let calls = sightings.len() as u64;
        if calls > 0 && self.sender.send(Message::Seen(sightings)).is_err() {
            self.unrecorded.fetch_add(calls, Ordering::Relaxed);
        }
    }

    /// Calls that were seen but not written.
    pub fn unrecorded(&self) -> u64 {
        self.unrecorded.load(Ordering::Relaxed)
    }

    /// What keeps the log from being written now, if anything does.
    pub fn trouble(&self) -> Option<Fault> {
        self.trouble.lock().expect("nobody panics while holding it").clone()
    }

    /// Every change from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// What the engine says of itself in answers.
    pub fn set_engine_facts(&self, facts: EngineFacts) {
        *self.facts.lock().expect("nobody panics while holding it") = Some(facts);
    }

    fn with<T: Send + 'static>(&self, job: impl FnOnce(&mut Owner) -> T + Send + 'static) -> Result<T, Fault> {
        let (reply, answer) = sync_channel(1);
        // The asker may have gone; then nobody misses the answer.
        let job: Answering = Box::new(move |owner| drop(reply.send(job(owner))));
        let gone = || Fault::new(FaultCode::Internal, "the writer of the log has stopped", "start tollbar again");
        self.sender.send(Message::Ask(job)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())
    }
}

impl Owner {
    fn run(mut self, receiver: &Receiver<Message>) {
        let mut waiting: Vec<Fact> = Vec::new();
        loop {
            let message = if self.flushed && waiting.is_empty() {
                receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                receiver.recv_timeout(FLUSH_AFTER)
            };
            let mut next = match message {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Message::Stop),
            };
            let idle = next.is_none();
            // Everything that lies ready goes into one batch, so that a burst costs one fsync.
            let mut asked = None;
            let mut stop = false;
            while let Some(message) = next.take() {
                match message {
                    Message::Seen(sightings) => waiting.extend(sightings.into_iter().map(|sighting| Fact::Seen(Box::new(sighting)))),
                    Message::Ask(job) => asked = Some(job),
                    Message::Stop => stop = true,
                }
                if asked.is_none() && !stop && waiting.len() < BATCH_FACTS_MAX {
                    next = receiver.try_recv().ok();
                }
            }
            self.write_waiting(&mut waiting);
            if let Some(job) = asked {
                job(&mut self);
            }
            if stop {
                self.unrecorded.fetch_add(waiting.len() as u64, Ordering::Relaxed);
                break;
            }
            if idle && waiting.is_empty() {
                self.flush();
            }
        }
        self.flush();
    }

    /// Writes what waits. What the disk does not take stays, up to a bound, and is tried again with the next message or timeout.
    fn write_waiting(&mut self, waiting: &mut Vec<Fact>) {
        if waiting.is_empty() {
            return;
        }
        match self.write(waiting) {
            Ok(_) => {
                *self.trouble.lock().expect("nobody panics while holding it") = None;
            }
            Err(fault) => {
                *self.trouble.lock().expect("nobody panics while holding it") = Some(fault);
                let excess = waiting.len().saturating_sub(WAITING_FACTS_MAX);
                self.unrecorded.fetch_add(excess as u64, Ordering::Relaxed);
                waiting.drain(..excess);
            }
        }
    }

    /// Appends and folds facts, then whatever alerts they make due, and publishes the change. On an error the list holds what was not written.
    fn write(&mut self, facts: &mut Vec<Fact>) -> Result<Told, Fault> {
        let now = clock::now();
        let refused_before = self.log.refused();
        let written = self.append(facts, now)?;
        let refused = self.log.refused() - refused_before;
        if written == 0 {
            return Ok(Told { seq: self.log.last(), entries: 0, refused });
        }
        // What is folded stays under the old prices where it cannot be folded under the new ones, and is at the next opening.
        if let Ok(Some(again)) = self.log.refolded(&self.projections) {
            self.projections = again;
        }
        let alerts = self.projections.alerts_due(now, self.zone, self.log.device());
        let mut raised: Vec<Fact> = alerts.iter().map(|alert| Fact::Event(Event::AlertRaised { alert: alert.clone() })).collect();
        // Nobody is told of an alert that the log did not take: it would be told again after a restart.
        let alerts = if raised.is_empty() || self.append(&mut raised, now).is_ok() { alerts } else { Vec::new() };
        self.flushed = false;
        // No listener is no fault.
        let _ = self.changes.send(Change { seq: self.log.last(), alerts: alerts.into() });
        Ok(Told { seq: self.log.last(), entries: written, refused })
    }

    fn append(&mut self, facts: &mut Vec<Fact>, now: events::Timestamp) -> Result<u64, Fault> {
        let mut written = 0;
        while !facts.is_empty() {
            let rest = facts.split_off(facts.len().min(BATCH_FACTS_MAX));
            let mut batch = std::mem::replace(facts, rest);
            match self.log.append(&mut batch, now) {
                Ok(entries) => {
                    entries.iter().for_each(|entry| self.projections.apply(entry));
                    written += entries.len() as u64;
                }
                Err(error) => {
                    batch.append(facts);
                    *facts = batch;
                    return Err(storage_fault(&error));
                }
            }
        }
        Ok(written)
    }

    fn tell(&mut self, command: Command) -> Result<Told, Fault> {
        if let Command::Rebuild {} = command {
            self.log.rebuild().map_err(|error| storage_fault(&error))?;
            return Ok(Told { seq: self.log.last(), ..Told::default() });
        }
        let mut facts = decide(command, &self.projections, clock::now())?;
        self.write(&mut facts)
    }

    fn answer<Q: Query>(&mut self, query: &Q) -> Result<Q::Answer, Fault> {
        // A store that cannot be opened now is said by the questions that need it.
        let _ = self.log.heal();
        match self.ask(query) {
            // The store is a copy: one that cannot be read is made again from the journal, and the question asked once more.
            Err(fault) if fault.code == FaultCode::Storage && self.log.rebuild_if_damaged().unwrap_or(false) => self.ask(query),
            answer => answer,
        }
    }

    fn ask<Q: Query>(&self, query: &Q) -> Result<Q::Answer, Fault> {
        let facts = self.facts.lock().expect("nobody panics while holding it").clone();
        let view = View { log: &self.log, projections: &self.projections, zone: self.zone, engine: facts.as_ref(), plans: &self.plans };
        query.answer(&view, clock::now())
    }

    fn flush(&mut self) {
        if !self.flushed {
            // The journal has everything; a store that cannot be flushed is completed at the next opening.
            let _ = self.log.flush();
            if self.log.since_checkpoint() > CHECKPOINT_ENTRIES {
                self.projections.settle();
                // Without one the next opening replays.
                let _ = self.log.checkpoint(&mut self.projections);
            }
            self.tidy();
            self.flushed = true;
        }
    }

    /// Puts what was packed in place, or begins to pack. What fails leaves the journal as it was, and is tried again another day.
    fn tidy(&mut self) {
        match self.tidying.take() {
            Some(thread) if !thread.is_finished() => self.tidying = Some(thread),
            Some(thread) => {
                if let Ok(Some(tidied)) = thread.join() {
                    let _ = self.log.tidied(tidied);
                }
            }
            None => {
                let tidy = self.log.tidy().ok().flatten();
                self.tidying = tidy.map(|tidy| std::thread::spawn(move || tidy.run().ok()));
            }
        }
    }
}
