//! Cuts a decoded body into its JSON documents: the events of an SSE stream, the elements of an array, the lines of NDJSON, or the one
//! document that it is. What it is shows in its first byte, more surely than in its content type.

use super::document::{Document, REPLY_BYTES_MAX};
use super::eventstream::EventStream;
use memchr::{memchr2, memchr3};

/// Parts JSON values from each other, whatever state the one before was left in (RFC 7464). It cannot stand in one.
pub(super) const SEPARATOR: u8 = 0x1e;

/// How a document came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// As one event of a stream.
    Event,
    /// As one event of a stream that says that it failed.
    Exception,
    /// As a JSON value of its own.
    Value,
    /// As the rest of a body that ended in the middle of it.
    Rest,
}

/// A body that is being cut.
pub(super) enum Frames {
    /// Nothing but blanks has come.
    Unknown {
        /// Whether its head called it a stream of events.
        events: bool,
    },
    Events(Events),
    Values(Values),
    Messages(Box<EventStream>),
    /// None of these: a page, a picture, a sound.
    Opaque,
}

impl Default for Frames {
    fn default() -> Frames {
        Frames::Unknown { events: false }
    }
}

impl Frames {
    /// The next piece; `hear` is called with each document that it completes.
    pub(super) fn push(&mut self, bytes: &[u8], hear: &mut impl FnMut(&Document, Frame)) {
        let mut bytes = bytes;
        if let Frames::Unknown { events } = *self {
            // A byte order mark may come first, even in pieces.
            let blank = |byte: &u8| byte.is_ascii_whitespace() || [0xef, 0xbb, 0xbf].contains(byte);
            let Some(start) = bytes.iter().position(|byte| !blank(byte)) else { return };
            bytes = &bytes[start..];
            *self = match bytes[0] {
                b'{' | b'[' | SEPARATOR => Frames::Values(Values::default()),
                first if EventStream::begins_with(first) => Frames::Messages(Box::default()),
                // The first letters of `data`, `event`, `id`, `retry`, and of a comment.
                b'd' | b'e' | b'i' | b'r' | b':' => Frames::Events(Events::default()),
                _ if events => Frames::Events(Events::default()),
                _ => Frames::Opaque,
            };
        }
        match self {
            Frames::Events(events) => events.push(bytes, hear),
            Frames::Values(values) => values.push(bytes, hear),
            Frames::Messages(messages) => messages.push(bytes, hear),
            Frames::Unknown { .. } | Frames::Opaque => {}
        }
    }

    /// How much memory the document under way takes.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        match self {
            Frames::Events(events) => events.document.kept_bytes(),
            Frames::Values(values) => values.document.kept_bytes(),
            Frames::Messages(messages) => messages.kept_bytes(),
            Frames::Unknown { .. } | Frames::Opaque => 0,
        }
    }

    /// Whether it may turn out to be none of these.
    pub(super) const fn maybe_opaque(&self) -> bool {
        matches!(self, Frames::Unknown { .. } | Frames::Opaque)
    }

    /// Whether it is none of these.
    pub(super) const fn opaque(&self) -> bool {
        matches!(self, Frames::Opaque)
    }

    /// The body is over, for whatever reason.
    pub(super) fn end(&mut self, hear: &mut impl FnMut(&Document, Frame)) {
        match self {
            Frames::Events(events) => events.end(hear),
            Frames::Values(values) if values.inside() => hear(&values.document, Frame::Rest),
            // A message that is not whole has no checksum, and is not believed.
            Frames::Values(_) | Frames::Messages(_) | Frames::Unknown { .. } | Frames::Opaque => {}
        }
    }

    /// Whether nothing that was opened is still open. A stream of events cannot tell.
    pub(super) const fn closed(&self) -> bool {
        match self {
            Frames::Values(values) => values.depth == 0,
            Frames::Messages(messages) => messages.closed(),
            Frames::Unknown { .. } | Frames::Events(_) | Frames::Opaque => true,
        }
    }
}

/// Server-sent events (WHATWG HTML, 9.2.6). Only `data` matters: every provider repeats the event's name in it.
pub(super) struct Events {
    document: Document,
    /// Whether the event has data; two lines of it are joined by a line feed.
    has_data: bool,
    line: Line,
    after_return: bool,
}

