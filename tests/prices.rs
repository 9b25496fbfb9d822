//! Prices as the user meets them: set, adopted, asked for and explained; what was said of the past stays said.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use house::House;
use serde_json::{Value, json};
use std::fs;

/// A home in which it is the 20th of November 2026.
fn home(config: &str) -> House {
    let mut house = House::new(config);
    house.set("TOLLBAR_NOW", "2026-11-20T12:00:00Z");
    house
}

/// The same home on another day.
fn on(house: &mut House, day: &str) {
    house.set("TOLLBAR_NOW", &format!("{day}T12:00:00Z"));
}

/// A call of a million tokens in and a million out.
fn call(house: &House, id: &str, model: &str, at: &str) {
    let arguments = ["log", "--model", model, "--input", "1000000", "--output", "1000000", "--call-id", id, "--at", at];
    house.out(&[&arguments[..], &["--provider", "openai"]].concat());
}

fn total(house: &House) -> (String, u64) {
    let total = house.json(&["summary"])["total"].clone();
    (total["usd"].as_str().unwrap().to_owned(), total["unpriced_calls"].as_u64().unwrap())
}

fn repriced(house: &House, how: &[&str]) -> Value {
    house.json(&[&["reprice"], how].concat())
}

fn now_usd(house: &House, how: &[&str]) -> String {
    repriced(house, how)["total"]["now_usd"].as_str().unwrap().to_owned()
}

fn journal_bytes(house: &House) -> u64 {
    house.json(&["ledger", "size"])["journal_bytes"].as_u64().unwrap()
}

#[test]
fn a_price_of_ones_own_is_set_listed_explained_and_taken_away() {
    let house = home("");
    call(&house, "a", "mine-1", "2026-11-01T10:00:00Z");
    assert_eq!(total(&house), ("0.000000000000".into(), 1));
    let missing = house.json(&["prices", "missing"]);
    assert_eq!((&missing["calls"], &missing["tokens"], &missing["rows"][0]["model"]), (&json!(1), &json!(2_000_000), &json!("mine-1")), "{missing}");
    house.run(&["prices", "set", "mine-1", "--input", "-3", "--output", "1"]).fails_with("-3");
    house.run(&["prices", "set", "mine-1", "--input", "30000", "--output", "1"]).fails_with("30000");
    house.run(&["prices", "set", "mine-1", "--input", "dear", "--output", "1"]).fails_with("dear");
    house.run(&["prices", "set", "mine-1", "--from", "2026-11-01"]).fails_with("without a rate");
    house.run(&["prices", "unset", "mine-1"]).fails_with("no price of yours");
    assert_eq!(total(&house), ("0.000000000000".into(), 1));

    let said = house.out(&["prices", "set", "mine-1", "--input", "3", "--output", "15.5"]);
    assert!(said.contains("1 call that had no price: has one now") && said.contains("$18.50"), "{said}");
    assert_eq!(total(&house), ("18.500000000000".into(), 0));
    assert!(house.out(&["prices", "set", "mine-1", "--input", "3", "--output", "15.5"]).contains("already"));
    let list = house.json(&["prices", "list"]);
    assert_eq!((&list["own"][0]["model"], &list["own"][0]["rates"]["output"]), (&json!("mine-1"), &json!("15.5")), "{list}");
    assert!(house.out(&["prices", "list"]).contains("mine-1"));
    assert!(house.out(&["models", "mine"]).contains("yours"));
    assert!(house.out(&["models", "mine", "--per", "1k"]).contains("0.0155"));

    let explained = house.json(&["explain", "a"]);
    assert_eq!((&explained["call"]["cost_basis"], &explained["listed_exact"]), (&json!("agreed"), &json!("18.5")), "{explained}");
    assert_eq!(explained["lines"][1], json!({"class": "output", "units": 1_000_000, "rate": "15.5", "amount": "15.5", "inferred": false, "scaled": true}));
    let key = explained["call"]["key"].as_str().unwrap();
    assert_eq!(house.json(&["explain", &key[..12]])["call"]["key"], key);
    assert!(house.out(&["explain", key]).contains("a price of yours goes before every book"));
    house.run(&["explain", "nobody"]).fails_with("no call \"nobody\"");

    house.out(&["prices", "unset", "mine-1"]);
    assert_eq!(total(&house), ("0.000000000000".into(), 1));
}

