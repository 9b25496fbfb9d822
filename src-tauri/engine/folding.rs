//! Adds up the calls of long ago, while nobody else has the log: by command, or when the engine starts.

use super::ledger::{Found, find, open_log, storage_fault};
use crate::{
    clock,
    config::{Config, Home},
};
use events::{
    Log, PriceBook, Projections, Timestamp,
    log::{FoldedLog, Folding},
    query::Fault,
};

/// A log and what it will be when it is folded. Nothing has changed yet.
pub struct ToFold {
    log: Log,
    folded: FoldedLog,
}

impl ToFold {
    /// Builds the folded log beside the log of a home; `None` where no call is old enough. The engine must not run.
    pub fn build(home: &Home, before: Timestamp) -> Result<Option<ToFold>, Fault> {
        match find(home)? {
            Found::Owner(running) => {
                let cause = format!("the engine runs (pid {}) and has the log open", running.pid());
                Err(Fault::refused(cause, "stop it with `tollbar stop`, then fold"))
            }
            Found::Log(log, _) => build(*log, before).map_err(|error| storage_fault(&error)),
        }
    }

    /// What it does.
    pub fn folding(&self) -> Folding {
        self.folded.folding()
    }

    /// Puts the folded log in the place of the other, which is gone thereafter.
    pub fn put_in_place(self) -> Result<(), Fault> {
        self.folded.replace(self.log).map_err(|error| storage_fault(&error))
    }

    /// Leaves the log as it is.
    pub fn discard(self) -> Result<(), Fault> {
        self.folded.discard().map_err(|error| storage_fault(&error))
    }
}

fn build(log: Log, before: Timestamp) -> Result<Option<ToFold>, events::LogError> {
    let folded = log.folded(before, clock::now(), PriceBook::bundled())?;
    Ok(folded.map(|folded| ToFold { log, folded }))
}

/// Folds a log that was just opened if the configuration asks for it: where the limit has moved on since, which it does with the month.
///
/// A log that cannot be folded is taken as it is, and the warning says why.
pub(super) fn fold_if_due(
    home: &Home,
    config: &Config,
    log: Log,
    projections: Projections,
) -> Result<(Log, Projections, Option<String>), Fault> {
    let before = config.fold_after_months.map(|months| config.zone.months_before(clock::now(), months));
    let Some(before) =
        before.filter(|before| log.folded_before() < Some(*before) && projections.first_call_at().is_some_and(|first| first < *before))
    else {
        return Ok((log, projections, None));
    };
    drop(projections);
    let folded = build(log, before).map_err(|error| storage_fault(&error)).and_then(|built| built.map_or(Ok(()), ToFold::put_in_place));
    let warning = folded.err().map(|fault| format!("the log was not folded: {fault}; {}", fault.hint));
    let (log, projections) = open_log(home).map_err(|error| storage_fault(&error))?;
    Ok((log, projections, warning))
}