/// Where in a line we are.
#[derive(Clone, Copy)]
enum Line {
    /// In the field's name, so many letters of which are those of `data:`.
    Name(usize),
    /// Behind `data:`, where one blank does not count.
    Blank,
    Data,
    Skip,
}

const DATA: &[u8] = b"data:";

impl Default for Events {
    fn default() -> Events {
        Events { document: Document::new(REPLY_BYTES_MAX), has_data: false, line: Line::Name(0), after_return: false }
    }
}

impl Events {
    fn push(&mut self, bytes: &[u8], hear: &mut impl FnMut(&Document, Frame)) {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', rest) else { return self.text(rest) };
            self.text(&rest[..end]);
            self.line_end(hear);
            self.after_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
        }
    }

    /// Bytes of one line, not empty unless the line is.
    fn text(&mut self, text: &[u8]) {
        let mut text = text;
        while let Some(&first) = text.first() {
            match self.line {
                Line::Name(length) if first == DATA[length] => {
                    text = &text[1..];
                    self.line = if length + 1 == DATA.len() { self.data_begins() } else { Line::Name(length + 1) };
                }
                Line::Name(_) => self.line = Line::Skip,
                Line::Blank => {
                    text = if first == b' ' { &text[1..] } else { text };
                    self.line = Line::Data;
                }
                Line::Data => return self.document.push(text),
                Line::Skip => return,
            }
        }
    }

    fn data_begins(&mut self) -> Line {
        if std::mem::replace(&mut self.has_data, true) {
            self.document.push(b"\n");
        }
        Line::Blank
    }

    fn line_end(&mut self, hear: &mut impl FnMut(&Document, Frame)) {
        let blank = matches!(self.line, Line::Name(0));
        self.line = Line::Name(0);
        if blank && std::mem::take(&mut self.has_data) {
            hear(&self.document, Frame::Event);
            self.document.clear();
        }
    }

    fn end(&mut self, hear: &mut impl FnMut(&Document, Frame)) {
        if std::mem::take(&mut self.has_data) {
            // Servers forget the last blank line, so an event that is whole counts as one.
            let bytes = self.document.whole();
            let whole = bytes.is_some_and(|json| json == b"[DONE]" || serde_json::from_slice::<serde::de::IgnoredAny>(json).is_ok());
            hear(&self.document, if whole { Frame::Event } else { Frame::Rest });
        }
    }
}

/// JSON values one after another, or the elements of one array, each of them an object.
pub(super) struct Values {
    document: Document,
    /// How many brackets are open.
    depth: u64,
    /// How many of them hold the documents together: 1 in an array, else 0.
    outside: u64,
    in_text: bool,
    escaped: bool,
}

impl Default for Values {
    fn default() -> Values {
        Values { document: Document::new(REPLY_BYTES_MAX), depth: 0, outside: 0, in_text: false, escaped: false }
    }
}

impl Values {
    const fn inside(&self) -> bool {
        self.depth > self.outside
    }

    fn push(&mut self, bytes: &[u8], hear: &mut impl FnMut(&Document, Frame)) {
        let mut start = 0;
        let mut at = 0;
        while at < bytes.len() {
            if self.in_text {
                at = self.text_end(bytes, at);
                continue;
            }
            match bytes[at] {
                SEPARATOR => {
                    if self.inside() {
                        self.document.push(&bytes[start..at]);
                        hear(&self.document, Frame::Rest);
                        self.document.clear();
                    }
                    (self.depth, self.outside) = (0, 0);
                }
                b'"' => self.in_text = true,
                b'[' if self.depth == 0 => (self.depth, self.outside) = (1, 1),
                b'{' | b'[' => {
                    if !self.inside() {
                        start = at;
                    }
                    self.depth += 1;
                }
                b'}' | b']' if self.inside() => {
                    self.depth -= 1;
                    if !self.inside() {
                        self.document.push(&bytes[start..=at]);
                        hear(&self.document, Frame::Value);
                        self.document.clear();
                    }
                }
                b']' if self.depth == 1 => (self.depth, self.outside) = (0, 0),
                _ => {}
            }
            at += 1;
        }
        if self.inside() {
            self.document.push(&bytes[start..]);
        }
    }

