//! `tollbar serve` and `tollbar stop`

use super::{print, print_json, warn};
use crate::{
    config::{Config, Home},
    diagnostics,
    engine::{self, Engine, Running, Stopped, StoppedBy},
    words,
};
use clap::Args;
use events::query::{Fault, FaultCode};
use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};
use tokio::sync::broadcast::error::RecvError;

/// How long the line that says "ready" waits for the log, which is open in a moment. Calls pass before it.
const READY_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The port of the proxy on 127.0.0.1; 0 takes a free one
    #[arg(long)]
    port: Option<u16>,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Fault> {
        crate::keep_memory_private();
        crate::memory::hold_little();
        let home = Home::find()?;
        let mut config = Config::read(&home)?;
        if let Some(port) = self.port {
            config.proxy.set_port(port);
        }
        let is_terminal = io::stdout().is_terminal();
        diagnostics::start(engine::log_path(&home));
        let running = Engine { home, config }.start()?;
        running.settle(READY_WAIT);
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
        let Stopped { pid, by } = engine::stop(&home, &|line| warn(line))?;
        let note = match by {
            StoppedBy::Request => "",
            StoppedBy::Termination => "; it did not answer before",
            StoppedBy::Kill => "; it did not react and was killed: calls of its last moment may not be recorded",
        };
        if self.json {
            print_json(&serde_json::json!({ "stopped": pid, "killed": by == StoppedBy::Kill }))
        } else {
            print(&format!("stopped (pid {pid}){note}\n"))
        }
    }
}
