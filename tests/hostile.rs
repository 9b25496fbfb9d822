//! Hostile framing: what a client gets through the proxy is what it gets from the upstream itself, byte for byte and cut for cut,
//! and the usage of each call is what it is in whatever pieces and wrappings it comes.
//!
//! The recordings are read in place, from `TOLLBAR_DATA`, and are not part of this repository. `EVERY=1` replays each of them, not a sample.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use house::{
    House, Upstream, Wire,
    exchange::{Exchange, exchanges},
    replies::{END, chunk},
    upstream::{Heard, cut, gzip},
    wire::{Reply, end_to_end, request},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

/// Names the exchange and the framing to the stand-in.
const MARK: &str = "x-exchange";
const FRAMING: &str = "x-framing";
/// Every so many exchanges are replayed.
const EVERY: usize = 9;
/// Larger bodies are left out of the framings that write single bytes.
const SLOW_BYTES_MAX: usize = 3_000;
/// In how many places each reply is cut.
const CUTS: usize = 6;

const FRAMINGS: [&str; 10] = ["sized", "to-close", "bytes", "random", "slow", "crlf", "gzip", "deflate", "br", "zstd"];

/// Pseudo-random numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn new(name: &str) -> Dice {
        Dice(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)) | 1)
    }

    fn up_to(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }

    fn pieces<'b>(&mut self, bytes: &'b [u8], longest: usize) -> Vec<&'b [u8]> {
        let (mut rest, mut pieces) = (bytes, Vec::new());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + self.up_to(longest)).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}

fn packed(encoding: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        "gzip" => return gzip(body),
        "deflate" => flate2::read::ZlibEncoder::new(body, flate2::Compression::fast()).read_to_end(&mut out),
        "br" => brotli::CompressorReader::new(body, 4096, 4, 20).read_to_end(&mut out),
        "zstd" => zstd::stream::read::Encoder::new(body, 3).unwrap().read_to_end(&mut out),
        _ => return body.to_vec(),
    }
    .unwrap();
    out
}

/// Says the reply of an exchange in a framing: `slow`, `gzip`, `cut:400`.
fn say(exchange: &Exchange, framing: &str, out: &mut TcpStream) -> io::Result<()> {
    let mut dice = Dice::new(&format!("{framing}{}", exchange.text("id")));
    let body = match framing {
        "crlf" => String::from_utf8_lossy(&exchange.reply).replace("\r\n", "\n").replace('\n', "\r\n").into_bytes(),
        encoding => packed(encoding, &exchange.reply),
    };
    let mut head = format!("HTTP/1.1 {} As Recorded\r\n", exchange.status());
    exchange.recorded("response_headers").iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    if ["gzip", "deflate", "br", "zstd"].contains(&framing) {
        head += &format!("content-encoding: {framing}\r\n");
    }
    match framing {
        "sized" => head += &format!("content-length: {}\r\n\r\n", body.len()),
        "to-close" => head += "connection: close\r\n\r\n",
        _ => head += "transfer-encoding: chunked\r\n\r\n",
    }
    let wire = match framing {
        "sized" | "to-close" => body,
        // Also the chunks' own heads are cut.
        "bytes" => [body.iter().flat_map(|byte| chunk([*byte])).collect(), END.to_vec()].concat(),
        _ => [dice.pieces(&body, 900).into_iter().flat_map(chunk).collect(), END.to_vec()].concat(),
    };
    let whole = [head.as_bytes(), &wire].concat();
    match framing {
        "bytes" => whole.chunks(1).try_for_each(|byte| out.write_all(byte))?,
        "slow" => dice.pieces(&whole, whole.len() / 3 + 1).into_iter().try_for_each(|piece| {
            std::thread::sleep(Duration::from_millis(4));
            out.write_all(piece)
        })?,
        framing => {
            let end = framing.strip_prefix("cut:").map_or(whole.len(), |at| head.len() + at.parse::<usize>().unwrap().min(wire.len() - 1));
            dice.pieces(&whole[..end], 3000).into_iter().try_for_each(|piece| out.write_all(piece))?;
        }
    }
    if framing == "to-close" || framing.starts_with("cut:") {
        out.shutdown(std::net::Shutdown::Write)?;
        return cut();
    }
    Ok(())
}

