//! What a call used, concluded from the bytes of its request and its reply as they pass.
//!
//! Pure: no file, no network, no clock, no thread. A meter never fails; where it cannot go on it says that it does not know.
//! It keeps no content: of a reply only counts, names and ids outlive the piece that they came in.

mod document;
mod estimated;

mod eventstream;
mod frames;

mod decode;
mod websocket;

mod multipart;
mod prose;
mod reply;
mod socket;
mod sound;

mod said;
mod surface;
mod unmetered;

mod anthropic;
mod bedrock;
mod cohere;
mod cost;
mod gemini;
mod ollama;
mod openai;

#[doc(hidden)]
pub mod fuzzing;

use crate::estimate;
use decode::Decoder;
use estimated::{ESTIMATED, Estimate};
use events::{CallUuid, Certainty, Sighting, Source, Timestamp, Usage};
use prose::Prose;
use reply::{Heard, Reply, RequestCopy};
use said::{Reading, Said};
use serde_json::{Map, Value};
use surface::{Kind, Route, Surface};
pub(crate) use unmetered::unmetered_shape;
use websocket::Sender;

/// The status of an answer after which HTTP ends and the WebSocket begins.
const SWITCHING_PROTOCOLS: u16 = 101;

/// The headers of a reply that are read: those that name the call, and those that say how to read its body.
pub const REPLY_HEADERS: [&str; 10] = [
    "request-id",
    "x-request-id",
    "x-amzn-requestid",
    "content-encoding",
    "content-type",
    "sec-websocket-extensions",
    bedrock::COUNT_HEADERS[0].0,
    bedrock::COUNT_HEADERS[1].0,
    bedrock::COUNT_HEADERS[2].0,
    bedrock::COUNT_HEADERS[3].0,
];

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
    /// Whether it asks for a WebSocket.
    pub websocket: bool,
    /// When the call began.
    pub at: Timestamp,
    /// The proxy's own name for it.
    pub uuid: CallUuid,
    /// How it is seen.
    pub source: Source,
}

/// Whether anything billable can come of a call.
pub fn may_be_billed(method: &str, path: &str, websocket: bool) -> bool {
    route(method, path, websocket).is_some()
}

fn route(method: &str, path: &str, websocket: bool) -> Option<Route> {
    if websocket { surface::socket_route(path) } else { surface::route(method, path) }
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
    /// What is fetched again, where the path names it.
    fetched: Option<String>,
    /// Whether the answer has another id than the request got, under which it is fetched.
    is_ticket: bool,
    websocket: bool,
    /// Whether the reply holds the results of a batch: one call a line.
    batch: bool,
    /// How many calls of a conversation were told.
    told: u64,
    /// Whether the reply is a page for people, which no model made.
    page: bool,
    /// Whether the reply was one that no dialect reads.
    unread: bool,
    /// The model that the path or the request names.
    asked: Option<String>,
    request: Option<Decoder<RequestCopy>>,
    /// What was sent, where nobody else may count it: its text, and how long its sound is.
    sent: Option<(Prose, Option<u64>)>,
    kind: Kind,
    status: Option<u16>,
    request_id: Option<String>,
    reply: Decoder<Reply>,
}

impl Meter {
    /// `None` where nothing billable can come of the call: lists of models, counting of tokens, files, moderations.
    pub fn start(call: &Call<'_>) -> Option<Meter> {
        let route = route(call.method, call.path, call.websocket)?;
        // Whoever counts nothing, or is cut short, is estimated by what was sent.
        let ask = !route.retrieval;
        Some(Meter {
            provider: call.provider.to_owned(),
            at: call.at,
            uuid: call.uuid,
            source: call.source,
            retrieval: route.retrieval,
            fetched: route.id,
            is_ticket: route.is_ticket,
            websocket: call.websocket,
            batch: matches!(route.surface, Some(Surface::OpenAiBatch | Surface::AnthropicBatch | Surface::GeminiBatch)),
            told: 0,
            page: false,
            unread: false,
            request: ask.then(|| Decoder::new(call.encoding, RequestCopy::default())),
            sent: None,
            kind: route.kind,
            asked: route.model,
            status: None,
            request_id: None,
            reply: Decoder::new(None, Reply::on(route.surface)),
        })
    }

