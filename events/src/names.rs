//! Names that came from outside: clients' logs, headers, answers of upstreams.
//!
//! A name is data. What would move a cursor, turn text around or hide itself is dropped where a name comes in, and written out as its code
//! where one is shown, for a log may hold names from before.

use crate::{Projections, Usage};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, fmt::Write as _};

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// How many different names calls are counted under. A call that would bring another one is counted under [`OTHER`].
pub const NAMES_MAX: usize = 10_000;
/// The name of what has a name too many.
pub const OTHER: &str = "other";

/// Whether a character moves, turns or hides text rather than being text: controls (C0, DEL, C1), line and paragraph separators, marks
/// and overrides of direction (Unicode UAX 9), invisible operators and tags.
pub fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The visible part of a name, at most [`NAME_BYTES_MAX`] long.
pub fn visible(name: &str) -> Cow<'_, str> {
    if is_plain(name) && name.len() <= NAME_BYTES_MAX {
        return Cow::Borrowed(name);
    }
    let mut clean = String::new();
    for letter in name.chars().filter(|letter| !is_hidden(*letter)) {
        if clean.len() + letter.len_utf8() > NAME_BYTES_MAX {
            break;
        }
        clean.push(letter);
    }
    Cow::Owned(clean)
}

/// The visible part of an id. Two ids that are too long, or differ in what is hidden, stay two: the digest of the whole stands at the end.
pub fn visible_id(id: &str) -> Cow<'_, str> {
    const DIGEST_BYTES: usize = 8;
    const HEAD_BYTES: usize = NAME_BYTES_MAX - 2 * DIGEST_BYTES - 1;
    if is_plain(id) && id.len() <= NAME_BYTES_MAX {
        return Cow::Borrowed(id);
    }
    let clean = visible(id);
    let head = (0..=HEAD_BYTES.min(clean.len())).rev().find(|at| clean.is_char_boundary(*at)).unwrap_or(0);
    let mut out = format!("{}-", &clean[..head]);
    for byte in &Sha256::digest(id)[..DIGEST_BYTES] {
        let _ = write!(out, "{byte:02x}");
    }
    Cow::Owned(out)
}

/// Text for a screen: what is hidden is written as its code, `\u{202e}`. Line ends and tabs stay where `lines` says that they are the
/// text's own.
pub fn shown(text: &str, lines: bool) -> Cow<'_, str> {
    let stays = |letter: char| !is_hidden(letter) || lines && matches!(letter, '\n' | '\t');
    if is_plain(text) || text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if stays(letter) {
            out.push(letter);
        } else {
            out.extend(letter.escape_unicode());
        }
    }
    Cow::Owned(out)
}

/// JSON for a screen: the same values, with everything hidden in texts written as JSON's own escapes. Line ends of the layout stay.
pub fn shown_json(json: &str) -> Cow<'_, str> {
    let stays = |letter: char| !is_hidden(letter) || letter == '\n';
    if is_plain(json) || json.chars().all(stays) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        if stays(letter) {
            out.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(out)
}

/// How the keys of providers, forges and clouds begin, and the words before a credential.
const SECRET_STARTS: [&str; 26] = [
    "sk-",
    "sk_",
    "pk-",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxa-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "eyJ",
    "hf_",
    "gsk_",
    "xai-",
    "npm_",
    "pypi-",
    "-----BEGIN",
];
/// A session is named by a UUID or a short id; a longer name may be a token.
const SESSION_BYTES_MAX: usize = 64;

/// Whether a text begins as a key or token does.
pub fn may_be_secret(text: &str) -> bool {
    // Most words are told apart by their first two bytes.
    let is_candidate = matches!(
        text.as_bytes(),
        [b's' | b'p' | b'r', b'k', ..]
            | [b'g', b'h' | b'i' | b'l' | b's', ..]
            | [b'x', b'o' | b'a', ..]
            | [b'A', b'K' | b'S' | b'I', ..]
            | [b'y', b'a', ..]
            | [b'e', b'y', ..]
            | [b'h', b'f', ..]
            | [b'n', b'p', ..]
            | [b'p', b'y', ..]
            | [b'-', b'-', ..]
    );
    is_candidate && SECRET_STARTS.iter().any(|start| text.starts_with(start))
}

/// Whether a text is one word that may be kept as it is: visible ASCII without spaces, and no key.
pub fn is_word(text: &str) -> bool {
    text.bytes().fold(true, |is, byte| is & byte.is_ascii_graphic()) && !may_be_secret(text)
}

/// A session as it may be kept: one that may be a secret is a digest, which is the same wherever the session is named.
fn kept_session(session: &str) -> Cow<'_, str> {
    if !may_be_secret(session) && session.len() <= SESSION_BYTES_MAX && !session.contains(char::is_whitespace) {
        return visible_id(session);
    }
    let digest = Sha256::digest(session);
    Cow::Owned(digest.iter().take(12).fold("hashed-".to_owned(), |out, byte| out + &format!("{byte:02x}")))
}

