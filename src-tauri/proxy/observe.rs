//! The proxy's side of observing: what passes is noted without waiting, and the meter's thread reads it (`follow`).
//!
//! If that falls behind its bounds, calls go unobserved and are counted, and nobody else notices.

use super::{
    Stats,
    follow::follow,
    peer::{Callers, Origin, Peer},
    tape::{Copied, Piece, Reader, Tape},
    under_way::UnderWay,
};
use crate::{
    attribution::SESSION_HEADERS,
    clock,
    engine::Recorder,
    meter::{self, Ending, REPLY_HEADERS},
    priority,
    upstreams::Upstream,
};
use events::{CallUuid, Timestamp};
use hyper::{HeaderMap, StatusCode, body::Bytes};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

/// The headers of a request that are read beside those that name the client's session.
const REQUEST_HEADERS: [&str; 3] = ["content-encoding", "content-length", "user-agent"];
/// The names under which a head's text has what the proxy found out about the call's project. No header can be called so.
pub(super) const PROJECT_IN_PATH: &str = ":path";
pub(super) const PROJECT_IN_HEADER: &str = ":header";

/// The observer's thread.
pub(super) struct Observer {
    handle: ObserverHandle,
    callers: Callers,
    thread: Option<JoinHandle<()>>,
}

/// A way to the observer; cheap to clone.
#[derive(Clone)]
pub(super) struct ObserverHandle {
    tape: Arc<Tape>,
    stats: Arc<Stats>,
}

/// What is known when the head of a request has passed.
pub(super) struct Head<'a> {
    pub(super) uuid: CallUuid,
    pub(super) at: Timestamp,
    pub(super) peer: Peer,
    pub(super) upstream: &'a Arc<Upstream>,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// Whether it asks for a WebSocket.
    pub(super) websocket: bool,
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
pub(super) struct Observation(Arc<Observed>);

struct Observed {
    uuid: CallUuid,
    observer: ObserverHandle,
    /// Set once a piece was lost: what comes after it would be misread.
    lost: AtomicBool,
    /// Set once the whole request was handed on.
    sent: AtomicBool,
}

/// What the observer is told.
pub(super) enum Message {
    Begun(CallUuid, Begun),
    Piece(CallUuid, Side, Piece),
    /// The status of the reply, and a text of the headers that are read.
    Head(CallUuid, StatusCode, Copied),
    Ended(CallUuid, Ending, Timestamp),
    /// A piece did not fit: nothing can be concluded of this call.
    Lost(CallUuid),
    /// Where a call comes from, as far as that was found.
    From(CallUuid, Box<Origin>),
    Finish,
}

/// A call that has begun.
pub(super) struct Begun {
    pub(super) at: Timestamp,
    pub(super) peer: Peer,
    pub(super) upstream: Arc<Upstream>,
    pub(super) websocket: bool,
    /// A text of method and path, and of the headers that are read.
    pub(super) head: Copied,
}

impl Observer {
    pub(super) fn start(writer: Recorder, stats: Arc<Stats>, under_way: PathBuf) -> Observer {
        let handle = ObserverHandle { tape: Arc::default(), stats };
        let callers = Callers::start(handle.clone());
        let (tape, asking, stats) = (handle.tape.clone(), callers.clone(), handle.stats.clone());
        let thread = std::thread::Builder::new()
            .name("tollbar-meter".into())
            .spawn(move || {
                priority::step_back();
                follow(&Reader(&tape), asking, &writer, &stats, UnderWay::new(under_way));
            })
            .expect("the system gives a thread to a program that starts");
        Observer { handle, callers, thread: Some(thread) }
    }

    pub(super) fn handle(&self) -> ObserverHandle {
        self.handle.clone()
    }

    /// Who wants to know at once that somebody has connected.
    pub(super) fn callers(&self) -> Callers {
        self.callers.clone()
    }

    /// Concludes what is queued and ends the thread.
    pub(super) fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.handle.tape.write_anyway(Message::Finish);
            // An observer that is gone has nothing left to conclude.
            let _ = thread.join();
        }
    }
}

