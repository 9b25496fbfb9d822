//! How far each log file was read.

use super::{Client, client::Reader};
use crate::regular::{Stop, open_regular};
use events::Seq;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::Metadata,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// How much before a cursor is compared, to see that the file was not rewritten.
pub(super) const TAIL_BYTES: u64 = 4096;
/// The largest file of cursors that is read.
const CURSORS_BYTES_MAX: u64 = 512 << 20;
/// The version of the file of cursors; a file of another version is as good as none.
const FORMAT: u32 = 1;

/// How far each file was read. Losing them costs a second reading and nothing else.
#[derive(Debug, Default)]
pub struct Cursors {
    files: BTreeMap<String, Cursor>,
    /// The newest entry of the log that has all that was read.
    up_to: Seq,
    /// What threads without a log were last reckoned up; nothing where none were.
    reckoned: u64,
    /// Something is not as it was loaded.
    is_changed: bool,
    /// What was already reported as unreadable, and why.
    faults: HashMap<PathBuf, String>,
    /// Ends a reading with these cursors.
    stop: Stop,
}

#[derive(Serialize, Deserialize)]
struct Stored<Files> {
    format: u32,
    #[serde(default)]
    up_to: Seq,
    #[serde(default)]
    reckoned: u64,
    files: Files,
}

impl Cursors {
    /// As kept in a file. Where there is none, or a damaged one: as if nothing had been read yet.
    pub fn load(path: &Path) -> io::Result<Cursors> {
        let bytes = match open_regular(path) {
            // Longer ones are cut, and as good as none.
            Ok(file) if file.length() > CURSORS_BYTES_MAX => Vec::new(),
            Ok(file) => file.rest()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Cursors::default()),
            Err(error) => return Err(error),
        };
        let stored = serde_json::from_slice::<Stored<BTreeMap<String, Cursor>>>(&bytes).ok().filter(|stored| stored.format == FORMAT);
        Ok(stored
            .map(|stored| Cursors { files: stored.files, up_to: stored.up_to, reckoned: stored.reckoned, ..Cursors::default() })
            .unwrap_or_default())
    }

    /// Where the cursors of a client are kept: beside the log, for cursors of another log would hide what this one lacks.
    pub fn path(log: &Path, client: Client) -> PathBuf {
        log.join(format!("cursors-{}.json", client.name()))
    }

    /// These, for a log that goes up to `last`; none for one that goes less far than the one that they were kept with.
    #[must_use]
    pub fn for_log(self, last: Seq) -> Cursors {
        if self.up_to > last { Cursors { stop: self.stop, ..Cursors::default() } } else { self }
    }

    /// Asking this ends a reading that uses these cursors, within a second and before it is done.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Says that the log has all that was read until now, and goes up to `last`.
    pub fn are_in_log(&mut self, last: Seq) {
        self.up_to = last;
    }

    /// What threads without a log were last reckoned up, as a digest.
    pub fn reckoned(&self) -> u64 {
        self.reckoned
    }

    /// Says that these were.
    pub fn have_reckoned(&mut self, digest: u64) {
        self.is_changed |= self.reckoned != digest;
        self.reckoned = digest;
    }

    /// Keeps them in a file of mode 0600, whole or not at all, where something changed. Its folder exists.
    pub fn save(&mut self, path: &Path) -> io::Result<()> {
        if !self.is_changed {
            return Ok(());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // tempfile makes its files 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        {
            let mut out = io::BufWriter::new(file.as_file_mut());
            serde_json::to_writer(&mut out, &Stored { format: FORMAT, up_to: self.up_to, reckoned: self.reckoned, files: &self.files })?;
            out.flush()?;
        }
        // Not forced to the disk: one that a power cut leaves empty is as good as none.
        file.persist(path)?;
        self.is_changed = false;
        Ok(())
    }

    pub(super) fn get(&self, path: &Path) -> Option<&Cursor> {
        self.files.get(&*path.to_string_lossy())
    }

    /// The readers of a client's files, with what they learned.
    pub(super) fn readers(&self, client: Client) -> impl Iterator<Item = &Reader> {
        self.files.values().map(|cursor| &cursor.reader).filter(move |reader| reader.client() == client)
    }

    pub(super) fn set(&mut self, path: &Path, cursor: Cursor) {
        self.files.insert(path.to_string_lossy().into_owned(), cursor);
        self.is_changed = true;
    }

    /// Forgets files of the client below the roots that are not among `present`: clients remove old logs. Their calls stay in the ledger.
    pub(super) fn forget_missing(&mut self, client: Client, roots: &[PathBuf], present: &[PathBuf]) {
        let present: HashSet<_> = present.iter().map(|path| path.to_string_lossy()).collect();
        let before = self.files.len();
        let is_below = |path: &str| roots.iter().any(|root| Path::new(path).starts_with(root));
        self.files.retain(|path, cursor| present.contains(&**path) || cursor.reader.client() != client || !is_below(path));
        self.is_changed |= self.files.len() != before;
    }

    pub(super) fn fault_is_new(&mut self, path: &Path, reason: &str) -> bool {
        self.faults.insert(path.to_owned(), reason.to_owned()).as_deref() != Some(reason)
    }

    pub(super) fn fault_is_over(&mut self, path: &Path) {
        self.faults.remove(path);
    }
}

