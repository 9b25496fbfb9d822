//! The other end of the control API, for processes that do not hold the log.

use super::{Hello, PROTOCOL, PROTOCOL_HEADER};
use crate::{
    config::Home,
    engine::{Told, presence},
};
use events::{
    Command,
    query::{Fault, FaultCode, Query},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    net::SocketAddr,
    path::PathBuf,
    sync::mpsc::{RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

/// An engine that does not take the connection within this time is not there, or does not answer.
const CONNECT_WAIT: Duration = Duration::from_millis(500);
/// An engine says who it is within this time, whatever else it does: nothing of the log is read for it.
const HELLO_WAIT: Duration = Duration::from_millis(1_900);
/// While an answer is awaited, the engine is asked so often whether it is still there.
const STILL_THERE_EVERY: Duration = Duration::from_secs(1);
/// An answer larger than this is not ours.
const ANSWER_BYTES_MAX: u64 = 2 << 30;
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What a running engine leaves for others to find it.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::engine) struct Notice {
    pub(in crate::engine) pid: u32,
    pub(in crate::engine) address: String,
    /// Where the proxy listens.
    #[serde(default)]
    pub(in crate::engine) proxy: Option<String>,
}

/// Where the notice stands.
pub(in crate::engine) fn notice_path(home: &Home) -> PathBuf {
    home.state.join("engine.json")
}

/// Where the token stands.
pub(in crate::engine) fn token_path(home: &Home) -> PathBuf {
    home.state.join("token")
}

/// The process that the notice names.
pub(in crate::engine) fn announced_pid(home: &Home) -> Option<u32> {
    let notice: Notice = serde_json::from_slice(&fs::read(notice_path(home)).ok()?).ok()?;
    Some(notice.pid)
}

/// Where the engine of this home said last that its proxy listens. Whether it still does is not asked.
pub fn announced_proxy(home: &Home) -> Option<SocketAddr> {
    let notice: Notice = serde_json::from_slice(&fs::read(notice_path(home)).ok()?).ok()?;
    notice.proxy?.strip_prefix("http://")?.parse().ok()
}

/// A way to the process that holds the log.
#[derive(Clone)]
pub struct ControlClient {
    agent: ureq::Agent,
    address: String,
    token: String,
    pid: u32,
}

impl ControlClient {
    /// The running engine of this home, if there is one that answers.
    ///
    /// An error if one is there that cannot be talked to: [`FaultCode::Unreachable`] of an engine that does not answer,
    /// [`FaultCode::Storage`] of another user's home, [`FaultCode::Refused`] of one that does not take our token.
    pub fn knock(home: &Home) -> Result<Option<ControlClient>, Fault> {
        let notice = match fs::read(notice_path(home)) {
            Ok(notice) => notice,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return foreign(home).map_or(Ok(None), Err),
            Err(_) => return Ok(None),
        };
        let Ok(notice) = serde_json::from_slice::<Notice>(&notice) else { return Ok(None) };
        let token = fs::read_to_string(token_path(home)).unwrap_or_default();
        let config = ureq::Agent::config_builder().timeout_connect(Some(CONNECT_WAIT)).http_status_as_error(false).proxy(None).build();
        let client = ControlClient { agent: config.into(), address: notice.address, token: token.trim().to_owned(), pid: notice.pid };
        match client.hello() {
            Ok(hello) if hello.program == "tollbar" && hello.protocol == PROTOCOL => Ok(Some(client)),
            // Another program took the port since: ours is gone.
            Ok(_) => Ok(None),
            // Is it ours that does not answer? A port that is mute may be another program's, and the number another process's.
            Err(fault) if fault.code == FaultCode::Unreachable => presence::engine_process(home).map_or(Ok(None), |pid| Err(silent(pid))),
            Err(fault) if fault.code == FaultCode::Internal => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Asks who is there. [`FaultCode::Unreachable`] only if there is no answer in time; [`FaultCode::Internal`] if there is nobody, or not
    /// one of ours.
    fn hello(&self) -> Result<Hello, Fault> {
        let request = self.agent.get(format!("{}/hello", self.address)).config().timeout_global(Some(HELLO_WAIT)).build();
        match self.credentials(request).call() {
            Err(error) if is_late(&error) => Err(silent(self.pid)),
            Err(error) => Err(Fault::new(FaultCode::Internal, format!("nobody answers at {}: {error}", self.address), "")),
            answered => self.read(answered),
        }
    }

    /// The process that answers.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The dashboard with its token: whoever has this link can read everything.
    pub fn dashboard_link(&self) -> String {
        format!("{}/#token={}", self.address, self.token)
    }

    /// Asks a question.
    pub fn ask<Q: Query>(&self, query: &Q) -> Result<Q::Answer, Fault> {
        self.post(&format!("ask/{}", Q::NAME), query)
    }

    /// Asks the question of that name, JSON in and JSON out, as the window does.
    pub fn ask_by_name(&self, name: &str, question: &serde_json::Value) -> Result<serde_json::Value, Fault> {
        self.post(&format!("ask/{name}"), question)
    }

    /// Tells a command.
    pub fn tell(&self, command: &Command) -> Result<Told, Fault> {
        self.post("tell", command)
    }

    /// Asks the engine to finish what it does and go.
    pub fn stop(&self) -> Result<(), Fault> {
        self.patiently(|client| {
            let response = client.agent.post(format!("{}/stop", client.address));
            let response = client.credentials(response).send_empty();
            response.map(drop).map_err(|error| client.unreachable(&error))
        })
    }

    /// Calls `hear` with the name and the data of each event until the engine goes or `hear` says to stop.
    pub fn watch(&self, mut hear: impl FnMut(&str, &str) -> bool) -> Result<(), Fault> {
        let request = self.credentials(self.agent.get(format!("{}/watch", self.address)));
        let response = request.call().map_err(|error| self.unreachable(&error))?;
        let mut lines = BufReader::new(response.into_body().into_reader());
        let mut name = String::new();
        loop {
            let mut line = String::new();
            match lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut line) {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => {}
            }
            if let Some(event) = line.strip_prefix("event: ") {
                event.trim_end().clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ")
                && !hear(&name, data.trim_end())
            {
                return Ok(());
            }
        }
    }

    fn post<A: DeserializeOwned + Send + 'static>(&self, path: &str, body: &impl Serialize) -> Result<A, Fault> {
        let url = format!("{}/{path}", self.address);
        let body = serde_json::to_vec(body).expect("questions and commands hold only what JSON can hold");
        self.patiently(move |client| {
            let request = client.credentials(client.agent.post(url)).content_type("application/json");
            client.read(request.send(&body[..]))
        })
    }

    /// Waits for an answer for as long as the engine is there: some take minutes. One that does not say so in time will not answer either.
    fn patiently<A: Send + 'static>(&self, call: impl FnOnce(&ControlClient) -> Result<A, Fault> + Send + 'static) -> Result<A, Fault> {
        let (sender, answered) = sync_channel(1);
        let client = self.clone();
        // The thread outlives a call that is given up, and ends with the connection.
        let called = thread::Builder::new().name("tollbar-asking".into()).spawn(move || drop(sender.send(call(&client))));
        called
            .map_err(|error| Fault::new(FaultCode::Internal, format!("cannot ask the engine: {error}"), "check the limits of this user"))?;
        loop {
            match answered.recv_timeout(STILL_THERE_EVERY) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) => match self.hello() {
                    Err(fault) if fault.code == FaultCode::Unreachable => return Err(silent(self.pid)),
                    // Of an engine that has ended, the connection says so.
                    Ok(_) | Err(_) => {}
                },
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
            }
        }
    }

    fn credentials<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        request.header("authorization", format!("Bearer {}", self.token)).header(PROTOCOL_HEADER, PROTOCOL.to_string())
    }

    fn read<A: DeserializeOwned>(&self, response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<A, Fault> {
        let mut response = response.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status == ureq::http::StatusCode::UNAUTHORIZED {
            let said = format!("the engine at {} (pid {}) does not take the token of this home", self.address, self.pid);
            return Err(Fault::refused(said, "end that process and start tollbar again; nothing recorded is lost"));
        }
        let body = BufReader::new(response.body_mut().with_config().limit(ANSWER_BYTES_MAX).reader());
        let unclear = |error: serde_json::Error| match error.is_io() || error.is_eof() {
            true => self.ended(),
            false => Fault::new(FaultCode::Internal, format!("the answer of {} makes no sense: {error}", self.address), ""),
        };
        if status.is_success() {
            return serde_json::from_reader(body).map_err(unclear);
        }
        Err(serde_json::from_reader::<_, Fault>(body).unwrap_or_else(unclear))
    }

    fn unreachable(&self, error: &ureq::Error) -> Fault {
        if let ureq::Error::Io(source) = error
            && is_end(source)
        {
            return self.ended();
        }
        let said = format!("the engine at {} does not answer: {error}", self.address);
        Fault::new(FaultCode::Unreachable, said, "see `tollbar status`")
    }

    /// What is said of an engine that broke off.
    fn ended(&self) -> Fault {
        let said = format!("the engine (pid {}) ended before its answer was complete", self.pid);
        Fault::new(FaultCode::Unreachable, said, "see `tollbar status`, and run the command again; nothing acknowledged is lost")
    }
}

