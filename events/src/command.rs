//! A wish, and what it becomes: facts to write, or the reason why it is refused.

use crate::{
    Budget, Event, Projections, Sighting, Usage, Usd,
    log::Fact,
    query::{Fault, FaultCode},
};
use serde::{Deserialize, Serialize};

/// The longest name of a budget, project or model that a command may give, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// The highest threshold of a budget, in percent of its limit.
const ALERT_PERCENT_MAX: u32 = 1000;
/// The most thresholds of one budget.
const ALERT_PERCENTS_MAX: usize = 10;

/// A wish. The window, the command line and the control API all tell the ledger these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Command {
    /// Record a call by hand.
    LogUsage {
        /// The call.
        usage: Box<Usage>,
    },
    /// Make a budget, or change the one of that name.
    SetBudget {
        /// The budget, whole.
        #[serde(flatten)]
        budget: Budget,
    },
    /// Give a budget up.
    RemoveBudget {
        /// Its name.
        name: String,
    },
}

/// What a wish becomes, or why it is refused.
pub fn decide(command: Command, projections: &Projections) -> Result<Vec<Fact>, Fault> {
    match command {
        Command::LogUsage { usage } => {
            if usage.key().is_none() {
                return Err(Fault::refused("a call without an id cannot be recorded", "name its call id"));
            }
            check_name("provider", &usage.provider)?;
            Ok(vec![Fact::Seen(Box::new(Sighting::from(*usage)))])
        }
        Command::SetBudget { mut budget } => {
            check_name("budget", &budget.name)?;
            for (what, name) in [("project", &budget.scope.project), ("model", &budget.scope.model), ("provider", &budget.scope.provider)] {
                name.as_deref().map_or(Ok(()), |name| check_name(what, name))?;
            }
            if budget.limit <= Usd::ZERO {
                return Err(Fault::refused(format!("a budget of {} makes no sense", budget.limit), "give an amount above zero, like 20"));
            }
            budget.alert_percents.sort_unstable();
            budget.alert_percents.dedup();
            let sensible = |percent: &u32| (1..=ALERT_PERCENT_MAX).contains(percent);
            if budget.alert_percents.len() > ALERT_PERCENTS_MAX || !budget.alert_percents.iter().all(sensible) {
                return Err(Fault::refused(
                    format!("cannot alert at {:?} percent", budget.alert_percents),
                    format!("name at most {ALERT_PERCENTS_MAX} thresholds from 1 to {ALERT_PERCENT_MAX}, like 80,100"),
                ));
            }
            if projections.budgets.get(&budget.name) == Some(&budget) {
                return Ok(Vec::new());
            }
            Ok(vec![Fact::Event(Event::BudgetSet { budget })])
        }
        Command::RemoveBudget { name } => {
            if projections.budgets.get(&name).is_none() {
                return Err(Fault::new(FaultCode::NotFound, format!("there is no budget {name:?}"), "see `tollbar budget list`"));
            }
            Ok(vec![Fact::Event(Event::BudgetRemoved { name })])
        }
    }
}

fn check_name(what: &str, name: &str) -> Result<(), Fault> {
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
        return Err(Fault::refused(
            format!("{shown:?} is no name for a {what}"),
            format!("give it 1 to {NAME_BYTES_MAX} bytes of visible text"),
        ));
    }
    Ok(())
}
