//! The engine: the writer, the control API, the proxy and the watcher of clients' logs, started and stopped together.

use super::{
    Change, Writer, WriterHandle,
    control::{self, Control},
    folding::find_folded,
    importing::{self, Troubles, watch_clients},
    ledger::{Found, write_private},
    pricing,
};
use crate::{
    clock,
    config::{Config, Home},
    engine::control::{Notice, notice_path, token_path},
    logs::watch::Watch,
    priceupdate::Daily,
    priority,
    proxy::Proxy,
};
use events::query::{EngineFacts, Fault, FaultCode};
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
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
    watches: Vec<Watch>,
    price_updates: Option<Daily>,
    proxy: Option<Proxy>,
    control: Option<JoinHandle<()>>,
    home: Home,
    writer: Writer,
}

impl Engine {
    /// Opens the log and starts everything. An error leaves nothing running.
    pub fn start(self) -> Result<Running, Fault> {
        let Engine { home, config } = self;
        let (found, unfolded) = find_folded(&home, &config)?;
        let (log, projections) = match found {
            Found::Log(log, projections) => (log, projections),
            Found::Owner(running) => {
                let cause = format!("tollbar runs already (pid {})", running.pid());
                return Err(Fault::refused(cause, "see `tollbar status`, or stop it with `tollbar stop`"));
            }
        };
        let proxy_listener = listen_for_calls(config.proxy)?;
        let unrecorded = (!config.record).then(|| "calls pass and are not recorded: `proxy.record` is off in the configuration".to_owned());
        let notes: Vec<String> = log.mended().iter().cloned().chain(unfolded).chain(unrecorded).collect();
        let writer = Writer::start(*log, *projections, config.zone, config.plans.clone());
        let unpriced = pricing::keep_book(writer.handle()).into_iter().chain(pricing::tell_configured(writer.handle(), &config));
        let notes: Vec<String> = notes.into_iter().chain(unpriced).collect();
        writer.handle().step_back();

        let control_listener = listen_for_control(config.control_port)?;
        let control_address = control_listener.local_addr().map_err(|error| network_fault("the control API", &error))?;
        let token = token(&home)?;
        let dashboard = format!("http://{control_address}");
        let proxy = Proxy::start(proxy_listener, config.upstreams.clone(), config.record.then(|| writer.handle().clone()))?;
        let troubles = Troubles::default();
        let facts = Arc::new({
            let (stats, handle, dashboard, started_at) = (proxy.stats(), writer.handle().clone(), dashboard.clone(), clock::now());
            let troubles = troubles.clone();
            move || {
                let trouble = handle.trouble().map(|fault| format!("{fault}; {}", fault.hint));
                let reading = troubles.lock().expect("nobody panics while holding it").clone();
                let warnings = notes.iter().cloned().chain(trouble).chain(reading).collect();
                let proxy = stats.facts(handle.unrecorded());
                let facts = EngineFacts { pid: std::process::id(), started_at, dashboard: dashboard.clone(), proxy: Some(proxy), warnings };
                handle.set_engine_facts(facts);
            }
        });
        facts();

        let stop = Arc::new(Notify::new());
        let control = Control {
            writer: writer.handle().clone(),
            refresh_facts: facts,
            token: token.as_str().into(),
            port: control_address.port(),
            stop: stop.clone(),
        };
        let proxy_address = proxy.address().to_owned();
        let mut running = Running {
            dashboard_link: format!("{dashboard}/#token={token}"),
            dashboard,
            proxy_address,
            stop,
            watches: Vec::new(),
            price_updates: None,
            proxy: Some(proxy),
            control: None,
            home,
            writer,
        };
        running.control = Some(serve_control(control_listener, control)?);
        let notice = Notice { pid: std::process::id(), address: running.dashboard.clone(), proxy: Some(running.proxy_address.clone()) };
        let notice = serde_json::to_string(&notice).expect("a number and a text are JSON");
        write_private(&notice_path(&running.home), &notice).map_err(|error| file_fault(&notice_path(&running.home), &error))?;
        if config.watch_logs {
            running.watches = watch_clients(&running.home, running.writer(), &troubles);
        }
        let say = move |trouble| importing::say(&troubles, trouble);
        running.price_updates = Daily::start(&running.home, &config, running.writer(), say);
        Ok(running)
    }
}

impl Running {
    /// The way to the writer.
    pub fn writer(&self) -> &WriterHandle {
        self.writer.handle()
    }

    /// Every change from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.writer.handle().changes()
    }

    /// Returns when somebody asks the engine to stop, by the control API.
    pub async fn asked_to_stop(&self) {
        self.stop.notified().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // All of them at once: each may take a second.
        self.watches.iter().for_each(Watch::ask_to_stop);
        self.watches.clear();
        self.price_updates.take();
        self.proxy.take();
        // After the last call, so that `tollbar stop` waits for it. A notice that cannot be removed points to nobody.
        let _ = fs::remove_file(notice_path(&self.home));
        self.stop.notify_waiters();
        self.control.take();
    }
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
    TcpListener::bind(address).map_err(|error| {
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

fn file_fault(path: &std::path::Path, error: &io::Error) -> Fault {
    Fault::new(FaultCode::Storage, format!("cannot write {}: {error}", path.display()), "check that the folder belongs to you and has room")
}

/// The token of this home: 64 random hex digits, made once. A file that others can read is made anew.
fn token(home: &Home) -> Result<String, Fault> {
    let path = token_path(home);
    if let Ok(token) = fs::read_to_string(&path)
        && token.trim().len() == 64
        && is_private(&path)
    {
        return Ok(token.trim().to_owned());
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Fault::new(FaultCode::Internal, format!("no random numbers: {error}"), ""))?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    write_private(&path, &token).map_err(|error| file_fault(&path, &error))?;
    Ok(token)
}

#[cfg(unix)]
fn is_private(path: &std::path::Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).is_ok_and(|file| file.mode().trailing_zeros() >= 6)
}

#[cfg(not(unix))]
fn is_private(_path: &std::path::Path) -> bool {
    true
}
