//! Recorded exchanges with every provider through the running proxy: bytes pass untouched, and each call is one right row.
//!
//! The recordings are read in place, from `TOLLBAR_DATA`, and are not part of this repository.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use base64::{Engine, prelude::BASE64_STANDARD};
use house::{
    House, Upstream, Wire, recordings,
    upstream::gzip,
    wire::{end_to_end, request},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Clients that call at the same time.
const CLIENTS: usize = 4;
/// Names an exchange to the stand-in. It passes like any other header.
const MARK: &str = "x-exchange";

struct Exchange {
    facts: Value,
    reply: Vec<u8>,
}

impl Exchange {
    fn text(&self, field: &str) -> &str {
        self.facts[field].as_str().unwrap_or_default()
    }

    fn status(&self) -> u64 {
        self.facts["status"].as_u64().unwrap_or(200)
    }

    fn bytes(facts: &Value, field: &str) -> Vec<u8> {
        let text = facts[field].as_str().unwrap_or_default();
        match facts[format!("{field}_encoding")].as_str() {
            Some("base64") => BASE64_STANDARD.decode(text).unwrap(),
            _ => text.as_bytes().to_vec(),
        }
    }

    /// Recorded headers that a peer may repeat, without those that this replay decides.
    fn recorded(&self, field: &str) -> Vec<(&str, &str)> {
        const DECIDED: [&str; 9] = [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "keep-alive",
            "content-encoding",
            "expect",
            "upgrade",
            "proxy-connection",
        ];
        let all = self.facts[field].as_object().into_iter().flatten();
        all.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .filter(|(name, value)| !DECIDED.contains(name) && !name.starts_with(':') && !value.contains(['\r', '\n']))
            .collect()
    }

    /// The reply as its provider framed it: compressed where it was, a stream in chunks of one frame, else of known length.
    fn wire_reply(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} As Recorded\r\n", self.status());
        self.recorded("response_headers").iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        let packed = self.text("recorded_content_encoding") == "gzip";
        let body = if packed { gzip(&self.reply) } else { self.reply.clone() };
        if packed {
            head += "content-encoding: gzip\r\n";
        }
        let mut bytes = head.into_bytes();
        if self.facts["stream"] == true && !body.is_empty() {
            bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
            let mut rest = body.as_slice();
            while !rest.is_empty() {
                let end = rest.windows(2).position(|pair| pair == b"\n\n").map_or(rest.len(), |at| at + 2);
                let (frame, after) = rest.split_at(if packed { end.min(700).min(rest.len()) } else { end });
                bytes.extend(house::replies::chunk(frame));
                rest = after;
            }
            bytes.extend(house::replies::END);
        } else {
            bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
            bytes.extend(body);
        }
        bytes
    }

    /// The provider's id of what is fetched again when it is over: a run of an assistant, a response.
    fn fetched_id(&self) -> Option<String> {
        let over = self.text("method") == "GET" && self.facts["expected"]["has_usage"] == true;
        let reply: Value = serde_json::from_slice(&self.reply).ok().filter(|_| over)?;
        Some(reply["id"].as_str()?.to_owned())
    }

    /// What is wrong with the rows of this exchange, if anything.
    fn fault(&self, rows: &[&Value]) -> Option<String> {
        let expected = &self.facts["expected"];
        let tokens = |row: &Value| ["input", "cache_read", "cache_write_5m", "cache_write_1h", "output"].map(|class| count(row, class));
        // A batch's results are fetched, not asked for: they are billed once, however often they are fetched.
        let batch = self.text("surface") == "anthropic.batch_results";
        // The computed figures pass over Google's batches, whose answers are billed (ai.google.dev/gemini-api/docs/batch-api).
        if self.text("provider") == "gemini" && self.text("path").contains("/batches/") {
            return rows.iter().find(|row| row["tier"] != "batch").map(|row| format!("no result of a batch: {row}"));
        }
        if expected["has_usage"] != true || expected["billable"] == false && !batch {
            let counted = rows.iter().find(|row| tokens(row).iter().sum::<u64>() > 0);
            return counted.map(|row| format!("usage from nowhere: {:?}", tokens(row)));
        }
        let beside = |row: &Value| row["call_id"].as_str().is_some_and(|id| [":advisor:", ":compaction:"].iter().any(|it| id.contains(it)));
        let main: Vec<&&Value> = rows.iter().filter(|row| !beside(row)).collect();
        let sum = |class: &str| main.iter().map(|row| count(row, class)).sum::<u64>();
        if main.is_empty() || main.len() > 1 && !batch {
            return Some(format!("{} rows", main.len()));
        }
        // Audio is input here; some recordings count it beside the prompt.
        let audio = expected["extras"]["audio_in"].as_u64().unwrap_or(0);
        let input = count(expected, "input_uncached");
        if sum("input") != input && sum("input") != input + audio {
            return Some(format!("input: {}, not {input}", sum("input")));
        }
        let others = ["cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning"];
        if let Some(class) = others.iter().find(|class| sum(class) != count(expected, class)) {
            return Some(format!("{class}: {}, not {}", sum(class), count(expected, class)));
        }
        let named = |field: &str| expected[field].as_str().filter(|name| !name.is_empty());
        let model = named("model").or(named("request_model"));
        if model.is_some() && main[0]["model"].as_str() != model {
            return Some(format!("model: {}, not {model:?}", main[0]["model"]));
        }
        // Pages are billed, not tokens, and the ledger has no price for them: what it cost is not known, rather than nothing.
        let known = if expected["extras"]["pages_processed"].is_u64() { "unknown" } else { "reported" };
        (main[0]["certainty"] != known).then(|| format!("certainty: {}", main[0]["certainty"]))
    }
}

