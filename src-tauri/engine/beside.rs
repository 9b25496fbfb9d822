//! Long work beside the writer: making the store anew and folding everything again.
//!
//! The writer begins it, goes on taking calls, and swaps the result in. Commands that need the result wait for it; calls never do.

use super::{
    Told,
    ledger::storage_fault,
    writer::{Message, Owner},
};
use crate::clock;
use events::{
    Command, Fact, LogError,
    log::{Finished, Rebuild, Rebuilt, Refolded},
    query::{Fault, FaultCode},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long after a store failed it is made anew, the first time.
const HEAL_AFTER_MIN: Duration = Duration::from_secs(1);
/// And at most, if it fails again and again: each time twice as long as before.
const HEAL_AFTER_MAX: Duration = Duration::from_secs(60);
/// A store that works for so long is not the same trouble again.
const HEALED_AFTER: Duration = Duration::from_secs(300);
/// How many commands may wait for work beside the log. More are refused.
const COMMANDS_WAITING_MAX: usize = 64;

/// Where the answer to a command goes.
pub(super) type Reply = SyncSender<Result<Told, Fault>>;

/// A thread and what it will say.
struct Work<T> {
    result: Receiver<Result<T, LogError>>,
    thread: JoinHandle<()>,
}

/// What is being done beside the writer, and who waits for it.
pub(super) struct Beside {
    /// Wakes the writer when something is done.
    sender: SyncSender<Message>,
    /// Work is given up once this is gone.
    alive: Option<Arc<()>>,
    rebuilding: Option<Work<Rebuilt>>,
    rebuild_replies: Vec<Reply>,
    folding: Option<Work<Refolded>>,
    fold_replies: Vec<(Result<Told, Fault>, Reply)>,
    commands: VecDeque<(Command, Reply)>,
    /// Whether the key index cannot be read until it is made anew.
    pub(super) is_index_damaged: bool,
    facts: VecDeque<(Vec<Fact>, Reply)>,
    heal_at: Option<Instant>,
    heal_after: Duration,
    healed_at: Option<Instant>,
}

impl Beside {
    pub(super) fn new(sender: SyncSender<Message>) -> Beside {
        Beside {
            sender,
            alive: Some(Arc::new(())),
            rebuilding: None,
            rebuild_replies: Vec::new(),
            folding: None,
            fold_replies: Vec::new(),
            commands: VecDeque::new(),
            is_index_damaged: false,
            facts: VecDeque::new(),
            heal_at: None,
            heal_after: HEAL_AFTER_MIN,
            healed_at: None,
        }
    }

    fn start<T: Send + 'static>(&self, name: &str, work: impl FnOnce() -> Result<T, LogError> + Send + 'static) -> Option<Work<T>> {
        let (done, result) = sync_channel(1);
        let sender = self.sender.clone();
        let run = move || {
            crate::priority::step_back();
            // A writer that stopped needs no result.
            let _ = done.send(work());
            // One whose queue is full is awake.
            let _ = sender.try_send(Message::Wake);
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(run).ok()?;
        Some(Work { result, thread })
    }

    /// Gives up what is not done, and waits until it holds nothing of the log any more.
    pub(super) fn stop(&mut self) {
        self.alive = None;
        let threads = [self.rebuilding.take().map(|work| work.thread), self.folding.take().map(|work| work.thread)];
        // A thread that panicked has nothing to give.
        threads.into_iter().flatten().for_each(|thread| drop(thread.join()));
    }
}

impl<T> Work<T> {
    /// The result, once it is there.
    fn poll(&self) -> Option<Result<T, LogError>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(LogError::Unwanted)),
        }
    }
}

impl Owner {
    pub(super) fn is_rebuilding(&self) -> bool {
        self.beside.rebuilding.is_some()
    }

    pub(super) fn is_folding(&self) -> bool {
        self.beside.folding.is_some()
    }

    /// Takes what is done, and begins what is due.
    pub(super) fn tend(&mut self) {
        if let Some(done) = self.beside.rebuilding.as_ref().and_then(Work::poll) {
            self.beside.rebuilding = None;
            self.finish_rebuild(done);
        }
        if let Some(done) = self.beside.folding.as_ref().and_then(Work::poll) {
            self.beside.folding = None;
            self.finish_folding(done);
        }
        if self.heal_wait().is_some_and(|wait| wait.is_zero()) {
            self.beside.heal_at = None;
            if self.log.is_to_be_healed() {
                self.begin_to_rebuild(false);
            } else {
                self.put_off_healing();
            }
        }
    }

    /// How long until the store is looked after; `None` where it works, or is being made anew.
    pub(super) fn heal_wait(&mut self) -> Option<Duration> {
        if !self.log.is_store_lacking() || self.is_rebuilding() {
            return None;
        }
        let now = Instant::now();
        if self.beside.healed_at.take_if(|healed_at| now.duration_since(*healed_at) > HEALED_AFTER).is_some() {
            self.beside.heal_after = HEAL_AFTER_MIN;
        }
        let heal_at = *self.beside.heal_at.get_or_insert(now + self.beside.heal_after);
        Some(heal_at.saturating_duration_since(now))
    }

