//! The control API: questions, commands and changes over loopback HTTP, and the dashboard that uses them.
//!
//! `POST /ask/<name>`, `POST /tell`, `GET /watch` (server-sent events), `GET /hello`, `POST /stop`. Every request must name a loopback
//! host, come from no foreign origin, and bring the token from a file that only this user can read. The dashboard's files
//! need no token: there is nothing of the user's in them.

mod client;

use super::Recorder;
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use events::{
    Command, Seq,
    query::{
        Advice, BookInForce, Budgets, Calls, Coverage, EngineFacts, Explain, Fault, FaultCode, Health, Missing, MissingPrices, Models,
        Plans, Projects, Query, Recent, Reprice, Size, SpendBy, Today, Verify,
    },
};
use serde::Serialize;
use std::{
    convert::Infallible,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::sync::{Notify, broadcast::error::RecvError};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

pub use client::{ControlClient, announced_proxy, foreign};
pub(super) use client::{Notice, announced_pid, notice_path, silent, token_path};

/// Both sides must speak the same number; it grows with every change that an older side would not understand.
pub const PROTOCOL: u32 = 1;
/// The header that carries it.
pub const PROTOCOL_HEADER: &str = "x-tollbar-protocol";
/// Says as of which entry of the log a question is answered.
const SEQ_HEADER: &str = "x-tollbar-seq";
/// A full batch of sightings with what the provider said is below this.
const BODY_BYTES_MAX: usize = 64 << 20;
/// A silent stream says so now and then, so that either side notices when the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

#[derive(rust_embed::RustEmbed)]
#[folder = "ui/dist"]
struct Dashboard;

/// What the handlers share.
#[derive(Clone)]
pub(super) struct Control {
    pub(super) recorder: Recorder,
    pub(super) facts: Arc<dyn Fn() -> EngineFacts + Send + Sync>,
    pub(super) token: Arc<str>,
    pub(super) port: u16,
    pub(super) stop: Arc<Notify>,
}

/// The answer to `GET /hello`: who is there.
#[derive(Debug, Serialize, serde::Deserialize)]
pub(super) struct Hello {
    pub(super) program: String,
    pub(super) version: String,
    pub(super) protocol: u32,
    pub(super) pid: u32,
}

/// The routes with all their guards.
pub(super) fn router(control: Control) -> Router {
    let guarded = Router::new()
        .route("/hello", get(hello))
        .route("/ask/{name}", post(ask))
        .route("/tell", post(tell))
        .route("/watch", get(watch))
        .route("/stop", post(stop))
        .layer(middleware::from_fn_with_state(control.clone(), demand_token));
    Router::new()
        .merge(guarded)
        .fallback(get(dashboard))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(control.clone(), demand_loopback))
        .with_state(control)
}

/// Refuses requests that a web page could have caused: a name that resolves here (DNS rebinding), or a foreign origin.
async fn demand_loopback(State(control): State<Control>, request: Request, next: Next) -> Response {
    let mut response = answer_loopback(control, request, next).await;
    guard(response.headers_mut());
    response
}

async fn answer_loopback(control: Control, request: Request, next: Next) -> Response {
    let port = control.port;
    let ours = [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}")];
    let host = text(request.headers(), header::HOST.as_str());
    if !host.is_some_and(|host| ours.iter().any(|our| our.eq_ignore_ascii_case(host))) {
        return refusal(
            StatusCode::FORBIDDEN,
            "the request names another host than this one",
            "use the address that `tollbar status` shows",
        );
    }
    if let Some(origin) = text(request.headers(), header::ORIGIN.as_str())
        && !ours.iter().any(|our| origin.strip_prefix("http://").is_some_and(|origin| our.eq_ignore_ascii_case(origin)))
    {
        return refusal(StatusCode::FORBIDDEN, "the request comes from another origin", "open the dashboard with `tollbar dashboard`");
    }
    next.run(request).await
}

