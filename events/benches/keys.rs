//! What the index of calls costs, in processor time: `cargo bench -p events --bench keys [-- <keys>]`.

// The ledger measures nothing; this measures the ledger.
#![allow(clippy::disallowed_methods)]

/// The index is private to the log, so it is compiled in here once more, with what it takes from the rooms around it.
#[allow(dead_code, unused_imports, unreachable_pub)]
#[path = "../src/log"]
mod log {
    use std::{
        fs::{self, OpenOptions},
        io,
        path::Path,
    };

    pub(crate) mod keys;

    fn make_private_folder(folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)
    }

    fn private_options() -> OpenOptions {
        OpenOptions::new()
    }
}

use events::{RequestKey, Seq};
use log::keys::KeyIndex;
use std::{fs, time::Instant};

const KEYS: u64 = 10_000_000;
const LOOKUPS: u64 = 1_000_000;
/// As a batch does that is appended.
const WARM_KEYS: u64 = 256;

fn main() {
    let keys = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(KEYS);
    let folder = tempfile::tempdir().expect("a folder");
    let resident_before = memory_kb("VmRSS");
    let mut index = KeyIndex::open(folder.path(), Seq(0)).expect("an empty index opens");

    let mut next = 1;
    for end in [keys / 10, keys] {
        let begun = Clock::now();
        for seq in next..=end {
            if (seq - next).is_multiple_of(WARM_KEYS) {
                index.warm((seq..seq + WARM_KEYS).map(key));
            }
            let key = key(seq);
            assert!(index.candidates(&key).next().is_none(), "a key is new");
            index.insert(&key, Seq(seq));
            if index.is_full() {
                index.settle().expect("the disk has room");
            }
        }
        begun.report(&format!("insert never-seen keys {next}..={end}"), end + 1 - next);
        next = end + 1;
    }
    index.settle().expect("the disk has room");
    println!("peak while inserting: {} kB over {resident_before} kB", memory_kb("VmHWM") - resident_before);
    drop(index);
    let files: Vec<u64> =
        fs::read_dir(folder.path()).expect("a folder").map(|file| file.expect("a file").metadata().expect("metadata").len()).collect();
    let bytes: u64 = files.iter().sum();
    println!("disk: {} runs, {bytes} bytes, {}.{:02} per key", files.len(), bytes / keys, bytes * 100 / keys % 100);

    let mut best: Option<(u64, u64)> = None;
    for _ in 0..9 {
        let begun = Clock::now();
        let index = KeyIndex::open(folder.path(), Seq(keys)).expect("the index opens");
        let spent = (begun.spent_ns(), begun.wall.elapsed().as_nanos() as u64);
        best = Some(best.map_or(spent, |best| best.min(spent)));
        assert_eq!(index.covered(), Seq(keys));
    }
    let (spent, wall) = best.unwrap_or_default();
    println!("open: {} us of processor time, {} us in all", spent / 1000, wall / 1000);

    let resident_before = memory_kb("VmRSS");
    let index = KeyIndex::open(folder.path(), Seq(keys)).expect("the index opens");
    println!("resident after opening: {} kB more", memory_kb("VmRSS").saturating_sub(resident_before));
    lookups(&index, keys);
}

fn lookups(index: &KeyIndex, keys: u64) {
    let known = |seq: u64| {
        let found = index.candidates(&key(seq)).map(|seq| seq.expect("the index is whole"));
        let mut vain = 0;
        for found in found {
            if found == Seq(seq) {
                return vain;
            }
            vain += 1;
        }
        panic!("a known key is found");
    };
    let never = |seq: u64| index.candidates(&key(keys + seq)).count() as u64;
    let random = |number: u64| 1 + mix(number) % keys;
    let each = |what: &str, is_warm: bool, seq: &dyn Fn(u64) -> u64, look: &dyn Fn(u64) -> u64| {
        let begun = Clock::now();
        let mut vain = 0;
        for number in 1..=LOOKUPS.min(keys) {
            if is_warm && number % WARM_KEYS == 1 {
                index.warm((number..number + WARM_KEYS).map(|number| key(seq(number))));
            }
            vain += look(seq(number));
        }
        begun.report(&format!("{what}, {}, {vain} candidates in vain", if is_warm { "warm" } else { "cold" }), LOOKUPS.min(keys));
    };
    for is_warm in [false, true] {
        each("known keys, oldest first", is_warm, &|number| number, &known);
        each("known keys, random order", is_warm, &random, &known);
        each("never-seen keys", is_warm, &|number| keys + number, &|seq| never(seq - keys));
    }
}

/// A key that nobody else has, as even as a hash. Hashing an id costs more than all that is measured.
fn key(seq: u64) -> RequestKey {
    RequestKey((u128::from(mix(seq)) << 64 | u128::from(mix(!seq))).to_be_bytes())
}

/// A number of splitmix64.
fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// Processor time of this thread where the system tells it to the nanosecond (Linux), else time by the wall.
struct Clock {
    wall: Instant,
    spent_ns: Option<u64>,
}

impl Clock {
    fn now() -> Clock {
        Clock { wall: Instant::now(), spent_ns: processor_ns() }
    }

    fn spent_ns(&self) -> u64 {
        match (self.spent_ns, processor_ns()) {
            (Some(before), Some(now)) => now - before,
            (None, _) | (_, None) => self.wall.elapsed().as_nanos() as u64,
        }
    }

    fn report(&self, what: &str, times: u64) {
        println!("{what}: {} ns each, {} ms by the wall", self.spent_ns() / times, self.wall.elapsed().as_millis());
    }
}

fn processor_ns() -> Option<u64> {
    fs::read_to_string("/proc/thread-self/schedstat").ok()?.split_whitespace().next()?.parse().ok()
}

fn memory_kb(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
}
