//! What the log must hold: appending, one call's acknowledgement, disk, replay, re-pricing, opening. `docs/BENCHMARKS.md` has the figures.
//!
//! `cargo bench -p events --bench ledger -- [append|call|replay|open|told] [events]`; without words everything with a million.
//! Processor time stands beside the clock's: a machine that does other things as well stretches only the latter.

#![allow(clippy::disallowed_methods, clippy::print_stdout, missing_docs)]

#[path = "lifelike/mod.rs"]
mod lifelike;

use events::{
    Fact, Log, PriceBook, Projections, Timestamp, Zone,
    log::BATCH_FACTS_MAX,
    query::{Advice, Dimension, ModelSwap, Query, Reprice, RepriceAsOf, Today, View},
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const NOW_SECS: i64 = 1_795_200_000;
const CALLS_ONE_BY_ONE: u64 = 2_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let events = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let wanted = |word: &str| words.iter().all(|said| said.parse::<u64>().is_ok()) || words.iter().any(|said| said == word);
    // A folder that is named is kept, and found filled the next time.
    let kept = std::env::var_os("LEDGER").map(PathBuf::from);
    let fresh = tempfile::tempdir().expect("a folder");
    let folder = kept.as_deref().unwrap_or(fresh.path());
    let is_filled = folder.join("journal").exists();
    if !is_filled {
        append(folder, events);
    }
    if wanted("told") {
        told_again(folder, events);
    }
    if wanted("open") {
        open(folder);
    }
    if wanted("replay") {
        replay(folder, events);
    }
    if wanted("call") {
        calls_one_by_one();
    }
}

fn append(folder: &Path, events: u64) {
    let (mut log, mut projections) = Log::open_folded(folder, "bench", PriceBook::bundled()).expect("opens");
    let mut sightings = lifelike::sightings(1, events);
    let mut spent = Spent::default();
    let mut done = 0u64;
    loop {
        // Making the calls is not what is measured.
        let mut facts: Vec<Fact> = sightings.by_ref().take(BATCH_FACTS_MAX).map(|sighting| Fact::Seen(Box::new(sighting))).collect();
        if facts.is_empty() {
            break;
        }
        spent.measure(|| {
            let entries = log.append(&mut facts, Timestamp::from_secs(NOW_SECS)).expect("appends");
            entries.iter().for_each(|entry| projections.apply(entry));
            done += entries.len() as u64;
        });
    }
    spent.measure(|| {
        log.flush().expect("flushes");
        projections.settle();
        log.checkpoint(&mut projections).expect("written");
    });
    spent.tell(&format!("append {done} events, durable and folded"), done);
    let size = log.snapshot().size();
    let parts =
        [("journal", size.journal_bytes), ("store", size.store_bytes), ("keys", size.keys_bytes), ("checkpoint", size.checkpoint_bytes)];
    let all: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
    println!("disk: {:.1} bytes/event", all as f64 / done as f64);
    parts.iter().for_each(|(name, bytes)| println!("  {name}: {:.1}", *bytes as f64 / done as f64));
}

fn told_again(folder: &Path, events: u64) {
    let mut log = Log::open(folder, "bench").expect("opens");
    let last = log.last();
    let mut spent = Spent::default();
    let mut sightings = lifelike::sightings(1, events).take(200_000).peekable();
    let mut done = 0u64;
    while sightings.peek().is_some() {
        let mut facts: Vec<Fact> = sightings.by_ref().take(BATCH_FACTS_MAX).map(|sighting| Fact::Seen(Box::new(sighting))).collect();
        done += facts.len() as u64;
        spent.measure(|| log.append(&mut facts, Timestamp::from_secs(NOW_SECS)).expect("appends"));
    }
    assert_eq!(log.last(), last, "a call that is told again is no entry");
    spent.tell("known calls told again", done);
}

