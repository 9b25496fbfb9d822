//! One setting put into a file or taken out of it, with every other byte as it was. Pure: text in, text out.

use super::{dotenv, json, toml_file, yaml};
use serde::{Deserialize, Serialize};

/// How a settings file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Form {
    /// JSON, with comments where the client allows them.
    Json,
    /// TOML, in its root table.
    Toml,
    /// `NAME=value` a line.
    Env,
    /// YAML, in its outermost mapping.
    Yaml,
}

/// A text with a setting put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edited {
    pub(super) text: String,
    /// What stood in its place, as it stood there.
    pub(super) old: Option<String>,
    /// How many names of its path existed.
    pub(super) had: usize,
}

impl Form {
    /// The setting as it stands.
    pub(super) fn get(self, text: &str, path: &[&str]) -> Result<Option<String>, String> {
        match (self, path) {
            (Form::Toml, [name]) => toml_file::get(text, name),
            (Form::Env, [name]) => Ok(dotenv::get(text, name)),
            (Form::Yaml, [name]) => yaml::get(text, name),
            (Form::Json | Form::Toml | Form::Env | Form::Yaml, path) => json::get(text, path),
        }
    }

    /// The text with the setting. The error says why it cannot be put there.
    pub(super) fn set(self, text: &str, path: &[&str], value: &str) -> Result<Edited, String> {
        let edited = match (self, path) {
            (Form::Toml, [name]) => toml_file::set(text, name, value)?,
            (Form::Env, [name]) => dotenv::set(text, name, value),
            (Form::Yaml, [name]) => yaml::set(text, name, value)?,
            (Form::Json | Form::Toml | Form::Env | Form::Yaml, path) => json::set(text, path, value)?,
        };
        match self.get(&edited.text, path) {
            Ok(Some(read)) if read == value => Ok(edited),
            Ok(_) | Err(_) => Err(format!("{} cannot be put in there", path.join("."))),
        }
    }

    /// The text without the setting: what stood there again, or nothing.
    pub(super) fn unset(self, text: &str, path: &[&str], old: Option<&str>, had: usize) -> Result<String, String> {
        match (self, path) {
            (Form::Toml, [name]) => toml_file::unset(text, name, old),
            (Form::Env, [name]) => Ok(dotenv::unset(text, name, old)),
            (Form::Yaml, [name]) => yaml::unset(text, name, old),
            (Form::Json | Form::Toml | Form::Env | Form::Yaml, path) => json::unset(text, path, old, had),
        }
    }
}

/// One place of a text that was written anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Splice {
    /// Where it begins, in bytes.
    at: usize,
    /// What stood there before.
    took: String,
    /// What stands there now.
    put: String,
}

impl Splice {
    /// What makes `after` of `before`: the shortest single one.
    pub(super) fn between(before: &str, after: &str) -> Splice {
        let same = |one: &[u8], other: &[u8]| one.iter().zip(other).take_while(|(a, b)| a == b).count();
        let reversed = |text: &str| text.bytes().rev().collect::<Vec<u8>>();
        let mut at = same(before.as_bytes(), after.as_bytes());
        let behind = |at: usize| before.len().min(after.len()) - at;
        let mut end = same(&reversed(before), &reversed(after)).min(behind(at));
        while !before.is_char_boundary(at) {
            at -= 1;
        }
        while !before.is_char_boundary(before.len() - end) || !after.is_char_boundary(after.len() - end) {
            end -= 1;
        }
        Splice { at, took: before[at..before.len() - end].to_owned(), put: after[at..after.len() - end].to_owned() }
    }

    /// The text as it was before; `None` where it is not what the splice made.
    pub(super) fn undone(&self, text: &str) -> Option<String> {
        let (before, rest) = text.split_at_checked(self.at)?;
        Some([before, &self.took, rest.strip_prefix(self.put.as_str())?].concat())
    }
}

