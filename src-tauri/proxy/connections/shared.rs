//! HTTP/2 connections, each shared by as many calls as the upstream allows.
//!
//! A call that finds them full gets a further one. A connection that went silent gets no new calls, and is closed once it does not
//! answer a ping for long: until then its calls may still be answered, as those of a direct client would be.

use super::{Connections, Failed, Moment, SendError};
use crate::{
    outgoing::{Connector, Io, Offers, causes},
    proxy::tee::Tee,
};
use hyper::{Request, Response, Uri, body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};

/// How many calls a connection takes, before one of this upstream has said (RFC 9113, section 6.5.2: it should be at least 100).
pub(super) const STREAMS_ASSUMED: usize = 100;
/// A connection with calls on it that was silent so long is sent a ping. gRPC's clients allow no shorter time.
const PING_AFTER: Duration = Duration::from_secs(10);
/// A connection that gives no answer to a ping for so long is dead. An outage of half a minute (roaming, a VPN that comes back) is survived.
const PING_WAIT: Duration = Duration::from_secs(40);
/// A connection with calls on it that was silent so long, in spite of a ping, gets no new ones.
const SILENT_MAX: Duration = Duration::from_secs(14);
/// How long a new connection may take to say its settings.
const SETTINGS_WAIT: Duration = Duration::from_secs(15);
const SETTINGS_LOOK: Duration = Duration::from_millis(1);
/// The most that the headers of a reply may take.
const HEADERS_BYTES_MAX: u32 = 256 << 10;

/// An HTTP/2 connection, from when it is wanted.
pub(super) struct Shared {
    stage: watch::Receiver<Stage>,
    /// Calls that wait for it to be open.
    waiting: AtomicUsize,
    /// Calls on it.
    calls: AtomicUsize,
    connections: Weak<Connections>,
}

#[derive(Clone)]
enum Stage {
    Opening,
    Open(Open),
    /// The upstream chose HTTP/1.1.
    Http1,
    Failed(String),
}

#[derive(Clone)]
struct Open {
    sender: http2::SendRequest<Tee>,
    connection: Arc<Mutex<Connection>>,
    /// When something last came from the upstream.
    heard: Arc<Mutex<Moment>>,
}

type Connection = http2::Connection<TokioIo<Heard>, Tee, TokioExecutor>;

/// The place of one call on a connection. Dropping it frees the place.
pub(in crate::proxy) struct Seat {
    shared: Arc<Shared>,
    sender: http2::SendRequest<Tee>,
}

impl Shared {
    /// Begins to open a connection, on a task of its own: a caller that goes away does not end it.
    pub(super) fn open(connections: Weak<Connections>, connector: Arc<Connector>, to: Uri) -> Arc<Shared> {
        let (tell, stage) = watch::channel(Stage::Opening);
        let owner = connections.clone();
        tokio::spawn(async move {
            let stage = open(&owner, &connector, &to).await.unwrap_or_else(Stage::Failed);
            tell.send_replace(stage);
        });
        Arc::new(Shared { stage, waiting: AtomicUsize::new(0), calls: AtomicUsize::new(0), connections })
    }

    /// Waits until it is open, or is known not to be HTTP/2. The error is why it cannot be opened.
    pub(super) async fn wait(&self) -> Result<(), String> {
        struct Waiting<'s>(&'s AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let mut stage = self.stage.clone();
        match stage.wait_for(|stage| !matches!(stage, Stage::Opening)).await.as_deref() {
            Ok(Stage::Open(_) | Stage::Http1 | Stage::Opening) => Ok(()),
            Ok(Stage::Failed(cause)) => Err(cause.clone()),
            Err(_) => Err("the engine stops".to_owned()),
        }
    }

    /// Whether another call may wait for it, if it takes so many once it is open.
    pub(super) fn takes_waiter(&self, streams: usize) -> bool {
        matches!(*self.stage.borrow(), Stage::Opening) && self.waiting.load(Ordering::Relaxed) < streams
    }

