use super::{fetch::Cause, *};
use crate::{
    outgoing::Outgoing,
    pricebuild::{SET_BYTES_MAX, Set},
};
use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap_or_else(|| panic!("{text} is no time"))
}

/// A book of rows, each `model from until input`, with `-` for none.
fn book(rows: &[&str]) -> PriceBook {
    let row = |text: &&str| {
        let [model, from, until, input] = text.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{text}") };
        let instant = |text: &str| (text != "-").then(|| at(&format!("{text}T00:00:00Z")));
        let rates = events::Rates { input: Rate::per_million(input), ..events::Rates::default() };
        let (provider, model, source, set) = ("p".into(), model.into(), "s".into(), "t".into());
        events::Row { provider, model, from: instant(from), until: instant(until), rates, source, set, ..events::Row::default() }
    };
    let rows: Vec<events::Row> = rows.iter().map(row).collect();
    PriceBook::from_json(PriceBook::to_json(&[], &rows).as_bytes()).expect("a book")
}

/// What follows, in the same form, and what is said of it.
fn follows(earlier: &[&str], newer: &[&str]) -> (Vec<String>, Vec<String>) {
    let succession = succession::of(&book(earlier), &book(newer), at("2026-11-26T00:00:00Z"));
    let day = |at: Option<Timestamp>| at.map_or_else(|| "-".into(), |at| at.utc().date_naive().to_string());
    let row = |row: &events::Row| {
        let input = row.rates.input.expect("an input");
        format!("{} {} {} {input}", row.model, day(row.from), day(row.until))
    };
    (succession.rows.iter().map(row).collect(), succession.changes.iter().map(|change| change.to_string()).collect())
}

#[test]
fn what_had_a_price_changes_from_a_date_on_and_what_had_none_is_filled_in() {
    // Nothing new.
    assert_eq!(follows(&["m - - 1"], &["m - - 1"]), (vec!["m - - 1".into()], vec![]));
    // A set without dates names another price: it holds from today.
    assert_eq!(
        follows(&["m - - 1"], &["m - - 2"]),
        (vec!["m - 2026-11-26 1".into(), "m 2026-11-26 - 2".into()], vec!["p/m: from 2026-11-26 00:00 UTC, input 1 -> 2".into()])
    );
    // A set with dates: it holds from its date, gone or to come.
    assert_eq!(
        follows(&["m - - 1"], &["m - 2026-11-20 1", "m 2026-11-20 2026-12-01 2", "m 2026-12-01 - 3"]),
        (
            vec!["m - 2026-11-20 1".into(), "m 2026-11-20 2026-12-01 2".into(), "m 2026-12-01 - 3".into()],
            vec!["p/m: from 2026-11-20 00:00 UTC, input 1 -> 2".into(), "p/m: from 2026-12-01 00:00 UTC, input 1 -> 3".into()]
        )
    );
    // What is known of the past is not unlearned, and not restated.
    assert_eq!(
        follows(&["m - 2026-08-21 5", "m 2026-08-21 - 4"], &["m - - 4"]),
        (vec!["m - 2026-08-21 5".into(), "m 2026-08-21 - 4".into()], vec![])
    );
    assert_eq!(
        follows(&["m - 2026-08-21 5", "m 2026-08-21 - 4"], &["m - 2026-08-21 6", "m 2026-08-21 - 4"]).0,
        ["m - 2026-08-21 5", "m 2026-08-21 - 4"]
    );
    // A change that was announced is called off, or comes otherwise.
    assert_eq!(follows(&["m - 2026-12-01 2", "m 2026-12-01 - 4"], &["m - - 2"]).0, ["m - - 2"]);
    // New models get their price for all of their past; those that are listed no more keep theirs.
    assert_eq!(
        follows(&["old - - 1"], &["new 2026-10-01 - 7"]),
        (vec!["new 2026-10-01 - 7".into(), "old - - 1".into()], vec!["p/new: new, input 7".into()])
    );
}

#[test]
fn a_price_ten_times_another_is_large() {
    let large = |newer: &str| succession::of(&book(&["m - - 1"]), &book(&[newer]), at("2026-11-26T00:00:00Z")).changes[0].is_large();
    assert!(!large("m - - 10") && large("m - - 10.000001") && large("m - - 0.09") && large("m - - 0") && !large("n - - 900"));
}

fn data() -> Option<Folder> {
    let data =
        std::env::var_os("TOLLBAR_DATA").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let folder = Folder::read(&data.join("prices")).ok();
    if folder.is_none() {
        println!("skipped: no price data at {}", data.display());
    }
    folder
}

#[test]
fn the_sets_that_made_the_book_in_force_propose_nothing() {
    let Some(data) = data() else { return };
    let proposal = propose(PriceBook::bundled(), &data.sets(), at("2026-11-26T00:00:00Z")).expect("a proposal");
    assert_eq!(proposal.changes, [], "overrides and all");
    assert_eq!((proposal.retired, proposal.from()), (0, None));
}

