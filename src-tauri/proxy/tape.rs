//! What passed and was not looked at yet: the proxy writes it, the meter takes all that is there at once. Bounded in number and bytes.
//!
//! Small pieces are copied, side by side: a second handle on one would hold the whole buffer that it was read into, and each buffer that is
//! held is one more to be made.

use super::observe::Message;
use hyper::body::Bytes;
use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How many messages may wait.
const MESSAGES_MAX: usize = 131_072;
/// How many bytes of pieces may wait; as many again may be under the meter's eyes.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// Larger pieces are not copied.
const COPIED_BYTES_MAX: usize = 16 << 10;
/// What an empty batch holds on to, of messages and of bytes, until nothing has been written for a while. What is given back under load is
/// taken again a moment later, page by page.
const KEPT_MESSAGES: usize = 16_384;
const KEPT_BYTES: usize = 2 << 20;
/// After so long without a message, nothing is held on to.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// Between the proxy and the meter. Its lock is held for as long as it takes to write one message, or to exchange two batches.
#[derive(Default)]
pub(super) struct Tape {
    waiting: Mutex<Waiting>,
    written: Condvar,
}

#[derive(Default)]
struct Waiting {
    batch: Batch,
    /// Whether the reader must be woken: under load it looks by itself.
    reader_sleeps: bool,
    /// Whether the reader is gone, and nothing more is taken.
    closed: bool,
}

/// The one who reads a tape. When it goes, even by a panic, nothing more is taken.
pub(super) struct Reader<'t>(pub(super) &'t Tape);

impl Reader<'_> {
    /// Waits until something is written, and takes all of it; until `limit` at most. The batch that is given is empty.
    pub(super) fn read(&self, batch: &mut Batch, limit: Option<Instant>) {
        let Reader(tape) = self;
        let mut waiting = tape.lock();
        let mut kept = true;
        while waiting.batch.messages.is_empty() {
            waiting.reader_sleeps = true;
            let left = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                waiting.reader_sleeps = false;
                return;
            }
            if let Some(left) = left {
                (waiting, _) = tape.written.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner);
            } else if kept {
                let timed;
                (waiting, timed) = tape.written.wait_timeout(waiting, KEPT_FOR).unwrap_or_else(PoisonError::into_inner);
                if timed.timed_out() && waiting.batch.messages.is_empty() {
                    (waiting.batch, *batch, kept) = (Batch::default(), Batch::default(), false);
                }
            } else {
                waiting = tape.written.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
        }
        mem::swap(&mut waiting.batch, batch);
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.closed = true;
        waiting.batch = Batch::default();
    }
}

/// Messages in the order in which they were written.
#[derive(Default)]
pub(super) struct Batch {
    messages: Vec<Message>,
    copied: Vec<u8>,
    /// Of the pieces that are not copied.
    shared_bytes: usize,
}

/// A stretch of the bytes that were copied into a batch.
#[derive(Clone, Copy)]
pub(super) struct Copied {
    from: usize,
    bytes: usize,
}

/// A piece of a body.
pub(super) enum Piece {
    Copied(Copied),
    /// A second handle on the same bytes.
    Shared(Bytes),
}

impl Tape {
    /// Writes a message, if there is room for it.
    pub(super) fn write(&self, message: Message) -> bool {
        self.write_with(0, |_| message)
    }

    /// Writes what must not be lost: what there is one of, or one of for each call.
    pub(super) fn write_anyway(&self, message: Message) {
        self.push(&mut self.lock(), message);
    }

    /// Writes of a head, if there is room for it; `copy` writes its text.
    pub(super) fn write_head(&self, copy: impl FnOnce(&mut Vec<u8>), message: impl FnOnce(Copied) -> Message) -> bool {
        self.write_with(0, |batch| {
            let from = batch.copied.len();
            copy(&mut batch.copied);
            message(Copied { from, bytes: batch.copied.len() - from })
        })
    }

    /// Writes of a piece, if there is room for it.
    pub(super) fn write_piece(&self, bytes: &Bytes, message: impl FnOnce(Piece) -> Message) -> bool {
        self.write_with(bytes.len(), |batch| {
            message(if bytes.len() <= COPIED_BYTES_MAX {
                let from = batch.copied.len();
                batch.copied.extend_from_slice(bytes);
                Piece::Copied(Copied { from, bytes: bytes.len() })
            } else {
                batch.shared_bytes += bytes.len();
                Piece::Shared(bytes.clone())
            })
        })
    }

