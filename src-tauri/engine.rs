//! What runs: one thread owns the log, everybody else asks and tells it.

pub mod control;
mod ledger;
mod run;
mod writer;

pub use control::ControlClient;
pub use ledger::{Ledger, open_log};
pub use run::{Engine, Running};
pub use writer::{Change, Told, Writer, WriterHandle};
