//! The observer: a thread of its own reads copies of what passes and hands what it concludes to the writer.
//!
//! What passes is handed over without waiting. If the observer falls behind its bounds, calls go unobserved and are counted,
//! and nobody else notices.

use super::{
    Stats,
    peer::{Callers, Origin, Peer},
    tunnel::is_websocket,
};
use crate::{
    attribution, clock,
    engine::WriterHandle,
    estimate,
    meter::{Call, Ending, Meter},
    upstreams::Upstream,
};
use events::{CallUuid, Project, ProjectBy, Sighting, Source, Timestamp};
use hyper::{HeaderMap, StatusCode, body::Bytes, header};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// How many pieces may wait for the observer.
const QUEUE_PIECES_MAX: usize = 16_384;
/// How many bytes they may hold together.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// How long pieces gather before the observer looks at the next ones: it is woken once for many of them, and nobody waits for it.
const GATHER: Duration = Duration::from_millis(3);
/// How many sightings the writer gets at once.
const SIGHTINGS_AT_ONCE: usize = 512;
/// How many calls may wait for their tokens to be counted.
const ESTIMATES_MAX: usize = 512;
/// After how long without a count the tokenizer is given back.
const ESTIMATE_IDLE: Duration = Duration::from_secs(60);
/// The longest name of a project that is taken from a call, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// The observer's thread.
pub(super) struct Observer {
    handle: ObserverHandle,
    thread: Option<JoinHandle<()>>,
}

/// A way to the observer; cheap to clone.
#[derive(Clone)]
pub(super) struct ObserverHandle {
    sender: SyncSender<Message>,
    queued_bytes: Arc<AtomicUsize>,
    stats: Arc<Stats>,
}

/// What is known when the head of a request has passed.
pub(super) struct Head<'a> {
    pub(super) uuid: CallUuid,
    pub(super) at: Timestamp,
    pub(super) peer: Peer,
    pub(super) upstream: &'a Upstream,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) project_in_path: Option<&'a str>,
    pub(super) project_in_header: Option<&'a str>,
}

/// Which of the two bodies of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Reply,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With its last byte.
    Whole,
    /// Its sender broke off.
    Cut,
    /// Its receiver went away.
    Dropped,
}

/// A way to tell the observer about one call; both bodies of the call hold one.
#[derive(Clone)]
pub(super) struct Observation {
    uuid: CallUuid,
    observer: ObserverHandle,
    /// Set once a piece was lost: what comes after it would be misread.
    lost: Arc<AtomicBool>,
}

enum Message {
    Begun(CallUuid, Box<Watched>),
    Piece(CallUuid, Side, Bytes),
    Head(CallUuid, StatusCode, Box<HeaderMap>),
    Ended(CallUuid, Ending, Timestamp),
    /// A piece did not fit: nothing can be concluded of this call.
    Lost(CallUuid),
    /// Where a call comes from, as far as that was found.
    From(CallUuid, Box<Origin>),
    Finish,
}

/// A call that is being observed.
struct Watched {
    meter: Meter,
    peer: Peer,
    /// Whether it is being found out where the call comes from.
    origin_asked: bool,
    upstream: String,
    /// The models behind names of the user's own.
    deployments: BTreeMap<String, String>,
    project: Option<Project>,
    branch: Option<String>,
    client: Option<String>,
    session: Option<String>,
}

impl Observer {
    pub(super) fn start(writer: WriterHandle, stats: Arc<Stats>) -> Observer {
        let (sender, receiver) = sync_channel(QUEUE_PIECES_MAX);
        let queued_bytes = Arc::<AtomicUsize>::default();
        let handle = ObserverHandle { sender, queued_bytes: queued_bytes.clone(), stats };
        let callers = Callers::start(handle.clone());
        let thread = std::thread::Builder::new()
            .name("tollbar-meter".into())
            .spawn(move || observe(&receiver, callers, &queued_bytes, &writer))
            .expect("the system gives a thread to a program that starts");
        Observer { handle, thread: Some(thread) }
    }

    pub(super) fn handle(&self) -> ObserverHandle {
        self.handle.clone()
    }

    /// Concludes what is queued and ends the thread.
    pub(super) fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            // An observer that is gone has nothing left to conclude.
            let _ = self.handle.sender.send(Message::Finish);
            let _ = thread.join();
        }
    }
}

