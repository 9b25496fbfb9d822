//! The text of a call, kept for as long as it may have to be counted here because nobody else counts it. Bounded, and gone with the call.

use crate::estimate;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// How much text is kept. Of more, as much again is taken to be like it.
const TEXT_BYTES_MAX: usize = 32 << 10;
/// What a message of a chat takes beside its words, and what begins the answer (OpenAI's cookbook, "How to count tokens with tiktoken").
/// The ends of its texts are counted with them.
const TOKENS_PER_MESSAGE: u64 = 2;
const TOKENS_BEFORE_ANSWER: u64 = 3;
/// Fields of a request whose texts a model reads.
const READ: [&str; 20] = [
    "messages",
    "input",
    "inputs",
    "prompt",
    "suffix",
    "system",
    "instructions",
    "tools",
    "functions",
    "content",
    "requests",
    // Google's, also within a request behind its login.
    "contents",
    "systemInstruction",
    "system_instruction",
    "request",
    "instances",
    // Of those who rank and embed, and of Cohere and Bedrock.
    "query",
    "documents",
    "texts",
    "message",
];
/// The fields among them whose elements are messages.
const MESSAGES: [&str; 3] = ["messages", "input", "contents"];
/// Fields below those whose texts are data: pictures, sounds, files.
const DATA: [&str; 12] = [
    "image_url",
    "input_audio",
    "file",
    "file_data",
    "data",
    "image",
    "audio",
    "id",
    "encrypted_content",
    "bytes",
    "inlineData",
    "inline_data",
];

/// How deep the messages of a request are below the list of them.
const MESSAGE_DEPTH: usize = 1;

/// A text that grows by pieces.
#[derive(Default)]
pub(super) struct Prose {
    kept: String,
    bytes: u64,
    messages: u64,
}

impl Prose {
    pub(super) fn push(&mut self, text: &str) {
        self.bytes += text.len() as u64;
        let room = TEXT_BYTES_MAX.saturating_sub(self.kept.len()).min(text.len());
        let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.kept.push_str(&text[..end]);
    }

    /// The text of a JSON value: that of a string; what strings there are in anything else.
    pub(super) fn push_json(&mut self, raw: &RawValue) {
        // What cannot be read any further has been read so far.
        let _ = Strings { prose: self, depth: 0 }.deserialize(&mut serde_json::Deserializer::from_str(raw.get()));
    }

    /// What a model says in a whole reply: texts and the arguments of calls, without the names, ids and data beside them.
    pub(super) fn push_spoken(&mut self, raw: &RawValue) {
        // What cannot be read any further has been read so far.
        let _ = Spoken { prose: self, is_text: true }.deserialize(&mut serde_json::Deserializer::from_str(raw.get()));
    }

    /// Forgets the text.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        (self.bytes, self.messages) = (0, 0);
    }

    /// What a model reads of a request, of which so many bytes have come and these are kept.
    pub(super) fn of_request(kept: &[u8], bytes: u64) -> Prose {
        let mut prose = Prose::default();
        let _ = Fields(&mut prose).deserialize(&mut serde_json::Deserializer::from_slice(kept));
        if bytes > kept.len() as u64 {
            prose.bytes = prose.bytes.saturating_mul(bytes) / (kept.len() as u64).max(1);
        }
        prose
    }

    /// A text of so many bytes, of which these are kept.
    pub(super) fn of_text(kept: &[u8], bytes: u64) -> Prose {
        let mut prose = Prose::default();
        prose.push(&String::from_utf8_lossy(kept));
        prose.bytes = prose.bytes.max(bytes);
        prose
    }

    /// How many characters it has, of which a text that is too long to keep is taken to have as many as its beginning.
    pub(super) fn characters(&self) -> u64 {
        let kept = self.kept.trim_end_matches('\n').chars().count() as u64;
        if self.bytes > self.kept.len() as u64 { kept.saturating_mul(self.bytes) / (self.kept.len() as u64).max(1) } else { kept }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Its tokens for a model; those around the messages included.
    pub(super) fn tokens(&self, model: &str) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let counted = estimate::tokens(&self.kept).saturating_mul(self.bytes) / (self.kept.len() as u64).max(1);
        let around = if self.messages > 0 { TOKENS_BEFORE_ANSWER + TOKENS_PER_MESSAGE * self.messages } else { 0 };
        (counted + around).saturating_mul(estimate::percent(model)).div_ceil(100)
    }
}

/// Reads the fields of a request that count.
struct Fields<'p>(&'p mut Prose);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if !READ.contains(&&*key) {
                map.next_value::<serde::de::IgnoredAny>()?;
            } else if *key == *"tools" || *key == *"functions" {
                // A model reads the names of a schema as well, but it is given no JSON.
                let schema = map.next_value::<&RawValue>()?.get();
                self.0.push(&schema.replace(['"', '{', '}', '[', ']'], ""));
            } else {
                // The elements of these are messages, one below the list.
                let depth = usize::from(!MESSAGES.contains(&&*key)) * 2;
                map.next_value_seed(Strings { prose: &mut *self.0, depth })?;
            }
        }
        Ok(())
    }
}

