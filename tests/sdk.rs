//! The official SDKs of OpenAI and Anthropic through the proxy: they notice nothing, and every surface shows the same exact amount at once.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use house::{House, Upstream, eventually, replies, upstream::Heard};
use serde_json::Value;
use std::{
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Five calls each of 1000 in and 100 out: gpt-4.1 is 2 and 8 dollars a million, claude-sonnet-5-5 2 and 10.
const FIVE_OF_BOTH_USD: &str = "0.029000000000";

/// The Python that has the SDKs, or `None` with a word on the screen.
fn python() -> Option<PathBuf> {
    const LOOK: &str = "import sys, importlib.util as it; sys.exit(not (it.find_spec('openai') and it.find_spec('anthropic')))";
    let named = std::env::var_os("TOLLBAR_TEST_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/py/bin/python"));
    let ready = Command::new(&python).args(["-c", LOOK]).output();
    if ready.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    println!("skipped: no openai and anthropic for {} (name a Python that has them in TOLLBAR_TEST_PYTHON)", python.display());
    None
}

/// Says what the APIs of both say, streamed where asked, with a tool's use where tools are offered.
fn provider() -> Upstream {
    let calls = AtomicU64::new(0);
    Upstream::start(move |heard, out| answer(heard, calls.fetch_add(1, Ordering::SeqCst), out))
}