impl ObserverHandle {
    /// Begins to observe a call, if it is one that may be billed.
    pub(super) fn begin(&self, head: Head<'_>) -> Option<Observation> {
        let call = Call {
            provider: &head.upstream.dialect,
            method: head.method,
            path: head.path,
            encoding: text(head.headers, header::CONTENT_ENCODING.as_str()),
            websocket: is_websocket(head.headers),
            at: head.at,
            uuid: head.uuid,
            source: Source::Proxy,
        };
        let named = |name: &str, by| {
            let name = name.trim();
            let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
            fits.then(|| Project { by, name: name.to_owned() })
        };
        let watched = Watched {
            meter: Meter::start(&call)?,
            peer: head.peer,
            origin_asked: false,
            upstream: head.upstream.name.clone(),
            deployments: head.upstream.deployments.clone(),
            project: head
                .project_in_path
                .and_then(|name| named(name, ProjectBy::Path))
                .or_else(|| head.project_in_header.and_then(|name| named(name, ProjectBy::Header))),
            branch: None,
            client: text(head.headers, header::USER_AGENT.as_str()).and_then(attribution::client_of_user_agent),
            session: attribution::session_of_headers(&|name| text(head.headers, name)).map(str::to_owned),
        };
        let observation = Observation { uuid: head.uuid, observer: self.clone(), lost: Arc::default() };
        observation.send(Message::Begun(head.uuid, Box::new(watched)));
        Some(observation)
    }

    /// Where a call comes from; whether there is still somebody who wants to know.
    pub(super) fn comes_from(&self, call: CallUuid, origin: Origin) -> bool {
        self.sender.send(Message::From(call, Box::new(origin))).is_ok()
    }
}

impl Observation {
    /// The head of the reply has come.
    pub(super) fn head(&self, status: StatusCode, headers: &HeaderMap) {
        self.send(Message::Head(self.uuid, status, Box::new(headers.clone())));
    }

    /// A piece of a body has passed.
    pub(super) fn passed(&self, side: Side, bytes: &Bytes) {
        let queued = self.observer.queued_bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        if queued > QUEUE_BYTES_MAX {
            self.observer.queued_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
            self.lose();
        } else if !self.send(Message::Piece(self.uuid, side, bytes.clone())) {
            self.observer.queued_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
    }

    /// A body has ended. A request that was dropped or cut ends the reply as well, which is told by the reply.
    pub(super) fn ended(&self, side: Side, end: End) {
        let ending = match (side, end) {
            (Side::Request, _) => return,
            (Side::Reply, End::Whole) => Ending::Complete,
            (Side::Reply, End::Cut) => Ending::UpstreamCut,
            (Side::Reply, End::Dropped) => Ending::ClientGone,
        };
        self.send(Message::Ended(self.uuid, ending, clock::now()));
    }

    /// The upstream gave no reply at all: nothing was answered, and what it may have billed nobody knows.
    pub(super) fn failed(&self) {
        self.send(Message::Lost(self.uuid));
    }

    /// Hands a message over without waiting; whether it went.
    fn send(&self, message: Message) -> bool {
        if self.lost.load(Ordering::Relaxed) {
            return false;
        }
        let sent = self.observer.sender.try_send(message).is_ok();
        if !sent {
            self.lose();
        }
        sent
    }

    fn lose(&self) {
        if !self.lost.swap(true, Ordering::Relaxed) {
            self.observer.stats.unobserved.fetch_add(1, Ordering::Relaxed);
        }
        // If even this finds no room, the meter waits in vain until the bound on calls forgets it.
        let _ = self.observer.sender.try_send(Message::Lost(self.uuid));
    }
}

/// What is being observed, and what was concluded and not handed over yet.
struct Observing<'a> {
    calls: HashMap<CallUuid, Box<Watched>>,
    /// Calls that are over before it was found out where they come from.
    unplaced: HashMap<CallUuid, Over>,
    callers: Callers,
    concluded: Vec<Sighting>,
    estimator: Estimator,
    queued_bytes: &'a AtomicUsize,
    writer: &'a WriterHandle,
}

fn observe(receiver: &Receiver<Message>, callers: Callers, queued_bytes: &AtomicUsize, writer: &WriterHandle) {
    let mut observing = Observing {
        calls: HashMap::new(),
        unplaced: HashMap::new(),
        callers,
        concluded: Vec::new(),
        estimator: Estimator::start(writer),
        queued_bytes,
        writer,
    };
    while let Ok(message) = receiver.recv() {
        let mut next = Some(message);
        while let Some(message) = next.take() {
            if !observing.take(message) {
                return observing.finish();
            }
            next = receiver.try_recv().ok();
        }
        observing.hand_over();
        std::thread::sleep(GATHER);
    }
    observing.finish();
}

