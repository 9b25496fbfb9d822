//! The meter's side of observing: a thread of its own reads what the proxy noted, and hands what it concludes to the writer.

use super::{
    Stats,
    conclude::{Estimator, Over},
    observe::{Begun, Message, PROJECT_IN_HEADER, PROJECT_IN_PATH, Side, lines, named},
    peer::{Answers, Callers, Origin, Peer},
    tape::{Batch, Reader},
    under_way::UnderWay,
};
use crate::{
    attribution, clock,
    engine::Recorder,
    meter::{Call, Ending, Meter},
    upstreams::Upstream,
};
use events::{CallUuid, Project, ProjectBy, Sighting, Source};
use rustc_hash::FxHashMap;
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// How long pieces gather before the observer looks at the next ones: it is woken once for many of them, and nobody waits for it.
const GATHER: Duration = Duration::from_millis(3);
/// How many sightings the writer gets at once.
const SIGHTINGS_AT_ONCE: usize = 512;
/// How many sessions are remembered with their project; beyond that all are forgotten.
const SESSIONS_MAX: usize = 1_024;
/// The longest name of a project that is taken from a call, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// How long a call waits for its origin: a folder may never answer. After that it is recorded without one, and counted.
const ORIGIN_AGE_MAX: Duration = Duration::from_secs(2);

/// A call that is being observed.
pub(super) struct Watched {
    uuid: CallUuid,
    pub(super) meter: Meter,
    peer: Peer,
    /// Whether it is being found out where the call comes from.
    origin_asked: bool,
    upstream: Arc<Upstream>,
    project: Option<Project>,
    branch: Option<String>,
    client: Option<String>,
    session: Option<String>,
    /// Its path at the upstream, for the case that no dialect reads the reply.
    path: Box<str>,
}

/// What is being observed, and what was concluded and not handed over yet.
struct Observing<'a> {
    calls: FxHashMap<CallUuid, Box<Watched>>,
    /// Calls that are over before it was found out where they come from.
    unplaced: FxHashMap<CallUuid, Over>,
    /// The calls whose origin was asked for, the oldest first; those at the front still wait.
    asked: VecDeque<(Instant, CallUuid)>,
    callers: Callers,
    answers: Answers,
    concluded: Vec<Sighting>,
    estimator: Estimator,
    /// Where the calls of a session come from.
    sessions: FxHashMap<String, (Option<Project>, Option<String>)>,
    under_way: UnderWay,
    writer: &'a Recorder,
    stats: &'a Stats,
}

/// Reads what is noted until it is told that no more will be.
pub(super) fn follow(reader: &Reader<'_>, callers: Callers, writer: &Recorder, stats: &Arc<Stats>, under_way: UnderWay) {
    let mut observing = Observing {
        calls: FxHashMap::default(),
        unplaced: FxHashMap::default(),
        asked: VecDeque::new(),
        callers,
        answers: Answers::default(),
        concluded: Vec::new(),
        estimator: Estimator::start(writer, stats),
        sessions: FxHashMap::default(),
        under_way,
        writer,
        stats: stats.as_ref(),
    };
    let mut batch = Batch::default();
    loop {
        reader.read(&mut batch, observing.asked.front().map(|(at, _)| *at + ORIGIN_AGE_MAX));
        let (messages, copied) = batch.unwind();
        for message in messages {
            if !observing.take(message, copied) {
                return observing.finish();
            }
        }
        batch.clear();
        observing.age();
        observing.hand_over();
        observing.under_way.write();
        std::thread::sleep(GATHER);
    }
}