/// What a browser is told with every answer, refusals too: nothing is kept, framed, sent elsewhere or run from elsewhere.
fn guard(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; connect-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; \
             form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
        ),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ] {
        headers.insert(header::HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

async fn demand_token(State(control): State<Control>, request: Request, next: Next) -> Response {
    let given = text(request.headers(), header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    if !given.is_some_and(|given| same(given.as_bytes(), control.token.as_bytes())) {
        return refusal(StatusCode::UNAUTHORIZED, "the token is missing or wrong", "open the dashboard again with `tollbar dashboard`");
    }
    match text(request.headers(), PROTOCOL_HEADER) {
        Some(protocol) if protocol == PROTOCOL.to_string() => next.run(request).await,
        _ => refusal(
            StatusCode::UPGRADE_REQUIRED,
            &format!("the other side speaks another protocol than {PROTOCOL}"),
            "update tollbar, then `tollbar stop` and start it again",
        ),
    }
}

/// Compares without telling by its time how far two tokens agree.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

async fn hello() -> Json<Hello> {
    Json(Hello { program: "tollbar".into(), version: env!("CARGO_PKG_VERSION").into(), protocol: PROTOCOL, pid: std::process::id() })
}

async fn ask(State(control): State<Control>, Path(name): Path<String>, body: Bytes) -> Response {
    // With an asker who goes, so does this.
    let here = Arc::new(());
    let asker = Arc::downgrade(&here);
    // It may read for seconds, on a thread that may.
    let answered = tokio::task::spawn_blocking(move || ask_by_name(&control, &asker, &name, &body)).await;
    drop(here);
    match answered.unwrap_or_else(|_| Err(Fault::new(FaultCode::Internal, "the question could not be answered", ""))) {
        Ok((seq, answer)) => {
            let mut response = json(answer);
            response.headers_mut().insert(SEQ_HEADER, seq.0.into());
            response
        }
        Err(refused) => fault(refused),
    }
}

/// Asks the question of that name: JSON in, JSON out.
fn ask_by_name(control: &Control, asker: &Weak<()>, name: &str, body: &[u8]) -> Result<(Seq, Vec<u8>), Fault> {
    fn asked<Q: Query>((control, asker): (&Control, &Weak<()>), body: &[u8]) -> Result<(Seq, Vec<u8>), Fault> {
        let body = if body.is_empty() { b"{}" } else { body };
        let query: Q = serde_json::from_slice(body).map_err(|error| {
            Fault::refused(format!("this is no question {:?}: {error}", Q::NAME), "see docs/CONTROL-API.md for its form")
        })?;
        let (seq, answer) = control.recorder.ask_for::<Q>(Some(asker), &query, (control.facts)())?;
        Ok((seq, written(&answer)?))
    }
    fn written(answer: &impl Serialize) -> Result<Vec<u8>, Fault> {
        serde_json::to_vec(answer).map_err(|error| Fault::new(FaultCode::Internal, format!("the answer cannot be written: {error}"), ""))
    }
    let ask = (control, asker);
    match name {
        Today::NAME => asked::<Today>(ask, body),
        SpendBy::NAME => asked::<SpendBy>(ask, body),
        Budgets::NAME => asked::<Budgets>(ask, body),
        Recent::NAME => asked::<Recent>(ask, body),
        Health::NAME => {
            let health = control.recorder.health((control.facts)())?;
            Ok((Seq(health.entries), written(&health)?))
        }
        Reprice::NAME => asked::<Reprice>(ask, body),
        Calls::NAME => asked::<Calls>(ask, body),
        Models::NAME => asked::<Models>(ask, body),
        MissingPrices::NAME => asked::<MissingPrices>(ask, body),
        BookInForce::NAME => asked::<BookInForce>(ask, body),
        Explain::NAME => asked::<Explain>(ask, body),
        Advice::NAME => asked::<Advice>(ask, body),
        Plans::NAME => asked::<Plans>(ask, body),
        Coverage::NAME => asked::<Coverage>(ask, body),
        Missing::NAME => asked::<Missing>(ask, body),
        Projects::NAME => asked::<Projects>(ask, body),
        Size::NAME => asked::<Size>(ask, body),
        Verify::NAME => asked::<Verify>(ask, body),
        _ => Err(Fault::new(FaultCode::NotFound, format!("there is no question {name:?}"), "see docs/CONTROL-API.md for all of them")),
    }
}

async fn tell(State(control): State<Control>, body: Bytes) -> Response {
    let told = tokio::task::spawn_blocking(move || {
        let command: Command = serde_json::from_slice(&body)
            .map_err(|error| Fault::refused(format!("this is no command: {error}"), "see docs/CONTROL-API.md for their forms"))?;
        control.recorder.writer()?.tell(command)
    });
    match told.await {
        Ok(Ok(told)) => Json(told).into_response(),
        Ok(Err(refused)) => fault(refused),
        Err(_) => fault(Fault::new(FaultCode::Internal, "the command could not be carried out", "")),
    }
}

/// `changed` with the newest sequence number, `alert` with what was raised.
async fn watch(State(control): State<Control>) -> Response {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(16);
    let mut changes = control.recorder.changes();
    tokio::spawn(async move {
        let mut next = Bytes::from_static(b": tollbar\n\n");
        while sender.send(next).await.is_ok() {
            next = match tokio::time::timeout(KEEP_ALIVE, changes.recv()).await {
                Err(_) => Bytes::from_static(b": still here\n\n"),
                Ok(Err(RecvError::Closed)) => break,
                // Whoever lags asks again: what is missed is the count of changes, not what changed.
                Ok(Err(RecvError::Lagged(_))) => Bytes::from_static(b"event: changed\ndata: {}\n\n"),
                Ok(Ok(change)) => {
                    let mut text = String::new();
                    for alert in change.alerts.iter() {
                        text += &format!("event: alert\ndata: {}\n\n", serde_json::to_string(alert).unwrap_or_default());
                    }
                    text += &format!("event: changed\ndata: {{\"seq\":{}}}\n\n", change.seq.0);
                    text.into()
                }
            };
        }
    });
    let frames = ReceiverStream::new(receiver).map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::from_stream(frames));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn stop(State(control): State<Control>) -> StatusCode {
    control.stop.notify_one();
    StatusCode::ACCEPTED
}

async fn dashboard(request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let path = if path.is_empty() { "index.html" } else { path };
    match Dashboard::get(path) {
        Some(file) => {
            let kind = file.metadata.mimetype().to_owned();
            ([(header::CONTENT_TYPE, kind)], file.data.into_owned()).into_response()
        }
        None => refusal(StatusCode::NOT_FOUND, "there is no such page", "open the dashboard with `tollbar dashboard`"),
    }
}

fn json(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

fn fault(fault: Fault) -> Response {
    let status = match fault.code {
        FaultCode::Refused => StatusCode::UNPROCESSABLE_ENTITY,
        FaultCode::NotFound => StatusCode::NOT_FOUND,
        FaultCode::Storage => StatusCode::INSUFFICIENT_STORAGE,
        FaultCode::Unreachable => StatusCode::BAD_GATEWAY,
        FaultCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Json(fault)).into_response()
}

fn refusal(status: StatusCode, message: &str, hint: &str) -> Response {
    (status, Json(Fault::refused(message, hint))).into_response()
}
