//! The transparent proxy: forwards calls byte for byte and lets an observer read a copy.
//!
//! Observation may give up; forwarding may not. Nothing here names a provider, decodes a body, or waits for the log.

mod connections;
mod forward;
mod guard;
mod route;
mod tee;
mod tunnel;

mod observe;
mod tape;

mod conclude;
mod follow;
mod peer;
mod under_way;

pub(crate) use under_way::left_behind;

use crate::{engine::Recorder, meter, outgoing::Outgoing, upstreams::Upstreams};
use events::query::{Fault, FaultCode, ProxyFacts, Unmetered};
use forward::Forwarder;
use hyper_util::rt::{TokioIo, TokioTimer};
use observe::Observer;
use peer::{Callers, Peer};
use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// How long calls on their way may take to end after the proxy was told to stop.
const DRAIN_WAIT: Duration = Duration::from_secs(5);
/// How much of a body is held between reading and writing, and the most that the head of a call may take.
const BUFFER_BYTES_MAX: usize = 128 << 10;
/// How many connections may wait to be accepted, if the system allows so many.
#[cfg(unix)]
const BACKLOG: i32 = 4_096;
/// After an error of `accept` (no file handles left), how long to wait before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many shapes of calls that are not metered are told apart, and what stands for all others.
const SHAPES_MAX: usize = 32;
const OTHER_SHAPES: &str = "other paths";

/// A running proxy. Dropping it stops it: no new calls, those on their way may end.
pub struct Proxy {
    address: String,
    stats: Arc<Stats>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    /// `None` where nothing is to be recorded.
    observer: Option<Observer>,
}

/// How calls are forwarded.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// Whom the proxy can call.
    pub upstreams: Upstreams,
    /// How they are reached.
    pub outgoing: Outgoing,
    /// The names by which the proxy may be called on loopback, beside addresses and `localhost`.
    pub hosts: Vec<String>,
    /// The file that names the calls under way, for the case that the engine is killed.
    pub under_way: PathBuf,
}

/// What the proxy counts.
#[derive(Debug)]
pub struct Stats {
    address: String,
    upstreams: Vec<String>,
    carried: AtomicU64,
    in_flight: AtomicU64,
    unobserved: AtomicU64,
    unmetered: Mutex<BTreeMap<String, u64>>,
    /// Calls that were recorded without their origin, because it was not found in time.
    unplaced: AtomicU64,
}

impl Stats {
    /// Counts a call that may be billed and that no dialect reads, by its shape.
    fn passed_unmetered(&self, upstream: &str, method: &str, path: &str) {
        let Some(shape) = meter::unmetered_shape(method, path) else { return };
        let mut unmetered = self.unmetered.lock().unwrap_or_else(PoisonError::into_inner);
        let shape = format!("{upstream} {shape}");
        let known = unmetered.len() < SHAPES_MAX || unmetered.contains_key(&shape);
        let calls = unmetered.entry(if known { shape } else { OTHER_SHAPES.to_owned() }).or_default();
        *calls = calls.saturating_add(1);
    }

    /// The counts as they stand, with the calls that the writer could not take.
    pub fn facts(&self, unrecorded: u64) -> ProxyFacts {
        ProxyFacts {
            address: self.address.clone(),
            carried: self.carried.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            unobserved: self.unobserved.load(Ordering::Relaxed) + unrecorded,
            unplaced: self.unplaced.load(Ordering::Relaxed),
            upstreams: self.upstreams.clone(),
            unmetered: self.unmetered(),
        }
    }
}

impl Stats {
    fn unmetered(&self) -> Vec<Unmetered> {
        let unmetered = self.unmetered.lock().unwrap_or_else(PoisonError::into_inner);
        unmetered.iter().map(|(shape, calls)| Unmetered { shape: shape.clone(), calls: *calls }).collect()
    }
}

