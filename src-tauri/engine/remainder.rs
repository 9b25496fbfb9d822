//! What Codex counted in threads whose rollouts are gone, less what the ledger has of them.
//!
//! A thread's count is one number for its whole life: of no day, and of no class of tokens. What is left of it becomes one estimated call
//! without a model, so that nothing prices it: nobody knows how much was read from a cache, at a tenth of the price. When its rollout comes
//! back, or more of it was imported from elsewhere, the call is counted anew, down to nothing.

use super::{Told, ledger::storage_fault};
use crate::{
    attribution::Projects,
    logs::{
        Client, Cursors,
        codex::threads::{Thread, Threads, threads},
    },
    remeter,
};
use events::{
    Certainty, Command, Event, LogError, Remetered, RequestKey, Sighting, Source, Timestamp, Tokens, Usage,
    log::{BATCH_FACTS_MAX, JournalReader, devices},
    query::Fault,
};
use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    path::{Path, PathBuf},
};

/// How the ids of these calls begin.
const ID: &str = "codex:remainder:";

/// Whoever takes what is to be written.
pub(crate) type Tell<'t> = dyn FnMut(Command) -> Result<Told, Fault> + 't;

/// Tells what is left of the threads below the roots, and says what could not be read.
///
/// The journal is read for it, which takes a while. So nothing is done where the threads are those of the last time and nothing is
/// `fresh`: no call came to the log since.
pub(crate) fn settle(
    log: &Path,
    roots: &[PathBuf],
    cursors: &mut Cursors,
    fresh: bool,
    tell: &mut Tell<'_>,
) -> Result<Vec<(PathBuf, String)>, Fault> {
    let mut threads = threads(roots, cursors.stop());
    let skipped = std::mem::take(&mut threads.skipped);
    let digest = digest(&threads);
    let is_settled = cursors.reckoned() == digest && !fresh;
    if is_settled || (threads.gone.is_empty() && cursors.reckoned() == 0) || !skipped.is_empty() {
        return Ok(skipped);
    }
    let held = Held::read(log, &threads)?;
    let (sightings, calls) = held.differences(&threads, &mut Projects::new(std::env::home_dir()));
    for sightings in sightings.chunks(BATCH_FACTS_MAX) {
        tell(Command::LogUsage { sightings: sightings.to_vec() })?;
    }
    for calls in calls.chunks(BATCH_FACTS_MAX) {
        tell(Command::Remeter { calls: calls.to_vec() })?;
    }
    cursors.have_reckoned(digest);
    Ok(skipped)
}

/// None for no threads.
fn digest(threads: &Threads) -> u64 {
    let used: Vec<_> = threads.gone.values().map(|thread| (&thread.id, thread.tokens_used)).collect();
    if used.is_empty() { 0 } else { BuildHasherDefault::<DefaultHasher>::default().hash_one(used) }
}

/// What the ledger has of threads.
#[derive(Default)]
struct Held {
    /// The tokens of each call, and the thread that it was made in.
    calls: HashMap<RequestKey, (String, u64)>,
    /// What was left of a thread when it was last reckoned, by the thread's id.
    remainders: HashMap<String, Usage>,
    /// Calls from before then stand in sums, which name no thread.
    folded_before: Option<Timestamp>,
}

impl Held {
    fn read(log: &Path, threads: &Threads) -> Result<Held, Fault> {
        let fault = |error: LogError| storage_fault(&error);
        let journals = devices(log).map_err(|source| fault(LogError::Io { path: log.to_owned(), source }))?;
        let mut held = Held::default();
        for (_, journal) in journals {
            // What is damaged is said by `tollbar ledger verify`.
            for (entry, _) in JournalReader::open(&journal).map_err(fault)?.flatten() {
                held.see(entry.key, entry.event, threads);
            }
        }
        Ok(held)
    }

    fn see(&mut self, key: Option<RequestKey>, event: Event, threads: &Threads) {
        match (key, event) {
            (Some(key), Event::Used { usage } | Event::Restated { after: usage, .. }) => {
                let thread = usage.call_id.as_deref().and_then(|id| id.strip_prefix(ID)).map(str::to_owned);
                if let Some(thread) = thread {
                    self.remainders.insert(thread, *usage);
                } else if let Some(session) = usage.session.filter(|session| threads.gone.contains_key(session)) {
                    self.calls.insert(key, (session, usage.tokens.total()));
                }
            }
            // From here on it is counted as the call is.
            (Some(key), Event::Matched { .. }) => drop(self.calls.remove(&key)),
            (_, Event::Folded { before }) => self.folded_before = self.folded_before.max(Some(before)),
            (None, Event::Used { .. } | Event::Restated { .. } | Event::Matched { .. })
            | (
                _,
                Event::BudgetSet { .. }
                | Event::BudgetRemoved { .. }
                | Event::AlertRaised { .. }
                | Event::PriceBookAdopted { .. }
                | Event::PriceSet { .. }
                | Event::PriceUnset { .. }
                | Event::PricesMultiplied { .. }
                | Event::Summarised { .. }
                | Event::Lost
                | Event::ProjectRenamed { .. },
            ) => {}
        }
    }

    /// What is left of each thread, where the ledger does not say so: as a new call, or as a known one that is counted anew.
    fn differences(self, threads: &Threads, projects: &mut Projects) -> (Vec<Sighting>, Vec<Remetered>) {
        let mut told: HashMap<String, u64> = HashMap::new();
        for (thread, tokens) in self.calls.into_values() {
            let sum = told.entry(thread).or_default();
            *sum = sum.saturating_add(tokens);
        }
        let (mut fresh, mut changed) = (Vec::new(), Vec::new());
        let is_summed = |thread: &Thread| self.folded_before.is_some_and(|before| thread.begun_at < before);
        for thread in threads.gone.values().filter(|thread| !is_summed(thread)) {
            let left = thread.tokens_used.saturating_sub(told.get(&thread.id).copied().unwrap_or(0));
            match self.remainders.get(&thread.id) {
                None if left > 0 => fresh.push(Sighting::from(usage(thread, left, projects))),
                Some(known) if known.tokens.total() != left => changed.push(again(known, left)),
                None | Some(_) => {}
            }
        }
        // Their rollouts are back, and tell all.
        let back = self.remainders.iter().filter(|(thread, known)| threads.here.contains(*thread) && known.tokens.total() > 0);
        changed.extend(back.map(|(_, known)| again(known, 0)));
        (fresh, changed.into_iter().flatten().collect())
    }
}

/// What is left of a thread, as a call.
fn usage(thread: &Thread, left: u64, projects: &mut Projects) -> Usage {
    Usage {
        at: thread.last_at,
        provider: thread.provider.clone().unwrap_or_else(|| "openai".to_owned()),
        family: "openai".to_owned(),
        call_id: Some(format!("{ID}{}", thread.id)),
        client: Some(Client::Codex.name().to_owned()),
        project: thread.cwd.as_deref().and_then(|cwd| projects.of_folder(cwd)),
        session: Some(thread.id.clone()),
        branch: thread.branch.clone(),
        tokens: Tokens { input: left, ..Tokens::default() },
        certainty: Certainty::Estimated,
        sources: Source::Log.into(),
        ..Usage::default()
    }
}

/// A greater count would win by itself, and a smaller one never: so it is restated, as by a meter that was corrected.
fn again(known: &Usage, left: u64) -> Option<Remetered> {
    let after = Usage { tokens: Tokens { input: left, ..Tokens::default() }, ..known.clone() };
    Some(Remetered { key: known.key()?, before: None, after, said: remeter::mark() })
}
