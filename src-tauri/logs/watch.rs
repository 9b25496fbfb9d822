//! Notices that logs changed, within two seconds and without looking while nothing does.
//!
//! Of a folder that is not there yet, the nearest folder above it that is there is watched, so that a client that is used for the first time
//! is read at once. All clients share one watcher for that.

use super::{
    Client,
    places::{DEPTH_MAX, Folder, log_folders, log_of},
    walk,
};
use crate::{attribution::kind_of_mount, regular::Stop};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long changes are gathered before they are told; a client writes a reply in many small pieces.
const GATHER: Duration = Duration::from_millis(500);
/// How often everything is looked at, whether or not a change was noticed: the system may drop notices, some file systems send none,
/// and folders come into being.
const RESCAN: Duration = Duration::from_secs(300);
/// How often everything is looked at where a file system sends no notices: that of another machine, or of the Windows around this Linux.
const POLL: Duration = Duration::from_secs(30);
/// Such file systems, by the names that the kernel gives them.
const SILENT: [&str; 9] = ["9p", "drvfs", "virtiofs", "nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse.rclone"];
/// How long a watch that is dropped may take to end, and how often it is looked whether it has.
const STOP_WAIT: Duration = Duration::from_secs(1);
const STOP_STEP: Duration = Duration::from_millis(5);
/// How many changed files are told one by one; beyond that everything is to be looked at.
const CHANGED_MAX: usize = 4096;
/// How many notices may wait. More are dropped, and everything is looked at instead.
const NOTICES_MAX: usize = 4096;

/// How many folders above missing ones are watched.
const PARENTS_MAX: usize = 256;
/// How often folders that come into being one in another are followed before the next notice is awaited.
const STEPS_MAX: usize = 32;

/// What is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These files, with [`super::import_files`].
    Files(Vec<PathBuf>),
    /// Everything below the roots, with [`super::import`]. Told once at the beginning.
    All,
}

/// A watch over a client's logs. It ends when this is dropped, which waits a second at most: a file system that does not answer can hold
/// the thread for longer, and then it is left behind.
#[derive(Debug)]
pub struct Watch {
    notices: SyncSender<Notice>,
    /// Ends the reading of what changed.
    reading: Stop,
    asked: OnceLock<Instant>,
    thread: Option<JoinHandle<()>>,
}

enum Notice {
    Changed(notify::Result<Event>),
    /// A folder came into being that logs may lie in.
    Arrived,
    Stop,
}

/// Watches the client's logs below the roots, on a thread of its own, on which `told` is called too.
pub fn watch(
    client: Client,
    roots: Vec<PathBuf>,
    arrivals: &Arrivals,
    told: impl FnMut(Change) + Send + 'static,
) -> std::io::Result<Watch> {
    watch_every(RESCAN, client, roots, arrivals, told)
}

fn watch_every(
    rescan: Duration,
    client: Client,
    roots: Vec<PathBuf>,
    arrivals: &Arrivals,
    told: impl FnMut(Change) + Send + 'static,
) -> std::io::Result<Watch> {
    let arrivals = arrivals.clone();
    let (notices, inbox) = sync_channel(NOTICES_MAX);
    let watched_to = Notices { sender: notices.clone(), overflowed: Arc::default() };
    let thread = std::thread::Builder::new().name("log-watch".into()).spawn(move || {
        let watched = BTreeSet::new();
        Loop { client, roots, watcher: None, watched, polls: false, told, rescan, notices: watched_to, arrivals }.run(&inbox);
    })?;
    Ok(Watch { notices, reading: Stop::default(), asked: OnceLock::new(), thread: Some(thread) })
}

impl Watch {
    /// The same watch; `reading` ends what its callback does.
    #[must_use]
    pub fn ending(self, reading: Stop) -> Watch {
        // `Watch` has a destructor, so its fields cannot be taken apart.
        let mut watch = self;
        watch.reading = reading;
        watch
    }

    /// Asks the watch to end, and does not wait. Ask all of them before dropping the first one.
    pub fn ask_to_stop(&self) {
        self.asked.get_or_init(Instant::now);
        self.reading.ask();
        // A full inbox is seen to be over by the flag.
        let _ = self.notices.try_send(Notice::Stop);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ask_to_stop();
        let until = *self.asked.get_or_init(Instant::now) + STOP_WAIT;
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() && Instant::now() < until {
            let _ = self.notices.try_send(Notice::Stop);
            std::thread::sleep(STOP_STEP);
        }
        if thread.is_finished() {
            let _ = thread.join();
        }
    }
}

