//! The meter. Which framing or dialect of it, `METER_TARGET` says; `tests/fuzz/run` sets it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tollbar_app::meter::fuzzing::{TARGETS, run, warm};

static TARGET: LazyLock<&str> = LazyLock::new(|| {
    let named = std::env::var("METER_TARGET").unwrap_or_default();
    TARGETS.into_iter().find(|target| *target == named).unwrap_or_else(|| panic!("METER_TARGET is one of {TARGETS:?}"))
});

fuzz_target!(init: warm(), |bytes: &[u8]| run(*TARGET, bytes));
