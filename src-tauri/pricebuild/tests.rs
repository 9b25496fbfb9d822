use super::*;
use crate::priceupdate::Folder;
use std::{fs, path::PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The data sets; `None` where there are none.
fn data() -> Option<Folder> {
    let folder = std::env::var_os("TOLLBAR_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from).join("prices");
    let read = Folder::read(&folder);
    if let Err(cause) = &read {
        println!("skipped: no price data at {}: {cause}", folder.display());
    }
    read.ok()
}

#[test]
fn the_bundled_book_is_what_the_data_sets_make() {
    let Some(data) = data() else { return };
    let built = build(&data.sets(), None).expect("the data sets make a book");
    let path = root().join("events/prices/book.json");
    if std::env::var_os("UPDATE_BOOK").is_some() {
        fs::write(&path, &built.json).expect("the book can be written");
        let id = PriceBook::from_json(built.json.as_bytes()).expect("a book").id().to_owned();
        fs::write(path.with_extension("sha256"), id + "\n").expect("the hash can be written");
    }
    built.disagreements.iter().for_each(|disagreement| println!("{disagreement}"));
    built.refused.iter().for_each(|row| println!("refused: {row}"));
    println!("{} rows, {} bytes, {} disagreements", built.json.lines().count(), built.json.len(), built.disagreements.len());
    let bundled = fs::read_to_string(&path).expect("the bundled book is part of the source");
    let differs = bundled.lines().zip(built.json.lines()).find(|(bundled, built)| bundled != built);
    assert!(bundled == built.json, "the bundled book was edited, or the sets changed (UPDATE_BOOK=1 writes it anew): {differs:?}");
    let earlier = PriceBook::from_json(built.json.as_bytes()).expect("a book");
    let again = build(&data.sets(), Some(&earlier)).expect("the data sets make a book");
    assert!(again.retired == 0 && again.json == bundled, "made again on top of itself it is the same");
}

/// Four small sets, with a model that the bundled book does not know in some of them.
fn small_sets(new: [bool; 4]) -> [String; 4] {
    let [genai, labs, litellm, catalogue] = new;
    let all = |known: &str, new: &str, has: bool| if has { format!("{known},{new}") } else { known.to_owned() };
    let genai_model = |id: &str| {
        format!(
            r#"{{"id":"{id}","match":{{"equals":"{id}"}},"prices":{{"input_mtok":2,"cache_read_mtok":0.1,"cache_write_mtok":2.5,"output_mtok":10}}}}"#
        )
    };
    let step = r#"{"standard":[{"start":null,"rates":{"input":2,"output":10,"cache_read":0.1,"cache_write":2.5,"source":"https://openai.com/","valid_from":"2026-09-22T00:00:00Z","valid_from_basis":"documented"}}]}"#;
    let cost = r#"{"litellm_provider":"openai","mode":"chat","input_cost_per_token":2e-06,"output_cost_per_token":1e-05,"cache_read_input_token_cost":1e-07,"cache_creation_input_token_cost":2.5e-06}"#;
    let listed = r#"{"last_updated":"2026-11-30","cost":{"input":2,"output":10,"cache_read":0.1,"cache_write":2.5}}"#;
    let named = |id: &str, value: &str| format!(r#""{id}":{value}"#);
    [
        format!(
            r#"[{{"id":"openai","pricing_urls":["https://openai.com/"],"models":[{}]}}]"#,
            all(&genai_model("gpt-6-sol"), &genai_model("gpt-99-sol"), genai)
        ),
        format!(
            r#"{{"updated_at":"2026-11-30T00:00:00Z","prices":{{"openai":{{{}}}}},"schedules":{{"holidays":{{}},"schedule":[]}}}}"#,
            all(&named("gpt-6-sol", step), &named("gpt-99-sol", step), labs)
        ),
        format!("{{{}}}", all(&named("gpt-6-sol", cost), &named("gpt-99-sol", cost), litellm)),
        format!(r#"{{"openai":{{"models":{{{}}}}}}}"#, all(&named("gpt-6-sol", listed), &named("gpt-99-sol", listed), catalogue)),
    ]
}

#[test]
fn a_new_model_is_learnt_from_whichever_set_has_it() {
    for nth in 0..4 {
        let mut new = [false; 4];
        new[nth] = true;
        let [genai, model_prices, litellm, models_dev] = small_sets(new);
        let sets = Sets {
            genai: genai.as_bytes(),
            model_prices: model_prices.as_bytes(),
            litellm: litellm.as_bytes(),
            models_dev: models_dev.as_bytes(),
        };
        let earlier = PriceBook::bundled();
        let built = build(&sets, Some(earlier)).expect("the sets make a book");
        let book = PriceBook::from_json(built.json.as_bytes()).expect("a book");
        let usage = events::Usage {
            provider: "openai".into(),
            model: Some("gpt-99-sol".into()),
            tokens: events::Tokens { input: 1_000_000, ..events::Tokens::default() },
            certainty: events::Certainty::Reported,
            ..events::Usage::default()
        };
        let at = events::Timestamp::parse("2026-12-01T00:00:00Z").expect("a time");
        assert_eq!(earlier.cost(&usage, at).usd(), None, "the bundled book does not know it");
        let cost = book.cost(&events::Usage { requests: Some(0), ..usage }, at).usd();
        assert_eq!(cost, "2".parse().ok(), "set {nth}");
    }
}
