//! Calls that are not plain: answers fetched later, objects that are only changed, paths that no dialect reads, ends without a word.

#![allow(clippy::unwrap_used)]

mod house;

use house::{
    Heard, House, Upstream, eventually,
    replies::{chat, json, message, sized},
    wire::request,
};
use serde_json::Value;
use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

const ASK: &str = r#"{"model":"grok-4","messages":[{"role":"user","content":"Hi"}]}"#;

/// A stand-in that answers by method and path.
fn by_line(answers: &'static [(&'static str, u16, &'static str)]) -> Upstream {
    Upstream::start(move |heard: &Heard, out| {
        let found = answers.iter().find(|(line, ..)| *line == heard.line());
        let (_, status, body) = found.unwrap_or_else(|| panic!("asked for {}", heard.line()));
        out.write_all(&sized(&format!("{status} Said"), "Content-Type: application/json\r\n", body))
    })
}

fn house_of(upstream: &Upstream, names: &[&str]) -> House {
    let mut house = House::new(&upstream.config(names));
    house.start();
    house
}

fn get(house: &House, path: &str) -> u16 {
    let mut client = house.client();
    client.send(&request("GET", path, &[], b""));
    client.reply().status
}

fn unmetered(house: &House) -> Vec<(String, u64)> {
    let status = house.json(&["status"]);
    let list = status["engine"]["proxy"]["unmetered"].as_array().unwrap().clone();
    list.iter().map(|it| (it["shape"].as_str().unwrap().to_owned(), it["calls"].as_u64().unwrap())).collect()
}

