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
