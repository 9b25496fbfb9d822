//! A wish, and what it becomes: facts to write, or the reason why it is refused.

mod prices;

use crate::{
    AgreedName, AgreedPrice, Budget, BudgetScope, Event, MatchedBy, Multiplier, Projections, RequestKey, Said, Sighting, Timestamp, Usage,
    Usd,
    log::{BATCH_FACTS_MAX, Fact},
    names,
    query::{Fault, FaultCode},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The longest name of a budget, project or model that a command may give, in bytes.
const NAME_BYTES_MAX: usize = names::NAME_BYTES_MAX;
/// The highest threshold of a budget, in percent of its limit.
const ALERT_PERCENT_MAX: u32 = 1000;
/// The most projects that are renamed at once.
const PROJECTS_AT_ONCE_MAX: usize = 100;
/// The most thresholds of one budget.
const ALERT_PERCENTS_MAX: usize = 10;

/// A wish. The window, the command line and the control API all tell the ledger these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Command {
    /// Record calls that were seen: one by hand, or many by an importer.
    LogUsage {
        /// The sightings, at most [`BATCH_FACTS_MAX`].
        sightings: Vec<Sighting>,
    },
    /// Count known calls as a corrected meter counts them.
    Remeter {
        /// What is right, at most [`BATCH_FACTS_MAX`].
        calls: Vec<Remetered>,
    },
    /// Make the store and the key index anew from the journal. No fact: the owner of the log does it.
    Rebuild {},
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
    /// Price calls by a book from an instant on. What the books before priced stays as it was.
    AdoptPriceBook {
        /// Its text.
        book: String,
        /// From when on; from now, if not named. Never before the newest book began.
        #[serde(default)]
        from: Option<Timestamp>,
    },
    /// Take over what another log says of prices, oldest first, where this one says nothing.
    TakePrices {
        /// Its events, at most [`BATCH_FACTS_MAX`].
        #[cfg_attr(test, ts(type = "Array<unknown>"))]
        events: Vec<Event>,
    },
    /// Write down which book has held until now, so that another program's does not move the past.
    PinPriceBook {},
    /// Price calls as agreed with a provider.
    SetPrice {
        /// The price. One of the same name and day takes the other's place; one that begins later ends the one before.
        price: Box<AgreedPrice>,
    },
    /// Take a price away that was set.
    UnsetPrice {
        /// Whose.
        name: AgreedName,
        /// From when on; as if it had never been, if not named.
        #[serde(default)]
        from: Option<Timestamp>,
    },
    /// Multiply a provider's list prices: a relay's surcharge, or a discount.
    MultiplyPrices {
        /// Whose, and by how much.
        multiplier: Multiplier,
    },
    /// Take calls for one that another log found to be so, as when its journal is read.
    Match {
        /// The matches, at most [`BATCH_FACTS_MAX`].
        matches: Vec<Match>,
    },
    /// Show a project, or several as one, under another name: the past, what is to come, and in budgets.
    RenameProjects {
        /// How they are shown now.
        names: Vec<String>,
        /// How they shall be shown.
        name: String,
    },
    /// Show a project under the name again under which it was recorded.
    RestoreProject {
        /// That name.
        recorded: String,
    },
}

/// A row under a client's own id, and the call that it tells of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Match {
    /// The key of the client's id.
    pub key: RequestKey,
    /// The call.
    pub call: RequestKey,
    /// By what it was known.
    pub by: MatchedBy,
}

/// A known call as a corrected meter counts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Remetered {
    /// The call.
    pub key: RequestKey,
    /// As what it was known when it was metered again. A call that is known otherwise by now stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub before: Option<Usage>,
    /// What is right.
    pub after: Usage,
    /// What stands beside it in the journal: whose word it is.
    pub said: Said,
}

