use super::{frame::NOTE_BYTES, *};
use crate::{Certainty, Entry, Event, RequestKey, Said, Source, Tokens, Usage};

mod golden;

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(1_795_000_000 + second)
}

fn entry(seq: u64) -> Entry {
    let usage = Usage {
        at: at(seq as i64),
        provider: "anthropic".into(),
        family: "anthropic".into(),
        model: Some("m".into()),
        call_id: Some(format!("msg_{seq}")),
        tokens: Tokens { input: 3, output: seq + 10, ..Tokens::default() },
        certainty: Certainty::Reported,
        sources: Source::Log.into(),
        ..Usage::default()
    };
    Entry { seq: Seq(seq), recorded_at: at(0), key: usage.key(), event: Event::Used { usage: Box::new(usage) } }
}

fn batch(first: u64, count: u64) -> Batch {
    let said = Said::from(&serde_json::json!({"input_tokens": 3, "speed": "standard"}));
    let entries: Vec<_> = (first..first + count).map(entry).collect();
    let lines: Vec<_> = entries.iter().map(|entry| LineRef { entry, said: Some(&said), rescued: false }).collect();
    Encoder::default().encode(&lines).expect("encodes").expect("lines")
}

fn open(folder: &Path) -> (Journal, Vec<String>) {
    let mut mended = Vec::new();
    (Journal::open(folder, &mut mended).expect("opens"), mended)
}

/// Batches of so many lines each, all in one month.
fn journal(folder: &Path, batches: &[u64]) -> Journal {
    let (mut journal, _) = open(folder);
    for count in batches {
        journal.append(&batch(journal.last().0 + 1, *count), at(0)).expect("appends");
    }
    journal
}

fn month(folder: &Path) -> PathBuf {
    folder.join(format!("{}{SUFFIX}", at(0).month_name()))
}

/// The entries that are read, and what is said to be lost.
fn read(lines: Lines) -> (Vec<u64>, Vec<(u64, Option<u64>)>) {
    let (mut seqs, mut lost) = (Vec::new(), Vec::new());
    for line in lines {
        match line {
            Ok(line) => {
                assert_eq!(line.entry, entry(line.entry.seq.0), "what is read is what was written");
                seqs.push(line.entry.seq.0);
            }
            Err(JournalError::Damaged { after, next, .. }) => lost.push((after.0, next.map(|next| next.0))),
            Err(error) => panic!("{error}"),
        }
    }
    (seqs, lost)
}

fn all(journal: &Journal) -> (Vec<u64>, Vec<(u64, Option<u64>)>) {
    read(journal.lines_after(Seq(0)).expect("reads"))
}

#[test]
fn lines_are_read_from_any_place_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = journal(folder.path(), &[1, 2, 3000, 1]);
    journal.append(&batch(3005, 3), at(40 * 86_400)).expect("appends");
    for after in [0, 1, 2, 3, 1500, 3002, 3003, 3004, 3005, 3006, 3007, 9000] {
        let (seqs, lost) = read(journal.lines_after(Seq(after)).expect("reads"));
        assert_eq!((seqs, lost), ((after + 1..=3007).collect(), vec![]), "after {after}");
    }
    assert!(journal.lines_after(Seq(0)).expect("opens").all(|line| line.is_ok()));
    let (again, mended) = open(folder.path());
    assert_eq!((again.last(), again.bytes(), mended), (Seq(3007), journal.bytes(), vec![]));
}

#[test]
fn what_was_said_is_read_to_the_letter() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut journal, _) = open(folder.path());
    let entries = [entry(1), entry(2), entry(3)];
    let said = [r#"{"a":[3,12,"x\"3"],"b":12}"#, r#"{"a":"=input"}"#, "{\"a\":\n3}"];
    let said = said.map(|text| Said::from(serde_json::value::RawValue::from_string(text.into()).expect("JSON")));
    let lines: Vec<_> = entries.iter().zip(&said).map(|(entry, said)| LineRef { entry, said: Some(said), rescued: false }).collect();
    journal.append(&Encoder::default().encode(&lines).expect("encodes").expect("lines"), at(0)).expect("appends");
    let read: Vec<_> =
        journal.lines_after(Seq(0)).expect("reads").map(|line| line.expect("a line").said().expect("said").expect("some")).collect();
    assert_eq!(read[..2], said[..2]);
    assert_eq!(read[2].text(), "{\"a\": 3}", "a line's end within is a space");
}