struct Loop<F> {
    client: Client,
    roots: Vec<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    /// The folders that the watcher was given.
    watched: BTreeSet<PathBuf>,
    /// One lies where nothing is noticed.
    polls: bool,
    told: F,
    rescan: Duration,
    notices: Notices,
    arrivals: Arrivals,
}

#[derive(Default)]
struct Changed {
    files: BTreeSet<PathBuf>,
    folders: Vec<PathBuf>,
    all: bool,
    /// A folder may have come or gone that is to be watched.
    arrived: bool,
}

impl<F: FnMut(Change)> Loop<F> {
    fn run(mut self, inbox: &Receiver<Notice>) {
        // First the watch, then the look: what is written in between is seen by both rather than by none.
        self.watch_new_folders();
        (self.told)(Change::All);
        let mut rescan_at = Instant::now() + self.wait();
        loop {
            match inbox.recv_timeout(rescan_at.saturating_duration_since(Instant::now())) {
                Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    self.watch_new_folders();
                    (self.told)(Change::All);
                    rescan_at = Instant::now() + self.wait();
                }
                Ok(first @ (Notice::Changed(_) | Notice::Arrived)) => {
                    let mut changed = Changed::default();
                    self.take(first, &mut changed);
                    let until = Instant::now() + GATHER;
                    loop {
                        match inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                            Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                            Ok(notice @ (Notice::Changed(_) | Notice::Arrived)) => self.take(notice, &mut changed),
                            Err(RecvTimeoutError::Timeout) => break,
                        }
                    }
                    self.tell(changed);
                }
            }
        }
    }

    fn wait(&self) -> Duration {
        if self.polls { self.rescan.min(POLL) } else { self.rescan }
    }

    fn take(&self, notice: Notice, changed: &mut Changed) {
        match notice {
            Notice::Changed(event) => self.note(event, changed),
            Notice::Arrived => changed.arrived = true,
            Notice::Stop => {}
        }
    }

    fn note(&self, event: notify::Result<Event>, changed: &mut Changed) {
        match event {
            Err(_) => changed.all = true,
            Ok(event) => {
                changed.all |= event.need_rescan() || changed.files.len() > CHANGED_MAX || changed.folders.len() > CHANGED_MAX;
                if changed.all {
                    return;
                }
                let is_gone = event.kind.is_remove() || event.kind.is_modify();
                for path in event.paths {
                    // Watched no longer, or a list of folders that now names others.
                    let is_gone = is_gone && self.watched.contains(&path) && !path.is_dir();
                    changed.arrived |= is_gone || path.file_name().is_some_and(|name| name == "projects.json");
                    if path.is_dir() {
                        changed.folders.push(path);
                    } else if let Some(log) = log_of(self.client, &path) {
                        changed.files.insert(log);
                    }
                }
            }
        }
    }

    fn tell(&mut self, mut changed: Changed) {
        if changed.all || self.notices.overflowed.swap(false, Ordering::Relaxed) {
            return (self.told)(Change::All);
        }
        if changed.arrived {
            let fresh = self.watch_new_folders();
            changed.files.extend(walk::files_below(self.client, fresh).0);
        }
        // A new folder may have got files before the system watched it.
        if !changed.folders.is_empty() {
            let folders = std::mem::take(&mut changed.folders).into_iter().map(|path| Folder { path, depth_max: DEPTH_MAX });
            changed.files.extend(walk::files_below(self.client, folders.collect()).0);
        }
        if !changed.files.is_empty() {
            (self.told)(Change::Files(changed.files.into_iter().collect()));
        }
    }

    /// Watches the folders of logs that are there, and for those that are not. Returns those that were not watched before.
    fn watch_new_folders(&mut self) -> Vec<Folder> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut fresh = Vec::new();
        for _ in 0..STEPS_MAX {
            let (new, missing) = self.watch_present(&mounts);
            let is_over = new.is_empty();
            fresh.extend(new);
            self.arrivals.expect(&self.notices, missing.clone(), &mounts);
            // What came into being before its parent was watched is seen now.
            if is_over && !missing.iter().any(|folder| folder.is_dir()) {
                break;
            }
        }
        fresh
    }

    /// Watches the folders that are there. Returns those that were not watched before, and those that are not there.
    fn watch_present(&mut self, mounts: &str) -> (Vec<Folder>, Vec<PathBuf>) {
        let (mut fresh, mut missing) = (Vec::new(), Vec::new());
        self.polls = false;
        for folder in self.roots.iter().flat_map(|root| log_folders(self.client, root)) {
            if !folder.path.is_dir() {
                // Gone: forget it, so that it is watched anew when it comes back.
                if self.watched.remove(&folder.path)
                    && let Some(watcher) = &mut self.watcher
                {
                    let _ = watcher.unwatch(&folder.path);
                }
                missing.push(folder.path);
            } else if is_silent(mounts, &folder.path) {
                self.polls = true;
            } else if !self.watched.contains(&folder.path) {
                // Made when there is something to watch: most clients are not there, and the system gives few watchers.
                // Without one (its limit is reached) the rescan still finds everything, later.
                if self.watcher.is_none() {
                    self.watcher = self.notices.watcher().ok();
                }
                let mode = if folder.depth_max > 0 { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
                if self.watcher.as_mut().is_some_and(|watcher| watcher.watch(&folder.path, mode).is_ok()) {
                    self.watched.insert(folder.path.clone());
                    fresh.push(folder);
                }
            }
        }
        (fresh, missing)
    }
}

