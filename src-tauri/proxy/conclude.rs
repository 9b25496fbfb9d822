//! The end of an observed call: what was seen of it becomes sightings, here or, where tokens must be counted for it, on a thread of its own.

use super::{Stats, follow::Watched};
use crate::{engine::Recorder, estimate, meter::Ending};
use events::{Sighting, Timestamp};
use std::{
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// How many calls may wait for their tokens to be counted.
const ESTIMATES_MAX: usize = 512;
/// After how long without a count the tokenizer is given back.
const ESTIMATE_IDLE: Duration = Duration::from_secs(60);

/// A call that is over, and not concluded.
pub(super) struct Over {
    pub(super) call: Box<Watched>,
    pub(super) ending: Ending,
    pub(super) at: Timestamp,
}

impl Over {
    fn conclude(mut self, stats: &Stats) -> Vec<Sighting> {
        let sightings = self.call.meter.finish(self.ending, self.at);
        if self.call.meter.is_unread() {
            stats.passed_unmetered(self.call.upstream(), "POST", self.call.path());
        }
        self.call.own(sightings)
    }
}

/// Concludes the calls whose tokens must be counted here, on a thread of its own: counting takes long, and what passes meanwhile would not
/// fit into the queue.
pub(super) struct Estimator {
    stats: Arc<Stats>,
    sender: SyncSender<Over>,
    thread: JoinHandle<()>,
}

impl Estimator {
    pub(super) fn start(writer: &Recorder, stats: &Arc<Stats>) -> Estimator {
        let (sender, receiver) = sync_channel::<Over>(ESTIMATES_MAX);
        let (writer, counted) = (writer.clone(), stats.clone());
        let count = move || {
            loop {
                match receiver.recv_timeout(ESTIMATE_IDLE) {
                    Ok(over) => writer.seen(over.conclude(&counted)),
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {
                        estimate::release();
                        // An idle engine is not woken for nothing.
                        let Ok(over) = receiver.recv() else { break };
                        writer.seen(over.conclude(&counted));
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("tollbar-estimate".into()).spawn(count);
        Estimator { stats: stats.clone(), sender, thread: thread.expect("the system gives a thread to a program that starts") }
    }

    /// Concludes a call, here or there; what was concluded here. Where too many wait there, it is done here.
    pub(super) fn conclude(&self, mut over: Over) -> Vec<Sighting> {
        if over.call.meter.lacks_usage(over.ending) {
            match self.sender.try_send(over) {
                Ok(()) => return Vec::new(),
                Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) => over = back,
            }
        }
        over.conclude(&self.stats)
    }

    /// Waits until all are concluded.
    pub(super) fn finish(self) {
        drop(self.sender);
        // One that is gone has nothing left to conclude.
        let _ = self.thread.join();
    }
}
