//! A conversation over one WebSocket: many calls, each over when its last word is heard.
//!
//! OpenAI's realtime and responses, and Google's live. What is said in between (sound, deltas) is passed over.

use super::document::Document;
use super::reply::Heard;
use super::said;
use super::surface::Surface;
use super::{gemini, openai, prose};
use serde_json::value::RawValue;
use std::collections::VecDeque;

/// The most calls of one conversation that may be under way at once; the oldest gives way.
const OPEN_MAX: usize = 64;

/// What the conversation itself was told.
#[derive(Default)]
pub(super) struct Session {
    model: Option<Box<RawValue>>,
    /// Who writes down what the user says, at its own price.
    transcriber: Option<Box<RawValue>>,
    /// The last responses that are over: what is still said of them says nothing new.
    over: VecDeque<String>,
}

/// Hears one message of the server.
pub(super) fn hear(surface: Surface, session: &mut Session, document: &Document, calls: &mut Vec<Heard>) {
    match surface {
        Surface::OpenAi | Surface::OpenAiBatch => hear_openai(session, document, calls),
        Surface::Gemini | Surface::GeminiBatch => hear_live(document, calls),
        // Nobody else has a conversation.
        Surface::Anthropic | Surface::AnthropicBatch | Surface::Bedrock | Surface::Ollama | Surface::Cohere => {}
    }
    if calls.iter().filter(|call| !call.done).count() > OPEN_MAX
        && let Some(oldest) = calls.iter().position(|call| !call.done)
    {
        // It is told as far as it was heard.
        end(calls, oldest);
    }
}

/// A call is over: they are told in the order in which they are.
fn end(calls: &mut Vec<Heard>, at: usize) {
    let mut call = calls.remove(at);
    call.done = true;
    calls.push(call);
}

/// platform.openai.com/docs/api-reference/realtime-server-events, and the events of responses (provider-usage, sections 2.2 and 2.6).
fn hear_openai(session: &mut Session, document: &Document, calls: &mut Vec<Heard>) {
    let [kind, model, transcriber, old_transcriber] =
        document.pick(["type", "session.model", "session.audio.input.transcription.model", "session.input_audio_transcription.model"]);
    let kind = said::id(kind).unwrap_or_default();
    let keep = |place: &mut Option<Box<RawValue>>, told: Option<&RawValue>| {
        if let Some(told) = told {
            *place = Some(told.to_owned());
        }
    };
    match kind.as_str() {
        "session.created" | "session.updated" | "transcription_session.created" | "transcription_session.updated" => {
            keep(&mut session.model, model);
            keep(&mut session.transcriber, transcriber.or(old_transcriber));
        }
        "conversation.item.input_audio_transcription.completed" => {
            let [item, part, usage] = document.pick(["item_id", "content_index", "usage"]);
            let Some(item) = said::id(item) else { return };
            let part = part.map_or("0", RawValue::get);
            let mut heard = Heard { id: Some(format!("{item}:transcription:{part}")), done: true, ..Heard::default() };
            heard.said.name("model", session.transcriber.as_deref());
            usage.into_iter().for_each(|usage| heard.said.hear("usage", usage));
            calls.push(heard);
        }
        // Sound comes as data, and its words beside it.
        kind if kind.starts_with("response.") && kind.ends_with(".delta") => {
            let is_text = !kind.contains("audio") || kind.contains("transcript");
            let [delta, of] = document.pick(["delta", "response_id"]);
            let of = said::id(of);
            let under_way = calls.iter_mut().rev().find(|call| is_text && !call.done && (of.is_none() || call.id == of));
            let heard = under_way.into_iter().zip(delta);
            heard.for_each(|(call, delta)| prose::piece(delta, &mut call.prose));
        }
        kind if kind.starts_with("response.") => {
            let [id, model, tier, usage, tools, status] = document.pick([
                "response.id",
                "response.model",
                "response.service_tier",
                "response.usage",
                "response.tool_usage",
                "response.status",
            ]);
            let Some(id) = said::id(id) else { return };
            if kind == "response.created" {
                session.over.retain(|over| *over != id);
            } else if session.over.contains(&id) {
                return;
            }
            let known = calls.iter().position(|call| call.id.as_ref() == Some(&id) && !call.done);
            let at = known.unwrap_or_else(|| {
                calls.push(Heard { id: Some(id.clone()), ..Heard::default() });
                calls.len() - 1
            });
            let heard = &mut calls[at];
            heard.said.name("model", model.or(session.model.as_deref()));
            heard.said.name("service_tier", tier);
            // xAI says it beside the response.
            let [beside] = document.pick(["usage"]);
            usage.into_iter().chain(beside).for_each(|usage| heard.said.hear("usage", usage));
            tools.into_iter().for_each(|usage| heard.said.hear("tool_usage", usage));
            heard.erred |= said::id(status).as_deref() == Some("failed");
            let [output] = document.pick(["response.output"]);
            output.into_iter().for_each(|output| openai::hear_tools(output, &mut heard.said));
            let last = ["response.done", "response.completed", "response.incomplete", "response.failed", "response.cancelled"];
            if last.contains(&kind) {
                end(calls, at);
                if session.over.len() == OPEN_MAX {
                    session.over.pop_front();
                }
                session.over.push_back(id);
            }
        }
        _ => {}
    }
}

/// ai.google.dev/api/live: a turn is over when the server says so and has counted it (provider-usage, section 4, "Live").
fn hear_live(document: &Document, calls: &mut Vec<Heard>) {
    let [content, tool_call, usage] = document.pick(["serverContent", "toolCall", "usageMetadata"]);
    let [complete, turn, words] =
        document.pick(["serverContent.turnComplete", "serverContent.modelTurn", "serverContent.outputTranscription.text"]);
    if content.is_none() && usage.is_none() && tool_call.is_none() {
        return;
    }
    if calls.last().is_none_or(|call| call.done) {
        calls.push(Heard::default());
    }
    let Some(heard) = calls.last_mut() else { return };
    usage.into_iter().for_each(|usage| heard.said.hear("usage", usage));
    let [grounding] = document.pick(["serverContent.groundingMetadata"]);
    grounding.into_iter().for_each(|grounding| gemini::hear_turns_grounding(grounding, &mut heard.said));
    // What a model says aloud is sound, of which the words may be told.
    heard.answered |= turn.is_some() || tool_call.is_some();
    turn.into_iter().for_each(|turn| gemini::hear_turn(turn, &mut heard.prose));
    words.into_iter().for_each(|words| prose::piece(words, &mut heard.prose));
    heard.turn_over |= complete.is_some_and(|complete| complete.get() == "true");
    heard.done = heard.turn_over && heard.said.get("usage").is_some();
}
