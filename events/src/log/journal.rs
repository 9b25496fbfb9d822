//! The journal: JSON lines, one zstd frame per batch, one file per month. `zstdcat 2026-11.jsonl.zst | jq` reads it.

use super::{make_private_folder, private_options};
use crate::{Entry, Seq, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use zstd::zstd_safe;

const SUFFIX: &str = ".jsonl.zst";
/// Small batches gain nothing from a higher level; months that are over may be recompressed.
const LEVEL: i32 = 3;
/// A line longer than this is not ours: the greatest entry holds two usages and one usage object.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// One line of the journal: an entry, and what the provider said in its own words.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Line {
    #[serde(flatten)]
    pub(super) entry: Entry,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) said: Option<crate::Said>,
}

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
    /// A line inside is no entry.
    #[error("the journal {path} is damaged after entry {after}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The newest entry before the damage.
        after: u64,
        /// What is wrong.
        reason: String,
    },
}

impl JournalError {
    pub(super) fn hint(&self) -> String {
        match self {
            JournalError::Io { path, source } if source.kind() == io::ErrorKind::StorageFull => {
                format!("make room on the disk that holds {}; nothing that was acknowledged is lost", path.display())
            }
            JournalError::Io { path, .. } => format!("check that {} belongs to you and can be written", path.display()),
            JournalError::Damaged { path, .. } => {
                format!("put {} back from a backup, or move it aside to go on without its entries", path.display())
            }
        }
    }
}

/// The journal of this device, open for appending.
pub(super) struct Journal {
    folder: PathBuf,
    /// The newest month's file and its name, once there is one.
    current: Option<(String, File)>,
    current_bytes: u64,
    closed_bytes: u64,
    last: Seq,
}

impl Journal {
    /// Opens the journal, cutting a torn end off its newest file.
    pub(super) fn open(folder: &Path, mended: &mut Vec<String>) -> Result<Journal, JournalError> {
        make_private_folder(folder)
            .map_err(|error| JournalError::Io { path: folder.to_owned(), source: io::Error::other(error.to_string()) })?;
        let mut journal = Journal { folder: folder.to_owned(), current: None, current_bytes: 0, closed_bytes: 0, last: Seq(0) };
        let mut months = journal.months()?;
        while let Some(month) = months.pop() {
            let path = journal.path(&month);
            let io = |source| JournalError::Io { path: path.clone(), source };
            let (whole_bytes, last) = whole_frames(&fs::read(&path).map_err(io)?);
            let mut file = private_options().read(true).write(true).open(&path).map_err(io)?;
            let bytes = file.metadata().map_err(io)?.len();
            if whole_bytes < bytes {
                cut_tail(&mut file, &path, whole_bytes).map_err(io)?;
                mended.push(format!(
                    "the journal {} ended in {} torn bytes; they were cut off and kept in {}",
                    path.display(),
                    bytes - whole_bytes,
                    torn_path(&path).display()
                ));
            }
            if let Some(last) = last {
                file.seek(SeekFrom::End(0)).map_err(io)?;
                journal.current = Some((month, file));
                journal.current_bytes = whole_bytes;
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
        self.closed_bytes + self.current_bytes
    }

    /// Appends one frame and waits until the disk has it. On an error the file is as it was before.
    pub(super) fn append(&mut self, lines: &[Line], now: Timestamp) -> Result<(), JournalError> {
        let Some(last) = lines.last() else { return Ok(()) };
        let frame = frame(lines);
        self.turn_to(&now.month_name())?;
        let before = self.current_bytes;
        let Some((month, file)) = &mut self.current else { return Ok(()) };
        let path = self.folder.join(format!("{month}{SUFFIX}"));
        if let Err(source) = file.write_all(&frame).and_then(|()| file.sync_data()) {
            // Half a frame must not stay in front of the next one. If even this fails, opening will cut it.
            let _ = file.set_len(before).and_then(|()| file.seek(SeekFrom::End(0)).map(drop));
            return Err(JournalError::Io { path, source });
        }
        self.current_bytes += frame.len() as u64;
        self.last = last.entry.seq;
        Ok(())
    }

    /// Every line whose entry comes after `after`, oldest first.
    pub(super) fn lines_after(&self, after: Seq) -> Result<impl Iterator<Item = Result<Line, JournalError>> + use<>, JournalError> {
        let mut paths = Vec::new();
        if self.last > after {
            for month in self.months()?.into_iter().rev() {
                let path = self.path(&month);
                let first = read_lines(&path)?.next().transpose()?;
                paths.push(path);
                // Older months end before this one begins.
                if first.is_some_and(|line| line.entry.seq <= after.next()) {
                    break;
                }
            }
        }
        paths.reverse();
        let mut files = paths.into_iter();
        let mut open: Option<Lines> = None;
        Ok(std::iter::from_fn(move || {
            loop {
                match open.as_mut().and_then(Iterator::next) {
                    Some(Ok(line)) if line.entry.seq <= after => {}
                    Some(line) => return Some(line),
                    None => match read_lines(&files.next()?) {
                        Ok(lines) => open = Some(lines),
                        Err(error) => return Some(Err(error)),
                    },
                }
            }
        }))
    }

    /// Makes the month's file the current one. A clock that was set back does not reopen an older month, so that files stay in order.
    fn turn_to(&mut self, month: &str) -> Result<(), JournalError> {
        if self.current.as_ref().is_some_and(|(current, _)| current.as_str() >= month) {
            return Ok(());
        }
        let path = self.path(month);
        let io = |source| JournalError::Io { path: path.clone(), source };
        let file = private_options().append(true).read(true).create(true).open(&path).map_err(io)?;
        // A new name must outlast a power cut as well as the bytes behind it.
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        self.closed_bytes += self.current_bytes;
        self.current_bytes = file.metadata().map_err(io)?.len();
        self.current = Some((month.to_owned(), file));
        Ok(())
    }

    fn path(&self, month: &str) -> PathBuf {
        self.folder.join(format!("{month}{SUFFIX}"))
    }

    /// The months that have a file, oldest first.
    fn months(&self) -> Result<Vec<String>, JournalError> {
        let io = |source| JournalError::Io { path: self.folder.clone(), source };
        let mut months = Vec::new();
        for file in fs::read_dir(&self.folder).map_err(io)? {
            let name = file.map_err(io)?.file_name();
            if let Some(month) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) {
                months.push(month.to_owned());
            }
        }
        months.sort();
        Ok(months)
    }
}

/// A batch as one checksummed zstd frame of JSON lines.
fn frame(lines: &[Line]) -> Vec<u8> {
    let mut text = Vec::with_capacity(lines.len() * 512);
    for line in lines {
        serde_json::to_writer(&mut text, line).expect("a line holds only what JSON can hold, and memory takes it");
        text.push(b'\n');
    }
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL).expect("the level is one that zstd knows");
    encoder.include_checksum(true).expect("a fresh encoder takes its parameters");
    encoder.write_all(&text).and_then(|()| encoder.finish()).expect("writing to memory does not fail")
}