#[test]
fn sets_that_are_cut_hostile_or_no_data_are_refused_with_the_reason() {
    let Some(data) = data() else { return };
    let refused = |set: Set, bytes: &[u8]| {
        let mut folder = data.clone();
        folder.insert(set, bytes.to_vec());
        propose(PriceBook::bundled(), &folder.sets(), at("2026-11-26T00:00:00Z")).expect_err("refused").to_string()
    };
    let check = |set: Set, bytes: &[u8], part: &str| {
        let cause = refused(set, bytes);
        assert!(cause.contains(part), "{}: {cause:?} has no {part:?}", set.name());
        assert!(cause.len() < 400 && !cause.contains('\n'), "one line: {cause}");
    };
    for set in Set::ALL {
        let whole = match set {
            Set::GenaiPrices => data.sets().genai,
            Set::ModelPrices => data.sets().model_prices,
            Set::LiteLlm => data.sets().litellm,
            Set::ModelsDev => data.sets().models_dev,
        };
        check(set, b"\n <!DOCTYPE html><html>Sign in</html>", "web page");
        check(set, b"", "EOF");
        check(set, &whole[..whole.len() / 2], "cannot read");
        let whole = whole.trim_ascii_end();
        check(set, &whole[..whole.len() - 1], "EOF");
        check(set, &vec![b' '; SET_BYTES_MAX + 1], "at most 16777216");
        check(set, "[".repeat(100_000).as_bytes(), "nested too deep");
        let (object, list) = if set == Set::GenaiPrices { ("cannot read", "no models that are known") } else { ("", "cannot read") };
        check(set, br#"{"a":{"b":{}}}"#, object);
        check(set, b"[]", list);
        check(set, b"\xff\xfe{}", "cannot read");
    }
    let in_set = |set: Set, old: &str, new: &str| {
        let whole = String::from_utf8(match set {
            Set::GenaiPrices => data.sets().genai.to_vec(),
            Set::ModelPrices => data.sets().model_prices.to_vec(),
            Set::LiteLlm => data.sets().litellm.to_vec(),
            Set::ModelsDev => data.sets().models_dev.to_vec(),
        })
        .expect("text");
        assert!(whole.contains(old), "{old}");
        whole.replacen(old, new, 1).into_bytes()
    };
    // Rates that cannot be.
    let first = r#""prices":{"input_mtok":8,"#;
    let genai: serde_json::Value = serde_json::from_slice(data.sets().genai).expect("JSON");
    let genai = genai.to_string();
    assert!(genai.contains(first));
    for (rate, part) in
        [("-8", "a rate for input of -8"), ("8000", "a rate for input of 8000"), ("1e300", "not a price"), ("1e99999999999", "not a price")]
    {
        check(Set::GenaiPrices, genai.replacen(first, &format!(r#""prices":{{"input_mtok":{rate},"#), 1).as_bytes(), part);
    }
    check(Set::GenaiPrices, genai.replacen(first, r#""prices":{"input_mtok":8,"input_mtok":9,"#, 1).as_bytes(), "stands there twice");
    // A model named twice, and a deep value in a place that nobody reads.
    let twice = in_set(Set::LiteLlm, "{", r#"{"gpt-4o":{},"gpt-4o":{},"#);
    check(Set::LiteLlm, &twice, "stands there twice");
    let deep = format!(r#"{{"deep":{}{},"#, r#"{"a":"#.repeat(50_000), "1".to_owned() + &"}".repeat(50_000));
    check(Set::LiteLlm, &in_set(Set::LiteLlm, "{", &deep), "nested too deep");
    // Half of the models gone.
    let few: Vec<serde_json::Value> = serde_json::from_slice(data.sets().genai).expect("JSON");
    let few: Vec<_> = few.into_iter().filter(|provider| provider["id"] == "openai").collect();
    check(Set::GenaiPrices, &serde_json::to_vec(&few).expect("JSON"), "models that genai-prices had, it lists");
}

/// A server that gives every request the same answer, and what it was asked.
fn server(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).expect("text").to_lowercase();
            let answer = answer(&request);
            heard.lock().expect("whole").push(request);
            // Who is refused may hang up first.
            let _ = stream.write_all(&answer);
        }
    });
    (address, asked)
}

fn reply(head: &str, body: &[u8]) -> Vec<u8> {
    let mut reply = format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    reply.extend(body);
    reply
}

/// All sets at one address.
fn addresses(base: &str) -> BTreeMap<Set, Address> {
    Set::ALL.into_iter().map(|set| (set, Address::parse(&format!("{base}/{}", set.file())).expect("an address"))).collect()
}

fn cause(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Cause {
    let (base, _) = server(answer);
    let state = tempfile::tempdir().expect("a folder");
    let error = fetch(&addresses(&base), &Outgoing::default(), state.path()).expect_err("refused");
    assert!(error.to_string().starts_with("cannot fetch genai-prices from http://127.0.0.1"), "{error}");
    assert_eq!(std::fs::read_dir(state.path()).expect("a folder").count(), 0, "nothing is kept of what was refused");
    error.cause
}

#[test]
fn a_source_that_is_not_plainly_data_is_refused() {
    let said = |head: &'static str, body: &'static [u8]| cause(move |_| reply(head, body)).to_string();
    assert_eq!(
        said("302 Found\r\nlocation: http://127.0.0.1:9/elsewhere", b""),
        "it redirects to \"http://127.0.0.1:9/elsewhere\", which is not followed"
    );
    assert_eq!(said("200 OK\r\ncontent-type: text/html; charset=utf-8", b"<html>"), "it is a web page (HTML), not data");
    assert_eq!(said("200 OK\r\ncontent-encoding: gzip", b"x"), "it is encoded as \"gzip\", which was not asked for");
    assert_eq!(said("404 Not Found", b"[]"), "the server answers 404 Not Found");
    assert_eq!(said("304 Not Modified", b""), "the server answers 304 Not Modified", "of what was never fetched");
    let announced = |_: &str| b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n".to_vec();
    assert_eq!(cause(announced).to_string(), "it is larger than 16777216 bytes");
    let endless = |_: &str| [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec(), vec![b' '; 20 << 20]].concat();
    assert_eq!(cause(endless).to_string(), "it is larger than 16777216 bytes");
    let cut = |_: &str| b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[{".to_vec();
    assert!(matches!(cause(cut), Cause::Cut(_)));
    let nobody = BTreeMap::from([(Set::GenaiPrices, Address::parse("http://127.0.0.1:1/x").expect("an address"))]);
    let state = tempfile::tempdir().expect("a folder");
    assert!(matches!(fetch(&nobody, &Outgoing::default(), state.path()).expect_err("nobody").cause, Cause::Unreachable(_)));
    let missing = BTreeMap::from([(Set::GenaiPrices, Address::parse("file:///nowhere/x.json").expect("an address"))]);
    assert!(matches!(fetch(&missing, &Outgoing::default(), state.path()).expect_err("no file").cause, Cause::File(_)));
}

#[test]
fn what_is_known_is_asked_for_only_if_it_is_newer() {
    let (base, asked) = server(|request| match request.contains("if-none-match: \"v1\"") {
        true => reply("304 Not Modified", b""),
        false => reply("200 OK\r\netag: \"v1\"\r\nlast-modified: Thu, 26 Nov 2026 10:00:00 GMT", b"[1]"),
    });
    let state = tempfile::tempdir().expect("a folder");
    let first = fetch(&addresses(&base), &Outgoing::default(), state.path()).expect("fetched");
    let sets = |fetched: &Fetched| (fetched.folder.sets().genai.to_vec(), fetched.folder.sets().models_dev.to_vec());
    assert_eq!((first.newer, sets(&first)), (4, (b"[1]".to_vec(), b"[1]".to_vec())));
    first.keep(state.path()).expect("kept");
    let second = fetch(&addresses(&base), &Outgoing::default(), state.path()).expect("fetched");
    assert_eq!((second.newer, sets(&second)), (0, sets(&first)));
    let requests = asked.lock().expect("whole").clone();
    assert!(requests[4].contains("if-modified-since: thu, 26 nov 2026 10:00:00 gmt"), "{}", requests[4]);
    assert_eq!(requests.iter().filter(|request| request.contains("if-none-match")).count(), 4);
    // Of another address, or with the copy gone, it is asked for whole.
    std::fs::remove_file(state.path().join("prices").join(Set::LiteLlm.file())).expect("it was kept");
    assert_eq!(fetch(&addresses(&base), &Outgoing::default(), state.path()).expect("fetched").newer, 1);
}

#[test]
fn a_file_that_names_another_by_its_hash_is_followed_and_held_to_it() {
    let body = b"{}";
    let hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let of = |pointer: String| {
        let (base, asked) = server(move |request| match request.contains("latest.json") {
            true => reply("200 OK\r\netag: \"p\"", pointer.as_bytes()),
            false => reply("200 OK", body),
        });
        let state = tempfile::tempdir().expect("a folder");
        let mut addresses = addresses(&base);
        addresses.insert(Set::ModelPrices, Address::parse(&format!("{base}/v1/latest.json")).expect("an address"));
        let fetched = fetch(&addresses, &Outgoing::default(), state.path()).map(|fetched| fetched.folder.sets().model_prices.to_vec());
        (fetched.map_err(|error| error.cause.to_string()), asked)
    };
    let (fetched, asked) = of(format!(r#"{{"sha256":"{hash}","published_at":"2026-11-26T00:00:00Z"}}"#));
    assert_eq!(fetched, Ok(body.to_vec()));
    assert!(asked.lock().expect("whole").iter().any(|request| request.starts_with(&format!("get /v1/{hash}.json"))));
    let other = hash.replace('4', "5");
    assert_eq!(of(format!(r#"{{"sha256":"{other}"}}"#)).0, Err(format!("it names {other}, but that file's hash is {hash}")));
    assert_eq!(of(r#"{"sha256":"../../etc/passwd"}"#.into()).0, Err("it names no file by its hash".into()));
    assert_eq!(of("<html>".into()).0, Err("it names no file by its hash".into()));
}
