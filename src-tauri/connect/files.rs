//! Settings files as a careful editor treats them: links are followed, owner, group and mode stay, and a file is written whole or not at all.

use crate::regular::read_text_bounded;
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// A settings file larger than this is not one.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// How many links are followed from one name.
const LINKS_MAX: usize = 40;

/// A file's text; `None` if there is no file. What is no regular file is refused, and nothing waits for it.
pub(super) fn read(file: &Path) -> io::Result<Option<String>> {
    match read_text_bounded(file, FILE_BYTES_MAX) {
        Ok(text) => Ok(Some(text)),
        // A name below something that is no folder names no file either.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The file that a name leads to, through every link. It need not exist.
pub(super) fn target(name: &Path) -> io::Result<PathBuf> {
    let mut file = name.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&file) {
            Ok(link) => file = file.parent().unwrap_or(Path::new("")).join(link),
            Err(_) => {
                let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { return Ok(file) };
                return Ok(fs::canonicalize(folder).map_or(file.clone(), |folder| folder.join(name)));
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("more than {LINKS_MAX} links lead on from {}", name.display())))
}

/// The folders that would have to be made for a file, the outermost first.
pub(super) fn missing_folders(file: &Path) -> Vec<PathBuf> {
    let missing = file.ancestors().skip(1).take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
    missing.reverse();
    missing
}

/// Writes a file whole or not at all. One that exists keeps its owner, group and mode; a new one is for its owner only.
pub(super) fn put(file: &Path, text: &str) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let existing = match fs::metadata(file) {
        Ok(facts) => Some(facts),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    if let Some(existing) = &existing {
        if !takes_place(new.as_file(), existing)? {
            return overwrite(file, text);
        }
        new.as_file().set_permissions(existing.permissions())?;
    }
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

/// Gives a new file the owner and group of an existing one; whether it can take that one's place.
#[cfg(unix)]
fn takes_place(new: &File, existing: &Metadata) -> io::Result<bool> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let facts = new.metadata()?;
    let same_owner = facts.uid() == existing.uid() && facts.gid() == existing.gid();
    // Its other names would keep the old text.
    let is_single = existing.nlink() == 1;
    Ok(is_single && (same_owner || fchown(new, Some(existing.uid()), Some(existing.gid())).is_ok()))
}

#[cfg(not(unix))]
fn takes_place(_: &File, _: &Metadata) -> io::Result<bool> {
    Ok(true)
}

/// Writes a file in its place.
fn overwrite(file: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(file)?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}
