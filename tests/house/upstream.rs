//! A provider's stand-in on loopback. What it says is scripted byte by byte; what it hears is kept as it came.

use super::wire::{Message, header, read_request};
use std::{
    fmt::Write as _,
    io::{self, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A provider's stand-in. It ends with the process.
pub struct Upstream {
    /// `127.0.0.1:PORT`.
    pub address: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    connections: Arc<AtomicUsize>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// With its first line and line ends.
    pub head: String,
    pub body: Vec<u8>,
}

impl Upstream {
    /// `answer` writes the reply to each request. An error of its, as from a cut, ends the connection.
    pub fn start(answer: impl Fn(&Heard, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Upstream { address: listener.local_addr().unwrap().to_string(), heard: Arc::default(), connections: Arc::default() };
        let (heard, connections, answer) = (upstream.heard.clone(), upstream.connections.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (heard, answer) = (heard.clone(), answer.clone());
                std::thread::spawn(move || {
                    stream.set_nodelay(true).unwrap();
                    let (mut reader, mut writer) = (BufReader::new(stream.try_clone().unwrap()), stream);
                    while let Some(Message { head, body, whole: true }) = read_request(&mut reader) {
                        let request = Heard { head, body };
                        heard.lock().unwrap().push(request.clone());
                        if answer(&request, &mut writer).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        upstream
    }

    /// One that says the same to everybody.
    pub fn saying(reply: impl Into<Vec<u8>>) -> Upstream {
        let reply = reply.into();
        Upstream::start(move |_, out| out.write_all(&reply))
    }

    /// A configuration with these upstreams here.
    pub fn config(&self, names: &[&str]) -> String {
        names.iter().fold(String::new(), |mut text, name| {
            writeln!(text, "[upstreams.{name}]\nbase_url = \"http://{}\"", self.address).unwrap();
            text
        })
    }

    /// What it heard, oldest first.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Heard {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Method and path.
    pub fn line(&self) -> &str {
        self.head.split(" HTTP/").next().unwrap_or_default()
    }

    /// Whether the body asks for a stream.
    pub fn streams(&self) -> bool {
        serde_json::from_slice::<serde_json::Value>(&self.body).is_ok_and(|body| body["stream"] == true)
    }
}

/// Breaks off: nothing more is said, and the connection ends.
pub fn cut() -> io::Result<()> {
    Err(io::ErrorKind::ConnectionAborted.into())
}

pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(body, flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
    packed
}

/// Replies of providers, written after their documentation.
pub mod replies {
    /// A reply of a known length.
    pub fn sized(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
        let body = body.as_ref();
        let mut reply = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        reply.extend(body);
        reply
    }

    pub fn json(body: impl AsRef<[u8]>) -> Vec<u8> {
        sized("200 OK", "Content-Type: application/json\r\n", body)
    }

    /// The head of a stream of server-sent events.
    pub const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    /// The end of a chunked body.
    pub const END: &[u8] = b"0\r\n\r\n";

    pub fn chunk(bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let bytes = bytes.as_ref();
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend(bytes);
        chunk.extend(b"\r\n");
        chunk
    }

    /// A whole stream, each frame a chunk.
    pub fn stream(frames: &[String]) -> Vec<u8> {
        let mut reply = STREAM.as_bytes().to_vec();
        frames.iter().for_each(|frame| reply.extend(chunk(frame)));
        reply.extend(END);
        reply
    }

    pub fn chat(id: &str, model: &str, input: u64, output: u64) -> String {
        format!(
            r#"{{"id":"{id}","object":"chat.completion","created":1,"model":"{model}","choices":[{{"index":0,"message":{{"role":"assistant","content":"Hi"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{}}}}}"#,
            input + output
        )
    }

    pub fn chat_frames(id: &str, model: &str, input: u64, output: u64) -> Vec<String> {
        let frame = |choices: &str, usage: &str| {
            format!(
                "data: {{\"id\":\"{id}\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"{model}\",\"choices\":[{choices}],\"usage\":{usage}}}\n\n"
            )
        };
        let total = input + output;
        vec![
            frame(r#"{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}"#, "null"),
            frame(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#, "null"),
            frame("", &format!(r#"{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{total}}}"#)),
            "data: [DONE]\n\n".to_owned(),
        ]
    }

    pub fn message(id: &str, model: &str, input: u64, output: u64) -> String {
        format!(
            r#"{{"id":"{id}","type":"message","role":"assistant","model":"{model}","content":[{{"type":"text","text":"Hi"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":{input},"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":{output}}}}}"#
        )
    }

    pub fn message_frames(id: &str, model: &str, input: u64, output: u64) -> Vec<String> {
        let frame = |name: &str, data: String| format!("event: {name}\ndata: {{\"type\":\"{name}\"{data}}}\n\n");
        vec![
            frame(
                "message_start",
                format!(
                    r#","message":{{"id":"{id}","type":"message","role":"assistant","model":"{model}","content":[],"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":{input},"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}}}"#
                ),
            ),
            frame("content_block_start", r#","index":0,"content_block":{"type":"text","text":""}"#.into()),
            frame("content_block_delta", r#","index":0,"delta":{"type":"text_delta","text":"Hi"}"#.into()),
            frame("content_block_stop", r#","index":0"#.into()),
            frame(
                "message_delta",
                format!(r#","delta":{{"stop_reason":"end_turn","stop_sequence":null}},"usage":{{"output_tokens":{output}}}"#),
            ),
            frame("message_stop", String::new()),
        ]
    }
}
