//! Every state that damage leaves: what is folded, what is exported and what is verified agree, and no call is counted twice.

use super::*;
use crate::{
    Zone,
    query::{Calls, Dimension, Query, SpendBy, View},
};
use proptest::prelude::*;
use std::sync::OnceLock;
use tempfile::TempDir;

/// Four segments, of which two have no ids any more, and single entries behind them.
const CALLS: u64 = 4_500;
const BATCH: usize = 300;

#[derive(Clone, Copy, Debug)]
enum Harm {
    None,
    Flip(u16),
    Cut(u16),
    Remove,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![Just(Harm::None), any::<u16>().prop_map(Harm::Flip), any::<u16>().prop_map(Harm::Cut), Just(Harm::Remove)]
}

impl Harm {
    /// Damages one file at a place that is given in parts of 65,536.
    fn apply(self, path: &Path) {
        let Ok(mut bytes) = fs::read(path) else { return };
        let place = |part: u16| bytes.len() * usize::from(part) / 65_536;
        match self {
            Harm::None => return,
            Harm::Flip(part) => {
                let at = place(part);
                bytes[at] ^= 0x55;
            }
            Harm::Cut(part) => bytes.truncate(place(part)),
            Harm::Remove => return fs::remove_file(path).expect("removed"),
        }
        fs::write(path, bytes).expect("written");
    }
}

fn call_number(number: u64) -> Usage {
    call(&format!("msg_{number}"), 10)
}

fn facts() -> Vec<Fact> {
    // Some are seen again with more output.
    let again = (0..CALLS).filter(|number| number % 50 == 7).map(|number| call(&format!("msg_{number}"), 25));
    (0..CALLS).map(call_number).chain(again).map(seen).collect()
}

fn right_output() -> u64 {
    (0..CALLS).map(|number| if number % 50 == 7 { 25 } else { 10 }).sum()
}

/// A log with all that a log has, in two months.
fn whole() -> &'static TempDir {
    static WHOLE: OnceLock<TempDir> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut log, mut projections) = opened(folder.path());
        for (number, batch) in facts().chunks(BATCH).enumerate() {
            let now = at(number as i64 / 8 * 32 * 86_400);
            log.append(&mut batch.to_vec(), now).expect("appends").iter().for_each(|entry| projections.apply(entry));
        }
        log.flush().expect("flushes");
        log.checkpoint(&mut projections).expect("written");
        folder
    })
}

fn opened(folder: &Path) -> (Log, Projections) {
    Log::open_folded(folder, DEVICE, PriceBook::bundled()).expect("opens")
}

fn copy(from: &Path, into: &Path) {
    fs::create_dir_all(into).expect("made");
    for file in fs::read_dir(from).expect("a folder").flatten() {
        let copied = into.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &copied)
        } else {
            let _ = fs::copy(file.path(), copied).expect("copied");
        }
    }
}

fn months_of(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder.join("journal").join(DEVICE)).expect("a journal").map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

