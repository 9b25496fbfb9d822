//! Diagnostics of a process that runs for long: one writer, which can neither block nor end its callers.
//!
//! A line goes into two bounded queues: one thread writes the log file, another one standard error. A queue that is full drops the line
//! and counts it. Standard error may be closed, full, or a pipe that nobody reads: only its own thread waits for it, and the process ends
//! without waiting for that thread.
//!
//! After [`start`], the file descriptors 1 and 2 lead into a pipe that is read here. Output of libraries, of C libraries too, and messages
//! of panics are treated as lines of our own. The standard library has opened `/dev/null` for standard files that were closed at the start.

mod file;

use file::LogFile;
use std::{
    fmt::Display,
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// How many lines may wait for the file, and as many for standard error.
const QUEUE_LINES_MAX: usize = 256;
/// A longer line is cut.
const LINE_BYTES_MAX: usize = 4096;
/// How long the end of the process waits for lines that are not written yet.
const FINISH_WAIT: Duration = Duration::from_millis(300);
/// How long a standard error that takes nothing now (`O_NONBLOCK`) is tried again, and how often.
const RETRY_WAIT: Duration = Duration::from_millis(10);
const RETRIES_MAX: u32 = 50;

static WRITER: OnceLock<Diagnostics> = OnceLock::new();

/// The two queues, and what is left of the standard output.
struct Diagnostics {
    file: Queue,
    screen: Queue,
    stdout: Option<Arc<File>>,
}

/// A way to one of the threads.
struct Queue {
    sender: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

enum Item {
    Line(Box<str>),
    /// Everything before it is written.
    Flush(SyncSender<()>),
}

/// Begins to write to this log file and to standard error. Without it, [`note`] writes to standard error directly.
///
/// What cannot be had (threads, a pipe) is done without. Call it before the process has other threads that print.
pub fn start(path: PathBuf) {
    // Without descriptors left, there is no screen to write to.
    let (stdout, stderr) = (saved(&io::stdout()).ok(), saved(&io::stderr()).ok());
    let (file, file_lines) = Queue::new();
    let (screen, screen_lines) = Queue::new();
    let (file_dropped, screen_dropped) = (file.dropped.clone(), screen.dropped.clone());
    let mut log = LogFile::new(path);
    let show = move |line: &str| stderr.as_ref().map_or(Ok(()), |stderr| write_all(stderr, format!("{line}\n").as_bytes()));
    let screen_run = move || write_lines(&screen_lines, &screen_dropped, show);
    let file_run = move || write_lines(&file_lines, &file_dropped, |line| log.write(line));
    // Without a thread, its lines are dropped.
    let _ = thread::Builder::new().name("tollbar-stderr".into()).spawn(screen_run);
    let _ = thread::Builder::new().name("tollbar-log".into()).spawn(file_run);
    if WRITER.set(Diagnostics { file, screen, stdout: stdout.map(Arc::new) }).is_err() {
        return;
    }
    redirect();
    std::panic::set_hook(Box::new(|panic| {
        if !events::log::is_handled_panic(panic) {
            let thread = thread::current().name().unwrap_or("unnamed").to_owned();
            note(format!("internal fault in thread {thread:?}: {panic}").replace('\n', " "));
        }
    }));
}

/// Writes a line, to the log file and as far as possible to standard error. Never waits and never fails in a process that called [`start`].
pub fn note(line: impl Display) {
    let line = line.to_string();
    match WRITER.get() {
        Some(Diagnostics { file, screen, .. }) => {
            file.send(&line);
            screen.send(&line);
        }
        // A command that ends soon. Whether anybody reads it makes no difference to what the command does.
        None => drop(io::stderr().write_all(format!("{line}\n").as_bytes())),
    }
}

/// Writes a line to standard output from a thread of its own: a reader who takes nothing, or is gone, is no reason to wait or to end.
pub fn announce(line: String) {
    match WRITER.get().map(|writer| writer.stdout.clone()) {
        // Without a thread nobody is told, and the engine goes on.
        Some(Some(stdout)) => drop(thread::Builder::new().name("tollbar-stdout".into()).spawn(move || write_all(&stdout, line.as_bytes()))),
        Some(None) => {}
        None => drop(io::stdout().write_all(line.as_bytes())),
    }
}

/// Waits a moment for what is not written yet. For the end of the process.
pub fn finish() {
    let Some(Diagnostics { file, screen, .. }) = WRITER.get() else { return };
    // What a library wrote last is in the pipe.
    thread::sleep(Duration::from_millis(1));
    let (done, written) = sync_channel(2);
    let until = Instant::now() + FINISH_WAIT;
    for queue in [file, screen] {
        // A full queue stands still: nothing is to be waited for.
        let _ = queue.sender.try_send(Item::Flush(done.clone()));
    }
    drop(done);
    while written.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
}

/// Makes a write beyond the limit of file sizes (`RLIMIT_FSIZE`) fail with an error, where the system would end the process.
///
/// Programs that this one becomes or starts inherit it: `tollbar run` does without.
#[cfg_attr(unix, allow(unsafe_code, reason = "the standard library has no other door to this"))]
pub fn survive_file_size_limit() {
    #[cfg(unix)]
    // SAFETY: ignoring a signal runs no code of ours, and no other code of this process has a handler for it.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Makes a write to a closed pipe fail with an error again, as it does from the start of every program of ours: a failed `exec` leaves it
/// with the usual effect, which is the end of the process.
#[cfg(unix)]
#[allow(unsafe_code, reason = "the standard library has no other door to this")]
pub fn survive_closed_pipes() {
    // SAFETY: ignoring a signal runs no code of ours, and no other code of this process has a handler for it.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
}

/// In a command: panics that are caught and dealt with are not shown.
pub fn hide_handled_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !events::log::is_handled_panic(panic) {
            usual(panic);
        }
    }));
}

