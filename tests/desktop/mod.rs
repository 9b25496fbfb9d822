//! A desk for one test: its own X server, session bus, home and stand-in provider, all gone when it is dropped.

// Each test file uses its part of this.
#![allow(dead_code)]

pub(crate) mod tray_host;
pub(crate) mod webdriver;

use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// The longest that anything here may take to happen.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What a call to the stand-in costs before its output, at gpt-4.1's $2 for a million tokens of input.
const PROMPT_TOKENS: u64 = 1_000;

/// A display, a bus and a home. Children are ended in the order in which they stand.
pub(crate) struct Desk {
    others: Vec<Process>,
    _bus: Process,
    _screen: Process,
    folder: tempfile::TempDir,
    display: String,
    bus_address: String,
}

/// A running program, ended when dropped.
pub(crate) struct Process(Child);

impl Desk {
    /// Starts the display and the bus. A program that is missing is named with its package. The display keeps its
    /// state when a client leaves: one that starts over turns away whoever connects in that moment.
    pub(crate) fn new() -> Desk {
        let folder = tempfile::tempdir().unwrap();
        for part in ["home", "run", "tollbar"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        let (screen, display) =
            first_line(program("Xvfb", "xvfb").args(["-displayfd", "1", "-screen", "0", "1400x1000x24", "-nolisten", "tcp", "-noreset"]));
        let (bus, bus_address) = first_line(program("dbus-daemon", "dbus-daemon").args(["--session", "--print-address=1", "--nofork"]));
        let desk = Desk { others: Vec::new(), _bus: bus, _screen: screen, folder, display: format!(":{display}"), bus_address };
        let upstream = start_provider();
        let config = format!(
            "zone = \"UTC\"\n[proxy]\nlisten = \"127.0.0.1:0\"\n[dashboard]\nport = 0\n[logs]\nwatch = false\n\
             [upstreams.openai]\nbase_url = \"http://127.0.0.1:{upstream}\"\n"
        );
        fs::write(desk.tollbar_home().join("config.toml"), config).unwrap();
        desk
    }

    /// The same with a window manager, without which no window is told to close.
    pub(crate) fn with_windows() -> Desk {
        let mut desk = Desk::new();
        let manager = desk.start(&mut program("openbox", "openbox"));
        desk.others.push(manager);
        let shown = || desk.output(program("wmctrl", "wmctrl").arg("-m")).0.success();
        until("openbox manages windows", || shown().then_some(()));
        desk
    }

    pub(crate) fn tollbar_home(&self) -> PathBuf {
        self.folder.path().join("tollbar")
    }

    pub(crate) fn bus_address(&self) -> &str {
        &self.bus_address
    }

    /// Gives a program this desk for its surroundings, and nothing of the machine's but its PATH.
    pub(crate) fn at<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let home = self.folder.path().join("home");
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", &home)
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .env("XDG_RUNTIME_DIR", self.folder.path().join("run"))
            .env("DISPLAY", &self.display)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus_address)
            .env("TOLLBAR_HOME", self.tollbar_home())
            // Two accessibility daemons less to start.
            .env("NO_AT_BRIDGE", "1")
            .env("GTK_A11Y", "none")
    }

    pub(crate) fn start(&self, command: &mut Command) -> Process {
        Process::start(self.at(command))
    }

    pub(crate) fn desktop(&self, args: &[&str]) -> Process {
        self.start(Command::new(env!("CARGO_BIN_EXE_tollbar-desktop")).args(args))
    }

    /// Runs a program to its end.
    pub(crate) fn output(&self, command: &mut Command) -> (ExitStatus, String) {
        let output = self.at(command).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        (output.status, String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    }

    /// What `tollbar <args> --json` says.
    pub(crate) fn tollbar(&self, args: &[&str]) -> Value {
        let (status, said) = self.output(Command::new(env!("CARGO_BIN_EXE_tollbar")).args(args).arg("--json"));
        assert!(status.success(), "tollbar {args:?}: {said}");
        serde_json::from_str(&said).unwrap()
    }

    /// Waits until the engine of this home serves; returns its proxy.
    pub(crate) fn proxy(&self) -> String {
        let notice = self.tollbar_home().join("state/engine.json");
        until("an engine runs", || notice.exists().then_some(()));
        self.tollbar(&["status"])["engine"]["proxy"]["address"].as_str().unwrap().to_owned()
    }

    /// Calls the stand-in through the proxy: $0.002 and $8 for a million tokens of output.
    pub(crate) fn call(&self, output_tokens: u64) {
        let body = json!({ "model": "gpt-4.1", "messages": [{ "role": "user", "content": "hi" }], "max_tokens": output_tokens });
        let address = format!("{}/openai/v1/chat/completions", self.proxy());
        let mut reply = ureq::post(&address).header("authorization", "Bearer test").send_json(&body).unwrap();
        let reply: Value = reply.body_mut().read_json().unwrap();
        assert_eq!(reply["usage"]["completion_tokens"], output_tokens);
    }

    /// The titles of the windows on the display.
    pub(crate) fn windows(&self) -> Vec<String> {
        let (_, list) = self.output(program("wmctrl", "wmctrl").arg("-l"));
        list.lines().filter_map(|line| line.splitn(4, char::is_whitespace).nth(3)).map(|rest| rest.trim().to_owned()).collect()
    }

    pub(crate) fn has_window(&self) -> bool {
        self.windows().iter().any(|title| title.ends_with("Tollbar"))
    }

    /// As the button in its frame does.
    pub(crate) fn close_window(&self) {
        let (status, said) = self.output(program("wmctrl", "wmctrl").args(["-c", "Tollbar"]));
        assert!(status.success(), "{said}");
    }

    /// Every process of this home's Tollbar, with its name and the memory that nobody shares with it (anonymous, in KiB): the share in
    /// libraries (PSS) moves with every other program that has them open.
    pub(crate) fn processes(&self) -> Vec<(String, u64)> {
        let mark = format!("TOLLBAR_HOME={}", self.tollbar_home().display());
        let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let ours = entries.filter(|process| {
            let environ = fs::read(process.join("environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        });
        let named = ours.filter_map(|process| {
            let name = fs::read_to_string(process.join("comm")).ok()?.trim().to_owned();
            let wanted = name.starts_with("tollbar") || name.starts_with("WebKit");
            wanted.then(|| (name, anonymous_kib(&process)))
        });
        named.collect()
    }

    /// Saves a picture of the whole display if `TOLLBAR_SCREENSHOTS` names a folder.
    pub(crate) fn screenshot(&self, name: &str) {
        if let Some(folder) = std::env::var_os("TOLLBAR_SCREENSHOTS") {
            let picture = Path::new(&folder).join(name);
            let (status, said) = self.output(program("import", "imagemagick").args(["-window", "root"]).arg(picture));
            assert!(status.success(), "{said}");
        }
    }
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Process {
        Process(command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits for it to end by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        until("a process ends", || self.0.try_wait().unwrap())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Asks it to end, as a session that closes does.
    pub(crate) fn terminate(&self) {
        assert!(Command::new("kill").arg(self.id().to_string()).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks until there is something to see, and fails when patience ends.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// A program that these tests need.
pub(crate) fn program(name: &str, package: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|folder| folder.join(name).exists());
    assert!(there, "{name} is not on the PATH: install the package {package}, or run ./dev test, which does");
    Command::new(name)
}

/// Starts a server that prints its address in its first line.
fn first_line(command: &mut Command) -> (Process, String) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert!(!line.trim().is_empty(), "{command:?} did not start");
    // Kept open: a server that writes more must not meet a closed pipe.
    thread::spawn(move || output.read_to_end(&mut Vec::new()));
    (Process(child), line.trim().to_owned())
}

fn anonymous_kib(process: &Path) -> u64 {
    let rollup = fs::read_to_string(process.join("smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A provider that answers every chat completion with as many tokens as were allowed.
fn start_provider() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || answer(stream.unwrap()));
        }
    });
    port
}

fn answer(stream: TcpStream) {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let output = asked["max_tokens"].as_u64().unwrap();
    let reply = json!({
        "id": format!("chatcmpl-desk-{}", CALLS.fetch_add(1, Ordering::Relaxed)),
        "object": "chat.completion", "created": 1_700_000_000, "model": asked["model"],
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "hello" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": PROMPT_TOKENS, "completion_tokens": output, "total_tokens": PROMPT_TOKENS + output },
    })
    .to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", reply.len());
    let _ = (&stream).write_all((head + &reply).as_bytes());
}
