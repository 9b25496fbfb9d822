//! One call: to its upstream and back, with nothing changed but the names of the two ends of the connection.

use super::{
    BUFFER_BYTES_MAX, Stats,
    observe::{End, Head, Observation, ObserverHandle, Side},
    peer::Peer,
    route::{Route, route},
    tee::Tee,
    tunnel::{self, is_websocket},
};
use crate::{clock, upstreams::Upstreams};
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
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::{
    error::Error as _,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// An upstream that does not take the connection within this time is not there.
const CONNECT_WAIT: Duration = Duration::from_secs(15);
/// Providers close idle connections after a minute or more; a shorter time here avoids sending into a closing one.
const POOL_IDLE: Duration = Duration::from_secs(50);
/// The most that the headers of a reply over HTTP/2 may take.
const HEADERS_BYTES_MAX: u32 = 256 << 10;
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
    /// Over TLS it speaks what the upstream would rather speak, HTTP/2 or HTTP/1.1.
    client: Client<HttpsConnector<HttpConnector>, Tee>,
    /// For WebSockets, which begin in HTTP/1.1.
    upgrading: Client<HttpsConnector<HttpConnector>, Tee>,
    observer: ObserverHandle,
    stats: Arc<Stats>,
}

impl Forwarder {
    pub(super) fn new(upstreams: Upstreams, observer: ObserverHandle, stats: Arc<Stats>) -> Result<Forwarder, Fault> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_WAIT));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let no_tls =
            |cause: String| Fault::new(FaultCode::Internal, cause, "install the system's CA certificates (Debian: ca-certificates)");
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| no_tls(format!("TLS cannot be set up: {error}")))?;
        // A machine without certificates still reaches upstreams over plain http; https fails with a clear word.
        let tls = match tls.clone().with_native_roots() {
            Ok(tls) => tls.with_no_client_auth(),
            Err(_) => tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth(),
        };
        let connectors = || hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http();
        let mut clients = Client::builder(TokioExecutor::new());
        clients
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .http1_preserve_header_case(true)
            .http1_max_buf_size(BUFFER_BYTES_MAX)
            .timer(TokioTimer::new())
            .http2_adaptive_window(true)
            .http2_max_header_list_size(HEADERS_BYTES_MAX);
        let client = clients.build(connectors().enable_all_versions().wrap_connector(connector.clone()));
        let upgrading = clients.build(connectors().enable_http1().wrap_connector(connector));
        Ok(Forwarder { upstreams, client, upgrading, observer, stats })
    }

    /// Carries one call. Whatever goes wrong is said to the client in the shape that the providers' own errors have.
    pub(super) async fn handle(&self, mut request: Request<Incoming>, peer: Peer) -> Reply {
        let Some(route) = route(&self.upstreams, request.uri(), request.headers()) else {
            let path: String = request.uri().path().chars().take(100).collect();
            let names = self.upstreams.names().join(", ");
            return ours(
                StatusCode::NOT_FOUND,
                &format!(
                    "tollbar has no route for {path}: begin the path with an upstream's name (/openai/v1/..., /anthropic/v1/..., /p/<project>/openai/v1/...); upstreams: {names}"
                ),
            );
        };
        let _in_flight = InFlight::new(&self.stats);
        let address = format!("{}://{}", route.uri.scheme_str().unwrap_or("http"), route.uri.authority().map_or("", |host| host.as_str()));
        let upgrade = is_websocket(request.headers()).then(|| hyper::upgrade::on(&mut request));
        let (request, observation) = self.prepare(request, route, peer);
        let awaited = Awaited(observation);
        let client = if upgrade.is_some() { &self.upgrading } else { &self.client };
        let answer = client.request(request).await;
        let observation = awaited.came();
        match answer {
            Ok(mut response) => {
                let granted = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                let upgraded = upgrade.filter(|_| granted).map(|client| (client, hyper::upgrade::on(&mut response)));
                let (mut parts, body) = response.into_parts();
                drop_hop_by_hop(&mut parts.headers, upgraded.is_some());
                if let Some(observation) = &observation {
                    observation.head(parts.status, &parts.headers);
                }
                // The client speaks HTTP/1.1, whatever was spoken behind us.
                parts.version = hyper::Version::HTTP_11;
                if let Some((client, upstream)) = upgraded {
                    tokio::spawn(tunnel::carry(client, upstream, observation));
                    return Response::from_parts(parts, Either::Right(Full::default()));
                }
                Response::from_parts(parts, Either::Left(Tee::new(body, observation, Side::Reply)))
            }
            Err(error) => {
                if let Some(observation) = observation {
                    observation.failed();
                }
                let cause = causes(&error);
                let (status, said) = if error.is_connect() {
                    (StatusCode::BAD_GATEWAY, format!("tollbar cannot reach {address}: {cause}"))
                } else {
                    (StatusCode::BAD_GATEWAY, format!("tollbar lost the connection to {address} before it answered: {cause}"))
                };
                ours(status, &said)
            }
        }
    }

    /// The request as the upstream shall see it, and who watches it.
    fn prepare(&self, request: Request<Incoming>, route: Route, peer: Peer) -> (Request<Tee>, Option<super::observe::Observation>) {
        let (mut parts, body) = request.into_parts();
        let project_header = parts.headers.remove(PROJECT_HEADER);
        let project = project_header.as_ref().and_then(|name| name.to_str().ok());
        let mut random = [0; 16];
        let uuid = getrandom::fill(&mut random).ok().map(|()| CallUuid(u128::from_be_bytes(random)));
        let observation = uuid.and_then(|uuid| {
            self.observer.begin(Head {
                uuid,
                at: clock::now(),
                peer,
                upstream: &route.upstream,
                method: parts.method.as_str(),
                path: route.uri.path_and_query().map_or("/", |path| path.as_str()),
                headers: &parts.headers,
                project_in_path: route.project.as_deref(),
                project_in_header: project,
            })
        });
        let upgrades = is_websocket(&parts.headers);
        drop_hop_by_hop(&mut parts.headers, upgrades);
        if let Some(host) = route.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
            parts.headers.insert(header::HOST, host);
        }
        parts.uri = route.uri;
        parts.version = hyper::Version::HTTP_11;
        (Request::from_parts(parts, Tee::new(body, observation.clone(), Side::Request)), observation)
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

/// An error and what caused it, in one line.
fn causes(error: &hyper_util::client::legacy::Error) -> String {
    let mut said = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            said.push(text);
        }
        cause = error.source();
    }
    if said.is_empty() { error.to_string() } else { said.join(": ") }
}
