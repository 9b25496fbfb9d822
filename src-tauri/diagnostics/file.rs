//! The log file: private, and two of it at most, the one that is written and the one before it.

use crate::clock;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// A file that would become larger is moved to the second name. Both together take twice that at most.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The log file, opened when there is something to write. A file that cannot be written costs its lines only.
pub(super) struct LogFile {
    path: PathBuf,
    file: Option<File>,
}

impl LogFile {
    pub(super) fn new(path: PathBuf) -> LogFile {
        LogFile { path, file: None }
    }

    /// Writes a line with its time and this process.
    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{} [{}] {line}\n", clock::now(), std::process::id());
        let mut file = match self.file.take() {
            Some(file) if is_at(&file, &self.path) => file,
            // It was moved or removed: by another process of this home, or by hand.
            Some(_) | None => open(&self.path)?,
        };
        if file.metadata()?.len() + line.len() as u64 > FILE_BYTES_MAX {
            file = self.rotated()?;
        }
        match file.write_all(line.as_bytes()) {
            // A limit of this user's on the size of files is below ours.
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                file = self.rotated()?;
                file.write_all(line.as_bytes())?;
            }
            written => written?,
        }
        self.file = Some(file);
        Ok(())
    }

    /// Moves the file to the second name, and begins another one.
    fn rotated(&self) -> io::Result<File> {
        fs::rename(&self.path, second(&self.path))?;
        open(&self.path)
    }
}

fn second(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// Opens the file for appending, for its owner only.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    if let Some(folder) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(folder)?;
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("the log file is no file")) }
}

/// Whether the path still leads to this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let place = |found: fs::Metadata| (found.dev(), found.ino());
    let (held, named) = (file.metadata().map(place), fs::metadata(path).map(place));
    held.is_ok_and(|held| named.is_ok_and(|named| held == named))
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_file_that_grows_is_rotated_and_stays_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state/engine.log");
        let mut log = LogFile::new(path.clone());
        let line = "x".repeat(4000);
        for _ in 0..1000 {
            log.write(&line).expect("written");
        }
        let length = |path: &Path| fs::metadata(path).expect("it is there").len();
        assert!(length(&path) <= FILE_BYTES_MAX && length(&second(&path)) <= FILE_BYTES_MAX);
        assert_eq!(fs::read_dir(path.parent().expect("a folder")).expect("read").count(), 2);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        }
        fs::remove_file(&path).expect("removed");
        log.write("again").expect("written");
        assert!(fs::read_to_string(&path).expect("read").ends_with("again\n"));
    }

    #[test]
    fn log_file_that_cannot_be_opened_is_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        fs::write(&state, "").expect("a file where the folder should be");
        let mut log = LogFile::new(state.join("engine.log"));
        assert!(log.write("lost").is_err());
        fs::remove_file(&state).expect("removed");
        log.write("kept").expect("written");
    }
}
