//! Logs that are larger than memory, damaged, replaced under way or not to be read: what is wrong is told once, and nothing else is lost.

use super::tests::{House, line, outputs};
use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
};

/// How large the largest file and the longest line are: unoptimised code takes a minute for more.
const FILE_BYTES: u64 = if cfg!(debug_assertions) { 256 << 20 } else { 4 << 30 };
const LINE_BYTES: usize = if cfg!(debug_assertions) { 70 << 20 } else { 200 << 20 };
/// More than reading anything takes.
const MEMORY_KB_MAX: u64 = 48 << 10;

/// The most memory that this process had until now.
fn memory_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[test]
fn a_file_larger_than_memory_takes_none_and_loses_no_call() {
    let mut house = House::new();
    let path = house.write("slug/a.jsonl", line("msg_1", 1));
    let mut file = File::options().write(true).open(&path).expect("there");
    // A hole, as a crash leaves it: after it the client went on.
    file.seek(SeekFrom::Start(FILE_BYTES)).expect("sparse");
    file.write_all(line("msg_2", 2).as_bytes()).expect("written");
    let before = memory_kb();
    let skipped = house.import().skipped;
    assert!(memory_kb() - before < MEMORY_KB_MAX, "{} KB", memory_kb() - before);
    assert_eq!(outputs(&house.ledger), [("msg_1", 1), ("msg_2", 2)]);
    assert!(skipped.len() == 1 && skipped[0].0 == path, "{skipped:?}");
    assert!(house.import().skipped.is_empty(), "told once");
}

#[test]
fn a_line_longer_than_the_longest_is_read_without_its_text_and_told_once() {
    let mut house = House::new();
    let path = house.write("slug/a.jsonl", line("msg_1", 1));
    let mut file = File::options().append(true).open(&path).expect("there");
    let (head, tail) = ("{\"toolUseResult\":\"", line("msg_2", 2).replacen('{', "\",", 1));
    file.write_all(head.as_bytes()).expect("written");
    let text = "a \\\"quoted\\\" word, and ".repeat(1 << 14);
    (0..LINE_BYTES / text.len() + 1).for_each(|_| file.write_all(text.as_bytes()).expect("written"));
    file.write_all(tail.as_bytes()).expect("written");
    file.write_all(line("msg_3", 3).as_bytes()).expect("written");
    let before = memory_kb();
    let skipped = house.import().skipped;
    assert!(memory_kb() - before < MEMORY_KB_MAX, "{} KB", memory_kb() - before);
    assert_eq!(outputs(&house.ledger), [("msg_1", 1), ("msg_2", 2), ("msg_3", 3)]);
    assert!(skipped.len() == 1 && skipped[0].0 == path && skipped[0].1.contains("longer than 64 MiB"), "{skipped:?}");
    assert!(house.import().skipped.is_empty(), "told once");
}

#[test]
fn bytes_that_are_no_text_cost_at_most_their_own_line() {
    let mut house = House::new();
    let mut bytes = line("msg_1", 1).into_bytes();
    bytes.extend_from_slice(b"\xff\xfe\x00\x80\n{\"usage\":\xc3\x28}\n");
    bytes.extend_from_slice(&line("msg_2", 2).replace("said", "sa\u{fffd}d").into_bytes());
    let at = bytes.windows(3).rposition(|three| three == "\u{fffd}".as_bytes()).expect("there");
    bytes[at..at + 3].copy_from_slice(b"\xf0\x9f\x92");
    house.write("slug/a.jsonl", bytes);
    let skipped = house.import().skipped;
    assert!(skipped.len() == 1 && skipped[0].1.contains("were not read"), "{skipped:?}");
    assert_eq!(outputs(&house.ledger), [("msg_1", 1), ("msg_2", 2)]);
}

/// Lines of many calls: more than are on their way at once.
fn many(word: &str) -> String {
    (0..26_000).map(|number| line(&format!("{word}_{number}"), 1)).collect()
}

#[test]
fn a_file_that_is_replaced_while_it_is_read_is_read_again_and_what_was_read_stays() {
    for is_renamed in [true, false] {
        let mut house = House::new();
        let path = house.write("slug/a.jsonl", many("old"));
        let fresh: String = (0..20_000).map(|number| line(&format!("new_{number}"), 2)).collect();
        let mut replaced = false;
        house.import_while(|| {
            if !std::mem::replace(&mut replaced, true) {
                if is_renamed {
                    let beside = path.with_extension("new");
                    fs::write(&beside, &fresh).expect("written");
                    fs::rename(&beside, &path).expect("renamed");
                } else {
                    fs::write(&path, &fresh).expect("written");
                }
            }
        });
        assert!(replaced);
        house.import();
        let new = house.ledger.keys().filter(|id| id.starts_with("new")).count();
        let old = house.ledger.len() - new;
        assert_eq!(new, 20_000, "renamed: {is_renamed}");
        // Renamed, the old one is read to its end.
        assert!(old >= 4_096 && (!is_renamed || old == 26_000), "{old} of the old ones");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_nobody_may_read_is_told_once_and_stops_nothing() {
    let mut house = House::new();
    let readable = house.write("slug/b.jsonl", line("msg_2", 2));
    // Opens for everybody, and reads for nobody, root included.
    let closed = readable.with_file_name("a.jsonl");
    std::os::unix::fs::symlink("/proc/self/mem", &closed).expect("a link");
    fs::create_dir(readable.with_file_name("c.jsonl")).expect("a folder under the name of a log");
    let skipped = house.import().skipped;
    assert!(skipped.len() == 1 && skipped[0].0 == closed && skipped[0].1.contains("cannot read"), "{skipped:?}");
    assert_eq!(outputs(&house.ledger), [("msg_2", 2)]);
    assert!(house.import().skipped.is_empty(), "told once");
    fs::remove_file(&closed).expect("removed");
    fs::write(&closed, line("msg_1", 1)).expect("written");
    assert!(house.import().skipped.is_empty());
    assert_eq!(outputs(&house.ledger), [("msg_1", 1), ("msg_2", 2)]);
}
