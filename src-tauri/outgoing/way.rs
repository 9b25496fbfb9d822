//! Which proxy an address is reached through: the configuration's, else the environment's, by curl's rules
//! (curl.se/docs/manpage.html, "ENVIRONMENT"; everything.curl.dev/usingcurl/proxies/env.html).
//!
//! Credentials of a proxy are never part of a message.

use hyper::{Uri, header::HeaderValue, http::uri::Scheme};
use hyper_util::client::proxy::matcher::Matcher;
use std::{fmt, net::IpAddr, sync::Arc};

/// The key of the configuration that names a proxy.
const KEY: &str = "network.proxy";
/// What that key says to reach everything directly, whatever the environment says.
const NONE: &str = "none";

/// The proxies of this network, and what is reached without them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    http: Option<Setting>,
    https: Option<Setting>,
    /// A list as `NO_PROXY` has it.
    no_proxy: String,
}

/// The address of a proxy, perhaps with credentials, and who named it.
#[derive(Clone, PartialEq, Eq)]
struct Setting {
    address: String,
    origin: &'static str,
}

/// How an address is reached.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    Direct,
    Through(Arc<Via>),
    /// A proxy is named and its address cannot be read. The text says which.
    Unusable(String),
}

/// A proxy. Its `Debug` and `Display` forms have no credentials.
pub(crate) struct Via {
    /// Its address, without credentials.
    pub(crate) uri: Uri,
    /// The value of `Proxy-Authorization`, where the address has credentials.
    pub(crate) authorization: Option<HeaderValue>,
    /// User and password for a SOCKS proxy.
    pub(crate) user: Option<(String, String)>,
    origin: &'static str,
}

impl Via {
    /// Whether it speaks SOCKS rather than HTTP.
    pub(crate) fn is_socks(&self) -> bool {
        self.uri.scheme_str().is_some_and(|scheme| scheme.starts_with("socks"))
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) = (self.uri.scheme_str().unwrap_or("http"), self.uri.authority().map_or("", |it| it.as_str()));
        write!(f, "{scheme}://{authority} ({})", self.origin)
    }
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = |setting: &Option<Setting>| setting.as_ref().map(|setting| setting.origin);
        f.debug_struct("Outgoing").field("http", &origin(&self.http)).field("https", &origin(&self.https)).finish_non_exhaustive()
    }
}

impl Outgoing {
    /// Reads the configuration's keys `network.proxy` and `network.no_proxy`, else the environment's variables.
    ///
    /// The lower-case name of a variable wins over the upper-case one, and an empty variable is as good as absent.
    pub fn new(proxy: Option<&str>, no_proxy: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> Result<Outgoing, String> {
        let named = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let address = variable(name).filter(|address| !address.trim().is_empty())?;
                Some(Setting { address: address.trim().to_owned(), origin: name })
            })
        };
        let (http, https) = match proxy.map(str::trim) {
            Some(NONE | "") => (None, None),
            Some(address) => {
                let setting = Setting { address: address.to_owned(), origin: KEY };
                if setting.read().is_none() {
                    return Err(format!(
                        "{KEY} is no address of a proxy (write it like http://host:3128 or http://user:password@host:3128, or {NONE:?})"
                    ));
                }
                (Some(setting.clone()), Some(setting))
            }
            None => (
                named(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
                named(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            ),
        };
        let listed = no_proxy.map(str::to_owned).or_else(|| Some(named(&["no_proxy", "NO_PROXY"])?.address));
        Ok(Outgoing { http, https, no_proxy: listed.unwrap_or_default() })
    }

    /// How an address is reached.
    pub(crate) fn way(&self, to: &Uri) -> Way {
        let plain = to.scheme() == Some(&Scheme::HTTP);
        let Some(setting) = (if plain { &self.http } else { &self.https }) else { return Way::Direct };
        // A server on this machine that is called without TLS can only be meant directly: another machine's proxy does not reach it,
        // and would be told keys and prompts in clear text.
        if self.exempts(to) || plain && is_loopback(to) {
            return Way::Direct;
        }
        match setting.read() {
            Some(via) => Way::Through(Arc::new(via)),
            None => Way::Unusable(format!("{} is no address of a proxy (write it like http://host:3128)", setting.origin)),
        }
    }

    /// Whether `NO_PROXY` names the address: by name, by a domain above it, by address or network, with or without its port.
    fn exempts(&self, to: &Uri) -> bool {
        let port = to.port_u16().unwrap_or(if to.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 });
        let entries = self.no_proxy.split([',', ' ', '\t', '\n']).filter(|entry| !entry.is_empty());
        let entries = entries.filter_map(|entry| {
            let entry = entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry);
            match entry.rsplit_once(':') {
                // Behind the last colon of an IPv6 address stands a part of it.
                Some((host, digits)) if !host.contains(':') || host.ends_with(']') => {
                    (digits.parse() == Ok(port)).then(|| host.trim_start_matches('[').trim_end_matches(']'))
                }
                _ => Some(entry.trim_start_matches('[').trim_end_matches(']')),
            }
        });
        let list = entries.map(|entry| entry.trim_end_matches('.')).collect::<Vec<_>>().join(",");
        let host = to.host().map(|host| host.trim_end_matches('.')).unwrap_or_default();
        let Ok(probe) = Uri::builder().scheme("http").authority(host).path_and_query("/").build() else { return false };
        Matcher::builder().all("http://proxy.invalid").no(list).build().intercept(&probe).is_none()
    }
}

