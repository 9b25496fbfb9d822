use super::*;
use crate::{Certainty, PriceBook, Projections, Source, Sources, Tokens};
use std::fs;

mod states;

const DEVICE: &str = "d0";

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(1_795_000_000 + second)
}

pub(super) fn call(id: &str, output: u64) -> Usage {
    Usage {
        at: at(0),
        provider: "anthropic".into(),
        family: "anthropic".into(),
        model: Some("m".into()),
        call_id: Some(id.into()),
        tokens: Tokens { input: 3, output, ..Tokens::default() },
        certainty: Certainty::Reported,
        sources: Sources::only(Source::Log),
        ..Usage::default()
    }
}

pub(super) fn seen(usage: Usage) -> Fact {
    Fact::Seen(Box::new(Sighting::from(usage)))
}

pub(super) fn open(folder: &Path) -> Log {
    Log::open(folder, DEVICE).expect("the log opens")
}

fn entries(log: &Log) -> Vec<Entry> {
    log.snapshot().replay().collect::<Result<_, _>>().expect("the log replays")
}

/// Output tokens of all calls, by folding.
fn output(log: &Log) -> u64 {
    let mut projections = Projections::new(PriceBook::bundled().clone());
    entries(log).iter().for_each(|entry| projections.apply(entry));
    let everything = crate::query::Filter::default();
    projections
        .spend
        .total(Span::ALWAYS, crate::projections::Scope { filter: &everything, home: DEVICE, projects: &projections.projects })
        .tokens_out
}

fn journal_file(folder: &Path) -> PathBuf {
    let mut files: Vec<_> =
        fs::read_dir(folder.join("journal").join(DEVICE)).expect("a journal").map(|file| file.expect("a file").path()).collect();
    files.sort();
    files.into_iter().find(|path| path.extension().is_some_and(|end| end == "zst")).expect("a month")
}

#[test]
fn a_call_told_twice_is_one_entry_and_one_that_grew_is_restated() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    log.append(&mut vec![seen(call("a", 1)), seen(call("b", 5))], at(1)).expect("appends");
    assert_eq!(log.append(&mut vec![seen(call("a", 1))], at(2)).expect("appends"), []);
    let grown = log.append(&mut vec![seen(call("a", 9)), seen(call("a", 4))], at(3)).expect("appends");
    assert!(matches!(&grown[..], [grown] if matches!(&**grown, Entry { seq: Seq(3), event: Event::Restated { before, after }, .. }
        if before.tokens.output == 1 && after.tokens.output == 9)));
    assert_eq!(output(&log), 14);
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    log.append(&mut vec![seen(call("a", 1))], at(1)).expect("appends");
    let before = entries(&log);
    drop(log);
    let log = open(folder.path());
    assert_eq!(entries(&log), before);
    assert_eq!(log.mended(), [] as [String; 0]);
}

#[test]
fn a_store_that_is_gone_or_damaged_is_rebuilt_from_the_journal() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    for number in 0..50 {
        log.append(&mut vec![seen(call(&number.to_string(), 1))], at(number)).expect("appends");
    }
    let before = entries(&log);
    drop(log);
    fs::remove_dir_all(folder.path().join("store")).expect("removed");
    assert_eq!(entries(&open(folder.path())), before, "gone");

    for name in ["conf", "db"] {
        fs::write(folder.path().join("store").join(name), vec![0xAB; 3000]).expect("damaged");
        let mut log = open(folder.path());
        if log.snapshot().replay().any(|entry| entry.is_err()) {
            log.rebuild().expect("rebuilds");
        }
        assert_eq!(entries(&log), before, "{name} damaged");
        assert!(!log.mended().is_empty(), "{name} damaged: it is said");
    }
    fs::write(folder.path().join("store").join("snap.0000.generating"), b"half").expect("written");
    assert_eq!(entries(&open(folder.path())), before, "half a snapshot");
}

#[test]
fn a_store_that_stops_working_is_opened_again_and_completed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    log.append(&mut vec![seen(call("a", 1))], at(1)).expect("appends");
    log.store.abandon();
    log.append(&mut vec![seen(call("a", 1)), seen(call("b", 2))], at(2)).expect("appends");
    assert_eq!((entries(&log).len(), output(&log)), (2, 3));
}

