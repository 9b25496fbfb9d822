//! What another user, a web page or a hostile file can do to a running engine: nothing that stops it from recording, answering or ending.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use house::{House, Upstream, eventually, replies};
use serde_json::{Value, json};
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

/// Text that clears a screen, sets a title, turns text around and hides in it, as one could stand in a log or a header.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}gpj\u{2066}\u{200b}\u{e0041}\r\n=cmd|' /C calc'!A0";

fn tell(house: &House, sightings: &Value) {
    let bearer = format!("Bearer {}", house.token());
    let body = json!({"command": "log_usage", "sightings": sightings}).to_string();
    let reply = house.control("POST", "/tell", &[("authorization", &bearer), ("x-tollbar-protocol", "1")], &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
}

fn has_controls(text: &str) -> bool {
    text.chars().any(|letter| letter != '\n' && letter != '\t' && events::names::is_hidden(letter))
}

#[test]
fn hostile_names_control_no_output() {
    let upstream = Upstream::saying(replies::json(completion("chatcmpl-1")));
    let house = House::before(&upstream);
    let usage = |id: &str, name: &str| {
        json!({"usage": {"at": "2026-11-30T10:00:00Z", "provider": name, "family": "openai", "model": name, "call_id": id, "client": name,
            "session": name, "branch": name, "project": {"by": "folder", "name": name}, "tokens": {"input": 5, "output": 7},
            "certainty": "reported", "sources": ["log"]}})
    };
    tell(&house, &json!([usage("a", HOSTILE), usage("b", "=1+1"), usage(HOSTILE, "plain")]));
    assert_eq!(house.rows_when(3).len(), 3);
    let all = [
        &["summary", "--by", "model,project,client"][..],
        &["summary", "--json"],
        &["export"],
        &["export", "--format", "json"],
        &["export", "--format", "csv"],
        &["today"],
        &["status"],
        &["status", "--json"],
        &["coverage"],
        &["project", "list"],
        &["prices", "missing"],
    ];
    for arguments in all {
        let out = house.out(arguments);
        assert!(!has_controls(&out), "{arguments:?}: {out:?}");
    }
    let refused = house.run(&["budget", "remove", HOSTILE]);
    assert!(refused.status != 0 && !has_controls(&refused.err), "{refused:?}");
    let csv = house.out(&["export", "--format", "csv"]);
    assert!(csv.contains("\"'=1+1\"") && !csv.contains(",=") && !csv.contains("\"="), "{csv}");
}

#[test]
fn every_answer_of_the_dashboard_has_its_headers() {
    let upstream = Upstream::saying(replies::json("{}"));
    let house = House::before(&upstream);
    for (path, headers, status) in [
        ("/", &[][..], 200),
        ("/no-such-page", &[], 404),
        ("/hello", &[], 401),
        ("/", &[("host", "evil.example")], 403),
        ("/", &[("origin", "http://evil.example")], 403),
    ] {
        let reply = house.control("GET", path, headers, "");
        assert_eq!(reply.status, status, "{path}");
        let header = |name: &str| reply.header(name).unwrap_or_else(|| panic!("{path} has no {name}")).to_owned();
        let policy = header("content-security-policy");
        for part in ["connect-src 'self'", "object-src 'none'", "form-action 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
    }
}

#[test]
fn web_page_of_another_site_neither_calls_nor_is_recorded() {
    let upstream = Upstream::saying(replies::json(completion("chatcmpl-1")));
    let house = House::before(&upstream);
    let body = br#"{"model":"gpt-4o"}"#;
    for headers in [
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("content-type", "text/plain")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
    ] {
        let reply = house.client().post("/openai/v1/chat/completions", headers, body);
        assert_eq!(reply.status, 403, "{headers:?}: {}", reply.text());
    }
    assert!(upstream.heard().is_empty(), "nothing has reached the upstream");
    // A preflight costs nothing and is the upstream's to answer. It does not let the request through.
    let preflight = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("access-control-request-method", "POST")];
    let mut client = house.client();
    client.send(&house::wire::request("OPTIONS", "/openai/v1/chat/completions", &preflight, b""));
    assert_eq!((client.reply().status, upstream.heard().len()), (200, 1));
    assert_eq!(house.client().post("/openai/v1/chat/completions", &preflight, body).status, 403);
    let own = [("origin", "http://localhost:3000"), ("sec-fetch-site", "cross-site")];
    assert_eq!(house.client().post("/openai/v1/chat/completions", &own, body).status, 200);
    assert_eq!(house.rows_when(1).len(), 1);
}