/// The framings that fit an exchange.
fn framings(exchange: &Exchange) -> Vec<String> {
    let bodiless = exchange.reply.is_empty() || exchange.text("method") == "HEAD" || [204, 304].contains(&exchange.status());
    let small = exchange.reply.len() <= SLOW_BYTES_MAX;
    let fits = |framing: &&str| match *framing {
        "bytes" => small,
        "crlf" => exchange.text("stream_kind") == "sse",
        "sized" => true,
        _ => !bodiless,
    };
    FRAMINGS.iter().copied().filter(fits).map(str::to_owned).collect()
}

fn ask(exchange: &Exchange, framing: &str, prefix: &str, to: &str) -> Reply {
    let mut headers = exchange.recorded("request_headers");
    headers.extend([(MARK, exchange.text("id")), (FRAMING, framing)]);
    let path = format!("{prefix}{}", exchange.text("path"));
    let mut wire = Wire::connect(to);
    wire.send(&request(exchange.text("method"), &path, &headers, &Exchange::bytes(&exchange.facts, "request_body")));
    wire.reply_to(exchange.text("method"))
}

/// What came through the proxy, against what came directly.
fn difference(direct: &Reply, carried: &Reply) -> Option<String> {
    let same = direct.status == carried.status && direct.whole == carried.whole && direct.body == carried.body;
    if !same {
        let told = |reply: &Reply| format!("{} {} bytes, whole: {}", reply.status, reply.body.len(), reply.whole);
        return Some(format!("{}; directly {}", told(carried), told(direct)));
    }
    (end_to_end(&direct.head) != end_to_end(&carried.head)).then(|| format!("{:?}; directly {:?}", carried.head, direct.head))
}

/// A stand-in that says what was recorded, as the request's header wants it framed.
fn stand_in(exchanges: &Arc<Vec<Exchange>>) -> Upstream {
    let exchanges = exchanges.clone();
    let by_id: HashMap<String, usize> = exchanges.iter().enumerate().map(|(at, it)| (it.text("id").to_owned(), at)).collect();
    Upstream::start(move |heard: &Heard, out| {
        let exchange = &exchanges[by_id[heard.header(MARK).unwrap()]];
        say(exchange, heard.header(FRAMING).unwrap(), out)
    })
}

fn started(upstream: &Upstream, exchanges: &[Exchange]) -> House {
    let mut providers: Vec<&str> = exchanges.iter().map(|exchange| exchange.text("provider")).collect();
    providers.sort_unstable();
    providers.dedup();
    let mut house = House::new(&upstream.config(&providers));
    house.start();
    house
}

fn sample() -> Option<Arc<Vec<Exchange>>> {
    let wanted = |exchange: &Exchange| exchange.facts["expected"]["ambiguous"] != true && exchange.fetched_id().is_none();
    let every = std::env::var("EVERY").ok().and_then(|every| every.parse().ok()).unwrap_or(EVERY);
    Some(Arc::new(exchanges()?.into_iter().filter(wanted).step_by(every).collect()))
}

