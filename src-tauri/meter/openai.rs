//! OpenAI's dialect, which most providers speak: chat completions, completions, embeddings and responses.

use super::document::Document;
use super::frames::Frame;
use super::prose;
use super::reply::Heard;
use super::said::{self, Reading, Said, at, count, name};
use super::{bedrock, cost, surface::Kind};
use events::{Fees, Pieces, Tokens};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

/// What is said of pictures only.
const PICTURES: &str = "pictures";

/// The calls of tools that stand among the output of a response.
const TOOLS: &str = "tools";

/// How many pictures a reply holds, where no usage counts them.
pub(super) const MADE: &str = "made";

/// What is said of the results of a batch only.
const BATCH: &str = "batch";

/// Hears one chunk of a stream, one event, or the whole reply.
pub(super) fn hear(document: &Document, frame: Frame, heard: &mut Heard) {
    if document.whole().map(<[u8]>::trim_ascii) == Some(b"[DONE]") {
        heard.done = true;
        return;
    }
    // One pass over the document: a stream has thousands of them, and most say nothing of use.
    let [
        kind,
        object,
        response_id,
        id,
        request_id,
        model,
        tier,
        usage,
        groq_usage,
        metrics,
        tools,
        credits,
        served_by,
        error,
        choices,
        pages,
    ] = document.pick([
        "type",
        "object",
        "response.id",
        "id",
        "request_id",
        "model",
        "service_tier",
        "usage",
        "x_groq.usage",
        bedrock::METRICS,
        "tool_usage",
        "copilot_usage",
        "provider",
        "error",
        "choices",
        "usage_info",
    ]);
    let kind = said::id(kind).unwrap_or_default();
    heard.erred |= kind == "error";
    if response_id.is_some() || kind.starts_with("response.") {
        return hear_response(document, &kind, frame, heard);
    }
    let object = said::id(object).unwrap_or_default();
    // Of an assistant's thread only its runs are billed: their steps repeat the usage (provider-usage, section 2.3).
    if object.starts_with("thread") && object != "thread.run" {
        return;
    }
    // What is fetched when it is made has no other id.
    heard.id(id.or(request_id.filter(|_| error.is_none())));
    heard.said.name("model", model);
    heard.said.name("service_tier", tier);
    heard.said.name("provider", served_by);
    // Groq says the same twice, in one chunk (provider-usage, section 7). Where a model on Bedrock says nothing, Bedrock does.
    let usage = usage.or(groq_usage).or_else(|| usage_in_choices(choices?)).or(metrics);
    usage.into_iter().for_each(|usage| heard.said.hear("usage", usage));
    tools.into_iter().for_each(|usage| heard.said.hear("tool_usage", usage));
    credits.into_iter().for_each(|usage| heard.said.hear("copilot_usage", usage));
    if frame == Frame::Value && object == "response" {
        let [output] = document.pick(["output"]);
        output.into_iter().for_each(|output| hear_tools(output, &mut heard.said));
    }
    // Servers that have not counted send zeros, some of them in every chunk: the text is kept until it is counted.
    if usage.is_none() || !heard.counted_more() {
        match choices {
            Some(choices) => prose::choices(choices, &mut heard.prose),
            None => hear_without_choices(document, &kind, frame, heard),
        }
    }
    if heard.said.get("usage").is_none() {
        hear_local(document, heard);
    }
    // Mistral reads documents by the page (provider-usage, section 6).
    pages.into_iter().for_each(|pages| heard.said.hear("usage", pages));
    heard.erred |= said::says_something(error);
    heard.done |= match frame {
        // The chunk that was asked for with `include_usage` is the last but `[DONE]`.
        Frame::Event => usage.is_some() && choices.is_some_and(|choices| choices.get() == "[]"),
        Frame::Value => usage.is_some(),
        Frame::Exception | Frame::Rest => false,
    };
}

