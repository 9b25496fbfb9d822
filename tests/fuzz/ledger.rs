//! The ledger: what it stores, read from any bytes; and sightings, told in any order.
#![no_main]

use events::fuzzing::Ledgers;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;

/// After so many inputs the logs are begun anew, so that they stay small.
const INPUTS_PER_LOG: u32 = 4096;

thread_local! {
    static LEDGERS: RefCell<Option<(Ledgers, tempfile::TempDir, u32)>> = const { RefCell::new(None) };
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    if choice.is_multiple_of(2) {
        return events::fuzzing::stored(rest);
    }
    LEDGERS.with_borrow_mut(|ledgers| {
        let (logs, folder, inputs) = ledgers.take().filter(|(_, _, inputs)| *inputs < INPUTS_PER_LOG).unwrap_or_else(|| {
            // In memory: an fsync a batch would be all that is measured.
            let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
            (Ledgers::open(folder.path()), folder, 0)
        });
        let (logs, _, _) = &mut ledgers.insert((logs, folder, inputs + 1));
        logs.tell(inputs, rest);
    });
});
