//! Where logs lie.

use super::Client;
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

/// How deep below a root logs are looked for.
const DEPTH_MAX: usize = 16;
/// How many files one walk finds at most.
const FILES_MAX: usize = 1_000_000;

/// The folders in which a client keeps its things, by the environment: those its own variable names, else the usual ones.
/// Whether they exist is not asked.
///
/// Claude Code: `CLAUDE_CONFIG_DIR`, a comma list, else `$XDG_CONFIG_HOME/claude` (`~/.config/claude`) and `~/.claude`
/// (log-formats 1, "Roots"). A variable of spaces is unset.
pub fn usual_roots(client: Client, env: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let set = |name: &str| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let home = set("HOME").or_else(|| set("USERPROFILE")).map(PathBuf::from);
    match client {
        Client::ClaudeCode => match set("CLAUDE_CONFIG_DIR") {
            Some(list) => list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(PathBuf::from).collect(),
            None => {
                let config = set("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(".config")));
                config.map(|config| config.join("claude")).into_iter().chain(home.map(|home| home.join(".claude"))).collect()
            }
        },
    }
}

/// The folders below a root in which the logs lie: what is walked, and what is watched. They need not exist.
pub(super) fn log_folders(client: Client, root: &Path) -> Vec<PathBuf> {
    match client {
        // Some name the folder `projects` itself.
        Client::ClaudeCode if root.ends_with("projects") && !root.join("projects").is_dir() => vec![root.to_owned()],
        Client::ClaudeCode => vec![root.join("projects"), root.join("transcripts")],
    }
}

/// Whether a file of this name can be a log.
pub(super) fn is_log(client: Client, path: &Path) -> bool {
    match client {
        // `journal.jsonl` is the workflows' own book, of no calls.
        Client::ClaudeCode => path.extension().is_some_and(|ending| ending == "jsonl") && !path.ends_with("journal.jsonl"),
    }
}

/// The client's log files below the roots, in the order of their names; each folder once, however many roots and links lead to it.
pub fn files(client: Client, roots: &[PathBuf]) -> Vec<PathBuf> {
    files_and_faults(client, roots).0
}

/// The same, with the folders that cannot be read, and why.
pub(super) fn files_and_faults(client: Client, roots: &[PathBuf]) -> (Vec<PathBuf>, Vec<(PathBuf, String)>) {
    let folders = roots.iter().flat_map(|root| log_folders(client, root)).collect::<Vec<_>>();
    files_below(client, folders)
}

pub(super) fn files_below(client: Client, folders: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<(PathBuf, String)>) {
    let (mut files, mut faults) = (Vec::new(), Vec::new());
    let mut visited = HashSet::new();
    let mut open: Vec<(PathBuf, usize)> = folders.into_iter().map(|folder| (folder, 0)).collect();
    while let Some((folder, depth)) = open.pop() {
        // By its true path, so that links that lead in a circle end.
        match fs::canonicalize(&folder) {
            Ok(canonical) => {
                if !visited.insert(canonical) {
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
            let kind = match entry.file_type() {
                Ok(kind) if kind.is_symlink() => fs::metadata(&path).map(|followed| followed.file_type()),
                kind => kind,
            };
            let Ok(kind) = kind else { continue };
            if kind.is_dir() && depth < DEPTH_MAX {
                open.push((path, depth + 1));
            } else if kind.is_file() && is_log(client, &path) && files.len() < FILES_MAX {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    (files, faults)
}

fn fault(faults: &mut Vec<(PathBuf, String)>, folder: PathBuf, error: &io::Error) {
    // A client that is not there has no logs.
    if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
        faults.push((folder, format!("cannot read the folder: {error}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(vars: &[(&str, &str)]) -> Vec<String> {
        let env = |name: &str| vars.iter().find(|(var, _)| *var == name).map(|(_, value)| (*value).to_owned());
        usual_roots(Client::ClaudeCode, &env).into_iter().map(|root| root.display().to_string()).collect()
    }

    #[test]
    fn roots_are_those_of_the_variable_else_the_usual_two() {
        assert_eq!(roots(&[("HOME", "/h"), ("CLAUDE_CONFIG_DIR", "/a, /b,")]), ["/a", "/b"]);
        assert_eq!(roots(&[("HOME", "/h"), ("CLAUDE_CONFIG_DIR", "  ")]), ["/h/.config/claude", "/h/.claude"]);
        assert_eq!(roots(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]), ["/x/claude", "/h/.claude"]);
        assert!(roots(&[]).is_empty());
    }

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
        assert_eq!(names, ["agent-1.jsonl", "agent-2.jsonl", "session.jsonl"]);
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
        assert_eq!(files(Client::ClaudeCode, &[root.path().to_owned()]).len(), 1);
    }
}