/// How many bytes of a file are whole frames, and the last entry in them.
///
/// Frames before the last one were read back by their length only: their checksums are tried when they are replayed.
fn whole_frames(bytes: &[u8]) -> (u64, Option<Seq>) {
    let mut ends = vec![0];
    while let Some(rest) = bytes.get(*ends.last().unwrap_or(&0)..).filter(|rest| !rest.is_empty()) {
        match zstd_safe::find_frame_compressed_size(rest) {
            Ok(size) if size > 0 && size <= rest.len() => ends.push(ends.last().unwrap_or(&0) + size),
            Ok(_) | Err(_) => break,
        }
    }
    // A power cut can leave the right length with the wrong bytes: only a frame that decodes is whole.
    while let [.., start, end] = ends[..] {
        let last = Lines::new(Box::new(io::Cursor::new(bytes[start..end].to_vec())), PathBuf::new()).and_then(Iterator::last);
        if let Some(Ok(line)) = last {
            return (end as u64, Some(line.entry.seq));
        }
        ends.pop();
    }
    (0, None)
}

fn torn_path(path: &Path) -> PathBuf {
    path.with_extension("torn")
}

/// Keeps what lies behind `whole_bytes` in a file of its own and cuts it off.
fn cut_tail(file: &mut File, path: &Path, whole_bytes: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(whole_bytes))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let mut torn = private_options().append(true).create(true).open(torn_path(path))?;
    torn.write_all(&tail)?;
    torn.sync_all()?;
    file.set_len(whole_bytes)?;
    file.sync_all()
}

fn read_lines(path: &Path) -> Result<Lines, JournalError> {
    let file = File::open(path).map_err(|source| JournalError::Io { path: path.to_owned(), source })?;
    Lines::new(Box::new(file), path.to_owned()).ok_or_else(|| JournalError::Damaged {
        path: path.to_owned(),
        after: 0,
        reason: "zstd cannot be started".into(),
    })
}

/// The lines of one file, frame after frame.
struct Lines {
    text: BufReader<zstd::Decoder<'static, BufReader<Box<dyn Read + Send>>>>,
    path: PathBuf,
    after: u64,
    failed: bool,
}

impl Lines {
    fn new(bytes: Box<dyn Read + Send>, path: PathBuf) -> Option<Lines> {
        let text = BufReader::new(zstd::Decoder::new(bytes).ok()?);
        Some(Lines { text, path, after: 0, failed: false })
    }
}

impl Iterator for Lines {
    type Item = Result<Line, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let mut text = Vec::new();
        let read = self.text.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text);
        let line = match read {
            Ok(0) => return None,
            Ok(_) => serde_json::from_slice::<Line>(&text).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        Some(match line {
            Ok(line) => {
                self.after = line.entry.seq.0;
                Ok(line)
            }
            Err(reason) => {
                self.failed = true;
                Err(JournalError::Damaged { path: self.path.clone(), after: self.after, reason })
            }
        })
    }
}
