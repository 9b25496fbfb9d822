//! Outputs that are closed, full or unread: no process of ours blocks on them, ends by them, or writes into a file that took their place.

#![allow(clippy::unwrap_used)]

mod house;

use house::{House, PATIENCE, Upstream, eventually, replies::chat, replies::json};
use std::{
    fs,
    io::{self, Read, Write},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

const CHAT: &str = "/openai/v1/chat/completions";
const ASK: &str = r#"{"model":"gpt-4.1","messages":[]}"#;
/// What an engine without calls under way may take to stop.
const STOP_MAX: Duration = Duration::from_secs(5);
/// What a pipe holds unless it is told otherwise (pipe(7)).
const PIPE_BYTES: usize = 65_536;

/// A process that does not outlive its test.
struct Kill(Child);

impl Drop for Kill {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Kill {
    /// How it ends, which is soon.
    fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// An output that takes nothing, and what must be kept open for it.
fn useless(kind: &str) -> (Stdio, Option<io::PipeReader>) {
    match kind {
        "full" => (fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into(), None),
        "closed" => (io::pipe().unwrap().1.into(), None),
        "unread" => {
            let (reader, mut writer) = io::pipe().unwrap();
            writer.write_all(&[b'x'; PIPE_BYTES]).unwrap();
            (writer.into(), Some(reader))
        }
        other => panic!("{other}"),
    }
}

/// A home with a budget that every call crosses, before a provider.
fn home(upstream: &Upstream) -> House {
    let house = House::new(&upstream.config(&["openai"]));
    house.out(&["budget", "set", "tiny", "0.000001", "--period", "day"]);
    house
}

fn provider() -> Upstream {
    Upstream::saying(json(chat("chatcmpl-1", "gpt-4.1", 100_000, 5)))
}

/// Where the running engine's proxy listens.
fn proxy(house: &House) -> String {
    let notice = || {
        let notice: serde_json::Value = serde_json::from_slice(&fs::read(house.path("state/engine.json")).ok()?).ok()?;
        Some(notice["proxy"].as_str()?.strip_prefix("http://")?.to_owned())
    };
    eventually(notice, || "the notice of the engine".into())
}

/// Carries a call, has an alert raised, and ends the engine; everything as if the outputs were fine.
fn lives_through_an_alert(house: &House, engine: &mut Kill, what: &str) {
    let proxy = proxy(house);
    let carried = || assert_eq!(house::Wire::connect(&proxy).post(CHAT, &[], ASK.as_bytes()).status, 200, "{what}");
    carried();
    let log = house.path("state/engine.log");
    let alerted = || fs::read_to_string(&log).ok().filter(|text| text.contains("budget \"tiny\" crossed 100 %"));
    eventually(alerted, || format!("{what}: the alert in the log file"));
    carried();
    house.rows_when(2);
    assert_eq!(engine.0.try_wait().unwrap(), None, "{what}: it lives");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let begun = Instant::now();
    house.out(&["stop"]);
    assert!(engine.ended().success(), "{what}");
    assert!(begun.elapsed() < STOP_MAX, "{what}: stopped after {:?}", begun.elapsed());
}

#[test]
fn engine_with_useless_outputs_records_alerts_and_stops() {
    let upstream = provider();
    for kind in ["full", "closed", "unread"] {
        let house = home(&upstream);
        let ((out, _out_end), (err, _err_end)) = (useless(kind), useless(kind));
        let mut engine = Kill(house.command(&["serve", "--port", "0"]).stdout(out).stderr(err).spawn().unwrap());
        lives_through_an_alert(&house, &mut engine, kind);
    }
}

#[test]
fn engine_started_without_standard_files_writes_into_no_other() {
    let upstream = provider();
    let house = home(&upstream);
    let closing = r#"exec "$0" serve --port 0 0<&- 1>&- 2>&-"#;
    let mut engine = Kill(shell(&house, closing).spawn().unwrap());
    lives_through_an_alert(&house, &mut engine, "closed files");
    let mut folders = vec![house.path("data"), house.path("state")];
    while let Some(folder) = folders.pop() {
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "engine.log") {
                let bytes = fs::read(&path).unwrap();
                for text in [&b"crossed 100 %"[..], b"tollbar is ready"] {
                    assert!(!bytes.windows(text.len()).any(|window| window == text), "{}", path.display());
                }
            }
        }
    }
}

#[test]
fn engine_with_unread_stderr_still_shows_its_first_lines_later() {
    let upstream = provider();
    let house = home(&upstream);
    let (err, end) = useless("unread");
    let mut engine = Kill(house.command(&["serve", "--port", "0"]).stdout(Stdio::null()).stderr(err).spawn().unwrap());
    let proxy = proxy(&house);
    assert_eq!(house::Wire::connect(&proxy).post(CHAT, &[], ASK.as_bytes()).status, 200);
    eventually(|| fs::read_to_string(house.path("state/engine.log")).ok(), || "the alert".into());
    // Somebody begins to read: what waited comes out.
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        let mut end = end.unwrap();
        let _ = end.read_to_string(&mut text);
        text
    });
    house.out(&["stop"]);
    assert!(engine.ended().success());
    assert!(reading.join().unwrap().contains("budget \"tiny\" crossed"));
}

