//! Looks into working folders without being held up by them.
//!
//! A folder may lie on a file system that never answers. Each look runs on a thread of its own and is given up after a while;
//! the thread is left behind and ends when the file system answers.

use std::{
    collections::HashMap,
    path::{Component, Path},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    time::{Duration, Instant},
};

/// How long one look into a folder may take.
const LOOK_WAIT: Duration = Duration::from_secs(1);
/// How long a folder that did not answer is left alone.
const STALLED_FOR: Duration = Duration::from_secs(60);
/// How many folders that did not answer are remembered; beyond that all are forgotten.
const STALLED_MAX: usize = 256;
/// How many threads may be left behind. While there are so many, no folder is looked into.
const LEFT_BEHIND_MAX: usize = 4;
/// The stack of such a thread.
const STACK_BYTES: usize = 256 << 10;

/// Looks into folders, each for a limited time.
#[derive(Debug, Default)]
pub(super) struct Visits {
    left_behind: Arc<AtomicUsize>,
    stalled: HashMap<String, Instant>,
    /// The folders that did not answer and were not reported yet.
    unreported: Vec<String>,
}

impl Visits {
    /// What `look` finds; `None` if the folder does not answer in time, or did not a moment ago.
    pub(super) fn look<T: Send + 'static>(&mut self, folder: &str, look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        if self.stalled.get(folder).is_some_and(|since| since.elapsed() < STALLED_FOR)
            || self.left_behind.load(Ordering::Relaxed) >= LEFT_BEHIND_MAX
        {
            return None;
        }
        let (give, found) = sync_channel(1);
        let left_behind = self.left_behind.clone();
        left_behind.fetch_add(1, Ordering::Relaxed);
        let run = move || {
            // Nobody waits for it any more where this fails.
            let _ = give.send(look());
            left_behind.fetch_sub(1, Ordering::Relaxed);
        };
        if std::thread::Builder::new().name("tollbar-folder".into()).stack_size(STACK_BYTES).spawn(run).is_err() {
            self.left_behind.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        match found.recv_timeout(LOOK_WAIT) {
            Ok(found) => {
                self.stalled.remove(folder);
                Some(found)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                if self.stalled.len() >= STALLED_MAX {
                    self.stalled.clear();
                }
                if self.stalled.insert(folder.to_owned(), Instant::now()).is_none() && self.unreported.len() < STALLED_MAX {
                    self.unreported.push(folder.to_owned());
                }
                None
            }
        }
    }

    /// The folders that did not answer since this was last asked.
    pub(super) fn take_stalled(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unreported)
    }
}

/// Whether a folder, named by a log or a `.git` file, may be looked into: an absolute path on this machine.
///
/// A path of another machine (`//host/share`, `\\host\share`, `/net/host`, a place where autofs would mount something) is never
/// visited: looking would open a connection to a host that whoever wrote the log has chosen, on some systems with the user's credentials.
pub(crate) fn may_be_visited(folder: &Path) -> bool {
    let Some(text) = folder.to_str() else { return false };
    let is_share = matches!(text.as_bytes(), [b'/' | b'\\', b'/' | b'\\', ..]);
    if is_share || !folder.is_absolute() {
        return false;
    }
    let straight = super::straight(folder);
    let first = straight.components().find_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
    });
    !matches!(first, Some("net" | "afs" | "proc" | "Network")) && !is_automounted(&straight)
}

/// Whether looking at a path would mount something.
#[cfg(target_os = "linux")]
fn is_automounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    kind_of_mount(&mounts, path).is_some_and(|kind| kind == "autofs")
}

#[cfg(not(target_os = "linux"))]
fn is_automounted(_path: &Path) -> bool {
    false
}

/// The kind of file system that a path lies on, by the table of mounts (proc_pid_mountinfo(5)): fields apart by spaces, the fifth the
/// mount point, and after a dash the kind.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there is no such table"))]
pub(crate) fn kind_of_mount<'m>(mounts: &'m str, path: &Path) -> Option<&'m str> {
    let mount = |line: &'m str| {
        let (place, kind) = line.split_once(" - ")?;
        let place = place.split(' ').nth(4)?;
        let place: std::borrow::Cow<'_, str> = if place.contains('\\') { place.replace("\\040", " ").into() } else { place.into() };
        path.starts_with(&*place).then(|| (place.len(), kind.split(' ').next().unwrap_or_default()))
    };
    // Of those that are mounted at one place, the last hides the others.
    mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_paths_are_never_visited() {
        for path in [
            "//host/share/x",
            "\\\\host\\share",
            "/\\host/x",
            "/net/host/x",
            "/home/../net/x",
            "/afs/cell",
            "/proc/1/root",
            "",
            "x",
            "../x",
        ] {
            assert!(!may_be_visited(Path::new(path)), "{path}");
        }
        assert!(may_be_visited(Path::new("/home/me/net")) && may_be_visited(Path::new("/network")));
    }

    #[test]
    fn autofs_is_seen_by_the_innermost_mount() {
        let mounts = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
            90 22 0:40 / /home rw - autofs auto.home rw\n\
            91 90 0:41 / /home/me\\040too rw - nfs4 server:/x rw\n";
        let kind = |path: &str| kind_of_mount(mounts, Path::new(path));
        assert_eq!((kind("/srv"), kind("/home/other/x"), kind("/home/me too/x")), (Some("ext4"), Some("autofs"), Some("nfs4")));
    }

    #[test]
    fn folder_that_does_not_answer_is_given_up_and_left_alone() {
        let mut visits = Visits::default();
        let (release, held) = sync_channel::<()>(0);
        let begun = Instant::now();
        assert_eq!(visits.look("/hung", move || held.recv().is_ok()), None);
        assert_eq!(visits.look("/hung", || true), None, "at once");
        assert!(begun.elapsed() < LOOK_WAIT * 2, "{:?}", begun.elapsed());
        assert_eq!(visits.look("/well", || true), Some(true));
        assert_eq!((visits.take_stalled(), visits.take_stalled()), (vec!["/hung".to_owned()], Vec::new()));
        drop(release);
    }
}
