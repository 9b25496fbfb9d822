//! Prices: a book of any bytes, and every data set of which one is made.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollbar_app::fuzzing;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    fuzzing::prices(*choice, rest);
});