#[test]
fn engine_that_cannot_start_ends_with_unread_outputs_too() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let house = House::new("");
    let ((out, _out_end), (err, _err_end)) = (useless("unread"), useless("unread"));
    let mut engine = Kill(house.command(&["serve", "--port", &port]).stdout(out).stderr(err).spawn().unwrap());
    assert_eq!(engine.ended().code(), Some(1));
}

#[test]
fn command_whose_reader_is_gone_ends_as_by_sigpipe() {
    let house = House::new("");
    house.out(&["log", "--model", "gpt-4.1", "--input", "1000"]);
    for command in [&["export"][..], &["today"], &["status", "--json"], &["summary"]] {
        let (closed, _) = useless("closed");
        let ran = house.command(command).stdout(closed).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((ran.status.code(), String::from_utf8_lossy(&ran.stderr).as_ref()), (Some(141), ""), "{command:?}");
    }
}

#[test]
fn command_with_a_full_output_says_so_and_fails() {
    let house = House::new("");
    house.out(&["log", "--model", "gpt-4.1", "--input", "1000"]);
    for command in [&["export"][..], &["today", "--json"], &["version"], &["completions", "bash"]] {
        let (full, _) = useless("full");
        let ran = house.command(command).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(1), "{command:?}: {said}");
        assert!(said.contains("No space left on device") && !said.contains("panicked"), "{command:?}: {said}");
    }
}

#[test]
fn failing_command_with_a_useless_stderr_fails_as_usual() {
    let house = House::new("");
    for kind in ["full", "closed"] {
        for (command, status) in [(&["stop"][..], 1), (&["frobnicate"], 2), (&["run", "--", "/no/such/program"], 127)] {
            let (err, _) = useless(kind);
            let mut ran = Kill(house.command(command).stdout(Stdio::null()).stderr(err).spawn().unwrap());
            assert_eq!(ran.ended().code(), Some(status), "{kind} {command:?}");
        }
    }
}

#[test]
fn command_below_the_limit_of_file_sizes_fails_with_an_error() {
    let house = House::new("");
    let ran = shell(&house, r#"ulimit -f 0; exec "$0" log --model gpt-4.1 --input 1000"#).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((ran.status.code(), ran.status.signal()), (Some(1), None), "{ran:?}");
    assert!(String::from_utf8_lossy(&ran.stderr).contains("File too large"), "{ran:?}");
    // A program that it becomes has the usual way of the system.
    let ran = shell(&house, r#"ulimit -f 0; exec "$0" run -- sh -c 'echo x > "$TOLLBAR_HOME/file"'"#).output().unwrap();
    assert!(!ran.status.success());
    assert_eq!(house.json(&["status"])["calls"], 0);
}

#[test]
fn store_that_panics_is_made_again_without_a_word_of_it() {
    let mut house = House::new("");
    for id in 0..40 {
        house.out(&["log", "--model", "gpt-4.1", "--input", "1000", "--call-id", &id.to_string()]);
    }
    let db = house.path("data/log/store/db");
    let whole = fs::read(&db).unwrap();
    for place in (0..whole.len().min(4096)).step_by(509) {
        let mut bytes = whole.clone();
        bytes[place..(place + 8).min(whole.len())].fill(0x55);
        fs::write(&db, &bytes).unwrap();
        let ran = house.run(&["today"]);
        assert!(ran.status == 0 && !ran.err.contains("panicked"), "byte {place}: {ran:?}");
    }
    house.start();
    assert!(!house.errors().contains("panicked"), "{}", house.errors());
    house.stop();
}

#[test]
fn errors_of_the_disk_say_what_to_do() {
    let house = House::new("");
    house.out(&["log", "--model", "gpt-4.1", "--input", "1000"]);
    let log = ["log", "--model", "gpt-4.1", "--input", "1"].join(" ");
    let ran = shell(&house, &format!(r#"ulimit -f 0; exec "$0" {log}"#)).stderr(Stdio::piped()).output().unwrap();
    assert!(String::from_utf8_lossy(&ran.stderr).contains("ulimit -f"), "{ran:?}");
    // Few enough for the log, and enough for the program.
    let ran = shell(&house, &format!(r#"ulimit -n 9; exec "$0" {log}"#)).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() || said.contains("ulimit -n"), "{said}");
    let lock = house.path("data/log/lock");
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o400)).unwrap();
    house.out(&["log", "--model", "gpt-4.1", "--input", "1"]);
}

/// A shell in the place of the program, which is its `$0`.
fn shell(house: &House, script: &str) -> Command {
    let program = house.command(&[]);
    let mut shell = Command::new("sh");
    shell.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.args(["-c", script]).arg(program.get_program()).stdin(Stdio::null());
    shell
}
