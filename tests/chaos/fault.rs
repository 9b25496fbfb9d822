//! The faults that a round can find.

use std::fmt;

/// The result of a step of a round.
pub type Outcome<T = ()> = Result<T, Fault>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A call is missing that must be recorded.
    Lost,
    /// A call is counted twice, or was never made.
    Double,
    /// A call has other tokens than the provider counted, or its bytes changed on the way.
    Wrong,
    /// The proxy did not pass a call, or a command failed that must succeed.
    Refused,
    /// Summary, export, status, budgets and verify do not agree.
    Disagree,
    /// Calls were lost by damage and no command says so.
    Unsaid,
    Panic,
    /// A process did not end in time.
    Hang,
    /// An exit code other than 0, 1 and 2, or an error without cause and hint.
    Exit,
}

#[derive(Clone, Debug)]
pub struct Fault {
    pub kind: Kind,
    pub text: String,
}

impl Fault {
    pub fn new(kind: Kind, text: impl Into<String>) -> Fault {
        Fault { kind, text: text.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}: {}", self.kind, self.text)
    }
}

/// Fails the round unless a condition holds.
pub fn ensure(holds: bool, kind: Kind, text: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Fault::new(kind, text())) }
}
