//! What runs: one thread owns the log, everybody else asks and tells it.

mod announcement;
mod asking;
mod beside;
pub mod control;
mod folding;
mod importing;
mod ledger;
mod opening;
mod presence;
mod pricing;
mod recorder;
pub(crate) mod remainder;
mod run;
mod stopping;
mod writer;

use crate::config::Home;
use std::path::PathBuf;

pub use control::{ControlClient, announced_proxy, foreign};
pub use folding::ToFold;
pub(crate) use importing::unreadable;
pub use ledger::Ledger;
pub(crate) use ledger::write_private;
pub use recorder::Recorder;
pub use run::{Engine, Running};
pub use stopping::{Stopped, StoppedBy, stop};
pub use writer::{Change, Told, Writer, WriterHandle};

/// Where a running engine writes its diagnostics.
pub fn log_path(home: &Home) -> PathBuf {
    home.state.join("engine.log")
}

/// Returns when the system or the user asks this process to end.
pub async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let wait = async |kind| match signal(kind) {
            Ok(mut signal) => drop(signal.recv().await),
            // A signal that cannot be waited for ends the process by itself.
            Err(_) => std::future::pending().await,
        };
        tokio::select! {
            () = wait(SignalKind::terminate()) => {}
            () = wait(SignalKind::interrupt()) => {}
            () = wait(SignalKind::hangup()) => {}
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
}