    /// How much memory the copies of request and reply take.
    #[cfg(test)]
    fn kept_bytes(&mut self) -> usize {
        let request = self.request.as_mut().and_then(Decoder::sink).map_or(0, |copy| copy.kept_bytes());
        request + self.reply.sink().map_or(0, |reply| reply.kept_bytes())
    }

    /// The next piece of the request's body.
    pub fn request(&mut self, bytes: &[u8]) {
        if let Some(request) = &mut self.request {
            request.push(bytes);
        }
    }

    /// The head of the reply has come: its status, and those of its headers that are among [`REPLY_HEADERS`].
    pub fn head<'h>(&mut self, status: u16, header: impl Fn(&str) -> Option<&'h str>) {
        self.status = Some(status);
        let id = ["request-id", "x-request-id", "x-amzn-requestid"].iter().find_map(|name| header(name));
        self.request_id = id.filter(|id| !id.is_empty() && id.len() <= 200).map(str::to_owned);
        let mut reply = self.reply.sink().map(std::mem::take).unwrap_or_default();
        if self.websocket && status == SWITCHING_PROTOCOLS {
            let extensions = header("sec-websocket-extensions");
            reply.converse();
            self.reply = Decoder::websocket(extensions, Sender::Server, reply);
            let copy = RequestCopy::of_conversation();
            self.request = self.request.is_some().then(|| Decoder::websocket(extensions, Sender::Client, copy));
            return;
        }
        reply.head(&header);
        self.reply = Decoder::new(header("content-encoding"), reply);
        self.ask();
    }

    /// Looks who was asked for. A small copy of the request is kept until it is known whether it must be counted; a large one need not wait
    /// for the end of the reply.
    fn ask(&mut self) {
        let Some(copy) = self.request.as_mut().and_then(Decoder::sink) else { return };
        // A path that names the model is trusted.
        self.asked = self.asked.take().or_else(|| copy.model());
        if copy.is_large() && !self.websocket {
            self.sent = Some((copy.prose(), copy.sound_seconds()));
            self.request = self.request.take().filter(|_| self.asked.is_none());
        }
    }

    /// What was sent, to be counted here: its text, and how long its sound is.
    fn sent(&mut self) -> Option<&(Prose, Option<u64>)> {
        if self.sent.is_none() || self.websocket {
            let copy = self.request.as_mut().and_then(Decoder::sink);
            self.sent = copy.map(|copy| (copy.prose(), copy.sound_seconds()));
        }
        self.sent.as_ref()
    }

    /// Whether the call succeeded in a dialect that is not known, so that nobody can say what it used. Known once it is finished.
    pub(crate) const fn is_unread(&self) -> bool {
        self.unread
    }

    /// Whether it is many calls, that are told as they come: a conversation, or the results of a batch.
    pub const fn converses(&self) -> bool {
        self.websocket || self.batch
    }

    /// The calls of a conversation that are over by now, and the results of a batch that have come, once each. A reply that is one call is told when it is over, by `finish`.
    pub fn settled(&mut self, now: Timestamp) -> Vec<Sighting> {
        if self.batch {
            // Every line is whole when it is heard.
            let Some(reply) = self.reply.sink() else { return Vec::new() };
            let (surface, over) = (reply.surface, std::mem::take(&mut reply.calls));
            let Some(surface) = surface else { return Vec::new() };
            return over.into_iter().flat_map(|heard| self.sightings(surface, heard, false, Ending::Complete, now)).collect();
        }
        if !self.websocket {
            return Vec::new();
        }
        let Some(reply) = self.reply.sink() else { return Vec::new() };
        for call in &mut reply.calls {
            call.begun.get_or_insert(now);
        }
        let over: Vec<Heard> = reply.calls.extract_if(.., |call| call.done).collect();
        let Some(surface) = reply.surface.filter(|_| !over.is_empty()) else { return Vec::new() };
        self.ask();
        over.into_iter().flat_map(|heard| self.tell(surface, heard, now)).collect()
    }

    /// One call of a conversation, told apart from the others of it. What used nothing (a session that warms up) is none.
    fn tell(&mut self, surface: Surface, heard: Heard, now: Timestamp) -> Vec<Sighting> {
        self.told += 1;
        let mut sightings = self.sightings(surface, heard, false, Ending::Complete, now);
        sightings.retain(|Sighting { usage, .. }| {
            usage.certainty == Certainty::Unknown || usage.tokens.total() > 0 || !usage.fees.is_none() || usage.reported_cost.is_some()
        });
        sightings
    }

    /// Whether one of the bodies cannot be decoded.
    fn gave_up(&self) -> bool {
        self.reply.gave_up() || self.request.as_ref().is_some_and(Decoder::gave_up)
    }

    /// The next piece of the reply's body, as it came: still encoded.
    pub fn reply(&mut self, bytes: &[u8]) {
        self.reply.push(bytes);
    }

    /// Whether tokens may have to be counted here to conclude the call, which takes time: it ended without its usage, or before its end.
    pub fn lacks_usage(&mut self, ending: Ending) -> bool {
        let served = self.status.is_none_or(|status| (200..300).contains(&status) || status == SWITCHING_PROTOCOLS) && !self.retrieval;
        let silent = |reply: &mut Reply| {
            let unread = |call: &Heard| call.said.get("usage").is_none();
            // A usage without a count beside words is a placeholder.
            let placeholder = |call: &Heard| !call.prose.is_empty() && call.counted == 0;
            let nothing_read = |call: &Heard| call.said.get("usage").is_some_and(said::reads_nothing);
            reply.calls.iter().all(unread) || reply.calls.iter().any(|call| placeholder(call) || nothing_read(call))
        };
        served && (ending != Ending::Complete || self.reply.sink().is_some_and(silent))
    }

    /// The call is over. One sighting for it, and one for each call within it that is billed apart; none where nothing was billed.
    pub fn finish(&mut self, ending: Ending, ended_at: Timestamp) -> Vec<Sighting> {
        let gave_up = self.reply.gave_up();
        if let Some(copy) = self.request.as_mut().and_then(Decoder::sink) {
            self.asked = self.asked.take().or_else(|| copy.model()).or_else(|| copy.last_model());
        }
        let mut reply = self.reply.sink().map(std::mem::take).unwrap_or_default();
        reply.end();
        let Some(surface) = reply.surface else {
            self.unread = self.status.is_some_and(|status| (200..300).contains(&status)) && !self.retrieval;
            return Vec::new();
        };
        if self.websocket {
            return reply.calls.into_iter().flat_map(|heard| self.tell(surface, heard, ended_at)).collect();
        }
        let closed = ending == Ending::Complete && !gave_up && reply.closed();
        if reply.calls.is_empty() && !self.batch {
            let (prose, seconds) = match self.kind {
                Kind::Speech => (None, reply.sound_seconds()),
                Kind::Transcript => (reply.plain(), None),
                Kind::Words | Kind::Vectors | Kind::Pictures => (None, None),
            };
            reply.calls.push(Heard { prose: prose.unwrap_or_default(), seconds, ..Heard::default() });
        }
        self.page = reply.is_page();
        reply.calls.into_iter().flat_map(|heard| self.sightings(surface, heard, closed, ending, ended_at)).collect()
    }

    fn sightings(&mut self, surface: Surface, mut heard: Heard, closed: bool, ending: Ending, ended_at: Timestamp) -> Vec<Sighting> {
        let at = heard.begun.unwrap_or(self.at);
        heard.id = match &self.fetched {
            Some(ticket) if self.is_ticket => Some(ticket.clone()),
            fetched => heard.id.take().or_else(|| fetched.clone()),
        };
        let latency_ms = u32::try_from(ended_at.micros().saturating_sub(at.micros()) / 1000).ok();
        openai::note_kind(self.kind, &mut heard.said);
        if matches!(surface, Surface::Gemini | Surface::GeminiBatch)
            && heard.said.text("model").is_none()
            && let Some(asked) = &self.asked
        {
            heard.said.set(gemini::ASKED, asked.as_str().into());
        }
        let reading = read(surface, &heard.said, &self.provider);
        let whole = match surface {
            Surface::OpenAi => heard.done || closed,
            // Its streams have a last word, and without it they were truncated (provider-usage, section 3).
            Surface::Anthropic | Surface::AnthropicBatch | Surface::OpenAiBatch | Surface::Ollama => heard.done,
            Surface::Gemini | Surface::GeminiBatch | Surface::Bedrock | Surface::Cohere => closed || heard.done,
        };
        let (certainty, reading) = match reading {
            Some(reading) if whole && !heard.erred => match self.is_placeholder(surface, &reading, &heard) {
                true => self.estimated(
                    surface,
                    if reading.tokens.total() > 0 { Certainty::Partial } else { Certainty::Unknown },
                    reading,
                    &mut heard,
                ),
                false => (Certainty::Reported, reading),
            },
            Some(reading) => self.estimated(surface, Certainty::Partial, reading, &mut heard),
            None if self.may_have_cost(&heard, ending) => {
                if whole && !heard.erred {
                    heard.said.whole_but_unread();
                }
                self.estimated(surface, Certainty::Unknown, Reading::default(), &mut heard)
            }
            None => return Vec::new(),
        };
        let within = match surface {
            Surface::OpenAi | Surface::OpenAiBatch => openai::pictures(&heard.said).into_iter().collect(),
            Surface::Anthropic | Surface::AnthropicBatch => anthropic::iterations(&heard.said),
            Surface::Gemini | Surface::GeminiBatch | Surface::Bedrock | Surface::Ollama | Surface::Cohere => Vec::new(),
        };
        let usage = Usage {
            at,
            provider: self.provider.clone(),
            family: surface.family().to_owned(),
            request_id: self.request_id.clone(),
            // The calls of a conversation are carried together, and are calls of their own.
            carried: (!self.retrieval).then_some(CallUuid(self.uuid.0.wrapping_add(self.told.into()))),
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

    /// Whether a usage has zeros where something must have been counted: no prompt is empty, and no answer with words in it used nothing.
    fn is_placeholder(&self, surface: Surface, reading: &Reading, heard: &Heard) -> bool {
        let Reading { tokens, fees, reported_cost, .. } = reading;
        let (spoke, read, produced) = (!heard.prose.is_empty(), tokens.prompt() > 0, tokens.produced() > 0);
        if heard.guarded || heard.said.get("usage").is_some_and(said::counts_other_than_tokens) {
            return false;
        }
        match self.kind {
            // Ollama does not count a prompt that was in its cache (provider-usage, section 12).
            Kind::Words if surface == Surface::Ollama => spoke && !produced,
            Kind::Words => (spoke && !produced) || (produced && !read),
            // A ranking may be billed by searches, of which the provider names the cost.
            Kind::Vectors => tokens.total() == 0 && fees.is_none() && reported_cost.is_none(),
            Kind::Transcript | Kind::Speech => tokens.total() == 0 && fees.is_none() && (spoke || self.kind == Kind::Speech),
            Kind::Pictures => false,
        }
    }

    /// What the provider did not say, or not to the end, by the text and the sound that passed. Reasoning that is not shown cannot be seen:
    /// it is a least.
    fn estimated(&mut self, surface: Surface, certainty: Certainty, reading: Reading, heard: &mut Heard) -> (Certainty, Reading) {
        let served = match self.status {
            Some(SWITCHING_PROTOCOLS) => self.websocket,
            Some(status) => (200..300).contains(&status),
            // The client did not wait for the answer, or the upstream broke off. What was sent was read.
            None => true,
        };
        // A page, or an error in words of its own, is no answer of a model.
        let in_words = self.kind == Kind::Words && self.status.is_some();
        let answered =
            !in_words && !heard.erred && !self.page || heard.id.is_some() || heard.answered || heard.counted > 0 || !heard.prose.is_empty();
        let by_other_measure = self.kind == Kind::Pictures || heard.said.get("usage").is_some_and(said::counts_other_than_tokens);
        if !served || !answered || by_other_measure {
            return (certainty, reading);
        }
        let kind = self.kind;
        let model = heard.said.text("model").or(self.asked.as_deref()).unwrap_or_default().to_owned();
        let sent = if reading.tokens.prompt() == 0 { self.sent() } else { None };
        let (input, heard_seconds) = sent.map_or((0, None), |(prose, seconds)| (prose.tokens(&model), *seconds));
        let output = heard.counted.saturating_add(heard.prose.tokens(&model));
        let estimate = Estimate { input, output, percent: estimate::percent(&model), ..Estimate::default() };
        let estimate = match kind {
            Kind::Transcript if estimated::is_billed_by_seconds(&model) => {
                let seconds = heard.seconds.or(heard_seconds).unwrap_or(0);
                return self.by_pieces("seconds", seconds, (certainty, reading), heard, surface);
            }
            Kind::Speech if estimated::is_billed_by_characters(&model) => {
                let characters = self.sent().map_or(0, |(prose, _)| prose.characters());
                return self.by_pieces("characters", characters, (certainty, reading), heard, surface);
            }
            Kind::Transcript => Estimate { input: 0, ..estimate }.with_heard(heard.seconds.or(heard_seconds)),
            Kind::Speech => estimate.with_spoken(heard.seconds),
            Kind::Words | Kind::Vectors | Kind::Pictures => estimate,
        };
        if estimate.input == 0 && estimate.input_audio == 0 && estimate.output <= reading.tokens.produced() {
            return (certainty, reading);
        }
        heard.said.set(ESTIMATED, estimate.into());
        (Certainty::Estimated, estimate.applied(reading))
    }

    /// What is billed by the piece, and was counted here.
    fn by_pieces(
        &self,
        unit: &str,
        count: u64,
        (certainty, reading): (Certainty, Reading),
        heard: &mut Heard,
        surface: Surface,
    ) -> (Certainty, Reading) {
        if count == 0 {
            return (certainty, reading);
        }
        heard.said.set_in("usage", unit, count);
        heard.said.set(ESTIMATED, Estimate::default().into());
        (Certainty::Estimated, read(surface, &heard.said, &self.provider).unwrap_or(reading))
    }

    /// Whether a call without usage is one whose cost we do not know, rather than one without cost. No error of a provider has been seen to
    /// be billed (provider-usage, section 15, row 13).
    fn may_have_cost(&self, heard: &Heard, ending: Ending) -> bool {
        match self.status {
            Some(SWITCHING_PROTOCOLS) => self.websocket && (heard.id.is_some() || heard.turn_over || heard.answered),
            Some(status) => (200..300).contains(&status) && !self.retrieval && !(heard.erred && heard.id.is_none()),
            // The proxy tells of a call without an answer only once the whole request was sent, or its client went away.
            None => ending != Ending::Complete && !self.retrieval,
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
    let reading = read(surface, &said, &usage.provider);
    let estimate = said.get(ESTIMATED).and_then(Estimate::of).filter(|_| usage.certainty <= Certainty::Estimated);
    let reading = match estimate {
        Some(estimate) => Some(estimate.applied(reading.unwrap_or_default())),
        None => reading,
    };
    let Reading { tokens, fees, tier, geo, reported_cost } = reading?;
    let certainty = match usage.certainty {
        Certainty::Unknown | Certainty::Estimated if estimate.is_some() => Certainty::Estimated,
        Certainty::Unknown | Certainty::Estimated if said.is_whole_but_unread() => Certainty::Reported,
        Certainty::Unknown | Certainty::Estimated => Certainty::Partial,
        known @ (Certainty::Partial | Certainty::Reported) => known,
    };
    // What was asked for by a name of the user's own was put down under the model behind it.
    let answered = said.text("model").filter(|answered| usage.request_model.as_deref() != Some(*answered));
    let model = answered.map(str::to_owned).or_else(|| usage.model.clone());
    let request_model = usage.request_model.clone().filter(|asked| model.as_ref() != Some(asked));
    // Where the upstream is, the reply does not say.
    let geo = geo.or_else(|| usage.geo.clone());
    Some(Usage { model, request_model, tokens, fees, tier, geo, reported_cost, certainty, ..usage.clone() })
}

/// Concludes from what was said, in the dialect of the surface.
fn read(surface: Surface, said: &Said, provider: &str) -> Option<Reading> {
    match surface {
        Surface::OpenAi | Surface::OpenAiBatch => openai::read(said, provider),
        Surface::Anthropic | Surface::AnthropicBatch => anthropic::read(said),
        Surface::Gemini | Surface::GeminiBatch => gemini::read(said),
        Surface::Bedrock => bedrock::read(said),
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
    let said = (said.get("usage").is_some() || said.get(ESTIMATED).is_some() || said.get(openai::MADE).is_some())
        .then(|| events::Said::from(&said.into_value(surface.family())));
    Sighting { usage: usage.into(), said }
}

#[cfg(test)]
mod tests;
