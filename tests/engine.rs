//! The engine and the command line around it: one owner, the same numbers everywhere, and no call lost by kill, restart or a full disk.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use house::{
    House, PATIENCE, Upstream, eventually,
    replies::{STREAM, chat, chat_frames, chunk, json, stream},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashSet, hash_map::RandomState},
    fs,
    hash::{BuildHasher, Hasher},
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    thread,
    time::{Duration, Instant},
};

const CHAT: &str = "/openai/v1/chat/completions";
const ASK: &str = r#"{"model":"gpt-4.1","messages":[],"stream":true}"#;
/// A moment that stays, so that no test runs over midnight.
const NOON: &str = "2026-11-22T12:00:00Z";

/// A provider whose answers have the ids that the requests' `x-id` names; each call costs 0.12 dollars for its input and 0.08 for its output.
fn provider() -> Upstream {
    Upstream::start(|heard, out| {
        let id = heard.header("x-id").unwrap_or("chatcmpl-1");
        let frames = chat_frames(id, "gpt-4.1", 60_000, 10_000);
        out.write_all(&if heard.streams() { stream(&frames) } else { json(chat(id, "gpt-4.1", 60_000, 10_000)) })
    })
}

fn call(house: &House, id: &str) {
    let reply = house.client().post(CHAT, &[("x-id", id)], ASK.as_bytes());
    assert!(reply.status == 200 && reply.whole, "{}", reply.text());
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["call_id"].as_str().unwrap()).collect()
}

#[test]
fn a_second_engine_is_refused_with_the_number_of_the_first() {
    let house = House::before(&provider());
    let pid = format!("pid {}", house.pid());
    house.run(&["serve", "--port", "0"]).fails_with(&pid);
    // The lock speaks even when the notice is gone.
    fs::remove_file(house.path("state/engine.json")).unwrap();
    house.run(&["serve", "--port", "0"]).fails_with(&pid);
    call(&house, "chatcmpl-1");
}

#[test]
fn every_command_says_the_same_with_and_without_the_engine() {
    let upstream = provider();
    let mut house = House::new(&upstream.config(&["openai"]));
    house.set("TOLLBAR_NOW", NOON);
    house.start();
    house.out(&["budget", "set", "day", "1", "--period", "day", "--project", "shop"]);
    for (id, project) in [("a", "shop"), ("b", "shop"), ("c", "blog")] {
        house.client().post(&format!("/p/{project}{CHAT}"), &[("x-id", id)], ASK.as_bytes());
    }
    house.out(&["log", "--model", "no-such-model", "--input", "5", "--call-id", "d"]);
    assert_eq!(ids(&house.rows_when(4)).len(), 4);
    let all = [
        &["today", "--json"][..],
        &["today"],
        &["summary", "--json"],
        &["summary", "--by", "model,project"],
        &["export"],
        &["export", "--format", "csv", "--project", "shop"],
        &["budget", "list", "--json"],
        &["reprice", "--as-of", "2026-01-01", "--json"],
    ];
    let with: Vec<String> = all.iter().map(|command| house.out(command)).collect();
    let health = house.json(&["status"]);
    house.stop();
    let without: Vec<String> = all.iter().map(|command| house.out(command)).collect();
    assert_eq!(with, without);
    assert!(with[0].contains("0.600000000000") && with[6].contains("0.400000000000"), "{with:?}");
    let later = house.json(&["status"]);
    assert_eq!((&later["calls"], &later["entries"], &later["engine"]), (&health["calls"], &health["entries"], &Value::Null));
    assert!(health["engine"]["pid"].is_u64());
}