#[test]
fn a_key_that_is_not_the_usages_own_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut journal, _) = open(folder.path());
    let entry = Entry { key: Some(RequestKey([7; 16])), ..entry(1) };
    let batch = Encoder::default().encode(&[LineRef { entry: &entry, said: None, rescued: false }]).expect("encodes").expect("lines");
    journal.append(&batch, at(0)).expect("appends");
    let read: Vec<_> = journal.lines_after(Seq(0)).expect("reads").map(|line| line.expect("a line").entry).collect();
    assert_eq!(read, [entry]);
}

#[test]
fn a_file_is_one_stream_of_lines_for_every_other_reader() {
    let folder = tempfile::tempdir().expect("a folder");
    journal(folder.path(), &[2, 1, 1030]);
    let text = zstd::decode_all(File::open(month(folder.path())).expect("opens")).expect("notes are passed over");
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1033);
}

/// Damages a journal of five frames of three lines each, by frame; says what is read then.
#[allow(clippy::type_complexity)]
fn damaged(damage: impl Fn(&mut Vec<u8>, &[usize])) -> (Vec<u64>, Vec<(u64, Option<u64>)>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut starts = vec![0];
    let (mut journal, _) = open(folder.path());
    for number in 0..5 {
        journal.append(&batch(number * 3 + 1, 3), at(0)).expect("appends");
        starts.push(journal.bytes() as usize);
    }
    drop(journal);
    let mut bytes = fs::read(month(folder.path())).expect("read");
    damage(&mut bytes, &starts);
    fs::write(month(folder.path()), &bytes).expect("written");
    let (journal, mended) = open(folder.path());
    let (seqs, lost) = all(&journal);
    (seqs, lost, mended)
}

#[test]
fn a_damaged_frame_costs_its_own_lines_only_wherever_it_is_hit() {
    let without = |from: u64| (1..=15).filter(|seq| !(from..from + 3).contains(seq)).collect::<Vec<_>>();
    let end = damaged(|_, _| {});
    assert_eq!(end, ((1..=15).collect(), vec![], vec![]));
    // Every byte of the third frame, flipped or zeroed with its neighbours.
    let mut length = 0;
    damaged(|_, starts| assert!(starts[3] > starts[2]));
    for at in 0.. {
        let reached = std::cell::Cell::new(false);
        for kind in 0..3 {
            let (seqs, lost, mended) = damaged(|bytes, starts| {
                let place = starts[2] + at;
                reached.set(place >= starts[3]);
                let end = (place + 20).min(starts[3]);
                match kind {
                    _ if place >= starts[3] => {}
                    0 => bytes[place] ^= 0x10,
                    1 => bytes[place..end].fill(0),
                    _ => drop(bytes.drain(place..end)),
                }
            });
            if reached.get() {
                break;
            }
            assert_eq!(mended, [] as [String; 0], "byte {at}, kind {kind}");
            if lost.is_empty() || lost == [(6, Some(7))] || lost == [(9, Some(10))] {
                assert_eq!(seqs, (1..=15).collect::<Vec<_>>(), "byte {at}, kind {kind}: only the note was hit, or nothing");
            } else {
                assert_eq!((seqs, lost), (without(7), vec![(6, Some(10))]), "byte {at}, kind {kind}");
            }
        }
        if reached.get() {
            break;
        }
        length = at;
    }
    assert!(length > 100, "there were bytes to damage");
}

#[test]
fn damage_before_the_lines_that_are_asked_for_is_not_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = journal(folder.path(), &[3, 3, 3]);
    let mut bytes = fs::read(month(folder.path())).expect("read");
    bytes[20] ^= 1;
    fs::write(month(folder.path()), &bytes).expect("written");
    assert_eq!(all(&journal), ((4..=9).collect(), vec![(0, Some(4))]));
    assert_eq!(read(journal.lines_after(Seq(3)).expect("reads")), ((4..=9).collect(), vec![]));
    assert_eq!(read(journal.lines_after(Seq(2)).expect("reads")), ((4..=9).collect(), vec![(2, Some(4))]));
    let faults: Vec<_> = journal.lines_after(Seq(0)).expect("opens").filter_map(Result::err).collect();
    assert!(faults[0].to_string().contains("at byte 0: entries 1 to 3 cannot be read"), "{}", faults[0]);
}