/// The end of a line as a text has it.
pub(super) fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// Where the line around a place begins, and where the next one does.
pub(super) fn line_around(text: &str, at: usize) -> std::ops::Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    start..text[at..].find('\n').map_or(text.len(), |length| at + length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_put_in_and_taken_out_leaves_the_text_as_it_was() {
        for (form, text) in [
            (Form::Toml, "\u{feff}model = \"x\"\r\n"),
            (Form::Toml, "model = \"x\""),
            (Form::Toml, "'url' = \"old\"\n"),
            (Form::Env, "A=1"),
            (Form::Env, ""),
            (Form::Yaml, ""),
            (Form::Yaml, "# mine"),
            (Form::Yaml, "---\nmodel: x\n...\n"),
            (Form::Yaml, "%YAML 1.2\n---\n# mine\n  model: x\n  nested: {url: deeper}"),
            (Form::Yaml, "{model: x, nested: {url: deeper}}"),
            (Form::Yaml, "{}"),
            (Form::Yaml, "--- {model: x\n}\n"),
            (Form::Yaml, "{model: x, url: old}"),
            (Form::Yaml, "model: x\r\ntext: |+\r\n  end\r\n\r\n"),
            (Form::Yaml, "ü: ü\nurl: 'old' # mine"),
            (Form::Toml, ""),
            (Form::Toml, "# mine\nmodel = \"x\" # why\n\n[features]\nurl = \"deeper\"\n"),
            (Form::Toml, "url = 'old' # mine\nmodel = 'x'\n"),
            (Form::Env, "A=1\nexport url=\"old\"\n"),
            (Form::Env, "A=1\n"),
            (Form::Yaml, "# mine\nmodel: x\nnested:\n  url: deeper\n"),
            (Form::Yaml, "url: old # mine\n"),
        ] {
            let edited = form.set(text, &["url"], "http://r").expect("it can be put in");
            assert_eq!(form.get(&edited.text, &["url"]), Ok(Some("http://r".into())), "{}", edited.text);
            assert!(edited.text.contains("model") == text.contains("model") && edited.text.contains("deeper") == text.contains("deeper"));
            assert_eq!(Splice::between(text, &edited.text).undone(&edited.text).as_deref(), Some(text), "{text:?}");
            let unset = form.unset(&edited.text, &["url"], edited.old.as_deref(), edited.had).expect("it can be taken out");
            // Without the splice the end of a last line is not known.
            assert_eq!(unset.trim_end(), text.trim_end(), "{text:?}");
        }
        assert_eq!(Form::Env.get("export url=\"old\"", &["url"]), Ok(Some("old".into())));
        assert_eq!(Form::Yaml.get("url: old # mine\n", &["url"]), Ok(Some("old".into())));
    }

    #[test]
    fn broken_file_is_left_alone() {
        for text in ["- a\n", "text", "a: [\n", "a: 1\n---\nb: 2\n", "url: {a: 1}\n", "url: |\n  x\n"] {
            assert!(Form::Yaml.set(text, &["url"], "x").is_err(), "{text:?}");
        }
        assert!(Form::Toml.set("a = \n", &["url"], "x").is_err());
        assert!(Form::Toml.set("url = 'a'\nurl = 'b'\n", &["url"], "x").is_err(), "it stands there twice");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_edited_and_restored_without_panic(text in "[url=:\"'\\[\\]{},|# \n\rexportü\u{feff}-]{0,50}") {
            for form in [Form::Json, Form::Toml, Form::Env, Form::Yaml] {
                let _ = form.get(&text, &["url"]);
                if let Ok(edited) = form.set(&text, &["url"], "x") {
                    let _ = form.unset(&edited.text, &["url"], edited.old.as_deref(), edited.had);
                    proptest::prop_assert_eq!(Splice::between(&text, &edited.text).undone(&edited.text), Some(text.clone()));
                }
            }
        }

        #[test]
        fn splice_restores_any_text(before in "[aü]{0,9}", after in "[aü]{0,9}") {
            proptest::prop_assert_eq!(Splice::between(&before, &after).undone(&after), Some(before));
        }
    }
}
