//! The one thread that owns the log and the projections.
//!
//! It takes what is told in batches, appends, folds, raises the alerts that are due, and publishes what changed. What questions are answered
//! from it gives out between batches (`asking.rs`), so that an answer always shows whole ones.

use super::{
    asking::{Asking, State},
    beside::{Beside, Reply},
    ledger::storage_fault,
};
use crate::{clock, memory, priority};
use events::{
    Alert, Command, Event, Fact, Log, LogError, Projections, Seq, Sighting, Zone, decide,
    log::{BATCH_FACTS_MAX, KeysError, Snapshot, Tidied},
    names,
    query::{EngineFacts, Fault, FaultCode, Health, HealthAnswer, Plan},
};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::broadcast;

/// How many messages may wait for the writer, each of some hundred sightings at most.
const QUEUE_MESSAGES_MAX: usize = 64;
/// How long an answer to how everything is may take: that the writer gives none is an answer, too.
const HEALTH_WAIT: Duration = Duration::from_secs(2);
/// How often the queue is tried where there is no waiting for it.
const HEALTH_WAIT_STEP: Duration = Duration::from_millis(10);
/// How many facts wait in memory while the disk does not take them. More are given up, oldest first, and counted.
const WAITING_FACTS_MAX: usize = 16_384;
/// How long after a write the next one may wait for more to write: an fsync costs as much for hundreds of calls as for one. What comes
/// after a pause is written at once, and so is everything before a question.
const GATHER: Duration = Duration::from_millis(20);
/// How many changes a slow listener may lag behind before it misses some and has to ask again.
pub(super) const CHANGES_MAX: usize = 256;
/// After so long without anything to write, the store is flushed, so that the next start has nothing to catch up on.
const FLUSH_AFTER: Duration = Duration::from_secs(2);
/// A checkpoint is written when an opening would have to fold more than this, once nothing is to be written; so many take a few milliseconds.
const CHECKPOINT_ENTRIES: u64 = 8_192;

/// What is said of a writer that does not answer.
const HELD_UP: &str = "the disk holds up the log, or it counts all calls again: what it was last told stands here, calls pass, and those that cannot wait are counted";

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

pub(super) type Answering = Box<dyn FnOnce(&mut Owner) + Send>;

pub(super) enum Message {
    /// Sightings from the proxy or a watcher, already acknowledged by nobody: they are retried until the disk takes them.
    Seen(Vec<Sighting>),
    /// Anything that wants an answer.
    Ask(Answering),
    /// Work beside the log is done.
    Wake,
    Stop,
}

/// What the writer thread owns.
pub(super) struct Owner {
    pub(super) log: Log,
    pub(super) projections: Projections,
    pub(super) beside: Beside,
    zone: Zone,
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
    pub(super) asking: Arc<Asking>,
    facts: Arc<Mutex<Option<EngineFacts>>>,
    unrecorded: Arc<AtomicU64>,
    trouble: Arc<Mutex<Option<Fault>>>,
    /// The last answer to how everything is.
    health: Arc<Mutex<Option<HealthAnswer>>>,
}

/// The writer thread. Dropping it stops the thread after what is queued is written.
pub struct Writer {
    handle: WriterHandle,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Takes the log over. `projections` are folded up to its end.
    pub fn start(log: Log, projections: Projections, zone: Zone, plans: Vec<Plan>) -> Writer {
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        Writer::publishing(log, projections, zone, plans, changes)
    }