#[test]
fn a_torn_append_is_cut_whole_frames_are_kept_and_a_lost_note_is_written_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = journal(folder.path(), &[2]).bytes() as usize;
    let (mut journal, _) = open(folder.path());
    journal.append(&batch(3, 1030), at(0)).expect("appends");
    drop(journal);
    let bytes = fs::read(month(folder.path())).expect("read");
    let first = whole
        + Scan::new(io::Cursor::new(&bytes), whole as u64, bytes.len() as u64).and_then(|mut scan| scan.next()).map_or(0, |piece| {
            match piece {
                Some(Piece::Noted { bytes, .. }) => bytes.len(),
                _ => 0,
            }
        });
    let tries = [
        (whole + 1, 2),
        (first - 1, 2),
        (first, 517),
        (first + 5, 517),
        (first + NOTE_BYTES, 517),
        (first + NOTE_BYTES + 9, 517),
        (bytes.len() - NOTE_BYTES - 1, 517),
        (bytes.len() - NOTE_BYTES, 1032),
        (bytes.len() - 1, 1032),
        (bytes.len(), 1032),
    ];
    for (length, last) in tries {
        fs::write(month(folder.path()), &bytes[..length]).expect("torn");
        let (mut journal, _) = open(folder.path());
        assert_eq!(journal.last(), Seq(last), "at {length}");
        journal.append(&batch(last + 1, 2), at(0)).expect("appends");
        assert_eq!(all(&journal), ((1..=last + 2).collect(), vec![]), "at {length}");
        assert_eq!(open(folder.path()).1, [] as [String; 0], "at {length}: once mended is mended");
    }
    // The right length with the wrong bytes: the first half of the append is torn, so the second was never acknowledged either.
    let mut garbled = bytes.clone();
    garbled[whole + 50..whole + 90].fill(0);
    fs::write(month(folder.path()), &garbled).expect("garbled");
    let (journal, mended) = open(folder.path());
    assert_eq!((journal.last(), mended.len()), (Seq(2), 1));
}

#[test]
fn what_a_later_program_wrote_is_no_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = journal(folder.path(), &[1]);
    let text = "{\"seq\":2,\"recorded_at\":\"2026-11-22T08:30:00Z\",\"event\":{\"moon_rose\":{}}}\n{\"seq\":3,\"recorded_at\":\"2026-11-22T08:30:00Z\",\"new\":1,\"event\":{\"budget_removed\":{\"name\":\"m\",\"by\":\"x\"}}}\n";
    let mut bytes = Vec::new();
    let frame = frame::compressor(1).compress(text.as_bytes()).expect("compresses");
    frame::Frame { bytes: frame, first: Seq(2), last: Seq(3) }.write(Some(0), &mut bytes);
    journal.append(&Batch { bytes, first: Seq(2), last: Seq(3) }, at(0)).expect("appends");
    let lines: Vec<_> = journal.lines_after(Seq(0)).expect("reads").collect();
    assert!(
        matches!(&lines[..], [Ok(_), Err(JournalError::Later { seq: Seq(2), .. }), Ok(Line { entry: Entry { seq: Seq(3), .. }, .. })]),
        "{lines:?}"
    );
    assert!(lines[1].as_ref().is_err_and(|error| error.to_string().contains("written by a later tollbar")));
}

#[test]
fn tidying_keeps_every_line_and_what_is_appended_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = journal(folder.path(), &[40; 20]);
    let before = zstd::decode_all(File::open(month(folder.path())).expect("opens")).expect("decodes");
    assert!(Tidy::begin(&journal).expect("looks").is_none(), "the present month is small");
    let lines = journal.lines_after(Seq(0)).expect("reads");
    journal.append(&batch(801, 5), at(40 * 86_400)).expect("appends");
    let tidy = Tidy::begin(&journal).expect("looks").expect("a month is over");
    let tidied = tidy.run().expect("runs");
    assert!(tidied.bytes().0 < tidied.bytes().1 / 2, "{:?}", tidied.bytes());
    journal.finish(tidied).expect("finishes");
    assert_eq!(zstd::decode_all(File::open(month(folder.path())).expect("opens")).expect("decodes"), before);
    assert!(Tidy::begin(&journal).expect("looks").is_none(), "once is enough");
    assert_eq!(all(&journal), ((1..=805).collect(), vec![]));
    assert_eq!(read(lines).0.len(), 800, "who reads the old file goes on reading it");
    assert_eq!((open(folder.path()).0.bytes(), open(folder.path()).1), (journal.bytes(), vec![]));

    // The present month, while it grows.
    let current = journal.current.as_ref().expect("a month");
    let tidy = Tidy::of_test(journal.path(&current.month), current.bytes);
    journal.append(&batch(806, 7), at(40 * 86_400)).expect("appends");
    journal.finish(tidy.run().expect("runs")).expect("finishes");
    journal.append(&batch(813, 2), at(40 * 86_400)).expect("appends");
    assert_eq!(all(&journal), ((1..=814).collect(), vec![]));
    let (again, mended) = open(folder.path());
    assert_eq!((all(&again).0.len(), again.bytes(), mended), (814, journal.bytes(), vec![]));
}

