//! Where sightings go, from the first moment on: into memory until the log is open, then to its writer.
//!
//! The proxy forwards whether or not the log can be opened. What waits here has a bound; what does not fit is counted.

use super::{Change, WriterHandle, reading::Reading, writer::CHANGES_MAX};
use crate::config::{Config, Home};
use events::{
    Seq, Sighting,
    query::{EngineFacts, Fault, FaultCode, Health, HealthAnswer, Query},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::broadcast;

/// How many sightings wait in memory for the log to be opened. More are given up, oldest first, and counted.
const WAITING_SIGHTINGS_MAX: usize = 16_384;
/// How many of them the writer gets at once.
const SIGHTINGS_AT_ONCE: usize = 512;
/// How long a question or command waits for a log that is being opened for the first time.
const OPEN_WAIT: Duration = Duration::from_secs(10);
/// The same for how everything is: that the log is not open is an answer, too.
const HEALTH_OPEN_WAIT: Duration = Duration::from_secs(2);

/// A way to the log, open or not; cheap to clone.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    changes: broadcast::Sender<Change>,
    home: Home,
    config: Config,
    /// What is read of a log that cannot be opened.
    reading: Mutex<Option<Reading>>,
    /// Sightings that were given up before the log was open.
    unrecorded: AtomicU64,
}

enum State {
    /// Not open yet. The fault says why, once an attempt has failed.
    Closed {
        waiting: VecDeque<Sighting>,
        fault: Option<Fault>,
    },
    Open(WriterHandle),
}

impl Recorder {
    pub(super) fn new(home: &Home, config: &Config) -> Recorder {
        let state = Mutex::new(State::Closed { waiting: VecDeque::new(), fault: None });
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        Recorder(Arc::new(Shared {
            state,
            changed: Condvar::new(),
            changes,
            home: home.clone(),
            config: config.clone(),
            reading: Mutex::default(),
            unrecorded: AtomicU64::new(0),
        }))
    }

    /// Takes sightings. Waits only while the writer's queue is full.
    pub fn seen(&self, sightings: Vec<Sighting>) {
        let writer = match &mut *self.state() {
            State::Open(writer) => writer.clone(),
            State::Closed { waiting, .. } => {
                waiting.extend(sightings);
                let excess = waiting.len().saturating_sub(WAITING_SIGHTINGS_MAX);
                waiting.drain(..excess);
                self.0.unrecorded.fetch_add(excess as u64, Ordering::Relaxed);
                return;
            }
        };
        writer.seen(sightings);
    }

    /// The log is open: what waited goes to its writer first.
    pub(super) fn open(&self, writer: &WriterHandle) {
        loop {
            let batch: Vec<Sighting> = match &mut *self.state() {
                State::Closed { waiting, .. } => waiting.drain(..waiting.len().min(SIGHTINGS_AT_ONCE)).collect(),
                State::Open(_) => Vec::new(),
            };
            if !batch.is_empty() {
                writer.seen(batch);
                continue;
            }
            let mut state = self.state();
            if let State::Closed { waiting, .. } = &*state
                && !waiting.is_empty()
            {
                continue;
            }
            *state = State::Open(writer.clone());
            drop(state);
            self.0.changed.notify_all();
            drop(self.0.reading.lock().unwrap_or_else(PoisonError::into_inner).take());
            return;
        }
    }

    /// The log could not be opened.
    pub(super) fn fails(&self, why: Fault) {
        if let State::Closed { fault, .. } = &mut *self.state() {
            *fault = Some(why);
            self.0.changed.notify_all();
        }
    }

    /// The writer, or why there is none. Waits a moment for a log that is being opened for the first time.
    pub(super) fn writer(&self) -> Result<WriterHandle, Fault> {
        self.writer_within(OPEN_WAIT)
    }

    fn writer_within(&self, wait: Duration) -> Result<WriterHandle, Fault> {
        match &*self.settled(wait) {
            State::Open(writer) => Ok(writer.clone()),
            State::Closed { fault: Some(fault), .. } => Err(fault.clone()),
            State::Closed { fault: None, .. } => Err(opening()),
        }
    }

