//! Upstreams over TLS: HTTP/2 with those that would rather speak it, HTTP/1.1 with the others. The client notices neither.

#![allow(clippy::unwrap_used)]

mod house;

use house::{
    replies::{chat, chat_frames},
    tls::TlsUpstream,
    wire::{end_to_end, request},
};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response, Version,
    body::{Bytes, Frame, Incoming},
};
use std::convert::Infallible;

/// Repeats the request's body behind a chat's reply, and says in headers how it was asked.
async fn answer(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut response = Response::builder()
        .header("x-version", format!("{:?}", parts.version))
        .header("x-path", parts.uri.path_and_query().unwrap().as_str())
        .header("x-authority", parts.uri.authority().map_or("none", |it| it.as_str()))
        .header("x-names", parts.headers.keys().map(|name| name.as_str()).collect::<Vec<_>>().join(" "))
        .header("x-bytes", body.len());
    let id = parts.headers["x-id"].to_str().unwrap();
    let reply = if parts.headers.contains_key("x-stream") {
        response = response.header("content-type", "text/event-stream");
        chat_frames(id, "gpt-4.1", 7, 3).concat()
    } else {
        chat(id, "gpt-4.1", 7, 3)
    };
    let trailers = hyper::HeaderMap::from_iter([(hyper::header::HeaderName::from_static("x-checksum"), "abc".parse().unwrap())]);
    let frames: Vec<Result<_, Infallible>> = vec![Ok(Frame::data(Bytes::from(reply))), Ok(Frame::trailers(trailers))];
    Ok(response.header("trailer", "x-checksum").body(StreamBody::new(tokio_stream::iter(frames)).boxed()).unwrap())
}

#[test]
fn an_upstream_that_would_rather_speak_http_2_is_spoken_to_so_over_one_connection() {
    const CALLS: usize = 24;
    let upstream = TlsUpstream::start(&["h2", "http/1.1"], None, answer);
    let house = upstream.house();
    let body = vec![b' '; 300_000];
    let carry = |n: usize| {
        let id = format!("chatcmpl-{n}");
        let mut headers = vec![("X-Id", id.as_str()), ("Authorization", "Bearer k"), ("Connection", "keep-alive"), ("TE", "trailers")];
        if n.is_multiple_of(2) {
            headers.push(("X-Stream", "1"));
        }
        let reply = house.client().post("/openai/v1/chat/completions?a=b", &headers, &body);
        assert_eq!((reply.status, reply.header("x-version")), (200, Some("HTTP/2.0")), "{}", reply.text());
        let authority = format!("localhost:{}", upstream.port);
        assert_eq!((reply.header("x-path"), reply.header("x-authority")), (Some("/v1/chat/completions?a=b"), Some(authority.as_str())));
        assert_eq!(reply.header("x-bytes"), Some("300000"));
        let names = reply.header("x-names").unwrap();
        assert!(names.contains("authorization") && !names.contains("connection"), "{names}");
        let expected = if n.is_multiple_of(2) { chat_frames(&id, "gpt-4.1", 7, 3).concat() } else { chat(&id, "gpt-4.1", 7, 3) };
        assert_eq!((reply.whole, reply.text()), (true, expected));
        assert!(reply.head.starts_with("HTTP/1.1 200 "), "{}", reply.head);
        assert_eq!(reply.trailers.trim_end().to_ascii_lowercase(), "x-checksum: abc", "{}", reply.head);
    };
    carry(0);
    std::thread::scope(|scope| {
        for n in 1..CALLS {
            scope.spawn(move || carry(n));
        }
    });
    assert_eq!(upstream.connections(), 1);
    let rows = house.rows_when(CALLS);
    assert!(rows.iter().all(|row| (row["input"].as_u64(), row["output"].as_u64()) == (Some(7), Some(3))));
}

#[test]
fn an_upstream_that_speaks_http_1_only_is_spoken_to_so() {
    let upstream = TlsUpstream::start(&["http/1.1"], None, answer);
    let house = upstream.house();
    let mut client = house.client();
    client.send(&request("POST", "/openai/v1/chat/completions", &[("X-Id", "chatcmpl-1")], b"{}"));
    let reply = client.reply();
    let version = format!("{:?}", Version::HTTP_11);
    assert_eq!((reply.status, reply.header("x-version"), reply.whole), (200, Some(version.as_str()), true));
    assert!(end_to_end(&reply.head).iter().any(|(name, _)| *name == "x-path"));
    assert_eq!(house.rows_when(1)[0]["input"], 7);
}
