//! The meter over recorded exchanges with many providers, against their usage as computed independently.
//!
//! The recordings are read in place, from `TOLLBAR_DATA`, and are not part of this repository.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use base64::{Engine, prelude::BASE64_STANDARD};
use events::{CallUuid, Certainty, Sighting, Source, Timestamp, Tokens, Usage, Usd};
use serde_json::Value;
use std::{collections::BTreeMap, io::Read, path::PathBuf};
use tollbar_app::{
    meter::{Call, Ending, Meter},
    remeter,
};

/// Every so many exchanges are replayed byte by byte, and compressed.
const SAMPLE: usize = 11;

struct Exchange(Value);

impl Exchange {
    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    fn bytes(&self, field: &str) -> Vec<u8> {
        match self.text(&format!("{field}_encoding")) {
            "base64" => BASE64_STANDARD.decode(self.text(field)).unwrap(),
            _ => self.text(field).as_bytes().to_vec(),
        }
    }

    /// The sightings of the exchange, its reply in pieces of such a size, under such an encoding. `None`: nothing billable can come of it.
    fn sightings(&self, reply: &[u8], encoding: &str, piece_bytes: usize) -> Option<Vec<Sighting>> {
        self.ended(reply, encoding, piece_bytes, Ending::Complete)
    }

    fn ended(&self, reply: &[u8], encoding: &str, piece_bytes: usize, ending: Ending) -> Option<Vec<Sighting>> {
        let call = Call {
            provider: self.text("provider"),
            method: self.text("method"),
            path: self.text("path"),
            // The recordings hold bodies decoded.
            encoding: None,
            websocket: self.text("transport") == "websocket",
            at: Timestamp::from_secs(1),
            uuid: CallUuid(1),
            source: Source::Proxy,
        };
        let mut meter = Meter::start(&call)?;
        if call.websocket {
            return Some(self.conversation(meter, reply, piece_bytes));
        }
        let request = self.bytes("request_body");
        request.chunks(piece_bytes.max(1)).for_each(|piece| meter.request(piece));
        let status = u16::try_from(self.0["status"].as_u64().unwrap_or(200)).unwrap();
        meter.head(status, |name| match name {
            "content-encoding" => Some(encoding),
            name => self.0["response_headers"][name].as_str(),
        });
        reply.chunks(piece_bytes.max(1)).for_each(|piece| meter.reply(piece));
        Some(meter.finish(ending, Timestamp::from_secs(2)))
    }