/// Watches the folders above missing ones, for all clients together.
#[derive(Clone, Default)]
pub struct Arrivals(Arc<Inner>);

impl std::fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrivals").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Inner {
    /// The watcher and the folders that it was given. Its own thread never takes this lock: it waits for that thread while it is held.
    watcher: Mutex<(Option<RecommendedWatcher>, BTreeSet<PathBuf>)>,
    awaited: Arc<Mutex<Awaited>>,
}

/// The missing folders of each client's loop, by the place of its inbox's mark.
#[derive(Default)]
struct Awaited(HashMap<usize, AwaitedFolders>);

/// Whether the loop lives, the way to wake it, and the folders.
type AwaitedFolders = (Weak<AtomicBool>, SyncSender<Notice>, Vec<PathBuf>);

impl Awaited {
    /// Wakes the loops of those whose missing folder is this one, or lies in it.
    fn wake(&mut self, path: &Path) {
        self.0.retain(|_, (alive, _, _)| alive.strong_count() > 0);
        for (alive, sender, missing) in self.0.values() {
            let is_awaited = missing.iter().any(|folder| folder.starts_with(path));
            if is_awaited && sender.try_send(Notice::Arrived).is_err() {
                // A full inbox is read, and then everything is looked at.
                alive.upgrade().into_iter().for_each(|overflowed| overflowed.store(true, Ordering::Relaxed));
            }
        }
    }
}

impl Arrivals {
    /// Wakes a loop when one of the missing folders, or one above it, comes into being.
    fn expect(&self, notices: &Notices, missing: Vec<PathBuf>, mounts: &str) {
        let present = |folder: &PathBuf| folder.ancestors().skip(1).find(|above| above.is_dir()).map(Path::to_owned);
        let parents: BTreeSet<PathBuf> = missing.iter().filter_map(present).filter(|parent| !is_silent(mounts, parent)).collect();
        let key = Arc::as_ptr(&notices.overflowed) as usize;
        let entry = (Arc::downgrade(&notices.overflowed), notices.sender.clone(), missing);
        self.0.awaited.lock().expect("nobody panics while holding it").0.insert(key, entry);
        let mut held = self.0.watcher.lock().expect("nobody panics while holding it");
        let (watcher, watched) = &mut *held;
        // A folder that is gone is no longer watched.
        watched.retain(|folder| folder.is_dir());
        for parent in parents {
            if watched.len() >= PARENTS_MAX || watched.contains(&parent) {
                continue;
            }
            if watcher.is_none() {
                *watcher = self.watcher().ok();
            }
            // Without one the rescan finds the folder, later.
            if watcher.as_mut().is_some_and(|watcher| watcher.watch(&parent, RecursiveMode::NonRecursive).is_ok()) {
                watched.insert(parent);
            }
        }
    }

    fn watcher(&self) -> notify::Result<RecommendedWatcher> {
        let awaited = self.0.awaited.clone();
        notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            // A folder is made, or moved here.
            if event.kind.is_create() || matches!(event.kind, notify::EventKind::Modify(notify::event::ModifyKind::Name(_))) {
                let mut awaited = awaited.lock().expect("nobody panics while holding it");
                event.paths.iter().for_each(|path| awaited.wake(path));
            }
        })
    }
}

/// Whether a folder lies on a file system that sends no notices, by the table of mounts.
fn is_silent(mounts: &str, folder: &Path) -> bool {
    kind_of_mount(mounts, folder).is_some_and(|kind| SILENT.contains(&kind))
}

/// Where a watcher puts what it notices.
struct Notices {
    sender: SyncSender<Notice>,
    /// A notice was dropped.
    overflowed: Arc<AtomicBool>,
}

