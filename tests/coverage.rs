//! Who saw a call: a client's own log, the proxy, or both; under which name its project is shown; what the doctor says of it; and logs of
//! another make.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use house::{House, Upstream, Wire, eventually, replies};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What Anthropic says of each of its answers here: the first call is a title that opencode does not log.
fn reply(number: u64) -> Vec<u8> {
    let usage = json!({
        "input_tokens": 100 + number, "cache_read_input_tokens": 15_000, "output_tokens": 300 + number,
        "cache_creation_input_tokens": 2_570, "cache_creation": {"ephemeral_5m_input_tokens": 2_056, "ephemeral_1h_input_tokens": 514},
    });
    let message = json!({
        "id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929", "content": [],
        "stop_reason": "end_turn", "usage": usage,
    });
    replies::json(message.to_string())
}

/// The message as opencode keeps it: no provider's id, no life of the cache, its own guess of the cost.
fn message(root: &Path, number: u64) {
    let folder = root.join("storage/message/ses_1");
    fs::create_dir_all(&folder).unwrap();
    // TOLLBAR_NOW of the houses in which it lies.
    let now = 1_795_348_800_000u64;
    let tokens = json!({"input": 100 + number, "output": 300 + number, "reasoning": 0, "cache": {"read": 15_000, "write": 2_570}});
    let message = json!({
        "id": format!("msg_own{number}"), "sessionID": "ses_1", "role": "assistant", "modelID": "claude-sonnet-4-5", "providerID": "anthropic",
        "cost": 0.0225, "tokens": tokens, "time": {"created": now, "completed": now}, "path": {"cwd": "/home/dev/shop"},
    });
    fs::write(folder.join(format!("msg_own{number}.json")), message.to_string()).unwrap();
}

fn call(house: &House, number: u64) {
    let body = json!({"model": "claude-sonnet-4-5", "number": number}).to_string();
    let headers =
        [("user-agent", "opencode/1.18.33 ai-sdk/provider-utils/4.0.0"), ("x-session-id", "ses_1"), ("content-type", "application/json")];
    let reply = Wire::connect(&house.proxy).post("/anthropic/v1/messages", &headers, body.as_bytes());
    assert_eq!(reply.status, 200);
}

fn anthropic() -> Upstream {
    Upstream::start(|request, out| {
        let body: Value = serde_json::from_slice(&request.body)?;
        std::io::Write::write_all(out, &reply(body["number"].as_u64().unwrap_or_default()))
    })
}

fn import(house: &House, root: &Path) -> Value {
    house.json(&["import", "--client", "opencode", "--root", root.to_str().unwrap()])
}

/// What a row says that does not come from this test's own process: its folder is a project, too, if the proxy finds it in time.
fn told(rows: &[Value]) -> Vec<String> {
    let names = ["key", "call_id", "model", "client", "session", "sources", "input", "cache_write_1h", "output", "cost_usd"];
    let mut told: Vec<String> = rows.iter().map(|row| names.map(|name| row[name].to_string()).join(" ")).collect();
    told.sort();
    told
}

#[test]
fn a_clients_log_and_the_proxy_tell_of_the_same_calls_and_what_only_the_proxy_saw_is_hidden_spend() {
    let mut seen = Vec::new();
    for log_first in [false, true] {
        let upstream = anthropic();
        let mut house = House::new(&upstream.config(&["openai", "anthropic"]));
        house.set("TOLLBAR_NOW", "2026-11-22T12:00:00Z");
        house.start();
        let root = house.path("opencode");
        (1..=3).for_each(|number| message(&root, number));
        if log_first {
            assert_eq!(import(&house, &root)["entries"], 3);
        }
        (0..=3).for_each(|number| call(&house, number));
        let carried = || house.rows().iter().filter(|row| row["sources"].to_string().contains("proxy")).count();
        eventually(|| (carried() == 4).then_some(()), || format!("four carried calls, not {:?}", house.rows()));
        if !log_first {
            assert_eq!(import(&house, &root)["calls_seen"], 3);
        }
        assert_eq!(import(&house, &root)["entries"], 0, "told again");
        let rows = house.rows();
        assert_eq!(rows.len(), 4, "{rows:#?}");
        seen.push(told(&rows));

        let coverage = house.json(&["coverage", "--calls"]);
        let row = &coverage["rows"][0];
        let calls = |what: &str| row[what]["calls"].as_u64().unwrap();
        assert_eq!((row["client"].as_str(), row["keeps_log"].as_bool()), (Some("opencode"), Some(true)));
        assert_eq!((calls("log_only"), calls("proxy_only"), calls("both"), calls("hidden")), (0, 1, 3, 1));
        let hidden: Vec<&str> = coverage["hidden_calls"].as_array().unwrap().iter().map(|call| call["call_id"].as_str().unwrap()).collect();
        assert_eq!(hidden, ["msg_0"], "and says which");
        assert_eq!(coverage["hidden_calls"][0]["cost_usd"], row["hidden"]["usd"]);
        let dollars: f64 = ["both", "proxy_only"].iter().map(|what| row[*what]["usd"].as_str().unwrap().parse::<f64>().unwrap()).sum();
        let sum: f64 = rows.iter().map(|row| row["cost_usd"].as_str().unwrap().parse::<f64>().unwrap()).sum();
        assert!((dollars - sum).abs() < 1e-9);
        assert_eq!(house.json(&["summary", "--by", "client"])["total"]["calls"], 4);
        assert!(house.out(&["coverage"]).contains("hidden: 1 call"));
        let none = house.json(&["coverage", "--project", "other"]);
        assert_eq!(none["total"]["both"]["calls"], 0);
        // What a backup of it says in another ledger is the same.
        let (backup, other) = (house.path("backup"), House::new(""));
        house.out(&["ledger", "backup", backup.to_str().unwrap()]);
        for _ in 0..2 {
            other.out(&["ledger", "merge", backup.to_str().unwrap()]);
            assert_eq!(told(&other.rows()), told(&rows));
        }
    }
    assert_eq!(seen[0], seen[1], "the order leaves no trace");
}

