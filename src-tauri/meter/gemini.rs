//! Google's dialect: generateContent, as one object, an array or a stream, embedContent, and interactions. Vertex speaks it, too.

use super::document::{Document, REPLY_BYTES_MAX};
use super::prose::{self, Prose};
use super::reply::Heard;
use super::said::{self, Reading, Said, count, name};
use events::{Fees, Pieces, Tokens};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// What a reply was grounded on, as far as that is billed.
const GROUNDING: &str = "grounding";
/// The model that was asked for, where the reply names none.
pub(super) const ASKED: &str = "asked";
/// The first generation of models whose searches are billed one by one; for those before it each grounded prompt is.
const BILLED_BY_QUERY_SINCE: u64 = 3;

/// Hears one chunk, which repeats the usage so far, or the whole reply. Behind Google's login it stands within a `response`.
pub(super) fn hear(document: &Document, heard: &mut Heard) {
    let [id, model, usage, candidates, id_within, model_within, usage_within, candidates_within] = document.pick([
        "responseId",
        "modelVersion",
        "usageMetadata",
        "candidates",
        "response.responseId",
        "response.modelVersion",
        "response.usageMetadata",
        "response.candidates",
    ]);
    let [its_id, its_model, its_usage, its_tier, words, bare_id, bare_model, bare_usage, bare_tier, error, predictions] = document.pick([
        "interaction.id",
        "interaction.model",
        "interaction.usage",
        "interaction.service_tier",
        "delta.text",
        "id",
        "model",
        "usage",
        "service_tier",
        "error",
        "predictions",
    ]);
    heard.id(id.or(id_within).or(its_id).or(bare_id));
    heard.said.name("model", model.or(model_within).or(its_model).or(bare_model));
    heard.said.name("service_tier", its_tier.or(bare_tier));
    let usage = usage.or(usage_within).or(its_usage).or(bare_usage);
    usage.into_iter().for_each(|usage| heard.said.hear("usage", usage));
    heard.erred |= error.is_some();
    // A chunk that counts what was said so far need not be counted here. One without a count, or with zero, does not count it.
    if usage.is_none() || !heard.counted_more() {
        let [outputs] = document.pick(["outputs"]);
        outputs.into_iter().for_each(|outputs| heard.prose.push_spoken(outputs));
        candidates.or(candidates_within).into_iter().for_each(|candidates| hear_candidates(candidates, &mut heard.prose));
        words.into_iter().for_each(|words| prose::piece(words, &mut heard.prose));
    }
    candidates.or(candidates_within).into_iter().for_each(|candidates| hear_grounding(candidates, &mut heard.said));
    predictions.into_iter().for_each(|predictions| hear_predictions(predictions, &mut heard.said));
}

/// What a candidate was grounded on.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Grounding<'g> {
    #[serde(borrow, default)]
    web_search_queries: Vec<std::borrow::Cow<'g, str>>,
    #[serde(borrow, default)]
    grounding_chunks: Vec<Chunk<'g>>,
}

#[derive(Deserialize)]
struct Chunk<'g> {
    #[serde(borrow)]
    maps: Option<&'g RawValue>,
}

/// Hears what the candidates were grounded on: the last metadata of a stream that names something counts.
fn hear_grounding(candidates: &RawValue, said: &mut Said) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Candidate<'c> {
        #[serde(borrow)]
        grounding_metadata: Option<Grounding<'c>>,
    }
    // Most pieces of a stream have none. The quotes of a text are escaped.
    if memchr::memmem::find(candidates.get().as_bytes(), b"\"groundingMetadata\"").is_none() {
        return;
    }
    let candidates = serde_json::from_str::<Vec<Candidate<'_>>>(candidates.get()).unwrap_or_default();
    note_grounding(candidates.into_iter().filter_map(|candidate| candidate.grounding_metadata), said);
}

/// Hears what a turn of a live conversation was grounded on.
pub(super) fn hear_turns_grounding(metadata: &RawValue, said: &mut Said) {
    note_grounding(serde_json::from_str::<Grounding<'_>>(metadata.get()).into_iter(), said);
}

fn note_grounding<'g>(all: impl Iterator<Item = Grounding<'g>>, said: &mut Said) {
    let (mut queries, mut by_maps) = (std::collections::BTreeSet::new(), false);
    for Grounding { web_search_queries, grounding_chunks } in all {
        by_maps |= grounding_chunks.iter().any(|chunk| chunk.maps.is_some());
        queries.extend(web_search_queries.into_iter().filter(|query| !query.trim().is_empty()));
    }
    if !queries.is_empty() {
        said.set_in(GROUNDING, "queries", queries.len() as u64);
    }
    if by_maps {
        said.set_in(GROUNDING, "maps", 1);
    }
}

