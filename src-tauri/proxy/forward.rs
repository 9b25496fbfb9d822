//! One call: to its upstream and back, with nothing changed but the names of the two ends of the connection.

use super::{
    ProxySettings, Stats,
    connections::Connections,
    guard::Guard,
    observe::{End, Head, Observation, ObserverHandle, Side},
    peer::Peer,
    route::{Route, route},
    tee::Tee,
    tunnel::{self, is_websocket},
};
use crate::{clock, outgoing::Connector, upstreams::Upstreams};
use events::{
    CallUuid,
    query::{Fault, FaultCode},
};
use http_body_util::{Either, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderName, HeaderValue},
};
use rustc_hash::FxHashMap;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// How many names a call may give to those within it: the calls of one conversation.
const CALLS_IN_ONE_MAX: u128 = 1 << 32;
/// As much of a path without a route is shown.
const SHOWN_PATH_CHARS_MAX: usize = 100;
/// The header that names a project. It is for us and goes no further.
const PROJECT_HEADER: &str = "x-tollbar-project";

/// What the client gets: the upstream's own body, or a few words of ours.
pub(super) type Reply = Response<Either<Tee, Full<Bytes>>>;

/// A call whose answer is awaited. A client that goes away before its head has come drops it, and the observer hears of it.
struct Awaited(Option<Observation>);

impl Awaited {
    /// The head has come, or will not.
    fn came(mut self) -> Option<Observation> {
        self.0.take()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(observation) = &self.0 {
            observation.ended(Side::Reply, End::Dropped);
        }
    }
}

/// Forwards calls.
pub(super) struct Forwarder {
    upstreams: Upstreams,
    /// By the upstream's name.
    connections: FxHashMap<String, Arc<Connections>>,
    guard: Guard,
    /// `None` where nothing is to be recorded.
    observer: Option<ObserverHandle>,
    /// The proxy's own name for its next call.
    next: AtomicU64,
    /// What those names begin with: they are never another engine's.
    names: u128,
    stats: Arc<Stats>,
}

