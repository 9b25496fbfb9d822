//! Says so if a client has made no call through the proxy when it ends: then its settings lead elsewhere.
//!
//! `tollbar run` becomes the command, so somebody else has to wait for its end: a process of its own, no child of the command's, that has
//! the command's process as its standard input (pidfd_open(2)). Linux only.

use crate::{config::Home, connect::Client, engine::ControlClient};
use events::query::Health;
use std::{ffi::OsString, process::ExitCode};

/// Commands and options of clients that make no calls.
const CALLS_NOTHING: [&str; 22] = [
    "--version",
    "-V",
    "-v",
    "--help",
    "-h",
    "help",
    "version",
    "login",
    "logout",
    "auth",
    "mcp",
    "update",
    "upgrade",
    "uninstall",
    "install",
    "doctor",
    "config",
    "completion",
    "models",
    "stats",
    "setup-token",
    "plugin",
];

/// Leaves a process behind that waits for the end of this one.
pub(super) fn start(client: Client, arguments: &[OsString], home: &Home) {
    let is_call = |word: &OsString| !CALLS_NOTHING.iter().any(|known| word.as_os_str() == *known);
    if !arguments.iter().all(is_call) {
        return;
    }
    let Some(carried) = carried(home) else { return };
    // Without it nothing is said, and nothing else is lost.
    let _ = watch(client, carried);
}

/// Calls that the engine's proxy has carried so far.
fn carried(home: &Home) -> Option<u64> {
    let health = ControlClient::knock(home).ok()??.ask(&Health::default()).ok()?;
    Some(health.engine?.proxy?.carried)
}

#[cfg(target_os = "linux")]
fn watch(client: Client, carried: u64) -> std::io::Result<()> {
    use std::process::{Command, Stdio};
    let process = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty())?;
    let mut watcher = Command::new(std::env::current_exe()?);
    watcher.args(["run", "--afterwards", client.name(), "--carried", &carried.to_string()]);
    // It starts the one that waits, and ends at once: that one is no child of the command's.
    watcher.stdin(Stdio::from(process)).stdout(Stdio::null()).status().map(drop)
}

#[cfg(not(target_os = "linux"))]
fn watch(_: Client, _: u64) -> std::io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
pub(super) fn run(client: &str, carried_before: u64, detached: bool) -> ExitCode {
    use rustix::event::{PollFd, PollFlags, poll};
    use std::{
        io::IsTerminal as _,
        os::{fd::AsFd as _, unix::process::CommandExt as _},
        process::{Command, Stdio},
    };
    if !detached {
        let Ok(program) = std::env::current_exe() else { return ExitCode::FAILURE };
        let mut watcher = Command::new(program);
        watcher.args(["run", "--afterwards", client, "--carried", &carried_before.to_string(), "--detached"]);
        // What is typed for the command, as Ctrl-C, is not for this.
        let started = watcher.stdin(Stdio::inherit()).stdout(Stdio::null()).process_group(0).spawn();
        return if started.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let stdin = std::io::stdin();
    let ended = loop {
        match poll(&mut [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)], None) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other,
        }
    };
    let Ok(home) = Home::find() else { return ExitCode::FAILURE };
    if ended.is_ok() && carried(&home) == Some(carried_before) {
        // The shell has written its prompt by now.
        let line = if std::io::stderr().is_terminal() { "\n" } else { "" };
        super::warn(format_args!(
            "{line}tollbar: {client} made no call through the proxy, so nothing of it is metered here; see `tollbar connect {client}`"
        ));
    }
    ExitCode::SUCCESS
}

#[cfg(not(target_os = "linux"))]
pub(super) fn run(_: &str, _: u64, _: bool) -> ExitCode {
    ExitCode::SUCCESS
}
