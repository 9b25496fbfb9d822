//! The one place where commands write: their answer to standard output, everything else to standard error.
//!
//! A reader of the answer who is gone ends a command in order, and a disk that is full with an error; neither is a panic.

use crate::diagnostics;
use events::query::{Fault, FaultCode};
use serde::Serialize;
use std::{
    fmt::Display,
    io::{self, Write as _},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

/// How shells say that a command was ended by SIGPIPE: 128 and the number of the signal.
const READER_GONE_STATUS: u8 = 141;

/// Whether the reader of the answer was gone before its end.
static READER_GONE: AtomicBool = AtomicBool::new(false);

/// Prints an answer as JSON, exact, for scripts.
pub(super) fn print_json(answer: &impl Serialize) -> Result<(), Fault> {
    let text = serde_json::to_string_pretty(answer).expect("answers hold only what JSON can hold");
    print(&(text + "\n"))
}

/// Prints text. A reader that closes the pipe early (`| head`) has had enough: the command goes on to its end, and [`status`] says so.
pub(super) fn print(text: &str) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            READER_GONE.store(true, Ordering::Relaxed);
            Ok(())
        }
        Err(error) => {
            Err(Fault::new(FaultCode::Storage, format!("cannot write the output: {error}"), "check that its file or device has room"))
        }
    }
}

/// The exit status of a command that did what it should.
pub(super) fn status() -> ExitCode {
    if READER_GONE.load(Ordering::Relaxed) { ExitCode::from(READER_GONE_STATUS) } else { ExitCode::SUCCESS }
}

/// Writes a line to standard error. Whether anybody reads it makes no difference.
pub(super) fn warn(line: impl Display) {
    diagnostics::note(line);
}