/// The usage that some put into the last choice of a stream (platform.moonshot.ai/docs/api/chat).
fn usage_in_choices(choices: &RawValue) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Choice<'c> {
        #[serde(borrow)]
        usage: Option<&'c RawValue>,
    }
    // Most pieces of a stream have none. The quotes of a text are escaped.
    memchr::memmem::find(choices.get().as_bytes(), b"\"usage\"")?;
    serde_json::from_str::<Vec<Choice<'_>>>(choices.get()).ok()?.into_iter().find_map(|choice| choice.usage)
}

/// Hears what was written down of a sound, and how long the sound was, where nobody counts its tokens.
fn hear_without_choices(document: &Document, kind: &str, frame: Frame, heard: &mut Heard) {
    let [delta, text, seconds, output] = document.pick(["delta", "text", "duration", "output"]);
    if frame == Frame::Value {
        let [data] = document.pick(["data"]);
        data.into_iter().for_each(|data| hear_pictures(data, &mut heard.said));
        // A response that is no stream.
        output.into_iter().for_each(|output| hear_output(output, heard));
    }
    match kind {
        "transcript.text.delta" => delta.into_iter().for_each(|delta| prose::piece(delta, &mut heard.prose)),
        // The last event repeats the words of those before it.
        "" | "transcript.text.done" if heard.prose.is_empty() => text.into_iter().for_each(|text| prose::piece(text, &mut heard.prose)),
        _ => {}
    }
    heard.seconds = heard.seconds.or_else(|| seconds.and_then(said::whole_part));
}

/// Hears what llama.cpp counts beside a usage, or without one: its timings, and the counts of its own completions
/// (github.com/ggml-org/llama.cpp, tools/server).
fn hear_local(document: &Document, heard: &mut Heard) {
    let [timings, evaluated, predicted] = document.pick(["timings", "tokens_evaluated", "tokens_predicted"]);
    for (name, value) in [("timings", timings), ("prompt_tokens", evaluated), ("completion_tokens", predicted)] {
        value.into_iter().for_each(|value| heard.said.hear_in("usage", name, value));
    }
}

/// Hears how many pictures a reply holds.
fn hear_pictures(data: &RawValue, said: &mut Said) {
    #[derive(Deserialize)]
    struct Picture<'p> {
        #[serde(borrow)]
        b64_json: Option<&'p RawValue>,
        #[serde(borrow)]
        url: Option<&'p RawValue>,
    }
    let pictures = serde_json::from_str::<Vec<Picture<'_>>>(data.get()).unwrap_or_default();
    let made = pictures.iter().filter(|picture| picture.b64_json.is_some() || picture.url.is_some()).count();
    if made > 0 {
        said.set(MADE, made.into());
    }
}

/// One item of a response's output.
#[derive(Deserialize)]
struct Item<'i> {
    #[serde(borrow, rename = "type")]
    kind: Option<std::borrow::Cow<'i, str>>,
    #[serde(borrow)]
    action: Option<Action<'i>>,
    #[serde(borrow)]
    container_id: Option<std::borrow::Cow<'i, str>>,
    #[serde(borrow)]
    caller: Option<Action<'i>>,
}

/// What an item does, or what it was done by.
#[derive(Deserialize)]
struct Action<'i> {
    #[serde(borrow, rename = "type")]
    kind: Option<std::borrow::Cow<'i, str>>,
}

impl Item<'_> {
    /// Whether it is a search that is billed: pages that are opened or searched through are not (platform.openai.com/docs/pricing).
    fn searches_web(&self) -> bool {
        let kind = self.kind.as_deref();
        let action = self.action.as_ref().and_then(|action| action.kind.as_deref());
        kind == Some("web_search_call") && matches!(action, None | Some("search"))
    }

    fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }
}

/// Hears which tools the output of a response tells of: OpenAI counts web searches in `tool_usage` where it does at all, and others nowhere.
pub(super) fn hear_tools(output: &RawValue, said: &mut Said) {
    let Ok(items) = serde_json::from_str::<Vec<Item<'_>>>(output.get()) else { return };
    let containers: std::collections::BTreeSet<&str> =
        items.iter().filter(|item| item.is("code_interpreter_call")).map(|item| item.container_id.as_deref().unwrap_or_default()).collect();
    let counts = [
        ("web_search", items.iter().filter(|item| item.searches_web()).count()),
        ("file_search", items.iter().filter(|item| item.is("file_search_call")).count()),
        ("code_execution", containers.len()),
    ];
    for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        said.set_in(TOOLS, name, count as u64);
    }
}

