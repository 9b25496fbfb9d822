//! The user's own HTTP proxy, and that calls to this machine do not go there.
//!
//! A program that is pointed at `http://127.0.0.1` while `HTTP_PROXY` is set sends its key and prompts in clear text to that proxy, where
//! before it reached `https://` through a tunnel. Pure: the environment is passed in.

use std::net::IpAddr;

/// The variables that name an HTTP proxy. Some clients send `http://` through `HTTPS_PROXY` as well (Claude Code, Gemini CLI).
pub(super) const PROXIES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// The variables that name exceptions. Each program reads one of them first, and then often not the other.
pub(super) const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// This machine in the spelling that all of curl, Go, Node (undici), Python (urllib, requests, httpx) and Rust (reqwest) read.
///
/// `[::1]` is missing: httpx 0.28 refuses to start with it in the list.
const HERE: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The first variable that names an HTTP proxy.
pub(super) fn named(env: Environment<'_>) -> Option<&'static str> {
    PROXIES.into_iter().find(|name| given(env, name).is_some())
}

/// The variables to set so that calls to the proxy at `ip` go there directly, whichever of them a program reads.
pub(super) fn exceptions(ip: IpAddr, env: Environment<'_>) -> Vec<(String, String)> {
    let own = EXCEPTIONS.map(|name| given(env, name));
    let extended = |nth: usize| {
        // A program that finds one of them unset reads the other.
        let base = own[nth].clone().or_else(|| own[1 - nth].clone()).unwrap_or_default();
        let list = extended(&base, ip)?;
        Some((EXCEPTIONS[nth].to_owned(), list))
    };
    [0, 1].into_iter().filter_map(extended).collect()
}

/// Whether every list of exceptions that is set lets calls to `ip` go there directly.
pub(super) fn is_exempt(ip: IpAddr, env: Environment<'_>) -> bool {
    let lists: Vec<String> = EXCEPTIONS.iter().filter_map(|name| given(env, name)).collect();
    let ip = ip.to_string();
    !lists.is_empty() && lists.iter().all(|list| list.trim() == "*" || entries(list).any(|entry| entry == ip))
}

fn given(env: Environment<'_>, name: &str) -> Option<String> {
    env(name).filter(|value| !value.trim().is_empty())
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty())
}

/// A list with this machine in it; `None` where nothing is to be added.
fn extended(list: &str, ip: IpAddr) -> Option<String> {
    let ip = ip.to_string();
    // `*` exempts everything, and only while it is alone.
    if list.trim() == "*" {
        return None;
    }
    let mut whole = list.trim().trim_end_matches(',').to_owned();
    let mut added = false;
    for entry in std::iter::once(ip.as_str()).chain(HERE) {
        if !entries(&whole).any(|there| there.eq_ignore_ascii_case(entry)) {
            whole = if whole.is_empty() { entry.to_owned() } else { format!("{whole},{entry}") };
            added = true;
        }
    }
    added.then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn set(env: &[(&str, &str)]) -> Vec<(String, String)> {
        let env: Vec<(String, String)> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        exceptions(IP, &move |name| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
    }

    fn both(upper: &str, lower: &str) -> Vec<(String, String)> {
        vec![("NO_PROXY".into(), upper.into()), ("no_proxy".into(), lower.into())]
    }

    #[test]
    fn exceptions_are_extended_and_keep_what_stands_there() {
        let here = "127.0.0.1,localhost,::1";
        assert_eq!(set(&[]), both(here, here));
        let corp = ".corp.example,127.0.0.1,localhost,::1";
        assert_eq!(set(&[("NO_PROXY", ".corp.example,")]), both(corp, corp));
        assert_eq!(set(&[("no_proxy", "a b"), ("NO_PROXY", "LOCALHOST")]), both("LOCALHOST,127.0.0.1,::1", "a b,127.0.0.1,localhost,::1"));
        assert_eq!(set(&[("no_proxy", "*")]), [], "an asterisk exempts all");
        assert_eq!(set(&[("NO_PROXY", here), ("no_proxy", here)]), []);
        let lan: IpAddr = "192.168.1.7".parse().expect("an address");
        assert_eq!(exceptions(lan, &|_| None)[0].1, "192.168.1.7,127.0.0.1,localhost,::1");
    }

    #[test]
    fn exemption_is_missing_if_one_list_lacks_it() {
        let exempt = |upper: Option<&str>, lower: Option<&str>| {
            is_exempt(IP, &|name| if name == "NO_PROXY" { upper } else { lower }.map(str::to_owned))
        };
        assert!(exempt(Some("localhost, 127.0.0.1"), None) && exempt(Some("*"), Some("127.0.0.1")));
        assert!(!exempt(None, None) && !exempt(Some("127.0.0.1"), Some(".corp")) && !exempt(Some("127.0.0.1.example"), None));
    }
}