    /// The recordings hold the messages of a WebSocket, one a line. They come as frames, the client's masked.
    fn conversation(&self, mut meter: Meter, reply: &[u8], piece_bytes: usize) -> Vec<Sighting> {
        meter.head(101, |_| None);
        let frames = |body: &[u8], mask: Option<[u8; 4]>| -> Vec<u8> {
            body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).flat_map(|line| frame(line, mask)).collect()
        };
        frames(&self.bytes("request_body"), Some([7, 0, 200, 1])).chunks(piece_bytes.max(1)).for_each(|piece| meter.request(piece));
        let mut sightings = Vec::new();
        for piece in frames(reply, None).chunks(piece_bytes.max(1)) {
            meter.reply(piece);
            sightings.extend(meter.settled(Timestamp::from_secs(2)));
        }
        sightings.extend(meter.finish(Ending::Complete, Timestamp::from_secs(2)));
        sightings
    }

    /// What is wrong with the sightings, if anything.
    fn fault(&self, sightings: Option<&[Sighting]>) -> Option<String> {
        let expected = &self.0["expected"];
        let count = |name: &str| expected[name].as_u64().unwrap_or(0);
        let tokens_of = |sighting: &Sighting| sighting.usage.tokens;
        let sightings = sightings.unwrap_or_default();
        // The computed figures pass over Google's batches. Their answers are billed, at half the price
        // (ai.google.dev/gemini-api/docs/batch-api), and each has its usage within.
        let results_within = self.text("provider") == "gemini" && self.text("path").contains("/batches/");
        if expected["has_usage"] != true && results_within {
            return sightings
                .iter()
                .find(|it| it.usage.tier.as_deref() != Some("batch") || it.usage.carried.is_some() || it.usage.tokens.total() == 0)
                .map(|it| format!("no result of a batch: {:?}", it.usage));
        }
        if expected["has_usage"] != true {
            // The computed figures pass over rankings, which are billed: Voyage's by tokens (docs.voyageai.com/docs/pricing), and OpenRouter
            // names the cost. What nobody counted is estimated, and says so.
            return sightings
                .iter()
                .filter(|sighting| sighting.usage.certainty != Certainty::Estimated && self.text("surface") != "rerank")
                .map(tokens_of)
                .find(|tokens| tokens.total() > 0)
                .map(|tokens| format!("usage from nowhere: {tokens:?}"));
        }
        let of_model = |it: &&Sighting| !it.usage.call_id.as_deref().is_some_and(|id| id.contains(":transcription:"));
        let Some(Sighting { usage, .. }) = sightings.iter().find(of_model) else { return Some("not seen".to_owned()) };
        let mut tokens = usage.tokens;
        // Many calls; what was dictated to a model is written down by another one, and billed apart.
        if self.text("surface") == "anthropic.batch_results" || self.text("transport") == "websocket" {
            tokens = Tokens::default();
            sightings.iter().filter(of_model).map(tokens_of).for_each(|more| tokens.add(&more));
        }
        let found = [
            ("input_uncached", tokens.input + tokens.input_image + inside_prompt(&tokens, count("input_uncached"))),
            ("cache_read", tokens.cache_read + tokens.cache_read_audio),
            ("cache_write_5m", tokens.cache_write_5m + tokens.cache_write_30m),
            ("cache_write_1h", tokens.cache_write_1h + tokens.cache_write_12h),
            ("output", tokens.produced()),
            ("reasoning", tokens.reasoning),
        ];
        // Reasoning is information. The computed figures leave it out where a conversation reports it (`output_token_details`).
        let told_apart = |name: &str| name == "reasoning" && self.text("surface") == "openai.realtime";
        // The computed figures take zeros for a count. Beside an answer they are none, and are estimated instead.
        let prompt = ["input_uncached", "cache_read", "cache_write_5m", "cache_write_1h"].map(count).iter().sum::<u64>();
        let uncounted =
            |name: &str| usage.certainty == Certainty::Estimated && count(name) == 0 && if name == "output" { true } else { prompt == 0 };
        let is_estimated = found.iter().any(|(name, found)| *found > 0 && uncounted(name));
        let wrong = found.iter().find(|(name, found)| *found != count(name) && !told_apart(name) && !uncounted(name));
        if let Some((name, found)) = wrong {
            return Some(format!("{name}: {found}, not {}", count(name)));
        }
        let named = |field: &str| expected[field].as_str().filter(|name| !name.is_empty());
        let model = named("model").or(named("request_model"));
        if model.is_some() && usage.model.as_deref() != model {
            return Some(format!("model: {:?}, not {model:?}", usage.model));
        }
        // Pages are billed, not tokens, and the ledger has no price for them: what it cost is not known, rather than nothing.
        // So are seconds and searches.
        let by_other_measure = ["pages_processed", "seconds", "search_units"].iter().any(|measure| expected["extras"][measure].is_number());
        if by_other_measure && usage.certainty == Certainty::Unknown {
            return None;
        }
        if is_estimated {
            println!("{}: {:?} estimated beside zeros", self.text("id"), usage.tokens);
        }
        if usage.certainty != Certainty::Reported && !is_estimated && !self.text("body_fidelity").contains("truncated") {
            return Some(format!("certainty: {:?}", usage.certainty));
        }
        self.fault_beside_the_tokens(usage, &tokens)
    }

    /// What is wrong with what was said beside the counts of tokens: names, tools, how it was served, what was heard and seen.
    fn fault_beside_the_tokens(&self, usage: &Usage, tokens: &Tokens) -> Option<String> {
        let (expected, extras) = (&self.0["expected"], &self.0["expected"]["extras"]);
        let named = |field: &str| expected[field].as_str().filter(|name| !name.is_empty());
        let (model, asked) = (named("model"), named("request_model"));
        let other = asked.filter(|asked| model.is_some_and(|model| model != *asked));
        if asked.is_some() && usage.request_model.as_deref() != other {
            return Some(format!("request model: {:?}, not {other:?}", usage.request_model));
        }
        let searches = ["/web_search_requests", "/tool_usage/web_search/num_requests", "/server_side_tool_usage_details/web_search_calls"];
        let counted = searches.iter().find_map(|path| extras.pointer(path)?.as_u64());
        // The computed figures pass over searches that only the items of the output and the metadata of candidates tell of.
        let body = String::from_utf8_lossy(&self.bytes("response_body")).into_owned();
        let told_by_items = counted.is_none() && ["web_search_call", "webSearchQueries"].iter().any(|word| body.contains(word));
        if told_by_items && usage.fees.web_search > 0 {
            println!("{} {}: {} searches by items", self.text("id"), self.text("surface"), usage.fees.web_search);
        }
        let searches = counted.unwrap_or(if told_by_items { usage.fees.web_search.into() } else { 0 });
        if u64::from(usage.fees.web_search) != searches {
            return Some(format!("web searches: {}, not {searches}", usage.fees.web_search));
        }
        let tier = extras["service_tier"].as_str().or(extras["traffic_type"].as_str());
        if tier.is_some() && usage.tier.as_deref() != tier {
            return Some(format!("tier: {:?}, not {tier:?}", usage.tier));
        }
        let geo = extras["inference_geo"].as_str().filter(|geo| !["global", "not_available"].contains(geo));
        if usage.geo.as_deref() != geo {
            return Some(format!("region: {:?}, not {geo:?}", usage.geo));
        }
        // Pictures that are looked at are text in all that bill them as such; conversations are summed by turns.
        let sum = |name: &str, in_turn: &[&str]| match extras["turns"].as_array() {
            Some(turns) => turns.iter().filter_map(|turn| in_turn.iter().find_map(|path| turn.pointer(path)?.as_u64())).sum(),
            None => extras[name].as_u64().unwrap_or(0),
        };
        let of_media = [
            ("audio_in", sum("audio_in", &["/audio_in", "/extras/audio_in"]), tokens.input_audio + tokens.cache_read_audio),
            ("audio_out", sum("audio_out", &["/audio_out", "/extras/audio_out"]), tokens.output_audio),
            ("image_out", sum("image_out", &["/image_out", "/extras/image_out"]), tokens.output_image),
        ];
        let wrong = of_media.iter().find(|(_, counted, found)| counted != found);
        wrong.map(|(name, counted, found)| format!("{name}: {found}, not {counted}"))
    }
}

