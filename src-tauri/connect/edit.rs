//! One setting put into a file or taken out of it, with the rest as it was. Pure: text in, text out.

use super::json;

/// How a settings file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON, with comments where the client allows them.
    Json,
    /// TOML, before its first table.
    Toml,
    /// `NAME=value` a line.
    Env,
    /// YAML, on its outermost level.
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
        let (Form::Toml | Form::Env | Form::Yaml, [name]) = (self, path) else { return json::get(text, path) };
        let Some((_, line)) = self.line(text, name) else { return Ok(None) };
        let value = line.trim_start().trim_start_matches("export ").trim_start()[name.len()..].trim_start();
        let value = value.trim_start_matches([':', '=']).trim();
        let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''));
        let value = match quote {
            Some(quote) => value[1..].split(quote).next().unwrap_or_default(),
            None => value.split(" #").next().unwrap_or_default().trim_end(),
        };
        Ok(Some(value.to_owned()))
    }

    /// The text with the setting. The error says why it cannot be put there.
    pub(super) fn set(self, text: &str, path: &[&str], value: &str) -> Result<Edited, String> {
        let (Form::Toml | Form::Env | Form::Yaml, [name]) = (self, path) else {
            return if text.trim().is_empty() { json::set("", path, value) } else { json::set(text, path, value) };
        };
        self.checked(text)?;
        let ours = match self {
            Form::Toml => format!("{name} = \"{value}\""),
            Form::Env => format!("{name}={value}"),
            Form::Yaml | Form::Json => format!("{name}: \"{value}\""),
        };
        let edited = match self.line(text, name) {
            Some((start, line)) => {
                let text = [&text[..start], &ours, &text[start + line.len()..]].concat();
                Edited { text, old: Some(line.to_owned()), had: 1 }
            }
            // A table or a document that has begun would take it for its own.
            None if self == Form::Toml => Edited { text: format!("{ours}\n{text}"), old: None, had: 0 },
            None => {
                let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
                Edited { text: format!("{text}{end}{ours}\n"), old: None, had: 0 }
            }
        };
        let read = self.checked(&edited.text)?;
        if read.is_some_and(|table| table.get(*name).and_then(toml::Value::as_str) != Some(value)) {
            return Err(format!("{name} cannot be put in there"));
        }
        Ok(edited)
    }

    /// The text without the setting: what stood there again, or nothing.
    pub(super) fn unset(self, text: &str, path: &[&str], old: Option<&str>, had: usize) -> Result<String, String> {
        let (Form::Toml | Form::Env | Form::Yaml, [name]) = (self, path) else { return json::unset(text, path, old, had) };
        let Some((start, line)) = self.line(text, name) else { return Ok(text.to_owned()) };
        let end = start + line.len();
        Ok(match old {
            Some(old) => [&text[..start], old, &text[end..]].concat(),
            None => [&text[..start], text[end..].strip_prefix("\r\n").or(text[end..].strip_prefix('\n')).unwrap_or(&text[end..])].concat(),
        })
    }

    /// The line of a name on the outermost level, and where it begins. Of several the last counts.
    fn line<'t>(self, text: &'t str, name: &str) -> Option<(usize, &'t str)> {
        let mut start = 0;
        let mut found = None;
        for line in text.split_inclusive('\n') {
            let bare = line.trim_end_matches(['\n', '\r']);
            let trimmed = match self {
                Form::Toml => bare.trim_start(),
                Form::Env => bare.trim_start().trim_start_matches("export ").trim_start(),
                // Deeper levels are indented.
                Form::Yaml | Form::Json => bare,
            };
            if self == Form::Toml && trimmed.starts_with('[') {
                break;
            }
            let behind = trimmed.strip_prefix(name).map(str::trim_start);
            if behind.is_some_and(|rest| rest.starts_with(if matches!(self, Form::Yaml) { ':' } else { '=' })) {
                found = Some((start, bare));
            }
            start += line.len();
        }
        found
    }

    /// A TOML file as it is read; nothing for the forms whose every line stands alone.
    fn checked(self, text: &str) -> Result<Option<toml::Table>, String> {
        match self {
            Form::Toml => text.parse().map(Some).map_err(|error: toml::de::Error| format!("it is no TOML: {}", error.message())),
            Form::Json | Form::Env | Form::Yaml => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_put_in_and_taken_out_again_with_the_rest_as_it_was() {
        for (form, text) in [
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
            assert_eq!(form.unset(&edited.text, &["url"], edited.old.as_deref(), edited.had), Ok(text.to_owned()));
        }
        assert_eq!(Form::Env.get("export url=\"old\"", &["url"]), Ok(Some("old".into())));
        assert_eq!(Form::Yaml.get("url: old # mine\n", &["url"]), Ok(Some("old".into())));
    }

    #[test]
    fn a_broken_file_is_left_alone() {
        assert!(Form::Toml.set("a = \n", &["url"], "x").is_err());
        assert!(Form::Toml.set("list = [\n  [1],\n]\nurl = 'later'\n", &["url"], "x").is_err(), "it would stand there twice");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[url=:\"'\\[\\]# \n\rexportü]{0,50}") {
            for form in [Form::Toml, Form::Env, Form::Yaml] {
                let _ = form.get(&text, &["url"]);
                if let Ok(edited) = form.set(&text, &["url"], "x") {
                    let _ = form.unset(&edited.text, &["url"], edited.old.as_deref(), edited.had);
                }
            }
        }
    }
}
