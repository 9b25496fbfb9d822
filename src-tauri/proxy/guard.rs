//! Requests that are refused before they are routed: ambiguous ones, tunnels, and those of web pages whose name was rebound.
//!
//! A page may have its own name resolve to this machine (DNS rebinding) and then call the proxy as its own origin. Local servers defend
//! themselves by looking at `Host`, which the proxy replaces, so it must look itself.

use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};
use std::net::{IpAddr, SocketAddr};

/// As much of a refused name is shown.
const SHOWN_NAME_CHARS_MAX: usize = 100;

/// Which requests are let through.
pub(super) struct Guard {
    /// Whether the proxy listens on loopback only: elsewhere its names are the network's matter.
    loopback: bool,
    /// Names that may be called, in lower case. One that begins with a dot stands for all below it.
    hosts: Vec<String>,
}

/// The answer to a request that is refused.
type Refusal = (StatusCode, String);

impl Guard {
    pub(super) fn new(listens: SocketAddr, hosts: Vec<String>) -> Guard {
        let hosts = hosts.into_iter().map(|host| host.trim_end_matches('.').to_ascii_lowercase()).collect();
        Guard { loopback: listens.ip().to_canonical().is_loopback(), hosts }
    }

    /// Lets a request through, or says why not.
    pub(super) fn check(&self, request: &Request<Incoming>) -> Result<(), Refusal> {
        if request.method() == Method::CONNECT {
            let cause =
                "tollbar opens no tunnels: call it by its address, as the base URL of the client (`tollbar connect`), not as a proxy";
            return Err((StatusCode::METHOD_NOT_ALLOWED, cause.to_owned()));
        }
        let mut named = request.headers().get_all(header::HOST).iter();
        let host = named.next();
        if named.next().is_some() {
            return Err((StatusCode::BAD_REQUEST, "the request has more than one Host header; send one".to_owned()));
        }
        if !self.loopback {
            return Ok(());
        }
        if !is_preflight(request)
            && let Some(origin) = self.foreign_origin(request.headers())
        {
            let cause = format!(
                "a web page ({origin}) has sent the request, and pages may not call through tollbar; to let one, add its host to `proxy.hosts` in the configuration"
            );
            return Err((StatusCode::FORBIDDEN, cause));
        }
        let host = host.map(HeaderValue::as_bytes).unwrap_or_default();
        let target = request.uri().authority().map_or(&[][..], |target| target.as_str().as_bytes());
        for name in [host, target] {
            if !self.admits(name, request.headers()) {
                let shown: String = String::from_utf8_lossy(name).chars().take(SHOWN_NAME_CHARS_MAX).collect();
                let cause = format!(
                    "tollbar is called here by the name {shown:?}, which another machine may control; use 127.0.0.1 or localhost, or add the name to `proxy.hosts` in the configuration"
                );
                return Err((StatusCode::FORBIDDEN, cause));
            }
        }
        Ok(())
    }

