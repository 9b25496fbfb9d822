//! A process that writes the log is killed at random instants, again and again: nothing acknowledged is lost, nothing is counted twice,
//! and the log opens by itself every time.
//!
//! `KILLS=1000 SEEDS=1,2,3` choose more than the usual; the seed that failed is in the message.

#![allow(clippy::disallowed_methods, missing_docs)]

use events::{
    Certainty, Event, Fact, Log, PriceBook, Projections, RequestKey, Sighting, Source, Sources, Timestamp, Tokens, Usage, Zone,
    query::{Dimension, Query, SpendBy, View},
};
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

const KILLS: u64 = 25;
const SEEDS: [u64; 3] = [1, 2, 3];
/// A child lives up to so long. Opening takes some of it, so that openings are killed too.
const LIFE_MICROS_MAX: u64 = 1_000_000;
const WORKER_FOLDER: &str = "CRASH_WORKER_FOLDER";
const WORKER_BATCH: &str = "CRASH_WORKER_BATCH";
const BATCH_CALLS_MAX: u64 = 1_500;
const START_SECS: i64 = 1_795_000_000;
/// Every batch is written so much later: a month is over after ten of them.
const BATCH_SECS: i64 = 3 * 86_400;

/// xorshift64*, seeded: what a batch holds follows from its number, in both processes.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// The calls of a batch: mostly new ones, some of an earlier batch seen better or told again.
fn batch(number: u64) -> Vec<Usage> {
    let mut random = Random::new(number + 1);
    let size = if random.below(3) == 0 { 1 + random.below(BATCH_CALLS_MAX) } else { 1 + random.below(20) };
    (0..size)
        .map(|place| {
            let (of, place) = if number > 0 && random.below(10) == 0 { (random.below(number), random.below(20)) } else { (number, place) };
            call(of, place, 1 + random.below(500))
        })
        .collect()
}

fn call(batch: u64, place: u64, output: u64) -> Usage {
    // Calls of the second machine come by merging.
    let device = (batch % 5 == 4).then(|| "other".to_owned());
    Usage {
        at: Timestamp::from_secs(START_SECS + (batch * 31 % 97 * 86_400) as i64),
        provider: "anthropic".into(),
        family: "anthropic".into(),
        model: Some("claude-sonnet-5-5".into()),
        call_id: Some(format!("msg_{batch}_{place}")),
        device,
        tokens: Tokens { input: 10, output, ..Tokens::default() },
        certainty: Certainty::Reported,
        sources: Sources::only(Source::Log),
        ..Usage::default()
    }
}

fn facts(number: u64) -> Vec<Fact> {
    batch(number).into_iter().map(|usage| Fact::Seen(Box::new(Sighting::from(usage)))).collect()
}

fn written_at(number: u64) -> Timestamp {
    // The clock is set back a year now and then.
    let back = if number % 17 == 16 { 365 * 86_400 } else { 0 };
    Timestamp::from_secs(START_SECS + number as i64 * BATCH_SECS - back)
}

/// What is killed: writes batches from a number on, says each once it is acknowledged, and does all else that a log does in between.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn worker() {
    let Ok(folder) = std::env::var(WORKER_FOLDER) else { return };
    let first: u64 = std::env::var(WORKER_BATCH).ok().and_then(|number| number.parse().ok()).expect("a number");
    let (mut log, mut projections) = open(Path::new(&folder));
    let mut out = std::io::stdout();
    for number in first.. {
        for entry in log.append(&mut facts(number), written_at(number)).expect("appends") {
            projections.apply(&entry);
        }
        writeln!(out, "\nacknowledged {number}").and_then(|()| out.flush()).expect("said");
        match number % 7 {
            1 => log.flush().expect("flushes"),
            2 => log.checkpoint(&mut projections).expect("written"),
            3 => {
                if let Some(tidy) = log.tidy().expect("looked for") {
                    log.tidied(tidy.run().expect("packs")).expect("puts in place");
                }
            }
            5 if number % 21 == 5 => log.rebuild().expect("rebuilds"),
            _ => {}
        }
    }
}

fn open(folder: &Path) -> (Log, Projections) {
    Log::open_folded(folder, "crash", PriceBook::bundled()).expect("the log opens by itself")
}