impl Queue {
    fn new() -> (Queue, Receiver<Item>) {
        let (sender, receiver) = sync_channel(QUEUE_LINES_MAX);
        (Queue { sender, dropped: Arc::default() }, receiver)
    }

    fn send(&self, line: &str) {
        let line = line.trim_end();
        let end = (0..=LINE_BYTES_MAX.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        let line = &line[..end];
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.sender.try_send(Item::Line(line.into())) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes what comes, and how many lines were dropped before it.
fn write_lines(lines: &Receiver<Item>, dropped: &AtomicU64, mut write: impl FnMut(&str) -> io::Result<()>) {
    for item in lines {
        match item {
            Item::Line(line) => {
                let count = dropped.swap(0, Ordering::Relaxed);
                let told = if count == 0 { Ok(()) } else { write(&format!("{count} lines of diagnostics were dropped")) };
                if told.is_err() {
                    dropped.fetch_add(count, Ordering::Relaxed);
                }
                if write(&line).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            // Who waited may have given up.
            Item::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Writes to a file that may be anything: what it does not take is an error, and the caller drops the line.
fn write_all(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    let mut retries = 0;
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && retries < RETRIES_MAX => {
                retries += 1;
                thread::sleep(RETRY_WAIT);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Another descriptor of a standard file, beyond the three.
#[cfg(unix)]
fn saved(file: &impl std::os::fd::AsFd) -> io::Result<File> {
    Ok(rustix::io::fcntl_dupfd_cloexec(file, 3)?.into())
}

#[cfg(windows)]
fn saved(file: &impl std::os::windows::io::AsHandle) -> io::Result<File> {
    Ok(file.as_handle().try_clone_to_owned()?.into())
}

/// Leads the descriptors 1 and 2 into a pipe, and reads it. Its writers meet neither a full pipe nor a closed one.
#[cfg(unix)]
fn redirect() {
    let Ok((reader, writer)) = io::pipe() else { return };
    let read = move || read_pipe(reader);
    if thread::Builder::new().name("tollbar-output".into()).spawn(read).is_ok() {
        // What cannot be redirected stays as it is.
        let _ = rustix::stdio::dup2_stdout(&writer);
        let _ = rustix::stdio::dup2_stderr(&writer);
    }
}

#[cfg(not(unix))]
fn redirect() {}

#[cfg(unix)]
fn read_pipe(mut reader: io::PipeReader) {
    let mut line = Vec::new();
    let mut piece = [0; LINE_BYTES_MAX];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return,
            Ok(read) => {
                for byte in &piece[..read] {
                    if *byte == b'\n' {
                        note(String::from_utf8_lossy(&line));
                        line.clear();
                    } else if line.len() < LINE_BYTES_MAX {
                        line.push(*byte);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