#[test]
fn a_call_is_explained_by_the_books_row_and_by_whose_word_decides() {
    let house = home("");
    call(&house, "a", "gpt-4.1", "2026-11-01T10:00:00Z");
    let explained = house.json(&["explain", "a"]);
    assert_eq!((&explained["price"]["matched"], &explained["price"]["custom"], &explained["listed_usd"]), (&json!("exact"), &json!(false), &json!("10.000000000000")), "{explained}");
    assert_eq!(explained["call"]["cost_usd"], explained["listed_usd"]);
    assert!(explained["price"]["row"]["source"].as_str().unwrap().starts_with("http"), "{explained}");
    assert_eq!(explained["entries"].as_array().unwrap().len(), 1);
    let text = house.out(&["explain", "a"]);
    assert!(text.contains("openai's price of gpt-4.1, by this very name") && text.contains("10.000000000000"), "{text}");
    house.out(&["prices", "multiply", "openai", "1.2", "--from", "2026-10-01"]);
    let explained = house.json(&["explain", "a"]);
    assert_eq!((&explained["listed_usd"], &explained["factors"][0]["factor"]), (&json!("12.000000000000"), &json!("1.2")), "{explained}");
}

#[test]
fn what_the_summary_said_before_a_book_was_adopted_is_said_again() {
    let mut house = home("");
    call(&house, "a", "gpt-4.1", "2026-11-01T10:00:00Z");
    call(&house, "b", "gpt-99", "2026-11-19T10:00:00Z");
    let then = total(&house);
    assert_eq!(then, ("10.000000000000".into(), 1));
    let row = |model: &str, rate: &str| {
        json!({"provider": "openai", "model": model, "rates": {"input": rate, "output": rate}, "source": "a test", "set": "a test"})
    };
    let book = json!({"format": "tollbar-prices/1", "rows": [row("gpt-4.1", "100"), row("gpt-99", "1")]});
    let path = house.path("book.json");
    fs::write(&path, book.to_string()).unwrap();
    let path = path.to_str().unwrap().to_owned();
    on(&mut house, "2026-11-22");
    assert_eq!(now_usd(&house, &["--book", &path]), "200.000000000000", "the call that had no price is in neither sum");
    let before = journal_bytes(&house);
    let said = house.out(&["reprice", "--book", &path, "--adopt"]);
    assert!(said.contains("adopted"), "{said}");
    let added = journal_bytes(&house) - before;
    println!("an adopted book takes {added} bytes of the journal, with the bundled one before it");
    assert!(added < 100_000, "{added}");
    call(&house, "c", "gpt-4.1", "2026-11-22T13:00:00Z");
    on(&mut house, "2026-11-23");
    // The known one stays, the unknown one is filled in, the new one has the new price.
    assert_eq!(total(&house), ("212.000000000000".into(), 0));
    for how in ["--as-of", "--as-known"] {
        let answer = repriced(&house, &[how, "2026-11-21", "--until", "2026-11-21"]);
        assert_eq!((&answer["total"]["now_usd"], &answer["total"]["unpriced_calls"]), (&json!(then.0), &json!(then.1)), "{answer}");
    }
    assert_eq!(now_usd(&house, &["--today"]), "402.000000000000");
    assert!(house.out(&["reprice", "--book", &path, "--adopt"]).contains("nothing to adopt"));
    let list = house.json(&["prices", "list"]);
    assert_eq!(list["books"].as_array().unwrap().len(), 2, "{list}");

    // A rebuilt log, a folded one, and one from a backup say the same.
    house.out(&["ledger", "rebuild"]);
    assert_eq!(total(&house), ("212.000000000000".into(), 0));
    let backup = house.path("backup");
    house.out(&["ledger", "backup", backup.to_str().unwrap()]);
    on(&mut house, "2026-12-25");
    assert!(house.out(&["ledger", "fold", "--older-than", "1m", "--yes"]).contains("3 calls"));
    assert_eq!(total(&house), ("212.000000000000".into(), 0));
    let mut restored = House::new("");
    restored.set("TOLLBAR_NOW", "2026-11-24T12:00:00Z");
    restored.out(&["ledger", "merge", backup.to_str().unwrap()]);
    assert_eq!(total(&restored), ("212.000000000000".into(), 0));
    fs::write(&path, "<html>a login page</html>").unwrap();
    house.run(&["reprice", "--book", &path, "--adopt"]).fails_with("web page");
    assert_eq!(total(&house), ("212.000000000000".into(), 0));
}

