//! What else comes from outside: the configuration, addresses, headers, the control API's bodies, other people's settings files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollbar_app::{attribution, config::Config, fuzzing};

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match choice % 5 {
        0 => drop(Config::parse(&text)),
        1 => fuzzing::path(&text),
        2 => drop((attribution::client_of_user_agent(&text), attribution::session_of_headers(&|_| Some(&*text)))),
        3 => fuzzing::asked(rest),
        _ => fuzzing::settings(&text),
    }
});
