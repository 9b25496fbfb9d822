//! How clients are pointed at the proxy: by variables for one run (`tollbar run`), or in their own settings (`tollbar connect`).
//!
//! A client's settings file is its user's: what stands in it stays, and what was added can be taken away again.

pub mod check;
mod edit;
mod json;
mod settings;

use crate::{
    config::{Config, Home},
    engine::announced_proxy,
    percent,
};
use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

pub use settings::{Client, Stand, Standing, stands, undo, write};

/// Who does not answer on loopback within this time does not answer.
const ANSWER_WAIT: Duration = Duration::from_millis(700);
/// How much of an answer is read to know whose it is.
const ANSWER_BYTES_MAX: u64 = 4096;

/// The variables that SDKs and clients read their base address from, with what each wants behind the proxy's address
/// (gateways-and-clients, section 4.1).
const VARIABLES: [(&str, &str); 9] = [
    ("ANTHROPIC_BASE_URL", "/anthropic"),
    // LiteLLM, and aider through it.
    ("ANTHROPIC_API_BASE", "/anthropic"),
    // LangChain reads this one first.
    ("ANTHROPIC_API_URL", "/anthropic"),
    ("OPENAI_BASE_URL", "/openai/v1"),
    ("OPENAI_API_BASE", "/openai/v1"),
    ("GOOGLE_GEMINI_BASE_URL", "/gemini"),
    ("GROQ_BASE_URL", "/groq"),
    ("CEREBRAS_BASE_URL", "/cerebras"),
    ("CO_API_URL", "/cohere"),
];

/// The providers of opencode that are pointed at the proxy, the variable that holds each one's key, and their base addresses.
const OPENCODE: [(&str, &str, &str); 4] = [
    ("anthropic", "ANTHROPIC_API_KEY", "/anthropic/v1"),
    ("openai", "OPENAI_API_KEY", "/openai/v1"),
    ("google", "GEMINI_API_KEY", "/gemini/v1beta"),
    ("mistral", "MISTRAL_API_KEY", "/mistral/v1"),
];

/// Where the proxy of this home is: where its engine says that it listens, else where the configuration puts it.
pub fn proxy_address(home: &Home, config: &Config) -> SocketAddr {
    let mut address = announced_proxy(home).unwrap_or(config.proxy);
    // Who listens everywhere is called here.
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Whether a proxy of ours answers there, within a moment.
pub fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_WAIT)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.set_write_timeout(Some(ANSWER_WAIT))?;
        stream.write_all(format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| memchr::memmem::find(&answer, b"tollbar_error").is_some())
}

/// The proxy's address as clients are told it, with a project in its path where one is known.
pub fn root(address: SocketAddr, project: Option<&str>) -> String {
    match project {
        Some(project) => format!("http://{address}/p/{}", percent::encoded(project)),
        None => format!("http://{address}"),
    }
}

/// What is set for a command, and what is put before its arguments.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pointed {
    /// Variables to be set.
    pub variables: Vec<(String, String)>,
    /// Arguments that come first.
    pub arguments: Vec<String>,
    /// Variables that lead elsewhere already, by the user's own wish, and stay so.
    pub kept: Vec<String>,
}

/// How `program` is pointed at the proxy whose root this is, for one run. `env` reads the environment that it would have.
pub fn pointed(program: &str, root: &str, env: &dyn Fn(&str) -> Option<String>) -> Pointed {
    let mut pointed = Pointed::default();
    let given = |name: &str| env(name).filter(|value| !value.trim().is_empty());
    for (name, path) in VARIABLES {
        match given(name) {
            Some(other) if !check::is_loopback(&other) => pointed.kept.push(name.to_owned()),
            Some(_) | None => pointed.variables.push((name.to_owned(), format!("{root}{path}"))),
        }
    }
    match program {
        // It reads no variable (clients-measured, section 2).
        "codex" => pointed.arguments = vec!["-c".to_owned(), format!("openai_base_url=\"{root}/openai/v1\"")],
        "opencode" if given("OPENCODE_CONFIG_CONTENT").is_some() => pointed.kept.push("OPENCODE_CONFIG_CONTENT".to_owned()),
        "opencode" => {
            // A provider that is named at all is offered: only those that can be used are named.
            let keyed = OPENCODE.iter().any(|(_, key, _)| given(key).is_some());
            let wanted = |(name, key, _): &&(&str, &str, &str)| {
                if keyed { given(key).is_some() } else { matches!(*name, "anthropic" | "openai") }
            };
            let providers: serde_json::Map<_, _> = OPENCODE
                .iter()
                .filter(wanted)
                .map(|(name, _, path)| ((*name).to_owned(), serde_json::json!({ "options": { "baseURL": format!("{root}{path}") } })))
                .collect();
            let content = serde_json::json!({ "provider": providers }).to_string();
            pointed.variables.push(("OPENCODE_CONFIG_CONTENT".to_owned(), content));
        }
        _ => {}
    }
    pointed
}

/// For the fuzzers: puts a setting into any text as every kind of file, and reads it back.
pub(crate) fn any_settings(text: &str) {
    for form in [edit::Form::Json, edit::Form::Toml, edit::Form::Env, edit::Form::Yaml] {
        let path: &[&str] = if form == edit::Form::Json { &["env", "BASE"] } else { &["base"] };
        let _ = form.get(text, path);
        if let Ok(edited) = form.set(text, path, "http://127.0.0.1:1/x") {
            assert_eq!(form.get(&edited.text, path), Ok(Some("http://127.0.0.1:1/x".to_owned())), "{form:?}: {:?}", edited.text);
        }
    }
}

/// The lines for a shell that point every program which reads such variables.
pub fn exports(root: &str) -> Vec<String> {
    VARIABLES.iter().map(|(name, path)| format!("export {name}={root}{path}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_stands_in_the_path_whatever_letters_it_has() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8655));
        assert_eq!(root(address, None), "http://127.0.0.1:8655");
        assert_eq!(root(address, Some("my app/ü")), "http://127.0.0.1:8655/p/my%20app%2F%C3%BC");
    }

    #[test]
    fn a_variable_that_leads_elsewhere_by_the_users_wish_stays() {
        let env = |name: &str| match name {
            "OPENAI_BASE_URL" => Some("https://gateway.example/v1".to_owned()),
            "ANTHROPIC_BASE_URL" => Some("http://127.0.0.1:9/old".to_owned()),
            _ => None,
        };
        let pointed = pointed("python", "http://r", &env);
        assert_eq!(pointed.kept, ["OPENAI_BASE_URL"]);
        assert!(pointed.variables.contains(&("ANTHROPIC_BASE_URL".into(), "http://r/anthropic".into())));
        assert!(pointed.arguments.is_empty());
    }

    #[test]
    fn clients_that_read_no_such_variable_are_pointed_in_their_own_way() {
        let key = |name: &str| (name == "GEMINI_API_KEY").then(|| "k".to_owned());
        let codex = pointed("codex", "http://r", &key);
        assert_eq!(codex.arguments, ["-c", "openai_base_url=\"http://r/openai/v1\""]);
        let opencode = pointed("opencode", "http://r", &key);
        let content = r#"{"provider":{"google":{"options":{"baseURL":"http://r/gemini/v1beta"}}}}"#;
        assert!(opencode.variables.contains(&("OPENCODE_CONFIG_CONTENT".into(), content.into())));
    }
}