#[test]
fn killed_at_any_instant_it_loses_nothing_that_was_acknowledged_and_counts_nothing_twice() {
    let kills = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let seeds: Vec<u64> = match std::env::var("SEEDS") {
        Ok(seeds) => seeds.split(',').filter_map(|seed| seed.parse().ok()).collect(),
        Err(_) => SEEDS.to_vec(),
    };
    for seed in seeds {
        kill_again_and_again(seed, kills);
    }
}

fn kill_again_and_again(seed: u64, kills: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Random::new(seed);
    let mut next = 0;
    // What is right after the batches that are surely in, and whether the next one may be as well.
    let mut right = HashMap::new();
    for kill in 0..kills {
        let acknowledged = live_for(Duration::from_micros(random.below(LIFE_MICROS_MAX)), folder.path(), next);
        while acknowledged.is_some_and(|last| next <= last) {
            learn(&mut right, next);
            next += 1;
        }
        let found = check(folder.path(), &right, next, &format!("seed {seed}, kill {kill}, batch {next}"));
        // A batch that was cut off may be in, in part: it is told again by the next child.
        right = found;
    }
    assert!(next > 0, "children live long enough to write: {next} batches in {kills} lives");
}

/// Starts a child, kills it after a while, and returns the last batch that it said was acknowledged.
fn live_for(life: Duration, folder: &Path, first: u64) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "worker", "--ignored", "--nocapture", "--test-threads=1"])
        .env(WORKER_FOLDER, folder)
        .env(WORKER_BATCH, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child");
    thread::sleep(life);
    child.kill().expect("killed");
    let said = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let last = said.filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok()).last();
    let mut complaints = String::new();
    let _ = std::io::Read::read_to_string(&mut child.stderr.take().expect("its errors"), &mut complaints);
    assert!(!complaints.contains("panicked"), "{complaints}");
    child.wait().expect("ended");
    last
}

fn learn(right: &mut HashMap<RequestKey, u64>, number: u64) {
    for usage in batch(number) {
        let output = right.entry(usage.key().expect("it has an id")).or_default();
        *output = usage.tokens.output.max(*output);
    }
}

/// Opens the log and holds it against what is right; returns what it holds.
fn check(folder: &Path, right: &HashMap<RequestKey, u64>, next: u64, place: &str) -> HashMap<RequestKey, u64> {
    let (log, projections) = open(folder);
    let mut found = HashMap::new();
    for entry in log.snapshot().replay() {
        let entry = entry.unwrap_or_else(|error| panic!("{place}: {error}"));
        match entry.event {
            Event::Used { usage } => {
                let before = found.insert(entry.key.expect("a call"), usage.tokens.output);
                assert_eq!(before, None, "{place}: a call is first seen once");
            }
            Event::Restated { before, after } => {
                let known = found.insert(entry.key.expect("a call"), after.tokens.output);
                assert_eq!(known, Some(before.tokens.output), "{place}: what is taken away is what was there");
            }
            Event::BudgetSet { .. }
            | Event::BudgetRemoved { .. }
            | Event::AlertRaised { .. }
            | Event::PriceBookAdopted { .. }
            | Event::PriceSet { .. }
            | Event::PriceUnset { .. }
            | Event::PricesMultiplied { .. }
            | Event::Summarised { .. }
            | Event::Folded { .. }
            | Event::Lost
            | Event::Matched { .. }
            | Event::ProjectRenamed { .. } => {
                panic!("{place}: an event that nobody wrote: {:?}", entry.event)
            }
        }
    }
    let mut with_next = right.clone();
    learn(&mut with_next, next);
    for (key, output) in right {
        let got = found.get(key).unwrap_or_else(|| panic!("{place}: {key} is lost"));
        assert!(got == output || Some(got) == with_next.get(key), "{place}: {key} has {got}, not {output}");
    }
    assert!(found.keys().all(|key| with_next.contains_key(key)), "{place}: a call that nobody made");
    let question = SpendBy { by: vec![Dimension::Model], ..SpendBy::default() };
    let view = View { log: &log.snapshot(), projections: &projections, zone: Zone::default(), engine: None, plans: &[] };
    let spend = question.answer(&view, Timestamp::from_secs(START_SECS + 200 * 86_400)).expect("answers").total;
    assert_eq!(spend.calls, found.len() as u64, "{place}: what is folded is what is there");
    assert_eq!(spend.tokens_out, found.values().sum::<u64>(), "{place}: token for token");
    found
}
