//! `tollbar reset`

use super::{confirmed, free_archive, print, print_json};
use crate::{config::Home, engine::ControlClient};
use clap::Args;
use events::{
    log::archive,
    query::{Fault, FaultCode},
};

#[derive(Debug, Args)]
pub(super) struct Reset {
    /// Without asking
    #[arg(long)]
    yes: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Reset {
    pub(super) fn run(self) -> Result<(), Fault> {
        let home = Home::find()?;
        if let Some(running) = ControlClient::knock(&home)? {
            let cause = format!("the engine runs (pid {}) and has the log open", running.pid());
            return Err(Fault::refused(cause, "stop it with `tollbar stop`, then reset"));
        }
        if !home.log().exists() {
            return Err(Fault::new(FaultCode::NotFound, "there is no log yet", "nothing needs to be done"));
        }
        let archived = free_archive(&home);
        if !self.yes {
            let what = format!("The log is moved to {} and a new, empty one begins. Budgets begin anew as well.", archived.display());
            confirmed(&what, "reset")?;
        }
        archive(&home.log(), &archived).map_err(|error| Fault::new(FaultCode::Storage, error.to_string(), error.hint()))?;
        if self.json {
            return print_json(&serde_json::json!({ "archived": archived }));
        }
        let back = format!("tollbar ledger merge {}", archived.display());
        print(&format!("the old log is in {}; `{back}` takes its calls in again\n", archived.display()))
    }
}