fn answer(heard: &Heard, nth: u64, out: &mut TcpStream) -> io::Result<()> {
    let request: Value = serde_json::from_slice(&heard.body)?;
    let tools = request["tools"].is_array();
    let (line, streams) = (heard.line(), heard.streams());
    let reply = match (line.rsplit('/').next().unwrap_or_default(), streams) {
        ("messages", false) if tools => replies::json(
            replies::message(&format!("msg_{nth}"), "claude-sonnet-5-5", 1000, 100)
                .replace(r#"{"type":"text","text":"Hi"}"#, r#"{"type":"tool_use","id":"toolu_1","name":"add","input":{"a":1}}"#),
        ),
        ("messages", false) => replies::json(replies::message(&format!("msg_{nth}"), "claude-sonnet-5-5", 1000, 100)),
        ("messages", true) => replies::stream(&replies::message_frames(&format!("msg_{nth}"), "claude-sonnet-5-5", 1000, 100)),
        ("responses", false) => replies::json(response(nth)),
        ("responses", true) => replies::stream(&[
            format!("event: response.created\ndata: {{\"type\":\"response.created\",\"sequence_number\":0,\"response\":{}}}\n\n", begun(nth)),
            "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"item_id\":\"i\",\"output_index\":0,\"content_index\":0,\"delta\":\"Hi\",\"logprobs\":[]}\n\n".into(),
            format!("event: response.completed\ndata: {{\"type\":\"response.completed\",\"sequence_number\":2,\"response\":{}}}\n\n", response(nth)),
        ]),
        (_, false) if tools => replies::json(
            replies::chat(&format!("chatcmpl-{nth}"), "gpt-4.1", 1000, 100)
                .replace(r#""content":"Hi""#, r#""content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]"#),
        ),
        (_, false) => replies::json(replies::chat(&format!("chatcmpl-{nth}"), "gpt-4.1", 1000, 100)),
        (_, true) => replies::stream(&replies::chat_frames(&format!("chatcmpl-{nth}"), "gpt-4.1", 1000, 100)),
    };
    out.write_all(&reply)
}

fn response(nth: u64) -> String {
    format!(
        r#"{{"id":"resp_{nth}","object":"response","created_at":1,"status":"completed","model":"gpt-4.1","output":[{{"id":"i","type":"message","role":"assistant","status":"completed","content":[{{"type":"output_text","text":"Hi","annotations":[]}}]}}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":{{"input_tokens":1000,"input_tokens_details":{{"cached_tokens":0}},"output_tokens":100,"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":1100}}}}"#
    )
}

fn begun(nth: u64) -> String {
    let mut begun: Value = serde_json::from_str(&response(nth)).unwrap();
    (begun["status"], begun["output"], begun["usage"]) = ("in_progress".into(), Value::Array(Vec::new()), Value::Null);
    begun.to_string()
}

/// A script that makes one call for each line it is given, and says a line when it is made.
struct Script {
    process: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Script {
    fn start(python: &Path, house: &House, upstream: &Upstream) -> Script {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/calls.py");
        let mut command = Command::new(python);
        command.arg(script).arg(&house.proxy).arg(&upstream.address).stdin(Stdio::piped()).stdout(Stdio::piped());
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name);
        }
        let mut process = command.env("HOME", house.path("user")).env("NO_PROXY", "*").spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        Script { process, said }
    }

    /// What the script says of one call.
    fn call(&mut self, what: &str) -> String {
        let mut line = String::new();
        writeln!(self.process.stdin.as_ref().unwrap(), "{what}").unwrap();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_sdks_get_through_the_proxy_what_they_get_without_it() {
    let Some(python) = python() else { return };
    let upstream = provider();
    let house = House::before(&upstream);
    let mut script = Script::start(&python, &house, &upstream);
    let calls = ["chat", "chat stream", "chat tools", "responses", "responses stream", "messages", "messages stream", "messages tools"];
    for (nth, what) in calls.iter().enumerate() {
        let (direct, proxied) = (script.call(&format!("direct {what}")), script.call(&format!("proxy {what}")));
        assert!(direct.starts_with("ok ") && direct == proxied, "{what}: {proxied:?}, not {direct:?}");
        let rows = house.rows_when(nth + 1);
        let row = rows.last().unwrap();
        assert_eq!((&row["input"], &row["output"], &row["certainty"]), (&1000.into(), &100.into(), &"reported".into()), "{what}");
        assert_eq!(row["project"], "sdk test");
    }
    println!("{} kinds of calls give the same with and without the proxy", calls.len());
    // What the SDKs send arrives as without the proxy, but for the names of the two ends.
    let heard = upstream.heard();
    for pair in heard.chunks(2) {
        let seen = |heard: &Heard| {
            let head: Vec<(String, String)> = house::wire::end_to_end(&heard.head)
                .iter()
                .filter(|(name, _)| *name != "x-tollbar-project")
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            (heard.line().to_owned(), head, heard.body.clone())
        };
        assert_eq!(seen(&pair[0]), seen(&pair[1]));
    }
}

#[test]
fn an_error_reaches_the_sdk_as_the_providers_own() {
    let Some(python) = python() else { return };
    let body = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#;
    let upstream = Upstream::saying(replies::sized("429 Too Many Requests", "Content-Type: application/json\r\n", body));
    let house = House::before(&upstream);
    let mut script = Script::start(&python, &house, &upstream);
    for what in ["chat", "messages stream"] {
        let said = script.call(&format!("proxy {what}"));
        assert!(said.starts_with("RateLimitError 429") && said.contains("slow down"), "{said}");
        assert_eq!(said, script.call(&format!("direct {what}")));
    }
    assert!(house.rows().is_empty());
}

#[test]
fn ten_streamed_calls_raise_every_surface_to_the_same_exact_amount_within_a_second() {
    let Some(python) = python() else { return };
    let upstream = provider();
    let mut house = House::new(&upstream.config(&["openai", "anthropic"]));
    house.set("TOLLBAR_NOW", "2026-11-22T12:00:00Z");
    house.start();
    let mut script = Script::start(&python, &house, &upstream);
    for nth in 0..10 {
        let said = script.call(if nth % 2 == 0 { "proxy chat stream" } else { "proxy messages stream" });
        assert!(said.starts_with("ok "), "{said}");
    }
    let ended = Instant::now();
    let expected = FIVE_OF_BOTH_USD;
    let asked = || house.ask("today")["today"]["usd"].as_str().unwrap().to_owned();
    eventually(|| (asked() == expected).then_some(()), || format!("{expected}, not {}", asked()));
    let control = ended.elapsed();
    let said = house.json(&["today"])["today"]["usd"].as_str().unwrap().to_owned();
    let today = ended.elapsed();
    let rows = house.rows();
    let export = ended.elapsed();
    // Exact: the amounts are summed as integers of a pico-dollar.
    let pico: u128 = rows.iter().map(|row| row["cost_usd"].as_str().unwrap().replace('.', "").parse::<u128>().unwrap()).sum();
    assert_eq!((said.as_str(), rows.len()), (expected, 10));
    assert_eq!(format!("{}.{:012}", pico / 1_000_000_000_000, pico % 1_000_000_000_000), expected);
    println!("control API after {control:?}, today after {today:?}, export after {export:?}");
    assert!(export < Duration::from_secs(1), "{export:?}");
}
