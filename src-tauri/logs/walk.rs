//! Finds logs.

use super::{
    Client,
    places::{Folder, form, log_folders},
};
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

/// How many files one walk finds at most.
const FILES_MAX: usize = 1_000_000;

/// The client's log files below the roots, in the order of their names; each folder once, however many roots and links lead to it.
pub fn files(client: Client, roots: &[PathBuf]) -> Vec<PathBuf> {
    find(client, roots).files
}

/// What was found of a client's logs.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// In the order of their names.
    pub(super) files: Vec<PathBuf>,
    /// The folders that cannot be read, and why.
    pub(super) faults: Vec<(PathBuf, String)>,
}

/// Finds the client's log files below the roots, as [`files`] does.
pub fn find(client: Client, roots: &[PathBuf]) -> Found {
    let folders = roots.iter().flat_map(|root| log_folders(client, root)).collect::<Vec<_>>();
    let (files, faults) = files_below(client, folders);
    Found { files, faults }
}

pub(super) fn files_below(client: Client, folders: Vec<Folder>) -> (Vec<PathBuf>, Vec<(PathBuf, String)>) {
    let (mut files, mut faults) = (Vec::new(), Vec::new());
    let mut visited = HashSet::new();
    let mut open: Vec<(PathBuf, usize, bool)> = folders.into_iter().map(|folder| (folder.path, folder.depth_max, true)).collect();
    while let Some((folder, depth_left, may_be_link)) = open.pop() {
        match identity(&folder) {
            Ok(identity) => {
                if may_be_link && leads_back(&folder) {
                    faults.push((folder, "a link that leads back to a folder above it, and is not followed again".to_owned()));
                    continue;
                }
                if !visited.insert(identity) {
                    continue;
                }
            }
            Err(error) => {
                fault(&mut faults, folder, &error);
                continue;
            }
        }
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                fault(&mut faults, folder, &error);
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            // The kind without a look at the file, but for links, which are followed.
            let kind = entry.file_type();
            let is_link = kind.as_ref().is_ok_and(|kind| kind.is_symlink());
            let kind = if is_link { fs::metadata(&path).map(|followed| followed.file_type()) } else { kind };
            let kind = match kind {
                Ok(kind) => kind,
                Err(error) => {
                    fault(&mut faults, path, &error);
                    continue;
                }
            };
            if kind.is_dir() && depth_left > 0 {
                open.push((path, depth_left - 1, is_link));
            } else if kind.is_file() && form(client, &path).is_some() && files.len() < FILES_MAX {
                files.push(path);
            } else if !kind.is_file() && !kind.is_dir() && form(client, &path).is_some() {
                faults.push((path, "a pipe, socket or device under the name of a log, and is not read".to_owned()));
            }
        }
    }
    // By their bytes: comparing part by part takes as long as finding them.
    files.sort_unstable_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
    (files, faults)
}

fn fault(faults: &mut Vec<(PathBuf, String)>, path: PathBuf, error: &io::Error) {
    // A client that is not there has no logs.
    if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
        faults.push((path, format!("cannot read: {error}")));
    }
}

/// Which folder it is, whatever leads to it, so that links that lead in a circle end.
#[cfg(unix)]
fn identity(folder: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(folder).map(|folder| (folder.dev(), folder.ino()))
}

/// Which folder it is, whatever leads to it, so that links that lead in a circle end.
#[cfg(not(unix))]
fn identity(folder: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(folder)
}

/// Whether a folder is a link to one of those that it lies in.
fn leads_back(folder: &Path) -> bool {
    let true_path = |path: &Path| fs::canonicalize(path).ok();
    let leads_back = || Some(true_path(folder.parent()?)?.starts_with(true_path(folder)?));
    folder.is_symlink() && leads_back().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subagents_and_nested_workflows_are_found_and_the_journal_is_not() {
        let root = tempfile::tempdir().expect("a folder");
        let flow = root.path().join("projects/slug/session/subagents/workflows/wf_1");
        fs::create_dir_all(&flow).expect("folders");
        for file in ["../../agent-1.jsonl", "agent-2.jsonl", "journal.jsonl", "agent-2.meta.json", "../../../../session.jsonl"] {
            fs::write(flow.join(file), "").expect("a file");
        }
        let found = files(Client::ClaudeCode, &[root.path().to_owned()]);
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["session.jsonl", "agent-1.jsonl", "agent-2.jsonl"]);
    }

    #[test]
    fn a_root_may_be_the_projects_folder_itself_and_is_read_once() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("projects/slug")).expect("folders");
        fs::write(root.path().join("projects/slug/a.jsonl"), "").expect("a file");
        let roots = [root.path().to_owned(), root.path().join("projects"), root.path().join("projects/../")];
        assert_eq!(files(Client::ClaudeCode, &roots).len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_circles_end() {
        let root = tempfile::tempdir().expect("a folder");
        let elsewhere = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("projects")).expect("folders");
        fs::write(elsewhere.path().join("a.jsonl"), "").expect("a file");
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join("projects/linked")).expect("a link");
        std::os::unix::fs::symlink(root.path(), elsewhere.path().join("circle")).expect("a link");
        std::os::unix::fs::symlink(".", root.path().join("projects/back")).expect("a link");
        std::os::unix::fs::symlink("two.jsonl", root.path().join("projects/one.jsonl")).expect("a link");
        std::os::unix::fs::symlink("one.jsonl", root.path().join("projects/two.jsonl")).expect("a link");
        let Found { files: found, faults } = find(Client::ClaudeCode, &[root.path().to_owned()]);
        let names = |paths: &[&PathBuf]| paths.iter().filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect::<Vec<_>>();
        assert_eq!(names(&found.iter().collect::<Vec<_>>()), ["a.jsonl"]);
        let mut told = names(&faults.iter().map(|(path, _)| path).collect::<Vec<_>>());
        told.sort();
        assert_eq!(told, ["back", "one.jsonl", "two.jsonl"], "{faults:?}");
    }
}
