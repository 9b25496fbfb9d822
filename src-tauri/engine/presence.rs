//! The running engine of a home, as a lock that it holds: who it is, whether or not it answers.
//!
//! A lock belongs to a living process, so a number that was given to another process since is not mistaken for the engine. What the
//! control API says of itself is not asked here.

use super::control::announced_pid;
use crate::config::Home;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// The number in a lock file has this width, so that it takes the place of an older one on a full disk too.
const PID_WIDTH: usize = 10;
/// How long the engine before this one may take to end.
const TAKE_WAIT: Duration = Duration::from_secs(4);
const TAKE_STEP: Duration = Duration::from_millis(50);

/// The lock of a running engine, held until this is dropped.
#[derive(Debug)]
pub(super) struct Presence {
    /// `None` where the folder takes no file: then nobody can see this engine here.
    _lock: Option<File>,
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Nobody,
    Process(u32),
    /// Somebody, and the number in the file is not theirs.
    Unknown,
}

impl Presence {
    /// Takes the lock of this home; an error names the engine that keeps it.
    pub(super) fn take(home: &Home) -> Result<Presence, Holder> {
        let path = lock_path(home);
        let Ok(mut file) = open(&path) else { return Ok(Presence { _lock: None }) };
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if begun.elapsed() < TAKE_WAIT => thread::sleep(TAKE_STEP),
                Err(TryLockError::WouldBlock) => return Err(holder(&path)),
                // A file system without locks.
                Err(TryLockError::Error(_)) => return Ok(Presence { _lock: None }),
            }
        }
        // Where it cannot be written, the lock is held all the same.
        let _ = file.rewind().and_then(|()| write!(file, "{:<PID_WIDTH$}", std::process::id()));
        Ok(Presence { _lock: Some(file) })
    }
}

/// The process of this home's engine, if one runs.
pub(super) fn engine_process(home: &Home) -> Option<u32> {
    match holder(&lock_path(home)) {
        Holder::Process(pid) => Some(pid),
        // An engine of an earlier program holds the log only. A command that holds it has announced nothing.
        Holder::Nobody | Holder::Unknown => match holder(&home.log().join("lock")) {
            Holder::Process(pid) if announced_pid(home) == Some(pid) => Some(pid),
            Holder::Process(_) | Holder::Nobody | Holder::Unknown => None,
        },
    }
}

/// The process that holds the lock of a file.
fn holder(path: &Path) -> Holder {
    let Ok(mut file) = File::open(path) else { return Holder::Nobody };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        Ok(()) | Err(TryLockError::Error(_)) => return Holder::Nobody,
    }
    let mut text = String::new();
    let _ = io::Read::take(&mut file, PID_WIDTH as u64).read_to_string(&mut text);
    let written = text.trim().parse::<u32>().ok();
    let found =
        written.filter(|pid| has_open(*pid, path) != Some(false)).or_else(|| processes().find(|pid| has_open(*pid, path) == Some(true)));
    found.map_or(Holder::Unknown, Holder::Process)
}

/// Whether a process has a file open; `None` where the system does not say.
fn has_open(pid: u32, path: &Path) -> Option<bool> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let path = fs::canonicalize(path).ok()?;
    match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(files) => Some(files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == path))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
        // Another user's.
        Err(_) => None,
    }
}

/// The numbers of all processes, where the system lists them.
fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn lock_path(home: &Home) -> PathBuf {
    home.state.join("engine.lock")
}

/// Opens the lock's file, made for its owner only. One that may only be read can be locked as well.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    if let Some(folder) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // The file is what counts.
        let _ = builder.recursive(true).create(folder);
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).or_else(|_| File::open(path))
}

/// A running process that was found by its lock, to be ended.
#[cfg(unix)]
pub(super) struct Process {
    pid: rustix::process::Pid,
    /// Leads to this very process, where the system has such a thing, and never to another one with its number.
    #[cfg(target_os = "linux")]
    handle: Option<std::os::fd::OwnedFd>,
}

#[cfg(unix)]
impl Process {
    /// The engine of this home, if `pid` is it.
    pub(super) fn engine(home: &Home, pid: u32) -> Option<Process> {
        let number = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
        #[cfg(target_os = "linux")]
        let handle = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty()).ok();
        // Asked once more: what the handle leads to holds the lock now.
        (engine_process(home) == Some(pid)).then_some(Process {
            pid: number,
            #[cfg(target_os = "linux")]
            handle,
        })
    }

    /// Asks it to end, also if it is stopped (SIGSTOP).
    pub(super) fn terminate(&self) -> io::Result<()> {
        self.send(rustix::process::Signal::TERM)?;
        self.send(rustix::process::Signal::CONT)
    }

    /// Ends it.
    pub(super) fn kill(&self) -> io::Result<()> {
        self.send(rustix::process::Signal::KILL)
    }

    fn send(&self, signal: rustix::process::Signal) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(handle) = &self.handle {
            return Ok(rustix::process::pidfd_send_signal(handle, signal)?);
        }
        Ok(rustix::process::kill_process(self.pid, signal)?)
    }
}

/// Whose a folder is, if it is not this user's: a name, or a number without one. The superuser may do everything.
#[cfg(unix)]
pub(super) fn foreign_owner(folder: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    // A folder below one that may not be entered: the nearest one that is seen says whose it is.
    let owner = folder.ancestors().find_map(|folder| fs::metadata(folder).ok())?.uid();
    let own = rustix::process::geteuid();
    (!own.is_root() && owner != own.as_raw()).then(|| user_name(owner))
}

#[cfg(not(unix))]
pub(super) fn foreign_owner(_folder: &Path) -> Option<String> {
    None
}

/// An engine that runs as the owner of a folder, where the system tells.
#[cfg(unix)]
pub(super) fn engine_of_owner(folder: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = folder.ancestors().find_map(|folder| fs::metadata(folder).ok())?.uid();
    processes().find(|pid| {
        let is_theirs = fs::metadata(format!("/proc/{pid}")).is_ok_and(|process| process.uid() == owner);
        is_theirs && fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| is_engine(&line))
    })
}

#[cfg(not(unix))]
pub(super) fn engine_of_owner(_folder: &Path) -> Option<u32> {
    None
}

/// Whether a command line, its words ended by zeros, is one of an engine.
#[cfg(unix)]
fn is_engine(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == 0);
    let program = words.next().and_then(|program| program.rsplit(|byte| *byte == b'/').next()).unwrap_or_default();
    program == b"tollbar-desktop" || program == b"tollbar" && words.next() == Some(b"serve")
}

#[cfg(unix)]
fn user_name(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse::<u32>().ok()? == uid).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("user {uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_of_a_running_engine_names_it_and_ends_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::under(folder.path());
        assert_eq!(engine_process(&home), None);
        let presence = Presence::take(&home).expect("taken");
        assert_eq!(engine_process(&home), Some(std::process::id()));
        drop(presence);
        assert_eq!(engine_process(&home), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn lock_with_a_strangers_number_names_its_holder() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::under(folder.path());
        let _presence = Presence::take(&home).expect("taken");
        fs::write(lock_path(&home), "1").expect("written");
        assert_eq!(engine_process(&home), Some(std::process::id()));
    }

    #[cfg(unix)]
    #[test]
    fn engine_is_known_by_its_command_line() {
        assert!(is_engine(b"/usr/bin/tollbar\0serve\0--hidden\0") && is_engine(b"tollbar-desktop\0"));
        assert!(!is_engine(b"tollbar\0import\0") && !is_engine(b"vi\0serve\0") && !is_engine(b""));
    }
}