/// What is said of an engine that takes connections and does not answer.
pub(in crate::engine) fn silent(pid: u32) -> Fault {
    let hint = "`tollbar stop` ends it, then start it again; nothing that it acknowledged is lost";
    Fault::new(FaultCode::Unreachable, format!("engine pid {pid} does not answer"), hint)
}

/// What is said of a home that belongs to somebody else; `None` of one's own.
pub fn foreign(home: &Home) -> Option<Fault> {
    let folder = [&home.state, &home.data].into_iter().find(|folder| folder.exists()).unwrap_or(&home.data);
    let owner = presence::foreign_owner(folder)?;
    let engine = presence::engine_of_owner(folder).map_or(String::new(), |pid| format!(", whose engine runs (pid {pid})"));
    let said = format!("{} belongs to {owner}{engine}", folder.display());
    Some(Fault::new(FaultCode::Storage, said, format!("run the command as {owner}, or name a home of your own in TOLLBAR_HOME")))
}

/// Whether a connection was taken, or may have been, and nothing came.
fn is_late(error: &ureq::Error) -> bool {
    if let ureq::Error::Io(source) = error {
        return matches!(source.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock);
    }
    matches!(error, ureq::Error::Timeout(_))
}

/// Whether the other side broke off.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | UnexpectedEof)
}
