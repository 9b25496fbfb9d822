//! What the proxy adds to a call: directly, through nginx (one worker, a plain reverse proxy) and through Tollbar with recording on, on the
//! same machine, in the same run. Prints one table.
//!
//! `cargo bench --bench proxy` runs all of it, `cargo bench --bench proxy -- stream` one kind of call, and `-- memory [CALLS]` a million
//! calls, for what they leave in memory. Nothing else should run meanwhile.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "../house/mod.rs"]
mod house;

use house::{House, replies};
use std::{
    cell::RefCell,
    fs,
    process::{Child, Command, Stdio},
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Each way is measured so often, one after the other: the machine's own speed changes from second to second, and hits all of them alike.
const ROUNDS: usize = 5;
/// How long each cell of the table is measured in a round, after a shorter time that does not count.
const MEASURED: Duration = Duration::from_millis(600);
const WARM: Duration = Duration::from_millis(150);
const CLIENTS: [usize; 3] = [1, 16, 128];
const STREAM_CHUNKS: usize = 200;
/// What stands for the id of each reply: as many digits.
const ID: &str = "00000000000000000000";
/// The clock of `/proc/<pid>/stat`: 100 a second on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Kinds of calls.
const KINDS: [&str; 3] = ["json-2k", "json-1m", "stream"];

/// So many calls, so many at a time, are what memory is measured after.
const MANY_CALLS: usize = 1_000_000;
const MANY_CLIENTS: usize = 16;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// The replies' pieces: what is written at once. The first piece has the id.
fn pieces(kind: &str) -> Vec<Vec<u8>> {
    let of_bytes = |bytes: usize| {
        let reply = replies::chat(&format!("chatcmpl-{ID}"), "gpt-4.1", 1000, 100);
        vec![replies::json(reply.replace("Hi", &"words ".repeat(bytes / 6)))]
    };
    match kind {
        "json-2k" => of_bytes(2 << 10),
        "json-1m" => of_bytes(1 << 20),
        _ => {
            let frames = replies::chat_frames(&format!("chatcmpl-{ID}"), "gpt-4.1", 1000, 100);
            let mut pieces = vec![[replies::STREAM.as_bytes(), &replies::chunk(&frames[0])].concat()];
            pieces.extend((2..STREAM_CHUNKS).map(|_| replies::chunk(&frames[0])));
            pieces.push([replies::chunk(frames[1..].concat()), replies::END.to_vec()].concat());
            pieces
        }
    }
}

/// A stand-in that answers as fast as it can, on a thread of its own.
fn upstream(kind: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let pieces = Rc::new(pieces(kind));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::task::spawn_local(serve(stream, pieces.clone()));
            }
        }));
    });
    address
}

async fn serve(mut stream: TcpStream, pieces: Rc<Vec<Vec<u8>>>) {
    let at = pieces[0].windows(ID.len()).position(|text| text == ID.as_bytes()).unwrap();
    let mut first = pieces[0].clone();
    let mut asked = Vec::new();
    loop {
        // The benchmark's requests are small and end in a brace.
        asked.clear();
        while !asked.ends_with(b"]}") {
            if stream.read_buf(&mut asked).await.unwrap_or(0) == 0 {
                return;
            }
        }
        first[at..at + ID.len()].copy_from_slice(format!("{:020}", NEXT.fetch_add(1, Ordering::Relaxed)).as_bytes());
        if stream.write_all(&first).await.is_err() {
            return;
        }
        for piece in &pieces[1..] {
            // Each piece goes out alone.
            tokio::task::yield_now().await;
            if stream.write_all(piece).await.is_err() {
                return;
            }
        }
    }
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    first_us: Vec<u32>,
    whole_us: Vec<u32>,
}