fn open(folder: &Path) {
    for round in 1..=3 {
        let begun = Instant::now();
        let (log, projections) = Log::open_folded(folder, "bench", PriceBook::bundled()).expect("opens");
        let view = View { log: &log.snapshot(), projections: &projections, zone: Zone::default(), engine: None, plans: &[] };
        Today::default().answer(&view, Timestamp::from_secs(NOW_SECS)).expect("answers");
        println!(
            "open to the first answer, round {round}: {:.0} ms, {} entries, {} MB resident",
            begun.elapsed().as_secs_f64() * 1e3,
            log.last().0,
            resident_mb()
        );
    }
}

fn replay(folder: &Path, events: u64) {
    let log = Log::open(folder, "bench").expect("opens");
    let mut spent = Spent::default();
    let mut projections = None;
    spent.measure(|| projections = Some(log.fold_all(PriceBook::bundled()).expect("folds")));
    spent.tell("replay into all projections, all cores", events);
    let projections: Projections = projections.expect("folded");
    let view = View { log: &log.snapshot(), projections: &projections, zone: Zone::default(), engine: None, plans: &[] };
    let by = vec![Dimension::Day, Dimension::Model, Dimension::Project];
    let today = Reprice { as_of: RepriceAsOf::Today, by, ..Reprice::default() };
    // The same prices under another name: another book is read, found out about and asked.
    let rows: Vec<_> = PriceBook::bundled().rows().cloned().collect();
    let other = PriceBook::to_json(PriceBook::bundled().schedules(), &rows[..rows.len() - 1]);
    let sonnet = ModelSwap { from: None, to: "claude-sonnet-4-5".into(), provider: None };
    let call = Reprice { as_of: RepriceAsOf::Call, ..today.clone() };
    for (what, question) in [
        ("as of today", &today),
        ("under another book", &Reprice { book: Some(other), ..call.clone() }),
        ("as of another model", &Reprice { models: vec![sonnet], ..call.clone() }),
    ] {
        let mut spent = Spent::default();
        spent.measure(|| question.answer(&view, Timestamp::from_secs(NOW_SECS)).expect("answers"));
        spent.tell(&format!("re-price by day, model and project {what}"), events);
    }
    let step = Reprice { by: vec![Dimension::Day], also_by: vec![vec![Dimension::Model], vec![Dimension::Project]], ..call };
    let mut spent = Spent::default();
    spent.measure(|| step.answer(&view, Timestamp::from_secs(NOW_SECS)).expect("answers"));
    spent.tell("a step of What if: by day, by model and by project", events);
    let (mut spent, mut ideas) = (Spent::default(), 0);
    spent.measure(|| ideas = Advice::default().answer(&view, Timestamp::from_secs(NOW_SECS)).expect("answers").ideas.len());
    spent.tell(&format!("advice, {ideas} ideas"), events);
}

fn calls_one_by_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = Log::open(folder.path(), "bench").expect("opens");
    let mut times: Vec<Duration> = lifelike::sightings(9, CALLS_ONE_BY_ONE)
        .map(|sighting| {
            let mut facts = vec![Fact::Seen(Box::new(sighting))];
            let begun = Instant::now();
            log.append(&mut facts, Timestamp::from_secs(NOW_SECS)).expect("appends");
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!("one call, acknowledged: p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms", at(50), at(99), at(100));
}

/// Time by the clock and by the processor.
#[derive(Default)]
struct Spent {
    clock: Duration,
    processor_secs: f64,
}

impl Spent {
    fn measure<T>(&mut self, what: impl FnOnce() -> T) -> T {
        let (begun, processor) = (Instant::now(), processor_secs());
        let done = what();
        self.clock += begun.elapsed();
        self.processor_secs += processor_secs() - processor;
        done
    }

    fn tell(&self, what: &str, count: u64) {
        let clock = self.clock.as_secs_f64();
        println!(
            "{what}: {clock:.2} s ({:.2} M/s), processor {:.2} s ({:.2} M/s)",
            count as f64 / clock / 1e6,
            self.processor_secs,
            count as f64 / self.processor_secs / 1e6
        );
    }
}

/// Of this process and all its threads; Linux counts it in hundredths.
fn processor_secs() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    fields.iter().sum::<u64>() as f64 / 100.0
}

fn resident_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}
