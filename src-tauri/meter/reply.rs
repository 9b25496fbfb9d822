//! A reply that is being decoded, and a copy of the request: what was heard so far, and what speaks.

use super::document::{Document, REQUEST_BYTES_MAX};
use super::frames::{Frame, Frames, SEPARATOR};
use super::prose::Prose;
use super::said::{self, Said};
use super::socket::{self, Session};
use super::surface::{self, Surface};
use super::{anthropic, bedrock, cohere, gemini, multipart, ollama, openai, sound};
use events::Timestamp;
use serde_json::value::RawValue;
use std::io;

/// The most that a reply, or one message of a conversation, may unpack to before it is not observed further.
const DECODED_BYTES_MAX: u64 = 4 << 30;
/// The largest reply that is no document and is kept whole. Of a larger one the beginning is: that of a sound tells how long it is.
const OPAQUE_BYTES_MAX: usize = 64 << 10;
/// The most results of a batch that wait to be told. As they are told as they come, a batch may have any number; of more that come at
/// once, the rest is not read.
pub(super) const CALLS_MAX: usize = 100_000;

/// The largest request that is kept as it came until its call is over. Of a larger one only what was asked for, and for how much, is.
const REQUEST_KEPT_BYTES_MAX: u64 = 64 << 10;

/// A bounded copy of a request, for the name of the model in it, and for what was sent where nobody else may count it.
pub(super) struct RequestCopy {
    document: Document,
    bytes: u64,
    /// Of a conversation: what was said before.
    turns: Option<Turns>,
}

/// What a client said in a conversation, before the message under way.
#[derive(Default)]
struct Turns {
    model: Option<String>,
    /// The last message that asks for an answer, and its bytes.
    asked: Option<(Document, u64)>,
}

impl RequestCopy {
    /// Of a conversation, whose messages come one by one.
    pub(super) fn of_conversation() -> RequestCopy {
        RequestCopy { turns: Some(Turns::default()), ..RequestCopy::default() }
    }

    /// The model that it names at its top.
    pub(super) fn model(&self) -> Option<String> {
        let told = self.turns.as_ref().and_then(|turns| turns.model.clone());
        told.or_else(|| named(&self.document)).or_else(|| multipart::field(self.document.beginning(), "model"))
    }

    /// The one that a request too large to keep names last.
    pub(super) fn last_model(&self) -> Option<String> {
        said::model(self.document.last("model")).or_else(|| multipart::field(self.document.end(), "model"))
    }

    /// What a model reads of it.
    pub(super) fn prose(&self) -> Prose {
        let (document, bytes) = match self.turns.as_ref().and_then(|turns| turns.asked.as_ref()) {
            Some((asked, bytes)) if !asks(&self.document) => (asked, *bytes),
            _ => (&self.document, self.bytes),
        };
        Prose::of_request(document.beginning(), bytes)
    }

    /// How long the sound is that it sends as a file.
    pub(super) fn sound_seconds(&self) -> Option<u64> {
        let file = multipart::file(self.document.beginning())?;
        let before = self.document.beginning().len() - file.len();
        sound::seconds(file, self.bytes.saturating_sub(before as u64), "")
    }

    /// How much memory it takes.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.document.kept_bytes()
    }

    /// Whether it takes much memory.
    pub(super) const fn is_large(&self) -> bool {
        self.bytes > REQUEST_KEPT_BYTES_MAX
    }

    /// A message of a conversation is over.
    fn turn(&mut self) {
        let Some(turns) = &mut self.turns else { return };
        turns.model = turns.model.take().or_else(|| named(&self.document));
        if asks(&self.document) {
            turns.asked = Some((std::mem::replace(&mut self.document, Document::new(REQUEST_BYTES_MAX)), self.bytes));
        }
        self.document.clear();
        self.bytes = 0;
    }
}

