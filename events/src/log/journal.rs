//! The journal: JSON lines in zstd frames, one file per month. `zstdcat 2026-11.jsonl.zst | jq` reads it.
//!
//! It is the copy that is trusted: what it was given is on the disk when it returns, what it has is never changed, and what it cannot
//! read it reports. A damaged frame costs its own lines and no others.

mod frame;
mod line;
mod lines;
mod mend;
mod said;
mod scan;
mod tail;
mod tidy;

use super::{at::At, make_private_folder, private_options};
use crate::{Seq, Timestamp};
use frame::Note;
use lines::Stretch;
use scan::{Piece, Scan};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use frame::{Batch, Encoder};
pub(crate) use line::{Line, LineRef};
pub(crate) use lines::Lines;
pub(super) use mend::{Gap, Mended};
#[allow(unused_imports, reason = "the log begins to tidy with its next revision")]
pub use tidy::{Tidied, Tidy};

const SUFFIX: &str = ".jsonl.zst";
/// How many frames are hopped over backwards before reading from the front is cheaper.
const HOPS_MAX: usize = 1 << 16;

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refused.
    #[error("cannot use the journal {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes inside are no lines, or lines are missing. Reading goes on behind them.
    #[error("the journal {path} is damaged at byte {offset}: {} ({reason})", lost(*.after, *.next))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// The newest entry before the damage.
        after: Seq,
        /// The first entry behind it; `None` where there is none.
        next: Option<Seq>,
        /// What is wrong.
        reason: String,
    },
    /// A sound line that this program does not understand.
    #[error("entry {} in the journal {path} was written by a later tollbar ({reason})", seq.0)]
    Later {
        /// The file.
        path: PathBuf,
        /// The entry.
        seq: Seq,
        /// What is not understood.
        reason: String,
    },
    /// An entry that could not be read back.
    #[error("entry {} has {bytes} bytes, more than a line of the journal may have", seq.0)]
    TooLong {
        /// The entry.
        seq: Seq,
        /// Its length as a line.
        bytes: usize,
    },
}

/// Which entries a damaged place has cost.
fn lost(after: Seq, next: Option<Seq>) -> String {
    match next.map(|next| next.0.saturating_sub(1)) {
        None => format!("what came after entry {} cannot be read", after.0),
        Some(last) if last <= after.0 => "no entry is lost".into(),
        Some(last) if last == after.0 + 1 => format!("entry {last} cannot be read"),
        Some(last) => format!("entries {} to {last} cannot be read", after.0 + 1),
    }
}

impl JournalError {
    // Kinds of errors are the system's, and more may come.
    #[allow(clippy::wildcard_enum_match_arm)]
    pub(super) fn hint(&self) -> String {
        match self {
            JournalError::Io { path, source } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    format!("make room on the disk that holds {}; nothing that was acknowledged is lost", path.display())
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    format!("the disk that holds {} is mounted for reading only; mount it for writing", path.display())
                }
                _ => format!("check that {} belongs to you and can be written", path.display()),
            },
            JournalError::Damaged { path, .. } => {
                format!("put {} back from a backup to have the entries again; all others are read", path.display())
            }
            JournalError::Later { .. } => "install the newest tollbar; this one does not know all that the journal says".into(),
            JournalError::TooLong { .. } => "shorten the names of the call; nothing of its batch was written".into(),
        }
    }
}

/// The month's file that is being written.
#[derive(Clone)]
struct Current {
    month: String,
    file: Arc<File>,
    bytes: u64,
    /// How much of it was made of large frames by [`Tidy`], as far as we know.
    tidy_bytes: u64,
}

/// The journal of this device, open for appending. A clone is for reading, by any thread: it has the lines of that instant, whatever is
/// appended or tidied since.
#[derive(Clone)]
pub(super) struct Journal {
    folder: PathBuf,
    /// The newest month, once there is one.
    current: Option<Current>,
    closed_bytes: u64,
    last: Seq,
    /// How many files were replaced by others with the same lines since it was opened.
    swaps: u64,
}

impl Journal {
    /// Opens the journal, cutting a torn end off its newest file. Reads no more than that file's end.
    pub(super) fn open(folder: &Path, mended: &mut Vec<String>) -> Result<Journal, JournalError> {
        make_private_folder(folder)
            .map_err(|error| JournalError::Io { path: folder.to_owned(), source: io::Error::other(error.to_string()) })?;
        tidy::remove_left_over(folder)?;
        let mut journal = Journal { folder: folder.to_owned(), current: None, closed_bytes: 0, last: Seq(0), swaps: 0 };
        let mut months = months(folder)?;
        while let Some(month) = months.pop() {
            let path = journal.path(&month);
            let (tail, file) = tail::mend(&path, mended)?;
            if let Some(last) = tail.last {
                journal.current = Some(Current { month, file: Arc::new(file), bytes: tail.bytes, tidy_bytes: 0 });
                journal.last = last;
                break;
            }
        }
        for month in months {
            journal.closed_bytes += fs::metadata(journal.path(&month)).map(|file| file.len()).unwrap_or(0);
        }
        Ok(journal)
    }