/// Hears one item of a stream. The last event of a stream repeats them all; one that is cut does not.
pub(super) fn hear_item(item: &RawValue, said: &mut Said) {
    let Ok(item) = serde_json::from_str::<Item<'_>>(item.get()) else { return };
    let class = if item.searches_web() {
        "web_search"
    } else if item.is("file_search_call") {
        "file_search"
    } else {
        return;
    };
    let before = said.get(TOOLS).and_then(|tools| count(tools, &[class])).unwrap_or(0);
    said.set_in(TOOLS, class, before.saturating_add(1));
}

/// Hears the output of a response, where no usage counts it and no piece of it was heard.
fn hear_output(output: &RawValue, heard: &mut Heard) {
    // A program that a model wrote goes on without it: OpenAI counts nothing then (seen in recordings of programmatic tool calls).
    let items = serde_json::from_str::<Vec<Item<'_>>>(output.get()).unwrap_or_default();
    heard.guarded |= items.iter().any(|item| item.caller.as_ref().is_some_and(|caller| caller.kind.as_deref() == Some("program")));
    if heard.prose.is_empty() {
        heard.prose.push_spoken(output);
    }
}

/// Hears one event of a response.
fn hear_response(document: &Document, kind: &str, frame: Frame, heard: &mut Heard) {
    // Sound comes as data, and its words beside it.
    if kind.ends_with(".delta") {
        if !kind.contains("audio") || kind.contains("transcript") {
            let [delta] = document.pick(["delta"]);
            delta.into_iter().for_each(|delta| prose::piece(delta, &mut heard.prose));
        }
        return;
    }
    let [id, model, tier, usage, tools, status, error, credits, credits_within] = document.pick([
        "response.id",
        "response.model",
        "response.service_tier",
        "response.usage",
        "response.tool_usage",
        "response.status",
        "response.error",
        "copilot_usage",
        "response.copilot_usage",
    ]);
    if kind == "response.created" {
        // A stream is one response. Where recorders joined several, the last one counts.
        *heard = Heard::default();
    }
    heard.id(id);
    heard.said.name("model", model);
    heard.said.name("service_tier", tier);
    usage.into_iter().for_each(|usage| heard.said.hear("usage", usage));
    tools.into_iter().for_each(|usage| heard.said.hear("tool_usage", usage));
    credits.or(credits_within).into_iter().for_each(|usage| heard.said.hear("copilot_usage", usage));
    if kind == "response.output_item.done" {
        let [item] = document.pick(["item"]);
        item.into_iter().for_each(|item| hear_item(item, &mut heard.said));
    }
    if usage.is_some() {
        let [output] = document.pick(["response.output"]);
        output.into_iter().for_each(|output| hear_tools(output, &mut heard.said));
        if !heard.counted_more() {
            output.into_iter().for_each(|output| hear_output(output, heard));
        }
    }
    let last = ["response.completed", "response.incomplete", "response.failed", "response.cancelled"];
    heard.done |= frame == Frame::Event && last.contains(&kind);
    // A response that failed has no more to say.
    heard.erred |= said::says_something(error) || said::id(status).as_deref() == Some("failed");
}