    /// Why calls are not recorded now, if they are not.
    pub fn not_recording(&self) -> Option<Fault> {
        let writer = match &*self.state() {
            State::Open(writer) => writer.clone(),
            State::Closed { fault, .. } => return fault.clone(),
        };
        writer.trouble()
    }

    /// Sightings that were seen and are not recorded: those that were given up, and those that still wait for the log to be opened.
    pub fn unrecorded(&self) -> u64 {
        let here = self.0.unrecorded.load(Ordering::Relaxed);
        match &*self.state() {
            State::Open(writer) => here + writer.unrecorded(),
            State::Closed { waiting, .. } => here + waiting.len() as u64,
        }
    }

    /// Every change from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// Where the writer publishes its changes.
    pub(super) fn publisher(&self) -> broadcast::Sender<Change> {
        self.0.changes.clone()
    }

    /// Asks a question for somebody, and tells as of which entry it is answered. Where the asker goes, the log is read no further.
    pub(super) fn ask_for<Q: Query>(&self, asker: Option<&Weak<()>>, query: &Q, facts: EngineFacts) -> Result<(Seq, Q::Answer), Fault> {
        match self.writer() {
            Ok(writer) => {
                writer.set_engine_facts(facts);
                writer.ask_for(asker, query)
            }
            Err(fault) => self.read(|reading| Ok((reading.last(), reading.answer(query, Some(&facts))?))).unwrap_or(Err(fault)),
        }
    }

    /// Asks how everything is. Without a log, what the engine knows of itself is an answer, too.
    pub(super) fn health(&self, facts: EngineFacts) -> Result<HealthAnswer, Fault> {
        match self.writer_within(HEALTH_OPEN_WAIT) {
            Ok(writer) => {
                writer.set_engine_facts(facts);
                writer.health()
            }
            Err(_) => Ok(self.health_without_log(facts)),
        }
    }

    /// Asks what can be read of a log that cannot be opened; `None` where nothing can. Not while it is being opened for the first time.
    fn read<T>(&self, ask: impl FnOnce(&Reading) -> T) -> Option<T> {
        let Shared { home, config, reading, .. } = &*self.0;
        self.not_recording()?;
        let mut reading = reading.lock().unwrap_or_else(PoisonError::into_inner);
        if reading.as_ref().is_none_or(|reading| !reading.is_current(home)) {
            // The room of the old copy first.
            drop(reading.take());
            *reading = Some(Reading::of(home, config).ok()?);
        }
        reading.as_ref().map(ask)
    }

    fn health_without_log(&self, facts: EngineFacts) -> HealthAnswer {
        let Shared { home, config, .. } = &*self.0;
        let folder = home.log().display().to_string();
        let read = self.read(|reading| reading.answer(&Health::default(), Some(&facts)).ok()).flatten();
        if let Some(health) = read {
            // It was a copy that was mended.
            return HealthAnswer { folder, mended: Vec::new(), ..health };
        }
        HealthAnswer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            calls: 0,
            last_call_at: None,
            entries: 0,
            folder,
            journal_bytes: 0,
            price_book: String::new(),
            zone: config.zone.to_string(),
            mended: Vec::new(),
            engine: Some(facts),
        }
    }

    /// Returns once the first attempt to open the log has ended, or after a time.
    pub(super) fn settle(&self, wait: Duration) {
        drop(self.settled(wait));
    }

    fn settled(&self, wait: Duration) -> MutexGuard<'_, State> {
        let is_opening = |state: &mut State| matches!(state, State::Closed { fault: None, .. });
        let waited = self.0.changed.wait_timeout_while(self.state(), wait, is_opening);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn opening() -> Fault {
    let hint = "ask again in a moment; calls pass, and wait in memory to be recorded";
    Fault::new(FaultCode::Storage, "the log is still being opened", hint)
}
