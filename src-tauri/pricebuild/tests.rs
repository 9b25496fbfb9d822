use super::*;
use std::{fs, path::PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The book as the data sets make it; `None` where there are none.
fn built() -> Option<Built> {
    let data = std::env::var_os("TOLLBAR_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from).join("prices");
    let read = |name: &str| fs::read(data.join(name)).ok();
    let (Some(genai), Some(model_prices), Some(litellm)) =
        (read("genai-prices.json"), read("model-prices-snapshot.json"), read("litellm.json"))
    else {
        println!("skipped: no price data at {}", data.display());
        return None;
    };
    let overrides = fs::read(root().join("events/prices/overrides.json")).expect("the overrides are part of the source");
    let sets = Sets { genai: &genai, model_prices: &model_prices, litellm: &litellm, overrides: &overrides };
    Some(build(sets).expect("the data sets make a book"))
}

#[test]
fn the_bundled_book_is_what_the_data_sets_make() {
    let Some(built) = built() else { return };
    let path = root().join("events/prices/book.json");
    if std::env::var_os("UPDATE_BOOK").is_some() {
        fs::write(&path, &built.json).expect("the book can be written");
    }
    for Disagreement { provider, model, class, ours, theirs, set } in &built.disagreements {
        println!("{provider}/{model} {class}: {ours}, but {theirs} in {set}");
    }
    println!("{} rows, {} bytes, {} disagreements", built.json.lines().count(), built.json.len(), built.disagreements.len());
    let bundled = fs::read_to_string(&path).expect("the bundled book is part of the source");
    let differs = bundled.lines().zip(built.json.lines()).find(|(bundled, built)| bundled != built);
    assert!(bundled == built.json, "the bundled book was edited, or the sets changed (UPDATE_BOOK=1 writes it anew): {differs:?}");
}