impl Notices {
    fn watcher(&self) -> notify::Result<RecommendedWatcher> {
        let (sender, overflowed) = (self.sender.clone(), self.overflowed.clone());
        notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.as_ref().is_ok_and(|event| event.kind.is_access()) {
                return;
            }
            // A full inbox will be read, and then this is seen.
            if sender.try_send(Notice::Changed(event)).is_err() {
                overflowed.store(true, Ordering::Relaxed);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn folders_of_other_machines_and_of_windows_are_polled() {
        let mounts = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            90 22 0:40 / /mnt/c rw,noatime - 9p C:\\134 rw,aname=drvfs\n\
            91 22 0:41 / /home/me/far\\040away rw - nfs4 server:/x rw\n\
            92 91 8:2 / /home/me/far\\040away/near rw - ext4 /dev/sdb1 rw\n";
        let silent = |folder: &str| is_silent(mounts, Path::new(folder));
        assert!(silent("/mnt/c/Users/me/.claude/projects") && silent("/home/me/far away/logs"));
        assert!(!silent("/home/me/.claude/projects") && !silent("/mnt/cd") && !silent("/home/me/far away/near/x"));
        assert!(!is_silent("", Path::new("/home")));
    }

    #[test]
    fn a_changed_log_is_told_within_two_seconds_and_reading_it_is_no_change() {
        let root = tempfile::tempdir().expect("a folder");
        let slug = root.path().join("projects/slug");
        fs::create_dir_all(&slug).expect("folders");
        let (send, told) = mpsc::channel();
        let watch =
            watch(Client::ClaudeCode, vec![root.path().to_owned()], &Arrivals::default(), move |change| send.send(change).expect("heard"))
                .expect("a thread");
        let within = |limit| told.recv_timeout(Duration::from_millis(limit));
        assert_eq!(within(2000), Ok(Change::All), "the beginning");
        fs::write(slug.join("a.jsonl"), "{}\n").expect("written");
        assert_eq!(within(2000), Ok(Change::Files(vec![slug.join("a.jsonl")])));
        // A new folder, and a file that is there before it can be watched.
        let deep = slug.join("session/subagents");
        fs::create_dir_all(&deep).expect("folders");
        fs::write(deep.join("agent-1.jsonl"), "{}\n").expect("written");
        assert_eq!(within(2000), Ok(Change::Files(vec![deep.join("agent-1.jsonl")])));
        fs::read(slug.join("a.jsonl")).expect("read");
        fs::write(slug.join("notes.txt"), "x").expect("written");
        assert_eq!(within(1200), Err(mpsc::RecvTimeoutError::Timeout));
        drop(watch);
        assert_eq!(told.recv(), Err(mpsc::RecvError), "the thread is gone and the callback with it");
    }

    #[test]
    fn a_client_first_used_later_is_read_within_a_second() {
        let home = tempfile::tempdir().expect("a folder");
        let arrivals = Arrivals::default();
        let (send, told) = mpsc::channel();
        let watches: Vec<Watch> = [(Client::ClaudeCode, ".claude"), (Client::Codex, ".codex"), (Client::OpenCode, ".local/share/opencode")]
            .into_iter()
            .map(|(client, root)| {
                let send = send.clone();
                watch(client, vec![home.path().join(root)], &arrivals, move |change| send.send((client, change)).expect("heard"))
                    .expect("a thread")
            })
            .collect();
        for _ in &watches {
            assert_eq!(told.recv_timeout(Duration::from_secs(2)).expect("the beginning").1, Change::All);
        }
        let write = |path: &str| {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(&path, "{}\n").expect("written");
            path
        };
        for (client, path) in [
            (Client::Codex, ".codex/sessions/2026/01/12/rollout-a.jsonl"),
            (Client::OpenCode, ".local/share/opencode/opencode.db"),
            (Client::ClaudeCode, ".claude/projects/slug/a.jsonl"),
        ] {
            let path = write(path);
            assert_eq!(told.recv_timeout(Duration::from_millis(1000)), Ok((client, Change::Files(vec![path]))));
        }
        // What is of no client wakes none.
        write(".bash_history");
        assert!(told.recv_timeout(Duration::from_millis(700)).is_err());
        // Removed and made again.
        fs::remove_dir_all(home.path().join(".claude")).expect("removed");
        std::thread::sleep(Duration::from_millis(800));
        let again = write(".claude/projects/other/b.jsonl");
        let changes = std::iter::from_fn(|| told.recv_timeout(Duration::from_millis(1000)).ok());
        assert!(changes.take(8).any(|(client, change)| client == Client::ClaudeCode && change == Change::Files(vec![again.clone()])));
        let held = arrivals.0.watcher.lock().expect("not poisoned");
        assert!(held.1.len() <= PARENTS_MAX, "{:?}", held.1);
    }
}