fn spent(house: &House, by: &str) -> Vec<(String, u64)> {
    let rows = house.json(&["summary", "--by", by, "--since", "2026-11-01"]);
    let row = |row: &Value| (row["names"][0].as_str().unwrap_or_default().to_owned(), row["spend"]["calls"].as_u64().unwrap());
    let mut rows: Vec<_> = rows["rows"].as_array().unwrap().iter().map(row).collect();
    rows.sort();
    rows
}

fn names(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|(name, calls)| ((*name).to_owned(), *calls)).collect()
}

#[test]
fn a_project_is_shown_under_its_new_name_everywhere_and_the_calls_stay_as_they_were() {
    let mut house = House::new("");
    house.set("TOLLBAR_NOW", "2026-11-22T12:00:00Z");
    let log = |project: &str, id: &str| {
        house.out(&[
            "log",
            "--model",
            "gpt-4o",
            "--input",
            "1000000",
            "--project",
            project,
            "--call-id",
            id,
            "--at",
            "2026-11-22T08:00:00Z",
        ]);
    };
    for (project, id) in [("web", "1"), ("web", "2"), ("api", "3"), ("docs", "4")] {
        log(project, id);
    }
    house.out(&["budget", "set", "month", "100", "--project", "web"]);
    let journal = || {
        let device = fs::read_to_string(house.path("data/device")).unwrap();
        let files = fs::read_dir(house.path("data/log/journal").join(device.trim())).unwrap();
        files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect::<Vec<_>>().concat()
    };
    let before = journal();
    let spent_before = house.json(&["budget", "list"])["budgets"][0]["spent"].clone();

    house.out(&["project", "rename", "web", "site"]);
    assert_eq!(spent(&house, "project"), names(&[("api", 1), ("docs", 1), ("site", 2)]));
    let budget = &house.json(&["budget", "list"])["budgets"][0];
    assert_eq!((budget["budget"]["scope"]["project"].as_str(), &budget["spent"]), (Some("site"), &spent_before));
    assert!(house.rows().iter().any(|row| row["project"] == "site") && house.rows().iter().all(|row| row["project"] != "web"));
    assert_eq!(house.json(&["coverage", "--project", "site"])["total"]["neither"]["calls"], 2);
    assert_eq!(house.json(&["summary", "--project", "web"])["total"]["calls"], 2, "the old name is still understood");
    // What is recorded under the old name from now on is shown under the new one, too.
    log("web", "5");
    assert_eq!(spent(&house, "project"), names(&[("api", 1), ("docs", 1), ("site", 3)]));

    house.out(&["project", "merge", "site", "api", "shop"]);
    assert_eq!(spent(&house, "project"), names(&[("docs", 1), ("shop", 4)]));
    let list = house.json(&["project", "list"]);
    assert_eq!((&list["projects"][0]["name"], &list["projects"][0]["recorded"]), (&json!("shop"), &json!(["api", "web"])));
    house.out(&["project", "restore", "api"]);
    assert_eq!(spent(&house, "project"), names(&[("api", 1), ("docs", 1), ("shop", 3)]));
    house.out(&["project", "rename", "shop", "web"]);
    assert_eq!(spent(&house, "project"), names(&[("api", 1), ("docs", 1), ("web", 3)]), "renaming back undoes it");
    assert_eq!(house.json(&["budget", "list"])["budgets"][0]["budget"]["scope"]["project"], "web");

    let refused = house.run(&["project", "rename", "nothing", "x"]);
    assert_eq!((refused.status, refused.err.lines().count()), (1, 2), "{}", refused.err);
    assert_eq!(house.json(&["project", "rename", "web", "web"])["entries"], 0);
    assert!(journal().starts_with(&before), "the log was only added to");
    house.out(&["ledger", "verify"]);
    fs::remove_dir_all(house.path("data/log/store")).unwrap();
    let _ = fs::remove_file(house.path("data/log/checkpoint"));
    assert_eq!(spent(&house, "project"), names(&[("api", 1), ("docs", 1), ("web", 3)]), "made again from the journal");
}

