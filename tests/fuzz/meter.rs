//! Every dialect, framing and encoding that the meter reads: no bytes make it panic, and however they are cut into pieces it says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollbar_app::meter::fuzz;

fuzz_target!(|bytes: &[u8]| {
    let [choice, size, body @ ..] = bytes else { return };
    let whole = fuzz(*choice, body, usize::MAX);
    let cut = fuzz(*choice, body, usize::from(*size) + 1);
    assert_eq!(cut, whole, "in pieces of {} bytes it says something else", u16::from(*size) + 1);
});