#[test]
fn the_control_api_wants_the_token_its_own_host_and_origin_and_the_protocol() {
    let house = House::before(&provider());
    let bearer = format!("Bearer {}", house.token());
    let own = format!("http://{}", house.control);
    let elsewhere = format!("evil.example:{}", house.control.rsplit(':').next().unwrap());
    let (token, protocol) = (("authorization", bearer.as_str()), ("x-tollbar-protocol", "1"));
    for (headers, status) in [
        (&[token, protocol][..], 200),
        (&[token, protocol, ("origin", &own)], 200),
        (&[protocol], 401),
        (&[("authorization", "Bearer 00"), protocol], 401),
        (&[("authorization", &bearer.to_uppercase()), protocol], 401),
        (&[token], 426),
        (&[token, ("x-tollbar-protocol", "2")], 426),
        (&[token, protocol, ("host", "evil.example")], 403),
        (&[token, protocol, ("host", &elsewhere)], 403),
        (&[token, protocol, ("origin", "https://evil.example")], 403),
        (&[token, protocol, ("origin", "null")], 403),
    ] {
        for (method, path) in [("POST", "/ask/today"), ("GET", "/hello")] {
            let reply = house.control(method, path, headers, "{}");
            assert_eq!(reply.status, status, "{method} {path} {headers:?}: {}", reply.text());
            if status != 200 {
                let fault: Value = serde_json::from_slice(&reply.body).unwrap();
                assert!(fault["message"] != "" && fault["hint"] != "" && !reply.text().contains(&house.token()), "{fault}");
            }
        }
    }
    // A page elsewhere cannot stop the engine either.
    assert_eq!(house.control("POST", "/stop", &[protocol, ("origin", "https://evil.example")], "").status, 403);
    assert_eq!(house.control("POST", "/ask/no-such-question", &[token, protocol], "{}").status, 404);
    assert_eq!(house.control("POST", "/tell", &[token, protocol], r#"{"command":"explode"}"#).status, 422);
    assert_eq!(house.json(&["status"])["engine"]["pid"], house.pid());
}

#[test]
fn the_token_and_the_log_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let house = House::before(&provider());
    call(&house, "chatcmpl-1");
    house.rows_when(1);
    let mut open = vec![house.path("data"), house.path("state")];
    while let Some(path) = open.pop() {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has {mode:o}", path.display());
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

#[test]
fn a_port_in_use_is_said_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let house = House::new("");
    house.run(&["serve", "--port", &port]).fails_with(&format!("cannot listen on 127.0.0.1:{port}"));
    // Nothing stays behind: the log is free and the port can be had later.
    assert_eq!(house.json(&["status"])["engine"], Value::Null);
}

#[test]
fn a_configuration_that_cannot_be_read_names_its_line_and_nothing_starts() {
    let house = House::new("surprise = 1");
    for command in [&["serve", "--port", "0"][..], &["today"], &["status"]] {
        house.run(command).fails_with("line 3: unknown field `surprise`");
    }
    house.configure("[upstreams.openai]\nbase_url = \"nonsense://x\"");
    house.run(&["today"]).fails_with("nonsense://x");
    house.configure("[upstreams.openai\n");
    house.run(&["today"]).fails_with("line 3");
    fs::remove_file(house.path("config.toml")).unwrap();
    fs::create_dir(house.path("config.toml")).unwrap();
    house.run(&["today"]).fails_with("cannot read the configuration");
    fs::remove_dir(house.path("config.toml")).unwrap();
    assert_eq!(house.run(&["today"]).status, 0, "no file is no fault");
}

#[test]
fn a_wrong_word_on_the_command_line_is_a_fault_of_use() {
    let house = House::new("");
    for command in [&["frobnicate"][..], &["today", "--frob"], &["export", "--format", "xml"], &["budget", "set", "x", "much"], &[]] {
        let ran = house.run(command);
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(!ran.err.is_empty() && ran.out.is_empty(), "{ran:?}");
    }
    house.run(&["stop"]).fails_with("no engine is running");
    house.run(&["budget", "remove", "x"]).fails_with("no budget \"x\"");
    house.run(&["import", "--client", "claude-code", "--root", "/no/such/folder"]).fails_with("/no/such/folder");
    house.run(&["reprice", "--as-of", "yesterday"]).fails_with("yesterday");
    house.run(&["reprice", "--book", "/no/such/book"]).fails_with("/no/such/book");
    house.run(&["summary", "--since", "2026-11-22", "--until", "2026-11-01"]).fails_with("2026-11-01");
}

#[test]
fn a_stopped_engine_can_be_started_again_at_once() {
    let (asked, hears) = channel();
    let (asked, go_on) = (Mutex::new(asked), AtomicBool::new(false));
    let go_on = std::sync::Arc::new(go_on);
    let going = go_on.clone();
    let upstream = Upstream::start(move |_, out| {
        out.write_all(STREAM.as_bytes())?;
        asked.lock().unwrap().send(()).unwrap();
        while !going.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
        chat_frames("chatcmpl-1", "gpt-4.1", 5, 5).iter().try_for_each(|frame| out.write_all(&chunk(frame)))?;
        out.write_all(house::replies::END)
    });
    let house = House::before(&upstream);
    thread::scope(|scope| {
        let mut client = house.client();
        scope.spawn(move || assert!(client.post(CHAT, &[], ASK.as_bytes()).whole));
        hears.recv_timeout(PATIENCE).unwrap();
        // The call under way keeps the first engine for a second more.
        scope.spawn(|| {
            thread::sleep(Duration::from_secs(1));
            go_on.store(true, Ordering::SeqCst);
        });
        house.out(&["stop"]);
        let again = house.command(&["serve", "--port", "0"]).spawn().unwrap();
        let mut again = Kill(again);
        eventually(
            || house.json(&["status"])["engine"]["pid"].as_u64().filter(|pid| *pid == u64::from(again.0.id())),
            || "the second engine".into(),
        );
        assert!(again.0.try_wait().unwrap().is_none());
    });
    assert_eq!(ids(&house.rows_when(1)), ["chatcmpl-1"]);
}

/// A process that does not outlive its test.
struct Kill(std::process::Child);

impl Drop for Kill {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_termination_signal_ends_the_engine_well() {
    let mut house = House::before(&provider());
    call(&house, "chatcmpl-1");
    let engine = house.take_engine();
    let mut engine = Kill(engine);
    assert!(Command::new("kill").args(["-TERM", &engine.0.id().to_string()]).status().unwrap().success());
    assert!(engine.0.wait().unwrap().success());
    assert!(!house.path("state/engine.json").exists());
    assert_eq!(ids(&house.rows()), ["chatcmpl-1"]);
}

#[test]
fn a_notice_that_points_to_another_program_does_not_mislead() {
    let mut killed = House::before(&provider());
    call(&killed, "chatcmpl-1");
    killed.rows_when(1);
    killed.kill();
    // The port of a dead engine went to the engine of another home, or to a program that is none.
    let other = House::before(&provider());
    let stranger = Upstream::saying(json("[]"));
    for address in [&other.control, &stranger.address] {
        fs::write(killed.path("state/engine.json"), format!(r#"{{"pid":1,"address":"http://{address}"}}"#)).unwrap();
        assert_eq!(ids(&killed.rows()), ["chatcmpl-1"]);
    }
    killed.start();
    assert_eq!(killed.json(&["status"])["engine"]["pid"], killed.pid());
}

#[test]
fn an_engine_that_does_not_know_the_token_is_named() {
    let house = House::before(&provider());
    fs::write(house.path("state/token"), "0".repeat(64)).unwrap();
    house.run(&["today"]).fails_with("token");
}

#[test]
fn kill_9_loses_no_call_whose_reply_had_ended_a_second_before_and_counts_none_twice() {
    const ROUNDS: usize = 5;
    let upstream = provider();
    let mut house = House::new(&upstream.config(&["openai"]));
    let (mut must_be_there, mut ended_later) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        house.start();
        let stop = AtomicBool::new(false);
        let proxy = house.proxy.clone();
        let (ended, killed_at) = thread::scope(|scope| {
            let calls = scope.spawn(|| {
                let mut ended = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let id = format!("chatcmpl-{round}-{}", ended.len());
                    let Some(at) = try_call(&proxy, &id) else { break };
                    ended.push((id, at));
                    thread::sleep(Duration::from_millis(random(60)));
                }
                ended
            });
            thread::sleep(Duration::from_millis(1_050 + random(400)));
            let killed_at = Instant::now();
            house.kill();
            stop.store(true, Ordering::SeqCst);
            (calls.join().unwrap(), killed_at)
        });
        for (id, at) in ended {
            if killed_at.saturating_duration_since(at) >= Duration::from_secs(1) { must_be_there.push(id) } else { ended_later.push(id) }
        }
    }
    let rows = house.rows();
    let there: HashSet<&str> = ids(&rows).into_iter().collect();
    let lost: Vec<&String> = must_be_there.iter().filter(|id| !there.contains(id.as_str())).collect();
    let later = ended_later.iter().filter(|id| there.contains(id.as_str())).count();
    println!(
        "{ROUNDS} kills: {} of {} calls that ended a second before, {later} of {} that ended later",
        must_be_there.len() - lost.len(),
        must_be_there.len(),
        ended_later.len()
    );
    assert!(lost.is_empty() && !must_be_there.is_empty(), "{lost:?}");
    assert_eq!(there.len(), rows.len(), "no call twice");
    assert!(rows.iter().all(|row| row["input"] == 60_000 && row["certainty"] == "reported"));
}

/// One call to a proxy that may die under it; when its reply had ended.
fn try_call(proxy: &str, id: &str) -> Option<Instant> {
    let mut stream = std::net::TcpStream::connect(proxy).ok()?;
    let request = house::wire::request("POST", CHAT, &[("x-id", id), ("Connection", "close")], ASK.as_bytes());
    stream.write_all(&request).ok()?;
    let mut reply = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut reply).ok()?;
    reply.ends_with(house::replies::END).then(Instant::now)
}

/// A number below a bound, another one each time.
fn random(below: u64) -> u64 {
    RandomState::new().build_hasher().finish() % below
}

#[test]
fn a_budget_alerts_once_at_80_and_once_at_100_and_not_again_after_a_restart() {
    let upstream = provider();
    let mut house = House::new(&upstream.config(&["openai"]));
    house.set("TOLLBAR_NOW", NOON);
    house.start();
    house.out(&["budget", "set", "one dollar", "1", "--period", "day"]);
    let heard = house.watch();
    let alerts = |heard: &Mutex<Vec<String>>| -> Vec<u64> {
        let heard = heard.lock().unwrap();
        let alerts = heard.iter().filter_map(|line| line.strip_prefix("alert "));
        alerts.map(|data| serde_json::from_str::<Value>(data).unwrap()["percent"].as_u64().unwrap()).collect()
    };
    let mut at = BTreeMap::new();
    for nth in 1..=8 {
        call(&house, &format!("chatcmpl-{nth}"));
        house.rows_when(nth);
        at.insert(nth, alerts(&heard));
    }
    // A fifth of a dollar each: the fourth call reaches 80 %, the fifth 100 %.
    eventually(|| (alerts(&heard).len() == 2).then_some(()), || format!("two alerts, not {at:?}"));
    assert_eq!((&at[&3][..], alerts(&heard)), (&[][..], vec![80, 100]));
    house.stop();
    house.start();
    let heard = house.watch();
    call(&house, "chatcmpl-9");
    house.rows_when(9);
    eventually(|| heard.lock().unwrap().iter().any(|line| line.starts_with("changed")).then_some(()), || "a change".into());
    house.kill();
    house.start();
    call(&house, "chatcmpl-10");
    house.rows_when(10);
    assert_eq!(alerts(&heard), Vec::<u64>::new());
    let lines: Vec<String> = house.errors().lines().map(str::to_owned).collect();
    assert_eq!(lines, ["budget \"one dollar\" crossed 80 %: $0.80 of $1.00", "budget \"one dollar\" crossed 100 %: $1.00 of $1.00"]);
    assert_eq!(house.json(&["budget", "list"])["budgets"][0]["level"], "over");
}

#[test]
fn a_call_logged_twice_by_its_id_is_one_call() {
    let house = House::new("");
    let log = ["log", "--model", "gpt-4.1", "--input", "1000", "--output", "10", "--call-id", "resp_1", "--project", "shop"];
    assert_eq!(house.json(&log)["entries"], 1);
    assert_eq!(house.json(&log)["entries"], 0);
    assert_eq!(house.rows().len(), 1);
    // Without an id each is a call of its own.
    let log = ["log", "--model", "gpt-4.1", "--input", "1000"];
    assert_eq!((house.json(&log)["entries"].as_u64(), house.json(&log)["entries"].as_u64()), (Some(1), Some(1)));
    assert_eq!(house.rows().len(), 3);
}

#[test]
fn every_form_of_the_export_has_the_same_rows() {
    let house = House::new("");
    for (project, id) in [("plain", "a"), ("with, comma and \"quotes\"", "b"), ("caf\u{e9} =1+1", "c")] {
        house.out(&["log", "--model", "gpt-4.1", "--input", "123", "--output", "4", "--project", project, "--call-id", id]);
    }
    house.out(&["log", "--model", "no-such-model", "--input", "5"]);
    let lines = house.rows();
    let array: Vec<Value> = serde_json::from_str(&house.out(&["export", "--format", "json"])).unwrap();
    assert_eq!(lines, array);
    let cells = csv(&house.out(&["export", "--format", "csv"]));
    let (columns, rows) = cells.split_first().unwrap();
    assert_eq!(rows.len(), lines.len());
    for (cells, line) in rows.iter().zip(&lines) {
        assert_eq!(columns.len(), line.as_object().unwrap().len());
        for (column, cell) in columns.iter().zip(cells) {
            let expected = match &line[column] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                Value::Array(words) => words.iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>().join(" "),
                Value::Bool(_) | Value::Number(_) | Value::Object(_) => line[column].to_string(),
            };
            assert_eq!(*cell, expected, "{column}");
        }
    }
}

/// Lines of cells (RFC 4180).
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut inside) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if inside && letters.peek() == Some(&'"') => cell.push(letters.next().unwrap()),
            '"' => inside = !inside,
            ',' if !inside => row.push(std::mem::take(&mut cell)),
            '\n' if !inside => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            letter => cell.push(letter),
        }
    }
    rows
}