/// Hears one line of a batch's results, of OpenAI or of those who do as it does. What each line answers, it holds whole.
pub(super) fn hear_result(document: &Document, heard: &mut Heard) {
    let [line_id, id, model, usage, tools] =
        document.pick(["id", "response.body.id", "response.body.model", "response.body.usage", "response.body.tool_usage"]);
    let [tier] = document.pick(["response.body.service_tier"]);
    // Embeddings have no id of their own.
    heard.id(id);
    heard.id(line_id);
    heard.said.name("model", model);
    heard.said.name("service_tier", tier);
    // Half the price, whatever tier the line names (platform.openai.com/docs/guides/batch).
    heard.said.set(BATCH, Value::Bool(true));
    usage.into_iter().for_each(|usage| heard.said.hear("usage", usage));
    let [choices, output] = document.pick(["response.body.choices", "response.body.output"]);
    output.into_iter().for_each(|output| hear_tools(output, &mut heard.said));
    if usage.is_some() && !heard.counted_more() {
        choices.into_iter().for_each(|choices| prose::choices(choices, &mut heard.prose));
        output.into_iter().for_each(|output| hear_output(output, heard));
    }
    tools.into_iter().for_each(|usage| heard.said.hear("tool_usage", usage));
    heard.done |= usage.is_some();
}

