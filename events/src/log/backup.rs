//! A copy of the journals of a log, from which a log can be opened again.
//!
//! The log may be in use: all files are opened first, as they stand at one instant, and copied from there, however they are packed or
//! replaced meanwhile. What was written is read back. A copy that fails leaves nothing behind.

use super::{
    LogError,
    folder::{make_private_folder, private_options, sync_folder, take_lock},
    journal::{Journal, JournalError, month_files},
    retention,
    upkeep::devices,
};
use crate::Seq;
use sha2::{Digest as _, Sha256};
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The folder within the target in which a copy is made. What a copy that was killed left there is removed by the next one.
const UNFINISHED: &str = "backup.unfinished";
/// How often the files are opened again if the log is being put in order at that instant.
const OPENINGS_MAX: u32 = 50;
const COPY_BYTES: usize = 1 << 16;

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// The bytes of all files.
    pub bytes: u64,
    /// The entries that were read back.
    pub entries: u64,
    /// Where the journal is damaged, and so the copy.
    pub damage: Vec<String>,
}

/// Copies the journals of a log into a folder that is new or empty, and reads back what it wrote.
///
/// `pause` is called between attempts to see the log at rest, while another process puts it in order.
pub fn backup(log_folder: &Path, into: &Path, pause: &dyn Fn()) -> Result<Backup, LogError> {
    let unfinished = into.join(UNFINISHED);
    let is_ours = |file: io::Result<fs::DirEntry>| file.is_ok_and(|file| file.file_name() == UNFINISHED);
    if fs::read_dir(into).is_ok_and(|mut files| !files.all(is_ours)) {
        return Err(io_error(into)(io::Error::new(io::ErrorKind::AlreadyExists, "it is not empty")));
    }
    let was_there = into.exists();
    super::recover::remove_folder(&unfinished)?;
    let files = open_at_rest(log_folder, pause)?;
    let copied = copy(files, &unfinished).and_then(|done| {
        let journal = into.join("journal");
        fs::rename(unfinished.join("journal"), &journal).map_err(io_error(&journal))?;
        sync_folder(into).map_err(io_error(into))?;
        Ok(done)
    });
    // On success it is empty; after a fault nothing shall stand in the way of the next copy.
    let _ = fs::remove_dir_all(&unfinished);
    if copied.is_err() && !was_there {
        let _ = fs::remove_dir(into);
    }
    copied
}

/// A file of a journal, open.
struct Source {
    device: String,
    name: OsString,
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// Opens every file of every journal, at an instant at which no file is being replaced.
fn open_at_rest(log_folder: &Path, pause: &dyn Fn()) -> Result<Vec<Source>, LogError> {
    // Held while the files are opened, where no process has the log.
    let lock = take_lock(log_folder);
    if lock.is_ok() && retention::is_unfinished(log_folder) {
        retention::finish(log_folder)?;
    }
    for _ in 0..OPENINGS_MAX {
        if !retention::is_unfinished(log_folder)
            && let Ok(before) = listing(log_folder)
            && let Ok(files) = open_all(log_folder)
            && listing(log_folder).is_ok_and(|after| after == before)
            && !retention::is_unfinished(log_folder)
            && !files.is_empty()
        {
            return Ok(files);
        }
        pause();
    }
    match open_all(log_folder) {
        Ok(files) if files.is_empty() => {
            Err(io_error(&log_folder.join("journal"))(io::Error::new(io::ErrorKind::NotFound, "there is no journal")))
        }
        Ok(_) => Err(io_error(log_folder)(io::Error::new(io::ErrorKind::ResourceBusy, "the log is being put in order by another process"))),
        Err(error) => Err(error),
    }
}

/// A file of the journal, its length and time of creation where the system knows them.
type Listed = (PathBuf, Option<u64>, Option<SystemTime>);

/// What tells the files of one instant from those of another: a file that was replaced was created at another time.
fn listing(log_folder: &Path) -> Result<Vec<Listed>, LogError> {
    let mut files = Vec::new();
    for (_, folder) in devices(log_folder).map_err(io_error(log_folder))? {
        for path in month_files(&folder)? {
            let found = fs::metadata(&path).map_err(io_error(&path))?;
            files.push((path, inode(&found), found.created().ok()));
        }
    }
    Ok(files)
}

#[cfg(unix)]
fn inode(file: &fs::Metadata) -> Option<u64> {
    Some(std::os::unix::fs::MetadataExt::ino(file))
}

#[cfg(not(unix))]
fn inode(_file: &fs::Metadata) -> Option<u64> {
    None
}

fn open_all(log_folder: &Path) -> Result<Vec<Source>, LogError> {
    let mut files = Vec::new();
    for (device, folder) in devices(log_folder).map_err(io_error(log_folder))? {
        for path in month_files(&folder)? {
            let file = File::open(&path).map_err(io_error(&path))?;
            let bytes = file.metadata().map_err(io_error(&path))?.len();
            let name = path.file_name().unwrap_or_default().to_owned();
            files.push(Source { device: device.clone(), name, path, file, bytes });
        }
    }
    Ok(files)
}

/// Writes the files below a folder and reads them back.
fn copy(files: Vec<Source>, into: &Path) -> Result<Backup, LogError> {
    let mut done = Backup::default();
    let mut folders: Vec<PathBuf> = Vec::new();
    for Source { device, name, path, file, bytes } in files {
        let folder = into.join("journal").join(device);
        if folders.last() != Some(&folder) {
            make_private_folder(&folder)?;
            folders.push(folder.clone());
        }
        let copy_path = folder.join(name);
        let mut copy = private_options().write(true).create_new(true).open(&copy_path).map_err(io_error(&copy_path))?;
        let written = digested(&mut file.take(bytes), &path, |piece| copy.write_all(piece).map_err(io_error(&copy_path)))?;
        copy.sync_all().map_err(io_error(&copy_path))?;
        let mut again = File::open(&copy_path).map_err(io_error(&copy_path))?;
        if digested(&mut again, &copy_path, |_| Ok(()))? != written {
            return Err(io_error(&copy_path)(io::Error::other("it does not read back as it was written")));
        }
    }
    for folder in folders {
        // Half an append at the end, of a log in use, was not acknowledged.
        let journal = Journal::open(&folder, &mut Vec::new())?;
        done.bytes += journal.bytes();
        remove_torn(&folder).map_err(io_error(&folder))?;
        let mut last = Seq(0);
        for line in journal.lines_after(Seq(0))? {
            match line {
                Ok(line) => (done.entries, last) = (done.entries + 1, line.entry.seq),
                Err(error @ (JournalError::Damaged { .. } | JournalError::Later { .. })) => done.damage.push(error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
        debug_assert!(last <= journal.last());
        sync_folder(&folder).map_err(io_error(&folder))?;
    }
    Ok(done)
}

/// Reads all of a source, hands it on in pieces, and digests it.
fn digested(source: &mut impl Read, path: &Path, mut take: impl FnMut(&[u8]) -> Result<(), LogError>) -> Result<[u8; 32], LogError> {
    let mut digest = Sha256::new();
    let mut piece = vec![0; COPY_BYTES];
    loop {
        match source.read(&mut piece).map_err(io_error(path))? {
            0 => return Ok(digest.finalize().into()),
            read => {
                digest.update(&piece[..read]);
                take(&piece[..read])?;
            }
        }
    }
}

fn remove_torn(folder: &Path) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|end| end == "torn") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> LogError + use<> {
    let path = path.to_owned();
    move |source| LogError::Io { path: path.clone(), source }
}
