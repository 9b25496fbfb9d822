//! The official SDKs of PyPI and npm through the proxy: they notice nothing, and every surface shows the same exact amount at once.

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

/// What each call is made with.
const HOWS: [&str; 4] = ["", "stream", "tools", "image"];

/// The official SDKs of one language, and the script that calls with them.
struct Sdks {
    program: PathBuf,
    script: &'static str,
    /// What the script can call with, and what such a call is recorded as: provider and client.
    kinds: &'static [(&'static str, &'static str, &'static str)],
}

const PYTHON: [(&str, &str, &str); 5] = [
    ("chat", "openai", "openai-python"),
    ("responses", "openai", "openai-python"),
    ("messages", "anthropic", "anthropic-python"),
    ("gemini", "gemini", "google-genai-sdk"),
    ("mistral", "mistral", "mistral-client-python"),
];
const NODE: [(&str, &str, &str); 7] = [
    ("chat", "openai", "openai-node"),
    ("responses", "openai", "openai-node"),
    ("messages", "anthropic", "anthropic-node"),
    ("ai-responses", "openai", "ai"),
    ("ai-chat", "openai", "ai"),
    ("ai-messages", "anthropic", "ai"),
    ("ai-gemini", "gemini", "ai"),
];

/// Those of PyPI, or `None` with a word on the screen.
fn python() -> Option<Sdks> {
    const LOOK: &str = "from importlib.util import find_spec as look
import sys; sys.exit(not all(map(look, ['openai', 'anthropic', 'google', 'google.genai', 'mistralai'])))";
    let named = std::env::var_os("TOLLBAR_TEST_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/py/bin/python"));
    let ready = Command::new(&python).args(["-c", LOOK]).output();
    if ready.is_ok_and(|output| output.status.success()) {
        return Some(Sdks { program: python, script: "calls.py", kinds: &PYTHON });
    }
    let missing = "openai, anthropic, google-genai and mistralai";
    println!("skipped: {} has not {missing} (name a Python that has them in TOLLBAR_TEST_PYTHON)", python.display());
    None
}

/// Those of npm, or `None` with a word on the screen.
fn node() -> Option<Sdks> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/node_modules/ai").is_dir();
    let ready = Command::new("node").arg("--version").output();
    if installed && ready.is_ok_and(|output| output.status.success()) {
        return Some(Sdks { program: "node".into(), script: "calls.mjs", kinds: &NODE });
    }
    println!("skipped: no node, or not the packages of tests/sdk (fetch them with `npm --prefix tests/sdk ci`)");
    None
}

/// Says what the APIs of all of them say, streamed where asked, with a tool's use where tools are offered.
fn provider() -> Upstream {
    let calls = AtomicU64::new(0);
    Upstream::start(move |heard, out| answer(heard, calls.fetch_add(1, Ordering::SeqCst), out))
}

fn house(upstream: &Upstream) -> House {
    let mut house = House::new(&upstream.config(&["openai", "anthropic", "gemini", "mistral"]));
    house.start();
    house
}