/// Calls one after the other on one connection until the time is over.
async fn call(to: String, path: String, kind: &'static str, until: Instant, seen: Rc<RefCell<Seen>>) {
    let body = r#"{"model":"gpt-4.1","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}]}"#;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer k\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body.as_bytes()].concat();
    let mut stream = TcpStream::connect(&to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut got = vec![0; 256 << 10];
    while Instant::now() < until {
        let begun = Instant::now();
        stream.write_all(&request).await.unwrap();
        let (mut first, mut tail, mut total, mut expected) = (None, Vec::new(), 0, None);
        loop {
            let bytes = stream.read(&mut got).await.unwrap();
            assert!(bytes > 0, "{kind} at {to}: the connection stays open");
            total += bytes;
            if first.is_none() {
                let head_end = got[..bytes].windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
                // With the head alone nothing of the reply is there yet.
                if head_end.is_some_and(|end| end < bytes) || total > bytes {
                    first = Some(begun.elapsed());
                }
                if expected.is_none()
                    && let Some(end) = head_end
                {
                    let head = String::from_utf8_lossy(&got[..end]).to_ascii_lowercase();
                    assert!(head.starts_with("http/1.1 200"), "{head}");
                    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse::<usize>().ok());
                    expected = Some(length.map(|length| end + length));
                }
            }
            let done = match expected.flatten() {
                Some(expected) => total >= expected,
                None => {
                    tail.extend_from_slice(&got[bytes.saturating_sub(8)..bytes]);
                    tail.drain(..tail.len().saturating_sub(8));
                    tail.ends_with(b"\r\n0\r\n\r\n")
                }
            };
            if done {
                break;
            }
        }
        let us = |time: Duration| u32::try_from(time.as_micros()).unwrap();
        let mut seen = seen.borrow_mut();
        seen.whole_us.push(us(begun.elapsed()));
        seen.first_us.push(us(first.unwrap_or_default()));
    }
}

/// Calls from many clients at once, for so long.
fn run(kind: &'static str, to: &str, path: &str, clients: usize, time: Duration) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let seen = Rc::new(RefCell::new(Seen::default()));
    let until = Instant::now() + time;
    runtime.block_on(tokio::task::LocalSet::new().run_until(async {
        let calls: Vec<_> =
            (0..clients).map(|_| tokio::task::spawn_local(call(to.to_owned(), path.to_owned(), kind, until, seen.clone()))).collect();
        for call in calls {
            call.await.unwrap();
        }
    }));
    Rc::try_unwrap(seen).ok().unwrap().into_inner()
}

/// What many calls leave in memory.
fn measure_memory(many_calls: usize) {
    let address = upstream("json-2k");
    let mut house = House::new(&format!("[upstreams.openai]\nbase_url = \"http://{address}\""));
    house.start();
    let path = "/openai/v1/chat/completions";
    let mut calls = 0;
    println!("{calls:9} calls: {:.1} MiB", resident_kib(house.pid()) as f64 / 1024.0);
    while calls < many_calls {
        calls += run("json-2k", &house.proxy, path, MANY_CLIENTS, Duration::from_secs(10)).whole_us.len();
        println!("{calls:9} calls: {:.1} MiB", resident_kib(house.pid()) as f64 / 1024.0);
    }
    std::thread::sleep(Duration::from_secs(5));
    println!("5 s later      : {:.1} MiB", resident_kib(house.pid()) as f64 / 1024.0);
}

/// A way to the upstream.
struct Way<'a> {
    name: &'static str,
    to: &'a str,
    path: &'a str,
    /// Whose processor time and memory are told.
    pid: Option<u32>,
    /// Of each round, in calls a second.
    speeds: Vec<f64>,
    seen: Seen,
    busy_seconds: f64,
}

