//! `tollbar dashboard`

use super::print;
use crate::{config::Home, engine::ControlClient};
use clap::Args;
use events::query::{Fault, FaultCode};
use std::process::{Command, Stdio};

#[derive(Debug, Args)]
pub(super) struct Dashboard {
    /// Print the link instead of opening it; whoever has it can read everything
    #[arg(long)]
    link: bool,
}

impl Dashboard {
    pub(super) fn run(self) -> Result<(), Fault> {
        let client = ControlClient::knock(&Home::find()?)?.ok_or_else(|| {
            Fault::new(FaultCode::Unreachable, "no engine is running", "start one with `tollbar serve` or the desktop app")
        })?;
        let link = client.dashboard_link();
        let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let opened = !self.link
            && Command::new(opener).arg(&link).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|done| done.success());
        if opened { Ok(()) } else { print(&format!("{link}\n")) }
    }
}
