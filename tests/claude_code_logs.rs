//! Claude Code's logs as others recorded them: what is imported equals the totals that were computed independently.

#![allow(clippy::print_stdout)]

mod recorded;

use events::{RequestKey, Sighting, Tokens, Usage};
use recorded::without_progress;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
};
use tollbar_app::{
    attribution::Projects,
    logs::{self, Client, Cursors},
    remeter,
};

#[derive(Deserialize)]
struct Row {
    path: PathBuf,
    client: String,
    expected: serde_json::Value,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Totals {
    input: u64,
    cache_write: u64,
    cache_read: u64,
    output: u64,
}

/// Stands in for the log: each call once, by its key.
type Ledger = HashMap<RequestKey, Usage>;

/// A folder in the shape of Claude Code's, in which one session's file is written over and over.
struct House {
    root: tempfile::TempDir,
    cursors: Cursors,
    ledger: Ledger,
    bytes_read: u64,
    /// Sightings that were read again from what was kept of them.
    again: usize,
}

impl House {
    fn new() -> House {
        House { root: tempfile::tempdir().expect("a folder"), cursors: Cursors::default(), ledger: Ledger::new(), bytes_read: 0, again: 0 }
    }

    fn import(&mut self, session: &[u8]) {
        let slug = self.root.path().join("projects/slug");
        fs::create_dir_all(&slug).expect("folders");
        fs::write(slug.join("session.jsonl"), session).expect("written");
        let mut sink = |batch: Vec<Sighting>| {
            for Sighting { usage, said } in batch {
                let said = said.expect("no usage object is too large to keep");
                assert_eq!(remeter::again(&usage, &said).as_ref(), Some(&*usage), "read again, a call is what it was");
                self.again += 1;
                let key = usage.key().expect("every sighting has a key");
                let merged = self.ledger.get(&key).map_or_else(|| Usage::clone(&usage), |known| known.merged(&usage));
                self.ledger.insert(key, merged);
            }
            Ok::<_, Infallible>(())
        };
        let roots = [self.root.path().to_owned()];
        let Ok(report) = logs::import(Client::ClaudeCode, &roots, &mut self.cursors, &mut Projects::default(), &mut sink, &mut |_| {});
        assert_eq!(report.skipped, []);
        self.bytes_read += report.bytes_read;
    }

    fn tokens(&self) -> Tokens {
        let mut all = Tokens::default();
        self.ledger.values().for_each(|usage| all.add(&usage.tokens));
        all
    }
}

fn read(session: &[u8]) -> House {
    let mut house = House::new();
    house.import(session);
    house
}

fn totals(tokens: &Tokens) -> Totals {
    Totals { input: tokens.input, cache_write: tokens.cache_writes(), cache_read: tokens.cache_read, output: tokens.output }
}

/// The recordings' folder, or `None` with a word on the screen where there is none.
fn sessions() -> Option<PathBuf> {
    let data = std::env::var_os("TOLLBAR_DATA").map(PathBuf::from);
    let folder = data.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data")).join("sessions");
    if folder.join("EXPECTED.jsonl").is_file() {
        return Some(folder);
    }
    println!("skipped: no recordings at {}", folder.display());
    None
}

fn rows(sessions: &Path) -> Vec<Row> {
    let text = fs::read_to_string(sessions.join("EXPECTED.jsonl")).expect("EXPECTED.jsonl");
    let rows = text.lines().map(|line| serde_json::from_str::<Row>(line).expect("a row"));
    rows.filter(|row| row.client == Client::ClaudeCode.name()).collect()
}

#[test]
fn every_session_has_the_expected_totals() {
    let Some(sessions) = sessions() else { return };
    let rows = rows(&sessions);
    let (mut right, mut again) = (0, 0);
    for row in &rows {
        let session = without_progress(&fs::read(sessions.join(&row.path)).expect("a session"));
        let own = read(&session);
        let expected: Totals = serde_json::from_value(row.expected["last_wins"].clone()).expect("totals");
        assert_eq!(totals(&own.tokens()), expected, "{}", row.path.display());
        // Features count lines by the lifetime of their cache writes.
        let has = |feature: &str| row.expected["features"][feature].as_u64().is_some();
        assert_eq!(own.tokens().cache_write_1h > 0, has("cache_1h"), "{}", row.path.display());
        assert_eq!(own.tokens().cache_write_5m > 0, has("cache_5m"), "{}", row.path.display());
        right += 1;
        again += own.again;
    }
    println!("{right} of {} sessions have the expected totals; {again} calls are the same when read again", rows.len());
    assert!(right > 0);
}

/// The steps of each growing session in order, and the `.dupN` recordings of one session at several moments.
fn sequences(sessions: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let mut sequences = BTreeMap::<String, Vec<PathBuf>>::new();
    for part in ["claude", "claude-incremental"] {
        let mut open = vec![sessions.join(part)];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                if entry.path().is_dir() {
                    open.push(entry.path());
                } else if let Some(name) = entry.file_name().to_str().and_then(|name| name.split('.').next()) {
                    sequences.entry(name.to_owned()).or_default().push(entry.path());
                }
            }
        }
    }
    sequences.retain(|_, files| files.len() > 1);
    // `x.dup1.jsonl` sorts before `x.jsonl`, and `step01` before `step02`.
    sequences.values_mut().for_each(|files| files.sort());
    sequences
}

