//! `tollbar ledger fold`

use super::{print, print_json, storage_fault};
use crate::{
    cli::{confirmed, free_archive, spinner},
    clock,
    config::{Config, FOLD_MONTHS_MAX, Home},
    engine::ToFold,
    words,
};
use clap::Args;
use events::{
    log::{Folding, backup},
    query::Fault,
};
use serde::Serialize;
use std::path::PathBuf;

const MONTHS_A_YEAR: u32 = 12;

#[derive(Debug, Args)]
pub(in crate::cli) struct Fold {
    /// How old the calls are, in whole months or years: 24m, 2y
    #[arg(long, value_name = "AGE", value_parser = months)]
    older_than: u32,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Keep a copy of the journal as it is
    #[arg(long)]
    keep_archive: bool,
    /// Without asking
    #[arg(long)]
    yes: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What was done, for scripts.
#[derive(Debug, Serialize)]
struct Done {
    done: bool,
    #[serde(flatten)]
    folding: Option<Folding>,
    archived: Option<PathBuf>,
}

impl Fold {
    pub(super) fn run(self) -> Result<(), Fault> {
        let home = Home::find()?;
        let config = Config::read(&home)?;
        let before = config.zone.months_before(clock::now(), self.older_than);
        let spinner = spinner("adding up");
        let built = ToFold::build(&home, before);
        spinner.finish_and_clear();
        let Some(to_fold) = built? else {
            let nothing = Done { done: false, folding: None, archived: None };
            let day = config.zone.day(before);
            return if self.json {
                print_json(&nothing)
            } else {
                print(&format!("no single call is older than {day}: nothing is to be folded\n"))
            };
        };
        let folding = to_fold.folding();
        let archive = self.keep_archive.then(|| free_archive(&home));
        let losing = losing(&folding, &config.zone.day(before).to_string(), archive.as_ref());
        if self.dry_run {
            to_fold.discard()?;
            let plan = Done { done: false, folding: Some(folding), archived: None };
            return if self.json { print_json(&plan) } else { print(&format!("{losing}\nNothing was done.\n")) };
        }
        if !self.yes
            && let Err(refused) = confirmed(&losing, "fold")
        {
            to_fold.discard()?;
            return Err(refused);
        }
        if let Some(archive) = &archive
            && let Err(error) = backup(&home.log(), archive, &|| {})
        {
            to_fold.discard()?;
            return Err(storage_fault(&error));
        }
        to_fold.put_in_place()?;
        if self.json {
            return print_json(&Done { done: true, folding: Some(folding), archived: archive });
        }
        let calls = words::counted(folding.calls, "call is", "calls are");
        let summaries = words::counted(folding.summaries, "summary", "summaries");
        print(&format!("{calls} in {summaries} now; {} freed\n", freed(&folding)))
    }
}

/// What is lost, before it is.
fn losing(folding: &Folding, day: &str, archive: Option<&PathBuf>) -> String {
    let calls = words::counted(folding.calls, "call made a day and more before", "calls made a day and more before");
    let lose = if folding.calls == 1 { "loses its single record" } else { "lose their single records" };
    let kept = match archive {
        Some(archive) => format!("The journal as it is is copied to {}.", archive.display()),
        None => "The journal as it is is not kept.".to_owned(),
    };
    format!(
        "{calls} {day} {lose}: ids, sessions, branches, statuses, latencies, and what providers said of them. What they consumed and cost \
         stays, by quarter of an hour, model, project, client and device, in {}. Later sightings of calls made before {day} are not \
         recorded any more. {} of {} KiB of the journal are freed. {kept}",
        words::counted(folding.summaries, "summary", "summaries"),
        freed(folding),
        words::grouped(u128::from(folding.journal_bytes.div_ceil(1024))),
    )
}

fn freed(folding: &Folding) -> String {
    format!("{} KiB", words::grouped(u128::from(folding.journal_bytes.saturating_sub(folding.folded_bytes) / 1024)))
}

/// Reads an age in whole months or years.
fn months(text: &str) -> Result<u32, String> {
    let read = || {
        let (count, unit) = text.strip_suffix('m').map(|count| (count, 1)).or_else(|| Some((text.strip_suffix('y')?, MONTHS_A_YEAR)))?;
        count.parse::<u32>().ok()?.checked_mul(unit).filter(|months| (1..=FOLD_MONTHS_MAX).contains(months))
    };
    read().ok_or_else(|| format!("write it like 24m or 2y, from 1 to {FOLD_MONTHS_MAX} months"))
}

#[cfg(test)]
mod tests {
    use super::months;

    #[test]
    fn an_age_is_in_months_or_years_and_has_a_bound() {
        assert_eq!((months("24m"), months("2y")), (Ok(24), Ok(24)));
        for wrong in ["", "m", "24", "0m", "-1m", "1.5y", "1201m", "101y", "4294967295y", "2w", "é"] {
            assert!(months(wrong).is_err(), "{wrong}");
        }
    }
}
