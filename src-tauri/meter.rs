//! What a call used, concluded from the bytes of its request and its reply as they pass.
//!
//! Pure: no file, no network, no clock, no thread. A meter never fails; where it cannot go on it says that it does not know.
//! It keeps no content: of a reply only counts, names and ids outlive the piece that they came in.

mod document;
mod frames;

mod decode;

mod said;
mod surface;

mod anthropic;
mod cohere;
mod gemini;
mod ollama;
mod openai;

use decode::Decoder;
use document::{Document, REQUEST_BYTES_MAX};
use events::{CallUuid, Certainty, Sighting, Source, Timestamp, Usage};
use frames::{Frame, Frames};
use said::{Reading, Said};
use serde_json::{Map, Value, value::RawValue};
use std::io;
use surface::Surface;

/// The most that a reply may unpack to before it is not observed further.
const DECODED_BYTES_MAX: u64 = 4 << 30;
/// The most calls that the results of one batch are read for.
const CALLS_MAX: usize = 10_000;

/// What is known of a call when the head of its request has passed.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The name of the upstream, as the user knows it.
    pub provider: &'a str,
    /// The HTTP method.
    pub method: &'a str,
    /// The path as it is sent to the upstream, with its query.
    pub path: &'a str,
    /// The request's `content-encoding`.
    pub encoding: Option<&'a str>,
    /// When the call began.
    pub at: Timestamp,
    /// The proxy's own name for it.
    pub uuid: CallUuid,
    /// How it is seen.
    pub source: Source,
}

/// How a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of it was passed on.
    Complete,
    /// The client went away before the end.
    ClientGone,
    /// The upstream broke off, or never answered.
    UpstreamCut,
}

/// Observes one call. Feed it in the order of the wire: [`request`](Meter::request), [`head`](Meter::head), [`reply`](Meter::reply),
/// [`finish`](Meter::finish); however the bytes are cut into pieces, the sightings are the same.
pub struct Meter {
    provider: String,
    at: Timestamp,
    uuid: CallUuid,
    source: Source,
    retrieval: bool,
    /// The model that the path or the request names.
    asked: Option<String>,
    request: Option<Decoder<RequestCopy>>,
    status: Option<u16>,
    request_id: Option<String>,
    reply: Decoder<Reply>,
}

impl Meter {
    /// `None` where nothing billable can come of the call: lists of models, counting of tokens, files, moderations.
    pub fn start(call: &Call<'_>) -> Option<Meter> {
        let route = surface::route(call.method, call.path)?;
        Some(Meter {
            provider: call.provider.to_owned(),
            at: call.at,
            uuid: call.uuid,
            source: call.source,
            retrieval: route.retrieval,
            request: (route.model.is_none() && !route.retrieval).then(|| Decoder::new(call.encoding, RequestCopy::default())),
            asked: route.model,
            status: None,
            request_id: None,
            reply: Decoder::new(None, Reply { surface: route.surface, ..Reply::default() }),
        })
    }

    /// The next piece of the request's body.
    pub fn request(&mut self, bytes: &[u8]) {
        if let Some(request) = &mut self.request {
            request.push(bytes);
        }
    }

