//! `tollbar serve` and `tollbar stop`

use super::{print, print_json};
use crate::{
    config::{Config, Home},
    diagnostics,
    engine::{self, ControlClient, Engine, Running},
    words,
};
use clap::Args;
use events::query::{Fault, FaultCode};
use std::{
    io::{self, IsTerminal as _},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::broadcast::error::RecvError;

/// How long a stopped engine may take to finish what it does.
const STOP_WAIT: Duration = Duration::from_secs(15);
const STOP_WAIT_STEP: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The port of the proxy on 127.0.0.1; 0 takes a free one
    #[arg(long)]
    port: Option<u16>,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Fault> {
        crate::memory::hold_little();
        let home = Home::find()?;
        let mut config = Config::read(&home)?;
        if let Some(port) = self.port {
            config.proxy.set_port(port);
        }
        let is_terminal = io::stdout().is_terminal();
        diagnostics::start(engine::log_path(&home));
        let running = Engine { home, config }.start()?;
        // The link lets whoever has it read everything: it is shown to a person, not written to a service's log.
        let dashboard = if is_terminal { &running.dashboard_link } else { &running.dashboard };
        diagnostics::announce(format!("tollbar is ready: proxy {}, dashboard {dashboard}\n", running.proxy_address));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Fault::new(FaultCode::Internal, format!("cannot wait for signals: {error}"), ""))?;
        runtime.block_on(until_stopped(&running));
        drop(running);
        Ok(())
    }
}

/// Says alerts until a signal or `tollbar stop` comes.
async fn until_stopped(running: &Running) {
    let mut changes = running.changes();
    let signals = crate::engine::stop_signal();
    tokio::pin!(signals);
    loop {
        let change = tokio::select! {
            () = &mut signals => return,
            () = running.asked_to_stop() => return,
            change = changes.recv() => change,
        };
        match change {
            Ok(change) => {
                for alert in change.alerts.iter() {
                    let (spent, limit) = (words::dollars(alert.spent), words::dollars(alert.limit));
                    diagnostics::note(format_args!("budget {:?} crossed {} %: {spent} of {limit}", alert.budget, alert.percent));
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Stop {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Stop {
    pub(super) fn run(self) -> Result<(), Fault> {
        let home = Home::find()?;
        let Some(client) = ControlClient::knock(&home)? else {
            return Err(Fault::new(FaultCode::NotFound, "no engine is running", "nothing needs to be done"));
        };
        client.stop()?;
        let begun = Instant::now();
        while ControlClient::knock(&home)?.is_some_and(|still| still.pid() == client.pid()) {
            if begun.elapsed() > STOP_WAIT {
                let cause = format!("the engine (pid {}) has not stopped after {} s", client.pid(), STOP_WAIT.as_secs());
                return Err(Fault::new(
                    FaultCode::Unreachable,
                    cause,
                    "look at what it does, or end the process; nothing recorded is lost",
                ));
            }
            thread::sleep(STOP_WAIT_STEP);
        }
        if self.json {
            print_json(&serde_json::json!({ "stopped": client.pid() }))
        } else {
            print(&format!("stopped (pid {})\n", client.pid()))
        }
    }
}
