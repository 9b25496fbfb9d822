//! `tollbar prices build|update`

mod build;
mod update;

use clap::Subcommand;
use events::query::Fault;

#[derive(Debug, Subcommand)]
pub(super) enum Prices {
    /// Make a price book out of public data sets, with a report of where they disagree
    Build(build::Build),
    /// Look for newer prices, show what changes, and adopt them
    Update(update::Update),
}

impl Prices {
    pub(super) fn run(self) -> Result<(), Fault> {
        match self {
            Prices::Build(command) => command.run(),
            Prices::Update(command) => command.run(),
        }
    }
}
