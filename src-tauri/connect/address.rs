//! Where a base address leads. Pure: whether a port is taken by another program is passed in.

use crate::upstreams::{Upstream, Upstreams};
use hyper::Uri;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a base address leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// To the proxy, or to where one of ours was: the path behind its root, without a project.
    Proxy(String),
    /// To an upstream that the proxy knows: the path behind the proxy's root that leads there.
    Upstream(String),
    /// To an address that the proxy does not know.
    Elsewhere,
}

impl Lead {
    /// The path behind the proxy's root that reaches the same place.
    pub(super) fn path(&self) -> Option<&str> {
        match self {
            Lead::Proxy(path) | Lead::Upstream(path) => Some(path),
            Lead::Elsewhere => None,
        }
    }
}

/// What is needed to know where an address leads.
#[derive(Clone, Copy)]
pub struct Directory<'a> {
    /// Where the proxy listens.
    pub proxy: SocketAddr,
    /// The upstreams that it knows.
    pub upstreams: &'a Upstreams,
    /// Whether a program that is no proxy of ours answers at an address of this machine.
    pub is_taken: &'a dyn Fn(SocketAddr) -> bool,
}

impl Directory<'_> {
    /// Where `url` leads. `usual` is the path that the proxy's own setting has in this place: `/openai/v1`.
    pub(super) fn lead(&self, url: &str, usual: &str) -> Lead {
        let Some(uri) = parsed(url) else { return Lead::Elsewhere };
        if let Some(address) = loopback(url) {
            let path = without_project(uri.path());
            // A proxy of ours that listened on another port left the same path behind.
            let is_former = path == usual && !(self.is_taken)(address);
            if address.port() == self.proxy.port() && is_here(address, self.proxy) || is_former {
                return Lead::Proxy(path.to_owned());
            }
        }
        let first = usual.trim_start_matches('/').split('/').next().unwrap_or_default();
        let candidates = self.upstreams.names().into_iter().filter_map(|name| {
            let upstream = self.upstreams.get(&name)?;
            let rest = behind(&uri, upstream)?;
            let length = upstream.base.path().trim_end_matches('/').len();
            Some(((length, name == first), format!("/{name}{rest}")))
        });
        candidates.max_by_key(|(fit, _)| *fit).map_or(Lead::Elsewhere, |(_, path)| Lead::Upstream(path))
    }
}

/// Whether an address leads to this machine.
pub fn is_loopback(url: &str) -> bool {
    loopback(url).is_some()
}

/// The socket of this machine that a base address leads to.
pub(super) fn loopback(url: &str) -> Option<SocketAddr> {
    let uri: Uri = url.trim().parse().ok()?;
    let ip = here(uri.host()?)?;
    Some(SocketAddr::new(ip, port(&uri)))
}

/// An address as it may be shown: without credentials, query and control characters.
pub fn shown(url: &str) -> String {
    let plain = |text: &str| text.chars().filter(|letter| !letter.is_control()).take(SHOWN_CHARS_MAX).collect::<String>();
    match url.trim().parse::<Uri>() {
        Ok(uri) if uri.scheme().is_some() => {
            let authority = uri.authority().map_or("", |authority| authority.as_str());
            let host = authority.rsplit('@').next().unwrap_or_default();
            plain(&format!("{}://{host}{}", uri.scheme_str().unwrap_or("http"), uri.path().trim_end_matches('/')))
        }
        // A text that is no address may be anything, a key too.
        Ok(_) | Err(_) => "a value that is no address".to_owned(),
    }
}

/// The most of an address that is shown.
const SHOWN_CHARS_MAX: usize = 200;

/// An address that a client can call: http or https, with neither credentials nor a query.
fn parsed(url: &str) -> Option<Uri> {
    let uri: Uri = url.trim().parse().ok()?;
    let plain = !uri.authority()?.as_str().contains('@') && uri.query().is_none();
    (plain && matches!(uri.scheme_str(), Some("http" | "https"))).then_some(uri)
}