#[test]
fn a_torn_end_is_cut_at_every_byte_and_kept_beside() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    log.append(&mut vec![seen(call("a", 1))], at(1)).expect("appends");
    let whole = fs::read(journal_file(folder.path())).expect("read");
    log.append(&mut vec![seen(call("b", 1))], at(2)).expect("appends");
    let both = fs::read(journal_file(folder.path())).expect("read");
    drop(log);
    // The last 36 bytes are the frame's note; without it the frame is whole all the same.
    let frame_end = both.len() - 36;
    for length in (whole.len() + 1..frame_end).step_by(7).chain([frame_end - 1]) {
        let _ = fs::remove_dir_all(folder.path().join("store"));
        fs::write(journal_file(folder.path()), &both[..length]).expect("torn");
        let mut log = open(folder.path());
        assert_eq!(log.last(), Seq(1), "at {length}");
        assert!(log.mended()[0].contains("torn bytes"), "at {length}: {:?}", log.mended());
        log.append(&mut vec![seen(call("c", 1))], at(3)).expect("appends");
        assert_eq!(entries(&log).len(), 2);
        assert!(fs::exists(journal_file(folder.path()).with_extension("torn")).expect("asked"));
    }
    // The right length with the wrong bytes, as a power cut may leave it.
    let mut garbled = both.clone();
    garbled[whole.len() + 9..].fill(0);
    let _ = fs::remove_dir_all(folder.path().join("store"));
    fs::write(journal_file(folder.path()), &garbled).expect("garbled");
    assert_eq!(open(folder.path()).last(), Seq(1));
}

#[test]
fn a_journal_that_is_gone_is_written_again_from_the_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    log.append(&mut vec![seen(call("a", 1)), seen(call("b", 1))], at(1)).expect("appends");
    let before = entries(&log);
    log.flush().expect("flushes");
    drop(log);
    fs::remove_dir_all(folder.path().join("journal")).expect("removed");
    let log = open(folder.path());
    assert_eq!(entries(&log), before);
    assert!(log.mended()[0].contains("journal lacked 2 entries"), "{:?}", log.mended());
    drop(log);
    fs::remove_dir_all(folder.path().join("store")).expect("removed");
    assert_eq!(entries(&open(folder.path())), before);
}

#[test]
fn a_clock_set_back_keeps_the_journal_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    log.append(&mut vec![seen(call("a", 1))], at(0)).expect("appends");
    log.append(&mut vec![seen(call("b", 1))], at(40 * 86_400)).expect("appends");
    log.append(&mut vec![seen(call("c", 1))], at(-400 * 86_400)).expect("appends");
    drop(log);
    fs::remove_dir_all(folder.path().join("store")).expect("removed");
    assert_eq!(entries(&open(folder.path())).len(), 3);
}

#[test]
fn two_calls_with_one_id_through_the_proxy_are_two_and_each_is_idempotent() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    let carried = |number| Usage { carried: Some(crate::CallUuid(number)), sources: Sources::only(Source::Proxy), ..call("chatcmpl-0", 7) };
    log.append(&mut vec![seen(carried(1)), seen(carried(2)), seen(carried(1)), seen(carried(2))], at(1)).expect("appends");
    log.append(&mut vec![seen(carried(2)), seen(carried(1))], at(2)).expect("appends");
    assert_eq!(log.last(), Seq(2));
    assert_eq!(output(&log), 14);
    // The client's own log joins the first of them.
    log.append(&mut vec![seen(call("chatcmpl-0", 7))], at(3)).expect("appends");
    assert_eq!(output(&log), 14);
}

#[test]
fn a_second_process_is_told_who_holds_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let _log = open(folder.path());
    let error = Log::open(folder.path(), DEVICE).err().expect("it is held");
    assert!(matches!(&error, LogError::Held { pid, .. } if *pid == std::process::id().to_string()), "{error}");
    assert!(error.hint().contains("tollbar stop"));
}

#[test]
#[cfg(unix)]
fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("data");
    let mut log = open(&home);
    log.append(&mut vec![seen(call("a", 1))], at(1)).expect("appends");
    let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&home), 0o700);
    assert_eq!(mode(&journal_file(&home)), 0o600);
    assert_eq!(mode(&home.join("lock")), 0o600);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
    #[test]
    fn sightings_in_any_order_and_any_batches_come_to_the_same(
        sightings in proptest::collection::vec((0..4u8, 1..4u64), 1..24), cut in 1..8usize, seed in 0..1000u64,
    ) {
        let facts: Vec<_> = sightings.iter().map(|(id, output)| seen(call(&id.to_string(), *output))).collect();
        let mut shuffled = facts.clone();
        shuffled.sort_by_key(|fact| match fact {
            Fact::Seen(sighting) => RequestKey::of("", &format!("{seed}{:?}", sighting.usage)).0,
            Fact::Event(_) | Fact::Remetered { .. } | Fact::Matched { .. } => [0; 16],
        });
        let folder = tempfile::tempdir().expect("a folder");
        let (mut one, mut other) = (open(&folder.path().join("one")), open(&folder.path().join("other")));
        one.append(&mut facts.clone(), at(1)).expect("appends");
        for batch in shuffled.chunks(cut) {
            other.append(&mut batch.to_vec(), at(2)).expect("appends");
        }
        proptest::prop_assert_eq!(output(&one), output(&other));
        // Told once more, nothing changes.
        let last = other.last();
        other.append(&mut facts.clone(), at(3)).expect("appends");
        proptest::prop_assert_eq!(other.last(), last);
    }
}