    /// The same, with changes published to listeners that were there before the log was open.
    pub(super) fn publishing(
        log: Log,
        projections: Projections,
        zone: Zone,
        plans: Vec<Plan>,
        changes: broadcast::Sender<Change>,
    ) -> Writer {
        let (sender, receiver) = sync_channel(QUEUE_MESSAGES_MAX);
        let facts = Arc::<Mutex<Option<EngineFacts>>>::default();
        let unrecorded = Arc::<AtomicU64>::default();
        let trouble = Arc::<Mutex<Option<Fault>>>::default();
        let mut owner = Owner {
            log,
            projections,
            beside: Beside::new(sender.clone()),
            zone,
            changes: changes.clone(),
            unrecorded: unrecorded.clone(),
            trouble: trouble.clone(),
            flushed: true,
            tidying: None,
        };
        let asking = Arc::new(Asking::new(zone, plans));
        let health = Arc::new(Mutex::new(asking.answer(&Health {}, &owner.state(), None).ok()));
        let thread = std::thread::Builder::new()
            .name("tollbar-writer".into())
            .spawn(move || owner.run(&receiver))
            .expect("the system gives a thread to a program that starts");
        Writer { handle: WriterHandle { sender, changes, asking, facts, unrecorded, trouble, health }, thread: Some(thread) }
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
    /// Asks how everything is. Of a writer that is held up the last answer is given, and that is said.
    pub fn health(&self) -> Result<HealthAnswer, Fault> {
        let (reply, answer) = sync_channel(1);
        let mut message = Message::Ask(Box::new(move |owner| drop(reply.send(owner.state()))));
        let until = Instant::now() + HEALTH_WAIT;
        let mut last = self.health.lock().expect("nobody panics while holding it");
        while let Err(TrySendError::Full(back)) = self.sender.try_send(message) {
            message = back;
            if Instant::now() >= until {
                break;
            }
            std::thread::sleep(HEALTH_WAIT_STEP);
        }
        match answer.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(state) => {
                let health = self.asking.answer(&Health {}, &state, self.engine_facts().as_ref());
                health.inspect(|health| *last = Some(health.clone()))
            }
            Err(RecvTimeoutError::Timeout) => {
                let mut health = last.clone().ok_or_else(writer_gone)?;
                health.engine = self.engine_facts();
                if let Some(engine) = &mut health.engine {
                    engine.warnings.push(HELD_UP.to_owned());
                }
                Ok(health)
            }
            Err(RecvTimeoutError::Disconnected) => Err(writer_gone()),
        }
    }

    /// Tells a command and waits until it is on the disk or refused.
    pub fn tell(&self, command: Command) -> Result<Told, Fault> {
        let (reply, answer) = sync_channel(1);
        let job: Answering = Box::new(move |owner| owner.tell(command, reply));
        self.sender.send(Message::Ask(job)).map_err(|_| writer_gone())?;
        answer.recv().map_err(|_| writer_gone())?
    }

    /// Hands sightings over; waits only while the queue is full. They are on the disk soon, and tried again while the disk is full.
    pub fn seen(&self, sightings: Vec<Sighting>) {
        let calls = sightings.len() as u64;
        if calls > 0 && self.sender.send(Message::Seen(sightings)).is_err() {
            self.unrecorded.fetch_add(calls, Ordering::Relaxed);
        }
    }

    /// Lets what somebody waits for go before the writing.
    pub fn step_back(&self) {
        // A writer that is gone has nothing to write.
        let _ = self.with(|_| priority::step_back());
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

    /// What the engine says of itself.
    pub(super) fn engine_facts(&self) -> Option<EngineFacts> {
        self.facts.lock().expect("nobody panics while holding it").clone()
    }

    /// Has the writer do something between two batches, after all that waits is written.
    pub(super) fn with<T: Send + 'static>(&self, job: impl FnOnce(&mut Owner) -> T + Send + 'static) -> Result<T, Fault> {
        let (reply, answer) = sync_channel(1);
        // The asker may have gone; then nobody misses the answer.
        let job: Answering = Box::new(move |owner| drop(reply.send(job(owner))));
        self.sender.send(Message::Ask(job)).map_err(|_| writer_gone())?;
        answer.recv().map_err(|_| writer_gone())
    }
}

fn writer_gone() -> Fault {
    Fault::new(FaultCode::Internal, "the writer of the log has stopped", "start tollbar again")
}

