//! Recompression: the many small frames of live appends become few large ones.
//!
//! The work is done on a part of a file that nobody changes any more, into a file beside it, by a thread of the caller's choice.
//! The owner of the journal then puts the new file in the old one's place. A crash leaves one or the other.

use super::{
    Current, Journal, JournalError, SUFFIX,
    frame::{Decoder, Frame, NOTE_BYTES, Note, compressor},
    line::{LineFault, read_line},
    mend, months,
    scan::{Piece, Scan},
    sync_folder,
};
use crate::{Seq, log::private_options};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Measured on lifelike lines (`journal::measure`): the levels above cost several times more and save less than two bytes per event.
pub(super) const LEVEL: i32 = 9;
/// The text of one large frame. Larger ones save nothing that can be measured, and a reader holds a few of them at once.
const FRAME_TEXT_BYTES: usize = 4 << 20;
/// The month that is being written is tidied when so much of it is not.
const LOOSE_BYTES: u64 = 32 << 20;
const LEFT_OVER: &str = ".tidy";

/// A part of a file that is to be made smaller. Works on any thread.
#[derive(Debug)]
pub struct Tidy {
    path: PathBuf,
    until: u64,
    /// How many files were replaced in the journal before.
    swaps: u64,
}

/// The file that stands ready to take the old one's place.
#[derive(Debug)]
pub struct Tidied {
    path: PathBuf,
    new_path: PathBuf,
    swaps: u64,
    /// The part of the old file that it stands for.
    until: u64,
    bytes: u64,
}

impl Tidied {
    /// A file that was written anew in another way.
    pub(super) fn of(path: PathBuf, new_path: PathBuf, until: u64, bytes: u64) -> Tidied {
        Tidied { path, new_path, swaps: 0, until, bytes }
    }

    /// Removes the new file; what stays is removed at the next opening.
    pub(super) fn discard(&self) {
        let _ = fs::remove_file(&self.new_path);
    }

    /// The bytes that it takes where the old file took `.1`.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes, self.until)
    }
}

impl Tidy {
    /// What is worth tidying now: the oldest month that is over and was never tidied, or the present one when it has grown.
    pub(in crate::log) fn begin(journal: &Journal) -> Result<Option<Tidy>, JournalError> {
        let current = journal.current.as_ref();
        for month in months(&journal.folder)? {
            let path = journal.path(&month);
            if let Some(current) = current.filter(|current| current.month == month) {
                let is_worth_it = current.bytes - current.tidy_bytes > LOOSE_BYTES.max(current.tidy_bytes / 2);
                return Ok(is_worth_it.then_some(Tidy { path, until: current.bytes, swaps: journal.swaps }));
            }
            let is_tidy = |file: &mut File| {
                let until = file.metadata()?.len();
                Ok((Note::before(file, until)?.is_some_and(|note| note.append_bytes == 0), until))
            };
            let (is_tidy, until) = File::open(&path)
                .and_then(|mut file| is_tidy(&mut file))
                .map_err(|source| JournalError::Io { path: path.clone(), source })?;
            if !is_tidy && until > 0 {
                return Ok(Some(Tidy { path, until, swaps: journal.swaps }));
            }
        }
        Ok(None)
    }

    /// Any part of any file.
    #[cfg(test)]
    pub(super) fn of_test(path: PathBuf, until: u64) -> Tidy {
        Tidy { path, until, swaps: 0 }
    }

    /// Writes the new file and reads it back. A file with damage is left as it is: nothing is made of it that looks whole.
    pub fn run(self) -> Result<Tidied, JournalError> {
        let Tidy { path, until, swaps } = self;
        let new_path = left_over(&path);
        let io = |source| JournalError::Io { path: new_path.clone(), source };
        let old = File::open(&path).map_err(|source| JournalError::Io { path: path.clone(), source })?;
        let mut writer = Writer::new(private_options().read(true).write(true).create(true).truncate(true).open(&new_path).map_err(io)?);
        let old_digest = texts(&path, old, until, |text| writer.push(text).map_err(io))?;
        let (new, bytes) = writer.finish().map_err(io)?;
        let new_digest = texts(&new_path, new, bytes, |_| Ok(()))?;
        if old_digest != new_digest {
            return Err(io(io::Error::other("it does not read back as it was written")));
        }
        Ok(Tidied { path, new_path, swaps, until, bytes })
    }
}

impl Journal {
    /// Puts a tidied file in its place, with what was appended meanwhile behind it. One that was made before another file was replaced is
    /// thrown away.
    pub(in crate::log) fn finish(&mut self, tidied: Tidied) -> Result<(), JournalError> {
        if tidied.swaps != self.swaps {
            tidied.discard();
            return Ok(());
        }
        self.swap(tidied)
    }