/// Calls and output as folded and as exported, which are the same, and what verifying finds.
fn answers(log: &Log, projections: &Projections) -> (u64, u64, Vec<String>) {
    let snapshot = log.snapshot();
    let view = View { log: &snapshot, projections, zone: Zone::default(), engine: None, plans: &[] };
    let now = at(400 * 86_400);
    let total = SpendBy { by: vec![Dimension::Model], ..SpendBy::default() }.answer(&view, now).expect("answers").total;
    let exported = Calls::default().answer(&view, now).expect("answers").calls;
    assert_eq!(total.calls, exported.len() as u64, "summary and export: {:?}", log.mended());
    assert_eq!(total.tokens_out, exported.iter().map(|call| call.output).sum::<u64>(), "summary and export: {:?}", log.mended());
    let fresh = log.fold_all(PriceBook::bundled()).expect("folds");
    assert!(fresh.totals_equal(projections), "what is folded is what there is: {:?}", log.mended());
    (total.calls, total.tokens_out, snapshot.verify(Seq(0), u64::MAX).findings)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 0, ..ProptestConfig::default() })]
    #[test]
    fn any_damage_leaves_answers_that_agree(
        journal in harm(), second in any::<bool>(), store in 0..3u8, keys in harm(), checkpoint in harm(), rebuild in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        copy(whole().path(), folder.path());
        let months = months_of(folder.path());
        journal.apply(&months[usize::from(second) % months.len()]);
        match store {
            0 => {}
            1 => fs::remove_dir_all(folder.path().join("store")).expect("removed"),
            _ => Harm::Flip(30_000).apply(&folder.path().join("store").join("db")),
        }
        for file in fs::read_dir(folder.path().join("keys")).expect("keys").flatten() {
            keys.apply(&file.path());
        }
        checkpoint.apply(&folder.path().join("checkpoint"));

        let (mut log, mut projections) = opened(folder.path());
        if log.snapshot().store.works() && !log.snapshot().is_readable() {
            // As its owner does when a question fails.
            log.rebuild().expect("rebuilds");
            projections = log.fold(PriceBook::bundled()).expect("folds");
        }
        let (calls, tokens_out, _) = answers(&log, &projections);
        prop_assert!(calls <= CALLS && tokens_out <= right_output());
        if matches!(journal, Harm::None) {
            prop_assert_eq!((calls, tokens_out), (CALLS, right_output()));
        }
        if rebuild {
            log.rebuild().expect("rebuilds");
            projections = log.fold(PriceBook::bundled()).expect("folds");
            prop_assert_eq!(answers(&log, &projections).0, calls, "a rebuild loses nothing");
        }
        // All of them are told once more.
        for batch in facts().chunks(BATCH) {
            log.append(&mut batch.to_vec(), at(400 * 86_400)).expect("appends").iter().for_each(|entry| projections.apply(entry));
        }
        let (calls, tokens_out, _) = answers(&log, &projections);
        prop_assert_eq!(calls, CALLS, "each call once: {:?}", log.mended());
        prop_assert!(tokens_out <= right_output());
        log.flush().expect("flushes");
        log.checkpoint(&mut projections).expect("written");
        drop(log);
        // Journal alone.
        for name in ["store", "keys"] {
            fs::remove_dir_all(folder.path().join(name)).expect("removed");
        }
        let (log, projections) = opened(folder.path());
        let (again, ..) = answers(&log, &projections);
        prop_assert!(again <= calls);
        if rebuild {
            prop_assert_eq!(again, calls, "after a rebuild the journal has all: {:?}", log.mended());
        }
    }
}

#[test]
fn checkpoint_of_other_entries_is_folded_again() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(whole().path(), folder.path());
    Harm::Flip(30_000).apply(&months_of(folder.path())[0]);
    for name in ["store", "keys"] {
        fs::remove_dir_all(folder.path().join(name)).expect("removed");
    }
    let (mut log, mut projections) = opened(folder.path());
    let (calls, ..) = answers(&log, &projections);
    assert!(calls < CALLS, "a frame is lost");
    for batch in facts().chunks(BATCH) {
        log.append(&mut batch.to_vec(), at(400 * 86_400)).expect("appends").iter().for_each(|entry| projections.apply(entry));
    }
    assert_eq!(answers(&log, &projections).0, CALLS, "and counted once when it is told again");
}

#[test]
fn checkpoint_of_the_same_entries_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(whole().path(), folder.path());
    let (log, _) = opened(folder.path());
    assert_eq!(log.since_checkpoint(), 0);
    drop(log);
    // A store that was made again from the same journal has the same digest.
    fs::remove_dir_all(folder.path().join("store")).expect("removed");
    assert_eq!(opened(folder.path()).0.since_checkpoint(), 0);
}