fn claude_line(id: &str) -> String {
    format!(
        r#"{{"cwd":"/home/dev/shop","sessionId":"s1","type":"assistant","uuid":"u-{id}","requestId":"req_{id}","timestamp":"2026-11-21T10:00:00.000Z","message":{{"id":"msg_{id}","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[],"usage":{{"input_tokens":10,"output_tokens":70}}}}}}"#
    ) + "\n"
}

#[test]
fn the_doctor_says_what_would_be_lost_and_what_is_safe_to_delete() {
    let house = House::new("");
    assert_eq!(house.run(&["doctor"]).status, 0, "nothing is here, and nothing is to be done");
    let sessions = house.path("user/.claude/projects/-home-dev-shop");
    fs::create_dir_all(&sessions).unwrap();
    fs::write(house.path("user/.claude/settings.json"), r#"{"cleanupPeriodDays": 20}"#).unwrap();
    fs::write(sessions.join("a.jsonl"), claude_line("1") + &claude_line("2")).unwrap();
    let doctor = |status| {
        let ran = house.run(&["doctor", "--json"]);
        assert_eq!(ran.status, status, "{}{}", ran.out, ran.err);
        serde_json::from_str::<Value>(&ran.out).unwrap()
    };
    let sick = doctor(1);
    let claude = &sick["clients"][0];
    assert_eq!(
        (&claude["client"], &claude["calls_missing"], &claude["deleted_after_days"]),
        (&json!("claude-code"), &json!(2), &json!(20))
    );
    assert_eq!((&claude["safe_to_delete"], &sick["well"], &sick["engine_runs"]), (&json!(false), &json!(false), &json!(false)));
    assert!(sick["findings"][0]["what"].as_str().unwrap().contains("2 calls in the history of claude-code"));
    assert_eq!(house.rows().len(), 0, "it records nothing");

    house.out(&["import"]);
    let well = doctor(0);
    assert_eq!((&well["clients"][0]["safe_to_delete"], &well["clients"][0]["calls_missing"]), (&json!(true), &json!(0)));
    // A call that grew since, as one that was read while it was written.
    fs::write(sessions.join("b.jsonl"), claude_line("2").replace("\"output_tokens\":70", "\"output_tokens\":90")).unwrap();
    assert_eq!(doctor(1)["clients"][0]["calls_missing"], 1);
    house.out(&["import"]);

    let rollouts = house.path("user/.codex/sessions/2026/11/21");
    fs::create_dir_all(&rollouts).unwrap();
    fs::write(rollouts.join("rollout-1.jsonl.zst"), [0x28, 0xB5, 0x2F, 0xFD, 1, 2, 3]).unwrap();
    let sick = doctor(1);
    let codex = sick["clients"].as_array().unwrap().iter().find(|client| client["client"] == "codex").unwrap();
    assert!(codex["unreadable"][0]["path"].as_str().unwrap().ends_with("rollout-1.jsonl.zst") && codex["safe_to_delete"] == false);
    let said = house.run(&["doctor"]).out;
    assert!(said.contains("to do") && said.contains("rollout-1.jsonl.zst") && said.contains("after 20 days"), "{said}");
}

#[test]
fn the_doctor_asks_a_running_engine_and_names_a_client_that_is_pointed_at_nothing() {
    let upstream = anthropic();
    let house = House::before(&upstream);
    fs::create_dir_all(house.path("user/.claude")).unwrap();
    let settings = json!({"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1/anthropic"}});
    fs::write(house.path("user/.claude/settings.json"), settings.to_string()).unwrap();
    let ran = house.run(&["doctor", "--json"]);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.status, &told["engine_runs"]), (1, &json!(true)));
    assert!(told["findings"][0]["what"].as_str().unwrap().contains("http://127.0.0.1:1/anthropic"), "{told:#}");
    fs::write(house.path("user/.claude/settings.json"), "{}").unwrap();
    assert_eq!(house.run(&["doctor"]).status, 0);
}

