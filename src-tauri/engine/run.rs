//! The engine: the proxy, the control API, the log with its writer and the watcher of clients' logs, started and stopped together.
//!
//! The proxy listens first. Whether the log can be opened decides what is recorded, and not whether calls pass.

use super::{
    Change, Recorder,
    announcement::{self, Announcement},
    control::{self, Control, ControlClient, Notice},
    importing::Troubles,
    opening::Opening,
    presence::{Holder, Presence},
};
use crate::{
    clock,
    config::{Config, Home},
    priority,
    proxy::{self, Proxy, ProxySettings},
};
use events::query::{EngineFacts, Fault, FaultCode, Query};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, PoisonError},
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::{Notify, broadcast};

/// How an engine is started.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Its folders.
    pub home: Home,
    /// What the user wants otherwise than usual.
    pub config: Config,
}

/// A running engine. Dropping it stops it: the proxy first, the writer last.
pub struct Running {
    /// The dashboard, without its token.
    pub dashboard: String,
    /// The dashboard with its token.
    pub dashboard_link: String,
    /// Where the proxy listens.
    pub proxy_address: String,
    stop: Arc<Notify>,
    facts: Arc<dyn Fn() -> EngineFacts + Send + Sync>,
    recorder: Recorder,
    proxy: Option<Proxy>,
    control: Option<JoinHandle<()>>,
    home: Home,
    opening: Opening,
    _presence: Presence,
}

impl Engine {
    /// Starts everything, and begins to open the log. An error leaves nothing running.
    pub fn start(self) -> Result<Running, Fault> {
        let Engine { home, config } = self;
        let presence = alone(&home)?;
        let proxy_listener = listen_for_calls(config.proxy)?;
        let recorder = Recorder::new(&home, &config);
        let under_way = home.state.join("calls-under-way");
        let lost = proxy::left_behind(&under_way);
        let forwarding = ProxySettings {
            upstreams: config.upstreams.clone(),
            outgoing: config.outgoing.clone(),
            hosts: config.proxy_hosts.clone(),
            under_way,
        };
        let proxy = Proxy::start(proxy_listener, forwarding, config.record.then(|| recorder.clone()))?;

        let control_listener = listen_for_control(config.control_port)?;
        let control_address = control_listener.local_addr().map_err(|error| network_fault("the control API", &error))?;
        let dashboard = format!("http://{control_address}");
        let (notes, troubles) = (Troubles::default(), Troubles::default());
        notes.lock().unwrap_or_else(PoisonError::into_inner).extend(lost);
        let facts = facts_of(&config, &proxy, &recorder, &dashboard, [&notes, &troubles]);
        let proxy_address = proxy.address().to_owned();
        let notice = Notice { pid: std::process::id(), address: dashboard.clone(), proxy: Some(proxy_address.clone()) };
        let mut announcement = Announcement::new(&home, notice, &troubles)?;
        let stop = Arc::new(Notify::new());
        let control = Control {
            recorder: recorder.clone(),
            facts: facts.clone(),
            token: announcement.token().into(),
            port: control_address.port(),
            stop: stop.clone(),
        };
        let dashboard_link = format!("{dashboard}/#token={}", announcement.token());
        let control = serve_control(control_listener, control)?;
        // Before the engine is ready, if that is possible; else as soon as it is.
        let announced = announcement.publish();
        announcement.tell(announced.err());
        let opening = Opening::start(&home, &config, &recorder, &notes, &troubles, announcement)?;
        Ok(Running {
            dashboard_link,
            dashboard,
            proxy_address,
            stop,
            facts,
            recorder,
            proxy: Some(proxy),
            control: Some(control),
            home,
            opening,
            _presence: presence,
        })
    }
}

impl Running {
    /// Asks a question. An error says why the log cannot be asked, while it is not open.
    pub fn ask<Q: Query>(&self, query: &Q) -> Result<Q::Answer, Fault> {
        self.recorder.ask_for(None, query, (self.facts)()).map(|(_, answer)| answer)
    }

    /// Returns once the log is open or cannot be opened, or after a time. Calls pass meanwhile.
    pub fn settle(&self, wait: Duration) {
        self.recorder.settle(wait);
    }

    /// Why calls are not recorded now, if they are not.
    pub fn not_recording(&self) -> Option<Fault> {
        self.recorder.not_recording()
    }