#[test]
fn missing_month_is_written_back_from_store_and_index() {
    for removed in [0, 1] {
        let folder = tempfile::tempdir().expect("a folder");
        copy(whole().path(), folder.path());
        fs::remove_file(&months_of(folder.path())[removed]).expect("removed");
        let (log, projections) = opened(folder.path());
        assert_eq!(answers(&log, &projections), (CALLS, right_output(), vec![]), "month {removed}: {:?}", log.mended());
        drop(log);
        for name in ["store", "keys", "checkpoint"] {
            let path = folder.path().join(name);
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
        }
        let (mut log, projections) = opened(folder.path());
        assert_eq!(answers(&log, &projections), (CALLS, right_output(), vec![]), "month {removed}: {:?}", log.mended());
        assert_eq!(log.append(&mut facts()[..BATCH].to_vec(), at(400 * 86_400)).expect("appends"), [], "every call is known");
    }
}

#[test]
fn rescued_lines_say_so_and_damaged_bytes_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(whole().path(), folder.path());
    let month = months_of(folder.path())[0].clone();
    Harm::Flip(30_000).apply(&month);
    let (mut log, projections) = opened(folder.path());
    assert_eq!(answers(&log, &projections).0, CALLS);
    assert!(answers(&log, &projections).2[0].contains("ledger rebuild"));
    log.rebuild().expect("rebuilds");
    assert_eq!(answers(&log, &projections), (CALLS, right_output(), vec![]), "{:?}", log.mended());
    let text = String::from_utf8(zstd::decode_all(fs::File::open(&month).expect("opens")).expect("frames")).expect("text");
    assert_eq!(text.lines().filter(|line| line.contains("\"rescued\":true")).count(), BATCH);
    assert!(fs::metadata(month.with_extension("damaged")).expect("kept").len() > 0);
}

#[test]
fn damage_that_nothing_rescues_stays_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(whole().path(), folder.path());
    Harm::Flip(30_000).apply(&months_of(folder.path())[0]);
    for name in ["store", "keys"] {
        fs::remove_dir_all(folder.path().join(name)).expect("removed");
    }
    let (mut log, _) = opened(folder.path());
    for _ in 0..2 {
        let findings = log.snapshot().verify(Seq(0), u64::MAX).findings;
        assert!(findings.iter().any(|finding| finding.contains("ledger merge")), "{findings:?}");
        assert!(!findings.iter().any(|finding| finding.contains("ledger rebuild")), "{findings:?}");
        log.rebuild().expect("rebuilds");
    }
}

#[test]
fn store_that_is_gone_ends_neither_recording_nor_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(whole().path(), folder.path());
    let (mut log, mut projections) = opened(folder.path());
    log.store.abandon();
    let more = |number: u64| (number..number + 700).map(|number| seen(call(&format!("more_{number}"), 1))).collect::<Vec<_>>();
    // More than memory keeps of what the store does not take.
    for first in (0..9_800).step_by(700) {
        let mut facts: Vec<Fact> = more(first).into_iter().chain(facts()[..BATCH].to_vec()).collect();
        let entries = log.append(&mut facts, at(400 * 86_400)).expect("appends");
        assert_eq!(entries.len(), 700, "known calls are looked up in the journal");
        entries.iter().for_each(|entry| projections.apply(entry));
    }
    assert!(log.snapshot().store.tail().len() <= 4 * SEGMENT_ENTRIES + BATCH_FACTS_MAX);
    assert_eq!(answers(&log, &projections).0, CALLS + 9_800);
    assert!(log.is_to_be_healed());
    let rebuilt = log.rebuilding(false).run().expect("made");
    assert_eq!(log.append(&mut more(9_800), at(400 * 86_400)).expect("appends").len(), 700, "while it is made");
    more(9_800).iter().for_each(drop);
    assert!(matches!(log.finish_rebuild(rebuilt).expect("in place"), Finished::Done));
    assert!(!log.is_store_lacking());
    let projections = log.fold_all(PriceBook::bundled()).expect("folds");
    assert_eq!(answers(&log, &projections), (CALLS + 10_500, right_output() + 10_500, vec![]));
}