/// What a wish becomes, or why it is refused.
pub fn decide(command: Command, projections: &Projections, now: Timestamp) -> Result<Vec<Fact>, Fault> {
    let tariff = projections.tariff();
    match command {
        Command::LogUsage { sightings } => {
            check_batch(sightings.len())?;
            sightings.into_iter().map(|sighting| log_usage(sighting, projections)).collect()
        }
        Command::Remeter { calls } => {
            check_batch(calls.len())?;
            let fact = |Remetered { key, before, after, said }| Fact::Remetered {
                key,
                before: before.map(Box::new),
                after: Box::new(after),
                said,
            };
            Ok(calls.into_iter().map(fact).collect())
        }
        Command::Rebuild {} => Ok(Vec::new()),
        Command::SetBudget { mut budget } => {
            check_name("budget", &budget.name)?;
            let BudgetScope { project, model, provider, device } = &budget.scope;
            for (what, name) in [("project", project), ("model", model), ("provider", provider), ("device", device)] {
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
        Command::AdoptPriceBook { book, from } => prices::adopt(&book, from, tariff, now),
        Command::TakePrices { events } => {
            check_batch(events.len())?;
            Ok(prices::take(events, tariff))
        }
        Command::PinPriceBook {} => prices::pin(tariff),
        Command::SetPrice { price } => prices::set(*price, tariff, now),
        Command::UnsetPrice { name, from } => prices::unset(name, from, tariff),
        Command::MultiplyPrices { multiplier } => prices::multiply(multiplier, tariff, now),
        Command::Match { matches } => {
            check_batch(matches.len())?;
            Ok(matches.into_iter().map(|Match { key, call, by }| Fact::Matched { key, call, by }).collect())
        }
        Command::RenameProjects { names, name } => rename_projects(&names, &name, projections),
        Command::RestoreProject { recorded } => {
            if !projections.projects.is_renamed(&recorded) {
                return Err(Fault::new(
                    FaultCode::NotFound,
                    format!("no project {recorded:?} is shown under another name"),
                    "see `tollbar project list`",
                ));
            }
            Ok(vec![Fact::Event(Event::ProjectRenamed { name: recorded.clone(), recorded })])
        }
    }
}

/// One event for each name under which calls of the projects were recorded, and one for each budget that counts one of them.
fn rename_projects(names: &[String], name: &str, projections: &Projections) -> Result<Vec<Fact>, Fault> {
    check_name("project", name)?;
    if names.is_empty() || names.len() > PROJECTS_AT_ONCE_MAX {
        return Err(Fault::refused(format!("{} projects at once", names.len()), format!("name 1 to {PROJECTS_AT_ONCE_MAX} of them")));
    }
    let known: BTreeSet<&str> = projections.spend.projects().collect();
    let mut facts = Vec::new();
    for old in names.iter().filter(|old| *old != name) {
        let itself = (known.contains(old.as_str()) && !projections.projects.is_renamed(old)).then_some(old.as_str());
        let recorded: BTreeSet<&str> = projections.projects.recorded_as(old).chain(itself).collect();
        if recorded.is_empty() {
            return Err(Fault::new(FaultCode::NotFound, format!("there is no project {old:?}"), "see `tollbar project list`"));
        }
        let renamed = |recorded: &str| Event::ProjectRenamed { recorded: recorded.to_owned(), name: name.to_owned() };
        facts.extend(recorded.into_iter().map(renamed).map(Fact::Event));
        for budget in projections.budgets.all().filter(|budget| budget.scope.project.as_ref() == Some(old)) {
            let scope = BudgetScope { project: Some(name.to_owned()), ..budget.scope.clone() };
            facts.push(Fact::Event(Event::BudgetSet { budget: Budget { scope, ..budget.clone() } }));
        }
    }
    if facts.len() > BATCH_FACTS_MAX {
        return Err(Fault::refused(format!("{} names at once are too many", facts.len()), "rename fewer projects at a time"));
    }
    Ok(facts)
}

/// One call. Its names are cleaned rather than refused: an importer sends many at once, and one hostile name would hold up all of them.
fn log_usage(mut sighting: Sighting, projections: &Projections) -> Result<Fact, Fault> {
    names::clean(&mut sighting.usage, projections);
    let usage = &sighting.usage;
    if !usage.has_key() {
        return Err(Fault::refused("a call without an id cannot be recorded", "name its call id"));
    }
    check_name("provider", &usage.provider)?;
    let named = [
        ("model", &usage.model),
        ("call id", &usage.call_id),
        ("session", &usage.session),
        ("client", &usage.client),
        ("device", &usage.device),
    ];
    named.into_iter().filter_map(|(what, name)| Some((what, name.as_deref()?))).try_for_each(|(what, name)| check_name(what, name))?;
    Ok(Fact::Seen(Box::new(sighting)))
}

fn check_batch(calls: usize) -> Result<(), Fault> {
    if calls > BATCH_FACTS_MAX {
        return Err(Fault::refused(format!("{calls} calls at once are too many"), format!("send {BATCH_FACTS_MAX} at a time")));
    }
    Ok(())
}

fn check_name(what: &str, name: &str) -> Result<(), Fault> {
    // Most are ids and plain words. Without a way out before the end it is seen on many bytes at once.
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().fold(true, |is, byte| is & byte.is_ascii_graphic()) {
        return Ok(());
    }
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(names::is_hidden) {
        let shown: String = name.chars().filter(|c| !names::is_hidden(*c)).take(40).collect();
        return Err(Fault::refused(
            format!("{shown:?} is no name for a {what}"),
            format!("give it 1 to {NAME_BYTES_MAX} bytes of visible text"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Period, PriceBook, Seq};

    fn check(command: Command, expected: Result<usize, &str>) {
        let decided = decide(command, &Projections::new(PriceBook::bundled().clone()), Timestamp::default());
        match expected {
            Ok(facts) => assert_eq!(decided.map(|facts| facts.len()).map_err(|fault| fault.message), Ok(facts)),
            Err(part) => {
                let fault = decided.expect_err("it is refused");
                assert!(fault.message.contains(part) && !fault.hint.is_empty(), "{fault:?}");
            }
        }
    }

    fn budget(name: &str, dollars: i128, alert_percents: &[u32]) -> Budget {
        Budget {
            name: name.into(),
            period: Period::Day,
            limit: Usd::from_pico(dollars * 1_000_000_000_000),
            scope: BudgetScope::default(),
            alert_percents: alert_percents.to_vec(),
        }
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused_with_a_way_out() {
        check(Command::SetBudget { budget: budget("day", 1, &[100, 80, 80]) }, Ok(1));
        check(Command::SetBudget { budget: budget(" ", 1, &[80]) }, Err("no name for a budget"));
        check(Command::SetBudget { budget: budget("a\nb", 1, &[80]) }, Err("no name for a budget"));
        check(Command::SetBudget { budget: budget("day", 0, &[80]) }, Err("makes no sense"));
        check(Command::SetBudget { budget: budget("day", -5, &[80]) }, Err("makes no sense"));
        check(Command::SetBudget { budget: budget("day", 1, &[0]) }, Err("cannot alert at"));
        check(Command::RemoveBudget { name: "day".into() }, Err("no budget \"day\""));
        let usage = crate::Usage { provider: "openai".into(), ..crate::Usage::default() };
        check(Command::LogUsage { sightings: vec![usage.into()] }, Err("without an id"));
    }

    #[test]
    fn setting_a_budget_again_unchanged_is_no_fact() {
        let mut projections = Projections::new(PriceBook::bundled().clone());
        let event = Event::BudgetSet { budget: budget("day", 1, &[80, 100]) };
        projections.apply(&crate::Entry { seq: Seq(1), recorded_at: Timestamp::default(), key: None, event });
        let again =
            decide(Command::SetBudget { budget: budget("day", 1, &[100, 80]) }, &projections, Timestamp::default()).expect("accepted");
        assert!(again.is_empty());
    }
}
