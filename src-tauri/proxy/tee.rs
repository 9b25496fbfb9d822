//! A body that passes through untouched while an observer gets a copy of each piece.

use super::observe::{End, Observation, Side};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A body on its way. Its end is told exactly once: whole, broken off by the sender, or dropped by the receiver.
pub(super) struct Tee {
    body: Incoming,
    observation: Option<Observation>,
    side: Side,
    /// What broke it off, held back until what came before is on its way.
    cut: Option<hyper::Error>,
}

impl Tee {
    /// Watches a body from its first byte on.
    pub(super) fn new(body: Incoming, observation: Option<Observation>, side: Side) -> Tee {
        let mut tee = Tee { body, observation, side, cut: None };
        // A body without bytes is never polled.
        if tee.body.is_end_stream() {
            tee.ended(End::Whole);
        }
        tee
    }

    fn ended(&mut self, end: End) {
        if let Some(observation) = self.observation.take() {
            observation.ended(self.side, end);
        }
    }
}

impl Body for Tee {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(cut) = self.cut.take() {
            return Poll::Ready(Some(Err(cut)));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(bytes), Some(observation)) = (frame.data_ref(), &self.observation) {
                    // A second handle on the same bytes: nothing is copied here.
                    observation.passed(self.side, bytes);
                }
                // A sized body may not be polled again after its last byte.
                if self.body.is_end_stream() {
                    self.ended(End::Whole);
                }
            }
            Some(Err(_)) => self.ended(End::Cut),
            None => self.ended(End::Whole),
        }
        if let Some(Err(cut)) = frame {
            // An error drops what is written and not flushed, and a body that is not ready is flushed: without this a client would not get
            // the head, or the last piece, of a reply that breaks off.
            self.cut = Some(cut);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.ended(End::Dropped);
    }
}
