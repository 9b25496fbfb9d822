//! What one log file must know of the others: from which session a session was copied, and which sessions another file tells better.

use super::{client::Reader, json};
use crate::regular::{open_regular, read_beginning};
use events::Timestamp;
use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader, Read},
    path::Path,
};

/// How long a chain of copies is followed; a longer one is a circle.
const GENERATIONS_MAX: usize = 64;
/// By how much the two files may differ in the time of one call, in microseconds.
const COVERED_MARGIN_MICROS: i64 = 5 * 60 * 1_000_000;
/// What a file covers that covers nothing.
pub(super) static COVERS_NOTHING: BTreeMap<String, Timestamp> = BTreeMap::new();
/// How much of a file is read to learn whose it is.
const HEAD_BYTES_MAX: u64 = 1 << 20;

/// The sessions of one client, as far as its files were looked at.
#[derive(Debug, Default)]
pub(super) struct Kin {
    parents: HashMap<String, String>,
    /// The sessions that a better file tells of, and from when on.
    covered: HashMap<String, Timestamp>,
}

impl Kin {
    /// Takes up what a reader has learned of its file.
    pub(super) fn learn(&mut self, reader: &Reader) {
        if let Some((session, parent)) = reader.parent() {
            self.parents.insert(session.to_owned(), parent.to_owned());
        }
        for (session, at) in reader.covers() {
            let from = self.covered.entry(session.clone()).or_insert(*at);
            *from = (*at).min(*from);
        }
    }

    /// The first of the sessions from which this one was copied, one from another; itself where it was not.
    pub(super) fn root(&self, session: &str) -> String {
        let mut root = session;
        for _ in 0..GENERATIONS_MAX {
            match self.parents.get(root) {
                Some(parent) if parent != session => root = parent,
                Some(_) | None => break,
            }
        }
        root.to_owned()
    }

    /// A client may have come to keep the better file while the session went on: what lies well before that, only the poorer one tells.
    pub(super) fn covers(&self, session: &str, at: Timestamp) -> bool {
        self.covered.get(session).is_some_and(|from| at >= from.plus_micros(-COVERED_MARGIN_MICROS))
    }
}

/// The first line of a file, if it is not long. Packed files are unpacked as far.
pub(super) fn first_line(path: &Path, is_packed: bool) -> Option<Vec<u8>> {
    let file = open_regular(path).ok()?;
    let mut line = Vec::new();
    if is_packed {
        let source = zstd::stream::read::Decoder::new(file).ok()?;
        BufReader::new(source).take(HEAD_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
    } else {
        BufReader::new(file).take(HEAD_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
    }
    Some(line)
}

/// The beginning of a file in the folder so many steps above this one; `None` where the name leads elsewhere.
pub(super) fn near(path: &Path, steps: usize, name: &str) -> Option<String> {
    let is_plain = !name.is_empty() && !name.contains(['/', '\\']) && name != "..";
    let bytes = is_plain.then(|| read_beginning(&path.ancestors().nth(steps)?.join(name), HEAD_BYTES_MAX).ok()).flatten()?;
    Some(json::text(&bytes).into_owned())
}
