//! What older versions recorded of clients' logs that today's readers read otherwise: calls twice under two keys, or with other counts.
//!
//! Readers name such keys ([`logs::Former`]) where the logs are still there. A call that anybody else saw as well stays as it is.

use crate::{
    attribution::Projects,
    cli::{
        remeter::{Bounds, each_line},
        table::{self, Table},
    },
    engine::{Ledger, Told},
    logs::{self, Client, Cursors, Former},
    remeter, words,
};
use events::{Certainty, Command, Fees, Remetered, RequestKey, Source, Tokens, Usage, log::BATCH_FACTS_MAX, query::Fault};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    path::PathBuf,
};

/// A call as it was recorded, and as it is read today.
pub(super) struct Restated {
    key: RequestKey,
    before: Usage,
    after: Usage,
}

/// The calls of one client that were recorded wrongly.
#[derive(Debug, Default, Serialize)]
pub(super) struct Wrong {
    client: String,
    calls: u64,
    tokens_in_before: u64,
    tokens_in_after: u64,
    tokens_out_before: u64,
    tokens_out_after: u64,
}

/// The calls that were recorded under these keys and are read otherwise today.
pub(super) fn wrong(former: &[Former], roots: &[(Client, Vec<PathBuf>)]) -> Result<Vec<Restated>, Fault> {
    let by_key: HashMap<RequestKey, &Former> =
        former.iter().map(|former| (RequestKey::of(&former.family, &former.call_id), former)).collect();
    if by_key.is_empty() {
        return Ok(Vec::new());
    }
    let mut recorded: HashMap<RequestKey, Usage> = HashMap::new();
    each_line(&mut Bounds::new(), |key, usage, _| {
        if by_key.contains_key(&key) {
            match usage {
                Some(usage) => drop(recorded.insert(key, usage)),
                None => drop(recorded.remove(&key)),
            }
        }
    })?;
    recorded.retain(|key, usage| {
        let counts = by_key[key].tokens;
        usage.sources == Source::Log.into() && usage.tokens.total() > 0 && counts.is_none_or(|counts| counts == usage.tokens)
    });
    if recorded.is_empty() {
        return Ok(Vec::new());
    }
    let today = read_today(&recorded, roots);
    let restated = recorded.into_iter().map(|(key, before)| {
        let after = match today.get(&key) {
            Some(usage) => Usage {
                tokens: usage.tokens,
                certainty: usage.certainty,
                reported_cost: usage.reported_cost,
                fees: usage.fees,
                ..before.clone()
            },
            // It is another call's row, or none's.
            None => Usage {
                tokens: Tokens::default(),
                certainty: Certainty::Unknown,
                reported_cost: None,
                fees: Fees::default(),
                ..before.clone()
            },
        };
        Restated { key, before, after }
    });
    let mut restated: Vec<Restated> = restated.filter(|it| it.after != it.before).collect();
    restated.sort_by_key(|it| (it.before.client.clone(), it.before.at, it.key));
    Ok(restated)
}

/// What today's readers read under these keys.
fn read_today(keys: &HashMap<RequestKey, Usage>, roots: &[(Client, Vec<PathBuf>)]) -> HashMap<RequestKey, Usage> {
    let mut today: HashMap<RequestKey, Usage> = HashMap::new();
    for (client, roots) in roots {
        let mut sink = |sightings: Vec<events::Sighting>| {
            for sighting in sightings {
                let Some(key) = sighting.usage.key().filter(|key| keys.contains_key(key)) else { continue };
                let merged = today.get(&key).map_or_else(|| Usage::clone(&sighting.usage), |known| known.merged(&sighting.usage));
                today.insert(key, merged);
            }
            Ok::<_, Infallible>(())
        };
        let found = logs::find(*client, roots);
        let found = match roots.first() {
            Some(root) if found.is_empty() => logs::find_beside(*client, root).map_or(found, |(_, beside)| beside),
            Some(_) | None => found,
        };
        let (mut cursors, mut projects) = (Cursors::default(), Projects::new(std::env::home_dir()));
        let Ok(_) = logs::import_found(*client, roots, found, &mut cursors, &mut projects, &mut sink, &mut |_| {});
    }
    today
}

/// Restates them in the ledger.
pub(super) fn apply(ledger: &Ledger, wrong: &[Restated]) -> Result<Told, Fault> {
    let mut told = Told::default();
    for calls in wrong.chunks(BATCH_FACTS_MAX) {
        let calls = calls
            .iter()
            .map(|it| Remetered { key: it.key, before: Some(it.before.clone()), after: it.after.clone(), said: remeter::mark() })
            .collect();
        told = told.and(ledger.tell(Command::Remeter { calls })?);
    }
    Ok(told)
}

/// The differences by client.
pub(super) fn table(wrong: &[Restated]) -> Vec<Wrong> {
    let mut clients: BTreeMap<String, Wrong> = BTreeMap::new();
    for Restated { before, after, .. } in wrong {
        let client = before.client.clone().unwrap_or_default();
        let row = clients.entry(client.clone()).or_insert_with(|| Wrong { client, ..Wrong::default() });
        row.calls += 1;
        row.tokens_in_before += before.tokens.prompt();
        row.tokens_in_after += after.tokens.prompt();
        row.tokens_out_before += before.tokens.produced();
        row.tokens_out_after += after.tokens.produced();
    }
    clients.into_values().collect()
}

/// The differences as text; nothing where there are none.
pub(super) fn told(wrong: &[Wrong], is_restated: bool) -> String {
    if wrong.is_empty() {
        return String::new();
    }
    let mut table = Table::new(1, &["client", "calls", "tokens in", "now", "tokens out", "now"]);
    for row in wrong {
        let counts = [row.calls, row.tokens_in_before, row.tokens_in_after, row.tokens_out_before, row.tokens_out_after];
        table.row([row.client.clone()].into_iter().chain(counts.map(|count| words::grouped(count.into()))).collect());
    }
    let calls = words::counted(wrong.iter().map(|row| row.calls).sum(), "call", "calls");
    let end = if is_restated {
        format!("{calls} that older versions recorded twice or with other counts restated\n")
    } else {
        format!("{calls} recorded twice or with other counts by older versions; `tollbar import --again --restate` restates them\n")
    };
    format!("{}{}", table.text(), table::dim(&end))
}