    /// The head of the reply has come: its status, and its headers by name in lower case.
    pub fn head<'h>(&mut self, status: u16, header: impl Fn(&str) -> Option<&'h str>) {
        self.status = Some(status);
        let id = ["request-id", "x-request-id"].iter().find_map(|name| header(name));
        self.request_id = id.filter(|id| !id.is_empty() && id.len() <= 200).map(str::to_owned);
        let reply = self.reply.sink().map(std::mem::take).unwrap_or_default();
        self.reply = Decoder::new(header("content-encoding"), reply);
        // The copy of the request need not wait for the end of the reply.
        if let Some(mut request) = self.request.take() {
            self.asked = request.sink().and_then(|RequestCopy(document)| said::model(document.pick(["model"])[0]));
            self.request = Some(request).filter(|_| self.asked.is_none());
        }
    }

    /// The next piece of the reply's body, as it came: still encoded.
    pub fn reply(&mut self, bytes: &[u8]) {
        self.reply.push(bytes);
    }

    /// The call is over. One sighting for it, and one for each call within it that is billed apart; none where nothing was billed.
    pub fn finish(mut self, ending: Ending, ended_at: Timestamp) -> Vec<Sighting> {
        let gave_up = self.reply.gave_up();
        if let Some(RequestCopy(document)) = self.request.as_mut().and_then(Decoder::sink) {
            self.asked = said::model(document.pick(["model"])[0].or_else(|| document.last("model")));
        }
        let mut reply = self.reply.sink().map(std::mem::take).unwrap_or_default();
        reply.end();
        let Some(surface) = reply.surface else { return Vec::new() };
        let closed = ending == Ending::Complete && !gave_up && reply.frames.closed();
        if reply.calls.is_empty() {
            reply.calls.push(Heard::default());
        }
        let latency_ms = u32::try_from(ended_at.micros().saturating_sub(self.at.micros()) / 1000).ok();
        reply.calls.into_iter().flat_map(|heard| self.sightings(surface, heard, closed, ending, latency_ms)).collect()
    }

    fn sightings(&self, surface: Surface, mut heard: Heard, closed: bool, ending: Ending, latency_ms: Option<u32>) -> Vec<Sighting> {
        let reading = read(surface, &heard.said, &self.provider);
        let whole = match surface {
            Surface::OpenAi => heard.done || closed,
            // Its streams have a last word, and without it they were truncated (provider-usage, section 3).
            Surface::Anthropic | Surface::AnthropicBatch | Surface::Ollama => heard.done,
            Surface::Gemini | Surface::Cohere => closed,
        };
        let (certainty, reading) = match reading {
            Some(reading) if whole && !heard.erred => (Certainty::Reported, reading),
            Some(reading) => (Certainty::Partial, reading),
            None if self.may_have_cost(&heard, ending) => {
                if whole && !heard.erred {
                    heard.said.whole_but_unread();
                }
                (Certainty::Unknown, Reading::default())
            }
            None => return Vec::new(),
        };
        let within = match surface {
            Surface::OpenAi => openai::pictures(&heard.said).into_iter().collect(),
            Surface::Anthropic | Surface::AnthropicBatch => anthropic::iterations(&heard.said),
            Surface::Gemini | Surface::Ollama | Surface::Cohere => Vec::new(),
        };
        let usage = Usage {
            at: self.at,
            provider: self.provider.clone(),
            family: surface.family().to_owned(),
            request_id: self.request_id.clone(),
            carried: (!self.retrieval).then_some(self.uuid),
            certainty,
            latency_ms: latency_ms.filter(|_| !self.retrieval),
            status: self.status,
            sources: self.source.into(),
            ..Usage::default()
        };
        let within = within.into_iter().filter_map(|(suffix, said)| {
            // Without an id of the whole, its parts have none, and could not be told from it.
            let id = format!("{}:{suffix}", heard.id.as_ref()?);
            let reading = read(surface, &said, &self.provider)?;
            Some(sighting(Usage { call_id: Some(id), ..usage.clone() }, None, reading, said, surface))
        });
        let within: Vec<Sighting> = within.collect();
        let whole = sighting(Usage { call_id: heard.id.clone(), ..usage }, self.asked.as_deref(), reading, heard.said, surface);
        std::iter::once(whole).chain(within).collect()
    }

    /// Whether a call without usage is one whose cost we do not know, rather than one without cost. No error of a provider has been seen to
    /// be billed (provider-usage, section 15, row 13).
    fn may_have_cost(&self, heard: &Heard, ending: Ending) -> bool {
        match self.status {
            Some(status) => (200..300).contains(&status) && !self.retrieval && !(heard.erred && heard.id.is_none()),
            None => ending == Ending::ClientGone && !self.retrieval,
        }
    }
}

/// What the meter makes today of a call that it recorded, from what it kept of the reply (the fields of [`Sighting::said`]); `None` where
/// that is none of its surfaces, or nothing is counted in it.
///
/// Who, when, for what and how the call ended stay. So does the model where the reply did not name it. A call that was unknown until now
/// is known whole only where the reply is known to have come to its end.
pub(crate) fn again(usage: &Usage, said: Map<String, Value>) -> Option<Usage> {
    let said = Said::from(said);
    let surface = said.text("surface").and_then(Surface::of_family).filter(|surface| surface.family() == usage.family)?;
    let Reading { tokens, fees, tier, geo, reported_cost } = read(surface, &said, &usage.provider)?;
    let certainty = match usage.certainty {
        Certainty::Unknown | Certainty::Estimated if said.is_whole_but_unread() => Certainty::Reported,
        Certainty::Unknown | Certainty::Estimated => Certainty::Partial,
        known @ (Certainty::Partial | Certainty::Reported) => known,
    };
    let model = said.text("model").map(str::to_owned).or_else(|| usage.model.clone());
    let request_model = usage.request_model.clone().filter(|asked| model.as_ref() != Some(asked));
    Some(Usage { model, request_model, tokens, fees, tier, geo, reported_cost, certainty, ..usage.clone() })
}