    /// Every change from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.recorder.changes()
    }

    /// Returns when somebody asks the engine to stop, by the control API.
    pub async fn asked_to_stop(&self) {
        self.stop.notified().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its last calls are concluded, and wait for the log if that is not open yet.
        self.proxy.take();
        let mut parts = self.opening.finish();
        // All of them at once: each may take a second.
        parts.watches.iter().for_each(crate::logs::watch::Watch::ask_to_stop);
        parts.watches.clear();
        parts.price_updates.take();
        // After the last call, so that `tollbar stop` waits for it.
        announcement::withdraw(&self.home);
        self.stop.notify_waiters();
        self.control.take();
        let is_open = parts.writer.is_some();
        drop(parts);
        let lost = self.recorder.unrecorded();
        if lost > 0 && !is_open {
            crate::diagnostics::note(format_args!("{lost} calls passed and were not recorded: the log was never open"));
        }
    }
}

/// What the engine says of itself, at any time.
fn facts_of(
    config: &Config,
    proxy: &Proxy,
    recorder: &Recorder,
    dashboard: &str,
    said: [&Troubles; 2],
) -> Arc<dyn Fn() -> EngineFacts + Send + Sync> {
    let unrecorded = (!config.record).then(|| "calls pass and are not recorded: `proxy.record` is off in the configuration".to_owned());
    let (stats, recorder, dashboard, started_at) = (proxy.stats(), recorder.clone(), dashboard.to_owned(), clock::now());
    let [notes, troubles] = said.map(Arc::clone);
    let all = |lines: &Troubles| lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Arc::new(move || {
        let not_recording = recorder.not_recording();
        let told = not_recording.as_ref().map(|fault| format!("calls pass and are not recorded: {fault}; {}", fault.hint));
        let warnings = told.into_iter().chain(unrecorded.clone()).chain(all(&notes)).chain(all(&troubles)).collect();
        EngineFacts {
            pid: std::process::id(),
            started_at,
            dashboard: dashboard.clone(),
            proxy: Some(stats.facts(recorder.unrecorded())),
            warnings,
            not_recording,
        }
    })
}

/// Makes sure that no other engine runs in this home.
fn alone(home: &Home) -> Result<Presence, Fault> {
    let runs =
        |pid: u32| Fault::refused(format!("tollbar runs already (pid {pid})"), "see `tollbar status`, or stop it with `tollbar stop`");
    match ControlClient::knock(home) {
        Ok(Some(running)) => return Err(runs(running.pid())),
        Err(fault) if matches!(fault.code, FaultCode::Unreachable | FaultCode::Storage) => return Err(fault),
        // A dead engine's port may have gone to the engine of another home. Whose home it is, the lock tells.
        Ok(None) | Err(_) => {}
    }
    Presence::take(home).map_err(|holder| match holder {
        Holder::Process(pid) => runs(pid),
        Holder::Unknown | Holder::Nobody => Fault::refused(
            format!("another tollbar runs already: it holds {}", home.state.join("engine.lock").display()),
            "see `tollbar status`, or stop it with `tollbar stop`",
        ),
    })
}

/// Serves the control API on a thread of its own, so that a slow answer never meets a call on its way through the proxy.
fn serve_control(listener: TcpListener, control: Control) -> Result<JoinHandle<()>, Fault> {
    let failed = |error: io::Error| network_fault("the control API", &error);
    listener.set_nonblocking(true).map_err(failed)?;
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // Who asks waits longer than who calls.
    let runtime = builder.thread_name("tollbar-answer").on_thread_start(priority::step_back).enable_all().build().map_err(failed)?;
    let serve = move || {
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            // It ends with the process; accepting goes on through errors of single connections.
            let _ = axum::serve(listener, control::router(control)).await;
        });
    };
    std::thread::Builder::new().name("tollbar-control".into()).spawn(serve).map_err(failed)
}

fn listen_for_calls(address: SocketAddr) -> Result<TcpListener, Fault> {
    proxy::listen(address).map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::AddrInUse {
            "another program has the port, perhaps another tollbar: see `tollbar status`, or choose one with `--port N` or `proxy.listen`"
        } else {
            "choose another address with `proxy.listen` in the configuration, or a port above 1023 with `--port N`"
        };
        Fault::new(FaultCode::Unreachable, format!("the proxy cannot listen on {address}: {error}"), hint)
    })
}

/// The usual port if it is free, else any: clients find it by the notice.
fn listen_for_control(port: u16) -> Result<TcpListener, Fault> {
    let at = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    at(port).or_else(|_| at(0)).map_err(|error| network_fault("the control API", &error))
}

fn network_fault(what: &str, error: &io::Error) -> Fault {
    Fault::new(FaultCode::Unreachable, format!("{what} cannot listen on this machine's loopback: {error}"), "check the limits of this user")
}