impl Observing<'_> {
    /// Looks at one message; whether more are to come.
    fn take(&mut self, message: Message, copied: &[u8]) -> bool {
        match message {
            Message::Begun(uuid, begun) => {
                let (at, sent) = (begun.at, sent_bytes(&begun, copied));
                let Some(mut watched) = Watched::new(uuid, begun, copied) else { return true };
                self.under_way.begun(uuid, at, &watched.upstream.name, sent);
                if watched.project.is_none() || attribution::process_may_name(watched.client.as_deref()) {
                    match self.answers.get(watched.peer) {
                        Some(origin) => watched.place(origin.clone()),
                        // Now, while the caller waits for its answer and is surely there.
                        None => {
                            watched.origin_asked = self.callers.ask(uuid, watched.peer);
                            if watched.origin_asked {
                                self.asked.push_back((Instant::now(), uuid));
                            }
                        }
                    }
                }
                self.calls.insert(uuid, Box::new(watched));
            }
            Message::From(uuid, origin) => {
                if let Some(call) = self.calls.get_mut(&uuid) {
                    self.answers.remember(call.peer, &origin);
                    call.place(*origin);
                    self.concluded.extend(call.settled());
                } else if let Some(mut over) = self.unplaced.remove(&uuid) {
                    self.answers.remember(over.call.peer, &origin);
                    over.call.place(*origin);
                    self.conclude(over);
                }
            }
            Message::Piece(uuid, side, piece) => {
                if let Some(call) = self.calls.get_mut(&uuid) {
                    match side {
                        Side::Request => call.meter.request(piece.of(copied)),
                        Side::Reply => call.meter.reply(piece.of(copied)),
                    }
                    self.concluded.extend(call.settled());
                }
            }
            Message::Head(uuid, status, headers) => {
                if let Some(call) = self.calls.get_mut(&uuid) {
                    let headers = lines(headers.of(copied));
                    call.meter.head(status.as_u16(), |name| named(&headers, name));
                }
            }
            Message::Ended(uuid, ending, at) => {
                if let Some(call) = self.calls.remove(&uuid) {
                    let over = Over { call, ending, at };
                    if over.call.origin_asked {
                        // Every question is answered soon, or grows old.
                        self.unplaced.insert(uuid, over);
                    } else {
                        self.conclude(over);
                    }
                }
            }
            Message::Lost(uuid) => {
                self.under_way.ended(uuid);
                drop(self.calls.remove(&uuid));
            }
            Message::Finish => return false,
        }
        if self.concluded.len() >= SIGHTINGS_AT_ONCE {
            self.hand_over();
        }
        true
    }

    /// A call is over, and it is known as well as it will be where it comes from.
    fn conclude(&mut self, mut over: Over) {
        self.under_way.ended(over.call.uuid);
        let call = &mut over.call;
        if let Some(session) = &call.session {
            if call.project.is_some() {
                if self.sessions.len() >= SESSIONS_MAX && !self.sessions.contains_key(session) {
                    self.sessions.clear();
                }
                self.sessions.insert(session.clone(), (call.project.clone(), call.branch.clone()));
            } else if let Some(origin) = self.sessions.get(session) {
                // Its caller was gone before anybody could look: a session works in one place.
                (call.project, call.branch) = origin.clone();
            }
        }
        self.concluded.extend(self.estimator.conclude(over));
    }

    /// Stops waiting for origins that were asked for too long ago.
    fn age(&mut self) {
        while let Some((asked, uuid)) = self.asked.front().copied() {
            let open = self.calls.get_mut(&uuid).filter(|call| call.origin_asked);
            let is_old = asked.elapsed() >= ORIGIN_AGE_MAX;
            if !is_old && (open.is_some() || self.unplaced.contains_key(&uuid)) {
                break;
            }
            self.asked.pop_front();
            if let Some(call) = open {
                call.origin_asked = false;
                self.concluded.extend(call.settled());
            } else if let Some(over) = self.unplaced.remove(&uuid) {
                self.conclude(over);
            } else {
                continue;
            }
            self.stats.unplaced.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn hand_over(&mut self) {
        self.writer.seen(std::mem::take(&mut self.concluded));
    }

    /// Concludes what has not ended as if its client had gone.
    fn finish(mut self) {
        for over in std::mem::take(&mut self.unplaced).into_values() {
            self.conclude(over);
        }
        let now = clock::now();
        for call in std::mem::take(&mut self.calls).into_values() {
            self.conclude(Over { call, ending: Ending::ClientGone, at: now });
        }
        self.hand_over();
        self.estimator.finish();
        self.under_way.write();
    }
}

/// How long a request is, where its head says so.
fn sent_bytes(begun: &Begun, copied: &[u8]) -> u64 {
    named(&lines(begun.head.of(copied)), "content-length").and_then(|length| length.parse().ok()).unwrap_or(0)
}

impl Watched {
    /// `None` where nothing billable can come of the call.
    fn new(uuid: CallUuid, begun: Begun, copied: &[u8]) -> Option<Watched> {
        let head = lines(begun.head.of(copied));
        let (method, path) = *head.first()?;
        let call = Call {
            provider: &begun.upstream.dialect,
            method,
            path,
            encoding: named(&head, "content-encoding"),
            websocket: begun.websocket,
            at: begun.at,
            uuid,
            source: Source::Proxy,
        };
        let project = |in_head, by| {
            let name = named(&head, in_head)?.trim();
            let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
            fits.then(|| Project { by, name: name.to_owned() })
        };
        Some(Watched {
            uuid,
            path: path.into(),
            meter: Meter::start(&call)?,
            peer: begun.peer,
            origin_asked: false,
            project: project(PROJECT_IN_PATH, ProjectBy::Path).or_else(|| project(PROJECT_IN_HEADER, ProjectBy::Header)),
            branch: None,
            client: named(&head, "user-agent").and_then(attribution::client_of_user_agent),
            session: attribution::session_of_headers(&|name| named(&head, name)).map(str::to_owned),
            upstream: begun.upstream,
        })
    }

    /// The name of its upstream.
    pub(super) fn upstream(&self) -> &str {
        &self.upstream.name
    }

    /// Its path at the upstream.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// It was found out, or not, where the call comes from.
    fn place(&mut self, origin: Origin) {
        self.origin_asked = false;
        self.client = attribution::client_of_process(self.client.take(), origin.program);
        // What was named by the call itself may have nothing to do with the folder, nor with its branch.
        if self.project.is_none() {
            (self.project, self.branch) = (origin.project, origin.branch);
        }
    }

    /// The calls of a conversation that are over, as soon as it is known whose they are.
    fn settled(&mut self) -> Vec<Sighting> {
        if self.origin_asked || !self.meter.converses() {
            return Vec::new();
        }
        let settled = self.meter.settled(clock::now());
        self.own(settled)
    }

    /// What was seen of a call, with whose it is.
    pub(super) fn own(&self, mut sightings: Vec<Sighting>) -> Vec<Sighting> {
        for Sighting { usage, .. } in &mut sightings {
            usage.provider.clone_from(&self.upstream.name);
            usage.geo = usage.geo.take().or_else(|| self.upstream.geo().map(str::to_owned));
            usage.project.clone_from(&self.project);
            usage.branch.clone_from(&self.branch);
            usage.client.clone_from(&self.client);
            usage.session.clone_from(&self.session);
            // A name of the user's own has no price.
            if let Some(model) = usage.model.as_ref().and_then(|name| self.upstream.deployments.get(name)).cloned() {
                let own = usage.model.replace(model);
                usage.request_model = usage.request_model.take().or(own);
            }
        }
        sightings
    }
}