/// Concludes from what was said, in the dialect of the surface.
fn read(surface: Surface, said: &Said, provider: &str) -> Option<Reading> {
    match surface {
        Surface::OpenAi => openai::read(said, provider),
        Surface::Anthropic | Surface::AnthropicBatch => anthropic::read(said),
        Surface::Gemini => gemini::read(said),
        Surface::Ollama => ollama::read(said),
        Surface::Cohere => cohere::read(said),
    }
}

/// Puts together who was called (`call`), which model was asked for, and what was read.
fn sighting(call: Usage, asked: Option<&str>, reading: Reading, said: Said, surface: Surface) -> Sighting {
    let answered = said.text("model");
    let Reading { tokens, fees, tier, geo, reported_cost } = reading;
    let usage = Usage {
        model: answered.or(asked).map(str::to_owned),
        request_model: asked.filter(|asked| answered.is_some_and(|answered| answered != *asked)).map(str::to_owned),
        tokens,
        fees,
        tier,
        geo,
        reported_cost,
        ..call
    };
    let said = said.get("usage").is_some().then(|| events::Said::from(&said.into_value(surface.family())));
    Sighting { usage, said }
}

/// A bounded copy of a request, for the name of the model in it.
struct RequestCopy(Document);

impl Default for RequestCopy {
    fn default() -> RequestCopy {
        RequestCopy(Document::new(REQUEST_BYTES_MAX))
    }
}

impl io::Write for RequestCopy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One call of a reply, as far as it was heard.
#[derive(Default)]
struct Heard {
    id: Option<String>,
    said: Said,
    /// Whether the dialect's last word was heard.
    done: bool,
    /// Whether an error was.
    erred: bool,
}

impl Heard {
    /// The first id counts; some servers send an empty one before it, or others after.
    fn id(&mut self, raw: Option<&RawValue>) {
        if self.id.is_none() {
            self.id = said::id(raw);
        }
    }
}

/// A reply that is being decoded.
#[derive(Default)]
struct Reply {
    surface: Option<Surface>,
    frames: Frames,
    calls: Vec<Heard>,
    decoded_bytes: u64,
}

impl Reply {
    fn end(&mut self) {
        let Reply { surface, frames, calls, .. } = self;
        frames.end(&mut |document, frame| hear(surface, calls, document, frame));
    }
}

impl io::Write for Reply {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Reply { surface, frames, calls, decoded_bytes } = self;
        *decoded_bytes += bytes.len() as u64;
        if *decoded_bytes > DECODED_BYTES_MAX {
            return Err(io::Error::other("the reply unpacks to too much"));
        }
        frames.push(bytes, &mut |document, frame| hear(surface, calls, document, frame));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hears one document of a reply. Until one shows what is spoken, none is understood.
fn hear(surface: &mut Option<Surface>, calls: &mut Vec<Heard>, document: &Document, frame: Frame) {
    if surface.is_none() {
        *surface = surface::shape(document);
    }
    let Some(surface) = *surface else { return };
    let another = surface == Surface::AnthropicBatch && calls.len() < CALLS_MAX;
    if another || calls.is_empty() {
        calls.push(Heard::default());
    }
    let Some(heard) = calls.last_mut() else { return };
    match surface {
        Surface::OpenAi => openai::hear(document, frame, heard),
        Surface::Anthropic | Surface::AnthropicBatch => anthropic::hear(document, frame, heard),
        Surface::Gemini => gemini::hear(document, heard),
        Surface::Ollama => ollama::hear(document, heard),
        Surface::Cohere => cohere::hear(document, heard),
    }
}

#[cfg(test)]
mod tests;

/// Runs a whole meter over arbitrary bytes, for a fuzzer: the first byte chooses path and encoding, the second the size of the pieces.
pub fn fuzz(bytes: &[u8]) {
    let [choice, size, body @ ..] = bytes else { return };
    let paths =
        ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/m/g:streamGenerateContent", "/x", "/v1/messages/batches/b/results"];
    let encodings = ["identity", "gzip", "deflate", "br", "zstd"];
    let path = paths[usize::from(*choice) % paths.len()];
    let encoding = encodings[usize::from(*choice) / paths.len() % encodings.len()];
    let (at, uuid) = (Timestamp::from_micros(0), CallUuid(1));
    let method = if path.ends_with("results") { "GET" } else { "POST" };
    let call = Call { provider: "fuzz", method, path, encoding: Some(encoding), at, uuid, source: Source::Proxy };
    let Some(mut meter) = Meter::start(&call) else { return };
    let pieces = || body.chunks(usize::from(*size) + 1);
    pieces().for_each(|piece| meter.request(piece));
    meter.head(200, |name| (name == "content-encoding").then_some(encoding));
    pieces().for_each(|piece| meter.reply(piece));
    meter.finish(Ending::Complete, at);
}
