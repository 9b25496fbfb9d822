//! A connection that has become a WebSocket: bytes both ways as they come, and a copy for the observer.

use super::observe::{End, Observation, Side};
use hyper::{
    HeaderMap,
    body::Bytes,
    header,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Whether a head asks for a WebSocket, or grants one. Other protocols (`h2c`) may be passed over, as RFC 9110 has it (section 7.8).
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let named = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    named(header::UPGRADE, "websocket") && named(header::CONNECTION, "upgrade")
}

/// Carries bytes between the two until both have said all, or one breaks off. Who closes one direction closes that one only, as without us.
pub(super) async fn carry(client: OnUpgrade, upstream: OnUpgrade, observation: Option<Observation>) {
    if let (Ok(client), Ok(upstream)) = tokio::join!(client, upstream) {
        let tap = |io, side| Tapped { io: TokioIo::new(io), observation: observation.clone(), side };
        let (mut client, mut upstream) = (tap(client, Side::Request), tap(upstream, Side::Reply));
        // Whichever end breaks off, the other one is told by its connection.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
    }
    if let Some(observation) = observation {
        observation.ended(Side::Reply, End::Whole);
    }
}

/// One end, of which all that is read is shown to the observer.
struct Tapped {
    io: TokioIo<Upgraded>,
    observation: Option<Observation>,
    side: Side,
}

impl AsyncRead for Tapped {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        if let (Some(observation), read @ [_, ..]) = (&self.observation, &buffer.filled()[before..]) {
            observation.passed(self.side, &Bytes::copy_from_slice(read));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