/// What the candidates say, in words and in calls of functions.
fn hear_candidates(candidates: &RawValue, prose: &mut Prose) {
    #[derive(Deserialize)]
    struct Candidate<'c> {
        #[serde(borrow)]
        content: Option<Content<'c>>,
    }
    let candidates = serde_json::from_str::<Vec<Candidate<'_>>>(candidates.get()).unwrap_or_default();
    candidates.into_iter().filter_map(|candidate| candidate.content).for_each(|content| content.hear(prose));
}

/// What a turn of a conversation has within.
#[derive(Deserialize)]
struct Content<'c> {
    #[serde(borrow, default)]
    parts: Vec<Part<'c>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'p> {
    #[serde(borrow)]
    text: Option<&'p RawValue>,
    #[serde(borrow)]
    function_call: Option<&'p RawValue>,
}

impl Content<'_> {
    fn hear(self, prose: &mut Prose) {
        for part in self.parts {
            part.text.into_iter().for_each(|text| prose::piece(text, prose));
            part.function_call.into_iter().for_each(|call| prose.push_json(call));
        }
    }
}

/// What a live model says in one message.
pub(super) fn hear_turn(turn: &RawValue, prose: &mut Prose) {
    if let Ok(content) = serde_json::from_str::<Content<'_>>(turn.get()) {
        content.hear(prose);
    }
}

/// Vertex's older embeddings count each text apart (cloud.google.com, text embeddings API).
fn hear_predictions(predictions: &RawValue, said: &mut Said) {
    #[derive(Deserialize)]
    struct Prediction<'p> {
        #[serde(borrow)]
        embeddings: Embeddings<'p>,
    }
    #[derive(Deserialize)]
    struct Picture<'p> {
        #[serde(borrow, rename = "bytesBase64Encoded")]
        bytes: Option<&'p RawValue>,
        #[serde(borrow, rename = "gcsUri")]
        uri: Option<&'p RawValue>,
    }
    #[derive(Deserialize)]
    struct Embeddings<'p> {
        #[serde(borrow)]
        statistics: Statistics<'p>,
    }
    #[derive(Deserialize)]
    struct Statistics<'p> {
        #[serde(borrow)]
        token_count: &'p RawValue,
    }
    // Pictures are predicted, too, and have no such count.
    let Ok(predictions) = serde_json::from_str::<Vec<Prediction<'_>>>(predictions.get()) else {
        let made = serde_json::from_str::<Vec<Picture<'_>>>(predictions.get()).unwrap_or_default();
        let made = made.iter().filter(|picture| picture.bytes.is_some() || picture.uri.is_some()).count();
        if made > 0 {
            said.set(super::openai::MADE, made.into());
        }
        return;
    };
    let counts = predictions.iter().filter_map(|prediction| said::whole_part(prediction.embeddings.statistics.token_count));
    said.set_in("usage", "promptTokenCount", counts.fold(0, u64::saturating_add));
}

/// Hears a batch: each answer within it is a call of its own (ai.google.dev/gemini-api/docs/batch-api).
pub(super) fn hear_batch(document: &Document, calls: &mut Vec<Heard>) {
    #[derive(Deserialize)]
    struct Inlined<'a> {
        #[serde(borrow)]
        response: Option<&'a RawValue>,
    }
    let inlined =
        ["response.inlinedResponses.inlinedResponses", "metadata.output.inlinedResponses.inlinedResponses", "dest.inlinedResponses"];
    let within = document.pick(inlined).into_iter().flatten().next();
    let mut answers: Vec<Inlined<'_>> = within.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    if within.is_none() {
        // A line of a file of results.
        let [response] = document.pick(["response"]);
        answers.push(Inlined { response });
    }
    let room = super::reply::CALLS_MAX.saturating_sub(calls.len());
    for answer in answers.iter().filter_map(|answer| answer.response).take(room) {
        let (mut one, mut heard) = (Document::new(REPLY_BYTES_MAX), Heard::default());
        one.push(answer.get().as_bytes());
        hear(&one, &mut heard);
        // Without an id a second look at the batch could not be told from the first.
        if heard.id.is_some() {
            heard.said.set("batch", Value::Bool(true));
            heard.done = true;
            calls.push(heard);
        }
    }
}

