//! The proxy as its clients and upstreams see it: bytes pass as they came, and whatever goes wrong is said, recorded and survived.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod house;

use house::{
    House, PATIENCE, Upstream, Wire,
    replies::{END, STREAM, chat, chat_frames, chunk, json, message_frames, sized, stream},
    upstream::{cut, gzip},
    wire::{end_to_end, headers, request},
};
use serde_json::Value;
use std::{
    io::Write,
    sync::mpsc::channel,
    time::{Duration, Instant},
};

const CHAT: &str = "/openai/v1/chat/completions";
const MESSAGES: &str = "/anthropic/v1/messages";
const ASK: &str = r#"{"model":"gpt-4.1","messages":[{"role":"user","content":"Say hi"}],"stream":true}"#;

/// One row of `tollbar export`, by what most tests look at: model, input, output, certainty.
fn said(row: &Value) -> (&str, u64, u64, &str) {
    let (text, number) = (|name: &str| row[name].as_str().unwrap_or_default(), |name: &str| row[name].as_u64().unwrap());
    (text("model"), number("input"), number("output"), text("certainty"))
}

/// The rows once the engine has stopped, and so concluded all that it saw.
fn rows_in_the_end(house: &mut House) -> Vec<Value> {
    house.stop();
    house.rows()
}

#[test]
fn an_unknown_path_is_told_the_ways_there_are() {
    let upstream = Upstream::saying(json("{}"));
    let mut house = House::before(&upstream);
    for path in ["/", "/favicon.ico", "/nobody/v1/messages", "/p/x"] {
        let reply = house.post(path, "{}");
        assert_eq!(reply.status, 404, "{path}");
        let error: Value = serde_json::from_slice(&reply.body).unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(path) && message.contains("/openai/v1/") && message.contains("mistral"), "{message}");
    }
    assert!(upstream.heard().is_empty() && rows_in_the_end(&mut house).is_empty());
}

#[test]
fn an_unreachable_upstream_is_a_502_that_names_its_address() {
    // A port that was free a moment ago.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut house = House::new(&format!(
        "[upstreams.openai]\nbase_url = \"http://{gone}\"\n[upstreams.azure]\nbase_url = \"http://no-such-host.invalid\""
    ));
    house.start();
    let reply = house.post(CHAT, ASK);
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains(&gone.to_string()) && reply.text().contains("refused"), "{}", reply.text());
    let reply = house.post("/azure/openai/deployments/x/chat/completions", ASK);
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("no-such-host.invalid"), "{}", reply.text());
    assert!(rows_in_the_end(&mut house).is_empty(), "nothing was answered, nothing is billed");
}

#[test]
fn an_upstream_that_hangs_up_before_it_answers_is_a_502() {
    let upstream = Upstream::start(|_, out| {
        out.shutdown(std::net::Shutdown::Both)?;
        cut()
    });
    let house = House::before(&upstream);
    let reply = house.post(CHAT, ASK);
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains(&upstream.address), "{}", reply.text());
    assert_eq!(upstream.heard().len(), 1, "a call that may have been billed is not sent twice");
}

#[test]
fn an_error_of_the_upstream_passes_untouched_and_is_no_call() {
    let body = r#"{"error":{"message":"slow down","type":"rate_limit_error"}}"#;
    let upstream = Upstream::saying(sized("429 Too Many Requests", "Retry-After: 7\r\nX-Request-Id: req_1\r\n", body));
    let mut house = House::before(&upstream);
    let reply = house.post(CHAT, ASK);
    assert_eq!((reply.status, reply.text().as_str(), reply.header("retry-after")), (429, body, Some("7")));
    assert!(rows_in_the_end(&mut house).is_empty());
}

