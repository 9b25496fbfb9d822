//! Opens the log beside the proxy, and tries again until it is open.
//!
//! Calls pass from the first moment. A disk that is full, mounted for reading only or not there yet, a folder of another user, a limit of
//! file handles: each may pass, so none ends the engine.

use super::{
    Recorder, Writer,
    announcement::Announcement,
    folding::fold_if_due,
    importing::{self, Troubles, watch_clients},
    ledger::open_log,
    pricing,
};
use crate::{
    config::{Config, Home},
    diagnostics,
    logs::watch::Watch,
    priceupdate::Daily,
};
use events::{
    LogError,
    query::{Fault, FaultCode},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// The pause after a failed attempt, doubled each time up to a bound.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long another process may hold the log before that is told: a command is done soon.
const HELD_WAIT: Duration = Duration::from_secs(4);
/// How long the end of the engine waits for an attempt under way, so that what waits in memory is recorded. What the attempt has written by
/// then is whole.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// The same where nothing waits.
const STOP_WAIT_IDLE: Duration = Duration::from_millis(500);
const STOP_WAIT_STEP: Duration = Duration::from_millis(10);

/// What an open log brings.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) watches: Vec<Watch>,
    pub(super) price_updates: Option<Daily>,
    pub(super) writer: Option<Writer>,
}

/// The thread that opens the log. Dropping it ends the attempts.
pub(super) struct Opening {
    work: Arc<Work>,
    thread: Option<JoinHandle<()>>,
}

struct Work {
    home: Home,
    config: Config,
    recorder: Recorder,
    notes: Troubles,
    troubles: Troubles,
    parts: Mutex<Parts>,
    end: Mutex<End>,
    ending: Condvar,
}

/// How far the end of the engine has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Running,
    /// No further attempt is made.
    Stopped,
    /// Nobody waits for the attempt that is under way.
    Abandoned,
}

impl Opening {
    /// Begins to open the log. `notes` gets what is said of it once; `troubles` what the watchers of logs say.
    pub(super) fn start(
        home: &Home,
        config: &Config,
        recorder: &Recorder,
        notes: &Troubles,
        troubles: &Troubles,
        announcement: Announcement,
    ) -> Result<Opening, Fault> {
        let work = Arc::new(Work {
            home: home.clone(),
            config: config.clone(),
            recorder: recorder.clone(),
            notes: notes.clone(),
            troubles: troubles.clone(),
            parts: Mutex::default(),
            end: Mutex::new(End::Running),
            ending: Condvar::new(),
        });
        let working = work.clone();
        let run = move || working.run(announcement);
        let thread = std::thread::Builder::new().name("tollbar-opening".into()).spawn(run);
        let thread =
            thread.map_err(|error| Fault::new(FaultCode::Internal, format!("cannot start: {error}"), "check the limits of this user"))?;
        Ok(Opening { work, thread: Some(thread) })
    }

    /// Ends the attempts, and gives out what an open log brought.
    pub(super) fn finish(&mut self) -> Parts {
        *lock(&self.work.end) = End::Stopped;
        self.work.ending.notify_all();
        if let Some(thread) = self.thread.take() {
            let wait = if self.work.recorder.unrecorded() > 0 { STOP_WAIT } else { STOP_WAIT_IDLE };
            let until = Instant::now() + wait;
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(STOP_WAIT_STEP);
            }
        }
        *lock(&self.work.end) = End::Abandoned;
        std::mem::take(&mut *lock(&self.work.parts))
    }
}

impl Work {
    fn run(&self, mut announcement: Announcement) {
        let begun = Instant::now();
        let mut pause = PAUSE_MIN;
        let (mut is_open, mut told) = (false, None);
        loop {
            if !is_open {
                match catch_unwind(AssertUnwindSafe(|| self.open())).unwrap_or_else(|_| Err(Refusal::Fault(internal()))) {
                    Ok(()) => {
                        is_open = true;
                        if told.is_some() {
                            diagnostics::note("the log is open: calls are recorded from now on");
                        }
                    }
                    // It is not said of a command that is done in a moment.
                    Err(Refusal::Held(_)) if begun.elapsed() < HELD_WAIT => {}
                    Err(Refusal::Held(fault) | Refusal::Fault(fault)) => {
                        if told.as_ref() != Some(&fault) {
                            diagnostics::note(format_args!("calls pass and are not recorded: {fault}; {}", fault.hint));
                            told = Some(fault.clone());
                        }
                        self.recorder.fails(fault);
                    }
                }
            }
            let announced = announcement.publish();
            announcement.tell(announced.err());
            if (is_open && announcement.is_published()) || self.stops_within(pause) {
                return;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Opens the log and all that needs it.
    fn open(&self) -> Result<(), Refusal> {
        let Work { home, config, recorder, .. } = self;
        let (log, projections) = open_log(home).map_err(|error| Refusal::of(home, &error))?;
        let (log, projections, unfolded) = fold_if_due(home, config, log, projections).map_err(Refusal::Fault)?;
        let mended = log.mended().to_vec();
        let writer = Writer::publishing(log, projections, config.zone, config.plans.clone(), recorder.publisher());
        let handle = writer.handle().clone();
        let unpriced = pricing::keep_book(&handle).into_iter().chain(pricing::tell_configured(&handle, config));
        mended.into_iter().chain(unfolded).chain(unpriced).for_each(|note| importing::say(&self.notes, note));
        handle.step_back();
        {
            let end = lock(&self.end);
            if *end == End::Abandoned {
                return Ok(());
            }
            // Under the lock: who stops finds all of it, or none.
            recorder.open(&handle);
            lock(&self.parts).writer = Some(writer);
            if *end == End::Stopped {
                return Ok(());
            }
        }
        if config.watch_logs {
            let watches = watch_clients(home, &handle, &self.troubles);
            lock(&self.parts).watches = watches;
        }
        let troubles = self.troubles.clone();
        let updates = Daily::start(home, config, &handle, move |trouble| importing::say(&troubles, trouble));
        lock(&self.parts).price_updates = updates;
        Ok(())
    }

    /// Waits; whether the engine stops meanwhile.
    fn stops_within(&self, pause: Duration) -> bool {
        let waited = self.ending.wait_timeout_while(lock(&self.end), pause, |end| *end == End::Running);
        *waited.unwrap_or_else(PoisonError::into_inner).0 != End::Running
    }
}

/// Why the log is not open.
enum Refusal {
    /// Another process has it.
    Held(Fault),
    Fault(Fault),
}

impl Refusal {
    fn of(home: &Home, error: &LogError) -> Refusal {
        let fault = super::ledger::fault_of(home, error);
        if matches!(error, LogError::Held { .. }) { Refusal::Held(fault) } else { Refusal::Fault(fault) }
    }
}

fn internal() -> Fault {
    let hint = "see engine.log in the state folder; `tollbar ledger verify` says what is wrong with the log";
    Fault::new(FaultCode::Internal, "the log cannot be opened: an internal fault", hint)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