fn count(row: &Value, class: &str) -> u64 {
    row[class].as_u64().unwrap_or(0)
}

/// Every recorded exchange over HTTP. Some have ids in common, from careless servers and redacting recorders; they are calls of their own.
fn exchanges() -> Option<Vec<Exchange>> {
    let folder = recordings("traffic")?;
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "jsonl"));
    paths.sort();
    let texts = paths.iter().map(|path| std::fs::read_to_string(path).unwrap());
    let facts = texts.flat_map(|text| text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>());
    let exchanges = facts.map(|facts| Exchange { reply: Exchange::bytes(&facts, "response_body"), facts });
    Some(exchanges.filter(|exchange| exchange.text("transport") == "http").collect())
}

/// Carries every exchange through the proxy; returns what did not pass as it was sent.
fn replay(house: &House, exchanges: &Arc<Vec<Exchange>>, upstream: &Upstream) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let carry = || {
        let mut wire: Option<Wire> = None;
        let mut changed = Vec::new();
        while let Some(exchange) = exchanges.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (id, method) = (exchange.text("id"), exchange.text("method"));
            let path = format!("/p/{id}/{}{}", exchange.text("provider"), exchange.text("path"));
            let mut headers = exchange.recorded("request_headers");
            headers.push((MARK, id));
            let open = wire.get_or_insert_with(|| house.client());
            open.send(&request(method, &path, &headers, &Exchange::bytes(&exchange.facts, "request_body")));
            let reply = open.reply_to(method);
            if reply.header("connection") == Some("close") {
                wire = None;
            }
            let sent = exchange.wire_reply();
            let head_end = sent.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            let head = String::from_utf8(sent[..head_end].to_vec()).unwrap();
            let body = if exchange.text("recorded_content_encoding") == "gzip" { gzip(&exchange.reply) } else { exchange.reply.clone() };
            if u64::from(reply.status) != exchange.status() || reply.body != body || !reply.whole {
                changed.push(format!("{id}: the reply: {} {} bytes, not {}", reply.status, reply.body.len(), body.len()));
            }
            if end_to_end(&reply.head) != end_to_end(&head) {
                changed.push(format!("{id}: the reply's head: {:?}, not {head:?}", reply.head));
            }
        }
        changed
    };
    let mut changed: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(carry)).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let heard = upstream.heard();
    let heard: HashMap<&str, &house::upstream::Heard> = heard.iter().filter_map(|heard| Some((heard.header(MARK)?, heard))).collect();
    for exchange in exchanges.iter() {
        let id = exchange.text("id");
        let Some(heard) = heard.get(id) else {
            changed.push(format!("{id}: not heard"));
            continue;
        };
        let sent = request(exchange.text("method"), exchange.text("path"), &exchange.recorded("request_headers"), b"");
        let sent = String::from_utf8(sent).unwrap();
        let mut arrived = end_to_end(&heard.head);
        arrived.retain(|(name, _)| *name != MARK);
        if arrived != end_to_end(&sent) || heard.line() != sent.split(" HTTP/").next().unwrap() {
            changed.push(format!("{id}: the request's head: {:?}, not {sent:?}", heard.head));
        }
        if heard.body != Exchange::bytes(&exchange.facts, "request_body") {
            changed.push(format!("{id}: the request's body"));
        }
    }
    changed
}

