//! The log as its owner handles it: verified, rebuilt, backed up, merged, reset, metered again; and what a machine does to the files around
//! it, each with an error that names the file and the way out.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use house::House;
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const SPEND_BY_DEVICE: &[&str] = &["summary", "--by", "device"];

/// A home with some calls of its own.
fn home(ids: &[&str]) -> House {
    let house = House::new("");
    for id in ids {
        house.out(&["log", "--model", "gpt-4.1", "--input", "1000", "--output", "10", "--call-id", id, "--at", "2026-11-20T10:00:00Z"]);
    }
    house
}

fn ids(house: &House) -> Vec<String> {
    let mut ids: Vec<String> = house.rows().iter().map(|row| row["call_id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

fn journal(house: &House) -> PathBuf {
    let device = fs::read_dir(house.path("data/log/journal")).unwrap().next().unwrap().unwrap().path();
    fs::read_dir(device).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn a_whole_log_verifies_and_a_rebuilt_one_says_the_same() {
    let house = home(&["a", "b", "c"]);
    let before = house.out(&["export"]);
    assert!(house.out(&["ledger", "verify"]).contains("3 entries verified"));
    assert_eq!(house.json(&["ledger", "verify"]), json!({ "entries": 3, "findings": [], "more_findings": 0 }));
    assert!(house.out(&["ledger", "rebuild"]).contains("3 entries are in the new store"));
    assert_eq!(house.out(&["export"]), before);
    let size = house.json(&["ledger", "size"]);
    assert_eq!(size["entries"], 3);
    assert!(size["journal_bytes"].as_u64().unwrap() > 0, "{size}");
    assert!(house.out(&["ledger", "size"]).contains("bytes an entry"));
}

#[test]
fn damage_in_the_journal_is_found_named_and_costs_nothing_that_the_store_has() {
    let house = home(&["a", "b", "c"]);
    let before = house.out(&["export"]);
    let path = journal(&house);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(&path, bytes).unwrap();
    let ran = house.run(&["ledger", "verify"]);
    assert_ne!(ran.status, 0, "{ran:?}");
    assert!(ran.out.contains(path.to_str().unwrap()), "{ran:?}");
    assert!(ran.err.contains("ledger rebuild"), "{ran:?}");
    assert_eq!(house.out(&["export"]), before);
}

#[test]
fn machines_that_merge_each_other_see_the_same_and_a_second_merge_adds_nothing() {
    let (one, other) = (home(&["a", "b", "both"]), home(&["both", "c"]));
    let merge = |into: &House, from: &House| into.json(&["ledger", "merge", from.path("data").to_str().unwrap()]);
    let told = merge(&one, &other);
    assert_eq!((&told["devices"], &told["read"]), (&json!(1), &json!(2)), "{told}");
    assert_eq!(ids(&one), ["a", "b", "both", "c"]);
    assert_eq!(merge(&one, &other)["entries"], 0);
    merge(&other, &one);
    assert_eq!(ids(&other), ids(&one));
    assert_eq!(merge(&other, &one)["entries"], 0);
    assert_eq!(merge(&one, &other)["entries"], 0, "what was merged there comes back as what it was");
    let devices = |house: &House| {
        let answer = house.json(SPEND_BY_DEVICE);
        let mut rows: Vec<(String, u64)> = answer["rows"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"))
            .iter()
            .map(|row| (row["names"][0].as_str().unwrap().to_owned(), row["spend"]["calls"].as_u64().unwrap()))
            .collect();
        rows.sort();
        rows
    };
    let seen = devices(&one);
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(seen.iter().map(|(_, calls)| calls).sum::<u64>(), 4);
}

#[test]
fn a_backup_brings_everything_back_and_goes_into_no_full_folder() {
    let house = home(&["a", "b"]);
    let folder = house.path("backup");
    let backup = ["ledger", "backup", folder.to_str().unwrap()];
    assert!(house.json(&backup)["bytes"].as_u64().unwrap() > 0);
    house.run(&backup).fails_with("backup");
    let fresh = House::new("");
    fresh.out(&["ledger", "merge", folder.to_str().unwrap()]);
    assert_eq!(ids(&fresh), ids(&house));
    fresh.run(&["ledger", "merge", fresh.path("user").to_str().unwrap()]).fails_with("no journal");
}

#[test]
fn a_reset_wants_the_word_typed_and_keeps_the_old_log() {
    let house = home(&["a", "b"]);
    house.run(&["reset"]).fails_with("Nobody is here to confirm it");
    // `script` gives it a terminal to ask on.
    let typed = |text: &str| {
        let asked = house.command(&["reset"]);
        let line =
            std::iter::once(asked.get_program()).chain(asked.get_args()).map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join(" ");
        let mut terminal = Command::new("script");
        terminal
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .current_dir(asked.get_current_dir().unwrap_or(Path::new("/")));
        for (name, value) in asked.get_envs() {
            match value {
                Some(value) => terminal.env(name, value),
                None => terminal.env_remove(name),
            };
        }
        let mut child = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap().status.success()
    };
    assert!(!typed("yes\n") && !typed("\n"));
    assert_eq!(ids(&house).len(), 2);
    assert!(typed("reset\n"));
    assert!(house.rows().is_empty());
    house.out(&["log", "--model", "gpt-4.1", "--input", "1", "--call-id", "c"]);
    let archived = house.json(&["reset", "--yes"])["archived"].as_str().unwrap().to_owned();
    assert_eq!(fs::read_dir(house.path("data/archive")).unwrap().count(), 2);
    house.out(&["ledger", "merge", &archived]);
    assert_eq!(ids(&house), ["c"]);
}

#[test]
fn a_running_engine_is_not_reset() {
    let mut house = home(&["a"]);
    house.start();
    house.run(&["reset", "--yes"]).fails_with("engine runs");
}

#[test]
fn what_was_counted_wrongly_is_shown_then_restated_and_a_second_run_changes_nothing() {
    let mut house = House::new("");
    house.start();
    let said = json!({ "input_tokens": 100, "cache_read_input_tokens": 7, "output_tokens": 50 });
    let usage = json!({
        "at": "2026-11-20T10:00:00Z", "provider": "anthropic", "family": "anthropic", "model": "claude-sonnet-4-5", "call_id": "msg_1",
        "client": "claude-code", "tokens": { "input": 107, "cache_read": 7, "output": 50 }, "certainty": "reported", "sources": ["log"],
    });
    let bearer = format!("Bearer {}", house.token());
    let headers = [("authorization", bearer.as_str()), ("x-tollbar-protocol", "1"), ("content-type", "application/json")];
    let told = json!({ "command": "log_usage", "sightings": [{ "usage": usage, "said": said }] }).to_string();
    let reply = house.control("POST", "/tell", &headers, &told);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let input = |house: &House| house.rows()[0]["tokens"]["input"].as_u64();
    let before = input(&house);

    let shown = house.json(&["remeter"]);
    assert_eq!((&shown["changed"], &shown["applied"]), (&json!(1), &json!(false)), "{shown}");
    assert_eq!(input(&house), before, "a dry run writes nothing");
    assert!(house.out(&["remeter"]).contains("would be restated"));
    assert_eq!(house.json(&["remeter", "--apply"])["models"][0]["tokens_in_after"], 107);
    assert_eq!(house.json(&["remeter", "--apply"])["changed"], 0);
    house.stop();
    assert_eq!(house.json(&["remeter"])["changed"], 0, "nor after a restart");
    assert_eq!(house.json(&["ledger", "verify"])["findings"], json!([]));
}

#[test]
fn what_lies_in_the_place_of_lock_token_or_notice_is_replaced() {
    for (path, bytes) in [
        ("data/log/lock", &b"not a number"[..]),
        ("data/log/lock", b""),
        ("state/token", b""),
        ("state/token", b"\xff\xfe\x00"),
        ("state/engine.json", b"{\"pid\":"),
        ("state/engine.json", b""),
        ("data/log/checkpoint", b"\x00\x01\x02"),
    ] {
        let mut house = home(&["a"]);
        fs::create_dir_all(house.path("state")).unwrap();
        fs::write(house.path(path), bytes).unwrap();
        assert_eq!(ids(&house), ["a"], "{path} {bytes:?}");
        house.start();
        assert_eq!(ids(&house), ["a"], "{path} {bytes:?}, by the engine");
        let mode = fs::metadata(house.path("state/token")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{path} {bytes:?}");
    }
}

#[test]
fn store_removed_under_engine_ends_no_recording() {
    let mut house = home(&["a"]);
    house.start();
    fs::remove_dir_all(house.path("data/log/store")).unwrap();
    house.out(&["ledger", "rebuild"]);
    for id in ["b", "c"] {
        // Removed already, where the engine was not asked to make it again.
        let _ = fs::remove_dir_all(house.path("data/log/store"));
        house.out(&["log", "--model", "gpt-4.1", "--input", "1000", "--output", "10", "--call-id", id]);
    }
    assert_eq!(ids(&house), ["a", "b", "c"]);
}

#[test]
fn device_file_that_is_damaged_is_written_again() {
    let house = home(&["a"]);
    let device = fs::read_to_string(house.path("data/device")).unwrap();
    for damaged in ["../elsewhere", "", "00000000", "\u{0}\u{1}"] {
        fs::write(house.path("data/device"), damaged).unwrap();
        for name in ["store", "keys"] {
            fs::remove_dir_all(house.path("data/log").join(name)).unwrap();
        }
        assert_eq!(ids(&house), ["a"], "{damaged:?}");
        assert_eq!(fs::read_to_string(house.path("data/device")).unwrap(), device, "{damaged:?}");
    }
    fs::remove_file(house.path("data/device")).unwrap();
    assert_eq!(ids(&house), ["a"], "the journal knows the name");
}

#[test]
fn a_disk_that_cannot_be_written_is_said_and_what_to_do() {
    let house = home(&["a"]);
    let data = house.path("data");
    let Some(_disk) = ReadOnly::mount(&data) else {
        println!("skipped: this user may not mount a folder for reading only");
        return;
    };
    for command in [&["today"][..], &["log", "--model", "gpt-4.1", "--input", "1"]] {
        let ran = house.run(command);
        ran.fails_with(data.to_str().unwrap());
        assert_eq!(ran.err.trim_end().lines().count(), 2, "one line of cause, one of what to do: {}", ran.err);
    }
}

#[test]
fn a_clock_that_was_set_back_a_year_loses_and_reorders_nothing() {
    let mut house = home(&["a"]);
    for (now, id) in [("2026-11-22T12:00:00Z", "b"), ("2025-11-22T12:00:00Z", "c"), ("2026-12-02T12:00:00Z", "d")] {
        house.set("TOLLBAR_NOW", now);
        house.out(&["log", "--model", "gpt-4.1", "--input", "1", "--call-id", id]);
    }
    assert_eq!(ids(&house), ["a", "b", "c", "d"]);
    assert!(house.out(&["ledger", "verify"]).contains("4 entries verified"));
    let total = |value: &Value| value["total"]["calls"].clone();
    assert_eq!(total(&house.json(&["summary", "--since", "2025-11-01", "--until", "2025-11-30"])), json!(1));
}

/// A folder that is mounted over itself for reading only. Dropping it takes that away.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn mount(at: &Path) -> Option<ReadOnly> {
        let mount = |arguments: &[&str]| Command::new("mount").args(arguments).arg(at).output().is_ok_and(|output| output.status.success());
        let bound = mount(&["--bind", at.to_str().unwrap()]).then(|| ReadOnly(at.to_owned()))?;
        mount(&["-o", "remount,bind,ro"]).then_some(bound)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn the_prices_of_a_day_are_listed_and_a_name_that_has_none_is_said() {
    let house = House::new("");
    let rows = house.json(&["models", "GPT-4.1-nano", "--provider", "openai", "--as-of", "2026-06-01"]);
    let standard = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["model"] == "gpt-4.1-nano" && row["tier"].as_str().is_none_or(|tier| tier == "standard"))
        .unwrap();
    assert_eq!((&standard["rates"]["input"], &standard["rates"]["output"]), (&"0.1".into(), &"0.4".into()));
    assert!(house.out(&["models", "gpt-4.1-nano", "--as-of", "2026-06-01"]).contains("standard"));
    house.run(&["models", "no-such-model"]).fails_with("the book has no such price");
    house.run(&["models", "--as-of", "soon"]).fails_with("soon");
}