/// The address of this machine that a host names.
fn here(host: &str) -> Option<IpAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ip: IpAddr = if host.eq_ignore_ascii_case("localhost") { Ipv4Addr::LOCALHOST.into() } else { host.parse().ok()? };
    let ip = match ip {
        IpAddr::V4(ip) => IpAddr::V4(if ip.is_unspecified() { Ipv4Addr::LOCALHOST } else { ip }),
        IpAddr::V6(ip) => IpAddr::V6(if ip.is_unspecified() { Ipv6Addr::LOCALHOST } else { ip }),
    };
    ip.is_loopback().then_some(ip)
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
}

/// Whether a loopback address reaches a listener. `localhost` reaches any loopback address of that port.
fn is_here(address: SocketAddr, listener: SocketAddr) -> bool {
    address == listener || listener.ip().is_loopback() && address.ip() == IpAddr::from(Ipv4Addr::LOCALHOST)
}

/// A path behind the proxy's root without `/p/<project>`, and without a slash at its end.
fn without_project(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    match path.strip_prefix("/p/") {
        Some(rest) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => path,
    }
}

/// The rest of an address behind the base of an upstream, if it lies there.
fn behind<'u>(uri: &'u Uri, upstream: &Upstream) -> Option<&'u str> {
    let base = &upstream.base;
    let (ours, theirs) = (base.host()?, uri.host()?);
    let same_host = ours.eq_ignore_ascii_case(theirs) || here(ours).is_some_and(|ip| Some(ip) == here(theirs));
    if !same_host || base.scheme_str() != uri.scheme_str() || port(base) != port(uri) {
        return None;
    }
    let rest = uri.path().trim_end_matches('/').strip_prefix(base.path().trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn address_leads_to_proxy_upstream_or_elsewhere() {
        let config = Config::parse("[upstreams.relay]\nbase_url = 'https://relay.example/api'").expect("a configuration");
        let is_taken = |address: SocketAddr| address.port() == 4000;
        let directory = Directory { proxy: SocketAddr::from(([127, 0, 0, 1], 8655)), upstreams: &config.upstreams, is_taken: &is_taken };
        for (url, expected) in [
            ("http://127.0.0.1:8655/p/my%20app/openai/v1", Lead::Proxy("/openai/v1".into())),
            ("http://localhost:8655/openrouter/api/v1/", Lead::Proxy("/openrouter/api/v1".into())),
            ("http://127.0.0.1:8655", Lead::Proxy(String::new())),
            ("http://127.0.0.1:9999/openai/v1", Lead::Proxy("/openai/v1".into())),
            ("http://127.0.0.1:4000/openai/v1", Lead::Elsewhere),
            ("http://127.0.0.1:4000", Lead::Elsewhere),
            ("https://api.openai.com/v1/", Lead::Upstream("/openai/v1".into())),
            ("https://openrouter.ai/api/v1", Lead::Upstream("/openrouter/api/v1".into())),
            ("http://localhost:11434/v1", Lead::Upstream("/ollama/v1".into())),
            ("https://relay.example/api/v1", Lead::Upstream("/relay/v1".into())),
            ("https://relay.example/apis/v1", Lead::Elsewhere),
            ("http://api.openai.com/v1", Lead::Elsewhere),
            ("https://user:secret@api.openai.com/v1", Lead::Elsewhere),
            ("https://api.openai.com/v1?key=secret", Lead::Elsewhere),
            ("sk-secret", Lead::Elsewhere),
            ("", Lead::Elsewhere),
        ] {
            assert_eq!(directory.lead(url, "/openai/v1"), expected, "{url}");
        }
    }

    #[test]
    fn address_with_credentials_is_shown_without_them() {
        assert_eq!(shown("https://user:secret@gateway.example/v1?key=secret"), "https://gateway.example/v1");
        assert_eq!(shown("sk-secret"), "a value that is no address");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_classified_without_panic(text in ".{0,80}") {
            let config = Config::parse("").expect("the defaults");
            let directory = Directory { proxy: SocketAddr::from(([127, 0, 0, 1], 1)), upstreams: &config.upstreams, is_taken: &|_| false };
            let _ = (directory.lead(&text, "/openai/v1"), shown(&text));
        }
    }
}
