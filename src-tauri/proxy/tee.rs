//! A body that passes through untouched while an observer gets a copy of each piece.

use super::{
    connections::Seat,
    observe::{End, Observation, Side},
};
use bytes::BytesMut;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Pieces smaller than this are joined with those that lie ready behind them: each costs a call of the system on its way out.
const SMALL_BYTES: usize = 8 << 10;
/// As much as is joined.
const JOINED_BYTES_MAX: usize = 32 << 10;

/// How often nothing must have come before joined pieces leave: hyper looks twice in one turn of a connection, and whoever brings the
/// pieces has one turn between two of ours.
const LOOKS_MAX: u8 = 3;

/// What leaves a body.
type Leaving = Option<Result<Frame<Bytes>, hyper::Error>>;

/// A body on its way. Its end is told exactly once: whole, broken off by the sender, or dropped by the receiver.
///
/// Chunks that came together leave together; none waits for what has not come.
pub(super) struct Tee {
    body: Incoming,
    observation: Option<Observation>,
    side: Side,
    /// Whether a piece has left: the first one leaves with the head.
    begun: bool,
    /// Small pieces that have come and not left.
    joined: BytesMut,
    /// How often nothing has come since the last piece.
    looks: u8,
    /// What leaves after the joined pieces.
    behind: Option<Behind>,
    /// The call's place on a shared connection, which is free once the body has ended.
    seat: Option<Seat>,
}

enum Behind {
    /// Rare, and large.
    Trailers(Box<Frame<Bytes>>),
    End,
    /// What broke it off.
    Cut(hyper::Error),
    /// The same, after what came before had time to leave.
    CutLast(hyper::Error),
}

impl Tee {
    /// Watches a body from its first byte on.
    pub(super) fn new(body: Incoming, observation: Option<Observation>, side: Side) -> Tee {
        let mut tee = Tee { body, observation, side, begun: false, joined: BytesMut::new(), looks: 0, behind: None, seat: None };
        // A body without bytes is never polled.
        if tee.body.is_end_stream() {
            tee.ended(End::Whole);
        }
        tee
    }

    /// Keeps the call's place on a shared connection until the body has ended.
    pub(super) fn keeps(mut self, seat: Option<Seat>) -> Tee {
        self.seat = seat.filter(|_| !self.is_end_stream());
        self
    }

    /// The next piece, if one leaves now. What comes after it goes to `behind`.
    fn piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while self.behind.is_none() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => {
                        self.looks = 0;
                        let alone = !self.begun || bytes.len() >= SMALL_BYTES || self.body.is_end_stream();
                        if alone && self.joined.is_empty() {
                            return Poll::Ready(Some(bytes));
                        }
                        self.joined.extend_from_slice(&bytes);
                        if self.body.is_end_stream() || self.joined.len() >= JOINED_BYTES_MAX {
                            break;
                        }
                    }
                    Err(trailers) => self.behind = Some(Behind::Trailers(Box::new(trailers))),
                },
                Poll::Ready(Some(Err(cut))) => self.behind = Some(Behind::Cut(cut)),
                Poll::Ready(None) => self.behind = Some(Behind::End),
                Poll::Pending if self.joined.is_empty() => return Poll::Pending,
                Poll::Pending if self.looks + 1 >= LOOKS_MAX => break,
                Poll::Pending => {
                    // The next chunk may have been read already and want only its turn.
                    self.looks += 1;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready((!self.joined.is_empty()).then(|| self.joined.split().freeze()))
    }

    /// What comes after the last piece.
    fn last(&mut self, context: &mut Context<'_>) -> Poll<Leaving> {
        match self.behind.take() {
            Some(Behind::Trailers(trailers)) => {
                self.ended(End::Whole);
                Poll::Ready(Some(Ok(*trailers)))
            }
            Some(Behind::Cut(cut)) => {
                self.ended(End::Cut);
                // An error drops what is written and not flushed, and a body that is not ready is flushed: without this a client would not
                // get the head, or the last piece, of a reply that breaks off.
                self.behind = Some(Behind::CutLast(cut));
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Behind::CutLast(cut)) => Poll::Ready(Some(Err(cut))),
            Some(Behind::End) | None => {
                self.ended(End::Whole);
                Poll::Ready(None)
            }
        }
    }

    fn ended(&mut self, end: End) {
        self.seat = None;
        if let Some(observation) = self.observation.take() {
            observation.ended(self.side, end);
        }
    }
}

impl Body for Tee {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Leaving> {
        let Some(bytes) = ready!(self.piece(context)) else { return self.last(context) };
        self.begun = true;
        if let Some(observation) = &self.observation {
            // A second handle on the same bytes: nothing is copied for the observer.
            observation.passed(self.side, &bytes);
        }
        // A sized body may not be polled again after its last byte.
        if self.is_end_stream() {
            self.ended(End::Whole);
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.joined.is_empty() && self.behind.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (coming, joined) = (self.body.size_hint(), self.joined.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(coming.lower() + joined);
        if let Some(upper) = coming.upper() {
            hint.set_upper(upper + joined);
        }
        hint
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.ended(End::Dropped);
    }
}