    /// The origin of the web page that sent a request, unless the page is of this machine or of a listed host.
    ///
    /// A page can have a browser send requests anywhere. It cannot read the answers, but it could spend at an upstream without keys and
    /// fill the record. Programs that show pages of their own (`app://`, `vscode-webview://`) are no web pages.
    fn foreign_origin(&self, headers: &HeaderMap) -> Option<String> {
        let origins: Vec<&HeaderValue> = headers.get_all(header::ORIGIN).iter().collect();
        for origin in &origins {
            let text = String::from_utf8_lossy(origin.as_bytes());
            let lower = text.to_ascii_lowercase();
            let is_own = match lower.strip_prefix("http://").or_else(|| lower.strip_prefix("https://")) {
                Some(host) => self.admits(host.as_bytes(), headers),
                // A sandboxed frame, and a page of a `data:` address.
                None => lower.contains("://") && lower != "null",
            };
            if !is_own {
                return Some(text.escape_default().take(SHOWN_NAME_CHARS_MAX).collect());
            }
        }
        // Images and links of a page name no origin.
        let is_cross = headers.get_all("sec-fetch-site").iter().any(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site"));
        (origins.is_empty() && is_cross).then(|| "of another site".to_owned())
    }

    /// Whether a name, perhaps with a port, is one that nobody else can make resolve to this machine. No name is none.
    fn admits(&self, name: &[u8], headers: &HeaderMap) -> bool {
        let Ok(name) = std::str::from_utf8(name) else { return false };
        let name = match name.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
            Some(_) | None => name,
        };
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        if name.is_empty() || address.parse::<IpAddr>().is_ok() {
            return true;
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let listed = |host: &String| *host == name || host.starts_with('.') && name.ends_with(host.as_str());
        if name == "localhost" || name.ends_with(".localhost") || self.hosts.iter().any(listed) {
            return true;
        }
        // Nobody can own a name without a dot on the internet: it is one of this machine's, or of its network. A page of that network is
        // a browser's, all of which name themselves so.
        let is_label = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        is_label && !of_browser(headers)
    }
}

/// Whether a browser asks the upstream if a page may send a request. It changes and costs nothing, and the request itself is checked.
fn is_preflight(request: &Request<Incoming>) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether a browser sent it.
fn of_browser(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    agent.starts_with(b"Mozilla/") || [header::ORIGIN.as_str(), "sec-fetch-site"].iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(name: &str, agent: &str, hosts: &[&str]) -> bool {
        let guard = Guard::new(SocketAddr::from(([127, 0, 0, 1], 1)), hosts.iter().map(|host| (*host).to_owned()).collect());
        let headers = HeaderMap::from_iter([(header::USER_AGENT, agent.parse().expect("a header"))]);
        guard.admits(name.as_bytes(), &headers)
    }

    #[test]
    fn addresses_and_localhost_are_admitted() {
        let names = [
            "127.0.0.1:8655",
            "127.0.0.1",
            "[::1]:8655",
            "[::1]",
            "192.168.1.7:1",
            "localhost",
            "LOCALHOST:1",
            "localhost.:1",
            "a.localhost",
        ];
        for name in names.into_iter().chain([""]) {
            assert!(admits(name, "Mozilla/5.0", &[]), "{name}");
        }
    }

    #[test]
    fn names_that_can_be_rebound_are_refused() {
        let names =
            ["evil.example", "evil.example:8655", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example.", "notlocalhost.x"];
        for name in
            names.into_iter().chain(["127.0.0.1@evil.example", "a b", "[evil.example]", "localhost:x", "127.0.0.1:8655.evil.example"])
        {
            assert!(!admits(name, "curl/8", &[]), "{name}");
        }
    }

    #[test]
    fn a_name_without_a_dot_is_admitted_but_for_browsers() {
        assert!(admits("mybox:8655", "curl/8", &[]));
        assert!(!admits("mybox:8655", "Mozilla/5.0 (X11)", &[]));
    }

    #[test]
    fn pages_of_other_sites_are_foreign() {
        let guard = Guard::new(SocketAddr::from(([127, 0, 0, 1], 1)), vec!["app.example".to_owned()]);
        let is_foreign = |headers: &[(&'static str, &str)]| {
            let headers = headers.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().expect("a header")));
            guard.foreign_origin(&HeaderMap::from_iter(headers)).is_some()
        };
        for origin in [
            "https://evil.example",
            "http://evil.example:8655",
            "null",
            "HTTPS://EVIL.example",
            "",
            "https://",
            "http://127.0.0.1.evil.example",
        ] {
            assert!(is_foreign(&[("origin", origin)]) || origin == "https://", "{origin}");
        }
        for origin in ["http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:1", "https://app.example", "app://obsidian.md"] {
            assert!(!is_foreign(&[("origin", origin), ("sec-fetch-site", "cross-site")]), "{origin}");
        }
        assert!(is_foreign(&[("sec-fetch-site", "cross-site")]) && is_foreign(&[("sec-fetch-site", "Cross-Site")]));
        assert!(!is_foreign(&[("sec-fetch-site", "same-origin")]) && !is_foreign(&[("sec-fetch-site", "none")]) && !is_foreign(&[]));
    }

    #[test]
    fn listed_names_are_admitted() {
        let hosts = ["host.docker.internal", ".corp.example"];
        assert!(admits("host.docker.internal:8655", "Mozilla/5.0", &hosts) && admits("a.CORP.example", "", &hosts));
        assert!(!admits("corp.example", "", &hosts) && !admits("evilcorp.example", "", &hosts));
    }
}
