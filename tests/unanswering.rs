//! Engines that take connections and do not answer, and what looks like one: no command waits for them.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use house::{House, Ran, Upstream, eventually, replies::chat, replies::json};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Child, Command},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// What the fault may take to be told: three seconds, and some of a busy machine.
const TOLD_MAX: Duration = Duration::from_millis(4_500);
const CHAT: &str = "/openai/v1/chat/completions";
const ASK: &str = r#"{"model":"gpt-4.1","messages":[]}"#;

/// A process that does not outlive its test.
struct Kill(Child);

impl Drop for Kill {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

/// Runs a command that must not take long.
fn soon(house: &House, command: &[&str]) -> Ran {
    let begun = Instant::now();
    let ran = house.run(command);
    assert!(begun.elapsed() < TOLD_MAX, "{command:?} took {:?}: {ran:?}", begun.elapsed());
    ran
}

/// A home whose engine has recorded a call.
fn running() -> House {
    let house = House::before(&Upstream::saying(json(chat("chatcmpl-1", "gpt-4.1", 100_000, 5))));
    assert_eq!(house.post(CHAT, ASK).status, 200);
    house.rows_when(1);
    house
}

#[test]
fn stopped_engine_is_named_by_every_command_and_ended() {
    let mut house = running();
    let mut engine = Kill(house.take_engine());
    let pid = engine.0.id();
    signal(pid, "-STOP");
    let said = format!("engine pid {pid} does not answer");
    for command in [
        &["status"][..],
        &["status", "--json"],
        &["log", "--model", "gpt-4.1", "--input", "1"],
        &["budget", "set", "b", "1"],
        &["serve", "--port", "0"],
        &["dashboard", "--link"],
        &["reset", "--yes"],
        &["ledger", "rebuild"],
    ] {
        let ran = soon(&house, command);
        ran.fails_with(&said);
        assert!(ran.err.contains("tollbar stop"), "{command:?}: {ran:?}");
    }
    let today = soon(&house, &["today"]);
    assert!(today.status == 0 && today.err.contains(&said) && today.out.contains("$0.2"), "{today:?}");
    assert_eq!(house.rows().len(), 1, "what is on the disk is read");
    assert_eq!(soon(&house, &["run", "--", "true"]).status, 0);
    let ran = soon(&house, &["stop"]);
    assert!(ran.status == 0 && ran.out.contains(&format!("stopped (pid {pid})")) && ran.err.contains(&said), "{ran:?}");
    // It was continued, and ended in order.
    assert!(engine.0.wait().unwrap().success());
    assert_eq!(house.rows().len(), 1);
    house.start();
    house.stop();
}

#[test]
fn engine_that_is_held_down_is_killed() {
    let mut house = running();
    let mut engine = Kill(house.take_engine());
    let pid = engine.0.id();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                let _ = Command::new("kill").args(["-STOP", &pid.to_string()]).output();
            }
        });
        let begun = Instant::now();
        let ran = house.run(&["stop"]);
        ended.store(true, Ordering::SeqCst);
        assert!(ran.status == 0 && begun.elapsed() < Duration::from_secs(8), "{ran:?} {:?}", begun.elapsed());
    });
    engine.0.wait().unwrap();
    assert_eq!(house.rows().len(), 1, "what was acknowledged is there");
}

#[test]
fn mute_port_and_reused_pid_are_no_engine() {
    let mut house = running();
    house.kill();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let stranger = Kill(Command::new("sleep").arg("600").spawn().unwrap());
    let notice = format!(r#"{{"pid":{},"address":"http://{}"}}"#, stranger.0.id(), mute.local_addr().unwrap());
    fs::write(house.path("state/engine.json"), &notice).unwrap();
    assert_eq!(soon(&house, &["today"]).status, 0);
    assert!(soon(&house, &["status"]).out.starts_with("stopped"));
    soon(&house, &["stop"]).fails_with("no engine is running");
    assert!(Command::new("kill").args(["-0", &stranger.0.id().to_string()]).status().unwrap().success(), "the stranger lives");
    house.start();
    assert_eq!(house.post(CHAT, ASK).status, 200);
    house.stop();
}

#[test]
fn lock_with_another_pid_in_it_kills_nobody() {
    let mut house = running();
    let mut engine = Kill(house.take_engine());
    let stranger = Kill(Command::new("sleep").arg("600").spawn().unwrap());
    fs::write(house.path("state/engine.lock"), stranger.0.id().to_string()).unwrap();
    signal(engine.0.id(), "-STOP");
    let ran = soon(&house, &["stop"]);
    assert!(ran.out.contains(&engine.0.id().to_string()), "{ran:?}");
    assert!(engine.0.wait().unwrap().success());
    assert!(Command::new("kill").args(["-0", &stranger.0.id().to_string()]).status().unwrap().success(), "the stranger lives");
}

#[test]
fn engine_without_a_notice_can_be_stopped() {
    let mut house = running();
    fs::remove_file(house.path("state/engine.json")).unwrap();
    let mut engine = Kill(house.take_engine());
    soon(&house, &["status"]);
    assert!(soon(&house, &["stop"]).out.contains("stopped"));
    assert!(engine.0.wait().unwrap().success());
}

/// Says hello as an engine does, and breaks off where it is asked.
#[test]
fn engine_that_ends_while_it_answers_is_said() {
    let house = House::new("");
    house.out(&["today"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    fs::create_dir_all(house.path("state")).unwrap();
    fs::write(house.path("state/token"), "0".repeat(64)).unwrap();
    fs::set_permissions(house.path("state/token"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(house.path("state/engine.json"), format!(r#"{{"pid":1,"address":"http://{address}"}}"#)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut request = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut request) {
                    let is_hello = request[..read].starts_with(b"GET /hello");
                    let hello = r#"{"program":"tollbar","version":"0","protocol":1,"pid":1}"#;
                    if !is_hello {
                        // Half an answer, and nothing.
                        let _ =
                            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n{\"day\":");
                        return;
                    }
                    let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{hello}", hello.len()).as_bytes());
                }
            });
        }
    });
    for command in [&["today"][..], &["log", "--model", "gpt-4.1", "--input", "1"]] {
        let ran = soon(&house, command);
        assert!(ran.err.contains("engine (pid 1) ended before its answer was complete"), "{command:?}: {ran:?}");
    }
}

#[test]
fn home_of_another_user_is_said_with_its_owner() {
    let mut house = running();
    let nobody = |command: &[&str]| {
        let mut command = house.command(command);
        command.uid(65_534).gid(65_534);
        command
    };
    let Ok(version) = nobody(&["version"]).output() else { return println!("skipped: this user cannot become another one") };
    if !version.status.success() {
        return println!("skipped: another user may not run this program");
    }
    let pid = house.pid();
    for command in [&["status"][..], &["today"], &["stop"], &["serve", "--port", "0"]] {
        let output = nobody(command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        assert!(said.contains("belongs to root") && said.contains("engine runs (pid "), "{command:?}: {said}");
    }
    assert_eq!(house.json(&["status"])["engine"]["pid"], pid);
    eventually(|| (house.rows().len() == 1).then_some(()), || "the call".into());
    house.stop();
}