#[test]
fn in_any_framing_the_bytes_are_those_of_a_direct_connection_and_the_usage_is_right() {
    let Some(exchanges) = sample() else { return };
    let upstream = stand_in(&exchanges);
    let mut house = started(&upstream, &exchanges);
    let (mut different, mut asked) = (Vec::new(), BTreeMap::<String, usize>::new());
    for exchange in exchanges.iter() {
        for framing in framings(exchange) {
            let (id, provider) = (exchange.text("id"), exchange.text("provider"));
            let direct = ask(exchange, &framing, "", &upstream.address);
            let carried = ask(exchange, &framing, &format!("/p/{id}.{framing}/{provider}"), &house.proxy);
            different.extend(difference(&direct, &carried).map(|what| format!("{id} {framing}: {what}")));
            *asked.entry(framing).or_default() += 1;
        }
    }
    assert_eq!(house.json(&["status"])["engine"]["proxy"]["unobserved"], 0);
    house.stop();
    let rows = house.rows();
    let mut by_project = HashMap::<&str, Vec<&Value>>::new();
    rows.iter().for_each(|row| by_project.entry(row["project"].as_str().unwrap()).or_default().push(row));
    let mut wrong = Vec::new();
    for exchange in exchanges.iter() {
        // The results of a batch are the same calls however often they are fetched: only the first row stands.
        for framing in framings(exchange).iter().filter(|_| exchange.text("method") != "GET") {
            let project = format!("{}.{framing}", exchange.text("id"));
            let of_it = by_project.get(project.as_str()).map_or(&[][..], Vec::as_slice);
            wrong.extend(exchange.fault(of_it).map(|fault| format!("{project} {}: {fault}", exchange.text("surface"))));
        }
    }
    println!("exchanges by framing, each once directly and once through the proxy: {asked:?}");
    assert!(different.is_empty(), "{different:#?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_reply_that_is_cut_is_cut_at_the_same_byte_and_never_taken_for_a_whole_one() {
    let Some(exchanges) = sample() else { return };
    let upstream = stand_in(&exchanges);
    let mut house = started(&upstream, &exchanges);
    let (mut different, mut asked) = (Vec::new(), 0);
    let cuts = |exchange: &Exchange| {
        let mut dice = Dice::new(exchange.text("id"));
        let billed = exchange.facts["expected"]["billable"] == true && exchange.reply.len() > CUTS;
        // At the boundaries of its events, and anywhere.
        let boundaries: Vec<usize> =
            exchange.reply.windows(2).enumerate().filter(|(_, pair)| pair == b"\n\n").map(|(at, _)| at + 2).collect();
        let places = (0..CUTS).filter(|_| billed).map(move |n| match boundaries.as_slice() {
            all @ [_, ..] if n % 2 == 0 => all[dice.up_to(all.len())],
            _ => dice.up_to(exchange.reply.len()),
        });
        places.map(|at| format!("cut:{at}")).collect::<Vec<_>>()
    };
    for exchange in exchanges.iter() {
        for framing in cuts(exchange) {
            let (id, provider) = (exchange.text("id"), exchange.text("provider"));
            let direct = ask(exchange, &framing, "", &upstream.address);
            let carried = ask(exchange, &framing, &format!("/p/{id}.{framing}/{provider}"), &house.proxy);
            different.extend(difference(&direct, &carried).map(|what| format!("{id} {framing}: {what}")));
            asked += 1;
        }
    }
    house.stop();
    let mut by_certainty = BTreeMap::<String, usize>::new();
    let mut not_whole = Vec::new();
    for row in house.rows() {
        *by_certainty.entry(row["certainty"].to_string()).or_default() += 1;
        let project = row["project"].as_str().unwrap();
        let exchange = exchanges.iter().find(|exchange| project.split('.').next() == Some(exchange.text("id"))).unwrap();
        if row["certainty"] == "reported" && exchange.text("method") != "GET" {
            not_whole.extend(exchange.fault(&[&row]).map(|fault| format!("{project} {}: {fault}", exchange.text("surface"))));
        }
    }
    println!("{asked} replies cut, {by_certainty:?}");
    assert!(not_whole.is_empty(), "said to be whole: {not_whole:#?}");
    assert!(different.is_empty(), "{} of {asked}: {:#?}", different.len(), &different[..different.len().min(20)]);
}

#[test]
fn a_request_in_any_pieces_arrives_as_it_was_sent() {
    let upstream = Upstream::saying(house::replies::json("{}"));
    let house = House::before(&upstream);
    let body: Vec<u8> = (0..40_000u32).map(|n| (n % 251) as u8).collect();
    for longest in [1, 13, 5_000, 60_000] {
        let (mut dice, mut wire) = (Dice::new("request"), house.client());
        let body = &body[..body.len().min(longest * 500)];
        let chunks: Vec<u8> = [dice.pieces(body, longest).into_iter().flat_map(chunk).collect(), END.to_vec()].concat();
        let head = "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-a: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for piece in dice.pieces(&[head.as_bytes(), &chunks].concat(), longest) {
            wire.send(piece);
        }
        assert_eq!(wire.reply().status, 200);
        let heard = upstream.heard().pop().unwrap();
        assert!(heard.body == body, "in pieces of up to {longest}: {} bytes", heard.body.len());
        assert_eq!((heard.header("transfer-encoding"), heard.header("content-length")), (Some("chunked"), None), "{}", heard.head);
    }
}
