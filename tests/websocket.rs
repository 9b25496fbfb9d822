//! WebSockets through the running proxy: the tunnel passes every byte as it came, and each call of a conversation is a row when it is over.
//!
//! The recordings are read in place, from `TOLLBAR_DATA`, and are not part of this repository.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use flate2::{Compress, Compression, FlushCompress};
use house::{
    House, PATIENCE, Upstream, Wire, recordings,
    upstream::{Heard, cut},
    wire::{header, request},
};
use serde_json::Value;
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::mpsc::{Sender, channel},
};

const RESPONSES: &str = "/openai/v1/responses";
const UPGRADE: [(&str, &str); 5] = [
    ("Connection", "keep-alive, Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
];
const GRANTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
/// Sizes of the pieces in which bytes are written, and waits between them.
const FRAMINGS: [usize; 4] = [1, 7, 1000, usize::MAX];

/// A frame as RFC 6455 has it, masked where a client sends it.
fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length) if length < 126 => bytes.push(masked | u8::try_from(length).unwrap()),
        Ok(length) => {
            bytes.push(masked | 126);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(masked | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(mask.iter().flatten());
    let mask = mask.unwrap_or_default();
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// One message in two fragments with a ping between them, deflated where that was agreed on.
fn message(text: &str, mask: Option<[u8; 4]>, deflate: Option<&mut Compress>) -> Vec<u8> {
    let (first, payload) = match deflate {
        None => (0x01, text.as_bytes().to_vec()),
        Some(compress) => {
            let mut out = Vec::with_capacity(text.len() + 64);
            compress.compress_vec(text.as_bytes(), &mut out, FlushCompress::Sync).unwrap();
            out.truncate(out.len() - 4);
            (0x41, out)
        }
    };
    let (head, tail) = payload.split_at(payload.len() / 3);
    [frame(first, head, mask), frame(0x89, b"still there?", mask), frame(0x80, tail, mask)].concat()
}

fn completed(n: u64, id: &str) -> String {
    format!(
        r#"{{"type":"response.completed","response":{{"id":"{id}","object":"response","status":"completed","model":"gpt-4.1","usage":{{"input_tokens":{n},"input_tokens_details":{{"cached_tokens":1}},"output_tokens":3,"total_tokens":{}}}}}}}"#,
        n + 3
    )
}

/// A stand-in that grants the upgrade, says `says` in pieces, and tells what it heard until the client closed.
fn granting(extensions: &'static str, says: Vec<u8>, piece: usize, heard: Sender<Vec<u8>>) -> Upstream {
    Upstream::start(move |asked: &Heard, out: &mut TcpStream| {
        assert_eq!(asked.header("upgrade"), Some("websocket"), "{}", asked.head);
        assert_eq!(asked.header("connection"), Some("Upgrade"), "{}", asked.head);
        out.write_all(format!("{GRANTED}{extensions}\r\n").as_bytes())?;
        says.chunks(piece).try_for_each(|piece| out.write_all(piece))?;
        let mut all = Vec::new();
        out.read_to_end(&mut all)?;
        heard.send(all).unwrap();
        cut()
    })
}

/// Opens a WebSocket; the head of the answer.
fn open(house: &House, path: &str) -> (Wire, String) {
    let mut client = house.client();
    client.send(&request("GET", path, &UPGRADE, b""));
    let reply = client.reply_to("HEAD");
    assert_eq!(reply.status, 101, "{}", reply.text());
    (client, reply.head)
}

fn read_exactly(client: &mut Wire, bytes: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < bytes {
        let some = client.some();
        assert!(!some.is_empty(), "the tunnel stays open");
        got.extend(some);
    }
    got
}

#[test]
fn both_directions_pass_untouched_and_each_response_is_a_row_while_the_socket_is_open() {
    for (piece, deflated) in FRAMINGS.into_iter().flat_map(|piece| [(piece, false), (piece, true)]) {
        let mut compress = deflated.then(|| Compress::new(Compression::default(), false));
        let warm = r#"{"type":"response.completed","response":{"id":"resp_warm","model":"gpt-4.1","usage":{"input_tokens":0,"output_tokens":0,"total_tokens":0}}}"#;
        let says: Vec<u8> = [
            r#"{"type":"response.created","response":{"id":"resp_1"}}"#,
            warm,
            &completed(11, "resp_1"),
            r#"{"type":"response.output_text.delta","delta":"\"usage\":{"}"#,
            &completed(23, "resp_2"),
        ]
        .iter()
        .flat_map(|text| message(text, None, compress.as_mut()))
        .collect();
        let asks: Vec<u8> = (0..3u8)
            .flat_map(|n| message(&format!(r#"{{"type":"response.create","model":"gpt-4.1","n":{n}}}"#), Some([n, 5, 200, 9]), None))
            .collect();
        let (heard, hears) = channel();
        let extensions = if deflated { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
        let upstream = granting(extensions, says.clone(), piece, heard);
        let house = House::before(&upstream);
        let (mut client, head) = open(&house, RESPONSES);
        assert_eq!((header(&head, "upgrade"), header(&head, "connection")), (Some("websocket"), Some("Upgrade")), "{head}");
        assert_eq!(header(&head, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        asks.chunks(piece).for_each(|piece| client.send(piece));
        assert!(read_exactly(&mut client, says.len()) == says, "in pieces of {piece}");
        let rows = house.rows_when(2);
        let mut told: Vec<_> =
            rows.iter().map(|row| (row["call_id"].as_str().unwrap(), row["input"].as_u64(), row["cache_read"].as_u64())).collect();
        told.sort_unstable();
        assert_eq!(told, [("resp_1", Some(10), Some(1)), ("resp_2", Some(22), Some(1))], "in pieces of {piece}, deflated: {deflated}");
        client.hang_up();
        assert!(hears.recv_timeout(PATIENCE).expect("the upstream is told that the client has gone") == asks);
    }
}

#[test]
fn what_the_meter_cannot_read_passes_all_the_same() {
    let noise: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let (heard, hears) = channel();
    let house = House::before(&granting("", noise.clone(), 4096, heard));
    let (mut client, _) = open(&house, RESPONSES);
    client.send(&noise);
    assert!(read_exactly(&mut client, noise.len()) == noise);
    client.hang_up();
    assert!(hears.recv_timeout(PATIENCE).unwrap() == noise);
    assert_eq!(house.rows().len(), 0);
}

#[test]
fn a_response_that_was_begun_when_the_socket_breaks_is_not_lost() {
    let says = message(r#"{"type":"response.created","response":{"id":"resp_1","model":"gpt-4.1"}}"#, None, None);
    let reply = [format!("{GRANTED}\r\n").as_bytes(), &says].concat();
    let upstream = Upstream::start(move |_, out| {
        out.write_all(&reply)?;
        cut()
    });
    let house = House::before(&upstream);
    let (mut client, _) = open(&house, RESPONSES);
    while !client.some().is_empty() {}
    client.hang_up();
    let rows = house.rows_when(1);
    assert_eq!((rows[0]["call_id"].as_str(), rows[0]["certainty"].as_str()), (Some("resp_1"), Some("unknown")));
}

#[test]
fn an_upgrade_that_the_upstream_refuses_is_refused_and_one_to_another_protocol_is_passed_over() {
    let upstream = Upstream::start(|heard: &Heard, out: &mut TcpStream| -> io::Result<()> {
        match heard.header("upgrade") {
            Some(_) => out.write_all(b"HTTP/1.1 426 Upgrade Required\r\nX-Why: old\r\nContent-Length: 2\r\n\r\n{}"),
            None => out.write_all(&house::replies::json("{}")),
        }
    });
    let house = House::before(&upstream);
    let mut client = house.client();
    client.send(&request("GET", RESPONSES, &UPGRADE, b""));
    let reply = client.reply();
    assert_eq!((reply.status, reply.header("x-why"), reply.text().as_str()), (426, Some("old"), "{}"));
    client.send(&request("GET", "/openai/v1/models", &[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c")], b""));
    assert_eq!(client.reply().status, 200, "and the connection goes on");
    assert_eq!(house.rows().len(), 0);
}

#[test]
fn recorded_conversations_become_the_rows_that_were_computed_independently() {
    let Some(folder) = recordings("traffic") else { return };
    let texts = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let all: Vec<Value> = texts.flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()).collect();
    let conversations: Vec<&Value> = all.iter().filter(|it| it["transport"] == "websocket").collect();
    for exchange in &conversations {
        let body = |field: &str, mask| -> Vec<u8> {
            exchange[field].as_str().unwrap().lines().filter(|line| !line.is_empty()).flat_map(|line| message(line, mask, None)).collect()
        };
        let (says, asks) = (body("response_body", None), body("request_body", Some([3, 1, 4, 1])));
        let (heard, hears) = channel();
        let upstream = granting("", says.clone(), 777, heard);
        let provider = exchange["provider"].as_str().unwrap();
        let mut house = House::new(&upstream.config(&[provider]));
        house.start();
        let (mut client, _) = open(&house, &format!("/{provider}{}", exchange["path"].as_str().unwrap()));
        client.send(&asks);
        assert!(read_exactly(&mut client, says.len()) == says);
        client.hang_up();
        assert!(hears.recv_timeout(PATIENCE).unwrap() == asks);
        house.stop();
        let rows = house.rows();
        let spoken = rows.iter().filter(|row| !row["call_id"].as_str().is_some_and(|id| id.contains(":transcription:")));
        let sums = spoken.fold([0; 3], |sums, row| {
            let [input, cached, output] = sums;
            let count = |class: &str| row[class].as_u64().unwrap_or(0);
            [input + count("input"), cached + count("cache_read"), output + count("output")]
        });
        let expected = ["input_uncached", "cache_read", "output"].map(|class| exchange["expected"][class].as_u64().unwrap());
        assert_eq!(sums, expected, "{}: {rows:?}", exchange["id"]);
    }
    println!("{} of {} conversations", conversations.len(), conversations.len());
}