fn answer(heard: &Heard, nth: u64, out: &mut TcpStream) -> io::Result<()> {
    let request: Value = serde_json::from_slice(&heard.body)?;
    let tools = request["tools"].is_array();
    let line = heard.line();
    if line.contains("models/") {
        let reply = gemini(nth, tools);
        let streams = line.contains(":stream");
        return out.write_all(&if streams { replies::stream(&[format!("data: {reply}\r\n\r\n")]) } else { replies::json(reply) });
    }
    let model = request["model"].as_str().unwrap_or_default();
    let reply = match (line.rsplit('/').next().unwrap_or_default(), heard.streams()) {
        ("messages", false) if tools => replies::json(
            replies::message(&format!("msg_{nth}"), model, 1000, 100)
                .replace(r#"{"type":"text","text":"Hi"}"#, r#"{"type":"tool_use","id":"toolu_1","name":"add","input":{"a":1}}"#)
                .replace("end_turn", "tool_use"),
        ),
        ("messages", false) => replies::json(replies::message(&format!("msg_{nth}"), model, 1000, 100)),
        ("messages", true) => replies::stream(&replies::message_frames(&format!("msg_{nth}"), model, 1000, 100)),
        ("responses", false) if tools => replies::json(response(nth, FUNCTION_CALL)),
        ("responses", false) => replies::json(response(nth, SAID)),
        ("responses", true) => replies::stream(&response_frames(nth)),
        (_, false) if tools => replies::json(
            replies::chat(&format!("chatcmpl-{nth}"), model, 1000, 100)
                .replace(
                    r#""content":"Hi""#,
                    r#""content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]"#,
                )
                .replace(r#""stop""#, r#""tool_calls""#),
        ),
        (_, false) => replies::json(replies::chat(&format!("chatcmpl-{nth}"), model, 1000, 100)),
        (_, true) => replies::stream(&replies::chat_frames(&format!("chatcmpl-{nth}"), model, 1000, 100)),
    };
    out.write_all(&reply)
}

fn gemini(nth: u64, tools: bool) -> String {
    let part = if tools { r#"{"functionCall":{"name":"add","args":{"a":1}}}"# } else { r#"{"text":"Hi"}"# };
    format!(
        r#"{{"candidates":[{{"content":{{"role":"model","parts":[{part}]}},"finishReason":"STOP","index":0}}],"usageMetadata":{{"promptTokenCount":1000,"candidatesTokenCount":100,"totalTokenCount":1100}},"modelVersion":"gemini-2.5-flash","responseId":"gemini-{nth}"}}"#
    )
}

const SAID: &str = r#"{"id":"i","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hi","annotations":[]}]}"#;
const FUNCTION_CALL: &str =
    r#"{"id":"i","type":"function_call","status":"completed","call_id":"call_1","name":"add","arguments":"{\"a\":1}"}"#;

fn response(nth: u64, output: &str) -> String {
    format!(
        r#"{{"id":"resp_{nth}","object":"response","created_at":1,"status":"completed","model":"gpt-4.1","output":[{output}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":{{"input_tokens":1000,"input_tokens_details":{{"cached_tokens":0}},"output_tokens":100,"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":1100}}}}"#
    )
}

fn response_frames(nth: u64) -> Vec<String> {
    let mut begun: Value = serde_json::from_str(&response(nth, SAID)).unwrap();
    (begun["status"], begun["output"], begun["usage"]) = ("in_progress".into(), Value::Array(Vec::new()), Value::Null);
    let events = [
        ("response.created", format!(r#""response":{begun}"#)),
        ("response.output_item.added", format!(r#""output_index":0,"item":{}"#, SAID.replace("completed", "in_progress"))),
        ("response.output_text.delta", r#""item_id":"i","output_index":0,"content_index":0,"delta":"Hi","logprobs":[]"#.to_owned()),
        ("response.output_item.done", format!(r#""output_index":0,"item":{SAID}"#)),
        ("response.completed", format!(r#""response":{}"#, response(nth, SAID))),
    ];
    let frame = |(number, (name, rest))| format!("event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{number},{rest}}}\n\n");
    events.into_iter().enumerate().map(frame).collect()
}

/// A script that makes one call for each line it is given, and says a line when it is made.
struct Script {
    process: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Script {
    fn start(sdks: &Sdks, house: &House, upstream: &Upstream) -> Script {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(sdks.script);
        let mut command = Command::new(&sdks.program);
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

/// Each SDK in each way, directly and through the proxy: what it got, what the upstream heard, and the row.
fn check(sdks: &Sdks) {
    let upstream = provider();
    let house = house(&upstream);
    let mut script = Script::start(sdks, &house, &upstream);
    let calls = sdks.kinds.iter().flat_map(|kind| HOWS.map(|how| (kind, how)));
    let mut made = 0;
    for ((kind, provider, client), how) in calls {
        let what = format!("{kind} {how}");
        let (direct, proxied) = (script.call(&format!("direct {what}")), script.call(&format!("proxy {what}")));
        assert!(direct.starts_with("ok ") && direct.ends_with(" 1100") && direct == proxied, "{what}: {proxied:?}, not {direct:?}");
        made += 1;
        let rows = house.rows_when(made);
        let row = rows.last().unwrap();
        assert_eq!((&row["input"], &row["output"], &row["certainty"]), (&1000.into(), &100.into(), &"reported".into()), "{what}");
        assert_eq!((&row["project"], &row["provider"]), (&"sdk test".into(), &(*provider).into()), "{what}");
        // Vercel's SDK names itself or the part of it that calls.
        assert!(row["client"].as_str().is_some_and(|found| found == *client || found.starts_with(&format!("{client}-"))), "{what}: {row}");
    }
    println!("{made} kinds of calls give the same with and without the proxy");
    // What the SDKs send arrives as without the proxy, but for the names of the two ends.
    let heard = upstream.heard();
    assert_eq!(heard.len(), 2 * made);
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
fn the_sdks_of_pypi_get_through_the_proxy_what_they_get_without_it() {
    let Some(sdks) = python() else { return };
    check(&sdks);
}

#[test]
fn the_sdks_of_npm_get_through_the_proxy_what_they_get_without_it() {
    let Some(sdks) = node() else { return };
    check(&sdks);
}

#[test]
fn an_error_reaches_the_sdks_as_the_providers_own() {
    // As OpenAI, Anthropic and Google say it, and Mistral.
    let body = r#"{"type":"error","error":{"type":"rate_limit_error","code":429,"status":"RESOURCE_EXHAUSTED","message":"slow down"},"object":"error","message":"slow down"}"#;
    let upstream = Upstream::saying(replies::sized("429 Too Many Requests", "Content-Type: application/json\r\n", body));
    for sdks in [python(), node()].into_iter().flatten() {
        let house = house(&upstream);
        let mut script = Script::start(&sdks, &house, &upstream);
        for (kind, ..) in sdks.kinds {
            for how in ["", "stream"] {
                let said = script.call(&format!("proxy {kind} {how}"));
                assert!(said.contains(" 429 ") && said.contains("slow down"), "{kind} {how}: {said}");
                assert_eq!(said, script.call(&format!("direct {kind} {how}")));
            }
        }
        assert!(house.rows().is_empty());
    }
}

#[test]
fn ten_streamed_calls_raise_every_surface_to_the_same_exact_amount_within_a_second() {
    let Some(sdks) = python() else { return };
    let upstream = provider();
    let mut house = House::new(&upstream.config(&["openai", "anthropic"]));
    house.set("TOLLBAR_NOW", "2026-11-22T12:00:00Z");
    house.start();
    let mut script = Script::start(&sdks, &house, &upstream);
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