#[test]
fn a_damaged_file_is_not_tidied_and_half_a_tidied_one_is_swept_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = journal(folder.path(), &[4; 5]);
    journal.append(&batch(21, 1), at(40 * 86_400)).expect("appends");
    let whole = fs::read(month(folder.path())).expect("read");
    let mut bytes = whole.clone();
    bytes[20] ^= 1;
    fs::write(month(folder.path()), &bytes).expect("damaged");
    let tidy = Tidy::begin(&journal).expect("looks").expect("a month is over");
    assert!(matches!(tidy.run(), Err(JournalError::Damaged { offset: 0, .. })));
    assert_eq!(fs::read(month(folder.path())).expect("read"), bytes);
    let (journal, _) = open(folder.path());
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
    fs::write(month(folder.path()), &whole).expect("mended");
    // Killed after `run`, before `finish`.
    Tidy::begin(&journal).expect("looks").expect("a month").run().expect("runs");
    assert_eq!(all(&open(folder.path()).0), ((1..=21).collect(), vec![]));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
}

#[test]
fn another_devices_journal_is_read_and_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    journal(folder.path(), &[3, 3]);
    let bytes = fs::read(month(folder.path())).expect("read");
    fs::write(month(folder.path()), &bytes[..bytes.len() - 60]).expect("torn");
    assert_eq!(read(Journal::read_folder(folder.path()).expect("reads")), ((1..=3).collect(), vec![(3, None)]));
    assert_eq!(fs::metadata(month(folder.path())).expect("there").len(), bytes.len() as u64 - 60);
    assert!(Journal::read_folder(&folder.path().join("none")).err().expect("no folder").hint().contains("none"));
}

#[test]
fn a_line_that_could_not_be_read_back_is_not_written() {
    let mut long = entry(1);
    if let Event::Used { usage } = &mut long.event {
        usage.session = Some("s".repeat(line::LINE_BYTES_MAX));
    }
    let error = Encoder::default().encode(&[LineRef { entry: &long, said: None, rescued: false }]).expect_err("too long");
    assert!(matches!(error, JournalError::TooLong { seq: Seq(1), .. }), "{error}");
}

#[test]
#[cfg(unix)]
fn a_failed_append_leaves_no_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = journal(folder.path(), &[2]);
    let bytes = journal.bytes();
    let current = journal.current.as_mut().expect("a month");
    let writable = std::mem::replace(&mut current.file, Arc::new(File::open(month(folder.path())).expect("opens")));
    let error = journal.append(&batch(3, 2), at(0)).expect_err("it is open for reading only");
    assert!(matches!(&error, JournalError::Io { path, .. } if *path == month(folder.path())), "{error}");
    // Half an append that could not be taken back is taken back by the next.
    journal.current.as_mut().expect("a month").file = writable;
    fs::OpenOptions::new().append(true).open(month(folder.path())).and_then(|mut file| file.write_all(b"half")).expect("written");
    assert_eq!((journal.last(), journal.bytes()), (Seq(2), bytes));
    journal.append(&batch(3, 2), at(0)).expect("appends");
    assert_eq!(all(&journal), ((1..=4).collect(), vec![]));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_in_a_file_make_it_panic(
        mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), place in 0..3usize, magic in 0..3usize,
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        journal(folder.path(), &[2, 1]);
        let whole = fs::read(month(folder.path())).expect("read");
        let magics: [&[u8]; 3] = [&[], &frame::FRAME_MAGIC, &frame::NOTE_MAGIC];
        bytes.splice(0..0, magics[magic].iter().copied());
        let parts: [&[&[u8]]; 3] = [&[&bytes], &[&whole, &bytes], &[&whole, &bytes, &whole]];
        fs::write(month(folder.path()), parts[place].concat()).expect("written");
        let (seqs, _) = read(Journal::read_folder(folder.path()).expect("reads"));
        proptest::prop_assert!(place == 0 || seqs == [1, 2, 3], "{seqs:?}");
        let (journal, _) = open(folder.path());
        proptest::prop_assert_eq!(journal.last(), Seq(if place == 0 { 0 } else { 3 }));
    }
}
