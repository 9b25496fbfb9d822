use super::*;
use std::{collections::HashMap, fs};

fn key(number: u64) -> RequestKey {
    RequestKey::of("test", &number.to_string())
}

fn found(index: &KeyIndex, number: u64) -> Vec<Seq> {
    index.candidates(&key(number)).collect::<Result<_, _>>().expect("reads")
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
    #[test]
    fn every_key_is_found_newest_first_whatever_was_settled_merged_and_opened_again(
        steps in proptest::collection::vec((0..4u8, 0..60u64), 1..400),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut index = KeyIndex::open(folder.path(), Seq(0)).expect("opens");
        let mut model: HashMap<u64, Vec<Seq>> = HashMap::new();
        let mut last = Seq(0);
        for (step, number) in steps {
            match step {
                0 if number < 20 => index.settle().expect("settles"),
                1 if number < 10 => {
                    index.settle().expect("settles");
                    index = KeyIndex::open(folder.path(), last).expect("opens");
                    proptest::prop_assert_eq!(index.covered(), last);
                }
                _ => {
                    last = last.next();
                    index.insert(&key(number), last);
                    model.entry(number).or_default().insert(0, last);
                }
            }
        }
        for number in 0..70 {
            let expected = model.get(&number).cloned().unwrap_or_default();
            proptest::prop_assert_eq!(found(&index, number), expected);
        }
    }
}

#[test]
fn damage_is_said_or_lowers_what_is_covered_and_never_hides_a_key() {
    const KEYS: u64 = 3_000;
    let whole = tempfile::tempdir().expect("a folder");
    let mut index = KeyIndex::open(whole.path(), Seq(0)).expect("opens");
    for number in 1..=KEYS {
        index.insert(&key(number), Seq(number));
        if number == KEYS / 2 {
            index.settle().expect("settles");
        }
    }
    index.settle().expect("settles");
    drop(index);
    for file in files(whole.path()) {
        let bytes = fs::read(&file).expect("read");
        for at in (0..bytes.len()).step_by(bytes.len() / 60 + 1) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x11;
            fs::write(&file, &damaged).expect("written");
            let Ok(index) = KeyIndex::open(whole.path(), Seq(KEYS)) else { continue };
            for number in 1..=index.covered().0 {
                let found: Result<Vec<Seq>, _> = index.candidates(&key(number)).collect();
                assert!(found.is_err() || found.is_ok_and(|found| found.contains(&Seq(number))), "byte {at} of {}", file.display());
            }
            // What was dropped at opening is put back for the next round.
            fs::write(&file, &bytes).expect("written");
        }
        fs::write(&file, &bytes[..bytes.len() / 2]).expect("cut");
        assert!(KeyIndex::open(whole.path(), Seq(KEYS)).is_ok_and(|index| index.covered() < Seq(KEYS)), "half a run is none");
        fs::write(&file, &bytes).expect("written");
    }
}

/// An index is made again by whoever finds one of another version, so only `VERSION` has to move with the bytes.
#[test]
fn the_bytes_of_a_run_are_those_of_its_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut index = KeyIndex::open(folder.path(), Seq(0)).expect("opens");
    for number in 1..=1_000 {
        index.insert(&key(number), Seq(number));
    }
    index.settle().expect("settles");
    let [run] = &files(folder.path())[..] else { panic!("one run") };
    let bytes = fs::read(run).expect("read");
    assert_eq!((bytes.len(), crc32fast::hash(&bytes)), (6_637, 1_527_937_674), "version 1");
}
