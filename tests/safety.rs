//! What another user, a web page or a hostile file can do to a running engine: nothing that stops it from recording, answering or ending.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use house::{House, Upstream, eventually, replies};
use serde_json::json;
use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// An engine must end within this time, whatever it is held up by.
const STOP_MAX: Duration = Duration::from_secs(2);

fn pipe(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
}

fn completion(id: &str) -> String {
    json!({"id": id, "object": "chat.completion", "model": "gpt-4o", "choices": [],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}})
    .to_string()
}

/// Makes one call from a process whose working folder is this one.
fn call_from(folder: &Path, house: &House) {
    let (host, port) = house.proxy.split_once(':').unwrap();
    let body = r#"{"model":"gpt-4o"}"#;
    let script = format!(
        "exec 3<>/dev/tcp/{host}/{port}; printf 'POST /openai/v1/chat/completions HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Bearer k\\r\\n\
         Content-Length: {}\\r\\nConnection: close\\r\\n\\r\\n{body}' >&3; cat <&3",
        body.len()
    );
    let output = Command::new("bash").args(["-c", &script]).current_dir(folder).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("HTTP/1.1 200"), "{output:?}");
}

fn stops_in_time(house: &mut House) {
    let begun = Instant::now();
    house.stop();
    assert!(begun.elapsed() < STOP_MAX, "stopped after {:?}", begun.elapsed());
}

#[test]
fn pipe_as_git_head_does_not_end_recording() {
    let upstream = Upstream::saying(replies::json(completion("chatcmpl-1")));
    let mut house = House::before(&upstream);
    let folder = house.path("hostile");
    pipe(&folder.join(".git/HEAD"));
    let zero = house.path("zero");
    fs::create_dir_all(zero.join(".git")).unwrap();
    symlink("/dev/zero", zero.join(".git/HEAD")).unwrap();
    for calls in 1..=3 {
        call_from(&folder, &house);
        house.rows_when(calls * 2 - 1);
        call_from(&zero, &house);
        house.rows_when(calls * 2);
    }
    stops_in_time(&mut house);
}

#[test]
fn special_files_among_logs_hold_up_nothing() {
    let upstream = Upstream::saying(replies::json("{}"));
    let mut house = House::new(&upstream.config(&["openai"]));
    fs::write(house.path("config.toml"), format!("dashboard.port = 0\n{}", upstream.config(&["openai"]))).unwrap();
    let slug = house.path("user/.claude/projects/slug");
    pipe(&slug.join("early.jsonl"));
    symlink("/dev/zero", slug.join("zero.jsonl")).unwrap();
    let codex = house.path("user/.codex/sessions/2026/12/01");
    pipe(&codex.join("rollout-2026-12-01T00-00-00-019a0000-0000-7000-8000-000000000001.jsonl"));
    pipe(&house.path("user/.copilot/session-store.db"));
    house.start();
    let warned = |what: &str| eventually(|| house.out(&["status"]).contains(what).then_some(()), || house.out(&["status"]));
    warned("early.jsonl");
    warned("zero.jsonl");
    warned("session-store.db");
    // Another one comes while the engine watches, and then a log.
    pipe(&slug.join("late.jsonl"));
    std::thread::sleep(Duration::from_millis(700));
    let line = json!({"type": "assistant", "sessionId": "s", "requestId": "req_1", "uuid": "u", "timestamp": "2026-11-30T10:00:00.000Z",
        "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [],
            "stop_reason": "end_turn", "usage": {"input_tokens": 10, "output_tokens": 20}}});
    fs::write(slug.join("good.jsonl"), format!("{line}\n")).unwrap();
    house.rows_when(1);
    warned("late.jsonl");
    stops_in_time(&mut house);
}