/// Audio is a class of its own here, and part of the prompt in the recordings, except where the provider counts it beside the prompt.
fn inside_prompt(tokens: &Tokens, input_uncached: u64) -> u64 {
    if tokens.input == input_uncached { 0 } else { tokens.input_audio }
}

/// A message as one frame of a WebSocket.
fn frame(message: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![0x81];
    match u16::try_from(message.len()) {
        Ok(length) if length < 126 => bytes.push(masked | u8::try_from(length).unwrap()),
        Ok(length) => {
            bytes.push(masked | 126);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(masked | 127);
            bytes.extend((message.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(mask.iter().flatten());
    let mask = mask.unwrap_or_default();
    bytes.extend(message.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn recordings() -> Option<Vec<Exchange>> {
    let home = std::env::var_os("TOLLBAR_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let folder = home.join("traffic");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: no recordings at {}", folder.display());
        return None;
    };
    let mut paths: Vec<PathBuf> =
        files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|it| it == "jsonl")).collect();
    paths.sort();
    let lines = paths.iter().map(|path| std::fs::read_to_string(path).unwrap());
    Some(lines.flat_map(|text| text.lines().map(|line| Exchange(serde_json::from_str(line).unwrap())).collect::<Vec<_>>()).collect())
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzEncoder::new(body, flate2::Compression::fast()).read_to_end(&mut out).unwrap();
    out
}

#[test]
fn recorded_calls_are_metered_as_computed_independently() {
    let Some(exchanges) = recordings() else { return };
    let mut score: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    let mut faults = Vec::new();
    for exchange in &exchanges {
        if exchange.0["expected"]["ambiguous"] == true {
            continue;
        }
        let (provider, surface) = (exchange.text("provider"), exchange.text("surface"));
        let fault = exchange.fault(exchange.sightings(&exchange.bytes("response_body"), "identity", usize::MAX).as_deref());
        let (right, all) = score.entry((provider, surface)).or_default();
        *all += 1;
        match fault {
            None => *right += 1,
            Some(fault) => faults.push(format!("{} {provider} {surface}: {fault}", exchange.text("id"))),
        }
    }
    for ((provider, surface), (right, all)) in &score {
        println!("{} {provider:20} {surface:28} {right:4} of {all:4}", if right == all { ' ' } else { '!' });
    }
    let (right, all) = score.values().fold((0, 0), |sum, (right, all)| (sum.0 + right, sum.1 + all));
    println!("{right} of {all} exchanges");
    assert_eq!(faults, [] as [String; 0], "every exchange is right");
}

#[test]
fn pieces_and_compression_change_nothing() {
    let Some(exchanges) = recordings() else { return };
    let (mut replayed, mut streams) = (0, 0);
    for exchange in exchanges.iter().step_by(SAMPLE) {
        let body = exchange.bytes("response_body");
        let Some(whole) = exchange.sightings(&body, "identity", usize::MAX) else { continue };
        let id = exchange.text("id");
        assert!(exchange.sightings(&body, "identity", 1).as_ref() == Some(&whole), "{id} byte by byte");
        if exchange.text("transport") == "http" {
            let packed = gzip(&body);
            assert!(exchange.sightings(&packed, "gzip", 61).as_ref() == Some(&whole), "{id} compressed, in pieces");
        }
        if exchange.text("stream_kind") == "sse" {
            let lines = String::from_utf8_lossy(&body).replace("\r\n", "\n").replace('\n', "\r\n");
            assert!(exchange.sightings(lines.as_bytes(), "identity", 1000).as_ref() == Some(&whole), "{id} with other line ends");
            streams += 1;
        }
        replayed += 1;
    }
    println!("{replayed} exchanges, {streams} of them streams");
}

#[test]
fn a_cut_reply_is_not_taken_for_a_whole_one() {
    let Some(exchanges) = recordings() else { return };
    let (mut known_in_part, mut unknown) = (0, 0);
    for exchange in exchanges.iter().step_by(SAMPLE) {
        let body = exchange.bytes("response_body");
        let Some(whole) = exchange.sightings(&body, "identity", usize::MAX) else { continue };
        for part in 1..8 {
            let cut = exchange.ended(&body[..body.len() * part / 8], "identity", usize::MAX, Ending::UpstreamCut).unwrap();
            // Some recordings join several streams; of those, a part tells of another call.
            let pairs = cut.iter().zip(&whole).filter(|(cut, whole)| cut.usage.call_id == whole.usage.call_id);
            for (cut, whole) in pairs {
                match cut.usage.certainty {
                    Certainty::Reported => assert_eq!(cut.usage.tokens, whole.usage.tokens, "{} cut at {part}/8", exchange.text("id")),
                    Certainty::Partial => known_in_part += 1,
                    Certainty::Estimated | Certainty::Unknown => unknown += 1,
                }
            }
        }
    }
    println!("cut: {known_in_part} known in part, {unknown} unknown");
}

#[test]
fn the_cost_that_a_provider_reports_is_kept_to_the_last_digit() {
    let Some(exchanges) = recordings() else { return };
    let (mut right, mut all) = (0, 0);
    for exchange in &exchanges {
        let reported = &exchange.0["expected"]["extras"]["provider_cost_usd"];
        let own_key = exchange.0["expected"]["extras"]["is_byok"] == true;
        let Some(sightings) = exchange.sightings(&exchange.bytes("response_body"), "identity", usize::MAX) else { continue };
        if own_key || !reported.is_number() || reported.as_f64() == Some(0.0) || sightings.is_empty() {
            continue;
        }
        all += 1;
        let found = sightings[0].usage.reported_cost;
        let expected: Usd = reported.to_string().parse().unwrap();
        if found == Some(expected) { right += 1 } else { println!("{}: {found:?}, not {expected}", exchange.text("id")) }
    }
    println!("{right} of {all} reported costs");
    assert_eq!(right, all);
}

#[test]
fn what_is_billed_beside_the_message_is_seen_apart() {
    let Some(exchanges) = recordings() else { return };
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for exchange in exchanges.iter().filter(|exchange| exchange.0["expected"]["extras"]["iterations"].is_array()) {
        let iterations = exchange.0["expected"]["extras"]["iterations"].as_array().unwrap();
        let apart: Vec<&Value> =
            iterations.iter().filter(|it| ["advisor_message", "compaction"].contains(&it["type"].as_str().unwrap())).collect();
        let sightings = exchange.sightings(&exchange.bytes("response_body"), "identity", usize::MAX).unwrap();
        let within: Vec<&Usage> = sightings[1..].iter().map(|sighting| &*sighting.usage).collect();
        assert_eq!(within.len(), apart.len(), "{}", exchange.text("id"));
        for (usage, iteration) in within.iter().zip(apart) {
            let counts = (Some(usage.tokens.input), Some(usage.tokens.output));
            assert_eq!(counts, (iteration["input_tokens"].as_u64(), iteration["output_tokens"].as_u64()));
            assert!(usage.call_id.as_deref().unwrap().starts_with(sightings[0].usage.call_id.as_deref().unwrap()));
            if let Some(model) = iteration["model"].as_str() {
                assert_eq!(usage.model.as_deref(), Some(model));
            }
            *seen.entry(iteration["type"].to_string()).or_default() += 1;
        }
    }
    println!("{seen:?}");
}

#[test]
fn metered_again_a_call_is_what_it_was_and_one_that_was_metered_wrongly_is_corrected() {
    let Some(exchanges) = recordings() else { return };
    let (mut again, mut unread) = (BTreeMap::<Certainty, usize>::new(), BTreeMap::<&str, usize>::new());
    for exchange in &exchanges {
        let body = exchange.bytes("response_body");
        let endings = [(&body[..], Ending::Complete), (&body[..body.len() / 2], Ending::UpstreamCut)];
        for Sighting { usage, said } in
            endings.into_iter().filter_map(|(body, ending)| exchange.ended(body, "identity", usize::MAX, ending)).flatten()
        {
            let Some(said) = said else {
                assert_eq!(usage.certainty, Certainty::Unknown, "{}: what was said is kept", exchange.text("id"));
                *unread.entry("said nothing").or_default() += 1;
                continue;
            };
            let Some(now) = remeter::again(&usage, &said) else {
                assert_eq!(usage.certainty, Certainty::Unknown, "{}", exchange.text("id"));
                *unread.entry("counted nothing").or_default() += 1;
                continue;
            };
            assert_eq!(now, *usage, "{}", exchange.text("id"));
            *again.entry(usage.certainty).or_default() += 1;
            // As a meter would leave it that takes what was cached for part of the input, and knows no tier, fee or reported cost.
            let tokens = Tokens { input: usage.tokens.input + usage.tokens.cache_read, output_audio: 7, ..usage.tokens };
            let wrong = Usage { tokens, tier: None, fees: Default::default(), reported_cost: None, ..Usage::clone(&usage) };
            assert_eq!(remeter::again(&wrong, &said).as_ref(), Some(&*usage), "{}", exchange.text("id"));
        }
    }
    println!("sightings that are what they were, and corrected where they were not: {again:?}; not metered again: {unread:?}");
}
