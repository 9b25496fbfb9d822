//! Recorded exchanges with every provider through the running proxy: bytes pass untouched, and each call is one right row.
//!
//! The recordings are read in place, from `TOLLBAR_DATA`, and are not part of this repository.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use house::{
    House, Upstream, Wire,
    exchange::{Exchange, exchanges},
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

/// The reply as its provider framed it: compressed where it was, a stream in chunks of one frame, else of known length.
fn wire_reply(exchange: &Exchange) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} As Recorded\r\n", exchange.status());
    exchange.recorded("response_headers").iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    let packed = exchange.text("recorded_content_encoding") == "gzip";
    let body = if packed { gzip(&exchange.reply) } else { exchange.reply.clone() };
    if packed {
        head += "content-encoding: gzip\r\n";
    }
    let mut bytes = head.into_bytes();
    if exchange.facts["stream"] == true && !body.is_empty() {
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
            let sent = wire_reply(exchange);
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
    let scripts: HashMap<String, Vec<u8>> = exchanges.iter().map(|it| (it.text("id").to_owned(), wire_reply(it))).collect();
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