impl Observing<'_> {
    /// Looks at one message; whether more are to come.
    fn take(&mut self, message: Message) -> bool {
        match message {
            Message::Begun(uuid, mut watched) => {
                // Now, while the caller waits for its answer and is surely there.
                watched.origin_asked = watched.project.is_none() && self.callers.ask(uuid, watched.peer);
                self.calls.insert(uuid, watched);
            }
            Message::From(uuid, origin) => {
                if let Some(call) = self.calls.get_mut(&uuid) {
                    call.place(*origin);
                } else if let Some(mut over) = self.unplaced.remove(&uuid) {
                    over.call.place(*origin);
                    self.concluded.extend(self.estimator.conclude(over));
                }
            }
            Message::Piece(uuid, side, bytes) => {
                self.queued_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
                if let Some(call) = self.calls.get_mut(&uuid) {
                    match side {
                        Side::Request => call.meter.request(&bytes),
                        Side::Reply => call.meter.reply(&bytes),
                    }
                    if call.meter.converses() {
                        let settled = call.meter.settled(clock::now());
                        self.concluded.extend(call.own(settled));
                    }
                }
            }
            Message::Head(uuid, status, headers) => {
                if let Some(call) = self.calls.get_mut(&uuid) {
                    call.meter.head(status.as_u16(), |name| text(&headers, name));
                }
            }
            Message::Ended(uuid, ending, at) => {
                if let Some(call) = self.calls.remove(&uuid) {
                    let over = Over { call, ending, at };
                    if over.call.origin_asked {
                        // Every question is answered soon.
                        self.unplaced.insert(uuid, over);
                    } else {
                        self.concluded.extend(self.estimator.conclude(over));
                    }
                }
            }
            Message::Lost(uuid) => drop(self.calls.remove(&uuid)),
            Message::Finish => return false,
        }
        if self.concluded.len() >= SIGHTINGS_AT_ONCE {
            self.hand_over();
        }
        true
    }

    fn hand_over(&mut self) {
        self.writer.seen(std::mem::take(&mut self.concluded));
    }

    /// Concludes what has not ended as if its client had gone.
    fn finish(mut self) {
        for over in std::mem::take(&mut self.unplaced).into_values() {
            self.concluded.extend(self.estimator.conclude(over));
        }
        let now = clock::now();
        for call in std::mem::take(&mut self.calls).into_values() {
            self.concluded.extend(self.estimator.conclude(Over { call, ending: Ending::ClientGone, at: now }));
        }
        self.hand_over();
        self.estimator.finish();
    }
}

/// A call that is over, and not concluded.
struct Over {
    call: Box<Watched>,
    ending: Ending,
    at: Timestamp,
}

impl Over {
    fn conclude(mut self) -> Vec<Sighting> {
        let sightings = self.call.meter.finish(self.ending, self.at);
        self.call.own(sightings)
    }
}

/// Concludes the calls whose tokens must be counted here, on a thread of its own: counting takes long, and what passes meanwhile would not
/// fit into the queue.
struct Estimator {
    sender: SyncSender<Over>,
    thread: JoinHandle<()>,
}

impl Estimator {
    fn start(writer: &WriterHandle) -> Estimator {
        let (sender, receiver) = sync_channel::<Over>(ESTIMATES_MAX);
        let writer = writer.clone();
        let count = move || {
            loop {
                match receiver.recv_timeout(ESTIMATE_IDLE) {
                    Ok(over) => writer.seen(over.conclude()),
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {
                        estimate::release();
                        // An idle engine is not woken for nothing.
                        let Ok(over) = receiver.recv() else { break };
                        writer.seen(over.conclude());
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("tollbar-estimate".into()).spawn(count);
        Estimator { sender, thread: thread.expect("the system gives a thread to a program that starts") }
    }

    /// Concludes a call, here or there; what was concluded here. Where too many wait there, it is done here.
    fn conclude(&self, mut over: Over) -> Vec<Sighting> {
        if over.call.meter.lacks_usage(over.ending) {
            match self.sender.try_send(over) {
                Ok(()) => return Vec::new(),
                Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) => over = back,
            }
        }
        over.conclude()
    }

    /// Waits until all are concluded.
    fn finish(self) {
        drop(self.sender);
        // One that is gone has nothing left to conclude.
        let _ = self.thread.join();
    }
}

impl Watched {
    /// It was found out, or not, where the call comes from.
    fn place(&mut self, origin: Origin) {
        self.origin_asked = false;
        self.project = self.project.take().or(origin.project);
        self.branch = origin.branch;
    }

    /// What was seen of a call, with whose it is.
    fn own(&self, mut sightings: Vec<Sighting>) -> Vec<Sighting> {
        for Sighting { usage, .. } in &mut sightings {
            usage.provider.clone_from(&self.upstream);
            usage.project.clone_from(&self.project);
            usage.branch.clone_from(&self.branch);
            usage.client.clone_from(&self.client);
            usage.session.clone_from(&self.session);
            // A name of the user's own has no price.
            if let Some(model) = usage.model.as_ref().and_then(|name| self.deployments.get(name)).cloned() {
                let own = usage.model.replace(model);
                usage.request_model = usage.request_model.take().or(own);
            }
        }
        sightings
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
