//! The time of a call of which its row does not say it where it should: elsewhere in the row, in the name of the file, or in its first
//! lines. Never the clock's, and never the file's, which changes when it is copied.

use super::json::{self, Json};
use events::Timestamp;
use std::path::Path;

/// What the names of fields with a time end with, in small letters.
const ENDINGS: [&str; 8] = ["timestamp", "time", "ts", "date", "_at", "created", "updated", "at"];
/// How deep below a row a time is looked for.
const DEPTH_MAX: usize = 3;
/// How many names above a file may say a day.
const NAMES_MAX: usize = 4;
/// Times of version 7 of RFC 9562's ids: 2020 to 2100, in milliseconds.
const UUID_MILLIS: std::ops::Range<i64> = 1_577_836_800_000..4_102_444_800_000;

/// A time that stands in a row under whatever name.
pub(super) fn of_row(text: &str) -> Option<Timestamp> {
    let json = Json::parse(text.trim())?;
    (1..=DEPTH_MAX).find_map(|depth| within(json, depth))
}

fn within(json: Json<'_>, depth: usize) -> Option<Timestamp> {
    let object = json.object();
    if depth > 1 {
        return object.fields().filter(|(_, value)| value.is_object()).find_map(|(_, value)| within(value, depth - 1));
    }
    object.fields().filter(|(name, _)| is_name_of_time(name)).find_map(|(_, value)| value.instant())
}

fn is_name_of_time(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| lower == *ending || (ending.len() > 2 && lower.ends_with(ending))) || name.ends_with("At")
}

/// The first time in the beginning of a file.
pub(super) fn of_head(head: &str) -> Option<Timestamp> {
    head.lines().find_map(of_row)
}

/// The time or the day that a file's name says, or the names of the folders that it lies in: `rollout-2026-09-01T09-00-00-...`,
/// `2026/09/01/...`, `20260901`, `token-usage-2026-09`, a number of milliseconds, or an id that has its time in it.
pub(super) fn of_path(path: &Path) -> Option<Timestamp> {
    let names: Vec<&str> = path.iter().rev().take(NAMES_MAX).filter_map(|name| name.to_str()).collect();
    let joined = names.iter().rev().copied().collect::<Vec<_>>().join("/");
    let of_names = |read: fn(&str) -> Option<Timestamp>| names.iter().find_map(|name| read(name));
    of_names(of_day)
        .or_else(|| of_day(&joined))
        .or_else(|| of_names(of_number))
        .or_else(|| of_names(of_uuid))
        .or_else(|| of_names(of_month))
}

