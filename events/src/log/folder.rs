//! The folder of a log: made for its owner only, held by one process, and nothing in it ever deleted without need.

use super::LogError;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

/// Takes the lock of a log. It is held for as long as the file is open; the system lets go of it even if we are killed.
pub(super) fn take_lock(folder: &Path) -> Result<File, LogError> {
    let path = folder.join("lock");
    let io = |source| LogError::Io { path: path.clone(), source };
    // A lock that may only be read can be held as well.
    let opened = private_options().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.or_else(|error| File::open(&path).map_err(|_| error)).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The number is a courtesy to the reader; a file that cannot be read says nothing.
            let _ = io::Read::take(&file, 20).read_to_string(&mut pid);
            let pid = if pid.trim().is_empty() { "unknown".into() } else { pid.trim().to_owned() };
            return Err(LogError::Held { folder: folder.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    // Without room for the number the log is held all the same.
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
    Ok(file)
}

/// Moves a folder to a free name beside it, so that nothing is ever deleted.
pub(super) fn set_aside(folder: &Path) -> Result<PathBuf, LogError> {
    let mut aside = folder.with_extension("broken");
    let mut number = 1;
    while aside.exists() {
        number += 1;
        aside = folder.with_extension(format!("broken-{number}"));
    }
    fs::rename(folder, &aside).map_err(|source| LogError::Io { path: folder.to_owned(), source })?;
    Ok(aside)
}

pub(super) fn make_private_folder(folder: &Path) -> Result<(), LogError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|source| LogError::Io { path: folder.to_owned(), source })
}

pub(super) fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Writes a file whole or not at all: to another name, then renamed, so that a crash leaves the old one or the new one.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = private_options().write(true).create(true).truncate(true).open(&fresh)?;
    file.write_all(bytes).and_then(|()| file.sync_all())?;
    fs::rename(&fresh, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes names in a folder outlast a power cut.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Windows has no such thing, and needs none.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// The bytes of all files in a folder and below; what cannot be read counts nothing.
pub(super) fn bytes_below(folder: &Path) -> u64 {
    let Ok(files) = fs::read_dir(folder) else { return 0 };
    files
        .flatten()
        .map(|file| match file.metadata() {
            Ok(found) if found.is_dir() => bytes_below(&file.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}