impl Setting {
    /// The proxy that it names; `None` where that is no address of one.
    fn read(&self) -> Option<Via> {
        let probe = Uri::from_static("http://upstream.invalid/");
        let found = Matcher::builder().all(&self.address).build().intercept(&probe)?;
        let mut authorization = found.basic_auth().cloned();
        authorization.iter_mut().for_each(|value| value.set_sensitive(true));
        let user = found.raw_auth().map(|(user, password)| (user.to_owned(), password.to_owned()));
        let uri = with_port(found.uri())?;
        Some(Via { uri, authorization, user, origin: self.origin })
    }
}

/// The address with the port that it has by default: curl's 1080, but 443 for a proxy that is spoken to over TLS.
fn with_port(uri: &Uri) -> Option<Uri> {
    if uri.port().is_some() {
        return Some(uri.clone());
    }
    let port = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 1080 };
    let mut parts = uri.clone().into_parts();
    parts.authority = Some(format!("{}:{port}", parts.authority?).parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Whether an address is one of this machine's own.
fn is_loopback(to: &Uri) -> bool {
    let host = to.host().unwrap_or_default().trim_end_matches('.').trim_start_matches('[').trim_end_matches(']');
    let named = host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost");
    named || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(variables: &[(&str, &str)]) -> Outgoing {
        let found = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Outgoing::new(None, None, found).expect("variables are never refused")
    }

    fn way(variables: &[(&str, &str)], to: &str) -> String {
        match outgoing(variables).way(&to.parse().expect("an address")) {
            Way::Direct => "direct".to_owned(),
            Way::Through(via) => via.to_string(),
            Way::Unusable(cause) => cause,
        }
    }

    #[test]
    fn variables_in_either_case_name_the_proxy_by_scheme() {
        let both = [("HTTPS_PROXY", "http://one:1"), ("http_proxy", "two:2"), ("HTTP_PROXY", "http://three:3")];
        assert_eq!(way(&both, "https://api.example.com"), "http://one:1 (HTTPS_PROXY)");
        assert_eq!(way(&both, "http://relay.example.com"), "http://two:2 (http_proxy)", "lower case first");
        assert_eq!(way(&[("ALL_PROXY", "socks5h://s:9")], "https://x.example"), "socks5h://s:9 (ALL_PROXY)");
        assert_eq!(way(&[("https_proxy", ""), ("HTTPS_PROXY", "http://one:1")], "https://x.example"), "http://one:1 (HTTPS_PROXY)");
        assert_eq!(way(&[("HTTPS_PROXY", "http://corp")], "https://x.example"), "http://corp:1080 (HTTPS_PROXY)");
        assert_eq!(way(&[("http_proxy", "http://one:1")], "https://x.example"), "direct");
    }

    #[test]
    fn no_proxy_names_hosts_domains_networks_and_ports() {
        let direct = |list: &str, to: &str| way(&[("ALL_PROXY", "http://p:1"), ("NO_PROXY", list)], to) == "direct";
        for (list, to) in [
            ("*", "https://anything.example"),
            ("example.com", "https://api.example.com"),
            (".example.com", "https://example.com"),
            ("*.example.com", "https://api.example.com"),
            ("one two,Example.COM", "https://example.com"),
            ("10.0.0.0/8", "https://10.1.2.3:8443"),
            ("192.168.1.7", "http://192.168.1.7:8000"),
            ("::1", "https://[::1]:9"),
            ("[::1]:9", "https://[::1]:9"),
            ("example.com:8443", "https://example.com:8443"),
            ("localhost", "https://localhost:1"),
            ("example.com", "https://example.com.:443"),
        ] {
            assert!(direct(list, to), "{list} {to}");
        }
        for (list, to) in [
            ("example.com", "https://notexample.com"),
            ("example.com:1", "https://example.com"),
            ("", "https://localhost:1"),
            ("10.0.0.0/8", "https://11.0.0.1"),
        ] {
            assert!(!direct(list, to), "{list} {to}");
        }
    }

    #[test]
    fn a_plain_server_on_this_machine_is_called_directly() {
        for to in ["http://127.0.0.1:11434", "http://localhost:8000", "http://[::1]:1", "http://ollama.localhost"] {
            assert_eq!(way(&[("HTTP_PROXY", "http://p:1")], to), "direct", "{to}");
        }
        assert_eq!(way(&[("HTTP_PROXY", "http://p:1")], "http://192.168.1.7:1"), "http://p:1 (HTTP_PROXY)");
    }

    #[test]
    fn credentials_are_read_and_never_shown() {
        let outgoing = outgoing(&[("HTTPS_PROXY", "http://us%40er:s3cret@corp:3128")]);
        let Way::Through(via) = outgoing.way(&Uri::from_static("https://x.example")) else { panic!("a proxy") };
        assert_eq!(via.authorization.as_ref().map(HeaderValue::as_bytes), Some(&b"Basic dXNAZXI6czNjcmV0"[..]));
        assert_eq!(format!("{via} {via:?} {outgoing:?}").matches("s3cret").count(), 0);
        assert!(!format!("{:?}", via.authorization).contains("dXN"));
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_showing_it() {
        let cause = way(&[("HTTPS_PROXY", "gopher://user:s3cret@x:1")], "https://x.example");
        assert!(cause.starts_with("HTTPS_PROXY is no address of a proxy") && !cause.contains("s3cret"), "{cause}");
        let cause = Outgoing::new(Some("ftp://user:s3cret@x"), None, |_| None).expect_err("refused");
        assert!(cause.starts_with("network.proxy is no address") && !cause.contains("s3cret"), "{cause}");
    }

    #[test]
    fn the_configuration_wins_over_the_environment() {
        let env = |name: &str| (name == "HTTPS_PROXY").then(|| "http://env:1".to_owned());
        let to = Uri::from_static("https://x.example");
        let found = |proxy| format!("{:?}", Outgoing::new(proxy, None, env).expect("a proxy").way(&to));
        assert_eq!(found(None), "Through(http://env:1 (HTTPS_PROXY))");
        assert_eq!(found(Some("http://mine:2")), "Through(http://mine:2 (network.proxy))");
        assert_eq!(found(Some("none")), "Direct");
        let exempt = Outgoing::new(Some("http://mine:2"), Some(".example"), env).expect("a proxy");
        assert!(matches!(exempt.way(&to), Way::Direct));
    }
}
