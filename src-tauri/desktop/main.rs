//! `tollbar-desktop`: the tray, native notifications and the window. Only this folder names `tauri`.
//!
//! One program, two roles. The first process has the tray and, unless another Tollbar runs already, the engine; it loads no web view.
//! The window is a second process of the same program and a client of the engine: closing it gives all of its memory back, and a
//! web view that crashes takes no count with it.

#![forbid(unsafe_code)]
#![cfg_attr(windows, windows_subsystem = "windows")]

mod app;
mod face;
mod feed;
mod notice;
mod picture;
mod tray;
mod window;

use clap::Parser;
use events::query::{Fault, FaultCode};
use std::{
    env,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    process::ExitCode,
};
use tollbar_app::{config::Home, diagnostics, engine};

/// What your LLM calls cost, in the tray
#[derive(Debug, Parser)]
#[command(name = "tollbar-desktop", version)]
struct Args {
    /// Start in the tray, without the window
    #[arg(long)]
    hidden: bool,
    /// Be the window only, of the engine that runs
    #[arg(long, conflicts_with = "hidden")]
    window: bool,
    /// Close the window when stdin ends: how the tray takes its window along
    #[arg(long, hide = true, requires = "window")]
    until_stdin_ends: bool,
}

fn main() -> ExitCode {
    tollbar_app::keep_files_private();
    tollbar_app::write_no_core();
    tollbar_app::memory::hold_little();
    let args = Args::parse();
    diagnostics::survive_file_size_limit();
    let status = match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            complain(&fault);
            ExitCode::FAILURE
        }
    };
    diagnostics::finish();
    status
}

fn run(args: &Args) -> Result<(), Fault> {
    demand_display()?;
    let home = Home::find()?;
    // GTK and what it loads write to standard error as they like.
    diagnostics::start(engine::log_path(&home));
    if args.window { window::run(&home, args.until_stdin_ends) } else { app::run(home, args.hidden) }
}

/// GTK ends a process without a display with a panic; a person gets a reason.
fn demand_display() -> Result<(), Fault> {
    let named = |name| env::var_os(name).is_some_and(|display| !display.is_empty());
    if cfg!(target_os = "linux") && !named("DISPLAY") && !named("WAYLAND_DISPLAY") {
        let cause = "there is no display here: neither DISPLAY nor WAYLAND_DISPLAY is set";
        return Err(Fault::new(FaultCode::Unreachable, cause, "without a display, run `tollbar serve`"));
    }
    Ok(())
}

/// The configuration and the pages that were built in. `part` is under whose name the process is the only one of its kind.
///
/// A home of one's own (`TOLLBAR_HOME`) is a Tollbar of its own: it must not wake the usual one.
fn context(part: &str) -> tauri::Context {
    let mut context: tauri::Context = tauri::generate_context!();
    let identifier = &mut context.config_mut().identifier;
    identifier.push_str(part);
    if let Some(home) = env::var_os("TOLLBAR_HOME").filter(|home| !home.is_empty()) {
        let mut hasher = DefaultHasher::new();
        home.hash(&mut hasher);
        *identifier += &format!(".home-{:x}", hasher.finish());
    }
    context
}

/// One line of cause, one line of what to do.
fn complain(fault: &Fault) {
    diagnostics::note(format_args!("error: {}", fault.message));
    if !fault.hint.is_empty() {
        diagnostics::note(format_args!("hint: {}", fault.hint));
    }
}

/// What Tauri could not do, as people read it.
fn screen_fault(what: &str, error: &dyn std::fmt::Display) -> Fault {
    Fault::new(FaultCode::Internal, format!("{what}: {error}"), "without the desktop, `tollbar serve` does the same work")
}