impl Forwarder {
    pub(super) fn new(
        settings: ProxySettings,
        listens: SocketAddr,
        observer: Option<ObserverHandle>,
        stats: Arc<Stats>,
    ) -> Result<Forwarder, Fault> {
        let ProxySettings { upstreams, outgoing, hosts, under_way: _ } = settings;
        let connector = Arc::new(Connector::new(outgoing)?);
        let connections =
            upstreams.all().map(|upstream| (upstream.name.clone(), Connections::new(connector.clone(), upstream.base.clone())));
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| Fault::new(FaultCode::Internal, format!("no random numbers: {error}"), ""))?;
        let names = u128::from_be_bytes(random);
        let guard = Guard::new(listens, hosts);
        Ok(Forwarder { connections: connections.collect(), upstreams, guard, observer, next: AtomicU64::new(0), names, stats })
    }

    /// Carries one call. Whatever goes wrong is said to the client in the shape that the providers' own errors have.
    pub(super) async fn handle(&self, mut request: Request<Incoming>, peer: Peer) -> Reply {
        if let Err((status, cause)) = self.guard.check(&request) {
            return ours(status, &cause);
        }
        let Some(route) = route(&self.upstreams, request.uri(), request.headers()) else {
            let path: String = request.uri().path().chars().take(SHOWN_PATH_CHARS_MAX).collect();
            let names = self.upstreams.names().join(", ");
            return ours(
                StatusCode::NOT_FOUND,
                &format!(
                    "tollbar has no route for {path}: begin the path with an upstream's name (/openai/v1/..., /anthropic/v1/..., /p/<project>/openai/v1/...); upstreams: {names}"
                ),
            );
        };
        let _in_flight = InFlight::new(&self.stats);
        let upstream = route.upstream.clone();
        let address = route.uri.clone();
        let upgrade = is_websocket(request.headers()).then(|| hyper::upgrade::on(&mut request));
        let (request, observation) = self.prepare(request, route, peer, upgrade.is_some());
        let awaited = Awaited(observation);
        let Some(connections) = self.connections.get(&upstream.name) else {
            return ours(StatusCode::NOT_FOUND, &format!("tollbar has no upstream {}", upstream.name));
        };
        let answer = connections.send(request, upgrade.is_some()).await;
        let observation = awaited.came();
        match answer {
            Ok((mut response, seat)) => {
                let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                if switches && (upgrade.is_none() || !is_websocket(response.headers())) {
                    observation.iter().for_each(Observation::failed);
                    let cause = format!("{} changed to another protocol (101), which the call did not ask for", upstream.address());
                    return ours(StatusCode::BAD_GATEWAY, &cause);
                }
                let upgraded = upgrade.filter(|_| switches).map(|client| (client, hyper::upgrade::on(&mut response)));
                let (mut parts, body) = response.into_parts();
                drop_hop_by_hop(&mut parts.headers, upgraded.is_some());
                if let Some(observation) = &observation {
                    observation.head(parts.status, &parts.headers);
                }
                // The client speaks HTTP/1.1, whatever was spoken behind us.
                parts.version = hyper::Version::HTTP_11;
                if upgraded.is_some() && observation.is_none() && self.observer.is_some() {
                    self.stats.passed_unmetered(&upstream.name, "WebSocket", address.path());
                }
                if let Some((client, upstream)) = upgraded {
                    tokio::spawn(tunnel::carry(client, upstream, observation));
                    return Response::from_parts(parts, Either::Right(Full::default()));
                }
                Response::from_parts(parts, Either::Left(Tee::new(body, observation, Side::Reply).keeps(seat)))
            }
            Err(error) => {
                if let Some(observation) = observation {
                    observation.unanswered();
                }
                ours(StatusCode::BAD_GATEWAY, &error.message(&upstream.address()))
            }
        }
    }

    /// The request as the upstream shall see it, and who watches it.
    fn prepare(&self, request: Request<Incoming>, route: Route, peer: Peer, websocket: bool) -> (Request<Tee>, Option<Observation>) {
        let (mut parts, body) = request.into_parts();
        let project_header = parts.headers.remove(PROJECT_HEADER);
        let project = project_header.as_ref().and_then(|name| name.to_str().ok());
        let observation = self.observer.as_ref().and_then(|observer| {
            observer.begin(Head {
                uuid: self.next_name(),
                at: clock::now(),
                peer,
                upstream: &route.upstream,
                method: parts.method.as_str(),
                path: route.uri.path_and_query().map_or("/", |path| path.as_str()),
                headers: &parts.headers,
                websocket,
                project_in_path: route.project.as_deref(),
                project_in_header: project,
            })
        });
        drop_hop_by_hop(&mut parts.headers, websocket);
        if let Some(host) = route.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
            parts.headers.insert(header::HOST, host);
        }
        parts.uri = route.uri;
        parts.version = hyper::Version::HTTP_11;
        (Request::from_parts(parts, Tee::new(body, observation.clone(), Side::Request)), observation)
    }

    fn next_name(&self) -> CallUuid {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        CallUuid(self.names.wrapping_add(u128::from(number) * CALLS_IN_ONE_MAX))
    }
}

/// Counts a call for as long as its reply has not begun.
struct InFlight<'a>(&'a Stats);

impl InFlight<'_> {
    fn new(stats: &Stats) -> InFlight<'_> {
        stats.carried.fetch_add(1, Ordering::Relaxed);
        stats.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(stats)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Drops what speaks of one connection only (RFC 9110, section 7.6.1), and keeps the order of the rest. Where a WebSocket is asked for or
/// granted, that is said on.
fn drop_hop_by_hop(headers: &mut HeaderMap, upgrades: bool) {
    const ALWAYS: [HeaderName; 7] = [
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        HeaderName::from_static("proxy-connection"),
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let goes = |name: &HeaderName| ALWAYS.contains(name) || named.contains(name);
    if !headers.keys().any(goes) {
        return;
    }
    // `HeaderMap::remove` would put the last header in the place of the one that goes.
    let all = std::mem::take(headers);
    headers.reserve(all.len());
    for (name, value) in &all {
        if upgrades && name == header::CONNECTION && !headers.contains_key(name) {
            headers.insert(name, HeaderValue::from_static("Upgrade"));
        } else if !goes(name) || upgrades && name == header::UPGRADE {
            headers.append(name, value.clone());
        }
    }
}

/// An answer of ours, in a shape that the SDKs of OpenAI, Anthropic and Google all read.
fn ours(status: StatusCode, message: &str) -> Reply {
    let error = serde_json::json!({ "message": message, "type": "tollbar_error", "code": status.as_u16(), "param": null });
    let body = serde_json::json!({ "type": "error", "error": error }).to_string();
    let mut response = Response::new(Either::Right(Full::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
