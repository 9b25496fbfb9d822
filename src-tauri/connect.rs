//! How clients are pointed at the proxy: for one run (`tollbar run`), or in their own settings (`tollbar connect`).
//!
//! A client's settings file is its user's: what stands in it stays, and what was added can be taken away again.

pub mod address;
pub mod check;
mod command;
mod dotenv;
mod edit;
mod files;
mod http_proxy;
mod json;
mod launch;
pub mod listener;
mod record;
mod settings;
pub mod shims;
mod toml_file;
mod yaml;

use crate::{
    config::{Config, Home},
    engine::{ControlClient, announced_proxy},
    percent,
};
use address::Directory;
use check::{Finding, HttpProxy, Port};
use edit::Form;
use listener::{Listener, listener};
use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

pub use launch::{Launch, Surroundings};
pub use record::{Done, undo, write, write_companions};
pub use settings::{Client, Setting, Stand, Standing};

/// A port of this machine that does not answer within this time does not answer.
const ANSWER_WAIT: Duration = Duration::from_millis(700);
/// How much of an answer is read to know whose it is.
const ANSWER_BYTES_MAX: u64 = 4096;

/// How clients stand on this machine, and what is wrong with it.
#[derive(Debug)]
pub struct Survey {
    /// Every client.
    pub standings: Vec<Standing>,
    /// What is wrong, and the way out.
    pub findings: Vec<Finding>,
}

/// Where the proxy of this home is: where its engine says that it listens, else where the configuration puts it.
pub fn proxy_address(home: &Home, config: &Config) -> SocketAddr {
    let mut address = announced_proxy(home).unwrap_or(config.proxy);
    // Who listens everywhere is called here.
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// What answers at an address of this machine. The proxy is only taken for this user's if its process is.
pub fn port(address: SocketAddr, home: &Home) -> Port {
    match listener(address) {
        Listener::Nobody => Port::Silent,
        Listener::Foreign(uid) => Port::Foreign(uid),
        Listener::Own if answers(address) => Port::Proxy,
        // The engine of this home knows the token, and says where its proxy is.
        Listener::Unknown
            if answers(address) && announced_proxy(home) == Some(address) && matches!(ControlClient::knock(home), Ok(Some(_))) =>
        {
            Port::Proxy
        }
        Listener::Own | Listener::Unknown if TcpStream::connect_timeout(&address, ANSWER_WAIT).is_ok() => Port::Other,
        Listener::Own | Listener::Unknown => Port::Silent,
    }
}

/// Whether a proxy of tollbar's answers there, within a moment.
fn answers(address: SocketAddr) -> bool {
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

/// Whether a program that is no proxy of this user's answers there.
pub fn is_taken(address: SocketAddr, home: &Home) -> bool {
    matches!(port(address, home), Port::Foreign(_) | Port::Other)
}

/// The proxy's address as clients are told it, with a project in its path where one is known.
pub fn root(address: SocketAddr, project: Option<&str>) -> String {
    match project {
        Some(project) => format!("http://{address}/p/{}", percent::encoded(project)),
        None => format!("http://{address}"),
    }
}

/// The text of a settings file, if there is one that can be read.
pub fn file_text(file: &Path) -> Option<String> {
    files::read(file).ok().flatten()
}

/// Looks at every client of this user, at the ports that they are pointed at, and at HTTP proxies on the way there.
pub fn survey(home: &Home, config: &Config, env: &dyn Fn(&str) -> Option<String>) -> Survey {
    let proxy = proxy_address(home, config);
    let is_taken = |address| is_taken(address, home);
    let directory = Directory { proxy, upstreams: &config.upstreams, is_taken: &is_taken };
    let (standings, pointings) = settings::stands(&root(proxy, None), &directory, env);
    let mut findings = check::ports(&pointings, proxy, &|address| port(address, home));
    let is_used = pointings.iter().any(|pointing| pointing.is_ours);
    findings.extend(http_proxies(proxy, is_used, env));
    for client in Client::ALL {
        findings.extend(record::copies(client, env, &[]).into_iter().map(|copy| Finding {
            what: format!("{} is a copy of settings with their keys, made by an earlier version", copy.display()),
            way_out: format!("remove it, or let `tollbar connect {} --undo` do so", client.name()),
            is_urgent: false,
        }));
    }
    Survey { standings, findings }
}

/// HTTP proxies that would get the calls of clients to the proxy.
fn http_proxies(proxy: SocketAddr, is_used: bool, env: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let text = |client: Client| (client.file(env), file_text(&client.file(env)).unwrap_or_default());
    let ((claude_file, claude), (gemini_file, gemini), (copilot_file, copilot)) =
        (text(Client::ClaudeCode), text(Client::Gemini), text(Client::Copilot));
    let of_claude = |name: &str| Form::Json.get(&claude, &["env", name]).ok().flatten();
    let of_gemini = |name: &str| dotenv::get(&gemini, name);
    let of_copilot = Form::Json.get(&copilot, &["proxyUrl"]).ok().flatten();
    // Claude Code's settings go before the environment, Gemini CLI's and Copilot's come after it.
    let with_claude = |name: &str| of_claude(name).or_else(|| env(name));
    let with_gemini = |name: &str| env(name).or_else(|| of_gemini(name));
    let with_copilot = |name: &str| env(name).or_else(|| of_copilot.clone().filter(|_| name == "HTTPS_PROXY"));
    let mut proxies = vec![HttpProxy { whose: "the environment".to_owned(), env }];
    let of_file = |client: Client, file: &Path| format!("{} ({})", client.name(), file.display());
    if http_proxy::named(&of_claude).is_some() {
        proxies.push(HttpProxy { whose: of_file(Client::ClaudeCode, &claude_file), env: &with_claude });
    }
    if http_proxy::named(&of_gemini).is_some() {
        proxies.push(HttpProxy { whose: of_file(Client::Gemini, &gemini_file), env: &with_gemini });
    }
    if of_copilot.is_some() && http_proxy::named(env).is_none() {
        proxies.push(HttpProxy { whose: of_file(Client::Copilot, &copilot_file), env: &with_copilot });
    }
    check::http_proxies(&proxies, proxy, is_used)
}

/// For the fuzzers: puts a setting into any text as every kind of file, and reads it back.
pub(crate) fn any_settings(text: &str) {
    for form in [Form::Json, Form::Toml, Form::Env, Form::Yaml] {
        let path: &[&str] = if form == Form::Json { &["env", "BASE"] } else { &["base"] };
        let _ = form.get(text, path);
        if let Ok(edited) = form.set(text, path, "http://127.0.0.1:1/x") {
            assert_eq!(form.get(&edited.text, path), Ok(Some("http://127.0.0.1:1/x".to_owned())), "{form:?}: {:?}", edited.text);
            let undone = edit::Splice::between(text, &edited.text).undone(&edited.text);
            assert_eq!(undone.as_deref(), Some(text), "{form:?}: {:?}", edited.text);
        }
    }
}

/// The lines for a shell that point every program which reads such variables.
pub fn exports(root: &str) -> Vec<String> {
    launch::VARIABLES.iter().map(|(name, path)| format!("export {name}={root}{path}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_stands_in_the_path_whatever_letters_it_has() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8655));
        assert_eq!(root(address, None), "http://127.0.0.1:8655");
        assert_eq!(root(address, Some("my app/ü")), "http://127.0.0.1:8655/p/my%20app%2F%C3%BC");
    }
}
