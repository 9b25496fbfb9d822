//! The price book as a whole program makes, updates and refuses it.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod house;

use house::House;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The data sets' folder; `None` where there is none.
fn data() -> Option<PathBuf> {
    let data =
        std::env::var_os("TOLLBAR_DATA").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let folder = data.join("prices");
    if !folder.exists() {
        println!("skipped: no price data at {}", folder.display());
        return None;
    }
    Some(folder)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The sets in a folder of the test's own, with one of them edited.
fn edited(house: &House, data: &Path, name: &str, edit: impl Fn(&str) -> String) -> PathBuf {
    let folder = house.path("sets");
    fs::create_dir_all(&folder).unwrap();
    for file in ["genai-prices.json", "model-prices-snapshot.json", "litellm.json", "models.dev-api.json.zst"] {
        if file == name {
            fs::write(folder.join(file), edit(&fs::read_to_string(data.join(file)).unwrap())).unwrap();
        } else {
            fs::copy(data.join(file), folder.join(file)).unwrap();
        }
    }
    folder
}

#[test]
fn a_book_is_built_with_a_report_of_what_the_sets_disagree_about() {
    let Some(data) = data() else { return };
    let house = House::new("");
    let out = house.path("book.json");
    let ran = house.run(&["prices", "build", "--from", text(&data), "--out", text(&out)]);
    assert_eq!((ran.status, ran.out.as_str()), (0, ""), "{}", ran.err);
    let bundled = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("events/prices/book.json")).unwrap();
    assert!(fs::read_to_string(&out).unwrap() == bundled, "it is the book that the program ships with");
    assert!(ran.err.contains("deepseek/deepseek-v4-pro input: 0.66 in model-prices, 0.435 in models.dev"), "{}", ran.err);
    assert!(ran.err.contains("left out, because it cannot be: azure/jais-30b-chat: 3200 dollars"), "{}", ran.err);
    let page = edited(&house, &data, "litellm.json", |_| "<!DOCTYPE html><html>Sign in</html>".into());
    let ran = house.run(&["prices", "build", "--from", text(&page)]);
    assert!(ran.status == 1 && ran.out.is_empty() && ran.err.contains("litellm is a web page (HTML), not data"), "{ran:?}");
    let ran = house.run(&["prices", "build", "--from", "/nowhere"]);
    assert!(ran.status == 1 && ran.err.contains("/nowhere/genai-prices.json"), "{ran:?}");
}

#[test]
fn newer_prices_are_shown_and_adopted_and_what_cannot_be_believed_is_refused() {
    let Some(data) = data() else { return };
    let house = House::new("");
    let update = |folder: &Path, more: &[&str]| house.run(&[&["prices", "update", "--from", text(folder)], more].concat());
    let ran = update(&data, &[]);
    assert!(ran.status == 0 && ran.out.contains("0 changed, 0 new") && ran.out.contains("nothing to adopt"), "{ran:?}");
    // One price is cut from today on.
    let input = |rate: u32| {
        move |text: &str| {
            let mut providers: serde_json::Value = serde_json::from_str(text).unwrap();
            let models = providers[0]["models"].as_array_mut().unwrap();
            let model = models.iter_mut().find(|model| model["id"] == "claude-opus-5-5").unwrap();
            assert_eq!(model["prices"]["input_mtok"], 4);
            model["prices"]["input_mtok"] = rate.into();
            providers.to_string()
        }
    };
    let folder = edited(&house, &data, "genai-prices.json", input(3));
    let ran = update(&folder, &["--dry-run"]);
    assert!(ran.status == 0 && ran.out.contains("anthropic/claude-opus-5-5: from ") && ran.out.contains("input 4 -> 3"), "{ran:?}");
    let ran = update(&folder, &[]);
    assert!(ran.status == 1 && ran.err.contains("give --yes to go on without asking"), "{ran:?}");
    // Adopted, it holds from today on, and not before; a second look finds nothing.
    let call = |id: &str, at: &str| {
        house.out(&["log", "--provider", "anthropic", "--model", "claude-opus-5-5", "--input", "1000000", "--call-id", id, "--at", at]);
    };
    call("before", "2026-10-20T00:00:00Z");
    let ran = update(&folder, &["--yes"]);
    assert!(ran.status == 0 && ran.out.ends_with("adopted\n"), "{ran:?}");
    call("after", "2099-01-01T00:00:00Z");
    let costs: Vec<String> = house.rows().iter().map(|row| row["cost_usd"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(costs, ["4.000000000000", "3.000000000000"]);
    let ran = update(&folder, &["--yes"]);
    assert!(ran.status == 0 && ran.out.contains("nothing to adopt"), "{ran:?}");
    // A slip of the point is marked, and needs a word.
    let ran = update(&edited(&house, &data, "genai-prices.json", input(400)), &[]);
    assert!(
        ran.status == 1 && ran.out.contains("! anthropic/claude-opus-5-5") && ran.err.contains("change by more than ten times"),
        "{ran:?}"
    );
    let ran = update(&edited(&house, &data, "genai-prices.json", input(4_000)), &["--yes"]);
    assert!(ran.status == 1 && ran.err.contains("a rate for input of 4000 dollars per million"), "{ran:?}");
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let ran = update(&edited(&house, &data, "genai-prices.json", cut), &["--yes"]);
    assert!(ran.status == 1 && ran.err.contains("cannot read genai-prices") && ran.err.contains("the book in force stays"), "{ran:?}");
}

#[test]
fn sources_are_fetched_from_where_the_configuration_says() {
    let Some(data) = data() else { return };
    let house = House::new("");
    let folder = edited(&house, &data, "genai-prices.json", str::to_owned);
    let catalogue = zstd::decode_all(&fs::read(folder.join("models.dev-api.json.zst")).unwrap()[..]).unwrap();
    fs::write(folder.join("models.dev-api.json"), catalogue).unwrap();
    let source = |set: &str, file: &str| format!("\"{set}\" = \"file://{}/{file}\"\n", folder.display());
    let sources = [
        source("genai-prices", "genai-prices.json"),
        source("model-prices", "model-prices-snapshot.json"),
        source("litellm", "litellm.json"),
        source("models.dev", "models.dev-api.json"),
    ];
    house.configure(&format!("[prices.sources]\n{}", sources.concat()));
    let ran = house.run(&["prices", "update"]);
    assert!(ran.status == 0 && ran.out.contains("nothing to adopt"), "{ran:?}");
    assert!(house.path("state/prices/litellm.json").exists());
    // Offline, all stays.
    house.configure("[prices.sources]\ngenai-prices = \"http://127.0.0.1:1/data.json\"\n");
    let ran = house.run(&["prices", "update"]);
    assert!(ran.status == 1 && ran.err.contains("cannot fetch genai-prices from http://127.0.0.1:1/data.json: nobody answers"), "{ran:?}");
    assert!(ran.err.contains("hint: the book in force stays"), "{ran:?}");
}