#[test]
fn calls_are_priced_as_another_model_tier_or_cache() {
    let house = home("");
    call(&house, "a", "gpt-4.1", "2026-11-01T10:00:00Z");
    call(&house, "b", "gpt-4.1-mini", "2026-11-02T10:00:00Z");
    assert_eq!(total(&house).0, "12.000000000000");
    assert_eq!(now_usd(&house, &["--model", "gpt-4.1=gpt-4.1-mini"]), "4.000000000000");
    assert_eq!(now_usd(&house, &["--model", "*=gpt-4.1"]), "20.000000000000");
    assert_eq!(now_usd(&house, &["--model", "*=openai:gpt-4.1", "--model", "gpt-4.1-mini"]), "10.000000000000");
    assert_eq!(now_usd(&house, &["--tier", "batch"]), "6.000000000000");
    assert_eq!(now_usd(&house, &["--cache-ttl", "1h"]), "12.000000000000");
    house.run(&["reprice", "--model", "gpt-4.1=gpt-0"]).fails_with("no price for the model \"gpt-0\"");
    house.run(&["reprice", "--model", "gpt-4.1="]).fails_with("names no two models");
    let answer = repriced(&house, &["--model", "gpt-4.1=gpt-4.1-mini"]);
    let rates = answer["rates"].as_array().unwrap();
    assert_eq!((&rates[0]["model"], &rates[0]["then"][0]["rates"]["input"], &rates[0]["now"][0]["rates"]["input"]), (&json!("gpt-4.1"), &json!("2"), &json!("0.4")), "{answer}");
    assert!(!answer["assumes"].as_array().unwrap().is_empty());
    let advice = house.json(&["advice"]);
    let idea = advice["ideas"].as_array().unwrap().iter().find(|idea| idea["to"] == "gpt-4.1-mini").unwrap();
    assert_eq!((&idea["then_usd"], &idea["now_usd"], &idea["saves_usd"]), (&json!("10.000000000000"), &json!("2.000000000000"), &json!("8.000000000000")));
    assert!(house.out(&["whatif", "--to", "gpt-4.1-nano"]).contains("gpt-4.1-nano instead of gpt-4.1"));
    house.run(&["advice", "--to", "gpt-0"]).fails_with("gpt-0");
}

#[test]
fn the_configuration_names_prices_multipliers_and_plans() {
    let config = "[prices.\"mine-1\"]\ninput = \"1\"\noutput = \"2\"\nfrom = \"2026-11-01\"\n\
        [upstreams.openai]\nbase_url = \"https://api.openai.com\"\nmultiplier = \"2\"\n\
        [plans.max]\nmonthly = \"100\"\nprovider = \"anthropic\"\nfrom = \"2026-10-15\"\n";
    let house = home(config);
    call(&house, "a", "mine-1", "2026-11-02T10:00:00Z");
    call(&house, "b", "gpt-4.1", "2026-11-20T13:00:00Z");
    house.out(&["log", "--model", "claude-sonnet-4-5", "--input", "1000000", "--output", "0", "--provider", "anthropic", "--call-id", "c", "--at", "2026-11-03T10:00:00Z"]);
    assert_eq!(total(&house).0, "26.000000000000");
    let plans = house.json(&["plans"]);
    let november = &plans["months"][0];
    assert_eq!((&november["paid_usd"], &november["worth"]["usd"], &november["gain_usd"]), (&json!("100.000000000000"), &json!("3.000000000000"), &json!("-97.000000000000")), "{plans}");
    assert_eq!((&plans["billed"]["usd"], &plans["covered"]["usd"]), (&json!("23.000000000000"), &json!("3.000000000000")));
    assert!(house.out(&["plans"]).contains("max"));
    let entries = house.json(&["ledger", "size"])["entries"].clone();
    house.out(&["summary"]);
    assert_eq!(house.json(&["ledger", "size"])["entries"], entries, "what stands like that is told no more");
}
