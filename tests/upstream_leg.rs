//! The way to the upstream: through the proxies of a network, over connections that die, with as many calls at once as clients make.

#![allow(clippy::unwrap_used)]

mod house;

use house::{
    House, Upstream, Wire,
    detour::{HttpProxy, Router, socks5},
    eventually,
    replies::{chat, json, sized},
    tls::{Answered, TlsUpstream},
    wire::request,
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming};
use std::{
    io::Write,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

const CHAT: &str = "/openai/v1/chat/completions";
const ASK: &str = r#"{"model":"gpt-4.1","messages":[{"role":"user","content":"Hi"}]}"#;

static NEXT: AtomicUsize = AtomicUsize::new(1);

/// A chat's reply after a while.
async fn answer_after(wait: Duration, request: Request<Incoming>) -> Answered {
    let _ = request.into_body().collect().await;
    tokio::time::sleep(wait).await;
    let id = format!("chatcmpl-{}", NEXT.fetch_add(1, Ordering::SeqCst));
    Ok(Response::new(Full::from(chat(&id, "gpt-4.1", 7, 3)).boxed()))
}

async fn answer(request: Request<Incoming>) -> Answered {
    answer_after(Duration::ZERO, request).await
}

fn status_of(house: &House, path: &str) -> (u16, String) {
    let reply = house.post(path, ASK);
    (reply.status, reply.text())
}

#[test]
fn http2_calls_beyond_the_stream_limit_run_at_once() {
    const WORK: Duration = Duration::from_millis(800);
    let upstream = TlsUpstream::start(&["h2"], Some(10), |request| answer_after(WORK, request));
    let house = upstream.house();
    // The first time nothing is known of the upstream, the second time the connections stand.
    for _ in 0..2 {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..30 {
                scope.spawn(|| assert_eq!(status_of(&house, CHAT).0, 200));
            }
        });
        assert!(begun.elapsed() < 2 * WORK, "{:?}", begun.elapsed());
    }
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn http2_connection_that_went_silent_gets_no_new_calls() {
    let upstream = TlsUpstream::start(&["h2"], None, answer);
    let router = Router::start(format!("127.0.0.1:{}", upstream.port));
    let mut house = upstream.house_at(router.port);
    house.start();
    assert_eq!(status_of(&house, CHAT).0, 200);
    router.forget();
    // The client that was there when the path died waits on, as it would without us.
    let mut lost = house.client();
    lost.send(&request("POST", CHAT, &[], ASK.as_bytes()));
    std::thread::sleep(Duration::from_secs(15));
    let begun = Instant::now();
    assert_eq!(status_of(&house, CHAT).0, 200);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn http2_connection_at_rest_is_not_used_after_a_pause() {
    let upstream = TlsUpstream::start(&["h2"], None, answer);
    let router = Router::start(format!("127.0.0.1:{}", upstream.port));
    let mut house = upstream.house_at(router.port);
    house.start();
    assert_eq!(status_of(&house, CHAT).0, 200);
    router.forget();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(status_of(&house, CHAT).0, 200);
}

#[test]
fn https_upstream_behind_a_proxy_is_tunnelled_with_credentials() {
    let upstream = TlsUpstream::start(&["h2"], None, answer);
    let proxy = HttpProxy::start(Some("Basic dXNlcjpzM2NyZXQ="), format!("127.0.0.1:{}", upstream.port));
    let mut house = upstream.house_at(upstream.port);
    house.set("HTTPS_PROXY", &format!("http://user:s3cret@{}", proxy.address));
    house.start();
    assert_eq!(status_of(&house, CHAT).0, 200);
    let head = &proxy.heads()[0];
    assert!(head.starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", upstream.port)), "{head}");
    assert_eq!(house.rows_when(1)[0]["input"], 7);
    let said = format!("{}{}{}", house.out(&["status"]), house.errors(), house.run(&["doctor"]).out);
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn proxy_that_refuses_credentials_is_named_without_them() {
    let upstream = TlsUpstream::start(&["h2"], None, answer);
    let proxy = HttpProxy::start(Some("Basic other"), format!("127.0.0.1:{}", upstream.port));
    for (user, hint) in [("", "it asks for credentials (407)"), ("user:s3cret@", "it refuses the credentials of its address (407)")] {
        let mut house = upstream.house_at(upstream.port);
        house.set("https_proxy", &format!("http://{user}{}", proxy.address));
        house.start();
        let (status, text) = status_of(&house, CHAT);
        assert_eq!(status, 502);
        assert!(text.contains(&format!("the proxy http://{} (https_proxy) opened no tunnel", proxy.address)), "{text}");
        assert!(text.contains(hint) && !text.contains("s3cret"), "{text}");
    }
}

#[test]
fn http_upstream_behind_a_proxy_is_asked_by_whole_address() {
    let upstream = Upstream::saying(json(chat("chatcmpl-1", "gpt-4.1", 7, 3)));
    let proxy = HttpProxy::start(Some("Basic dXNlcjpzM2NyZXQ="), upstream.address.clone());
    let config = "[network]\nproxy = \"http://user:s3cret@PROXY\"\n[upstreams.openai]\nbase_url = \"http://relay.invalid:81/api\"";
    let mut house = House::new(&config.replace("PROXY", &proxy.address));
    house.start();
    assert_eq!(status_of(&house, "/openai/v1/chat/completions?a=b").0, 200);
    let head = &proxy.heads()[0];
    assert!(head.starts_with("POST http://relay.invalid:81/api/v1/chat/completions?a=b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("relay.invalid:81\r\n"), "{head}");
    assert_eq!(house.rows_when(1)[0]["input"], 7);
}

#[test]
fn websocket_behind_a_proxy_goes_through_a_tunnel() {
    let upstream = Upstream::start(|_, out| {
        out.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
    });
    let proxy = HttpProxy::start(None, upstream.address.clone());
    let mut house = House::new("[upstreams.openai]\nbase_url = \"http://relay.invalid\"");
    house.set("HTTP_PROXY", &proxy.address);
    house.start();
    let mut client = house.client();
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "k"), ("Sec-WebSocket-Version", "13")];
    client.send(&request("GET", "/openai/v1/realtime?model=x", &upgrade, b""));
    assert_eq!(client.reply().status, 101);
    assert_eq!(client.some(), b"hello");
    assert!(proxy.heads()[0].starts_with("CONNECT relay.invalid:80 "), "{:?}", proxy.heads());
}

#[test]
fn upstream_behind_a_socks_proxy_is_reached_by_name() {
    let upstream = Upstream::saying(json(chat("chatcmpl-1", "gpt-4.1", 7, 3)));
    let (address, names) = socks5(upstream.address);
    let mut house = House::new("[upstreams.openai]\nbase_url = \"http://relay.invalid\"");
    house.set("ALL_PROXY", &format!("socks5h://{address}"));
    house.start();
    assert_eq!(status_of(&house, CHAT).0, 200);
    assert_eq!(*names.lock().unwrap(), ["relay.invalid"]);
}

#[test]
fn upstream_that_no_proxy_names_is_called_directly() {
    let upstream = TlsUpstream::start(&["h2"], None, answer);
    let mut house = upstream.house_at(upstream.port);
    house.set("HTTPS_PROXY", "http://127.0.0.1:9");
    house.set("NO_PROXY", "example.com, localhost");
    house.start();
    assert_eq!(status_of(&house, CHAT).0, 200);
}

#[test]
fn proxy_whose_address_is_none_is_said_so() {
    let mut house = House::new("[upstreams.openai]\nbase_url = \"https://relay.invalid\"");
    house.set("HTTPS_PROXY", "gopher://user:s3cret@x");
    house.start();
    let (status, text) = status_of(&house, CHAT);
    assert!(status == 502 && text.contains("HTTPS_PROXY is no address of a proxy") && !text.contains("s3cret"), "{status} {text}");
}

#[test]
fn local_connection_is_not_used_after_a_second_of_rest() {
    let upstream = Upstream::saying(json(chat("chatcmpl-1", "gpt-4.1", 7, 3)));
    let house = House::before(&upstream);
    let connections = |pause| {
        std::thread::sleep(Duration::from_millis(pause));
        assert_eq!(status_of(&house, CHAT).0, 200);
        upstream.connections()
    };
    assert_eq!((connections(0), connections(0), connections(1_200)), (1, 1, 2));
}

#[test]
fn thousand_connections_at_once_are_all_served() {
    let upstream = Upstream::saying(sized("200 OK", "Content-Type: application/json\r\n", "{\"object\":\"list\"}"));
    let house = House::before(&upstream);
    let mut clients: Vec<Wire> = (0..900).map(|_| house.client()).collect();
    for client in &mut clients {
        client.send(&request("GET", "/openai/v1/models", &[], b""));
    }
    assert!(clients.iter_mut().all(|client| client.reply().status == 200));
}

#[cfg(target_os = "linux")]
#[test]
fn upstream_connection_is_probed_while_it_is_silent() {
    let upstream = Upstream::start(|_, out| {
        std::thread::sleep(Duration::from_secs(3));
        out.write_all(&json(chat("chatcmpl-1", "gpt-4.1", 7, 3)))
    });
    let house = House::before(&upstream);
    let mut client = house.client();
    client.send(&request("POST", CHAT, &[], ASK.as_bytes()));
    let port: u16 = upstream.address.rsplit(':').next().unwrap().parse().unwrap();
    // Remote address, state and timer of each connection (proc(5)): 02 is the timer of keep-alive.
    let timer = || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let row = table.lines().find(|line| line.split_whitespace().nth(2).is_some_and(|to| to.ends_with(&format!(":{port:04X}"))))?;
        Some(row.split_whitespace().nth(5)?.starts_with("02:")).filter(|probed| *probed)
    };
    eventually(timer, || "a timer of keep-alive".to_owned());
}

#[test]
fn request_sent_whole_without_an_answer_is_estimated() {
    let upstream = Upstream::start(|_, _| house::upstream::cut());
    let house = House::before(&upstream);
    assert_eq!(status_of(&house, CHAT).0, 502);
    let rows = house.rows_when(1);
    assert_eq!((rows[0]["certainty"].as_str(), rows[0]["model"].as_str()), (Some("estimated"), Some("gpt-4.1")), "{rows:?}");
    assert!(rows[0]["input"].as_u64().unwrap() > 0);
}
