//! A home with the program in it, run from outside with time limits. Every run is checked for panics, hangs and exit codes.

use super::fault::{Fault, Kind, Outcome, ensure};
use crate::house::wire;
use serde_json::Value;
use std::{
    env, fmt, fs,
    fs::File,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The program under test: `TOLLBAR_BIN`, else the one that cargo built.
pub static PROGRAM: LazyLock<PathBuf> =
    LazyLock::new(|| env::var_os("TOLLBAR_BIN").map_or_else(|| env!("CARGO_BIN_EXE_tollbar").into(), PathBuf::from));

/// Nothing takes longer. A debug build on a busy machine is given three times as long.
pub static HANG: LazyLock<Duration> = LazyLock::new(|| Duration::from_secs(if is_release() { 5 } else { 15 }));

/// A reply that ended so long before a kill is recorded. A debug build on a busy machine is given more.
pub static GRACE: LazyLock<Duration> = LazyLock::new(|| Duration::from_millis(if is_release() { 200 } else { 1_000 }));

const POLL: Duration = Duration::from_millis(2);
const PANIC_MARKS: [&str; 2] = ["panicked at", "stack backtrace:"];
/// Of a standard output no more is read: the rows of the largest template take a quarter of it.
const OUTPUT_BYTES_MAX: usize = 256 << 20;
/// Of an output no more letters are shown in a report.
const SHOWN_MAX: usize = 1_500;

fn is_release() -> bool {
    env::var_os("TOLLBAR_BIN").is_some()
}

/// A home of its own. Dropping it kills the engine and removes the folder.
pub struct Home {
    folder: TempDir,
    environment: Vec<(String, String)>,
    /// Words for the shell's `ulimit`, like `-n 40`; none if empty.
    pub limits: String,
    /// Whether a process may end by a signal that nobody sent, as when memory is limited.
    pub may_abort: bool,
    engine: Option<Engine>,
}

/// A running engine.
struct Engine {
    child: Child,
    output: Outputs,
    proxy: String,
    control: String,
}

/// The files that hold a process's standard output and standard error.
struct Outputs {
    out: PathBuf,
    err: PathBuf,
}

/// A process that runs in the background.
pub struct Job {
    child: Child,
    output: Outputs,
    what: String,
    may_abort: bool,
}

/// How a process ended.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl fmt::Debug for Ran {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "code {:?}, stdout {:?}, stderr {:?}", self.code, shown(&self.out), shown(&self.err))
    }
}

impl Home {
    pub fn new(config: &str) -> Home {
        let folder = tempfile::Builder::new().prefix("tollbar-chaos-").tempdir().unwrap();
        for name in ["user", "outputs", "made"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("config.toml"), format!("zone = \"UTC\"\ndashboard.port = 0\nlogs.watch = false\n{config}")).unwrap();
        Home { folder, environment: Vec::new(), limits: String::new(), may_abort: false, engine: None }
    }

