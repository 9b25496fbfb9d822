//! Calls through the proxy to a provider that knows what it answered, and calls told to the control API.

use super::{
    chance::Chance,
    fault::{Fault, Kind, Outcome, ensure},
    home::{HANG, Home, tell, unique},
    truth::Truth,
};
use crate::house::{
    upstream::{Heard, Upstream, gzip, replies},
    wire,
};
use serde_json::json;
use std::{
    fs,
    hash::{DefaultHasher, Hasher},
    io::{self, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Models with a price in every book.
const CHAT_MODEL: &str = "gpt-4.1";
const MESSAGE_MODEL: &str = "claude-sonnet-4-5";
/// A pause between two calls of a client, at most.
const PAUSE_MAX: Duration = Duration::from_millis(15);
/// A pause between two pieces of a reply, at most.
const PACE_MS_MAX: u64 = 4;
const TOLD_AT_ONCE_MAX: u64 = 20;
/// Calls that are told with too many tokens on purpose, so that `remeter` has something to restate.
const WRONG_PERCENT: u64 = 40;

/// How a provider answers.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Chat,
    ChatStream,
    ChatGzip,
    Message,
    MessageStream,
}

const SHAPES: [Shape; 5] = [Shape::Chat, Shape::ChatStream, Shape::ChatGzip, Shape::Message, Shape::MessageStream];

impl Shape {
    fn path(self) -> &'static str {
        match self {
            Shape::Chat | Shape::ChatStream | Shape::ChatGzip => "/openai/v1/chat/completions",
            Shape::Message | Shape::MessageStream => "/anthropic/v1/messages",
        }
    }

    fn request(self) -> String {
        let streams = matches!(self, Shape::ChatStream | Shape::MessageStream);
        let model = if self.path().starts_with("/openai") { CHAT_MODEL } else { MESSAGE_MODEL };
        json!({ "model": model, "max_tokens": 10, "messages": [{ "role": "user", "content": "Hello" }], "stream": streams }).to_string()
    }

    /// The reply as the provider writes it, in pieces, and its decoded body.
    fn reply(self, id: &str, input: u64, output: u64) -> (Vec<Vec<u8>>, Vec<u8>) {
        let stream = |frames: Vec<String>| {
            let body = frames.concat().into_bytes();
            let head = [replies::STREAM.as_bytes().to_vec()];
            let pieces = head.into_iter().chain(frames.iter().map(replies::chunk)).chain([replies::END.to_vec()]).collect();
            (pieces, body)
        };
        match self {
            Shape::Chat => {
                let body = replies::chat(id, CHAT_MODEL, input, output);
                (vec![replies::json(&body)], body.into_bytes())
            }
            Shape::Message => {
                let body = replies::message(id, MESSAGE_MODEL, input, output);
                (vec![replies::json(&body)], body.into_bytes())
            }
            Shape::ChatGzip => {
                let body = gzip(replies::chat(id, CHAT_MODEL, input, output).as_bytes());
                (vec![replies::sized("200 OK", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", &body)], body)
            }
            Shape::ChatStream => stream(replies::chat_frames(id, CHAT_MODEL, input, output)),
            Shape::MessageStream => stream(replies::message_frames(id, MESSAGE_MODEL, input, output)),
        }
    }
}

/// Starts a provider that answers as the request's headers say. It answers 400 if the request's body changed on the way.
pub fn provider() -> Upstream {
    Upstream::start(|heard, out| {
        let number = |name: &str| heard.header(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        if number("x-digest") != digest(&heard.body) {
            return out.write_all(&replies::sized("400 Bad Request", "", "the request changed on the way"));
        }
        let shape = SHAPES[usize::try_from(number("x-shape")).unwrap()];
        answer(heard, shape, number("x-input"), number("x-output"), Duration::from_millis(number("x-pace")), out)
    })
}

fn answer(heard: &Heard, shape: Shape, input: u64, output: u64, pace: Duration, out: &mut TcpStream) -> io::Result<()> {
    let (pieces, _) = shape.reply(heard.header("x-id").unwrap_or_default(), input, output);
    for piece in pieces {
        out.write_all(&piece)?;
        thread::sleep(pace);
    }
    Ok(())
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Makes one call through the proxy. An error means that no whole reply came.
pub fn call(proxy: &str, truth: &Mutex<Truth>, chance: &mut Chance) -> io::Result<Outcome> {
    let id = format!("call-{}", unique());
    let (input, output) = (chance.between(1, 100_000), chance.between(1, 1_000));
    let index = chance.index(SHAPES.len());
    let shape = SHAPES[index];
    let body = shape.request();
    let numbers = [("x-shape", index as u64), ("x-input", input), ("x-output", output), ("x-pace", chance.below(PACE_MS_MAX))];
    let numbers = numbers.map(|(name, number)| (name, number.to_string()));
    let digest = digest(body.as_bytes()).to_string();
    let mut headers = vec![("x-id", id.as_str()), ("x-digest", &digest), ("content-type", "application/json"), ("connection", "close")];
    headers.extend(numbers.iter().map(|(name, number)| (*name, number.as_str())));
    truth.lock().unwrap().begin(&id, input, output);
    let reply = wire::exchange(proxy, &wire::request("POST", shape.path(), &headers, body.as_bytes()), *HANG)?;
    if !reply.whole {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let is_equal = reply.status == 200 && reply.body == shape.reply(&id, input, output).1;
    if is_equal {
        truth.lock().unwrap().end(&id);
    }
    Ok(ensure(is_equal, Kind::Wrong, || format!("{id} came as {} {}", reply.status, reply.text())))
}

/// Clients that call without end, until they are told to stop or the engine is killed.
pub struct Load {
    /// Set before the engine is killed: from then on a call may fail.
    may_fail: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Outcome>>,
    truth: Arc<Mutex<Truth>>,
}

impl Load {
    /// Starts `callers` through the proxy, and one client that tells sightings to the control API.
    pub fn start(home: &Home, truth: &Arc<Mutex<Truth>>, callers: u64, chance: &mut Chance) -> Load {
        let load = Load { may_fail: Arc::default(), stop: Arc::default(), threads: Vec::new(), truth: truth.clone() };
        let caller = |mut chance: Chance| {
            let (proxy, may_fail, stop, truth) = (home.proxy().to_owned(), load.may_fail.clone(), load.stop.clone(), truth.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    match call(&proxy, &truth, &mut chance) {
                        Ok(outcome) => outcome?,
                        Err(_) if may_fail.load(Ordering::SeqCst) => thread::sleep(PAUSE_MAX),
                        Err(error) => return Err(Fault::new(Kind::Refused, format!("a call through the proxy: {error}"))),
                    }
                    thread::sleep(chance.time_below(PAUSE_MAX));
                }
                Ok(())
            })
        };
        let mut threads: Vec<_> = (0..callers).map(|_| caller(Chance::new(chance.next()))).collect();
        threads.push(load.teller(home, Chance::new(chance.next())));
        Load { threads, ..load }
    }

    fn teller(&self, home: &Home, mut chance: Chance) -> JoinHandle<Outcome> {
        let (control, token) = (home.control(), fs::read_to_string(home.path("state/token")).unwrap_or_default());
        let (stop, truth) = (self.stop.clone(), self.truth.clone());
        thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let is_wrong = chance.percent(WRONG_PERCENT);
                let told = Told::new(&mut chance, is_wrong);
                told.begin(&mut truth.lock().unwrap());
                // Each call is seen twice, first when half of its output was counted.
                for part in [HALF, WHOLE] {
                    if tell(&control, token.trim(), &told.command(part)).is_some() && part == WHOLE {
                        truth.lock().unwrap().acknowledge(told.calls.iter().map(|(id, ..)| id));
                    }
                }
                thread::sleep(chance.time_below(PAUSE_MAX * 4));
            }
            Ok(())
        })
    }

    /// From now on a call may fail, as the engine is killed or the machine has no room for it.
    pub fn may_fail(&self) {
        self.may_fail.store(true, Ordering::SeqCst);
    }

    /// Waits for the clients' last calls; the first fault that one found.
    pub fn end(self) -> Outcome {
        self.stop.store(true, Ordering::SeqCst);
        let ended: Vec<Outcome> = self.threads.into_iter().map(|thread| thread.join().expect("no client panics")).collect();
        ended.into_iter().collect()
    }
}

const HALF: u64 = 2;
pub const WHOLE: u64 = 1;

fn part_of(output: u64, part: u64) -> u64 {
    (output / part).max(1)
}

/// Calls that are told to the control API as a log reader tells them.
pub struct Told {
    calls: Vec<(String, u64, u64)>,
    is_wrong: bool,
}

impl Told {
    /// `is_wrong`: their input is told a third too high, which `remeter` finds out.
    pub fn new(chance: &mut Chance, is_wrong: bool) -> Told {
        let count = chance.between(1, TOLD_AT_ONCE_MAX);
        let calls = (0..count).map(|_| (format!("told-{}", unique()), chance.between(3, 50_000), chance.between(2, 1_000))).collect();
        Told { calls, is_wrong }
    }

    pub fn begin(&self, truth: &mut Truth) {
        for (id, input, output) in &self.calls {
            truth.begin(id, if self.is_wrong { input + input / 3 } else { *input }, *output);
            let call = truth.calls.get_mut(id).unwrap();
            call.restated_input = self.is_wrong.then_some(*input);
            call.first_output = Some(part_of(*output, HALF));
        }
    }

    pub fn acknowledge(&self, truth: &mut Truth) {
        truth.acknowledge(self.calls.iter().map(|(id, ..)| id));
    }

    /// The command that tells them, with one `part`-th of their output.
    pub fn command(&self, part: u64) -> serde_json::Value {
        let sighting = |(id, input, output): &(String, u64, u64)| {
            let output = part_of(*output, part);
            let told = if self.is_wrong { input + input / 3 } else { *input };
            json!({
                "usage": {
                    "at": "2026-11-20T10:00:00Z", "provider": "anthropic", "family": "anthropic", "model": MESSAGE_MODEL, "call_id": id,
                    "client": "claude-code", "tokens": { "input": told, "output": output }, "certainty": "reported", "sources": ["log"],
                },
                "said": { "input_tokens": input, "output_tokens": output },
            })
        };
        json!({ "command": "log_usage", "sightings": self.calls.iter().map(sighting).collect::<Vec<_>>() })
    }
}
