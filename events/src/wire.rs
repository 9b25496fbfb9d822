//! Entries as bytes. Every version ever shipped stays readable: golden files in `tests/golden` are added to, never edited.
//!
//! Version 1 is the byte `1` and the entry as MessagePack with named fields, so that a field may be added later with a default.

use crate::Entry;

const VERSION: u8 = 1;

/// Why bytes are no entry.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// There is nothing.
    #[error("an entry of no bytes")]
    Empty,
    /// Written by a later program.
    #[error("an entry of wire version {0}, which this program does not know")]
    Version(u8),
    /// Not what the version says.
    #[error("a damaged entry: {0}")]
    Damaged(#[from] rmp_serde::decode::Error),
}

/// An entry in the newest wire version.
pub fn encode(entry: &Entry) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    rmp_serde::encode::write_named(&mut bytes, entry).expect("an entry holds only what MessagePack can hold, and memory takes it");
    bytes
}

/// An entry of any wire version.
pub fn decode(bytes: &[u8]) -> Result<Entry, WireError> {
    match bytes.split_first() {
        None => Err(WireError::Empty),
        Some((&VERSION, body)) => Ok(rmp_serde::from_slice(body)?),
        Some((&version, _)) => Err(WireError::Version(version)),
    }
}