    pub(super) fn swap(&mut self, tidied: Tidied) -> Result<(), JournalError> {
        let Tidied { path, new_path, until, bytes, swaps: _ } = tidied;
        let io = |source| JournalError::Io { path: new_path.clone(), source };
        let swap = || {
            let mut old = File::open(&path)?;
            old.seek(SeekFrom::Start(until))?;
            let mut new = private_options().read(true).append(true).open(&new_path)?;
            io::copy(&mut old, &mut new)?;
            new.sync_all()?;
            let old_bytes = old.metadata()?.len();
            fs::rename(&new_path, &path)?;
            Ok((old_bytes, new.metadata()?.len(), new))
        };
        let (old_bytes, new_bytes, file) = swap().map_err(io)?;
        self.swaps += 1;
        let is_current = |current: &&mut Current| path.file_name().is_some_and(|name| *name == *format!("{}{SUFFIX}", current.month));
        match self.current.as_mut().filter(is_current) {
            Some(current) => (current.file, current.bytes, current.tidy_bytes) = (Arc::new(file), new_bytes, bytes),
            None => self.closed_bytes = (self.closed_bytes + new_bytes).saturating_sub(old_bytes),
        }
        sync_folder(&self.folder)
    }
}

/// Removes what a tidying or mending that was broken off has left.
pub(super) fn remove_left_over(folder: &Path) -> Result<(), JournalError> {
    let io = |source| JournalError::Io { path: folder.to_owned(), source };
    for file in fs::read_dir(folder).map_err(io)? {
        let path = file.map_err(io)?.path();
        if mend::is_left_over(&path) || path.to_str().is_some_and(|path| path.ends_with(&format!("{SUFFIX}{LEFT_OVER}"))) {
            fs::remove_file(&path).map_err(io)?;
        }
    }
    Ok(())
}

fn left_over(path: &Path) -> PathBuf {
    path.with_extension(format!("zst{LEFT_OVER}"))
}

/// Hands on the text of every frame, and digests it.
fn texts(path: &Path, file: File, until: u64, mut take: impl FnMut(&str) -> Result<(), JournalError>) -> Result<[u8; 32], JournalError> {
    let io = |source| JournalError::Io { path: path.to_owned(), source };
    let mut scan = Scan::new(file, 0, until).map_err(io)?;
    let mut decoder = Decoder::new();
    let mut digest = Sha256::new();
    let mut after = Seq(0);
    while let Some(piece) = scan.next().map_err(io)? {
        let (offset, text, last) = match piece {
            Piece::Noted { offset, bytes, note } => (offset, decoder.text(&bytes), note.last),
            Piece::Bare { offset, text, .. } => (offset, Ok(text), after),
            Piece::Damage { offset, reason } => (offset, Err(reason), after),
        };
        let text = text.map_err(|reason| JournalError::Damaged { path: path.to_owned(), offset, after, next: None, reason })?;
        digest.update(&text);
        take(&text)?;
        after = last;
    }
    Ok(digest.finalize().into())
}

/// Gathers texts into large frames.
struct Writer {
    file: BufWriter<File>,
    text: String,
    bytes: u64,
}

impl Writer {
    fn new(file: File) -> Writer {
        Writer { file: BufWriter::new(file), text: String::new(), bytes: 0 }
    }

    fn push(&mut self, text: &str) -> io::Result<()> {
        for line in text.split_inclusive('\n') {
            self.text.push_str(line);
            if self.text.len() >= FRAME_TEXT_BYTES {
                self.write()?;
            }
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        let seq = |line: Option<&str>| match line.map(read_line) {
            Some(Ok(line)) => Ok(line.entry.seq),
            Some(Err(LineFault::Later { seq, .. })) => Ok(seq),
            Some(Err(LineFault::Damaged(reason))) => Err(io::Error::other(reason)),
            None => Err(io::Error::other("a frame without lines")),
        };
        let (first, last) = (seq(self.text.lines().next())?, seq(self.text.lines().next_back())?);
        let bytes = compressor(LEVEL).compress(self.text.as_bytes())?;
        let mut out = Vec::with_capacity(bytes.len() + NOTE_BYTES);
        Frame { bytes, first, last }.write(None, &mut out);
        self.bytes += out.len() as u64;
        self.text.clear();
        self.file.write_all(&out)
    }

    /// The file and its length, once the disk has it.
    fn finish(mut self) -> io::Result<(File, u64)> {
        if !self.text.is_empty() {
            self.write()?;
        }
        let file = self.file.into_inner()?;
        file.sync_all()?;
        Ok((file, self.bytes))
    }
}