#[test]
fn stored_completion_that_is_updated_is_no_call() {
    let upstream = Upstream::saying(json(chat("chatcmpl-1", "gpt-4.1", 1000, 100)));
    let mut house = House::before(&upstream);
    house.post("/openai/v1/chat/completions", ASK);
    house.post("/openai/v1/chat/completions/chatcmpl-1", r#"{"metadata":{"a":"b"}}"#);
    house.stop();
    assert_eq!(house.rows().len(), 1);
}

#[test]
fn deferred_answer_is_one_call_with_its_request() {
    let upstream = by_line(&[
        ("POST /v1/chat/completions", 200, r#"{"request_id":"req-1"}"#),
        ("GET /v1/chat/deferred-completion/pending", 202, ""),
        (
            "GET /v1/chat/deferred-completion/req-1",
            200,
            r#"{"id":"chatcmpl-9","object":"chat.completion","model":"grok-4","choices":[{"message":{"content":"Hi"}}],"usage":{"prompt_tokens":70,"completion_tokens":30,"total_tokens":100}}"#,
        ),
    ]);
    let mut house = house_of(&upstream, &["xai"]);
    house.post("/xai/v1/chat/completions", ASK);
    assert_eq!(get(&house, "/xai/v1/chat/deferred-completion/pending"), 202);
    for _ in 0..2 {
        assert_eq!(get(&house, "/xai/v1/chat/deferred-completion/req-1"), 200);
    }
    house.stop();
    let rows = house.rows();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        (rows[0]["certainty"].as_str(), rows[0]["input"].as_u64(), rows[0]["output"].as_u64()),
        (Some("reported"), Some(70), Some(30))
    );
}

#[test]
fn asynchronous_answer_is_one_call_with_its_request() {
    let upstream = by_line(&[
        ("POST /async/chat/completions", 200, r#"{"id":"a-1","model":"sonar","created_at":1,"status":"CREATED","response":null}"#),
        ("GET /async/chat/completions/a-0", 200, r#"{"id":"a-0","model":"sonar","status":"IN_PROGRESS","response":null}"#),
        (
            "GET /async/chat/completions/a-1",
            200,
            r#"{"id":"a-1","model":"sonar","status":"COMPLETED","response":{"id":"r-2","object":"chat.completion","model":"sonar","choices":[{"message":{"content":"Hi"}}],"usage":{"prompt_tokens":70,"completion_tokens":30,"total_tokens":100}}}"#,
        ),
    ]);
    let mut house = house_of(&upstream, &["perplexity"]);
    house.post("/perplexity/async/chat/completions", r#"{"request":{"model":"sonar","messages":[{"role":"user","content":"Hi"}]}}"#);
    assert_eq!(get(&house, "/perplexity/async/chat/completions/a-0"), 200);
    assert_eq!(get(&house, "/perplexity/async/chat/completions/a-1"), 200);
    house.stop();
    let rows = house.rows();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        (rows[0]["certainty"].as_str(), rows[0]["input"].as_u64(), rows[0]["output"].as_u64()),
        (Some("reported"), Some(70), Some(30))
    );
}

#[test]
fn batch_of_google_is_read_under_v1() {
    let upstream = by_line(&[(
        "GET /v1/batches/k3j2h1",
        200,
        r#"{"name":"batches/k3j2h1","done":true,"response":{"inlinedResponses":{"inlinedResponses":[{"response":{"responseId":"g1","modelVersion":"gemini-2.5-pro","candidates":[],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3,"totalTokenCount":10}}}]}}}"#,
    )]);
    let house = house_of(&upstream, &["gemini"]);
    assert_eq!(get(&house, "/gemini/v1/batches/k3j2h1"), 200);
    let row = &house.rows_when(1)[0];
    assert_eq!((row["model"].as_str(), row["input"].as_u64(), row["output"].as_u64()), (Some("gemini-2.5-pro"), Some(7), Some(3)));
}

#[test]
fn calls_that_no_dialect_reads_are_counted_by_shape() {
    let upstream = Upstream::start(|heard: &Heard, out| match heard.header("upgrade") {
        Some(_) => out.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        None => out.write_all(&json(r#"{"id":"dec_1","object":"decision"}"#)),
    });
    let mut house = House::before(&upstream);
    for path in
        ["/openai/v1/decisions?key=secret", "/v1/decisions", "/openai/v1/agents/sessions/sess_1a2b3c/turns", "/anthropic/v1/sessions"]
    {
        assert_eq!(house.post(path, "{}").status, 200, "{path}");
    }
    for free in ["/anthropic/api/event_logging/batch", "/openai/v1/realtime/client_secrets", "/anthropic/v1/messages/count_tokens"] {
        house.post(free, "{}");
    }
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "k"), ("Sec-WebSocket-Version", "13")];
    let mut client = house.client();
    client.send(&request("GET", "/openai/v1/realtime/translations?model=x", &upgrade, b""));
    assert_eq!(client.reply().status, 101);
    let expected = [
        ("anthropic POST /v1/sessions", 1),
        ("openai POST /v1/agents/sessions/*/turns", 1),
        ("openai POST /v1/decisions", 2),
        ("openai WebSocket /v1/realtime/translations", 1),
    ];
    let expected: Vec<(String, u64)> = expected.iter().map(|(shape, calls)| ((*shape).to_owned(), *calls)).collect();
    eventually(|| (unmetered(&house) == expected).then_some(()), || format!("{expected:?}, not {:?}", unmetered(&house)));
    let said = house.out(&["status"]);
    assert!(said.contains("2 calls passed and not metered: openai POST /v1/decisions"), "{said}");
    house.stop();
    assert!(house.rows().is_empty());
}

#[test]
fn call_without_a_project_has_that_of_its_session() {
    let upstream = Upstream::saying(json(message("msg_1", "claude-sonnet-4-5", 7, 3)));
    let house = House::before(&upstream);
    let session = "X-Claude-Code-Session-Id";
    house.client().post("/anthropic/v1/messages", &[(session, "s-1"), ("x-tollbar-project", "web")], ASK.as_bytes());
    house.rows_when(1);
    // The root folder is no project.
    let url = format!("http://{}/anthropic/v1/messages", house.proxy);
    let mut curl = Command::new("curl");
    curl.current_dir("/").args(["-s", "-o", "/dev/null", "-H", &format!("{session}: s-1"), "-d", ASK, &url]);
    assert!(curl.stdout(Stdio::null()).status().unwrap().success());
    let rows = house.rows_when(2);
    assert!(rows.iter().all(|row| row["project"] == "web"), "{rows:?}");
}

#[test]
fn engine_that_was_killed_says_which_calls_were_under_way() {
    let upstream = Upstream::start(|_, _| {
        std::thread::sleep(Duration::from_secs(60));
        house::upstream::cut()
    });
    let mut house = House::before(&upstream);
    let mut clients: Vec<_> = (0..2).map(|_| house.client()).collect();
    for client in &mut clients {
        client.send(&request("POST", "/openai/v1/chat/completions", &[], ASK.as_bytes()));
    }
    let file = house.path("state/calls-under-way");
    let lines = || std::fs::read_to_string(&file).unwrap_or_default().lines().count();
    eventually(|| (lines() == 2).then_some(()), || format!("{} lines", lines()));
    house.kill();
    house.start();
    let warnings = house.json(&["status"])["engine"]["warnings"].clone();
    let warned = |warnings: &Value| {
        warnings.as_array().unwrap().iter().any(|it| it.as_str().unwrap().contains("2 calls were under way (2 to openai)"))
    };
    assert!(warned(&warnings), "{warnings}");
    house.stop();
    house.start();
    assert!(!warned(&house.json(&["status"])["engine"]["warnings"]));
}
