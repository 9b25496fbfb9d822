//! `tollbar completions` and `tollbar man`

use super::{Tollbar, print};
use clap::{Args, CommandFactory as _};
use events::query::{Fault, FaultCode};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Fault> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Tollbar::command(), "tollbar", &mut text);
        print(&String::from_utf8_lossy(&text))
    }
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder, like ~/.local/share/man/man1
    folder: PathBuf,
}

impl Man {
    pub(super) fn run(self) -> Result<(), Fault> {
        let made = std::fs::create_dir_all(&self.folder).and_then(|()| clap_mangen::generate_to(Tollbar::command(), &self.folder));
        made.map_err(|error| {
            let cause = format!("cannot write manual pages into {}: {error}", self.folder.display());
            Fault::new(FaultCode::Storage, cause, "name a folder that you may write to")
        })
    }
}
