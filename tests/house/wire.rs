//! HTTP/1.1 as bytes, so that a test sees what really passed.

use super::PATIENCE;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

/// One connection of a client.
pub struct Wire(BufReader<TcpStream>);

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    /// The head as it came, with its first line and line ends.
    pub head: String,
    pub body: Vec<u8>,
    /// The trailers as they came, with their line ends.
    pub trailers: String,
    /// Whether the body ended as its framing says.
    pub whole: bool,
}

/// A head and a body, of a request or of a reply.
pub struct Message {
    pub head: String,
    pub body: Vec<u8>,
    pub whole: bool,
}

impl Wire {
    pub fn connect(address: &str) -> Wire {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Wire(BufReader::new(stream))
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The next reply, its body to the end.
    pub fn reply(&mut self) -> Reply {
        self.reply_to("GET")
    }

    /// The next reply; one to HEAD has no body whatever its head says.
    pub fn reply_to(&mut self, method: &str) -> Reply {
        let head = read_head(&mut self.0).unwrap().expect("a reply");
        let status = status(&head);
        let bodiless = method == "HEAD" || status == 204 || status == 304 || status < 200;
        let mut trailers = String::new();
        let (body, whole) = if bodiless { (Vec::new(), true) } else { read_body(&mut self.0, &head, &mut trailers, true) };
        Reply { status, head, body, trailers, whole }
    }

    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send(&request("POST", path, headers, body));
        self.reply()
    }

    /// The next bytes that come, at least one unless the connection has ended.
    pub fn some(&mut self) -> Vec<u8> {
        let bytes = self.0.fill_buf().unwrap().to_vec();
        self.0.consume(bytes.len());
        bytes
    }

    /// Lines until the connection ends.
    pub fn lines(self) -> impl Iterator<Item = String> {
        self.0.get_ref().set_read_timeout(None).unwrap();
        self.0.lines().map_while(Result::ok)
    }

    /// Goes away without a word.
    pub fn hang_up(self) {
        self.0.get_ref().shutdown(Shutdown::Both).unwrap();
    }
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// One exchange on a connection of its own; an error if the other side ends it or takes longer than `limit`.
pub fn exchange(address: &str, request: &[u8], limit: Duration) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(request)?;
    let mut reader = BufReader::new(stream);
    let head = read_head(&mut reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut trailers = String::new();
    let (body, whole) = read_body(&mut reader, &head, &mut trailers, true);
    Ok(Reply { status: status(&head), head, body, trailers, whole })
}

/// A request as bytes.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    request_to("localhost", method, path, headers, body)
}

/// A request to a named host as bytes.
pub fn request_to(host: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
    headers.iter().for_each(|(name, value)| bytes.extend(format!("{name}: {value}\r\n").bytes()));
    if !body.is_empty() || method == "POST" {
        bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

/// The names and values of a head, as written.
pub fn headers(head: &str) -> impl Iterator<Item = (&str, &str)> {
    head.split("\r\n").skip(1).filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))
}

pub fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    headers(head).find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// What must arrive as it was sent: all headers but those of one connection, sorted by name, those of one name in their order.
pub fn end_to_end(head: &str) -> Vec<(&str, &str)> {
    const OF_ONE_CONNECTION: [&str; 6] = ["connection", "keep-alive", "transfer-encoding", "content-length", "host", "proxy-connection"];
    let mut kept: Vec<_> = headers(head).filter(|(name, _)| !OF_ONE_CONNECTION.iter().any(|it| it.eq_ignore_ascii_case(name))).collect();
    kept.sort_by_key(|(name, _)| *name);
    kept
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status in {head:?}"))
}

/// The next head, `None` at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head)? == 0 {
            return if head.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
    Ok(Some(String::from_utf8(head).unwrap()))
}

/// The next message, `None` at the end of the connection.
pub fn read_request(reader: &mut impl BufRead) -> Option<Message> {
    let head = read_head(reader).ok()??;
    let (body, whole) = read_body(reader, &head, &mut String::new(), false);
    Some(Message { head, body, whole })
}

/// The body behind a head, decoded from its framing, and whether it was whole.
fn read_body(reader: &mut impl BufRead, head: &str, trailers: &mut String, until_close: bool) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    if header(head, "transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        let whole = read_chunks(reader, &mut body, trailers).is_ok();
        return (body, whole);
    }
    if let Some(length) = header(head, "content-length").map(|value| value.parse::<u64>().unwrap()) {
        let read = reader.take(length).read_to_end(&mut body);
        let whole = read.is_ok() && body.len() as u64 == length;
        return (body, whole);
    }
    let whole = !until_close || reader.read_to_end(&mut body).is_ok();
    (body, whole)
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>, trailers: &mut String) -> io::Result<()> {
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16).map_err(|_| cut())?;
        if size == 0 {
            // Trailers up to an empty line.
            while line != "\r\n" {
                line.clear();
                if reader.read_line(&mut line)? == 0 {
                    return Err(cut());
                }
                trailers.push_str(line.trim_start_matches("\r\n"));
            }
            return Ok(());
        }
        let before = body.len();
        reader.take(size).read_to_end(body)?;
        let mut end = [0; 2];
        reader.read_exact(&mut end)?;
        if (body.len() - before) as u64 != size {
            return Err(cut());
        }
    }
}