#[test]
fn recorded_exchanges_pass_untouched_and_become_the_rows_that_were_computed_independently() {
    let Some(exchanges) = exchanges().map(Arc::new) else { return };
    let scripts: HashMap<String, Vec<u8>> = exchanges.iter().map(|it| (it.text("id").to_owned(), it.wire_reply())).collect();
    let upstream = Upstream::start(move |heard, out| out.write_all(&scripts[heard.header(MARK).unwrap()]));
    let providers: BTreeSet<&str> = exchanges.iter().map(|exchange| exchange.text("provider")).collect();
    let providers: Vec<&str> = providers.into_iter().collect();
    let mut house = House::new(&upstream.config(&providers));
    house.start();

    let changed = replay(&house, &exchanges, &upstream);
    changed.iter().take(20).for_each(|what| println!("{what}"));
    println!("{} of {} exchanges passed unchanged", exchanges.len() - changed.len().min(exchanges.len()), exchanges.len());

    // A stopped engine has concluded every call.
    let health = house.json(&["status"]);
    assert_eq!(health["engine"]["proxy"]["unobserved"], 0, "{health}");
    house.stop();
    let rows = house.rows();
    // What was fetched again is the call that it was when it was asked for: its row may stand with that exchange, and is looked up by its id.
    let fetched: BTreeSet<String> = exchanges.iter().filter_map(Exchange::fetched_id).collect();
    let is_fetched = |row: &Value| row["call_id"].as_str().is_some_and(|id| fetched.contains(id));
    let mut by_exchange: HashMap<&str, Vec<&Value>> = HashMap::new();
    for row in rows.iter().filter(|row| !is_fetched(row)) {
        by_exchange.entry(row["project"].as_str().unwrap()).or_default().push(row);
    }
    for (exchange, id) in exchanges.iter().filter_map(|exchange| Some((exchange, exchange.fetched_id()?))) {
        by_exchange.insert(exchange.text("id"), rows.iter().filter(|row| row["call_id"] == id).collect());
    }

    let mut score: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for exchange in exchanges.iter().filter(|exchange| exchange.facts["expected"]["ambiguous"] != true) {
        let (provider, surface, id) = (exchange.text("provider"), exchange.text("surface"), exchange.text("id"));
        let fault = exchange.fault(by_exchange.get(id).map_or(&[], Vec::as_slice));
        let (right, all) = score.entry((provider, surface)).or_default();
        *all += 1;
        *right += usize::from(fault.is_none());
        if let Some(fault) = fault {
            wrong.push(format!("{id} {surface}: {fault}"));
        }
    }
    for ((provider, surface), (right, all)) in &score {
        println!("{} {provider:20} {surface:28} {right:4} of {all:4}", if right == all { ' ' } else { '!' });
    }
    let (right, all) = score.values().fold((0, 0), |sum, (right, all)| (sum.0 + right, sum.1 + all));
    println!("{right} of {all} exchanges are right, {} rows", rows.len());
    assert!(wrong.is_empty(), "every exchange is right: {wrong:#?}");
    assert!(changed.is_empty(), "everything passes as it was sent");
}