    fn put_off_healing(&mut self) {
        self.beside.heal_after = (self.beside.heal_after * 2).min(HEAL_AFTER_MAX);
        self.beside.heal_at = Some(Instant::now() + self.beside.heal_after);
    }

    /// Begins to make the store anew, unless that is being done.
    pub(super) fn begin_to_rebuild(&mut self, with_keys: bool) {
        if !self.is_rebuilding() {
            let rebuild = self.log.rebuilding(with_keys);
            self.run_rebuild(rebuild);
        }
    }

    fn run_rebuild(&mut self, rebuild: Rebuild) {
        let Some(alive) = self.beside.alive.as_ref().map(Arc::downgrade) else { return };
        self.beside.rebuilding = self.beside.start("tollbar-rebuild", move || rebuild.asked_by(alive).run());
        if !self.is_rebuilding() {
            self.reply_to_rebuild(&Err(Fault::new(FaultCode::Internal, "the system gives no thread", "try again later")));
        }
    }

    /// Makes store and key index anew for somebody who waits for it.
    pub(super) fn rebuild_for(&mut self, reply: Reply) {
        self.beside.rebuild_replies.push(reply);
        self.begin_to_rebuild(true);
    }

    fn finish_rebuild(&mut self, done: Result<Rebuilt, LogError>) {
        let finished = done.and_then(|rebuilt| self.log.finish_rebuild(rebuilt));
        let told = match finished {
            Ok(Finished::Behind(rebuild)) => return self.run_rebuild(*rebuild),
            Ok(Finished::Done) => {
                self.beside.healed_at = Some(Instant::now());
                self.begin_to_fold();
                Ok(Told { seq: self.log.last(), ..Told::default() })
            }
            Err(error) => {
                self.put_off_healing();
                Err(storage_fault(&error))
            }
        };
        self.say_trouble(None);
        self.reply_to_rebuild(&told);
        self.beside.is_index_damaged = false;
        for (facts, reply) in std::mem::take(&mut self.beside.facts) {
            match &told {
                Ok(_) => self.take(facts, reply),
                Err(fault) => drop(reply.send(Err(fault.clone()))),
            }
        }
        self.tell_waiting();
    }

    fn reply_to_rebuild(&mut self, told: &Result<Told, Fault>) {
        // An asker that has gone misses no answer.
        self.beside.rebuild_replies.drain(..).for_each(|reply| drop(reply.send(told.clone())));
    }

    /// Begins to fold everything again if that is due: entries spoke of prices, or the store has other entries than were folded.
    pub(super) fn begin_to_fold(&mut self) {
        let Some(alive) = self.beside.alive.as_ref().map(Arc::downgrade) else { return };
        if self.is_folding() {
            return;
        }
        if let Some(refolding) = self.log.refolding(&self.projections) {
            self.beside.folding = self.beside.start("tollbar-fold", move || refolding.asked_by(alive).run());
        }
    }

    fn finish_folding(&mut self, done: Result<Refolded, LogError>) {
        match done.and_then(|refolded| self.log.refolded_beside(refolded)) {
            Ok(Some(projections)) => {
                self.projections = projections;
                self.raise_alerts(clock::now());
                self.begin_to_fold();
            }
            // The store was made anew meanwhile.
            Ok(None) => self.begin_to_fold(),
            // What is folded stays under the old prices; the next opening folds it under the new ones.
            Err(_) => {}
        }
        if !self.is_folding() {
            let replies = std::mem::take(&mut self.beside.fold_replies);
            replies.into_iter().for_each(|(told, reply)| drop(reply.send(told)));
            self.tell_waiting();
        }
    }

    /// Replies once what the command changed is folded in.
    pub(super) fn reply_when_folded(&mut self, told: Result<Told, Fault>, reply: Reply) {
        self.beside.fold_replies.push((told, reply));
    }

    /// Takes a command once the work beside the log is done.
    pub(super) fn tell_later(&mut self, command: Command, reply: Reply) {
        if self.beside.commands.len() < COMMANDS_WAITING_MAX {
            self.beside.commands.push_back((command, reply));
        } else {
            let _ = reply.send(Err(Fault::refused("too many commands wait for prices to be folded in", "try again in a moment")));
        }
    }

    /// Writes facts once the key index is made anew.
    pub(super) fn take_later(&mut self, facts: Vec<Fact>, reply: Reply) {
        if self.beside.facts.len() < COMMANDS_WAITING_MAX {
            self.beside.facts.push_back((facts, reply));
        } else {
            let _ =
                reply.send(Err(Fault::refused("too many commands wait for the index of calls to be made again", "try again in a moment")));
        }
    }

    fn tell_waiting(&mut self) {
        while !self.is_folding()
            && let Some((command, reply)) = self.beside.commands.pop_front()
        {
            self.tell(command, reply);
        }
    }
}
