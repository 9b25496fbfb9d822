//! A log that is folded: what was called long ago is summed, every total stays, and nothing is counted again.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use house::House;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Ten calls on each of some days, as Claude Code's log has them.
fn house() -> (House, PathBuf) {
    let mut house = House::new("zone = \"Europe/Berlin\"\n");
    house.set("TOLLBAR_NOW", "2026-11-22T12:00:00Z");
    let root = house.path("claude");
    fs::create_dir_all(root.join("projects/-home-dev-shop")).unwrap();
    let days = ["2024-02-01", "2024-10-30", "2024-10-31", "2024-11-02", "2025-06-01", "2026-11-21"];
    let lines =
        days.iter().flat_map(|day| (0..10).map(move |number| line(&format!("{day}-{number}"), &format!("{day}T10:0{number}:30.000Z"))));
    fs::write(root.join("projects/-home-dev-shop/session.jsonl"), lines.collect::<String>()).unwrap();
    assert_eq!(import(&house, &root)["entries"], 60);
    (house, root)
}

fn line(id: &str, at: &str) -> String {
    format!(
        r#"{{"parentUuid":null,"isSidechain":false,"cwd":"/home/dev/shop","sessionId":"s1","version":"2.1.1","gitBranch":"main","type":"assistant","uuid":"u-{id}","requestId":"req_{id}","timestamp":"{at}","message":{{"id":"msg_{id}","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[],"usage":{{"input_tokens":10,"cache_read_input_tokens":20000,"cache_creation_input_tokens":300,"output_tokens":70}}}}}}"#
    ) + "\n"
}

fn import(house: &House, root: &Path) -> Value {
    house.json(&["import", "--client", "claude-code", "--root", root.to_str().unwrap()])
}

fn fold(house: &House, how: &[&str]) -> Value {
    house.json(&[&["ledger", "fold", "--older-than", "24m"], how].concat())
}

/// What no folding may change.
fn totals(house: &House) -> Vec<Value> {
    let of = |by: &str| house.json(&["summary", "--by", by, "--since", "2024-01-01"]);
    let reprice = house.json(&["reprice", "--today", "--by", "day,model"]);
    [of("day,model,project"), of("client,device"), reprice, house.json(&["today"])].into()
}

fn journal(house: &House) -> BTreeMap<PathBuf, Vec<u8>> {
    let device = fs::read_to_string(house.path("data/device")).unwrap();
    let files = fs::read_dir(house.path("data/log/journal").join(device.trim())).unwrap();
    files.map(|file| file.unwrap().path()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_folding_says_what_is_lost_and_keeps_every_total() {
    let (house, root) = house();
    let (rows, before, bytes) = (house.rows(), totals(&house), journal(&house));

    let plan = fold(&house, &["--dry-run"]);
    assert_eq!((&plan["done"], &plan["calls"], &plan["entries_kept"]), (&false.into(), &20.into(), &40.into()), "{plan}");
    assert_eq!((house.rows(), journal(&house)), (rows.clone(), bytes.clone()), "a plan changes nothing");
    let asked = house.run(&["ledger", "fold", "--older-than", "2y"]);
    asked.fails_with("20 calls made a day and more before 2024-11-01 lose their single records: ids, sessions");
    assert!(
        asked.err.contains("KiB of the journal are freed. The journal as it is is not kept.") && asked.err.contains("--yes"),
        "{}",
        asked.err
    );
    assert_eq!((house.rows(), journal(&house)), (rows.clone(), bytes), "who is not sure changes nothing");

    let done = fold(&house, &["--yes"]);
    assert_eq!((&done["done"], &done["calls"], &done["summaries"]), (&true.into(), &20.into(), &2.into()), "{done}");
    assert_eq!(totals(&house), before);
    let sizes = journal(&house).values().map(Vec::len).sum::<usize>();
    assert_eq!(done["folded_bytes"], sizes);
    let folded = house.rows();
    let count = |rows: &[Value]| rows.iter().map(|row| row["calls"].as_u64().unwrap()).sum::<u64>();
    assert_eq!((folded.len(), count(&folded), count(&rows)), (42, 60, 60));
    assert_eq!((&folded[0]["summary"], &folded[0]["calls"], &folded[0]["session"]), (&true.into(), &10.into(), &Value::Null));
    assert_eq!(folded[2..], rows[20..], "younger calls stay to the letter");
    assert!(house.out(&["ledger", "verify"]).contains("verified"));

    // Their logs are still there, and read again; the day before the limit is known call by call.
    let again = import(&house, &root);
    assert_eq!((&again["entries"], &again["refused"]), (&0.into(), &20.into()), "{again}");
    let said = house.out(&["import", "--again", "--client", "claude-code", "--root", root.to_str().unwrap()]);
    assert!(said.contains("0 entries new, 20 calls not taken again"), "{said}");
    house.run(&["log", "--model", "gpt-5", "--input", "1", "--at", "2024-10-01T00:00:00Z"]).fails_with("may stand in a summary");
    assert!(house.out(&["ledger", "fold", "--older-than", "24m"]).contains("nothing is to be folded"));
    assert_eq!(totals(&house), before);
    assert!(!house.path("data/archive").exists());
}

#[test]
fn an_archive_is_kept_where_it_is_asked_for_and_adds_nothing_when_it_is_merged() {
    let (house, _) = house();
    let (rows, before) = (house.rows(), totals(&house));
    let done = fold(&house, &["--yes", "--keep-archive"]);
    let archive = done["archived"].as_str().unwrap();
    assert_eq!(archive, house.path("data/archive/log-2026-11-22").to_str().unwrap());
    let merged = house.json(&["ledger", "merge", archive]);
    assert_eq!((&merged["read"], &merged["entries"], &merged["refused"]), (&60.into(), &0.into(), &20.into()), "{merged}");
    assert_eq!(totals(&house), before);
    // In a log of its own everything is there again, and of a folded log's journal the single calls.
    let other = House::new("");
    assert_eq!(other.json(&["ledger", "merge", archive])["entries"], 60);
    assert_eq!(other.rows().len(), rows.len());
    let third = House::new("");
    let merged = third.json(&["ledger", "merge", house.path("data").to_str().unwrap()]);
    assert_eq!((&merged["entries"], &merged["summarised"]), (&40.into(), &20.into()), "{merged}");
}

#[test]
fn a_running_engine_is_not_folded_under_its_feet_and_folds_at_its_start_where_it_is_told_to() {
    let (mut house, root) = house();
    let before = totals(&house);
    house.start();
    house.run(&["ledger", "fold", "--older-than", "24m", "--yes"]).fails_with("the engine runs");
    assert_eq!(house.rows().len(), 60, "it does nothing by itself");
    house.stop();
    house.configure("zone = \"Europe/Berlin\"\nledger.fold_after_months = 24\n");
    house.start();
    assert_eq!((house.rows().len(), totals(&house)), (42, before.clone()));
    assert_eq!(import(&house, &root)["refused"], 20);
    house.stop();
    let bytes = journal(&house);
    house.start();
    house.stop();
    assert_eq!(journal(&house), bytes, "once a month is enough");
    // Two months later the calls around the first of November are old as well, and those of June are still young.
    house.set("TOLLBAR_NOW", "2027-01-22T12:00:00Z");
    house.start();
    assert_eq!((house.rows().len(), &totals(&house)[0]["rows"]), (24, &before[0]["rows"]));
    house.stop();
    let left = fs::read_dir(house.path("data/log")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(!left.into_iter().any(|name| name.starts_with("folded")));
}
