//! Disks and folders that take no log: calls pass from the first moment, that is said, and recording begins when it can.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use house::{House, Upstream, eventually, replies::chat, replies::json};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

const CHAT: &str = "/openai/v1/chat/completions";
const ASK: &str = r#"{"model":"gpt-4.1","messages":[]}"#;
const STOP_MAX: Duration = Duration::from_secs(5);

/// Every call is one of its own: they pass the proxy.
fn provider() -> Upstream {
    Upstream::saying(json(chat("chatcmpl-1", "gpt-4.1", 100_000, 5)))
}

fn call(house: &House) {
    let reply = house.post(CHAT, ASK);
    assert_eq!(reply.status, 200, "{}", reply.text());
}

fn engine(house: &House) -> Value {
    house.json(&["status"])["engine"].clone()
}

/// Starts an engine whose log cannot be opened, has it carry a call, and looks at what it says.
fn passes_calls_unrecorded(house: &mut House, cause: &str) {
    house.start();
    call(house);
    let told = eventually(
        || Some(engine(house)).filter(|engine| engine["not_recording"].is_object() && engine["proxy"]["unobserved"] == 1),
        || format!("{cause}: {}", engine(house)),
    );
    let warning = told["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("calls pass and are not recorded: ") && warning.contains(cause), "{warning}");
    assert!(told["not_recording"]["hint"] != "", "{told}");
    assert!(house.out(&["status"]).contains("calls pass and are not recorded"));
    house.run(&["log", "--model", "gpt-4.1", "--input", "1"]).fails_with(cause);
    assert!(fs::read_to_string(house.path("state/engine.log")).unwrap().contains("calls pass and are not recorded"));
}

/// What hindered the engine is gone: what waited is recorded, and what comes.
fn records_from_now_on(house: &House, calls: usize) {
    eventually(|| (engine(house)["not_recording"] == Value::Null).then_some(()), || format!("it records: {}", engine(house)));
    call(house);
    assert_eq!(house.rows_when(calls).len(), calls);
    let told = engine(house);
    assert_eq!((&told["proxy"]["unobserved"], told["warnings"].as_array().unwrap().len()), (&0.into(), 0), "{told}");
    call(house);
    house.rows_when(calls + 1);
}

#[test]
fn engine_whose_data_folder_is_no_folder_forwards_and_records_later() {
    let mut house = House::new(&provider().config(&["openai"]));
    fs::write(house.path("data"), "").unwrap();
    passes_calls_unrecorded(&mut house, "data");
    fs::remove_file(house.path("data")).unwrap();
    records_from_now_on(&house, 2);
    house.stop();
}

#[test]
fn engine_whose_journal_cannot_be_read_forwards_and_records_later() {
    let mut house = House::new(&provider().config(&["openai"]));
    house.out(&["log", "--model", "gpt-4.1", "--input", "1"]);
    let device = fs::read_to_string(house.path("data/device")).unwrap();
    let journal = house.path("data/log/journal").join(device);
    let month = fs::read_dir(&journal).unwrap().next().unwrap().unwrap().path();
    let aside = house.path("aside");
    fs::rename(&month, &aside).unwrap();
    fs::create_dir(&month).unwrap();
    passes_calls_unrecorded(&mut house, month.to_str().unwrap());
    fs::remove_dir(&month).unwrap();
    fs::rename(&aside, &month).unwrap();
    records_from_now_on(&house, 3);
    house.stop();
}

#[test]
fn engine_that_never_records_stops_in_time() {
    let mut house = House::new(&provider().config(&["openai"]));
    fs::write(house.path("data"), "").unwrap();
    passes_calls_unrecorded(&mut house, "data");
    let begun = Instant::now();
    house.stop();
    assert!(begun.elapsed() < STOP_MAX, "{:?}", begun.elapsed());
    assert!(fs::read_to_string(house.path("state/engine.log")).unwrap().contains("1 calls passed and were not recorded"));
}

#[test]
fn engine_without_a_state_folder_forwards_and_is_found_later() {
    let mut house = House::new(&provider().config(&["openai"]));
    fs::write(house.path("state"), "").unwrap();
    house.start();
    call(&house);
    assert!(house.errors().contains("the control API cannot be found"), "{}", house.errors());
    fs::remove_file(house.path("state")).unwrap();
    let pid = house.pid();
    let status = || house.run(&["status", "--json"]);
    let found = || serde_json::from_str::<Value>(&status().out).ok().filter(|status| status["engine"]["pid"] == pid);
    eventually(found, || format!("the engine: {:?}", status()));
    assert_eq!(engine(&house)["warnings"], serde_json::json!([]));
    house.rows_when(1);
    house.stop();
}

#[test]
fn engine_on_a_read_only_disk_forwards_and_records_later() {
    let mut house = House::new(&provider().config(&["openai"]));
    house.out(&["log", "--model", "gpt-4.1", "--input", "100000"]);
    let Some(disk) = Mount::read_only(&house.path("data")) else {
        return println!("skipped: this user may not mount a folder for reading only");
    };
    passes_calls_unrecorded(&mut house, "Read-only file system");
    assert_eq!(house.rows().len(), 1, "the engine answers from what can be read");
    assert_eq!((&house.json(&["today"])["today"]["calls"], &house.json(&["status"])["calls"]), (&1.into(), &1.into()));
    drop(disk);
    records_from_now_on(&house, 3);
    house.stop();
}

#[test]
fn engine_on_a_full_disk_forwards_and_records_later() {
    let mut house = House::new(&provider().config(&["openai"]));
    fs::create_dir(house.path("data")).unwrap();
    let Some(_disk) = Mount::small(&house.path("data")) else { return println!("skipped: this user may not mount a small disk") };
    let filler = house.path("data/filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    passes_calls_unrecorded(&mut house, "No space left on device");
    fs::remove_file(&filler).unwrap();
    records_from_now_on(&house, 2);
    house.stop();
}

#[test]
fn engine_waits_for_a_command_that_holds_the_log() {
    let mut house = House::new(&provider().config(&["openai"]));
    house.out(&["today"]);
    let lock = fs::File::open(house.path("data/log/lock")).unwrap();
    lock.lock().unwrap();
    passes_calls_unrecorded(&mut house, "is held by another tollbar");
    drop(lock);
    records_from_now_on(&house, 2);
    house.stop();
}

/// A file system that is taken away when this is dropped.
struct Mount(PathBuf);

impl Mount {
    fn read_only(at: &Path) -> Option<Mount> {
        let bound = mount(&["--bind", at.to_str()?], at).then(|| Mount(at.to_owned()))?;
        mount(&["-o", "remount,bind,ro"], at).then_some(bound)
    }

    fn small(at: &Path) -> Option<Mount> {
        mount(&["-t", "tmpfs", "-o", "size=8m,mode=700", "tollbar-test"], at).then(|| Mount(at.to_owned()))
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    Command::new("mount").args(arguments).arg(at).output().is_ok_and(|output| output.status.success())
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: the engine may have a file open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
