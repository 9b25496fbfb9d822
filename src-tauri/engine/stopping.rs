//! Ends the engine of a home: by asking it, and one that does not answer by signals.

use super::{ControlClient, control::silent, presence::engine_process};
use crate::config::Home;
use events::query::{Fault, FaultCode};
use std::{
    thread,
    time::{Duration, Instant},
};

/// How long an engine that answers may take to finish what it does: calls under way, and what is to be written.
const STOP_WAIT: Duration = Duration::from_secs(15);
/// How long one that does not answer may take after SIGTERM.
const TERMINATE_WAIT: Duration = Duration::from_millis(2_300);
/// How long the system may take to end a process.
const KILL_WAIT: Duration = Duration::from_secs(2);
const WAIT_STEP: Duration = Duration::from_millis(20);

/// An engine that was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Its process.
    pub pid: u32,
    /// How.
    pub by: StoppedBy,
}

/// How an engine was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoppedBy {
    /// It was asked, and finished what it did.
    Request,
    /// It did not answer, and finished what it did after SIGTERM.
    Termination,
    /// It did not react to SIGTERM either.
    Kill,
}

/// Ends the engine of this home. `say` gets a line where it takes longer than asking.
pub fn stop(home: &Home, say: &dyn Fn(&str)) -> Result<Stopped, Fault> {
    match ControlClient::knock(home) {
        Ok(Some(client)) => match client.stop() {
            Ok(()) if is_gone_within(home, client.pid(), STOP_WAIT) => Ok(Stopped { pid: client.pid(), by: StoppedBy::Request }),
            Ok(()) => {
                let cause = format!("the engine (pid {}) has not stopped after {} s", client.pid(), STOP_WAIT.as_secs());
                let hint = "look at what it does, or end the process; nothing recorded is lost";
                Err(Fault::new(FaultCode::Unreachable, cause, hint))
            }
            Err(fault) => end(home, say, fault),
        },
        Ok(None) => end(home, say, Fault::new(FaultCode::NotFound, "no engine is running", "nothing needs to be done")),
        Err(fault) if fault.code == FaultCode::Storage => Err(fault),
        Err(fault) => end(home, say, fault),
    }
}

/// Ends an engine that cannot be asked; `otherwise` where there is none.
#[cfg(unix)]
fn end(home: &Home, say: &dyn Fn(&str), otherwise: Fault) -> Result<Stopped, Fault> {
    let Some((pid, process)) = engine_process(home).and_then(|pid| Some((pid, super::presence::Process::engine(home, pid)?))) else {
        return Err(otherwise);
    };
    let denied = |error: std::io::Error| {
        let cause = format!("engine pid {pid} does not answer, and cannot be ended: {error}");
        Fault::new(FaultCode::Refused, cause, "run the command as the user whose engine it is")
    };
    say(&format!("engine pid {pid} does not answer; it is being ended"));
    process.terminate().map_err(denied)?;
    if is_gone_within(home, pid, TERMINATE_WAIT) {
        return Ok(Stopped { pid, by: StoppedBy::Termination });
    }
    // It goes on now, and finishes the calls under way.
    if matches!(ControlClient::knock(home), Ok(Some(client)) if client.pid() == pid) && is_gone_within(home, pid, STOP_WAIT) {
        return Ok(Stopped { pid, by: StoppedBy::Termination });
    }
    process.kill().map_err(denied)?;
    if is_gone_within(home, pid, KILL_WAIT) {
        return Ok(Stopped { pid, by: StoppedBy::Kill });
    }
    Err(Fault { hint: "the system holds the process, perhaps for a disk that does not answer".to_owned(), ..silent(pid) })
}

#[cfg(not(unix))]
fn end(home: &Home, _say: &dyn Fn(&str), otherwise: Fault) -> Result<Stopped, Fault> {
    match engine_process(home) {
        Some(pid) => Err(Fault { hint: "end the process; nothing that it acknowledged is lost".to_owned(), ..silent(pid) }),
        None => Err(otherwise),
    }
}

/// Whether the engine ends within a time.
fn is_gone_within(home: &Home, pid: u32, wait: Duration) -> bool {
    let begun = Instant::now();
    loop {
        let is_there = engine_process(home) == Some(pid) || matches!(ControlClient::knock(home), Ok(Some(still)) if still.pid() == pid);
        if !is_there {
            return true;
        }
        if begun.elapsed() > wait {
            return false;
        }
        thread::sleep(WAIT_STEP);
    }
}
