//! Where the figures come from: the engine that runs already, or our own.
//!
//! One thread finds an engine or becomes it, asks whenever something changed, and asks nothing while nothing does. When another
//! process's engine goes, this one takes its place, so that calls go on being counted.

use events::{
    Alert, Day, Period, Zone,
    query::{Budgets, BudgetsAnswer, Fault, FaultCode, Health, Query, Today, TodayAnswer},
};
use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};
use tokio::{
    runtime::Runtime,
    sync::{Notify, broadcast, broadcast::error::RecvError},
    time::sleep,
};
use tollbar_app::{
    clock,
    config::{Config, Home},
    engine::{Change, ControlClient, Engine, Running},
};

/// At most four rounds of questions a second, however fast calls come in.
const ROUND_EVERY: Duration = Duration::from_millis(250);
/// A day ends while nothing happens, perhaps while the machine sleeps: the date is looked at this often, and nothing is asked.
const DATE_LOOK_EVERY: Duration = Duration::from_secs(600);
/// How long the log or the port may be in the hands of a process that is going.
const START_WAIT: Duration = Duration::from_secs(5);
const START_WAIT_STEP: Duration = Duration::from_millis(100);
/// How often to try again while no engine can be had.
const RETRY_EVERY: Duration = Duration::from_secs(5);
/// How long our engine may take to finish. What it recorded is on the disk already.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// How many changes of another process's engine may wait; what asks again misses nothing by asking once for many.
const HEARD_MAX: usize = 256;

/// What the screen learns.
#[derive(Debug)]
pub(crate) enum News {
    /// The figures as they stand, and why calls are not recorded now, if they are not.
    Figures(Box<TodayAnswer>, BudgetsAnswer, Option<Fault>),
    /// A budget crossed a threshold just now; its period, if it is still known.
    Alert(Alert, Option<Period>),
    /// There is no engine now; it is tried again.
    Trouble(Fault),
    /// It is over: somebody stopped our engine, or it could not be started at all.
    Ended(Result<(), Fault>),
}

/// The thread. Dropping it stops our engine, if it is ours.
pub(crate) struct Feed {
    quit: Arc<Notify>,
    ended: mpsc::Receiver<()>,
}

impl Feed {
    /// Begins to find or start an engine, and to tell.
    pub(crate) fn start(home: Home, tell: impl Fn(News) + Send + 'static) -> Result<Feed, Fault> {
        let failed =
            |error: std::io::Error| Fault::new(FaultCode::Internal, format!("cannot start: {error}"), "check the limits of this user");
        let quit = Arc::<Notify>::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (end, ended) = mpsc::channel();
        let follower = Follower { home, quit: quit.clone(), runtime, tell: Box::new(tell) };
        let run = move || {
            follower.run();
            // Whoever waited may have given up.
            let _ = end.send(());
        };
        thread::Builder::new().name("tollbar-feed".into()).spawn(run).map_err(failed)?;
        Ok(Feed { quit, ended })
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.quit.notify_one();
        // An engine that does not finish in time is ended with the process.
        let _ = self.ended.recv_timeout(STOP_WAIT);
    }
}

/// The engine that is followed.
enum Source {
    Own { running: Box<Running>, changes: broadcast::Receiver<Change> },
    Other { client: ControlClient, heard: tokio::sync::mpsc::Receiver<Vec<Alert>> },
}

/// What comes from it.
enum Heard {
    Change(Vec<Alert>),
    /// Our engine was told to stop.
    Stop,
    /// The other process's engine is gone.
    Gone,
}

/// Why following ended.
enum End {
    Quit,
    Stop,
    Gone,
}

struct Follower {
    home: Home,
    quit: Arc<Notify>,
    runtime: Runtime,
    tell: Box<dyn Fn(News) + Send>,
}

impl Follower {
    fn run(&self) {
        let mut had_one = false;
        loop {
            let end = match self.connect() {
                Ok(mut source) => {
                    had_one = true;
                    self.runtime.block_on(self.follow(&mut source))
                }
                // Without an engine at the first try, there is nothing to stay for.
                Err(fault) if !had_one => return (self.tell)(News::Ended(Err(fault))),
                Err(fault) => {
                    (self.tell)(News::Trouble(fault));
                    self.runtime.block_on(self.pause(RETRY_EVERY))
                }
            };
            match end {
                End::Quit => return,
                End::Stop => return (self.tell)(News::Ended(Ok(()))),
                End::Gone => {}
            }
        }
    }

    /// Knocks, else starts an engine; tries for a moment, because the last owner may be on its way out.
    fn connect(&self) -> Result<Source, Fault> {
        let begun = Instant::now();
        loop {
            if let Some(client) = ControlClient::knock(&self.home)? {
                return Ok(Source::other(client));
            }
            match (Engine { home: self.home.clone(), config: Config::read(&self.home)? }).start() {
                Ok(running) => return Ok(Source::Own { changes: running.changes(), running: Box::new(running) }),
                Err(fault) if begun.elapsed() >= START_WAIT => return Err(fault),
                Err(_) => thread::sleep(START_WAIT_STEP),
            }
        }
    }