impl Proxy {
    /// Serves calls on a thread of its own until it is dropped. Without a writer nothing is recorded.
    pub fn start(listener: TcpListener, settings: ProxySettings, writer: Option<Recorder>) -> Result<Proxy, Fault> {
        let failed =
            |error: std::io::Error| Fault::new(FaultCode::Unreachable, format!("the proxy cannot start: {error}"), "see `tollbar status`");
        raise_open_files_max();
        let listens = listener.local_addr().map_err(failed)?;
        let address = format!("http://{listens}");
        listener.set_nonblocking(true).map_err(failed)?;
        let stats = Arc::new(Stats {
            address: address.clone(),
            upstreams: settings.upstreams.names(),
            carried: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            unobserved: AtomicU64::new(0),
            unmetered: Mutex::default(),
            unplaced: AtomicU64::new(0),
        });
        let observer = writer.map(|writer| Observer::start(writer, stats.clone(), settings.under_way.clone()));
        let forwarder = Arc::new(Forwarder::new(settings, listens, observer.as_ref().map(Observer::handle), stats.clone())?);
        // One thread: measured faster than two here, and the meter and the writer have theirs (docs/ARCHITECTURE.md, "Threads").
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, stopped) = watch::channel(false);
        let callers = observer.as_ref().map(Observer::callers);
        let serve = move || runtime.block_on(serve(listener, forwarder, callers, stopped));
        let thread = std::thread::Builder::new().name("tollbar-proxy".into()).spawn(serve).map_err(failed)?;
        Ok(Proxy { address, stats, stop, thread: Some(thread), observer })
    }

    /// Where it listens, as a URL.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it counts.
    pub fn stats(&self) -> Arc<Stats> {
        self.stats.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // A proxy that is gone already has nobody who listens.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // The last calls are metered before the writer stops.
        if let Some(observer) = &mut self.observer {
            observer.finish();
        }
    }
}

/// For the fuzzers: looks where a call of this address goes.
pub(crate) fn any_route(upstreams: &Upstreams, uri: &hyper::Uri) {
    let _ = route::route(upstreams, uri, &hyper::HeaderMap::new());
}

/// Listens for calls, with room for as many that come at once as the system allows.
pub(crate) fn listen(address: std::net::SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // The standard library asks for 128: the connections beyond them would wait a second for their next try, or be refused.
    #[cfg(unix)]
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// Lets this process have as many files open as the system allows it: each call takes two connections, and many systems begin with 1,024.
fn raise_open_files_max() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // A system that does not allow it leaves the limit where it is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

async fn serve(listener: TcpListener, forwarder: Arc<Forwarder>, callers: Option<Callers>, mut stopped: watch::Receiver<bool>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    // Every connection holds an end of this; when the last one has gone, all calls have ended.
    let (connected, mut all_gone) = mpsc::channel::<std::convert::Infallible>(1);
    for connection in 0.. {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => break,
        };
        let Ok((stream, socket)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // A chunk of a stream must not wait for the next one.
        let _ = stream.set_nodelay(true);
        let forwarder = forwarder.clone();
        // A connection that is gone already has no address of ours, and nobody to look for.
        let ours = stream.local_addr().unwrap_or(socket);
        let peer = Peer { connection, socket, ours };
        callers.iter().for_each(|callers| callers.connected(peer));
        let service = hyper::service::service_fn(move |request| {
            let forwarder = forwarder.clone();
            async move { Ok::<_, std::convert::Infallible>(forwarder.handle(request, peer).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .preserve_header_case(true)
            .max_buf_size(BUFFER_BYTES_MAX)
            // A reply has the date that its upstream gave it, or none.
            .auto_date_header(false)
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let (mut stopped, connected) = (stopped.clone(), connected.clone());
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            // An error of a connection is the client's or the upstream's, and both have been told.
            let _ = tokio::select! {
                ended = connection.as_mut() => ended,
                _ = stopped.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            drop(connected);
        });
    }
    drop((listener, connected));
    let _ = tokio::time::timeout(DRAIN_WAIT, all_gone.recv()).await;
}