    /// A copy of what is on the disk, with nothing running.
    pub fn copy(&self) -> Home {
        let copy = Home::new("");
        fs::copy(self.path("config.toml"), copy.path("config.toml")).unwrap();
        for name in ["data", "state"] {
            copy_folder(&self.path(name), &copy.path(name));
        }
        copy
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.into(), value.into()));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new path below the home, for a file or folder that a command reads or writes.
    pub fn made(&self, name: &str) -> PathBuf {
        self.path("made").join(format!("{}-{name}", unique()))
    }

    /// The program with this home and nothing of the user's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = if self.limits.is_empty() {
            Command::new(&*PROGRAM)
        } else {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit {}; exec \"$0\" \"$@\"", self.limits)]).arg(&*PROGRAM);
            shell
        };
        command.env_clear().env("TOLLBAR_HOME", self.folder.path()).env("HOME", self.path("user")).env("TZ", "UTC");
        command.env("PATH", env::var_os("PATH").unwrap_or_default());
        command.envs(self.environment.iter().cloned()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Starts a command in the background.
    pub fn spawn(&self, arguments: &[&str]) -> Job {
        let output = Outputs::new(&self.path("outputs"));
        let child = self.command(arguments).stdout(output.out()).stderr(output.err()).spawn().unwrap();
        Job { child, output, what: format!("tollbar {}", arguments.join(" ")), may_abort: self.may_abort }
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Outcome<Ran> {
        self.spawn(arguments).wait(*HANG)
    }

    /// The standard output of a command that must succeed.
    pub fn out(&self, arguments: &[&str]) -> Outcome<String> {
        let ran = self.run(arguments)?;
        ensure(ran.code == Some(0), Kind::Refused, || format!("tollbar {}: {ran:?}", arguments.join(" ")))?;
        Ok(ran.out)
    }

    pub fn json(&self, arguments: &[&str]) -> Outcome<Value> {
        let text = self.out(&[arguments, &["--json"]].concat())?;
        serde_json::from_str(&text).map_err(|error| Fault::new(Kind::Disagree, format!("tollbar {arguments:?}: {error} in {text}")))
    }

    /// Starts the engine, which must succeed.
    pub fn start(&mut self) -> Outcome {
        match self.try_start()? {
            None => Ok(()),
            Some(ran) => Err(Fault::new(Kind::Refused, format!("serve ended: {ran:?}"))),
        }
    }

    /// Starts the engine and waits until it is ready, or returns how it ended.
    pub fn try_start(&mut self) -> Outcome<Option<Ran>> {
        let mut job = self.spawn(&["serve", "--port", "0"]);
        let begun = Instant::now();
        loop {
            if let Some((proxy, control)) = job.output.addresses() {
                self.engine = Some(Engine { child: job.child, output: job.output, proxy, control });
                return Ok(None);
            }
            if job.child.try_wait().unwrap().is_some() {
                return job.wait(*HANG).map(Some);
            }
            if begun.elapsed() > *HANG {
                return Err(job.hang());
            }
            thread::sleep(POLL);
        }
    }

    pub fn is_running(&self) -> bool {
        self.engine.is_some()
    }

    /// Whether an engine left its notice here.
    pub fn may_be_running(&self) -> bool {
        self.is_running() || self.path("state/engine.json").exists()
    }

    pub fn proxy(&self) -> &str {
        &self.engine.as_ref().unwrap().proxy
    }

    pub fn pid(&self) -> u32 {
        self.engine.as_ref().unwrap().child.id()
    }

    /// Sends a signal to the engine, like `STOP`.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap().success());
    }

    /// Ends the engine as `kill -9` does.
    pub fn kill(&mut self) -> Outcome {
        let Some(mut engine) = self.engine.take() else { return Ok(()) };
        let ended = engine.child.try_wait().unwrap();
        engine.child.kill().unwrap();
        engine.child.wait().unwrap();
        match ended {
            Some(status) => ended_by_itself(status, engine.output, self.may_abort),
            None => no_panic("serve", &engine.output.read().err),
        }
    }

    /// Ends the engine with `tollbar stop`.
    pub fn stop(&mut self) -> Outcome {
        self.out(&["stop"])?;
        self.stopped()
    }

    /// Waits for the end of an engine that was told to stop.
    pub fn stopped(&mut self) -> Outcome {
        let Some(engine) = self.engine.take() else { return Ok(()) };
        let job = Job { child: engine.child, output: engine.output, what: "serve, told to stop".into(), may_abort: self.may_abort };
        let ran = job.wait(*HANG)?;
        ensure(ran.code == Some(0), Kind::Exit, || format!("serve, told to stop: {ran:?}"))
    }

    /// Searches the outputs of the engine and every file below `state/` for a panic.
    pub fn no_panic_in_logs(&self) -> Outcome {
        if let Some(engine) = &self.engine {
            no_panic("serve", &engine.output.read().err)?;
        }
        for path in files_below(&self.path("state")) {
            no_panic(&path.display().to_string(), &read_text(&path))?;
        }
        Ok(())
    }

    /// A command to the control API; the answer if its status is 200.
    pub fn tell(&self, command: &Value) -> Option<Value> {
        let control = &self.engine.as_ref()?.control;
        let token = fs::read_to_string(self.path("state/token")).ok()?;
        tell(control, token.trim(), command)
    }

    pub fn control(&self) -> String {
        self.engine.as_ref().unwrap().control.clone()
    }

    /// Waits for the end of an engine that `tollbar stop` ended by force.
    pub fn ended_by_force(&mut self) -> Outcome {
        let mut engine = self.engine.take().unwrap();
        let begun = Instant::now();
        while engine.child.try_wait().unwrap().is_none() {
            if begun.elapsed() > *HANG {
                self.engine = Some(engine);
                return Err(Fault::new(Kind::Hang, "the engine is still there after a stop that succeeded"));
            }
            thread::sleep(POLL);
        }
        no_panic("serve", &engine.output.read().err)
    }

    /// Keeps the folder on the disk, for a look at it.
    pub fn keep(&mut self) {
        self.folder.disable_cleanup(true);
        println!("  kept: {}", self.folder.path().display());
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            let _ = engine.child.kill();
            let _ = engine.child.wait();
        }
        if env::var_os("CHAOS_KEEP").is_some() {
            self.keep();
        }
    }
}