/// The model that a request or a message of a conversation names.
fn named(document: &Document) -> Option<String> {
    let [model, live] = document.pick(["model", "setup.model"]);
    said::model(model).or_else(|| Some(said::model(live)?.trim_start_matches("models/").to_owned()))
}

/// Whether a message of a conversation asks for an answer.
fn asks(message: &Document) -> bool {
    let [kind] = message.pick(["type"]);
    said::id(kind).as_deref() == Some("response.create")
}

impl Default for RequestCopy {
    fn default() -> RequestCopy {
        RequestCopy { document: Document::new(REQUEST_BYTES_MAX), bytes: 0, turns: None }
    }
}

impl io::Write for RequestCopy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.turns.is_some() && bytes == [SEPARATOR] {
            self.turn();
        } else {
            self.bytes += bytes.len() as u64;
            self.document.push(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One call of a reply, as far as it was heard.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) id: Option<String>,
    pub(super) said: Said,
    /// Whether the dialect's last word was heard.
    pub(super) done: bool,
    /// Whether an error was.
    pub(super) erred: bool,
    /// Of a turn of a live conversation: whether the server said that it is over.
    pub(super) turn_over: bool,
    /// Whether a model answered, though there may be no words to count.
    pub(super) answered: bool,
    /// What it said, where that may have to be counted here.
    pub(super) prose: Prose,
    /// How much output the usage counted so far. `prose` holds the text after that.
    pub(super) counted: u64,
    /// Whether the answer is no model's: a guardrail or a program wrote it.
    pub(super) guarded: bool,
    /// How long the sound was that it is about, where it says so.
    pub(super) seconds: Option<u64>,
    /// Of a call of a conversation: when it was first heard.
    pub(super) begun: Option<Timestamp>,
}

impl Heard {
    /// The first id counts; some servers send an empty one before it, or others after.
    pub(super) fn id(&mut self, raw: Option<&RawValue>) {
        if self.id.is_none() {
            self.id = said::id(raw);
        }
    }

    /// Whether the usage counts more output than before, that is all that was said up to now. A placeholder counts none.
    pub(super) fn counted_more(&mut self) -> bool {
        let counted = self.said.get("usage").map_or(0, said::produced);
        let more = counted > self.counted;
        if more {
            self.counted = counted;
            self.answered |= !self.prose.is_empty();
            self.prose.clear();
        }
        more
    }
}

/// A reply that is being decoded.
pub(super) struct Reply {
    pub(super) surface: Option<Surface>,
    frames: Frames,
    pub(super) calls: Vec<Heard>,
    /// Where the reply is one side of a conversation.
    session: Option<Session>,
    /// What is no document: a sound, a page.
    opaque: Document,
    content_type: String,
    decoded_bytes: u64,
}

impl Default for Reply {
    fn default() -> Reply {
        Reply {
            surface: None,
            frames: Frames::default(),
            calls: Vec::new(),
            session: None,
            opaque: Document::new(OPAQUE_BYTES_MAX),
            content_type: String::new(),
            decoded_bytes: 0,
        }
    }
}

impl Reply {
    /// `surface` is what the path says.
    pub(super) fn on(surface: Option<Surface>) -> Reply {
        Reply { surface, ..Reply::default() }
    }

    /// A conversation begins.
    pub(super) fn converse(&mut self) {
        self.session = Some(Session::default());
    }