impl Owner {
    fn run(mut self, receiver: &Receiver<Message>) {
        let mut waiting: Vec<Fact> = Vec::new();
        // When what waits is written.
        let mut due = Instant::now();
        loop {
            let until_due = (!waiting.is_empty()).then(|| due.saturating_duration_since(Instant::now()));
            let until_flush = (!self.flushed).then_some(FLUSH_AFTER);
            let wait = [until_due, until_flush, self.heal_wait()].into_iter().flatten().min();
            let message = match wait {
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(wait) => receiver.recv_timeout(wait),
            };
            let idle = message.is_err() && waiting.is_empty();
            let (mut asked, mut stop) = (None, false);
            match message {
                Ok(Message::Seen(sightings)) => waiting.extend(sightings.into_iter().map(|mut sighting| {
                    names::clean(&mut sighting.usage, &self.projections);
                    Fact::Seen(Box::new(sighting))
                })),
                Ok(Message::Ask(job)) => asked = Some(job),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => stop = true,
                Ok(Message::Wake) | Err(RecvTimeoutError::Timeout) => {}
            }
            if asked.is_some() || stop || waiting.len() >= BATCH_FACTS_MAX || Instant::now() >= due {
                due = Instant::now() + self.write_waiting(&mut waiting);
            }
            if let Some(job) = asked {
                job(&mut self);
            }
            self.tend();
            if stop {
                self.unrecorded.fetch_add(waiting.len() as u64, Ordering::Relaxed);
                break;
            }
            if idle {
                self.flush();
            }
        }
        self.beside.stop();
        self.flush();
    }