    /// Goes on in a text, to behind its end or to the end of the bytes.
    fn text_end(&mut self, bytes: &[u8], from: usize) -> usize {
        if std::mem::take(&mut self.escaped) && bytes[from] != SEPARATOR {
            return from + 1;
        }
        let Some(stop) = memchr3(b'"', b'\\', SEPARATOR, &bytes[from..]) else { return bytes.len() };
        let stop = from + stop;
        self.escaped = bytes[stop] == b'\\';
        self.in_text = self.escaped;
        // A separator is left for the one who knows what it ends.
        stop + usize::from(bytes[stop] != SEPARATOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(body: &[u8], size: usize) -> Vec<(String, Frame)> {
        let mut frames = Frames::default();
        let mut heard = Vec::new();
        let mut hear = |document: &Document, frame| {
            heard.push((String::from_utf8_lossy(document.whole().expect("small")).into_owned(), frame));
        };
        body.chunks(size.max(1)).for_each(|piece| frames.push(piece, &mut hear));
        frames.end(&mut hear);
        heard
    }

    fn event(data: &str) -> (String, Frame) {
        (data.to_owned(), Frame::Event)
    }

    #[test]
    fn events_are_found_with_any_line_end_in_any_pieces() {
        let body = ": OPENROUTER PROCESSING\n\nevent: x\ndata: {\"a\":\ndata:  \"ö\"}\nid: 3\n\n\ndatax: no\ndata\n\ndata:[DONE]\n\ndata: {\"b\":1}";
        let expected = [event("{\"a\":\n \"ö\"}"), event("[DONE]"), event("{\"b\":1}")];
        for line_end in ["\n", "\r\n", "\r"] {
            let body = body.replace('\n', line_end);
            for size in 1..=body.len() {
                assert_eq!(cut(body.as_bytes(), size), expected, "{line_end:?} in pieces of {size}");
            }
        }
        assert_eq!(cut(b"data: {\"a\":1", 3), [("{\"a\":1".to_owned(), Frame::Rest)]);
    }

    #[test]
    fn a_stream_may_begin_with_a_field_that_nobody_knows_if_its_head_calls_it_one() {
        let mut heard = Vec::new();
        let mut frames = Frames::Unknown { events: true };
        frames.push(b"x-trace: 1\ndata: {}\n\n", &mut |document: &Document, frame| {
            heard.push((document.whole().map(<[u8]>::to_vec), frame));
        });
        assert_eq!(heard, [(Some(b"{}".to_vec()), Frame::Event)]);
    }

    #[test]
    fn values_are_found_alone_in_lines_and_in_an_array() {
        let value = |json: &str| (json.to_owned(), Frame::Value);
        let one = r#"{"a":"}\"]\\","b":[{},[]]}"#;
        let two = r#"{"c":"ö"}"#;
        for body in [format!("{one}\n{two}\n"), format!("\u{feff} [{one}\n,\r\n{two}]"), format!("[{one},{two}")] {
            for size in 1..=body.len() {
                assert_eq!(cut(body.as_bytes(), size), [value(one), value(two)], "{body} in pieces of {size}");
            }
        }
        assert_eq!(cut(br#"[{"a":1},{"b"#, 5), [value(r#"{"a":1}"#), (r#"{"b"#.to_owned(), Frame::Rest)]);
        assert_eq!(cut(b"<html>{}</html>", 4), []);
        let parted = format!("\x1e{one}\x1e{{\"x\":\"\\\x1e{two}");
        for size in 1..=parted.len() {
            let rest = ("{\"x\":\"\\".to_owned(), Frame::Rest);
            assert_eq!(cut(parted.as_bytes(), size), [value(one), rest, value(two)], "in pieces of {size}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_alike_in_any_pieces(body in "[\\[\\]{}\"\\\\dat: \r\n,x\x1e]{0,60}", size in 1usize..9) {
            prop_assert_eq!(cut(body.as_bytes(), body.len()), cut(body.as_bytes(), size));
        }
    }
}