/// Converts OpenAI's counting into disjoint classes; `None` where nothing was counted.
///
/// In OpenAI's counting cached tokens and cache writes are part of the prompt, reasoning is part of the completion, and both make the
/// total (platform.openai.com/docs/api-reference, objects `usage`; provider-usage, sections 1 and 2). Others who speak the dialect count
/// otherwise, and where they do, the total proves it:
/// - xAI's reasoning stands outside of the completion: total = prompt + completion + reasoning (section 10);
/// - Mistral's audio stands outside of the prompt: total = prompt + completion + audio (section 6), and so does what its connectors read;
/// - Gemini hides its thoughts, and xAI may: what the total has beyond prompt and completion is output (section 1, "Guard rules");
/// - Grok on Azure has its cached tokens outside of the prompt (section 11), as has everyone with more of them than prompt.
pub(super) fn read(said: &Said, provider: &str) -> Option<Reading> {
    let made = said.get(MADE).and_then(Value::as_u64).filter(|_| said.get(PICTURES).is_some());
    let Some(usage) = said.get("usage") else {
        // Pictures that no usage counts are billed by the piece.
        let pieces = Pieces { image: said::pieces(made), ..Pieces::default() };
        return (!pieces.is_none()).then(|| Reading { fees: Fees { web_search: 0, pieces }, ..Reading::default() });
    };
    let model = said.text("model").unwrap_or_default();
    let pieces = pieces(said, usage, model);
    let timed = |name: &str| count(usage, &[&format!("timings.{name}")]);
    // llama.cpp's timings count what it read beside what it had read before.
    let read_in_time = || Some(timed("prompt_n")?.saturating_add(timed("cache_n").unwrap_or(0)));
    let prompt = count(usage, &["prompt_tokens", "input_tokens", "inputTokenCount"]).or_else(read_in_time);
    let completion = count(usage, &["completion_tokens", "output_tokens", "outputTokenCount"]).or_else(|| timed("predicted_n"));
    let total = count(usage, &["total_tokens"]);
    let known_cost = cost::reported(said, 0).filter(|cost| *cost > events::Usd::ZERO);
    if prompt.is_none() && completion.is_none() && total.is_none() && known_cost.is_none() && pieces.is_none() {
        return None;
    }
    // Embeddings of some servers have a total only.
    let completion_known = completion.is_some();
    let (prompt, completion) = (prompt.unwrap_or(if completion_known { 0 } else { total.unwrap_or(0) }), completion.unwrap_or(0));
    let beyond = total.unwrap_or(0).saturating_sub(prompt.saturating_add(completion));

    let details = |names: [&str; 4]| names.map(|name| usage.get(name));
    let detail = |of: &[Option<&Value>; 4], name: &str| of.iter().flatten().find_map(|details| count(details, &[name]));
    let of_prompt = details(["prompt_tokens_details", "prompt_token_details", "input_tokens_details", "input_token_details"]);
    let of_completion = details(["completion_tokens_details", "completion_token_details", "output_tokens_details", "output_token_details"]);
    let prompt_detail = |name: &str| detail(&of_prompt, name);
    let completion_detail = |name: &str| detail(&of_completion, name);

    // The same number under another name is not another one, and a zero under one name says nothing against it.
    let elsewhere = ["cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens", "num_cached_tokens", "timings.cache_n"];
    let elsewhere = elsewhere.iter().filter_map(|name| count(usage, &[name])).find(|count| *count > 0);
    let cached = prompt_detail("cached_tokens").filter(|count| *count > 0).or(elsewhere).unwrap_or(0);
    let writes = cache_writes(usage, model);
    let audio = prompt_detail("audio_tokens").unwrap_or(0);
    let reasoning = completion_detail("reasoning_tokens").or_else(|| count(usage, &["reasoning_tokens"])).unwrap_or(0);

    let beside_prompt = cached.saturating_add(writes.cache_writes());
    let grok_on_azure = provider.starts_with("azure") && model.contains("grok");
    let uncached = if grok_on_azure { prompt } else { prompt.checked_sub(beside_prompt).unwrap_or(prompt) };
    // Mistral's connectors read beside the prompt, and the total says so (docs.mistral.ai, conversations, `usage`).
    let connectors = count(usage, &["connector_tokens"]).filter(|count| *count > 0 && *count == beyond).unwrap_or(0);
    let (uncached, beyond) = (uncached.saturating_add(connectors), beyond - connectors);
    // Audio that is inside of the prompt is taken from what is uncached first: what is cached is text, unless the provider says otherwise.
    let cache_read_audio = prompt_detail("cached_tokens_details.audio_tokens").unwrap_or(0).min(cached).min(audio);
    let audio = audio - cache_read_audio;
    let audio_outside = audio > 0 && beyond == audio;
    let audio_uncached = if audio_outside { audio } else { audio.min(uncached) };

    let (output, reasoning) = if reasoning > 0 && beyond == reasoning {
        (completion.saturating_add(reasoning), reasoning)
    } else if counts_thoughts_in_total_only(provider, model) {
        (completion.saturating_add(beyond), reasoning.max(beyond))
    } else {
        (completion, reasoning)
    };
    let output_audio = completion_detail("audio_tokens").unwrap_or(0).min(output);
    let input = if audio_outside { uncached } else { uncached - audio_uncached };
    // Models that look at pictures bill them as text; models that make pictures do not.
    let pictures = makes_pictures(said);
    // Only who talks in real time has a rate of its own for what it is shown.
    let shown = prompt_detail("image_tokens").filter(|_| pictures || model.contains("realtime")).unwrap_or(0);
    let input_image = shown.saturating_sub(prompt_detail("cached_tokens_details.image_tokens").unwrap_or(0)).min(input);
    let made = if pictures { completion_detail("image_tokens").unwrap_or(completion) } else { 0 };
    let output_image = made.min(output - output_audio);
    let tokens = Tokens {
        input: input - input_image,
        input_audio: audio_uncached,
        input_image,
        cache_read: cached - cache_read_audio,
        cache_read_audio,
        output: output - output_audio - output_image,
        output_audio,
        output_image,
        reasoning,
        ..writes
    };
    let searches = ["server_tool_use.web_search_requests", "server_side_tool_usage_details.web_search_calls"];
    let among_items = || said.get(TOOLS).and_then(|tools| count(tools, &["web_search"]));
    let counted = said.get("tool_usage").and_then(|tools| count(tools, &["web_search.num_requests"]));
    let searches = counted.or_else(|| count(usage, &searches)).or_else(among_items);
    Some(Reading {
        tokens,
        fees: Fees { web_search: said::pieces(searches), pieces },
        tier: if said.get(BATCH).is_some() { Some("batch") } else { said.text("service_tier").or_else(|| name(usage, "service_tier")) }
            .map(str::to_owned),
        geo: None,
        reported_cost: cost::reported(said, tokens.total()),
    })
}