    /// A place for a call, if it is open, has one and is not silent.
    pub(super) fn sit(self: &Arc<Shared>) -> Option<Seat> {
        let stage = self.stage.borrow();
        let Stage::Open(open) = &*stage else { return None };
        let calls = self.calls.load(Ordering::Relaxed);
        let silent_max = if calls == 0 { super::REST_MAX } else { SILENT_MAX };
        if open.sender.is_closed() || calls >= open.streams().max(1) || open.silent_for() >= silent_max {
            return None;
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        Some(Seat { shared: self.clone(), sender: open.sender.clone() })
    }

    /// Whether nothing will come of it any more.
    pub(super) fn is_over(&self) -> bool {
        match &*self.stage.borrow() {
            Stage::Opening => false,
            Stage::Open(open) => open.sender.is_closed(),
            Stage::Http1 | Stage::Failed(_) => true,
        }
    }

    /// How long it may rest yet, where it carries no call.
    pub(super) fn rest_left(&self) -> Option<Duration> {
        match &*self.stage.borrow() {
            Stage::Open(open) if self.calls.load(Ordering::Relaxed) == 0 => Some(super::REST_MAX.saturating_sub(open.silent_for())),
            Stage::Opening | Stage::Open(_) | Stage::Http1 | Stage::Failed(_) => None,
        }
    }
}

impl Open {
    /// How many calls the upstream takes at once on this connection. 0 until it has said so.
    fn streams(&self) -> usize {
        lock(&self.connection).current_max_send_streams()
    }

    fn silent_for(&self) -> Duration {
        lock(&self.heard).age()
    }
}

impl Seat {
    /// Sends a call and waits for the head of its reply.
    pub(super) async fn send(mut self, request: Request<Tee>) -> Result<(Response<Incoming>, Seat), Failed> {
        match self.sender.try_send_request(request).await {
            Ok(response) => Ok((response, self)),
            Err(mut failed) => Err((failed.take_message(), failed.into_error())),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.shared.calls.fetch_sub(1, Ordering::Relaxed) == 1
            && let Some(connections) = self.shared.connections.upgrade()
        {
            connections.sweep(&mut connections.state());
        }
    }
}

async fn open(owner: &Weak<Connections>, connector: &Connector, to: &Uri) -> Result<Stage, String> {
    let connected = connector.connect(to, Offers::Any).await.map_err(|error| error.to_string())?;
    if !connected.http2 {
        let alone = super::Alone::over(connected).await.map_err(SendError::into_cause)?;
        if let Some(owner) = owner.upgrade() {
            owner.state().http1 = true;
            owner.rest(alone);
        }
        return Ok(Stage::Http1);
    }
    let heard = Arc::new(Mutex::new(Moment::now()));
    let io = TokioIo::new(Heard { io: connected.io, heard: heard.clone() });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_WAIT)
        // Until the upstream has said how many it takes, no call is begun: it would be refused, or wait for others.
        .initial_max_send_streams(0);
    let (sender, connection) = builder.handshake(io).await.map_err(|error| causes(&error))?;
    let connection = Arc::new(Mutex::new(connection));
    let runs = connection.clone();
    tokio::spawn(poll_fn(move |context| Pin::new(&mut *lock(&runs)).poll(context)));
    let open = Open { sender, connection, heard };
    let settings = async {
        while open.streams() == 0 && !open.sender.is_closed() {
            tokio::time::sleep(SETTINGS_LOOK).await;
        }
    };
    let said = tokio::time::timeout(SETTINGS_WAIT, settings).await;
    if said.is_err() || open.sender.is_closed() {
        return Err("it chose HTTP/2 and did not speak it".to_owned());
    }
    if let Some(owner) = owner.upgrade() {
        owner.state().streams = open.streams();
    }
    Ok(Stage::Open(open))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that notes when something came.
struct Heard {
    io: Io,
    heard: Arc<Mutex<Moment>>,
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            *lock(&self.heard) = Moment::now();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