/// Converts Google's counting into disjoint classes; `None` where nothing was counted.
///
/// The prompt contains what was cached; prompts of tools stand beside it and are input; thoughts stand beside the candidates and are output
/// (ai.google.dev/api/generate-content, UsageMetadata; provider-usage, sections 1 and 4).
pub(super) fn read(said: &Said) -> Option<Reading> {
    let Some(usage) = said.get("usage") else {
        let image = said::pieces(Some(said.get(super::openai::MADE)?.as_u64()?));
        return Some(Reading { fees: Fees { web_search: 0, pieces: Pieces { image, ..Pieces::default() } }, ..Reading::default() });
    };
    let prompt = count(usage, &["promptTokenCount", "total_input_tokens"]);
    let candidates = count(usage, &["candidatesTokenCount", "responseTokenCount", "total_output_tokens"]);
    let thoughts = count(usage, &["thoughtsTokenCount", "total_thought_tokens"]);
    if prompt.is_none() && candidates.is_none() && thoughts.is_none() {
        return None;
    }
    let (prompt, thoughts) = (prompt.unwrap_or(0), thoughts.unwrap_or(0));
    let cached = count(usage, &["cachedContentTokenCount", "total_cached_tokens"]).unwrap_or(0);
    let of_tools = count(usage, &["toolUsePromptTokenCount", "total_tool_use_tokens"]).unwrap_or(0);
    let heard = |details: [&str; 2], kind: Modality| details.iter().map(|details| modality(usage, details, kind)).max().unwrap_or(0);
    let cache_read_audio = heard(["cacheTokensDetails", "cached_tokens_by_modality"], AUDIO).min(cached);
    let audio = heard(["promptTokensDetails", "input_tokens_by_modality"], AUDIO).saturating_sub(cache_read_audio);
    let uncached = prompt.checked_sub(cached).unwrap_or(prompt);
    let input_audio = audio.min(uncached);
    let candidates = candidates.unwrap_or(0);
    let produced =
        |kind| heard(["candidatesTokensDetails", "responseTokensDetails"], kind).max(modality(usage, "output_tokens_by_modality", kind));
    let output_audio = produced(AUDIO).min(candidates);
    let output_image = produced(IMAGE).min(candidates - output_audio);
    Some(Reading {
        tokens: Tokens {
            input: (uncached - input_audio).saturating_add(of_tools),
            input_audio,
            cache_read: cached - cache_read_audio,
            cache_read_audio,
            output: (candidates - output_audio - output_image).saturating_add(thoughts),
            output_audio,
            output_image,
            reasoning: thoughts,
            ..Tokens::default()
        },
        fees: fees(said, usage),
        tier: said
            .get("batch")
            .map(|_| "batch")
            .or_else(|| name(usage, "serviceTier"))
            .or_else(|| name(usage, "trafficType"))
            .or_else(|| said.text("service_tier"))
            .map(str::to_owned),
        geo: None,
        reported_cost: None,
    })
}

/// What is billed beside the tokens: distinct queries on Gemini 3 and later, grounded prompts before (ai.google.dev/gemini-api/docs/pricing,
/// "Grounding with Google Search"; provider-usage, section 4).
fn fees(said: &Said, usage: &Value) -> Fees {
    let model = said.text("model").or_else(|| said.text(ASKED)).unwrap_or_default();
    let grounding = |name: &str| said.get(GROUNDING).and_then(|grounding| count(grounding, &[name])).unwrap_or(0);
    let queries = match grounding("queries") {
        queries if queries > 0 && generation(model).is_some_and(|generation| generation < BILLED_BY_QUERY_SINCE) => 1,
        queries => queries,
    };
    let maps = grounding("maps").max(tool_calls(usage, "google_maps"));
    Fees {
        web_search: said::pieces(Some(queries.max(tool_calls(usage, "google_search")))),
        pieces: Pieces { maps_search: said::pieces(Some(maps)), ..Pieces::default() },
    }
}

/// The generation of a Gemini model, as `gemini-2.5-pro` names it.
fn generation(model: &str) -> Option<u64> {
    let (_, version) = model.rsplit_once("gemini-")?;
    version.split(|byte: char| !byte.is_ascii_digit()).next()?.parse().ok()
}

/// A modality by name, and by its number where a client asked for those (ai.google.dev/api/generate-content, Modality).
type Modality = (&'static str, u64);
const IMAGE: Modality = ("IMAGE", 2);
const AUDIO: Modality = ("AUDIO", 4);

/// How many tokens of one modality a list of details counts.
fn modality(usage: &Value, details: &str, (kind, number): Modality) -> u64 {
    let Some(Value::Array(details)) = usage.get(details) else { return 0 };
    let is = |detail: &Value| match detail.get("modality") {
        Some(Value::String(name)) => name.eq_ignore_ascii_case(kind),
        Some(other) => other.as_u64() == Some(number),
        None => false,
    };
    let of_kind = details.iter().filter(|detail| is(detail));
    of_kind.filter_map(|detail| count(detail, &["tokenCount", "tokens"])).fold(0, u64::saturating_add)
}

/// How many calls of one of Google's tools an interaction counts. Other surfaces do not count them.
fn tool_calls(usage: &Value, kind: &str) -> u64 {
    let Some(Value::Array(tools)) = usage.get("grounding_tool_count") else { return 0 };
    let calls = tools.iter().filter(|tool| name(tool, "type") == Some(kind));
    calls.filter_map(|tool| count(tool, &["count"])).fold(0, u64::saturating_add)
}