    /// The newest entry that is on the disk.
    pub(super) fn last(&self) -> Seq {
        self.last
    }

    /// The bytes of all months.
    pub(super) fn bytes(&self) -> u64 {
        self.closed_bytes + self.current.as_ref().map_or(0, |current| current.bytes)
    }

    /// Appends a batch and waits until the disk has it. On an error the file is as it was before.
    pub(super) fn append(&mut self, batch: &Batch, now: Timestamp) -> Result<(), JournalError> {
        assert!(batch.first > self.last, "entries are numbered in order");
        self.turn_to(&now.month_name())?;
        self.restore_removed()?;
        let path = self.current.as_ref().map_or_else(|| self.folder.clone(), |current| self.path(&current.month));
        let Some(Current { file, bytes, .. }) = &mut self.current else { return Ok(()) };
        let io = |source| JournalError::Io { path, source };
        let write = |mut file: &File| {
            // What a failed append left behind, if it could not be taken back then, must not stand before this one.
            if file.metadata()?.len() != *bytes {
                file.set_len(*bytes)?;
            }
            file.write_all(&batch.bytes)?;
            file.sync_data()
        };
        if let Err(source) = write(file) {
            let _ = file.set_len(*bytes);
            return Err(io(source));
        }
        *bytes += batch.bytes();
        self.last = batch.last;
        Ok(())
    }

    /// Every line whose entry comes after `after`, oldest first, with damage where it stands.
    ///
    /// What is appended or tidied later does not disturb it: it reads as much of the month's file as was written by now, and of older months
    /// what lies under their name, which are the same lines before and after tidying.
    pub(super) fn lines_after(&self, after: Seq) -> Result<Lines, JournalError> {
        let mut stretches = Vec::new();
        if let Some(current) = self.current.as_ref().filter(|_| self.last > after) {
            for month in months(&self.folder)?.into_iter().rev().skip_while(|month| *month > current.month) {
                let (stretch, reaches) = if month == current.month {
                    stretch(self.path(&month), At::beginning(current.file.clone()), current.bytes, after)?
                } else {
                    stretch_of_file(self.path(&month), after)?
                };
                stretches.push(stretch);
                if reaches {
                    break;
                }
            }
        }
        stretches.reverse();
        Ok(Lines::new(stretches, after, self.last))
    }

    /// Every line of a journal that is not ours, oldest first, with damage where it stands. Changes nothing.
    pub(super) fn read_folder(folder: &Path) -> Result<Lines, JournalError> {
        let stretches = months(folder)?
            .into_iter()
            .map(|month| stretch_of_file(folder.join(format!("{month}{SUFFIX}")), Seq(0)).map(|(stretch, _)| stretch))
            .collect::<Result<_, _>>()?;
        Ok(Lines::new(stretches, Seq(0), Seq(0)))
    }

    /// Writes the month's file again if somebody removed it: it is open, so that nothing of it is lost yet.
    fn restore_removed(&mut self) -> Result<(), JournalError> {
        let Some(current) = &self.current else { return Ok(()) };
        let path = self.path(&current.month);
        let io = |source| JournalError::Io { path: path.clone(), source };
        if !is_removed(&current.file).map_err(io)? {
            return Ok(());
        }
        make_private_folder(&self.folder).map_err(|error| io(io::Error::other(error.to_string())))?;
        let new_path = path.with_extension("zst.mend");
        let write = || {
            let mut new = private_options().read(true).write(true).create(true).truncate(true).open(&new_path)?;
            io::copy(&mut io::Read::take(At::beginning(current.file.clone()), current.bytes), &mut new)?;
            new.sync_all()?;
            fs::rename(&new_path, &path)?;
            private_options().append(true).read(true).open(&path)
        };
        let file = write().map_err(io)?;
        if let Some(current) = &mut self.current {
            current.file = Arc::new(file);
        }
        self.swaps += 1;
        sync_folder(&self.folder)
    }