    /// Writes what waits, and says how long the next write may. What the disk does not take stays, up to a bound, and is tried again then.
    fn write_waiting(&mut self, waiting: &mut Vec<Fact>) -> Duration {
        if waiting.is_empty() {
            return Duration::ZERO;
        }
        match self.write(waiting) {
            Ok(_) => {
                self.say_trouble(None);
                GATHER
            }
            Err(fault) => {
                self.say_trouble(Some(fault));
                let excess = waiting.len().saturating_sub(WAITING_FACTS_MAX);
                self.unrecorded.fetch_add(excess as u64, Ordering::Relaxed);
                waiting.drain(..excess);
                FLUSH_AFTER
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
        self.raise_alerts(now);
        self.begin_to_fold();
        Ok(Told { seq: self.log.last(), entries: written, refused })
    }

    /// Writes the alerts that are due, and publishes that the log or what is folded from it changed.
    pub(super) fn raise_alerts(&mut self, now: events::Timestamp) {
        let alerts = self.projections.alerts_due(now, self.zone, self.log.device());
        let mut raised: Vec<Fact> = alerts.iter().map(|alert| Fact::Event(Event::AlertRaised { alert: alert.clone() })).collect();
        // Nobody is told of an alert that the log did not take: it would be told again after a restart.
        let alerts = if raised.is_empty() || self.append(&mut raised, now).is_ok() { alerts } else { Vec::new() };
        self.flushed = false;
        // No listener is no fault.
        let _ = self.changes.send(Change { seq: self.log.last(), alerts: alerts.into() });
    }

    /// Publishes what keeps calls from being recorded or read, if anything does.
    pub(super) fn say_trouble(&self, fault: Option<Fault>) {
        let store = || self.log.store_trouble().map(|(cause, hint)| Fault::new(FaultCode::Storage, cause, hint));
        *self.trouble.lock().expect("nobody panics while holding it") = fault.or_else(store);
    }

    fn append(&mut self, facts: &mut Vec<Fact>, now: events::Timestamp) -> Result<u64, Fault> {
        let mut written = 0;
        while !facts.is_empty() {
            let rest = facts.split_off(facts.len().min(BATCH_FACTS_MAX));
            let mut batch = std::mem::replace(facts, rest);
            match self.log.append_beside(&mut batch, now) {
                Ok(entries) => {
                    entries.iter().for_each(|entry| self.projections.apply(entry));
                    written += entries.len() as u64;
                }
                Err(error) => {
                    batch.append(facts);
                    *facts = batch;
                    if matches!(error, LogError::Keys(_)) {
                        // Which calls are known is read from the journal again, beside the log.
                        self.beside.is_index_damaged = true;
                        self.begin_to_rebuild(true);
                    }
                    return Err(storage_fault(&error));
                }
            }
        }
        Ok(written)
    }

    /// Takes a command and replies once it is done, which may be after work beside the log.
    pub(super) fn tell(&mut self, command: Command, reply: Reply) {
        // An asker that has gone misses no answer.
        match command {
            Command::Rebuild {} => self.rebuild_for(reply),
            Command::LogUsage { .. } | Command::Match { .. } | Command::Remeter { .. } => {
                match decide(command, &self.projections, clock::now()) {
                    Ok(facts) => self.take(facts, reply),
                    Err(fault) => drop(reply.send(Err(fault))),
                }
            }
            Command::SetBudget { .. }
            | Command::RemoveBudget { .. }
            | Command::AdoptPriceBook { .. }
            | Command::TakePrices { .. }
            | Command::PinPriceBook {}
            | Command::SetPrice { .. }
            | Command::UnsetPrice { .. }
            | Command::MultiplyPrices { .. }
            | Command::RenameProjects { .. }
            | Command::RestoreProject { .. } => {
                // What it comes to depends on the prices that are being folded in.
                if self.is_folding() {
                    return self.tell_later(command, reply);
                }
                let told = self.decide(command);
                if told.is_ok() && self.is_folding() { self.reply_when_folded(told, reply) } else { drop(reply.send(told)) }
            }
        }
    }

    /// Writes facts and replies; where the key index must be made again first, once that is done.
    pub(super) fn take(&mut self, mut facts: Vec<Fact>, reply: Reply) {
        let told = self.write(&mut facts);
        if told.is_err() && self.beside.is_index_damaged { self.take_later(facts, reply) } else { drop(reply.send(told)) }
    }

    fn decide(&mut self, command: Command) -> Result<Told, Fault> {
        let mut facts = decide(command, &self.projections, clock::now())?;
        self.write(&mut facts)
    }

    /// What questions are answered from, now.
    pub(super) fn state(&mut self) -> State {
        State { log: self.log.snapshot(), projections: self.projections.snapshot() }
    }

    /// Begins to make the store anew that a question could not read, unless that was done since.
    pub(super) fn rebuild_damaged(&mut self, read: &Snapshot) {
        // One that failed is made anew in its time.
        if self.log.has_store_of(read) && !self.log.is_store_lacking() {
            self.begin_to_rebuild(false);
        }
    }

    fn flush(&mut self) {
        if !self.flushed {
            let is_checkpoint_due = self.log.since_checkpoint() > CHECKPOINT_ENTRIES;
            let flushed = std::thread::scope(|scope| {
                if is_checkpoint_due {
                    scope.spawn(|| self.projections.settle());
                }
                self.log.flush()
            });
            // The journal has everything; a store that cannot be flushed is completed at the next opening, or made anew.
            if let Err(LogError::Keys(KeysError::Damaged { .. })) = flushed {
                self.begin_to_rebuild(true);
            }
            if is_checkpoint_due {
                // Without one the next opening replays.
                let _ = self.log.checkpoint(&mut self.projections);
            }
            self.tidy();
            self.flushed = true;
            memory::give_back();
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
            // A rebuild may write the same files anew.
            None if self.is_rebuilding() => {}
            None => {
                let tidy = self.log.tidy().ok().flatten();
                self.tidying = tidy.map(|tidy| std::thread::spawn(move || tidy.run().ok()));
            }
        }
    }
}
