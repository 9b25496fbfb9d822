//! Connections to other machines: directly, or through the HTTP or SOCKS proxy of this network.

mod connect;
mod io;
mod way;

pub(crate) use connect::{Connected, Connector, Offers, causes};
pub(crate) use io::Io;
pub use way::Outgoing;
pub(crate) use way::{Via, Way};