#[test]
fn a_stream_that_is_cut_is_cut_for_the_client_too_and_its_call_is_not_lost() {
    let upstream = Upstream::start(|heard, out| {
        out.write_all(STREAM.as_bytes())?;
        let frames = match heard.line() {
            "POST /v1/messages" => message_frames("msg_cut", "claude-sonnet-4-5", 40, 9),
            _ => chat_frames("chatcmpl-cut", "gpt-4.1", 40, 9),
        };
        frames[..2].iter().try_for_each(|frame| out.write_all(&chunk(frame)))?;
        out.shutdown(std::net::Shutdown::Both)?;
        cut()
    });
    let house = House::before(&upstream);
    for (path, frames) in
        [(CHAT, chat_frames("chatcmpl-cut", "gpt-4.1", 40, 9)), (MESSAGES, message_frames("msg_cut", "claude-sonnet-4-5", 40, 9))]
    {
        let reply = house.post(path, ASK);
        assert_eq!((reply.status, reply.whole, reply.text()), (200, false, frames[..2].concat()));
    }
    let rows = house.rows_when(2);
    let said: Vec<_> = rows.iter().map(said).collect();
    // What the stream said before it was cut is kept: of Anthropic the input and a first count of the output. OpenAI said nothing, and what
    // passed is counted.
    assert_eq!(said, [("gpt-4.1", 10, 1, "estimated"), ("claude-sonnet-4-5", 40, 1, "partial")]);
}

