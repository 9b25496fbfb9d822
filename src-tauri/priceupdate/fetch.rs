//! Fetches the data sets, each only if it changed. No redirect is followed, nothing larger than allowed is read, and what was fetched is
//! kept only after it made a sound book.

use super::{Address, Folder};
use crate::{
    engine::write_private,
    outgoing::{Connector, Offers, Outgoing},
    pricebuild::{SET_BYTES_MAX, Set},
    regular::open_regular,
};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderMap, HeaderName},
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// One set, from the first byte sent to the last one read.
const SET_WAIT: Duration = Duration::from_secs(60);
/// A file that only names another one.
const POINTER_BYTES_MAX: usize = 64 << 10;
const POINTER_NAME: &str = "latest.json";

/// Why a set was not fetched.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch {} from {address}: {cause}", set.name())]
pub struct FetchError {
    /// Which.
    pub set: Set,
    /// From where.
    pub address: Box<Address>,
    /// Why.
    pub cause: Cause,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// It is another place's now; whose, nobody here can judge.
    #[error("it redirects to {0:?}, which is not followed")]
    Redirect(String),
    /// The server has no such file, or no wish to give it.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// A page to look at.
    #[error("it is a web page (HTML), not data")]
    WebPage,
    /// Encoded as nobody asked for.
    #[error("it is encoded as {0:?}, which was not asked for")]
    Encoded(String),
    /// Larger than any honest set.
    #[error("it is larger than {SET_BYTES_MAX} bytes")]
    TooLarge,
    /// Cut.
    #[error("it ended too early: {0}")]
    Cut(String),
    /// Nobody there.
    #[error("nobody answers: {0}")]
    Unreachable(String),
    /// Too slow.
    #[error("it took longer than {} seconds", SET_WAIT.as_secs())]
    Slow,
    /// It names a file that is another one.
    #[error("it names {named}, but that file's hash is {found}")]
    Hash {
        /// The hash that was promised.
        named: String,
        /// That of the file.
        found: String,
    },
    /// It names no file.
    #[error("it names no file by its hash")]
    Pointer,
    /// No such file, or none that can be read.
    #[error("{0}")]
    File(io::Error),
}

/// What a server said of a set, to ask again only for what is newer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Seen {
    address: String,
    etag: Option<String>,
    last_modified: Option<String>,
}

/// The sets, and what is to be remembered of them.
#[derive(Debug)]
pub struct Fetched {
    /// The sets.
    pub folder: Folder,
    /// How many of them came anew.
    pub newer: usize,
    seen: Vec<(Set, Seen, Vec<u8>)>,
}

impl Fetched {
    /// Keeps what was fetched, so that it need not be fetched again. Called only once it made a sound book.
    pub fn keep(&self, state: &Path) -> io::Result<()> {
        for (set, seen, bytes) in &self.seen {
            // The bytes first: a note of what is not there would be worse than none.
            write_private(&kept(state, *set), bytes)?;
            write_private(&note(state, *set), serde_json::to_vec(seen).expect("texts are JSON"))?;
        }
        Ok(())
    }
}

fn kept(state: &Path, set: Set) -> PathBuf {
    state.join("prices").join(set.file())
}

fn note(state: &Path, set: Set) -> PathBuf {
    state.join("prices").join(format!("{}.seen", set.file()))
}

/// Fetches every set. One that cannot be had ends it: a book of three would lack what the fourth knows.
pub fn fetch(addresses: &BTreeMap<Set, Address>, outgoing: &Outgoing, state: &Path) -> Result<Fetched, FetchError> {
    let mut fetched = Fetched { folder: Folder::default(), newer: 0, seen: Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    for set in Set::ALL {
        let address = addresses.get(&set).cloned().unwrap_or_else(|| Address::of(set));
        let failed = |cause| FetchError { set, address: Box::new(address.clone()), cause };
        let runtime = runtime.as_ref().map_err(|error| failed(Cause::Unreachable(error.to_string())))?;
        let known = Known::read(state, set, &address);
        let work = async { tokio::time::timeout(SET_WAIT, one(&address, outgoing, &known.seen)).await.unwrap_or(Err(Cause::Slow)) };
        match runtime.block_on(work).map_err(failed)? {
            Some((bytes, seen)) => {
                fetched.newer += usize::from(known.bytes.as_ref() != Some(&bytes));
                fetched.seen.push((set, seen, bytes.clone()));
                fetched.folder.insert(set, bytes);
            }
            None => fetched.folder.insert(set, known.bytes.unwrap_or_default()),
        }
    }
    Ok(fetched)
}

/// What was kept of a set the last time.
struct Known {
    seen: Seen,
    bytes: Option<Vec<u8>>,
}

impl Known {
    /// Nothing, where it is of another address, or the bytes are gone: then all is asked for.
    fn read(state: &Path, set: Set, address: &Address) -> Known {
        let seen: Seen = fs::read(note(state, set)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let bytes = fs::read(kept(state, set)).ok().filter(|bytes| bytes.len() <= SET_BYTES_MAX);
        let fits = seen.address == address.to_string() && bytes.is_some();
        Known { seen: if fits { seen } else { Seen::default() }, bytes: bytes.filter(|_| fits) }
    }
}

/// A set's bytes; `None` where they are what was seen.
async fn one(address: &Address, outgoing: &Outgoing, seen: &Seen) -> Result<Option<(Vec<u8>, Seen)>, Cause> {
    let Some((bytes, mut told)) = get(address, outgoing, seen, SET_BYTES_MAX).await? else { return Ok(None) };
    told.address = address.to_string();
    if !is_pointer(address) {
        return Ok(Some((bytes, told)));
    }
    // A small file names the newest one by its hash, and stays what it is where nothing is new.
    #[derive(Deserialize)]
    struct Pointer {
        sha256: String,
    }
    let Ok(Pointer { sha256: named }) = serde_json::from_slice(&bytes) else { return Err(Cause::Pointer) };
    if bytes.len() > POINTER_BYTES_MAX || named.len() != 64 || !named.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Cause::Pointer);
    }
    let target = address.beside(&format!("{named}.json")).ok_or(Cause::Pointer)?;
    let Some((bytes, _)) = get(&target, outgoing, &Seen::default(), SET_BYTES_MAX).await? else { return Err(Cause::Pointer) };
    let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if found.eq_ignore_ascii_case(&named) { Ok(Some((bytes, told))) } else { Err(Cause::Hash { named, found }) }
}