impl Way<'_> {
    fn round(&mut self, kind: &'static str, clients: usize) {
        let run = |time: Duration| run(kind, self.to, self.path, clients, time);
        run(WARM);
        let before = self.pid.map_or(0.0, processor_seconds);
        let begun = Instant::now();
        let Seen { first_us, whole_us } = run(MEASURED);
        self.speeds.push(whole_us.len() as f64 / begun.elapsed().as_secs_f64());
        self.busy_seconds += self.pid.map_or(0.0, processor_seconds) - before;
        self.seen.first_us.extend(first_us);
        self.seen.whole_us.extend(whole_us);
    }

    /// One line of the table: the middle of the rounds' speeds, and times over all of their calls.
    fn print(mut self, kind: &str, clients: usize) {
        let at = |of: &mut Vec<u32>, percent: usize| {
            of.sort_unstable();
            f64::from(of[(of.len() * percent / 100).min(of.len() - 1)]) / 1000.0
        };
        self.speeds.sort_by(f64::total_cmp);
        let Seen { mut first_us, mut whole_us } = self.seen;
        println!(
            "{kind:8} {clients:4} {:8} {:9.0} {:9.3} {:9.3} {:9.3} {:9.3} {:9.1} {:8.1}",
            self.name,
            self.speeds[ROUNDS / 2],
            at(&mut whole_us, 50),
            at(&mut whole_us, 99),
            at(&mut first_us, 50),
            at(&mut first_us, 99),
            self.busy_seconds * 1e6 / whole_us.len() as f64,
            self.pid.map_or(0.0, |pid| resident_kib(pid) as f64 / 1024.0),
        );
    }
}

/// What a process, and the children that it has waited for, have used.
fn processor_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<f64> = stat.rsplit(')').next().unwrap().split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
    (fields[11] + fields[12]) / TICKS_PER_SECOND
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// nginx in the foreground as one process, which ends with the benchmark; `None` where it is not installed.
struct Nginx {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Nginx {
    fn start(upstream: &str) -> Option<Nginx> {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr crit;\nevents {{ worker_connections 4096; }}\nhttp {{ access_log off;\nclient_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\nkeepalive_requests 1000000000;\nupstream up {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; }}\nserver {{ listen 127.0.0.1:{port};\nlocation / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off; client_max_body_size 0; }} }} }}\n"
        );
        fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let process =
            Command::new("nginx").args(["-p", folder.path().to_str().unwrap(), "-c", "nginx.conf"]).stdin(Stdio::null()).spawn().ok()?;
        std::thread::sleep(Duration::from_millis(500));
        Some(Nginx { process, address: format!("127.0.0.1:{port}"), _folder: folder })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if wanted.iter().any(|it| it == "memory") {
        return measure_memory(wanted.iter().find_map(|it| it.parse().ok()).unwrap_or(MANY_CALLS));
    }
    println!(
        "{:8} {:>4} {:8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}",
        "call", "c", "through", "calls/s", "p50 ms", "p99 ms", "first p50", "first p99", "cpu us", "MiB"
    );
    for kind in KINDS.into_iter().filter(|kind| wanted.is_empty() || wanted.iter().any(|it| it == kind)) {
        let address = upstream(kind);
        let nginx = Nginx::start(&address);
        let mut house = House::new(&format!("[upstreams.openai]\nbase_url = \"http://{address}\""));
        house.start();
        let path = "/v1/chat/completions";
        let ours = format!("/openai{path}");
        for clients in CLIENTS {
            let way = |name, to, path, pid| Way { name, to, path, pid, speeds: Vec::new(), seen: Seen::default(), busy_seconds: 0.0 };
            let mut ways = vec![way("direct", address.as_str(), path, None)];
            ways.extend(nginx.iter().map(|nginx| way("nginx", &nginx.address, path, Some(nginx.process.id()))));
            ways.push(way("tollbar", &house.proxy, &ours, Some(house.pid())));
            for _ in 0..ROUNDS {
                ways.iter_mut().for_each(|way| way.round(kind, clients));
            }
            ways.into_iter().for_each(|way| way.print(kind, clients));
        }
        let proxy = house.json(&["status"])["engine"]["proxy"].clone();
        println!("{kind}: of {} calls carried, {} were not observed", proxy["carried"], proxy["unobserved"]);
    }
}