fn file(house: &House, name: &str, text: &str) -> PathBuf {
    let path = house.path(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn logs_of_another_make_are_imported_once_by_their_shape_or_by_a_map() {
    let house = House::new("");
    let own = file(
        &house,
        "own.jsonl",
        concat!(
            r#"{"when":"2026-11-20T10:00:00Z","llm":{"name":"gpt-4o","vendor":"openai"},"tok":{"in":1000,"hit":400,"out":50}}"#,
            "\n",
            r#"{"when":"2026-11-20T10:01:00Z","llm":{"name":"gpt-4o","vendor":"openai"},"tok":{}}"#,
            "\n",
        ),
    );
    let map = "at=when,model=llm.name,provider=llm.vendor,input=tok.in,output=tok.out,cache_read=tok.hit";
    let own = own.to_str().unwrap();
    let first = house.json(&["import", "--format", "jsonl", own, "--map", map]);
    assert_eq!((&first["calls_seen"], &first["entries"]), (&json!(1), &json!(1)));
    assert!(first["skipped"][0]["reason"].as_str().unwrap().starts_with("1 row in which"));
    assert_eq!(house.json(&["import", own, "--map", map])["entries"], 0, "told again");
    let row = &house.rows()[0];
    assert_eq!(
        (&row["input"], &row["cache_read"], &row["output"], &row["certainty"]),
        (&json!(600), &json!(400), &json!(50), &json!("reported"))
    );

    let shaped = file(
        &house,
        "sdk.jsonl",
        concat!(
            r#"{"id":"msg_9","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[],"usage":{"input_tokens":10,"output_tokens":5},"timestamp":"2026-11-20T11:00:00Z"}"#,
            "\n",
        ),
    );
    let table = file(&house, "bill.csv", "day,model,in,out\n2026-11-20,gpt-4o,7,3\n");
    assert_eq!(house.json(&["import", shaped.to_str().unwrap()])["entries"], 1);
    assert_eq!(house.json(&["import", table.to_str().unwrap(), "--map", "at=day,model=model,input=in,output=out"])["entries"], 1);
    assert!(house.rows().iter().any(|row| row["call_id"] == "msg_9" && row["provider"] == "anthropic"));
    assert_eq!(house.run(&["import", own, "--map", "tokens=x"]).status, 2);
    assert_eq!(house.run(&["import", "/nowhere.jsonl"]).status, 1);
}

#[cfg(target_os = "linux")]
#[test]
fn each_fault_of_a_source_is_told_once_also_where_the_engine_met_it() {
    let mut house = House::new("");
    fs::write(house.path("config.toml"), "dashboard.port = 0\n").unwrap();
    let sessions = house.path("user/.claude/projects/-home-dev-shop");
    let rollouts = house.path("user/.codex/sessions");
    fs::create_dir_all(&sessions).unwrap();
    fs::create_dir_all(&rollouts).unwrap();
    // Damaged, in a circle, and opened for everybody but read by nobody, root included.
    fs::write(rollouts.join("rollout-1.jsonl.zst"), [0x28, 0xB5, 0x2F, 0xFD, 1, 2, 3]).unwrap();
    fs::write(house.path("user/.codex/state_5.sqlite"), [7; 5000]).unwrap();
    std::os::unix::fs::symlink(".", sessions.join("circle")).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", sessions.join("closed.jsonl")).unwrap();
    // What costs no call is no fault: bytes that are no text, and half a line.
    let half = claude_line("3");
    let noise = [claude_line("1").as_bytes(), b"\xff\xfe\n", claude_line("2").as_bytes(), &half.as_bytes()[..half.len() / 2]].concat();
    fs::write(sessions.join("a.jsonl"), noise).unwrap();
    house.start();
    let faulty = ["rollout-1.jsonl.zst", "state_5.sqlite", "circle", "closed.jsonl"];
    let warned = || house.json(&["status"])["engine"]["warnings"].as_array().cloned().unwrap_or_default();
    eventually(|| Some(warned()).filter(|warnings| warnings.len() == faulty.len()), || format!("{:?}", warned()));
    let ran = house.run(&["doctor", "--json"]);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    let findings: Vec<&str> = told["findings"].as_array().unwrap().iter().map(|finding| finding["what"].as_str().unwrap()).collect();
    for name in faulty {
        assert_eq!(findings.iter().filter(|what| what.contains(name)).count(), 1, "{name}: {findings:#?}");
    }
    assert_eq!(house.rows().len(), 2, "and nothing else is lost");
}
