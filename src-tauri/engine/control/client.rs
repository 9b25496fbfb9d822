//! The other end of the control API, for processes that do not hold the log.

use super::{Hello, PROTOCOL, PROTOCOL_HEADER};
use crate::{config::Home, engine::Told};
use events::{
    Command,
    query::{Fault, FaultCode, Query},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

/// An owner that does not take the connection within this time is not there.
const CONNECT_WAIT: Duration = Duration::from_millis(500);
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
    /// The running engine of this home, if there is one that answers. An error only if one is there that cannot be talked to.
    pub fn knock(home: &Home) -> Result<Option<ControlClient>, Fault> {
        let Ok(notice) = fs::read(notice_path(home)) else { return Ok(None) };
        let Ok(notice) = serde_json::from_slice::<Notice>(&notice) else { return Ok(None) };
        let token = fs::read_to_string(token_path(home)).unwrap_or_default();
        let config = ureq::Agent::config_builder().timeout_connect(Some(CONNECT_WAIT)).http_status_as_error(false).proxy(None).build();
        let client = ControlClient { agent: config.into(), address: notice.address, token: token.trim().to_owned(), pid: notice.pid };
        match client.get::<Hello>("hello") {
            Ok(hello) if hello.program == "tollbar" && hello.protocol == PROTOCOL => Ok(Some(client)),
            // Another program took the port since: ours is gone.
            Ok(_) => Ok(None),
            Err(fault) if matches!(fault.code, FaultCode::Unreachable | FaultCode::Internal) => Ok(None),
            Err(fault) => Err(fault),
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
        let response = self.agent.post(format!("{}/stop", self.address));
        let response = self.credentials(response).send_empty();
        response.map(drop).map_err(|error| self.unreachable(&error))
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

    fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, Fault> {
        self.read(self.credentials(self.agent.get(format!("{}/{path}", self.address))).call())
    }

    fn post<A: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<A, Fault> {
        self.read(self.credentials(self.agent.post(format!("{}/{path}", self.address))).send_json(body))
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
        let unclear = |error| Fault::new(FaultCode::Internal, format!("the answer of {} makes no sense: {error}", self.address), "");
        if status.is_success() {
            return serde_json::from_reader(body).map_err(unclear);
        }
        Err(serde_json::from_reader::<_, Fault>(body).unwrap_or_else(unclear))
    }

    fn unreachable(&self, error: &ureq::Error) -> Fault {
        Fault::new(FaultCode::Unreachable, format!("the engine at {} does not answer: {error}", self.address), "see `tollbar status`")
    }
}