    async fn follow(&self, source: &mut Source) -> End {
        loop {
            let asked = Instant::now();
            let (day, zone, is_recording) = match source.figures() {
                Ok((today, budgets)) => {
                    let day = (today.day, today.zone.parse::<Zone>().unwrap_or_default());
                    let fault = source.not_recording();
                    let is_recording = fault.is_none();
                    (self.tell)(News::Figures(Box::new(today), budgets, fault));
                    (day.0, day.1, is_recording)
                }
                // Our own engine goes on without its log, and opens it when it can.
                Err(fault) if matches!(source, Source::Own { .. }) => {
                    (self.tell)(News::Trouble(fault));
                    if let Some(end) = self.pause_with(source, RETRY_EVERY).await {
                        return end;
                    }
                    continue;
                }
                Err(fault) => {
                    (self.tell)(News::Trouble(fault));
                    return self.pause(RETRY_EVERY).await;
                }
            };
            let look = if is_recording { DATE_LOOK_EVERY } else { RETRY_EVERY };
            if let Some(end) = self.until_due(source, asked, day, zone, look).await {
                return end;
            }
        }
    }

    /// Waits until there is a reason to ask again: something changed, or another day has begun. Alerts are told as they come.
    async fn until_due(&self, source: &mut Source, asked: Instant, day: Day, zone: Zone, look: Duration) -> Option<End> {
        // An engine that does not record changes nothing, and may begin to record at any time.
        let mut changed = look < DATE_LOOK_EVERY;
        let round = if changed { look } else { ROUND_EVERY };
        loop {
            let wait = if changed { round.saturating_sub(asked.elapsed()) } else { until_midnight(day, zone).min(look) };
            tokio::select! {
                () = self.quit.notified() => return Some(End::Quit),
                heard = source.hear() => match heard {
                    Heard::Change(alerts) => {
                        changed = true;
                        self.tell_alerts(source, alerts);
                    }
                    Heard::Stop => return Some(End::Stop),
                    Heard::Gone => return Some(End::Gone),
                },
                () = sleep(wait) => {
                    if changed || zone.day(clock::now()) != day {
                        return None;
                    }
                }
            }
        }
    }

    fn tell_alerts(&self, source: &Source, alerts: Vec<Alert>) {
        if alerts.is_empty() {
            return;
        }
        let budgets = source.ask(Budgets::default()).map(|answer| answer.budgets).unwrap_or_default();
        for alert in alerts {
            let period = budgets.iter().find(|state| state.budget.name == alert.budget).map(|state| state.budget.period);
            (self.tell)(News::Alert(alert, period));
        }
    }

    /// Waits beside our own engine; why it ended, if it did.
    async fn pause_with(&self, source: &mut Source, time: Duration) -> Option<End> {
        tokio::select! {
            () = self.quit.notified() => Some(End::Quit),
            () = sleep(time) => None,
            heard = source.hear() => match heard {
                Heard::Change(_) => None,
                Heard::Stop => Some(End::Stop),
                Heard::Gone => Some(End::Gone),
            },
        }
    }

    async fn pause(&self, time: Duration) -> End {
        tokio::select! {
            () = self.quit.notified() => End::Quit,
            () = sleep(time) => End::Gone,
        }
    }
}

impl Source {
    /// Watches another process's engine on a thread that waits for it; the thread ends with that engine.
    fn other(client: ControlClient) -> Source {
        let (sender, heard) = tokio::sync::mpsc::channel(HEARD_MAX);
        let watched = client.clone();
        thread::spawn(move || {
            let mut alerts = Vec::new();
            // How the watch ended says nothing that its end does not.
            let _ = watched.watch(|event, data| {
                match event {
                    "alert" => alerts.extend(serde_json::from_str::<Alert>(data)),
                    "changed" => return sender.blocking_send(std::mem::take(&mut alerts)).is_ok(),
                    _ => {}
                }
                true
            });
        });
        Source::Other { client, heard }
    }

    fn ask<Q: Query>(&self, query: Q) -> Result<Q::Answer, Fault> {
        match self {
            Source::Own { running, .. } => running.ask(&query),
            Source::Other { client, .. } => client.ask(&query),
        }
    }

    fn not_recording(&self) -> Option<Fault> {
        match self {
            Source::Own { running, .. } => running.not_recording(),
            Source::Other { client, .. } => client.ask(&Health::default()).ok()?.engine?.not_recording,
        }
    }

    fn figures(&self) -> Result<(TodayAnswer, BudgetsAnswer), Fault> {
        Ok((self.ask(Today::default())?, self.ask(Budgets::default())?))
    }

    async fn hear(&mut self) -> Heard {
        match self {
            Source::Own { running, changes } => tokio::select! {
                () = running.asked_to_stop() => Heard::Stop,
                change = changes.recv() => match change {
                    Ok(change) => Heard::Change(change.alerts.to_vec()),
                    Err(RecvError::Lagged(_)) => Heard::Change(Vec::new()),
                    Err(RecvError::Closed) => Heard::Stop,
                },
            },
            Source::Other { heard, .. } => heard.recv().await.map_or(Heard::Gone, Heard::Change),
        }
    }
}

/// Never nothing: a clock that stands still must not make a loop that runs.
fn until_midnight(day: Day, zone: Zone) -> Duration {
    let micros = zone.midnight(day.plus(1)).micros().saturating_sub(clock::now().micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0)).max(Duration::from_secs(1))
}
