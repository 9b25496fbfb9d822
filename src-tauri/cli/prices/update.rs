//! `tollbar prices update`

use crate::{
    cli::{confirmed, print, warn},
    clock,
    config::{Config, Home},
    engine::Ledger,
    priceupdate::{self, Change, Fetched, Folder, Proposal},
    words,
};
use clap::Args;
use events::{
    Zone,
    query::{Fault, FaultCode},
};
use std::path::PathBuf;

/// How many changes are printed; more are counted.
const LINES_MAX: usize = 200;
const STAYS: &str = "the book in force stays";

#[derive(Debug, Args)]
pub(in crate::cli) struct Update {
    /// Take the data sets from this folder instead of fetching them
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// Go on without asking, also with prices that change by more than ten times
    #[arg(long)]
    yes: bool,
}

impl Update {
    pub(in crate::cli) fn run(self) -> Result<(), Fault> {
        let home = Home::find()?;
        let config = Config::read(&home)?;
        let ledger = Ledger::open(&home, &config)?;
        let (folder, fetched) = self.sets(&home, &config)?;
        let in_force = priceupdate::in_force(&ledger)?;
        let today = Zone::default().day_span(Zone::default().day(clock::now())).from;
        let proposal = priceupdate::propose(&in_force, &folder.sets(), today).map_err(|cause| Fault::refused(cause.to_string(), STAYS))?;
        if let Some(fetched) = &fetched
            && let Err(error) = fetched.keep(&home.state)
        {
            warn(format_args!("what was fetched cannot be kept, and will be fetched again: {error}"));
        }
        print(&said(&proposal))?;
        if proposal.changes.is_empty() || self.dry_run {
            return Ok(());
        }
        if !self.yes {
            let large = proposal.large().count();
            let what = if large > 0 {
                format!("{large} prices change by more than ten times; look at them above.")
            } else {
                "These prices will be adopted.".into()
            };
            confirmed(&what, "adopt")?;
        }
        let from = proposal.from();
        priceupdate::adopt(&|command| ledger.tell(command), proposal.book, from)?;
        print("adopted\n")
    }

    fn sets(&self, home: &Home, config: &Config) -> Result<(Folder, Option<Fetched>), Fault> {
        if let Some(folder) = &self.from {
            let folder = Folder::read(folder).map_err(|cause| Fault::new(FaultCode::NotFound, cause.to_string(), STAYS))?;
            return Ok((folder, None));
        }
        let mut fetched = priceupdate::fetch(&config.price_updates.sources, &config.outgoing, &home.state)
            .map_err(|cause| Fault::new(FaultCode::Unreachable, cause.to_string(), STAYS))?;
        Ok((std::mem::take(&mut fetched.folder), Some(fetched)))
    }
}

fn said(proposal: &Proposal) -> String {
    let mut text = String::new();
    for change in proposal.changes.iter().take(LINES_MAX) {
        let mark = if change.is_large() { "!" } else { " " };
        text += &format!("{mark} {change}\n");
    }
    if proposal.changes.len() > LINES_MAX {
        text += &format!("  and {} more\n", words::grouped((proposal.changes.len() - LINES_MAX) as u128));
    }
    let changed = proposal.changes.iter().filter(|change| Change::is_of_known(change)).count();
    text + &format!(
        "{changed} changed, {} new, {} no longer listed and kept{}\n",
        proposal.changes.len() - changed,
        proposal.retired,
        if proposal.changes.is_empty() { ": nothing to adopt" } else { "" }
    )
}
