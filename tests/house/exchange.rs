//! Recorded exchanges with providers, read in place from `TOLLBAR_DATA`. They are not part of this repository.

use super::recordings;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

pub struct Exchange {
    pub facts: Value,
    pub reply: Vec<u8>,
}

impl Exchange {
    pub fn text(&self, field: &str) -> &str {
        self.facts[field].as_str().unwrap_or_default()
    }

    pub fn status(&self) -> u64 {
        self.facts["status"].as_u64().unwrap_or(200)
    }

    pub fn bytes(facts: &Value, field: &str) -> Vec<u8> {
        let text = facts[field].as_str().unwrap_or_default();
        match facts[format!("{field}_encoding")].as_str() {
            Some("base64") => BASE64_STANDARD.decode(text).unwrap(),
            _ => text.as_bytes().to_vec(),
        }
    }

    /// Recorded headers that a peer may repeat, without those that this replay decides.
    pub fn recorded(&self, field: &str) -> Vec<(&str, &str)> {
        const DECIDED: [&str; 9] = [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "keep-alive",
            "content-encoding",
            "expect",
            "upgrade",
            "proxy-connection",
        ];
        let all = self.facts[field].as_object().into_iter().flatten();
        all.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .filter(|(name, value)| !DECIDED.contains(name) && !name.starts_with(':') && !value.contains(['\r', '\n']))
            .collect()
    }

    /// The provider's id of what is fetched again when it is over: a run of an assistant, a response.
    pub fn fetched_id(&self) -> Option<String> {
        let over = self.text("method") == "GET" && self.facts["expected"]["has_usage"] == true;
        let reply: Value = serde_json::from_slice(&self.reply).ok().filter(|_| over)?;
        Some(reply["id"].as_str()?.to_owned())
    }

    /// What is wrong with the rows of this exchange, if anything.
    pub fn fault(&self, rows: &[&Value]) -> Option<String> {
        let expected = &self.facts["expected"];
        let tokens = |row: &Value| ["input", "cache_read", "cache_write_5m", "cache_write_1h", "output"].map(|class| count(row, class));
        // A batch's results are fetched, not asked for: they are billed once, however often they are fetched.
        let batch = self.text("surface") == "anthropic.batch_results";
        // The computed figures pass over Google's batches, whose answers are billed (ai.google.dev/gemini-api/docs/batch-api).
        if self.text("provider") == "gemini" && self.text("path").contains("/batches/") {
            return rows.iter().find(|row| row["tier"] != "batch").map(|row| format!("no result of a batch: {row}"));
        }
        if expected["has_usage"] != true || expected["billable"] == false && !batch {
            // What nobody counted is estimated, and says so.
            // The computed figures pass over rankings, which are billed by tokens (docs.voyageai.com/docs/pricing).
            let counted = rows.iter().filter(|row| row["estimated"] == false && self.text("surface") != "rerank");
            let counted = counted.into_iter().find(|row| tokens(row).iter().sum::<u64>() > 0);
            return counted.map(|row| format!("usage from nowhere: {:?}", tokens(row)));
        }
        let beside = |row: &Value| row["call_id"].as_str().is_some_and(|id| [":advisor:", ":compaction:"].iter().any(|it| id.contains(it)));
        let main: Vec<&&Value> = rows.iter().filter(|row| !beside(row)).collect();
        let sum = |class: &str| main.iter().map(|row| count(row, class)).sum::<u64>();
        if main.is_empty() || main.len() > 1 && !batch {
            return Some(format!("{} rows", main.len()));
        }
        // A count of zero beside an answer is a placeholder: the class is estimated, and the row says so.
        let is_estimated = main.iter().any(|row| row["certainty"] == "estimated");
        let is_placeholder = |count: u64| is_estimated && count == 0;
        // Audio is input here; some recordings count it beside the prompt.
        let audio = expected["extras"]["audio_in"].as_u64().unwrap_or(0);
        let input = count(expected, "input_uncached");
        if sum("input") != input && sum("input") != input + audio && !is_placeholder(input) {
            return Some(format!("input: {}, not {input}", sum("input")));
        }
        let others = ["cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning"];
        if let Some(class) = others.iter().find(|class| sum(class) != count(expected, class) && !is_placeholder(count(expected, class))) {
            return Some(format!("{class}: {}, not {}", sum(class), count(expected, class)));
        }
        let named = |field: &str| expected[field].as_str().filter(|name| !name.is_empty());
        let model = named("model").or(named("request_model"));
        if model.is_some() && main[0]["model"].as_str() != model {
            return Some(format!("model: {}, not {model:?}", main[0]["model"]));
        }
        // Pages and searches are counted as pieces where the reply has their number, and unknown otherwise.
        let by_other_measure = ["pages_processed", "search_units"].iter().any(|measure| expected["extras"][measure].is_u64());
        let certainty = &main[0]["certainty"];
        let is_known =
            certainty == "reported" || (by_other_measure && certainty == "unknown") || is_placeholder(input.min(count(expected, "output")));
        (!is_known).then(|| format!("certainty: {certainty}"))
    }
}

pub fn count(row: &Value, class: &str) -> u64 {
    row[class].as_u64().unwrap_or(0)
}

/// Every recorded exchange over HTTP. Some have ids in common, from careless servers and redacting recorders; they are calls of their own.
pub fn exchanges() -> Option<Vec<Exchange>> {
    let folder = recordings("traffic")?;
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "jsonl"));
    paths.sort();
    let texts = paths.iter().map(|path| std::fs::read_to_string(path).unwrap());
    let facts = texts.flat_map(|text| text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>());
    let exchanges = facts.map(|facts| Exchange { reply: Exchange::bytes(&facts, "response_body"), facts });
    Some(exchanges.filter(|exchange| exchange.text("transport") == "http").collect())
}
