//! What the black-box tests stand on: a home of their own with the real program in it, a provider's stand-in, and a client that sees bytes.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "each test file uses a part of it"
)]

pub mod detour;
pub mod exchange;
pub mod tls;
pub mod upstream;
pub mod wire;

use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;
pub use upstream::{Heard, Upstream, replies};
pub use wire::{Reply, Wire};

/// Nothing that a test waits for takes this long, on a slow machine either.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A home with the program in it. Dropping it kills the engine and removes the home.
pub struct House {
    pub folder: TempDir,
    engine: Option<Child>,
    /// `127.0.0.1:PORT` of the running engine's proxy.
    pub proxy: String,
    /// `127.0.0.1:PORT` of the running engine's control API.
    pub control: String,
    errors: Arc<Mutex<String>>,
    environment: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl House {
    /// A home with a configuration, and nothing running.
    pub fn new(config: &str) -> House {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("user")).unwrap();
        let house =
            House { folder, engine: None, proxy: String::new(), control: String::new(), errors: Arc::default(), environment: Vec::new() };
        house.configure(config);
        house
    }

    /// A home whose engine runs, with the stand-in for OpenAI and Anthropic.
    pub fn before(upstream: &Upstream) -> House {
        let mut house = House::new(&upstream.config(&["openai", "anthropic"]));
        house.start();
        house
    }

    pub fn configure(&self, config: &str) {
        fs::write(self.path("config.toml"), format!("dashboard.port = 0\nlogs.watch = false\n{config}")).unwrap();
    }

    /// Adds a variable to the environment of every process from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.into(), value.into()));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with this home, and nothing of the user's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollbar"));
        command.env_clear().env("TOLLBAR_HOME", self.folder.path()).env("HOME", self.path("user")).env("TZ", "UTC");
        command.envs(self.environment.iter().cloned()).args(arguments).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { status: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The standard output of a command that must succeed.
    pub fn out(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.status, 0, "tollbar {arguments:?}: {}", ran.err);
        ran.out
    }

    /// The answer of a command with `--json`.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.out(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("tollbar {arguments:?}: {error} in {text}"))
    }

    /// Every recorded call.
    pub fn rows(&self) -> Vec<Value> {
        self.out(&["export"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Every recorded call, as soon as there are so many.
    pub fn rows_when(&self, count: usize) -> Vec<Value> {
        eventually(|| Some(self.rows()).filter(|rows| rows.len() >= count), || format!("{count} rows, not {:?}", self.rows()))
    }

    /// Starts the engine and waits for the line that says it is ready.
    pub fn start(&mut self) {
        self.start_with(&["serve", "--port", "0"]);
    }

    pub fn start_with(&mut self, arguments: &[&str]) {
        let mut engine = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = self.errors.clone();
        let mut stderr = BufReader::new(engine.stderr.take().unwrap());
        std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                errors.lock().unwrap().push_str(&std::mem::take(&mut line));
            }
        });
        let mut stdout = BufReader::new(engine.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Some((proxy, control)) =
            line.trim_end().strip_prefix("tollbar is ready: proxy http://").and_then(|rest| rest.split_once(", dashboard http://"))
        else {
            // The cause comes on the other pipe, a moment later or before.
            let _ = engine.wait();
            std::thread::sleep(Duration::from_millis(100));
            panic!("the engine does not start: {line:?} {}", self.errors())
        };
        (self.proxy, self.control) = (proxy.to_owned(), control.to_owned());
        std::thread::spawn(move || stdout.read_to_string(&mut String::new()));
        self.engine = Some(engine);
    }

    /// What the engines of this home said on standard error.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.engine.as_ref().unwrap().id()
    }

    /// Ends the engine as `tollbar stop` does, and waits for its process.
    pub fn stop(&mut self) {
        self.out(&["stop"]);
        assert!(self.engine.take().unwrap().wait().unwrap().success(), "the engine ends well: {}", self.errors());
    }

    /// The engine's process, for a test that ends it in its own way.
    pub fn take_engine(&mut self) -> Child {
        self.engine.take().unwrap()
    }

    /// Ends the engine at once, as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            engine.kill().unwrap();
            engine.wait().unwrap();
        }
    }

    /// A new connection to the proxy.
    pub fn client(&self) -> Wire {
        Wire::connect(&self.proxy)
    }

    /// One call through the proxy, on a connection of its own.
    pub fn post(&self, path: &str, body: &str) -> Reply {
        self.client().post(path, &[], body.as_bytes())
    }

    pub fn token(&self) -> String {
        fs::read_to_string(self.path("state/token")).unwrap()
    }

    /// One request to the control API with the given headers, `host` among them if wanted otherwise.
    pub fn control(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head += &format!("host: {}\r\n", self.control);
        }
        headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        let mut wire = Wire::connect(&self.control);
        wire.send(format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
        wire.reply()
    }

    /// Asks the control API as the dashboard does.
    pub fn ask(&self, name: &str) -> Value {
        let bearer = format!("Bearer {}", self.token());
        let reply = self.control("POST", &format!("/ask/{name}"), &[("authorization", &bearer), ("x-tollbar-protocol", "1")], "{}");
        assert_eq!(reply.status, 200, "{}", reply.text());
        serde_json::from_slice(&reply.body).unwrap()
    }

    /// The events that the control API announces from now on, as `name data`, newest last.
    pub fn watch(&self) -> Arc<Mutex<Vec<String>>> {
        let mut wire = Wire::connect(&self.control);
        wire.send(
            format!(
                "GET /watch HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nx-tollbar-protocol: 1\r\n\r\n",
                self.control,
                self.token()
            )
            .as_bytes(),
        );
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let (sender, begun) = std::sync::mpsc::channel();
        let hearing = heard.clone();
        std::thread::spawn(move || {
            let mut name = String::new();
            for line in wire.lines() {
                if let Some(event) = line.strip_prefix("event: ") {
                    name = event.to_owned();
                } else if let Some(data) = line.strip_prefix("data: ") {
                    hearing.lock().unwrap().push(format!("{name} {data}"));
                } else if line == ": tollbar" {
                    let _ = sender.send(());
                }
            }
        });
        begun.recv_timeout(PATIENCE).expect("the watch begins");
        heard
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Ran {
    /// Refused or failed: exit code 1, one line of cause with this in it, one line of hint.
    pub fn fails_with(&self, cause: &str) {
        let lines: Vec<&str> = self.err.lines().collect();
        assert_eq!((self.status, lines.len()), (1, 2), "{self:?}");
        assert!(lines[0].starts_with("error: ") && lines[0].contains(cause), "{cause:?} in {self:?}");
        assert!(lines[1].starts_with("hint: "), "{self:?}");
    }
}

/// Asks until there is an answer.
pub fn eventually<T>(mut ask: impl FnMut() -> Option<T>, missing: impl FnOnce() -> String) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "still missing after {} s: {}", PATIENCE.as_secs(), missing());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A folder of the recordings, or `None` with a word on the screen where there is none.
pub fn recordings(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("TOLLBAR_DATA").map(PathBuf::from);
    let folder = data.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data")).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no recordings at {}", folder.display());
    None
}