impl Job {
    /// Waits for the end and checks it.
    pub fn wait(mut self, limit: Duration) -> Outcome<Ran> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return checked(status, self.output.read(), &self.what, self.may_abort);
            }
            if begun.elapsed() > limit {
                return Err(self.hang());
            }
            thread::sleep(POLL);
        }
    }

    /// Kills the process after a time; how it ended if it did so before.
    pub fn kill_after(mut self, time: Duration) -> Outcome<Option<Ran>> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            if let Some(status) = self.child.try_wait().unwrap() {
                return checked(status, self.output.read(), &self.what, self.may_abort).map(Some);
            }
            thread::sleep((time - begun.elapsed().min(time)).min(POLL));
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        no_panic(&self.what, &self.output.read().err)?;
        Ok(None)
    }

    /// Ends a process that hangs. With `CHAOS_KEEP` its stacks are not lost: the process is left alone.
    fn hang(&mut self) -> Fault {
        let ran = self.output.read();
        if env::var_os("CHAOS_KEEP").is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        Fault::new(Kind::Hang, format!("{} (pid {}) did not end: {ran:?}", self.what, self.child.id()))
    }
}

impl Outputs {
    fn new(folder: &Path) -> Outputs {
        let number = unique();
        Outputs { out: folder.join(format!("{number}.out")), err: folder.join(format!("{number}.err")) }
    }

    fn out(&self) -> File {
        File::create(&self.out).unwrap()
    }

    fn err(&self) -> File {
        File::create(&self.err).unwrap()
    }

    fn read(&self) -> Ran {
        Ran { code: None, out: read_text(&self.out), err: read_text(&self.err) }
    }

    /// The addresses of proxy and control API, once they were printed.
    fn addresses(&self) -> Option<(String, String)> {
        let text = read_text(&self.out);
        let line = text.lines().find(|line| line.contains("proxy http://") && text.contains(&format!("{line}\n")))?;
        let after = |mark: &str| Some(line.split_once(mark)?.1.split([',', ' ', '/']).next()?.to_owned());
        Some((after("proxy http://")?, after("dashboard http://")?))
    }
}

/// A command to a control API; the answer if its status is 200.
pub fn tell(control: &str, token: &str, command: &Value) -> Option<Value> {
    let headers = [
        ("authorization", &*format!("Bearer {token}")),
        ("x-tollbar-protocol", "1"),
        ("content-type", "application/json"),
        ("connection", "close"),
    ];
    let request = wire::request_to(control, "POST", "/tell", &headers, command.to_string().as_bytes());
    let reply = wire::exchange(control, &request, *HANG).ok()?;
    serde_json::from_slice(&reply.body).ok().filter(|_| reply.status == 200 && reply.whole)
}

/// Checks how a process ended that was not killed.
pub fn checked(status: ExitStatus, ran: Ran, what: &str, may_abort: bool) -> Outcome<Ran> {
    no_panic(what, &ran.err)?;
    let ran = Ran { code: status.code(), ..ran };
    ensure(matches!(ran.code, Some(0..=2)) || may_abort && status.signal().is_some(), Kind::Exit, || format!("{what}: {status}, {ran:?}"))?;
    let is_explained = ran.err.contains("error: ") && ran.err.contains("hint: ");
    ensure(ran.code != Some(1) || is_explained, Kind::Exit, || format!("{what}: an error without cause and hint, {ran:?}"))?;
    Ok(ran)
}

fn ended_by_itself(status: ExitStatus, output: Outputs, may_abort: bool) -> Outcome {
    let ran = checked(status, output.read(), "serve", may_abort)?;
    ensure(may_abort, Kind::Exit, || format!("serve ended by itself: {status}, {ran:?}"))
}

pub fn no_panic(what: &str, text: &str) -> Outcome {
    ensure(!PANIC_MARKS.iter().any(|mark| text.contains(mark)), Kind::Panic, || format!("{what}: {}", shown(text)))
}

/// The beginning of a text, for a report.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

pub fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn read_text(path: &Path) -> String {
    let mut bytes = fs::read(path).unwrap_or_default();
    bytes.truncate(OUTPUT_BYTES_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All files in a folder and below, sorted.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    below(folder).into_iter().filter(|path| path.is_file()).collect()
}

/// All files and folders in a folder and below, sorted.
pub fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    let deeper: Vec<PathBuf> = found.iter().filter(|path| path.is_dir()).flat_map(|path| below(path)).collect();
    found.into_iter().chain(deeper).collect()
}

/// Copies a folder with the modes of its files; an absent one is skipped.
pub fn copy_folder(from: &Path, to: &Path) {
    if !from.is_dir() {
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
}