/// What is billed by the piece: tools by their calls (platform.openai.com/docs/pricing; docs.x.ai, `server_side_tool_usage_details`), sounds
/// by the second or character, documents by the page, rankings by the search, and Perplexity's requests by the size of their search
/// context (docs.perplexity.ai, pricing).
fn pieces(said: &Said, usage: &Value, model: &str) -> Pieces {
    let tool = |name: &str| said.get(TOOLS).and_then(|tools| count(tools, &[name]));
    let of_xai = |name: &str| count(usage, &[&format!("server_side_tool_usage_details.{name}")]);
    let request = if model.contains("sonar") { name(usage, "search_context_size") } else { None };
    Pieces {
        file_search: said::pieces(
            tool("file_search").or_else(|| of_xai("document_search_calls")).or_else(|| of_xai("collections_search_calls")),
        ),
        code_execution: said::pieces(tool("code_execution").or_else(|| of_xai("code_interpreter_calls"))),
        x_search: said::pieces(of_xai("x_search_calls")),
        rerank_search: said::pieces(count(usage, &["search_units", "billed_units.search_units"])),
        page: said::pieces(count(usage, &["pages_processed"])),
        second: said::pieces(said::count_up(usage, "seconds")),
        character: said::pieces(count(usage, &["characters"])),
        request_low: u32::from(request == Some("low")),
        request_medium: u32::from(request == Some("medium")),
        request_high: u32::from(request == Some("high")),
        ..Pieces::default()
    }
}

/// Notes what was asked for, where the counting depends on it and the reply does not say it.
pub(super) fn note_kind(kind: Kind, said: &mut Said) {
    if kind == Kind::Pictures {
        said.set(PICTURES, Value::Bool(true));
    }
}

/// Whether the usage is that of a model that makes pictures.
fn makes_pictures(said: &Said) -> bool {
    said.text("model").is_some_and(|model| model.contains("image")) || said.get(PICTURES).is_some()
}

/// The pictures that a response had made by a tool: billed as calls of another model, and not part of the response's usage
/// (provider-usage, section 2.2, `tool_usage`). That model is not named, so it is not guessed.
pub(super) fn pictures(said: &Said) -> Option<(String, Said)> {
    let usage = said.get("tool_usage")?.get("image_gen")?;
    count(usage, &["total_tokens"]).filter(|total| *total > 0)?;
    let fields = [("usage".to_owned(), usage.clone()), (PICTURES.to_owned(), Value::Bool(true))];
    Some(("image_gen:0".to_owned(), Said::from(Map::from_iter(fields))))
}

/// Whether the provider shows some of its thoughts in the total only: Google's OpenAI-compatible surface, and xAI where it does not tell
/// its reasoning.
fn counts_thoughts_in_total_only(provider: &str, model: &str) -> bool {
    matches!(provider, "gemini" | "google" | "vertex" | "xai") || model.starts_with("gemini-") || model.starts_with("google/gemini-")
}

/// Cache writes by lifetime (provider-usage, section 2.2). Without a split they are of OpenAI's thirty minutes for OpenAI's own models,
/// and of a lifetime that nobody named for others.
fn cache_writes(usage: &Value, model: &str) -> Tokens {
    let details = ["prompt_tokens_details", "input_tokens_details"];
    let named = |name: &str| details.iter().find_map(|details| count(at(usage, details)?, &[name]));
    let all = named("cache_write_tokens").or_else(|| count(usage, &["cache_creation_input_tokens"])).unwrap_or(0);
    let cache_write_30m = named("cache_write_tokens_details.ttl_30m_tokens").unwrap_or(0);
    let cache_write_12h = named("cache_write_tokens_details.ttl_12h_tokens").unwrap_or(0);
    let cache_write_1h = count(usage, &["cache_creation.ephemeral_1h_input_tokens"]).unwrap_or(0);
    let split = cache_write_30m.saturating_add(cache_write_12h).saturating_add(cache_write_1h);
    let rest = all.saturating_sub(split);
    let of_openai = model.rsplit(['/', '.']).any(|part| part.starts_with("gpt-")) || model.contains("codex");
    let (cache_write_5m, cache_write_30m) = if of_openai { (0, cache_write_30m.saturating_add(rest)) } else { (rest, cache_write_30m) };
    Tokens { cache_write_5m, cache_write_30m, cache_write_1h, cache_write_12h, ..Tokens::default() }
}