    /// What the head of the reply tells beside the body.
    pub(super) fn head<'h>(&mut self, header: &impl Fn(&str) -> Option<&'h str>) {
        let content_type = header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
        self.content_type = content_type.trim().to_ascii_lowercase();
        self.frames = match self.content_type.as_str() {
            sound if sound.starts_with("audio/") => Frames::Opaque,
            other => Frames::Unknown { events: other == "text/event-stream" },
        };
        if self.surface == Some(Surface::Bedrock) {
            let mut heard = Heard::default();
            bedrock::hear_head(header, &mut heard);
            self.calls.push(heard);
        }
    }

    /// The body is over, for whatever reason.
    pub(super) fn end(&mut self) {
        let Reply { surface, frames, calls, session, .. } = self;
        frames.end(&mut |document, frame| hear(surface, session, calls, document, frame));
        // Its counts stand beside its last word and after it: in a document that was cut, it does not mean that all was heard.
        if *surface == Some(Surface::Ollama) && !frames.closed() {
            calls.iter_mut().for_each(|heard| heard.done = false);
        }
    }

    /// How much memory what is under way takes.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.frames.kept_bytes() + self.opaque.kept_bytes() + self.calls.len() * size_of::<Heard>()
    }

    /// Whether it is a page for people.
    pub(super) fn is_page(&self) -> bool {
        self.content_type == "text/html"
    }

    /// How long it is, if it is a sound.
    pub(super) fn sound_seconds(&self) -> Option<u64> {
        self.frames.opaque().then(|| sound::seconds(self.opaque.beginning(), self.decoded_bytes, &self.content_type))?
    }

    /// What it says, if it is nothing but text.
    pub(super) fn plain(&self) -> Option<Prose> {
        let text = self.frames.opaque() && self.content_type.starts_with("text/");
        text.then(|| Prose::of_text(self.opaque.beginning(), self.decoded_bytes))
    }

    /// Whether nothing that was opened is still open.
    pub(super) const fn closed(&self) -> bool {
        self.frames.closed()
    }
}

impl io::Write for Reply {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Reply { surface, frames, calls, session, decoded_bytes, opaque, .. } = self;
        let message_begins = session.is_some() && bytes == [SEPARATOR];
        *decoded_bytes = if message_begins { 0 } else { *decoded_bytes + bytes.len() as u64 };
        if *decoded_bytes > DECODED_BYTES_MAX {
            return Err(io::Error::other("the reply unpacks to too much"));
        }
        frames.push(bytes, &mut |document, frame| hear(surface, session, calls, document, frame));
        if frames.maybe_opaque() {
            opaque.push(bytes);
        } else {
            opaque.clear();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hears one document of a reply. Until one shows what is spoken, none is understood.
fn hear(surface: &mut Option<Surface>, session: &mut Option<Session>, calls: &mut Vec<Heard>, document: &Document, frame: Frame) {
    if let (Some(surface), Some(session)) = (*surface, session) {
        return socket::hear(surface, session, document, calls);
    }
    match *surface {
        None => *surface = surface::shape(document),
        // Bedrock passes a model's own reply on: Claude's, and of those that speak OpenAI's dialect.
        Some(Surface::Bedrock) => {
            let shape = surface::shape(document);
            if matches!(shape, Some(Surface::Anthropic | Surface::OpenAi)) {
                (*surface, *calls) = (shape, Vec::new());
            }
        }
        Some(_) => {}
    }
    let Some(surface) = *surface else { return };
    if surface == Surface::GeminiBatch {
        return gemini::hear_batch(document, calls);
    }
    let is_batch = matches!(surface, Surface::AnthropicBatch | Surface::OpenAiBatch);
    if is_batch && calls.len() >= CALLS_MAX {
        // Never into another's call.
        return;
    }
    if is_batch || calls.is_empty() {
        calls.push(Heard::default());
    }
    let Some(heard) = calls.last_mut() else { return };
    match surface {
        Surface::OpenAi => openai::hear(document, frame, heard),
        Surface::OpenAiBatch => openai::hear_result(document, heard),
        Surface::Anthropic | Surface::AnthropicBatch => anthropic::hear(document, frame, heard),
        Surface::Gemini | Surface::GeminiBatch => gemini::hear(document, heard),
        Surface::Bedrock => bedrock::hear(document, frame, heard),
        Surface::Ollama => ollama::hear(document, heard),
        Surface::Cohere => cohere::hear(document, heard),
    }
}
