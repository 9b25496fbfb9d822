//! The connections to one upstream, kept between calls.
//!
//! An HTTP/1.1 connection carries one call at a time and rests until the next one; HTTP/2 connections are shared (`shared`).
//! A call is never put on a connection that may be dead or closing: it would hang or fail where a direct call would not.

mod shared;

use super::{BUFFER_BYTES_MAX, tee::Tee};
use crate::{
    clock,
    outgoing::{Connected, Connector, Io, Offers, Via, causes},
};
use events::Timestamp;
use hyper::{Request, Response, Uri, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use shared::{STREAMS_ASSUMED, Shared};
use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

pub(super) use shared::Seat;

/// How long a connection rests before it is closed, and not used any more.
///
/// Shorter than what servers allow (uvicorn and Node 5 s), so that no call meets a connection that is being closed. A client that calls
/// directly rests as long (undici 4 s, httpx 5 s).
const REST_MAX: Duration = Duration::from_secs(4);
/// The same, to a server on this machine or its network, where a new connection costs nothing (gunicorn allows 2 s).
const LOCAL_REST_MAX: Duration = Duration::from_secs(1);
/// How many HTTP/1.1 connections rest at once.
const RESTING_MAX: usize = 1_024;
/// How many HTTP/2 connections there are at once.
const SHARED_MAX: usize = 1_024;
/// How often a call is sent that the connection gave back unsent. From the second time on, an HTTP/1.1 connection is a new one.
const SENDS_MAX: usize = 4;
/// The shortest time between two looks for connections that rested long enough.
const SWEEP_PAUSE: Duration = Duration::from_millis(250);

/// The connections to one upstream.
pub(super) struct Connections {
    connector: Arc<Connector>,
    to: Uri,
    state: Mutex<State>,
    /// For tasks that must not keep it.
    this: Weak<Connections>,
}

struct State {
    /// Whether the upstream is known to speak HTTP/1.1 only.
    http1: bool,
    /// How many calls an HTTP/2 connection of this upstream took when last seen.
    streams: usize,
    /// The one that rested last stands last.
    resting: Vec<(Moment, Alone)>,
    shared: Vec<Arc<Shared>>,
    /// Whether a task looks for connections that rested long enough.
    swept: bool,
}

/// An HTTP/1.1 connection that carries no call.
struct Alone {
    sender: http1::SendRequest<Tee>,
    local: bool,
    /// The proxy that wants to read whole addresses.
    forwarded_by: Option<Arc<Via>>,
}

/// Where a call is put.
enum Place {
    Alone { alone: Alone, reused: bool },
    Shared(Seat),
}

/// What came back for a call: its reply, and its place on a shared connection, which is free once the reply has ended.
pub(super) type Answer = (Response<Incoming>, Option<Seat>);

/// Why a call has no reply: one line.
pub(super) enum SendError {
    /// No connection stands.
    Unreachable(String),
    /// The connection broke off, or the upstream did not speak HTTP.
    Lost(String),
}

/// An instant, by the clock that stands still while the machine sleeps and by the one that does not.
#[derive(Clone, Copy)]
struct Moment {
    steady: Instant,
    wall: Timestamp,
}

impl Moment {
    fn now() -> Moment {
        Moment { steady: Instant::now(), wall: clock::now() }
    }

    /// How long ago it was. A wall clock that was set only makes a connection seem older.
    fn age(self) -> Duration {
        let wall = clock::now().micros().abs_diff(self.wall.micros());
        self.steady.elapsed().max(Duration::from_micros(wall))
    }
}

impl Connections {
    pub(super) fn new(connector: Arc<Connector>, to: Uri) -> Arc<Connections> {
        let http1 = to.scheme_str() != Some("https");
        let state = State { http1, streams: STREAMS_ASSUMED, resting: Vec::new(), shared: Vec::new(), swept: false };
        Arc::new_cyclic(|this| Connections { connector, to, state: Mutex::new(state), this: this.clone() })
    }

    /// Sends a call and waits for the head of its reply. A WebSocket has a connection of its own.
    pub(super) async fn send(&self, mut request: Request<Tee>, websocket: bool) -> Result<Answer, SendError> {
        if websocket {
            return self.send_upgrading(request).await;
        }
        for sent in 1.. {
            let failed = match self.place(sent > 1).await? {
                Place::Alone { alone, reused } => {
                    let failed = match self.send_alone(alone, request).await {
                        Ok(response) => return Ok((response, None)),
                        Err(failed) => failed,
                    };
                    if !reused { without_message(failed) } else { failed }
                }
                Place::Shared(seat) => match seat.send(request).await {
                    Ok((response, seat)) => return Ok((response, Some(seat))),
                    Err(failed) => failed,
                },
            };
            match failed {
                (Some(unsent), _) if sent < SENDS_MAX => request = unsent,
                (_, error) => return Err(SendError::Lost(causes(&error))),
            }
        }
        unreachable!("the loop ends by SENDS_MAX")
    }

    /// Where the next call goes: a connection that stands, or a new one.
    async fn place(&self, anew: bool) -> Result<Place, SendError> {
        loop {
            let opening = {
                let mut state = self.state();
                if state.http1 {
                    match if anew { None } else { state.rested() } {
                        Some(alone) => return Ok(Place::Alone { alone, reused: true }),
                        None => break,
                    }
                }
                state.shared.retain(|shared| !shared.is_over());
                if let Some(seat) = state.shared.iter().find_map(Shared::sit) {
                    return Ok(Place::Shared(seat));
                }
                let streams = state.streams;
                match state.shared.iter().find(|shared| shared.takes_waiter(streams)) {
                    Some(opening) => opening.clone(),
                    None if state.shared.len() >= SHARED_MAX => {
                        return Err(SendError::Unreachable(format!("{SHARED_MAX} connections are open, and none takes another call")));
                    }
                    None => {
                        let opening = Shared::open(self.this.clone(), self.connector.clone(), self.to.clone());
                        state.shared.push(opening.clone());
                        opening
                    }
                }
            };
            opening.wait().await.map_err(SendError::Unreachable)?;
        }
        let connected = self.connector.connect(&self.to, Offers::Http1).await.map_err(|error| SendError::Unreachable(error.to_string()))?;
        Ok(Place::Alone { alone: Alone::over(connected).await?, reused: false })
    }

    async fn send_alone(&self, mut alone: Alone, mut request: Request<Tee>) -> Result<Response<Incoming>, Failed> {
        let address = request.uri().clone();
        alone.address(&mut request);
        let response = match alone.sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut failed) => {
                let unsent = failed.take_message().map(|mut unsent| {
                    *unsent.uri_mut() = address;
                    unsent
                });
                return Err((unsent, failed.into_error()));
            }
        };
        if alone.sender.is_ready() {
            self.rest(alone);
        } else {
            // It is free once the reply has ended.
            let connections = self.this.clone();
            tokio::spawn(async move {
                if alone.sender.ready().await.is_ok()
                    && let Some(connections) = connections.upgrade()
                {
                    connections.rest(alone);
                }
            });
        }
        Ok(response)
    }

    async fn send_upgrading(&self, mut request: Request<Tee>) -> Result<Answer, SendError> {
        let connected =
            self.connector.connect(&self.to, Offers::Tunnel).await.map_err(|error| SendError::Unreachable(error.to_string()))?;
        let (mut sender, connection) = http1_handshake(connected.io).await?;
        tokio::spawn(connection.with_upgrades());
        origin_form(request.uri_mut());
        let response = sender.send_request(request).await.map_err(|error| SendError::Lost(causes(&error)))?;
        Ok((response, None))
    }

    /// Keeps a connection for the next call.
    fn rest(&self, alone: Alone) {
        let mut state = self.state();
        if state.resting.len() < RESTING_MAX {
            state.resting.push((Moment::now(), alone));
            self.sweep(&mut state);
        }
    }

    /// Sees to it that what rests is closed in time.
    fn sweep(&self, state: &mut State) {
        if mem::replace(&mut state.swept, true) {
            return;
        }
        let this = self.this.clone();
        tokio::spawn(async move {
            let mut pause = SWEEP_PAUSE;
            loop {
                tokio::time::sleep(pause).await;
                let Some(connections) = this.upgrade() else { return };
                match connections.state().sweep() {
                    Some(next) => pause = next.max(SWEEP_PAUSE),
                    None => return,
                }
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that failed: itself, where nothing of it was sent, and why.
type Failed = (Option<Request<Tee>>, hyper::Error);

/// A call that a new connection gave back is not sent again: the next one would fail, too.
fn without_message((_, error): Failed) -> Failed {
    (None, error)
}

impl State {
    /// A connection that rested, the newest first.
    fn rested(&mut self) -> Option<Alone> {
        while let Some((since, alone)) = self.resting.pop() {
            if alone.sender.is_ready() && since.age() < alone.rest_max() {
                return Some(alone);
            }
        }
        None
    }

    /// Closes what rested long enough. After how long the next one will have; `None` where nothing rests.
    fn sweep(&mut self) -> Option<Duration> {
        self.resting.retain(|(since, alone)| alone.sender.is_ready() && since.age() < alone.rest_max());
        self.shared.retain(|shared| !shared.is_over() && shared.rest_left() != Some(Duration::ZERO));
        let alone = self.resting.iter().map(|(since, alone)| alone.rest_max().saturating_sub(since.age()));
        let next = alone.chain(self.shared.iter().filter_map(|shared| shared.rest_left())).min();
        self.swept = next.is_some();
        next
    }
}

impl Alone {
    async fn over(connected: Connected) -> Result<Alone, SendError> {
        let Connected { io, local, forwarded_by, .. } = connected;
        let (sender, connection) = http1_handshake(io).await?;
        // Its error is that of the call on it.
        tokio::spawn(connection);
        Ok(Alone { sender, local, forwarded_by })
    }

    fn rest_max(&self) -> Duration {
        if self.local { LOCAL_REST_MAX } else { REST_MAX }
    }

    /// Writes the request's target as the other end wants it (RFC 9112, section 3.2).
    fn address(&self, request: &mut Request<Tee>) {
        match &self.forwarded_by {
            None => origin_form(request.uri_mut()),
            Some(via) => {
                if let Some(authorization) = &via.authorization {
                    request.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization.clone());
                }
            }
        }
    }
}

type Http1 = (http1::SendRequest<Tee>, http1::Connection<TokioIo<Io>, Tee>);

async fn http1_handshake(io: Io) -> Result<Http1, SendError> {
    let mut builder = http1::Builder::new();
    builder.preserve_header_case(true).max_buf_size(BUFFER_BYTES_MAX);
    builder.handshake(TokioIo::new(io)).await.map_err(|error| SendError::Lost(causes(&error)))
}

/// Leaves of an address its path and query.
fn origin_form(uri: &mut Uri) {
    if let Some(path) = uri.path_and_query().cloned() {
        *uri = Uri::from(path);
    }
}

impl SendError {
    fn into_cause(self) -> String {
        match self {
            SendError::Unreachable(cause) | SendError::Lost(cause) => cause,
        }
    }

    /// What the client is told; `address` is the upstream's.
    pub(super) fn message(&self, address: &str) -> String {
        match self {
            SendError::Unreachable(cause) => format!("tollbar cannot reach {address}: {cause}"),
            SendError::Lost(cause) => format!("tollbar lost the connection to {address} before it answered: {cause}"),
        }
    }
}