fn is_pointer(address: &Address) -> bool {
    match address {
        Address::Server(uri) => uri.path().rsplit('/').next() == Some(POINTER_NAME),
        Address::File(path) => path.file_name().is_some_and(|name| name == POINTER_NAME),
    }
}

async fn get(address: &Address, outgoing: &Outgoing, seen: &Seen, bytes_max: usize) -> Result<Option<(Vec<u8>, Seen)>, Cause> {
    match address {
        Address::File(path) => {
            let file = open_regular(path).map_err(Cause::File)?;
            if file.length() > bytes_max as u64 {
                return Err(Cause::TooLarge);
            }
            Ok(Some((file.rest().map_err(Cause::File)?, Seen::default())))
        }
        Address::Server(uri) => ask(uri, outgoing, seen, bytes_max).await,
    }
}

async fn ask(uri: &Uri, outgoing: &Outgoing, seen: &Seen, bytes_max: usize) -> Result<Option<(Vec<u8>, Seen)>, Cause> {
    let mut request = Request::get(uri.clone()).header(header::USER_AGENT, concat!("tollbar/", env!("CARGO_PKG_VERSION")));
    for (name, value) in [(header::IF_NONE_MATCH, &seen.etag), (header::IF_MODIFIED_SINCE, &seen.last_modified)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| Cause::Unreachable(error.to_string()))?;
    let response = send(request, outgoing).await?;
    let Some(response) = judged(response, seen)? else { return Ok(None) };
    let named = |name: HeaderName| text(response.headers(), name);
    let told = Seen { address: String::new(), etag: named(header::ETAG), last_modified: named(header::LAST_MODIFIED) };
    let body = Limited::new(response.into_body(), bytes_max).collect().await;
    let body = body.map_err(|error| match error.downcast::<http_body_util::LengthLimitError>() {
        Ok(_) => Cause::TooLarge,
        Err(error) => Cause::Cut(error.to_string()),
    })?;
    Ok(Some((body.to_bytes().to_vec(), told)))
}

/// The reply, if its body is worth reading; `None` where nothing is new.
fn judged(response: Response<Incoming>, seen: &Seen) -> Result<Option<Response<Incoming>>, Cause> {
    let named = |name: HeaderName| text(response.headers(), name);
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED if *seen != Seen::default() => return Ok(None),
        status if status.is_redirection() && status != StatusCode::NOT_MODIFIED => {
            return Err(Cause::Redirect(named(header::LOCATION).unwrap_or_default()));
        }
        status => return Err(Cause::Status(status)),
    }
    if named(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html")) {
        return Err(Cause::WebPage);
    }
    if let Some(encoding) = named(header::CONTENT_ENCODING).filter(|encoding| encoding != "identity") {
        return Err(Cause::Encoded(encoding));
    }
    let announced = named(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > SET_BYTES_MAX as u64) {
        return Err(Cause::TooLarge);
    }
    Ok(Some(response))
}

/// A header, as far as a message can take it.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    const HEADER_CHARS_MAX: usize = 300;
    Some(headers.get(name)?.to_str().ok()?.chars().take(HEADER_CHARS_MAX).collect())
}

/// Sends a request over a connection of its own.
async fn send(mut request: Request<Empty<Bytes>>, outgoing: &Outgoing) -> Result<Response<Incoming>, Cause> {
    let connector = Connector::new(outgoing.clone()).map_err(|fault| Cause::Unreachable(fault.to_string()))?;
    // A tunnel also where the address is plain: the request needs no other form then.
    let connected = connector.connect(request.uri(), Offers::Tunnel).await.map_err(|error| Cause::Unreachable(root(&error)))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(connected.io)).await.map_err(|error| Cause::Unreachable(root(&error)))?;
    tokio::spawn(connection);
    if let Some(host) = request.uri().authority().and_then(|host| host.as_str().parse().ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
    if let Some(path) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = Uri::from(path);
    }
    sender.send_request(request).await.map_err(|error| Cause::Unreachable(root(&error)))
}

/// The innermost cause: the outer ones say only that something was asked.
fn root(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}