impl ObserverHandle {
    /// Begins to observe a call, if it is one that may be billed.
    pub(super) fn begin(&self, head: Head<'_>) -> Option<Observation> {
        if !meter::may_be_billed(head.method, head.path, head.websocket) {
            return None;
        }
        let observation = Observation(Arc::new(Observed {
            uuid: head.uuid,
            observer: self.clone(),
            lost: AtomicBool::new(false),
            sent: AtomicBool::new(false),
        }));
        let copy = |text: &mut Vec<u8>| {
            copy_line(head.method, head.path, text);
            head.project_in_path.into_iter().for_each(|name| copy_line(PROJECT_IN_PATH, name, text));
            head.project_in_header.into_iter().for_each(|name| copy_line(PROJECT_IN_HEADER, name, text));
            copy_headers(head.headers, |name| REQUEST_HEADERS.contains(&name) || SESSION_HEADERS.contains(&name), text);
        };
        let begun = |copied| {
            let Head { uuid, at, peer, websocket, .. } = head;
            Message::Begun(uuid, Begun { at, peer, upstream: head.upstream.clone(), websocket, head: copied })
        };
        observation.wrote(self.tape.write_head(copy, begun));
        Some(observation)
    }

    /// Where a call comes from.
    pub(super) fn comes_from(&self, call: CallUuid, origin: Origin) {
        self.tape.write_anyway(Message::From(call, Box::new(origin)));
    }
}

impl Observation {
    /// The head of the reply has come.
    pub(super) fn head(&self, status: StatusCode, headers: &HeaderMap) {
        if !self.is_lost() {
            let copy = |text: &mut Vec<u8>| copy_headers(headers, |name| REPLY_HEADERS.contains(&name), text);
            self.wrote(self.0.observer.tape.write_head(copy, |copied| Message::Head(self.0.uuid, status, copied)));
        }
    }

    /// A piece of a body has passed.
    pub(super) fn passed(&self, side: Side, bytes: &Bytes) {
        if !self.is_lost() {
            self.wrote(self.0.observer.tape.write_piece(bytes, |piece| Message::Piece(self.0.uuid, side, piece)));
        }
    }

    /// A body has ended. A request that was dropped or cut ends the reply as well, which is told by the reply.
    pub(super) fn ended(&self, side: Side, end: End) {
        let ending = match (side, end) {
            (Side::Request, End::Whole) => return self.0.sent.store(true, Ordering::Relaxed),
            (Side::Request, End::Cut | End::Dropped) => return,
            (Side::Reply, End::Whole) => Ending::Complete,
            (Side::Reply, End::Cut) => Ending::UpstreamCut,
            (Side::Reply, End::Dropped) => Ending::ClientGone,
        };
        if !self.is_lost() {
            self.wrote(self.0.observer.tape.write(Message::Ended(self.0.uuid, ending, clock::now())));
        }
    }

    /// The upstream gave no reply. If it was sent the whole request, it may have billed it, and the call is estimated.
    pub(super) fn unanswered(&self) {
        if self.0.sent.load(Ordering::Relaxed) {
            self.ended(Side::Reply, End::Cut);
        } else {
            self.failed();
        }
    }

    /// Nothing was asked of the upstream, or it answered in another protocol: no call.
    pub(super) fn failed(&self) {
        self.0.observer.tape.write_anyway(Message::Lost(self.0.uuid));
    }

    fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Relaxed)
    }

    fn wrote(&self, fits: bool) {
        if !fits {
            self.0.lost.store(true, Ordering::Relaxed);
            self.0.observer.stats.unobserved.fetch_add(1, Ordering::Relaxed);
            self.0.observer.tape.write_anyway(Message::Lost(self.0.uuid));
        }
    }
}

/// Writes a line of a head's text. What has a line end in it would be two, and is left out.
fn copy_line(name: &str, value: &str, text: &mut Vec<u8>) {
    if !value.contains('\n') {
        text.extend_from_slice(name.as_bytes());
        text.push(b' ');
        text.extend_from_slice(value.as_bytes());
        text.push(b'\n');
    }
}

fn copy_headers(headers: &HeaderMap, is_read: impl Fn(&str) -> bool, text: &mut Vec<u8>) {
    for (name, value) in headers {
        if is_read(name.as_str())
            && let Ok(value) = value.to_str()
        {
            copy_line(name.as_str(), value, text);
        }
    }
}

/// The lines of a head's text, each with its name and what stands behind it.
pub(super) fn lines(text: &[u8]) -> Vec<(&str, &str)> {
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.lines().filter_map(|line| line.split_once(' ')).collect()
}

/// What stands behind the first line of this name.
pub(super) fn named<'t>(lines: &[(&str, &'t str)], name: &str) -> Option<&'t str> {
    lines.iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
}