#[test]
fn a_full_disk_stops_no_call_and_loses_none() {
    let house = House::new("");
    let data = house.path("data");
    fs::create_dir(&data).unwrap();
    let Some(_disk) = Disk::mount(&data) else {
        println!("skipped: this user may not mount a small disk");
        return;
    };
    let upstream = provider();
    house.configure(&upstream.config(&["openai"]));
    let mut house = house;
    house.start();
    call(&house, "chatcmpl-before");
    house.rows_when(1);
    let filler = data.join("filler");
    fill(&filler);
    let warned = |house: &House| house.json(&["status"])["engine"]["warnings"].as_array().unwrap().len();
    // The first ones may find room in a page that was begun.
    let mut calls = 1;
    while warned(&house) == 0 {
        assert!(calls < 2_000, "no warning: {:?}", house.run(&["status"]));
        for _ in 0..20 {
            call(&house, &format!("chatcmpl-full-{calls}"));
            calls += 1;
        }
    }
    println!("{}", house.json(&["status"])["engine"]["warnings"]);
    fs::remove_file(&filler).unwrap();
    let rows = house.rows_when(calls);
    assert_eq!(rows.len(), calls);
    eventually(|| (warned(&house) == 0).then_some(()), || "the warning goes".into());
    assert_eq!(house.json(&["status"])["engine"]["proxy"]["unobserved"], 0);
    call(&house, "chatcmpl-after");
    house.rows_when(calls + 1);
    house.kill();
    // A start on a full disk may fail, but gives nothing up.
    fill(&filler);
    let ran = house.run(&["today"]);
    assert!(ran.status == 0 || ran.err.contains("No space left"), "{ran:?}");
    fs::remove_file(&filler).unwrap();
    assert_eq!(house.rows().len(), calls + 1, "it is all on the disk");
    let moved = fs::read_dir(data.join("log")).unwrap().filter(|entry| entry.as_ref().unwrap().path().to_string_lossy().contains("broken"));
    assert_eq!(moved.count(), 0);
}

/// Writes until there is no room.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

/// A small disk in memory. Dropping it takes it away.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Option<Disk> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m,mode=700", "tollbar-test"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Disk(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the engine is killed after this.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