    fn write_with(&self, bytes: usize, message: impl FnOnce(&mut Batch) -> Message) -> bool {
        let mut waiting = self.lock();
        let Waiting { batch, closed, .. } = &mut *waiting;
        let fits = !*closed && batch.messages.len() < MESSAGES_MAX && batch.shared_bytes + batch.copied.len() + bytes <= WAITING_BYTES_MAX;
        if fits {
            let message = message(batch);
            self.push(&mut waiting, message);
        }
        fits
    }

    fn push(&self, waiting: &mut Waiting, message: Message) {
        if waiting.closed {
            return;
        }
        waiting.batch.messages.push(message);
        if mem::take(&mut waiting.reader_sleeps) {
            self.written.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    /// Its messages, oldest first, and the bytes that were copied for them.
    pub(super) fn unwind(&mut self) -> (impl Iterator<Item = Message>, &[u8]) {
        (self.messages.drain(..), &self.copied)
    }

    /// Makes it fit to be written again, and gives back what only many messages need.
    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.messages.shrink_to(KEPT_MESSAGES);
        self.copied.clear();
        self.copied.shrink_to(KEPT_BYTES);
        self.shared_bytes = 0;
    }
}

impl Copied {
    /// Its bytes among all that were copied.
    pub(super) fn of(self, copied: &[u8]) -> &[u8] {
        &copied[self.from..self.from + self.bytes]
    }
}

impl Piece {
    /// Its bytes; `copied` are those of its batch.
    pub(super) fn of<'a>(&'a self, copied: &'a [u8]) -> &'a [u8] {
        match self {
            Piece::Copied(stretch) => stretch.of(copied),
            Piece::Shared(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::observe::Side, *};
    use events::CallUuid;

    fn write(tape: &Tape, bytes: &Bytes) -> bool {
        tape.write_piece(bytes, |piece| Message::Piece(CallUuid(1), Side::Reply, piece))
    }

    /// The pieces that wait, as they are read.
    fn read(reader: &Reader<'_>) -> Vec<Vec<u8>> {
        let mut batch = Batch::default();
        reader.read(&mut batch, None);
        let (messages, copied) = batch.unwind();
        let piece = |message| match message {
            Message::Piece(_, _, piece) => Some(piece.of(copied).to_vec()),
            Message::Begun(..) | Message::Head(..) | Message::Ended(..) | Message::Lost(_) | Message::From(..) | Message::Finish => None,
        };
        messages.filter_map(piece).collect()
    }

    #[test]
    fn pieces_are_read_in_order_whether_copied_or_not() {
        let tape = Tape::default();
        let pieces = [b"one".to_vec(), vec![b'x'; COPIED_BYTES_MAX + 1], Vec::new(), b"two".to_vec()].map(Bytes::from);
        assert!(pieces.iter().all(|piece| write(&tape, piece)));
        assert_eq!(read(&Reader(&tape)), pieces);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_there_is_room_once_the_rest_was_read() {
        for piece in [COPIED_BYTES_MAX, COPIED_BYTES_MAX + 1] {
            let (tape, bytes) = (Tape::default(), Bytes::from(vec![b'x'; piece]));
            let reader = Reader(&tape);
            let written = (0..MESSAGES_MAX).take_while(|_| write(&tape, &bytes)).count();
            assert_eq!(written, WAITING_BYTES_MAX / piece, "pieces of {piece} bytes");
            tape.write_anyway(Message::Lost(CallUuid(1)));
            assert_eq!(read(&reader).len(), written);
            assert!(write(&tape, &bytes));
        }
        let (tape, nothing) = (Tape::default(), Bytes::new());
        assert_eq!((0..2 * MESSAGES_MAX).take_while(|_| write(&tape, &nothing)).count(), MESSAGES_MAX);
    }

    #[test]
    fn what_nobody_will_read_is_refused() {
        let (tape, piece) = (Tape::default(), Bytes::from_static(b"x"));
        assert!(write(&tape, &piece));
        drop(Reader(&tape));
        assert!(!write(&tape, &piece));
    }

    #[test]
    fn a_reader_that_sleeps_is_woken() {
        let tape = Tape::default();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| read(&Reader(&tape)));
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(write(&tape, &Bytes::from_static(b"x")));
            assert_eq!(reader.join().expect("it reads"), [b"x"]);
        });
    }
}
