//! `tollbar version`

use super::{print, print_json};
use clap::Args;
use events::query::Fault;

#[derive(Debug, Args)]
pub(super) struct Version {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Version {
    pub(super) fn run(self) -> Result<(), Fault> {
        let version = env!("CARGO_PKG_VERSION");
        if self.json {
            print_json(&serde_json::json!({ "program": "tollbar", "version": version }))
        } else {
            print(&format!("tollbar {version}\n"))
        }
    }
}