    /// Makes the month's file the current one. A clock that was set back does not reopen an older month, so that files stay in order.
    fn turn_to(&mut self, month: &str) -> Result<(), JournalError> {
        if self.current.as_ref().is_some_and(|current| current.month.as_str() >= month) {
            return Ok(());
        }
        let path = self.path(month);
        let io = |source| JournalError::Io { path: path.clone(), source };
        let file = private_options().append(true).read(true).create(true).open(&path).map_err(io)?;
        sync_folder(&self.folder)?;
        let bytes = file.metadata().map_err(io)?.len();
        self.closed_bytes = self.bytes();
        self.current = Some(Current { month: month.to_owned(), file: Arc::new(file), bytes, tidy_bytes: 0 });
        Ok(())
    }

    fn path(&self, month: &str) -> PathBuf {
        self.folder.join(format!("{month}{SUFFIX}"))
    }
}

/// The months that have a file, oldest first.
fn months(folder: &Path) -> Result<Vec<String>, JournalError> {
    let io = |source| JournalError::Io { path: folder.to_owned(), source };
    let mut months = Vec::new();
    for file in fs::read_dir(folder).map_err(io)? {
        let name = file.map_err(io)?.file_name();
        if let Some(month) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).filter(|month| is_month(month)) {
            months.push(month.to_owned());
        }
    }
    months.sort();
    Ok(months)
}

/// Whether a name is one that [`Timestamp::month_name`] gives. Whatever else lies in the folder is somebody's, and no part of the journal.
fn is_month(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.rsplit_once('-').is_some_and(|(year, month)| {
        let year = year.strip_prefix(['+', '-']).unwrap_or(year);
        is_number(year) && year.len() >= 4 && month.len() == 2 && is_number(month)
    })
}

/// The files that hold a journal's lines, oldest first.
pub(super) fn month_files(folder: &Path) -> Result<Vec<PathBuf>, JournalError> {
    Ok(months(folder)?.into_iter().map(|month| folder.join(format!("{month}{SUFFIX}"))).collect())
}

/// A new name must outlast a power cut as well as the bytes behind it.
fn sync_folder(folder: &Path) -> Result<(), JournalError> {
    File::open(folder).and_then(|open| open.sync_all()).map_err(|source| JournalError::Io { path: folder.to_owned(), source })
}

/// Whether a file that is open has no name any more.
#[cfg(unix)]
fn is_removed(file: &File) -> io::Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::nlink(&file.metadata()?) == 0)
}

/// Other systems do not remove a file that is open.
#[cfg(not(unix))]
fn is_removed(_file: &File) -> io::Result<bool> {
    Ok(false)
}

/// The part of a whole file that holds the lines after `after`, and whether no older file holds any.
fn stretch_of_file(path: PathBuf, after: Seq) -> Result<(Stretch, bool), JournalError> {
    let file = File::open(&path).map_err(|source| JournalError::Io { path: path.clone(), source })?;
    stretch(path, At::beginning(Arc::new(file)), u64::MAX, after)
}

/// The same of the first `bytes` of a file.
fn stretch(path: PathBuf, mut file: At, bytes: u64, after: Seq) -> Result<(Stretch, bool), JournalError> {
    let mut find = || {
        let until = file.file_bytes()?.min(bytes);
        let mut end = until;
        let mut from = None;
        for _ in 0..HOPS_MAX {
            // From the first line on there is nothing to hop over; a file without notes is read from its front.
            let Some(note) = Note::before(&mut file, end)?.filter(|_| after > Seq(0)) else { break };
            end -= note.span_bytes();
            if note.first <= after.next() {
                from = Some(end);
                break;
            }
        }
        let reaches = from.is_some() || first_seq(file.clone(), until)?.is_some_and(|first| first <= after.next());
        Ok((from.unwrap_or(0), until, reaches))
    };
    match find() {
        Ok((from, until, reaches)) => Ok((Stretch { path, file, from, until }, reaches)),
        Err(source) => Err(JournalError::Io { path, source }),
    }
}

/// The first entry of a file, if its first frame is whole.
fn first_seq(file: At, until: u64) -> io::Result<Option<Seq>> {
    Ok(match Scan::new(file, 0, until)?.next()? {
        Some(Piece::Noted { note, .. }) => Some(note.first),
        Some(Piece::Bare { text, .. }) => text.lines().next().and_then(|line| line::read_line(line).ok()).map(|line| line.entry.seq),
        Some(Piece::Damage { .. }) | None => None,
    })
}

/// For the fuzzers: reads any bytes as a note, a frame and a line.
pub(super) fn read_any(bytes: &[u8]) {
    let _ = Note::read(bytes);
    let _ = frame::Decoder::new().text(bytes);
    if let Ok(Ok(line)) = std::str::from_utf8(bytes).map(line::read_line) {
        let _ = line.said();
    }
}

#[cfg(test)]
mod tests;
