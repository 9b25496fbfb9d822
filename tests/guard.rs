//! Requests that the proxy refuses or answers itself: names that can be rebound, targets without a path, protocols nobody asked for.

#![allow(clippy::unwrap_used)]

mod house;

use house::{House, Upstream, replies::json, upstream};
use std::io::Write;

fn stand_in() -> Upstream {
    Upstream::saying(json(r#"{"object":"list"}"#))
}

fn status(house: &House, request: &str) -> (u16, String) {
    let mut client = house.client();
    client.send(request.as_bytes());
    let reply = client.reply();
    (reply.status, reply.text())
}

fn get_by(house: &House, host: &str, more: &str) -> (u16, String) {
    status(house, &format!("GET /openai/v1/models HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"))
}

#[test]
fn name_that_can_be_rebound_is_refused_on_loopback() {
    let upstream = stand_in();
    let house = House::before(&upstream);
    for host in ["evil.example", "localhost.evil.example:8655", "127.0.0.1.evil.example"] {
        let (status, text) = get_by(&house, host, "");
        assert_eq!(status, 403, "{host}");
        assert!(text.contains(host) && text.contains("proxy.hosts"), "{text}");
    }
    let whole = "GET http://evil.example/openai/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(status(&house, whole).0, 403);
    assert_eq!(get_by(&house, "mybox", "User-Agent: Mozilla/5.0\r\n").0, 403);
    assert!(upstream.heard().is_empty());
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8655", "[::1]:8655", "a.localhost", "mybox"] {
        assert_eq!(get_by(&house, host, "").0, 200, "{host}");
    }
}

#[test]
fn name_that_the_configuration_lists_is_served() {
    let mut house = House::new(&format!("proxy.hosts = [\"host.docker.internal\", \".corp.example\"]\n{}", stand_in().config(&["openai"])));
    house.start();
    assert_eq!(get_by(&house, "host.docker.internal:8655", "User-Agent: Mozilla/5.0\r\n").0, 200);
    assert_eq!(get_by(&house, "a.corp.example", "").0, 200);
    assert_eq!(get_by(&house, "evil.example", "").0, 403);
}

#[test]
fn two_host_lines_are_a_bad_request() {
    let house = House::before(&stand_in());
    assert_eq!(get_by(&house, "localhost", "Host: evil.example\r\n").0, 400);
}

#[test]
fn target_without_a_path_is_answered_without_a_panic() {
    let upstream = stand_in();
    let house = House::before(&upstream);
    let headers = ["", "anthropic-version: 2023-06-01\r\n", "x-goog-api-key: k\r\n"];
    for target in ["OPTIONS *", "GET *", "POST *", "CONNECT api.example.com:443", "CONNECT localhost:1", "GET http://localhost", "GET ?x"] {
        for more in headers {
            let (status, text) = status(&house, &format!("{target} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n"));
            assert!((400..500).contains(&status) || target.ends_with("localhost"), "{target} {more} {status} {text}");
        }
    }
    let whole = "GET http://localhost:1/openai/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(status(&house, whole).0, 200);
    assert!(!house.errors().contains("panicked"), "{}", house.errors());
    assert!(upstream.heard().iter().all(|heard| heard.line().starts_with("GET /")), "{:?}", upstream.heard());
}

#[test]
fn protocol_that_nobody_asked_for_is_a_bad_gateway() {
    let upstream = Upstream::start(|_, out| {
        out.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nnoise")?;
        upstream::cut()
    });
    let house = House::before(&upstream);
    for more in ["", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: k\r\n"] {
        let (status, text) = get_by(&house, "localhost", more);
        assert!(status == 502 && text.contains("101"), "{status} {text}");
    }
}

#[test]
fn doubled_slash_behind_the_version_reaches_the_api() {
    let upstream = stand_in();
    let house = House::before(&upstream);
    for (path, expected) in [
        ("/openai/v1//models", "GET /v1/models"),
        ("//openai/v1//models", "GET /v1/models"),
        ("/p/web//anthropic/v1//messages/x", "GET /v1/messages/x"),
        ("/v1//models", "GET /v1/models"),
        ("/openai/v1//vector_stores/a//b", "GET /v1//vector_stores/a//b"),
    ] {
        assert_eq!(status(&house, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).0, 200, "{path}");
        assert_eq!(upstream.heard().last().unwrap().line(), expected);
    }
}
