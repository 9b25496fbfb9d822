//! The one place where commands write: their answer to standard output, everything else to standard error.
//!
//! A reader of the answer who is gone ends a command in order, and a disk that is full with an error; neither is a panic.

use crate::diagnostics;
use events::{
    names,
    query::{Fault, FaultCode},
};
use serde::Serialize;
use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
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
    print(&(names::shown_json(&text).into_owned() + "\n"))
}

/// Prints text. A reader that closes the pipe early (`| head`) has had enough: the command goes on to its end, and [`status`] says so.
pub(super) fn print(text: &str) -> Result<(), Fault> {
    let text = safe(text);
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

/// The styles that tables and notes have ([`super::table`]).
const STYLES: [&str; 5] = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m"];

/// Text without any control of a terminal but our own styles, and those only where the reader is a terminal: a name may hold others.
fn safe(text: &str) -> Cow<'_, str> {
    if !io::stdout().is_terminal() {
        return names::shown(text, true);
    }
    let Some(first) = text.find('\x1b') else { return names::shown(text, true) };
    let (mut out, mut rest) = (names::shown(&text[..first], true).into_owned(), &text[first..]);
    while !rest.is_empty() {
        let style = STYLES.iter().find(|style| rest.starts_with(**style));
        let (own, after) = style.map_or(("", rest), |style| rest.split_at(style.len()));
        out += own;
        // What is no style of ours is shown up to the next one.
        let from = usize::from(own.is_empty());
        let end = after[from..].find('\x1b').map_or(after.len(), |at| at + from);
        out += &names::shown(&after[..end], true);
        rest = &after[end..];
    }
    Cow::Owned(out)
}

/// The exit status of a command that did what it should.
pub(super) fn status() -> ExitCode {
    if READER_GONE.load(Ordering::Relaxed) { ExitCode::from(READER_GONE_STATUS) } else { ExitCode::SUCCESS }
}

/// Writes a line to standard error. Whether anybody reads it makes no difference.
pub(super) fn warn(line: impl Display) {
    let line = line.to_string();
    diagnostics::note(safe_line(&line));
}

/// A line for standard error. Our own colours are at its beginning.
fn safe_line(line: &str) -> String {
    let Some((head, rest)) = line.strip_prefix("\x1b[31m").and_then(|line| line.split_once("\x1b[0m")) else {
        return names::shown(line, true).into_owned();
    };
    format!("\x1b[31m{}\x1b[0m{}", names::shown(head, true), names::shown(rest, true))
}