#[test]
fn store_is_healed_as_often_as_it_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    for number in 0..40 {
        log.append(&mut vec![seen(call(&number.to_string(), 1))], at(number)).expect("appends");
        log.store.abandon();
        assert_eq!(log.append(&mut vec![seen(call(&number.to_string(), 1))], at(number)).expect("appends"), []);
        let _ = fs::remove_dir_all(folder.path().join("store"));
        // sled's threads may hold the lock of a dropped store for a moment. The engine tries again later.
        let is_rebuilt = (0..1000).any(|_| {
            std::thread::yield_now();
            log.rebuild().is_ok()
        });
        assert!(is_rebuilt, "rebuild {number}");
    }
    assert_eq!(entries(&log).len(), 40);
}

#[test]
fn file_that_is_no_month_is_no_part_of_the_journal() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(whole().path(), folder.path());
    let month = months_of(folder.path())[0].clone();
    for name in ["9999-99 (copy).jsonl.zst", "zz.jsonl.zst", "2026-11.bak.jsonl.zst"] {
        fs::copy(&month, month.with_file_name(name)).expect("copied");
    }
    let (log, projections) = opened(folder.path());
    assert_eq!(answers(&log, &projections), (CALLS, right_output(), vec![]));
}

#[test]
fn journal_whose_file_is_removed_while_open_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    log.append(&mut vec![seen(call("a", 1))], at(1)).expect("appends");
    fs::remove_dir_all(folder.path().join("journal")).expect("removed");
    log.append(&mut vec![seen(call("b", 1))], at(2)).expect("appends");
    drop(log);
    for name in ["store", "keys"] {
        fs::remove_dir_all(folder.path().join(name)).expect("removed");
    }
    assert_eq!(entries(&open(folder.path())).len(), 2);
}

#[test]
fn left_over_files_are_swept_at_opening() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(whole().path(), folder.path());
    let month = months_of(folder.path())[0].clone();
    let left = [month.with_extension("zst.tidy"), month.with_extension("zst.mend"), folder.path().join("checkpoint.new")];
    left.iter().for_each(|path| fs::write(path, "half").expect("written"));
    fs::create_dir_all(folder.path().join("store.new")).expect("made");
    drop(open(folder.path()));
    assert!(left.iter().all(|path| !path.exists()) && !folder.path().join("store.new").exists());
}

#[test]
fn backup_is_read_back_and_a_failed_one_blocks_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(whole().path(), folder.path());
    let into = tempfile::tempdir().expect("a folder");
    let to = into.path().join("backup");
    // The log is in use.
    let (mut log, _) = opened(folder.path());
    let copied = backup(folder.path(), &to, &|| {}).expect("copied");
    assert_eq!((copied.entries, copied.damage.len()), (log.last().0, 0));
    let (restored, projections) = opened(&to);
    assert_eq!(answers(&restored, &projections), (CALLS, right_output(), vec![]));
    assert!(backup(folder.path(), &to, &|| {}).is_err(), "it is not empty");

    // A log that is being put in order at this instant is waited for, and is no empty one.
    let device = folder.path().join("journal").join(DEVICE);
    let old = folder.path().join("folded.old");
    fs::rename(&device, &old).expect("moved");
    let next = into.path().join("next");
    assert!(backup(folder.path(), &next, &|| {}).is_err());
    assert!(!next.exists(), "a failed copy leaves nothing");
    let pauses = std::cell::Cell::new(0);
    let pause = || {
        pauses.set(pauses.get() + 1);
        if pauses.get() == 3 {
            fs::rename(&old, &device).expect("moved back");
        }
    };
    assert_eq!(backup(folder.path(), &next, &pause).expect("copied").entries, log.last().0);
    // What a killed copy left is no obstacle.
    let killed = into.path().join("killed");
    fs::create_dir_all(killed.join("backup.unfinished/journal")).expect("made");
    assert_eq!(backup(folder.path(), &killed, &|| {}).expect("copied").entries, log.last().0);
    log.flush().expect("flushes");
}