/// Reads the strings of any value.
struct Strings<'p> {
    prose: &'p mut Prose,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Strings<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strings<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.depth == MESSAGE_DEPTH {
            self.prose.messages += 1;
        }
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if DATA.contains(&&*key) || *key == *"type" {
                map.next_value::<serde::de::IgnoredAny>()?;
            } else {
                map.next_value_seed(Strings { prose: &mut *self.prose, depth: self.depth + 1 })?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Strings { prose: &mut *self.prose, depth: self.depth + 1 })?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.prose.push(text);
        // Texts that stand apart are not one word.
        self.prose.push("\n");
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Fields of a reply whose texts a model said.
const SAID: [&str; 10] =
    ["text", "thinking", "content", "refusal", "reasoning", "reasoning_content", "summary", "name", "outputText", "generation"];
/// Fields of a reply whose strings a model said, at any depth.
const ARGUMENTS: [&str; 3] = ["arguments", "input", "args"];

/// Reads the strings of a reply that a model said.
struct Spoken<'p> {
    prose: &'p mut Prose,
    /// Whether a string that stands here was said.
    is_text: bool,
}

impl<'de> DeserializeSeed<'de> for Spoken<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Spoken<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if DATA.contains(&&*key) {
                map.next_value::<serde::de::IgnoredAny>()?;
            } else if ARGUMENTS.contains(&&*key) {
                map.next_value_seed(Strings { prose: &mut *self.prose, depth: MESSAGE_DEPTH + 1 })?;
            } else {
                map.next_value_seed(Spoken { prose: &mut *self.prose, is_text: SAID.contains(&&*key) })?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Spoken { prose: &mut *self.prose, is_text: self.is_text })?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.is_text && !text.is_empty() {
            self.prose.push(text);
            // Texts that stand apart are not one word.
            self.prose.push("\n");
        }
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// What the choices of a chat say: of a piece of a stream, or of a whole reply.
pub(super) fn choices(raw: &RawValue, prose: &mut Prose) {
    #[derive(serde::Deserialize)]
    struct Choice<'c> {
        #[serde(borrow)]
        delta: Option<Words<'c>>,
        #[serde(borrow)]
        message: Option<Words<'c>>,
        #[serde(borrow)]
        text: Option<&'c RawValue>,
    }
    #[derive(serde::Deserialize)]
    struct Words<'c> {
        #[serde(borrow)]
        content: Option<&'c RawValue>,
        #[serde(borrow)]
        reasoning_content: Option<&'c RawValue>,
        #[serde(borrow)]
        reasoning: Option<&'c RawValue>,
        #[serde(borrow)]
        refusal: Option<&'c RawValue>,
        #[serde(borrow)]
        tool_calls: Option<Vec<Call<'c>>>,
    }
    #[derive(serde::Deserialize)]
    struct Call<'c> {
        #[serde(borrow)]
        function: Option<Function<'c>>,
    }
    #[derive(serde::Deserialize)]
    struct Function<'c> {
        #[serde(borrow)]
        name: Option<&'c RawValue>,
        #[serde(borrow)]
        arguments: Option<&'c RawValue>,
    }
    let mut told = |raw: Option<&RawValue>| raw.into_iter().for_each(|raw| piece(raw, prose));
    let Ok(choices) = Vec::<Choice<'_>>::deserialize(&mut serde_json::Deserializer::from_str(raw.get())) else { return };
    for choice in choices {
        told(choice.text);
        for words in [choice.delta, choice.message].into_iter().flatten() {
            // Some servers say their reasons under both names.
            [words.content, words.reasoning_content.or(words.reasoning), words.refusal].into_iter().for_each(&mut told);
            for function in words.tool_calls.into_iter().flatten().filter_map(|call| call.function) {
                told(function.name);
                told(function.arguments);
            }
        }
    }
}

/// A piece of a text that goes on: nothing stands between it and the next.
pub(super) fn piece(raw: &RawValue, prose: &mut Prose) {
    match serde_json::from_str::<std::borrow::Cow<'_, str>>(raw.get()) {
        Ok(text) => prose.push(&text),
        Err(_) => prose.push_json(raw),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_its_messages_and_tools_without_pictures() {
        let request = r#"{"model":"gpt-4o","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"Hi"},{"type":"image_url","image_url":{"url":"data:xxxx"}}]}],"temperature":1,"tools":[{"type":"function"}]}"#;
        let prose = Prose::of_request(request.as_bytes(), request.len() as u64);
        assert_eq!((prose.kept.as_str(), prose.messages), ("system\nBe brief.\nuser\nHi\ntype:function", 2));
        let cut = Prose::of_request(&request.as_bytes()[..60], 600);
        assert!(cut.bytes > 60 && cut.kept.starts_with("system\n"), "{} {}", cut.bytes, cut.kept);
    }

    #[test]
    fn of_a_long_text_the_beginning_is_kept_and_all_is_counted() {
        let mut prose = Prose::default();
        (0..100_000).for_each(|_| prose.push("words äh "));
        assert!(prose.kept.len() <= TEXT_BYTES_MAX && prose.bytes == 1_000_000);
        let counted = prose.tokens("gpt-4o");
        assert!((199_000..202_000).contains(&counted), "{counted}");
    }

    #[test]
    fn choices_say_words_reasons_and_calls() {
        let raw = |json: &str| RawValue::from_string(json.to_owned()).expect("JSON");
        let mut prose = Prose::default();
        choices(
            &raw(
                r#"[{"delta":{"content":"He"}},{"delta":{"content":"ll\u0041o","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]"#,
            ),
            &mut prose,
        );
        choices(&raw(r#"[{"message":{"content":null,"reasoning":"so"}},{"text":" x"}]"#), &mut prose);
        choices(&raw(r#"{"no":"choices"}"#), &mut prose);
        assert_eq!(prose.kept, "HellAof{}so x");
    }
}