/// Cleans every name and id of a call, and bounds how many names calls are counted under.
pub fn clean(usage: &mut Usage, known: &Projections) {
    let ids = [&mut usage.call_id, &mut usage.request_id];
    ids.into_iter().flatten().for_each(|id| replace(id, visible_id));
    usage.session.iter_mut().for_each(|session| replace(session, kept_session));
    if usage.session.as_deref().is_some_and(|session| session.trim().is_empty()) {
        usage.session = None;
    }
    let names = [&mut usage.branch, &mut usage.tier, &mut usage.geo, &mut usage.request_model, &mut usage.device];
    names.into_iter().for_each(replace_some);
    replace(&mut usage.provider, visible);
    replace(&mut usage.family, visible);
    replace_some(&mut usage.model);
    replace_some(&mut usage.client);
    if let Some(project) = &mut usage.project {
        replace(&mut project.name, visible);
        if project.name.trim().is_empty() {
            usage.project = None;
        }
    }
    if known.spend.names_count() >= NAMES_MAX {
        let project = usage.project.as_mut().map(|project| &mut project.name);
        let counted = [usage.model.as_mut(), usage.client.as_mut(), project];
        for name in counted.into_iter().flatten().chain([&mut usage.provider]) {
            if !known.spend.has_name(name) {
                OTHER.clone_into(name);
            }
        }
    }
}

fn replace(name: &mut String, clean: fn(&str) -> Cow<'_, str>) {
    if let Cow::Owned(clean) = clean(name) {
        *name = clean;
    }
}

/// A name of which nothing is left is none.
fn replace_some(name: &mut Option<String>) {
    if let Some(name) = name {
        replace(name, visible);
    }
    if name.as_deref().is_some_and(|name| name.trim().is_empty()) {
        *name = None;
    }
}

/// Most names are ids and plain words. Without a way out before the end it is seen on many bytes at once.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |is, byte| is & (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{9b}31m\u{7}\u{202e}b\u{2066}\u{200b}\r\n\t\u{7f}\u{85}\u{e0041}é";

    #[test]
    fn hidden_characters_are_dropped_and_shown_as_codes() {
        assert_eq!(visible(HOSTILE), "a[2J31mbé");
        assert!(!shown(HOSTILE, false).chars().any(is_hidden));
        assert_eq!(shown("a\n\u{202e}", true), "a\n\\u{202e}");
        let json = serde_json::to_string(HOSTILE).expect("a text");
        assert!(!shown_json(&json).chars().any(is_hidden));
        assert_eq!(serde_json::from_str::<String>(&shown_json(&json)).expect("JSON"), HOSTILE);
        assert_eq!(shown("日本 👩\u{200d}💻", false), "日本 👩\u{200d}💻");
    }

    #[test]
    fn session_that_may_be_a_secret_is_a_digest() {
        for id in ["790ee25e-7d3c-4f0f-8a53-93c1b3a1e9d2", "ses_6c1f2a3b4d5e", "019a-thread"] {
            assert_eq!(kept_session(id), id);
        }
        for secret in ["sk-ant-api03-x", "eyJhbGciOiJIUzI1NiJ9.e30.x", &"f".repeat(65), "two words"] {
            let kept = kept_session(secret);
            assert!(kept.starts_with("hashed-") && kept == kept_session(secret) && kept == kept_session(&kept), "{kept}");
        }
        assert!(is_word("standard") && is_word("") && is_word("claude-opus-4-5"));
        assert!(SECRET_STARTS.iter().all(|start| may_be_secret(start)));
        assert!(!is_word("free text") && !is_word("sk-live") && !is_word("é"));
    }

    #[test]
    fn long_names_are_cut_and_long_ids_stay_different() {
        let long = "é".repeat(NAME_BYTES_MAX);
        assert_eq!(visible(&long).len(), NAME_BYTES_MAX);
        let (one, other) = (format!("{long}1"), format!("{long}2"));
        assert_ne!(visible_id(&one), visible_id(&other));
        assert!(visible_id(&one).len() <= NAME_BYTES_MAX);
        assert_ne!(visible_id("a\u{202e}"), visible_id("a"));
        assert_eq!(visible_id("msg_1"), "msg_1");
    }

    #[test]
    fn invented_names_beyond_the_limit_are_counted_as_other() {
        let mut known = Projections::new(crate::PriceBook::bundled().clone());
        let usage = |name: String| Usage { provider: "p".into(), model: Some(name), ..Usage::default() };
        for number in 0..NAMES_MAX as u64 {
            let event = crate::Event::Used { usage: usage(format!("m{number}")).into() };
            known.apply(&crate::Entry { seq: crate::Seq(number + 1), recorded_at: crate::Timestamp::default(), key: None, event });
        }
        let (mut old, mut new) = (usage("m7".into()), usage("invented".into()));
        clean(&mut old, &known);
        clean(&mut new, &known);
        assert_eq!((old.model.as_deref(), new.model.as_deref(), new.provider.as_str()), (Some("m7"), Some(OTHER), "p"));
    }

    #[test]
    fn call_with_hostile_names_is_cleaned_and_kept() {
        let project = crate::Project { by: crate::ProjectBy::Folder, name: HOSTILE.into() };
        let mut usage = Usage { provider: HOSTILE.into(), project: Some(project), model: Some("\u{202e}\n".into()), ..Usage::default() };
        clean(&mut usage, &Projections::new(crate::PriceBook::bundled().clone()));
        assert_eq!((usage.provider.as_str(), usage.model), ("a[2J31mbé", None));
        assert_eq!(usage.project.expect("kept").name, "a[2J31mbé");
    }
}