/// What file it was, and how it stood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Device and inode; zero where the system has none, so that only the tail tells.
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified_ns: u64,
}

impl Place {
    pub(super) fn of(metadata: &Metadata) -> Place {
        #[cfg(unix)]
        let (device, inode) = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let (device, inode) = (0, 0);
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        Place { device, inode, size_bytes: metadata.len(), modified_ns: u64::try_from(modified.as_nanos()).unwrap_or(u64::MAX) }
    }
}

impl Place {
    pub(super) fn same_file(&self, other: &Place) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// The place of a file that has another one beside it, with whose changes it changes.
    pub(super) fn with(self, beside: &Place) -> Place {
        let size_bytes = self.size_bytes.wrapping_add(beside.size_bytes);
        Place { size_bytes, modified_ns: self.modified_ns.max(beside.modified_ns), ..self }
    }
}

/// How far one file was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Cursor {
    pub(super) place: Place,
    /// The end of the last whole line that was read; of a database, its last row.
    pub(super) offset: u64,
    /// Of the last [`TAIL_BYTES`] before `offset`.
    tail_hash: u64,
    pub(super) reader_version: u32,
    pub(super) reader: Reader,
}

impl Cursor {
    /// A cursor in an open file, whose own position stays where it is.
    pub(super) fn at(offset: u64, file: &mut (impl Read + Seek), place: Place, reader_version: u32, reader: &Reader) -> io::Result<Cursor> {
        let position = file.stream_position()?;
        let tail_hash = tail_hash(file, offset)?;
        file.seek(SeekFrom::Start(position))?;
        Ok(Cursor { place, offset, tail_hash, reader_version, reader: reader.clone() })
    }

    /// A cursor after bytes that were read: the last [`TAIL_BYTES`] before `offset`.
    pub(super) fn after(tail: &[u8], offset: u64, place: Place, reader_version: u32, reader: &Reader) -> Cursor {
        Cursor { place, offset, tail_hash: hash(tail), reader_version, reader: reader.clone() }
    }

    /// A cursor in a database, whose rows have numbers.
    pub(super) fn of_database(last_row: u64, place: Place, reader_version: u32, reader: &Reader) -> Cursor {
        Cursor { place, offset: last_row, tail_hash: 0, reader_version, reader: reader.clone() }
    }

    /// The same cursor of a file of which more is known to come.
    pub(super) fn unfinished(mut self) -> Cursor {
        self.place.modified_ns = 0;
        self
    }

    /// Whether what was read is still how the file begins. If not, the file was rewritten and is to be read whole: nothing is lost and
    /// nothing counted twice, since calls are known by their keys.
    pub(super) fn still_fits(&self, place: &Place, file: &mut (impl Read + Seek)) -> io::Result<bool> {
        Ok((self.place.device, self.place.inode) == (place.device, place.inode)
            && self.offset <= place.size_bytes
            && self.tail_hash == tail_hash(file, self.offset)?)
    }
}

fn tail_hash(file: &mut (impl Read + Seek), offset: u64) -> io::Result<u64> {
    let from = offset.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(offset - from).read_to_end(&mut tail)?;
    Ok(hash(&tail))
}

fn hash(tail: &[u8]) -> u64 {
    let digest = Sha256::digest(tail);
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back_and_nobody_else_may_read_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cursors.json");
        assert!(Cursors::load(&path).expect("none yet").files.is_empty());
        let mut cursors = Cursors::default();
        let log = folder.path().join("a.jsonl");
        std::fs::write(&log, "one\ntwo").expect("a file");
        let mut file = std::fs::File::open(&log).expect("a file");
        let place = Place::of(&file.metadata().expect("metadata"));
        let cursor = Cursor::at(4, &mut file, place, 1, &Client::ClaudeCode.reader()).expect("a cursor");
        cursors.set(&log, cursor);
        cursors.are_in_log(Seq(7));
        cursors.save(&path).expect("saved");
        let back = Cursors::load(&path).expect("loaded");
        assert_eq!(back.get(&log).map(|cursor| (cursor.offset, cursor.place)), Some((4, place)));
        assert!(back.for_log(Seq(6)).files.is_empty(), "a log that lost what these were kept with");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().expect("metadata").permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "{\"format\":1,\"files\":").expect("damage");
        assert!(Cursors::load(&path).expect("loaded").files.is_empty());
    }
}
