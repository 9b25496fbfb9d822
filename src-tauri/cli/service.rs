//! `tollbar service`

use super::{print, print_json};
use crate::{config::Home, engine::ControlClient, service};
use clap::{Args, Subcommand};
use events::query::{Fault, FaultCode};
use std::env;

#[derive(Debug, Subcommand)]
pub(super) enum Service {
    /// Start the engine now and with every session (systemd on Linux; launchd on macOS, untested)
    Install(Form),
    /// Stop it and forget it
    Remove(Form),
    /// Whether it is installed and runs
    Status(Form),
}

#[derive(Debug, Args)]
pub(super) struct Form {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Service {
    pub(super) fn run(self) -> Result<(), Fault> {
        match self {
            Service::Install(form) => install(&form),
            Service::Remove(form) => remove(&form),
            Service::Status(form) => status(&form),
        }
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn install(form: &Form) -> Result<(), Fault> {
    let home = Home::find()?;
    if service::standing(&variable).active != Some(true)
        && let Some(running) = ControlClient::knock(&home)?
    {
        // Two cannot have one log: the service would be started again and again.
        return Err(Fault::refused(format!("an engine runs already (pid {})", running.pid()), "stop it first with `tollbar stop`"));
    }
    let program = env::current_exe()
        .map_err(|error| Fault::new(FaultCode::Internal, format!("this program does not know where it is: {error}"), ""))?;
    let file = service::install(&program, variable("TOLLBAR_HOME").as_deref(), &variable)?;
    if form.json {
        return print_json(&service::standing(&variable));
    }
    print(&format!("the engine runs now and with every session ({})\n", file.display()))
}

fn remove(form: &Form) -> Result<(), Fault> {
    if !service::remove(&variable)? {
        return Err(Fault::new(FaultCode::NotFound, "no service is installed", "nothing needs to be done"));
    }
    if form.json {
        return print_json(&service::standing(&variable));
    }
    print("the engine is stopped and no longer started; clients that are connected hang without it (`tollbar connect`)\n")
}

fn status(form: &Form) -> Result<(), Fault> {
    let standing = service::standing(&variable);
    if form.json {
        return print_json(&standing);
    }
    let installed = if standing.installed { "installed" } else { "not installed (`tollbar service install`)" };
    let active = match standing.active {
        Some(true) => "runs",
        Some(false) => "does not run",
        None => "cannot be asked: the system has no service manager that answers",
    };
    print(&format!("service   {installed}, {active}\nfile      {}\n", standing.file.display()))
}