#[test]
fn a_session_read_in_steps_is_the_session_read_at_once() {
    let Some(sessions) = sessions() else { return };
    let sequences = sequences(&sessions);
    let (mut steps, mut bytes_in_steps, mut bytes_whole) = (0, 0, 0);
    for (session, files) in &sequences {
        let moments: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("a recording")).collect();
        let mut growing = House::new();
        let mut all = Ledger::new();
        for moment in &moments {
            growing.import(moment);
            for (key, usage) in read(moment).ledger {
                let merged = all.get(&key).map_or_else(|| usage.clone(), |known| known.merged(&usage));
                all.insert(key, merged);
            }
            assert_eq!(growing.ledger, all, "{session}");
            steps += 1;
            bytes_whole += moment.len();
        }
        bytes_in_steps += growing.bytes_read;
        // A client that only appends makes the last moment hold all.
        let last = moments.last().expect("several");
        if moments.iter().all(|moment| last.starts_with(moment)) {
            assert_eq!(growing.ledger, read(last).ledger, "{session}");
        }
    }
    println!(
        "{} sessions in {steps} steps; {bytes_in_steps} bytes read in steps, {bytes_whole} with each step read whole",
        sequences.len()
    );
    assert!(!sequences.is_empty());
}

/// Some orders of so many things: as they are, backwards, each of them first, and some more that look like none.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let forwards: Vec<usize> = (0..count).collect();
    let mut orders = vec![forwards.clone(), forwards.iter().rev().copied().collect()];
    for first in 1..count {
        orders.push(forwards.iter().map(|at| (at + first) % count).collect());
    }
    let mut seed = 1u64;
    for _ in 0..12 {
        let mut order = forwards.clone();
        for at in (1..count).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            order.swap(at, usize::try_from(seed >> 33).expect("31 bits") % (at + 1));
        }
        orders.push(order);
    }
    orders
}

#[test]
fn moments_of_a_session_in_any_order_come_to_the_same() {
    let Some(sessions) = sessions() else { return };
    let mut tried = 0;
    for (session, files) in sequences(&sessions) {
        let moments: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("a recording")).collect();
        let mut expected: Option<Ledger> = None;
        for order in orders(moments.len()) {
            let mut house = House::new();
            order.iter().for_each(|at| house.import(&moments[*at]));
            let expected = expected.get_or_insert_with(|| house.ledger.clone());
            assert!(house.ledger == *expected, "{session} in the order {order:?}");
            tried += 1;
        }
    }
    println!("{tried} orders");
    assert!(tried > 0);
}

#[test]
fn sessions_in_any_order_and_all_at_once_come_to_the_same() {
    let Some(sessions) = sessions() else { return };
    let mut files: Vec<PathBuf> = rows(&sessions).iter().map(|row| sessions.join(&row.path)).collect();
    files.sort();
    files.dedup();
    let contents: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("a recording")).collect();
    let import = |root: &Path, ledger: &mut Ledger, cursors: &mut Cursors| {
        let mut sink = |batch: Vec<Sighting>| {
            for Sighting { usage, .. } in batch {
                let key = usage.key().expect("every sighting has a key");
                let merged = ledger.get(&key).map_or_else(|| Usage::clone(&usage), |known| known.merged(&usage));
                ledger.insert(key, merged);
            }
            Ok::<_, Infallible>(())
        };
        let Ok(_) = logs::import(Client::ClaudeCode, &[root.to_owned()], cursors, &mut Projects::default(), &mut sink, &mut |_| {});
    };
    let mut expected: Option<Ledger> = None;
    for order in orders(files.len()).into_iter().step_by(9) {
        for at_once in [true, false] {
            let root = tempfile::tempdir().expect("a folder");
            let slug = root.path().join("projects/slug");
            fs::create_dir_all(&slug).expect("a folder");
            let (mut ledger, mut cursors) = (Ledger::new(), Cursors::default());
            for (place, at) in order.iter().enumerate() {
                fs::write(slug.join(format!("{place}.jsonl")), &contents[*at]).expect("written");
                if !at_once {
                    import(root.path(), &mut ledger, &mut cursors);
                }
            }
            import(root.path(), &mut ledger, &mut cursors);
            assert!(&ledger == expected.get_or_insert_with(|| ledger.clone()), "in the order {order:?}");
        }
    }
    assert!(!files.is_empty());
}
