//! A reply that is being decoded, and a copy of the request: what was heard so far, and what speaks.

use super::document::{Document, REQUEST_BYTES_MAX};
use super::frames::{Frame, Frames, SEPARATOR};
use super::prose::Prose;
use super::said::{self, Said};
use super::socket::{self, Session};
use super::surface::{self, Surface};
use super::{anthropic, bedrock, cohere, gemini, ollama, openai};
use events::Timestamp;
use serde_json::value::RawValue;
use std::io;

/// The most that a reply, or one message of a conversation, may unpack to before it is not observed further.
const DECODED_BYTES_MAX: u64 = 4 << 30;
/// The most calls that the results of one batch are read for.
pub(super) const CALLS_MAX: usize = 10_000;

/// A bounded copy of a request, for the name of the model in it, and for its text where nobody else may count it.
pub(super) struct RequestCopy {
    document: Document,
    bytes: u64,
}

impl RequestCopy {
    /// The model that it names at its top.
    pub(super) fn model(&self) -> Option<String> {
        let [model, live] = self.document.pick(["model", "setup.model"]);
        said::model(model).or_else(|| Some(said::model(live)?.trim_start_matches("models/").to_owned()))
    }

    /// The one that a request too large to keep names last.
    pub(super) fn last_model(&self) -> Option<String> {
        said::model(self.document.last("model"))
    }

    /// What a model reads of it.
    pub(super) fn prose(&self) -> Prose {
        Prose::of_request(self.document.beginning(), self.bytes)
    }
}

impl Default for RequestCopy {
    fn default() -> RequestCopy {
        RequestCopy { document: Document::new(REQUEST_BYTES_MAX), bytes: 0 }
    }
}

impl io::Write for RequestCopy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Of a conversation the first message is enough, and the separator before it is no JSON.
        self.bytes += bytes.len() as u64;
        self.document.push(bytes.strip_prefix(&[SEPARATOR]).unwrap_or(bytes));
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
    /// What it said, where that may have to be counted here.
    pub(super) prose: Prose,
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
}

/// A reply that is being decoded.
#[derive(Default)]
pub(super) struct Reply {
    pub(super) surface: Option<Surface>,
    frames: Frames,
    pub(super) calls: Vec<Heard>,
    /// Where the reply is one side of a conversation.
    session: Option<Session>,
    decoded_bytes: u64,
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

    /// Whether nothing that was opened is still open.
    pub(super) const fn closed(&self) -> bool {
        self.frames.closed()
    }
}

impl io::Write for Reply {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Reply { surface, frames, calls, session, decoded_bytes } = self;
        *decoded_bytes = if bytes == [SEPARATOR] { 0 } else { *decoded_bytes + bytes.len() as u64 };
        if *decoded_bytes > DECODED_BYTES_MAX {
            return Err(io::Error::other("the reply unpacks to too much"));
        }
        frames.push(bytes, &mut |document, frame| hear(surface, session, calls, document, frame));
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
    let another = matches!(surface, Surface::AnthropicBatch | Surface::OpenAiBatch) && calls.len() < CALLS_MAX;
    if another || calls.is_empty() {
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
