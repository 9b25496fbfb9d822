//! Which client a command starts, and where in the command its arguments begin. Pure.

use super::settings::Client;
use std::{ffi::OsString, path::Path};

/// The programs of clients, and the packages that they come in.
const PROGRAMS: [(&str, &str, Client); 6] = [
    ("claude", "@anthropic-ai/claude-code", Client::ClaudeCode),
    ("codex", "@openai/codex", Client::Codex),
    ("gemini", "@google/gemini-cli", Client::Gemini),
    ("opencode", "opencode-ai", Client::OpenCode),
    ("copilot", "@github/copilot", Client::Copilot),
    ("aider", "aider-chat", Client::Aider),
];

/// Programs that fetch a package and run it, with the words that come before the package.
const RUNNERS: [(&str, &[&str]); 13] = [
    ("npx", &[]),
    ("pnpx", &[]),
    ("bunx", &[]),
    ("uvx", &[]),
    ("npm", &["exec"]),
    ("npm", &["x"]),
    ("pnpm", &["dlx"]),
    ("pnpm", &["exec"]),
    ("yarn", &["dlx"]),
    ("yarn", &["exec"]),
    ("bun", &["x"]),
    ("uv", &["tool", "run"]),
    ("pipx", &["run"]),
];
/// Their options that take a value.
const RUNNER_VALUES: [&str; 6] = ["-p", "--package", "--from", "--with", "--python", "--spec"];

/// Programs that run a script.
const INTERPRETERS: [&str; 5] = ["node", "bun", "deno", "python", "python3"];

/// The client that a command starts, and where arguments for it can be put.
pub(super) fn client_of(command: &[OsString]) -> Option<(Client, usize)> {
    let words: Vec<&str> = command.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let program = stem(words.first()?);
    if let Some(client) = by_program(program) {
        return Some((client, 1));
    }
    for (runner, before) in RUNNERS {
        if runner == program && words[1..].starts_with(before) {
            return package(&words, 1 + before.len());
        }
    }
    let interprets = INTERPRETERS.contains(&program) || program.starts_with("python3.");
    if interprets { script(&words) } else { None }
}

/// The program of a client.
pub(super) fn program(client: Client) -> &'static str {
    PROGRAMS.iter().find(|(_, _, known)| *known == client).map_or("", |(program, _, _)| *program)
}

fn by_program(name: &str) -> Option<Client> {
    PROGRAMS.iter().find(|(program, _, _)| *program == name).map(|(_, _, client)| *client)
}

fn stem(path: &str) -> &str {
    Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

/// The client in the first word that is no option, a package with or without its version, or a program.
fn package(words: &[&str], mut at: usize) -> Option<(Client, usize)> {
    while words.get(at)?.starts_with('-') {
        at += if RUNNER_VALUES.contains(&words[at]) { 2 } else { 1 };
    }
    let word = words[at];
    let version = word.char_indices().skip(1).find(|(_, letter)| *letter == '@').map_or(word.len(), |(at, _)| at);
    let name = &word[..version];
    let found = PROGRAMS.iter().find(|(program, package, _)| *program == name || *package == name)?;
    Some((found.2, at + 1))
}

/// The client of a script or a module that an interpreter runs.
fn script(words: &[&str]) -> Option<(Client, usize)> {
    let at = 1 + words[1..].iter().position(|word| !word.starts_with('-') && *word != "run")?;
    let script = words[at].replace('\\', "/");
    let in_package = |(_, package, _): &&(&str, &str, Client)| script.contains(&format!("/{package}/"));
    let client = PROGRAMS.iter().find(in_package).map(|(_, _, client)| *client).or_else(|| by_program(stem(words[at])))?;
    Some((client, at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_names_its_client_and_where_arguments_go() {
        for (command, expected) in [
            ("codex exec hi", Some((Client::Codex, 1))),
            ("/opt/bin/claude -p hi", Some((Client::ClaudeCode, 1))),
            ("npx codex", Some((Client::Codex, 2))),
            ("npx -y @openai/codex@0.171.0 exec hi", Some((Client::Codex, 3))),
            ("npx -p @openai/codex codex exec", Some((Client::Codex, 4))),
            ("npm exec -- @anthropic-ai/claude-code -p hi", Some((Client::ClaudeCode, 4))),
            ("pnpm dlx opencode-ai run hi", Some((Client::OpenCode, 3))),
            ("uvx --from aider-chat aider", Some((Client::Aider, 4))),
            ("node --no-warnings /x/node_modules/@openai/codex/bin/codex.js exec", Some((Client::Codex, 3))),
            ("node /x/node_modules/@google/gemini-cli/bundle/index.js -p hi", Some((Client::Gemini, 2))),
            ("python3.12 -m aider --message hi", Some((Client::Aider, 3))),
            ("npm install codex", None),
            ("npx", None),
            ("npx -p", None),
            ("python3", None),
            ("sh -c codex", None),
        ] {
            let words: Vec<OsString> = command.split(' ').map(OsString::from).collect();
            assert_eq!(client_of(&words), expected, "{command}");
        }
        assert_eq!(client_of(&[]), None);
    }
}