/// The groups of digits of a name, each with where it begins.
fn groups(name: &str) -> Vec<(usize, &str)> {
    let mut groups = Vec::new();
    let mut from = None;
    for (at, sign) in name.char_indices().chain([(name.len(), ' ')]) {
        match (sign.is_ascii_digit(), from) {
            (true, None) => from = Some(at),
            (false, Some(begin)) => {
                groups.push((begin, &name[begin..at]));
                from = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    groups
}

/// A day, with the time of day if one follows.
fn of_day(name: &str) -> Option<Timestamp> {
    let groups = groups(name);
    let instant = |day: &str, clock: &str| json::instant(&format!("{day}T{clock}Z"));
    groups.iter().enumerate().find_map(|(at, (begin, first))| {
        let beside = |nth: usize, length: usize| {
            let (_, digits) = groups.get(at + nth).filter(|(_, digits)| digits.len() == length)?;
            Some(*digits)
        };
        // One sign apart each.
        let ends_at = |nth: usize| groups.get(at + nth).map(|(begin, digits)| begin + digits.len());
        let follows = |nth: usize| Some(groups.get(at + nth)?.0 == ends_at(nth - 1)? + 1);
        if first.len() == 8 {
            let day = format!("{}-{}-{}", &first[..4], &first[4..6], &first[6..]);
            let clock =
                beside(1, 6).filter(|_| follows(1) == Some(true)).map(|clock| format!("{}:{}:{}", &clock[..2], &clock[2..4], &clock[4..]));
            return clock.and_then(|clock| instant(&day, &clock)).or_else(|| instant(&day, "00:00:00"));
        }
        let is_year = first.len() == 4 && (*begin == 0 || !name[..*begin].ends_with(|sign: char| sign.is_ascii_alphanumeric()));
        let (month, of_month) = (beside(1, 2)?, beside(2, 2)?);
        if !is_year || follows(1) != Some(true) || follows(2) != Some(true) {
            return None;
        }
        let day = format!("{first}-{month}-{of_month}");
        let clock = (follows(3) == Some(true)).then(|| Some(format!("{}:{}:{}", beside(3, 2)?, beside(4, 2)?, beside(5, 2)?))).flatten();
        clock.and_then(|clock| instant(&day, &clock)).or_else(|| instant(&day, "00:00:00"))
    })
}

fn of_month(name: &str) -> Option<Timestamp> {
    let groups = groups(name);
    groups.windows(2).find_map(|pair| {
        let [(begin, year), (next, month)] = pair else { return None };
        let is_it = year.len() == 4 && month.len() == 2 && *next == begin + 5;
        is_it.then(|| json::instant(&format!("{year}-{month}-01T00:00:00Z"))).flatten()
    })
}

/// Milliseconds since 1970, as a whole name or at its end.
fn of_number(name: &str) -> Option<Timestamp> {
    groups(name).iter().find(|(_, digits)| digits.len() == 13).and_then(|(_, digits)| json::instant(digits))
}

/// The time in an id of version 7.
fn of_uuid(name: &str) -> Option<Timestamp> {
    let is_uuid = |text: &&str| {
        let bytes = text.as_bytes();
        let dashes = [8, 13, 18, 23].iter().all(|at| bytes[*at] == b'-');
        dashes && bytes[14] == b'7' && text.bytes().all(|sign| sign.is_ascii_hexdigit() || sign == b'-')
    };
    let uuid = (0..name.len()).find_map(|at| name.get(at..at + 36).filter(is_uuid))?;
    let millis = i64::from_str_radix(&uuid[..13].replace('-', ""), 16).ok()?;
    UUID_MILLIS.contains(&millis).then(|| Timestamp::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_files_and_folders_say_a_time() {
        for (path, at) in [
            ("/h/sessions/2026/09/01/rollout-2026-09-01T09-10-11-0197aaaa.jsonl", "2026-09-01T09:10:11Z"),
            ("/h/2026-07-14T16-31-18_019f0000-0000-7000-8000-000000000001.jsonl", "2026-07-14T16:31:18Z"),
            ("/h/sessions/2026/09/01/a.jsonl", "2026-09-01T00:00:00Z"),
            ("/h/sessions/20260901_1.jsonl", "2026-09-01T00:00:00Z"),
            ("/h/log-20260901-101112.txt", "2026-09-01T10:11:12Z"),
            ("/h/usage/token-usage-2026-09.jsonl", "2026-09-01T00:00:00Z"),
            ("/h/tasks/1756100000000/ui_messages.json", "2025-08-25T05:33:20Z"),
            ("/h/01a20076-e6d7-76f2-9bc9-c8edf9b323d6.jsonl", "2026-11-21T23:35:22.071Z"),
        ] {
            assert_eq!(of_path(Path::new(path)).map(|at| at.to_string()), Timestamp::parse(at).map(|at| at.to_string()), "{path}");
        }
        for path in ["/h/a.jsonl", "/h/11111111-1111-4111-8111-111111111111.jsonl", "/h/2026-99-99.jsonl", "/h/v1.2.3/x0000-00-00", "/"] {
            assert_eq!(of_path(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn a_time_elsewhere_in_a_row_is_its_time() {
        let at = Timestamp::parse("2026-07-04T10:00:03Z");
        for row in [
            r#"{"type":"x","_audit_timestamp":"2026-07-04T10:00:03Z"}"#,
            r#"{"count":17,"createdAt":1783159203}"#,
            r#"{"message":{"created_at":"2026-07-04 10:00:03"}}"#,
            r#"{"a":{"b":{"ts":1783159203000}}}"#,
        ] {
            assert_eq!(of_row(row), at, "{row}");
        }
        assert_eq!(of_row(r#"{"format":1783159203,"what":1783159203}"#), None);
        assert_eq!(of_head("{\"type\":\"x\"}\n{\"ts\":1783159203}\n"), at);
    }

    proptest! {
        #[test]
        fn no_name_and_no_row_makes_it_panic(text in "[-0-9a-fT_/é{}\":,x]{0,60}") {
            let _ = (of_path(Path::new(&text)), of_row(&text), of_head(&text), of_uuid(&text));
        }
    }
}