#[test]
fn a_client_that_hangs_up_ends_the_call_upstream_and_the_call_is_recorded() {
    let (gone, hears) = channel();
    let upstream = Upstream::start(move |_, out| {
        out.write_all(STREAM.as_bytes())?;
        let frames = message_frames("msg_left", "claude-sonnet-4-5", 40, 9);
        frames[..2].iter().try_for_each(|frame| out.write_all(&chunk(frame)))?;
        // A provider goes on until it notices.
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if out.write_all(&chunk("event: ping\ndata: {\"type\":\"ping\"}\n\n")).is_err() {
                gone.send(begun.elapsed()).unwrap();
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        cut()
    });
    let house = House::before(&upstream);
    let mut client = house.client();
    client.send(&request("POST", MESSAGES, &[], ASK.as_bytes()));
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains("content_block_start") {
        got.extend(client.some());
    }
    client.hang_up();
    let noticed = hears.recv_timeout(PATIENCE).expect("the upstream is told");
    assert!(noticed < Duration::from_secs(3), "{noticed:?}");
    let rows = house.rows_when(1);
    assert_eq!(said(&rows[0]), ("claude-sonnet-4-5", 40, 1, "partial"));
}

#[test]
fn a_reply_that_is_no_json_passes_untouched_and_is_recorded_as_unknown() {
    let upstream = Upstream::start(|heard, out| {
        out.write_all(&json(if heard.line().contains("chat") { r#"{"usage":{"prompt_tokens":"# } else { "<html>busy</html>" }))
    });
    let house = House::before(&upstream);
    assert_eq!(house.post(CHAT, ASK).text(), r#"{"usage":{"prompt_tokens":"#);
    assert_eq!(house.post(MESSAGES, ASK).text(), "<html>busy</html>");
    let rows = house.rows_when(2);
    assert!(rows.iter().all(|row| said(row) == ("gpt-4.1", 0, 0, "unknown") && row["priced"] == false), "{rows:?}");
}

#[test]
fn a_reply_without_usage_is_estimated_and_not_free() {
    let frames: Vec<String> =
        chat_frames("chatcmpl-1", "gpt-4.1", 7, 3).into_iter().filter(|frame| !frame.contains("prompt_tokens")).collect();
    let upstream = Upstream::saying(stream(&frames));
    let house = House::before(&upstream);
    assert_eq!(house.post(CHAT, ASK).text(), frames.concat());
    let rows = house.rows_when(1);
    // 10 at 2 dollars and 1 at 8 dollars a million.
    assert_eq!((said(&rows[0]), rows[0]["cost_usd"].as_str()), (("gpt-4.1", 10, 1, "estimated"), Some("0.000028000000")));
    assert_eq!((rows[0]["estimated"].as_bool(), &house.json(&["today"])["today"]["estimated_calls"]), (Some(true), &Value::from(1)));
    assert!(house.out(&["today"]).contains("estimated"), "{}", house.out(&["today"]));
}

#[test]
fn a_model_without_a_price_is_shown_as_unpriced_beside_the_dollars() {
    let upstream = Upstream::start(|heard, out| {
        let request: Value = serde_json::from_slice(&heard.body)?;
        let model = request["model"].as_str().unwrap();
        out.write_all(&json(chat(&format!("chatcmpl-{model}"), model, 1000, 100)))
    });
    let house = House::before(&upstream);
    house.post(CHAT, r#"{"model":"quux-9-ultra"}"#);
    house.post(CHAT, r#"{"model":"gpt-4.1"}"#);
    let rows = house.rows_when(2);
    assert_eq!((said(&rows[0]), rows[0]["priced"].as_bool()), (("quux-9-ultra", 1000, 100, "reported"), Some(false)));
    assert!(rows[0]["cost_usd"].is_null() && rows[0]["cost_note"] != "");
    let today = house.json(&["today"]);
    // 1000 at 2 dollars and 100 at 8 dollars a million.
    assert_eq!(today["today"]["usd"], "0.002800000000");
    assert_eq!(today["today"]["unpriced_calls"], 1);
    assert!(house.out(&["today"]).contains("unpriced"), "{}", house.out(&["today"]));
}

#[test]
fn a_compressed_stream_passes_as_it_came_and_is_read_on_the_side() {
    let frames = chat_frames("chatcmpl-z", "gpt-4.1", 1234, 56);
    let packed = gzip(frames.concat().as_bytes());
    let mut reply = STREAM.replace("Transfer", "Content-Encoding: gzip\r\nTransfer").into_bytes();
    packed.chunks(7).for_each(|piece| reply.extend(chunk(piece)));
    reply.extend(END);
    let house = House::before(&Upstream::saying(reply));
    let reply = house.post(CHAT, ASK);
    assert_eq!((reply.body, reply.whole), (packed, true));
    assert_eq!(said(&house.rows_when(1)[0]), ("gpt-4.1", 1234, 56, "reported"));
}

#[test]
fn headers_pass_with_their_case_and_order_and_those_of_one_connection_do_not() {
    let upstream = Upstream::saying(sized(
        "200 Very Fine",
        "X-ReQuest-ID: a\r\nset-cookie: one\r\nSet-Cookie: two\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n",
        "{}",
    ));
    let house = House::before(&upstream);
    let sent = [
        ("AUTHORIZATION", "Bearer sk-secret"),
        ("anthropic-Version", "2023-06-01"),
        ("X-Twice", "1"),
        ("X-Twice", "2"),
        ("accept-ENCODING", "gzip, br"),
        ("X-Odd", "caf\u{e9}"),
        ("Connection", "X-Mine"),
        ("X-Mine", "1"),
        ("Proxy-Connection", "keep-alive"),
        ("X-Tollbar-Project", "web shop"),
    ];
    let reply = house.client().post(CHAT, &sent, ASK.as_bytes());
    assert!(reply.head.starts_with("HTTP/1.1 200 Very Fine\r\n"), "{}", reply.head);
    assert_eq!(end_to_end(&reply.head), [("Set-Cookie", "two"), ("X-ReQuest-ID", "a"), ("set-cookie", "one")]);
    let heard = &upstream.heard()[0];
    let passed: Vec<(&str, &str)> = sent[..6].to_vec();
    let mut expected = passed.clone();
    expected.sort_by_key(|(name, _)| *name);
    assert_eq!(end_to_end(&heard.head), expected);
    assert_eq!(heard.header("host"), Some(upstream.address.as_str()));
    assert_eq!(headers(&heard.head).filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).count(), 1);
}

#[test]
fn nothing_of_the_client_is_kept_but_counts_names_and_ids() {
    let upstream = Upstream::saying(json(chat("chatcmpl-1", "gpt-4.1", 1, 1)));
    let mut house = House::before(&upstream);
    let body = r#"{"model":"gpt-4.1","messages":[{"role":"user","content":"the-secret-prompt"}]}"#;
    house.client().post(&format!("{CHAT}?key=the-secret-query"), &[("Authorization", "Bearer the-secret-key")], body.as_bytes());
    house.rows_when(1);
    house.stop();
    let mut folders = vec![house.folder.path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let bytes = std::fs::read(&entry).unwrap();
            let text = String::from_utf8_lossy(&zstd::decode_all(bytes.as_slice()).unwrap_or(bytes)).into_owned();
            assert!(!text.contains("the-secret") && !text.contains("\"Hi\""), "{}", entry.display());
            files += 1;
        }
    }
    assert!(files > 2 && !house.errors().contains("the-secret"));
}

#[test]
#[cfg(target_os = "linux")]
fn the_project_is_named_by_path_or_header_and_the_header_goes_no_further() {
    let upstream = Upstream::start(|heard, out| out.write_all(&json(chat(heard.header("x-id").unwrap(), "gpt-4.1", 1, 1))));
    let house = House::before(&upstream);
    let mut client = house.client();
    client.post(CHAT, &[("x-id", "a"), ("x-tollbar-project", "shop")], ASK.as_bytes());
    client.post(&format!("/p/web%20app{CHAT}"), &[("x-id", "b"), ("x-tollbar-project", "shop")], ASK.as_bytes());
    client.post("/v1/chat/completions", &[("x-id", "c")], ASK.as_bytes());
    let rows = house.rows_when(3);
    let projects: Vec<_> = rows.iter().map(|row| (row["call_id"].as_str().unwrap(), row["project"].as_str())).collect();
    assert_eq!(projects, [("a", Some("shop")), ("b", Some("web app")), ("c", Some(here().as_str()))]);
    assert!(
        upstream.heard().iter().all(|heard| heard.header("x-tollbar-project").is_none() && heard.line() == "POST /v1/chat/completions")
    );
    assert_eq!(upstream.connections(), 1, "one connection serves one call after the other");
}

#[test]
fn an_answer_that_is_fetched_again_is_the_same_call() {
    let answer = r#"{"id":"resp_1","object":"response","status":"completed","model":"gpt-4.1","output":[],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":13}}"#;
    let results = r#"{"custom_id":"a","result":{"type":"succeeded","message":{"id":"msg_1","model":"claude-sonnet-4-5","usage":{"input_tokens":7,"output_tokens":2}}}}"#;
    let upstream = Upstream::start(move |heard, out| out.write_all(&json(if heard.line().contains("batches") { results } else { answer })));
    let mut house = House::before(&upstream);
    let mut client = house.client();
    client.post("/openai/v1/responses", &[], ASK.as_bytes());
    for _ in 0..2 {
        for path in ["/openai/v1/responses/resp_1", "/anthropic/v1/messages/batches/msgbatch_1/results"] {
            client.send(&request("GET", path, &[], b""));
            assert_eq!(client.reply().status, 200);
        }
    }
    let rows = rows_in_the_end(&mut house);
    assert_eq!(rows.iter().map(said).collect::<Vec<_>>(), [("gpt-4.1", 6, 3, "reported"), ("claude-sonnet-4-5", 7, 2, "reported")]);
}

#[test]
fn fifty_megabytes_pass_each_way_in_flat_memory() {
    const BYTES: usize = 50 << 20;
    let upstream = Upstream::start(|heard, out| {
        assert_eq!(heard.body.len(), BYTES);
        write!(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {BYTES}\r\n\r\n")?;
        let piece = vec![b'y'; 1 << 16];
        (0..BYTES / piece.len()).try_for_each(|_| out.write_all(&piece))
    });
    let house = House::before(&upstream);
    let before = peak_kib(house.pid());
    let mut client = house.client();
    let body = vec![b'x'; BYTES];
    client.send(format!("POST /openai/v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: {BYTES}\r\n\r\n").as_bytes());
    // The upstream answers when it has all.
    client.send(&body);
    let reply = client.reply();
    assert!(reply.whole && reply.body.len() == BYTES && reply.body.iter().all(|byte| *byte == b'y'));
    let grown = peak_kib(house.pid()).saturating_sub(before);
    println!("memory grew by {grown} KiB");
    assert!(grown < 16 << 10, "{grown} KiB");
}

#[test]
fn a_call_of_many_megabytes_is_metered_in_bounded_memory() {
    const BYTES: usize = 25 << 20;
    let reply = chat("chatcmpl-1", "gpt-4.1", 12_000, 34).replace("Hi", &"y".repeat(BYTES));
    let upstream = Upstream::saying(json(&reply));
    let house = House::before(&upstream);
    let before = peak_kib(house.pid());
    let body = format!(r#"{{"model":"gpt-4.1","messages":[{{"role":"user","content":"{}"}}]}}"#, "x".repeat(BYTES));
    let got = house.post(CHAT, &body);
    assert!(got.whole && got.body == reply.as_bytes() && upstream.heard()[0].body == body.as_bytes());
    let rows = house.rows_when(1);
    assert_eq!(said(&rows[0]), ("gpt-4.1", 12_000, 34, "reported"));
    let grown = peak_kib(house.pid()).saturating_sub(before);
    println!("memory grew by {grown} KiB");
    // What waits for the meter is bounded (64 MiB), whatever passes.
    assert!(grown < 100 << 10, "{grown} KiB");
}

/// The most memory that a process ever had.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn the_first_piece_is_there_before_the_upstream_has_finished() {
    let (go_on, may_go_on) = channel::<()>();
    let may_go_on = std::sync::Mutex::new(may_go_on);
    let upstream = Upstream::start(move |_, out| {
        let frames = chat_frames("chatcmpl-1", "gpt-4.1", 5, 5);
        out.write_all(STREAM.as_bytes())?;
        out.write_all(&chunk(&frames[0]))?;
        // The rest comes only once the client has the first piece.
        may_go_on.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        frames[1..].iter().try_for_each(|frame| out.write_all(&chunk(frame)))?;
        out.write_all(END)
    });
    let house = House::before(&upstream);
    let mut client = house.client();
    let begun = Instant::now();
    client.send(&request("POST", CHAT, &[], ASK.as_bytes()));
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains("\"Hi\"") {
        let some = client.some();
        assert!(!some.is_empty(), "the reply begins");
        got.extend(some);
    }
    println!("first piece after {:?}", begun.elapsed());
    go_on.send(()).unwrap();
    while !got.ends_with(END) {
        got.extend(client.some());
    }
    assert_eq!(said(&house.rows_when(1)[0]), ("gpt-4.1", 5, 5, "reported"));
}

#[test]
fn a_request_streams_to_the_upstream_before_the_client_has_finished_it() {
    let (arrived, hears) = channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut house = House::new(&format!("[upstreams.openai]\nbase_url = \"http://{}\"", listener.local_addr().unwrap()));
    house.start();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = std::io::BufReader::new(stream);
        let mut line = String::new();
        while std::io::BufRead::read_line(&mut reader, &mut line).unwrap() > 0 && !line.contains("first half") {}
        arrived.send(()).unwrap();
        std::thread::sleep(PATIENCE);
    });
    let mut client = house.client();
    client.send(format!("POST {CHAT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes());
    client.send(&chunk("first half\n"));
    hears.recv_timeout(PATIENCE).expect("the first half arrives alone");
}

#[test]
fn replies_without_a_body_pass_and_the_connection_goes_on() {
    let upstream = Upstream::start(|heard, out| match heard.line() {
        line if line.starts_with("HEAD") => out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\nETag: x\r\n\r\n"),
        line if line.contains("204") => out.write_all(b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"),
        line if line.contains("304") => out.write_all(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"),
        _ => out.write_all(&json(chat("chatcmpl-1", "gpt-4.1", 1, 1))),
    });
    let mut house = House::before(&upstream);
    let mut client = house.client();
    for (method, path, status) in
        [("HEAD", "/openai/v1/models", 200), ("GET", "/openai/v1/204", 204), ("GET", "/openai/v1/304", 304), ("HEAD", CHAT, 200)]
    {
        client.send(&request(method, path, &[], b""));
        let reply = client.reply_to(method);
        assert_eq!((reply.status, reply.body.len()), (status, 0), "{method} {path}");
        if method == "HEAD" {
            assert_eq!(reply.header("content-length"), Some("999"), "{}", reply.head);
        }
    }
    assert_eq!(client.post(CHAT, &[], ASK.as_bytes()).status, 200);
    assert_eq!(rows_in_the_end(&mut house).len(), 1);
}

#[test]
fn a_client_that_waits_to_be_told_to_go_on_is_told() {
    let upstream = Upstream::saying(json(chat("chatcmpl-1", "gpt-4.1", 1, 1)));
    let house = House::before(&upstream);
    let mut client = house.client();
    client.send(format!("POST {CHAT} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n", ASK.len()).as_bytes());
    assert_eq!(client.reply().status, 100);
    client.send(ASK.as_bytes());
    assert_eq!(client.reply().status, 200);
    assert_eq!(upstream.heard()[0].body, ASK.as_bytes());
}

#[test]
fn trailers_pass_with_the_stream_that_they_end() {
    let frames = chat_frames("chatcmpl-1", "gpt-4.1", 3, 2);
    let mut reply = STREAM.replace("Transfer", "Trailer: X-Checksum\r\nTransfer").into_bytes();
    frames.iter().for_each(|frame| reply.extend(chunk(frame)));
    reply.extend(b"0\r\nX-Checksum: abc\r\n\r\n");
    let house = House::before(&Upstream::saying(reply));
    let mut client = house.client();
    for _ in 0..2 {
        let reply = client.post(CHAT, &[("TE", "trailers")], ASK.as_bytes());
        assert_eq!((reply.text(), reply.whole), (frames.concat(), true));
        assert_eq!(reply.trailers.to_ascii_lowercase(), "x-checksum: abc\r\n");
    }
    assert_eq!(said(&house.rows_when(1)[0]), ("gpt-4.1", 3, 2, "reported"));
}

#[test]
fn a_body_that_ends_with_the_connection_is_whole() {
    let body = chat("chatcmpl-1", "gpt-4.1", 3, 2);
    let reply = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{body}");
    let upstream = Upstream::start(move |_, out| {
        out.write_all(reply.as_bytes())?;
        out.shutdown(std::net::Shutdown::Both)?;
        cut()
    });
    let house = House::before(&upstream);
    let mut client = house.client();
    for _ in 0..2 {
        let reply = client.post(CHAT, &[], ASK.as_bytes());
        assert_eq!((reply.text(), reply.whole), (body.clone(), true));
    }
    assert_eq!(said(&house.rows_when(1)[0]), ("gpt-4.1", 3, 2, "reported"));
}

#[test]
fn an_upstream_that_closes_idle_connections_costs_no_call() {
    let upstream = Upstream::start(|_, out| {
        out.write_all(&json(chat("chatcmpl-1", "gpt-4.1", 1, 1)))?;
        out.shutdown(std::net::Shutdown::Both)?;
        cut()
    });
    let mut house = House::before(&upstream);
    let mut client = house.client();
    for _ in 0..10 {
        assert_eq!(client.post(CHAT, &[], ASK.as_bytes()).status, 200);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(rows_in_the_end(&mut house).len(), 10);
}

#[test]
fn an_old_client_is_served_too() {
    let frames = chat_frames("chatcmpl-1", "gpt-4.1", 3, 2);
    let house = House::before(&Upstream::saying(stream(&frames)));
    let mut client = house.client();
    client.send(format!("POST {CHAT} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{ASK}", ASK.len()).as_bytes());
    let reply = client.reply();
    assert_eq!((reply.status, reply.header("transfer-encoding"), reply.text()), (200, None, frames.concat()));
}

#[test]
fn a_reply_that_comes_before_the_request_has_ended_is_passed_on() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut house = House::new(&format!("[upstreams.openai]\nbase_url = \"http://{}\"", listener.local_addr().unwrap()));
    house.start();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Read::read(&mut stream, &mut [0; 100]).unwrap();
        stream.write_all(&sized("413 Payload Too Large", "Connection: close\r\n", "too large")).unwrap();
        std::thread::sleep(PATIENCE);
    });
    let mut client = house.client();
    client.send(format!("POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbegun").as_bytes());
    let reply = client.reply();
    assert_eq!((reply.status, reply.text().as_str()), (413, "too large"));
}

#[test]
fn a_hundred_calls_at_once_are_a_hundred_rows() {
    let upstream = Upstream::start(|heard, out| {
        let id = heard.header("x-id").unwrap().to_owned();
        out.write_all(&stream(&message_frames(&id, "claude-sonnet-4-5", 100, 10)))
    });
    let house = House::before(&upstream);
    std::thread::scope(|scope| {
        for client in 0..10 {
            let mut wire = house.client();
            scope.spawn(move || {
                for call in 0..10 {
                    let reply = wire.post(MESSAGES, &[("x-id", &format!("msg_{client}_{call}"))], ASK.as_bytes());
                    assert!(reply.status == 200 && reply.whole);
                }
            });
        }
    });
    let rows = house.rows_when(100);
    assert!(rows.len() == 100 && rows.iter().all(|row| said(row) == ("claude-sonnet-4-5", 100, 10, "reported")));
    // 100 x (100 at 3 dollars and 10 at 15 dollars a million).
    assert_eq!(house.json(&["today"])["today"]["usd"], "0.045000000000");
}

#[test]
fn a_stream_under_way_when_the_engine_is_stopped_ends_well_and_is_recorded() {
    let (asked, hears) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let may_go_on = std::sync::Mutex::new(may_go_on);
    let upstream = Upstream::start(move |_, out| {
        let frames = chat_frames("chatcmpl-1", "gpt-4.1", 5, 5);
        out.write_all(STREAM.as_bytes())?;
        out.write_all(&chunk(&frames[0]))?;
        asked.send(()).unwrap();
        may_go_on.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        frames[1..].iter().try_for_each(|frame| out.write_all(&chunk(frame)))?;
        out.write_all(END)
    });
    let mut house = House::before(&upstream);
    let mut client = house.client();
    client.send(&request("POST", CHAT, &[], ASK.as_bytes()));
    hears.recv_timeout(PATIENCE).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(500));
            go_on.send(()).unwrap();
        });
        house.stop();
    });
    assert!(client.reply().whole);
    assert_eq!(said(&house.rows_when(1)[0]), ("gpt-4.1", 5, 5, "reported"));
}

#[test]
fn what_is_no_http_is_answered_or_dropped_and_the_proxy_goes_on() {
    let upstream = Upstream::saying(json(chat("chatcmpl-1", "gpt-4.1", 1, 1)));
    let house = House::before(&upstream);
    for noise in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".as_slice(),
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ] {
        let mut client = Wire::connect(&house.proxy);
        client.send(noise);
        let answer = String::from_utf8_lossy(&client.some()).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(house.post(CHAT, ASK).status, 200);
    assert_eq!(house.rows_when(1).len(), 1);
}

#[test]
fn base_addresses_that_are_almost_right_reach_the_api() {
    let upstream = Upstream::saying(json(chat("chatcmpl-1", "gpt-4.1", 1, 1)));
    let house = House::before(&upstream);
    let mut client = house.client();
    for path in [
        "//v1/chat/completions",
        "/v1/v1/chat/completions",
        "/chat/completions",
        "/openai//chat/completions",
        "/p/shop/openai/v1//v1/chat/completions",
    ] {
        assert_eq!(client.post(path, &[], ASK.as_bytes()).status, 200, "{path}");
    }
    assert!(upstream.heard().iter().all(|heard| heard.line() == "POST /v1/chat/completions"), "{:?}", upstream.heard());
    client.post("/v1/v1/messages?beta=true", &[], ASK.as_bytes());
    assert_eq!(upstream.heard().pop().unwrap().line(), "POST /v1/messages?beta=true");
}

/// Who names no project is found by the working folder of the process that calls.
#[test]
#[cfg(target_os = "linux")]
fn a_call_without_a_project_has_that_of_the_folder_it_comes_from() {
    let upstream = Upstream::saying(json(chat("chatcmpl-1", "gpt-4.1", 10, 1)));
    let house = House::before(&upstream);
    // It stays connected, as who waits for an answer does.
    let mut client = house.client();
    client.post(CHAT, &[], ASK.as_bytes());
    let row = &house.rows_when(1)[0];
    assert_eq!(row["project"], here().as_str());
    let folder = std::env::current_dir().unwrap();
    assert_eq!(row["branch"].as_str().map(str::to_owned), tollbar_app::attribution::branch_of_folder(&folder));
    drop(client);
}

/// The project of this process.
#[cfg(target_os = "linux")]
fn here() -> String {
    let folder = std::env::current_dir().unwrap();
    tollbar_app::attribution::Projects::default().of_folder(folder.to_str().unwrap()).unwrap().name
}
