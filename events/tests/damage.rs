//! What a machine does to files: bytes flipped, files cut short, emptied, removed, folders gone. Each ends in a full recovery, or in an error
//! that names the file; and nothing that the journal still holds is lost.
//!
//! `PLACES=24` damages more places of each file than the usual.

#![allow(clippy::disallowed_methods, missing_docs)]

use events::{
    Certainty, Entry, Fact, Log, LogError, PriceBook, Sighting, Source, Sources, Timestamp, Tokens, Usage, Zone,
    query::{Dimension, Query, SpendBy, View},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Enough for two segments, single entries behind them, and two months.
const CALLS: u64 = 2_600;
const BATCH_CALLS: u64 = 100;
/// So many places of each file are damaged, besides its first and last bytes.
const PLACES: usize = 6;

fn at(second: u64) -> Timestamp {
    Timestamp::from_secs(1_795_000_000 + second as i64)
}

fn call(number: u64) -> Fact {
    let usage = Usage {
        at: at(number),
        provider: "anthropic".into(),
        family: "anthropic".into(),
        model: Some("claude-sonnet-5-5".into()),
        call_id: Some(format!("msg_{number}")),
        tokens: Tokens { input: number, output: number * 7 % 1_000, ..Tokens::default() },
        certainty: Certainty::Reported,
        sources: Sources::only(Source::Log),
        ..Usage::default()
    };
    Fact::Seen(Box::new(Sighting::from(usage)))
}

fn open(folder: &Path) -> Result<(Log, events::Projections), LogError> {
    Log::open_folded(folder, "d0", PriceBook::bundled())
}

/// A log with all that a log has: two months of journal, sealed segments and single entries, a key index, a checkpoint.
fn fill(folder: &Path) -> Vec<Entry> {
    let (mut log, mut projections) = open(folder).expect("opens");
    for first in (0..CALLS).step_by(BATCH_CALLS as usize) {
        let facts: Vec<Fact> = (first..first + BATCH_CALLS).map(call).collect();
        // A month and a day pass half way through.
        let now = if first < CALLS / 2 { at(0) } else { at(32 * 86_400) };
        log.append(&mut facts.clone(), now).expect("appends").iter().for_each(|entry| projections.apply(entry));
        if first == CALLS / 4 * 3 / BATCH_CALLS * BATCH_CALLS {
            log.flush().expect("flushes");
            log.checkpoint(&mut projections).expect("written");
        }
    }
    log.flush().expect("flushes");
    log.snapshot().replay().collect::<Result<_, _>>().expect("replays")
}

/// Everything that the log says, read the long way; a store that cannot be read is made again, as the writer does.
fn everything(log: &mut Log, place: &str) -> Vec<Entry> {
    let read = |log: &Log| log.snapshot().replay().collect::<Result<Vec<_>, _>>();
    read(log).or_else(|_| log.rebuild().and_then(|()| read(log))).unwrap_or_else(|error| panic!("{place}: {error}"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for file in fs::read_dir(folder).expect("a folder").flatten() {
        if file.path().is_dir() { files.extend(self::files(&file.path())) } else { files.push(file.path()) }
    }
    files.sort();
    files
}

fn copy(from: &Path, into: &Path) {
    for file in files(from) {
        let copied = into.join(file.strip_prefix(from).expect("below"));
        fs::create_dir_all(copied.parent().expect("a folder")).expect("made");
        fs::copy(&file, copied).expect("copied");
    }
}

/// Damages one file of a copy of the log, opens it, and holds what it says against what was written.
fn survive(whole: &Path, entries: &[Entry], file: &Path, damage: &dyn Fn(&Path), place: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    copy(whole, folder.path());
    let name = file.strip_prefix(whole).expect("below");
    damage(&folder.path().join(name));
    let place = format!("{place} of {}", name.display());
    let (mut log, projections) = open(folder.path()).unwrap_or_else(|error| panic!("{place}: {error}"));
    let found = everything(&mut log, &place);
    assert_eq!(found.len(), entries.len(), "{place}: {:?}", log.mended());
    assert!(found == entries, "{place}: what is read is what was written");
    let question = SpendBy { by: vec![Dimension::Model], ..SpendBy::default() };
    let view = View { log: &log.snapshot(), projections: &projections, zone: Zone::default(), engine: None, plans: &[] };
    let total = question.answer(&view, at(99 * 86_400)).expect("answers").total;
    assert_eq!(total.calls, CALLS, "{place}: each call once");
    // And it goes on.
    assert_eq!(log.append(&mut vec![call(1), call(CALLS)], at(40 * 86_400)).expect("appends").len(), 1, "{place}: it knows its calls");
}

type Damage = Box<dyn Fn(&Path)>;

fn flip(at: usize) -> Damage {
    Box::new(move |path| {
        let mut bytes = fs::read(path).expect("read");
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 0x55;
        }
        fs::write(path, bytes).expect("written");
    })
}

fn cut(at: usize) -> Damage {
    Box::new(move |path| {
        let bytes = fs::read(path).expect("read");
        fs::write(path, &bytes[..at.min(bytes.len())]).expect("written");
    })
}

/// The first and last bytes, where heads and ends are, and places between them.
fn places(file: &Path) -> Vec<usize> {
    let bytes = fs::metadata(file).expect("a file").len() as usize;
    let wanted = std::env::var("PLACES").map_or(PLACES, |places| places.parse().expect("a number"));
    let spread = (0..wanted).map(|place| bytes * place / wanted);
    let mut places: Vec<usize> = (0..bytes.min(4)).chain(spread).chain(bytes.saturating_sub(3)..bytes).collect();
    places.sort_unstable();
    places.dedup();
    places
}

fn at_every_place_of_every_file(damage: fn(usize) -> Damage, what: &str) {
    let whole = tempfile::tempdir().expect("a folder");
    let entries = fill(whole.path());
    for file in files(whole.path()) {
        for place in places(&file) {
            survive(whole.path(), &entries, &file, &damage(place), &format!("{what} {place}"));
        }
    }
}

#[test]
fn every_file_flipped_at_any_place_is_survived_whole() {
    at_every_place_of_every_file(flip, "a flipped byte at");
}

#[test]
fn every_file_cut_at_any_place_is_survived_whole() {
    at_every_place_of_every_file(cut, "a cut at");
}

#[test]
fn every_file_that_is_gone_is_survived_whole() {
    let whole = tempfile::tempdir().expect("a folder");
    let entries = fill(whole.path());
    for file in files(whole.path()) {
        survive(whole.path(), &entries, &file, &|path| fs::remove_file(path).expect("removed"), "removal");
    }
}

#[test]
fn a_folder_that_is_gone_and_a_half_written_snapshot_are_survived() {
    let whole = tempfile::tempdir().expect("a folder");
    let entries = fill(whole.path());
    for name in ["store", "keys", "journal"] {
        let any = files(&whole.path().join(name)).swap_remove(0);
        let remove = |path: &Path| {
            let parent = path.ancestors().find(|folder| folder.ends_with(name)).expect("below");
            fs::remove_dir_all(parent).expect("removed");
        };
        survive(whole.path(), &entries, &any, &remove, "removal of the folder");
    }
    let half = |path: &Path| fs::write(path.with_file_name("snap.00000000.generating"), b"half").expect("written");
    survive(whole.path(), &entries, &whole.path().join("store").join("conf"), &half, "half a snapshot beside");
}
