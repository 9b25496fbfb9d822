//! What is wrong with where clients are pointed. Pure: what answers where is passed in.

use super::{
    address::{loopback, shown},
    http_proxy,
};
use std::net::SocketAddr;

/// Where a client's settings or a variable point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointing {
    /// Whose setting: `claude-code`, or a variable's name.
    pub whose: String,
    /// The base address as it stands there.
    pub to: String,
    /// Whether it is meant for a proxy of ours.
    pub is_ours: bool,
    /// What takes it away.
    pub way_out: String,
}

/// What is wrong, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// One line.
    pub what: String,
    /// One line.
    pub way_out: String,
    /// Whether a client that is pointed at the proxy suffers from it.
    pub is_urgent: bool,
}

/// What answers at an address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Nothing.
    Silent,
    /// A proxy of this user.
    Proxy,
    /// A program of another user, by its number.
    Foreign(u32),
    /// Another program.
    Other,
}

/// Addresses of this machine that lead to nobody, or to somebody else.
///
/// A client that is pointed at a port where nothing answers hangs: most retry for a minute, some for ever (clients-measured, section 3).
/// One that is pointed at a port of another user's gives its key and its prompts away.
pub fn ports(pointings: &[Pointing], proxy: SocketAddr, port: &dyn Fn(SocketAddr) -> Port) -> Vec<Finding> {
    let mut findings: Vec<Finding> = pointings.iter().filter_map(|pointing| wrong_port(pointing, port)).collect();
    if let (Port::Foreign(uid), true) = (port(proxy), findings.is_empty()) {
        findings.push(Finding {
            what: foreign("the proxy's address", &format!("http://{proxy}"), uid),
            way_out: "choose another port with `proxy.listen` in the configuration".to_owned(),
            is_urgent: true,
        });
    }
    findings
}

fn wrong_port(pointing: &Pointing, port: &dyn Fn(SocketAddr) -> Port) -> Option<Finding> {
    let address = loopback(&pointing.to)?;
    let (whose, to, way_out) = (&pointing.whose, shown(&pointing.to), &pointing.way_out);
    let (what, way_out) = match port(address) {
        Port::Proxy => return None,
        Port::Silent => (
            format!("{whose} is pointed at {to}, where nothing answers: its calls hang"),
            format!("start the engine there (`tollbar serve`; `tollbar service install` keeps it running), or {way_out}"),
        ),
        // What the user pointed at a server of another make is as the user wants it.
        Port::Foreign(_) | Port::Other if !pointing.is_ours => return None,
        Port::Foreign(uid) => (
            foreign(&format!("{whose} is pointed at the proxy's address, which"), &to, uid),
            format!("{way_out}; then choose another port with `proxy.listen` in the configuration"),
        ),
        Port::Other => (
            format!("{whose} is pointed at {to}, where another program than tollbar answers"),
            format!("end that program and start the engine (`tollbar serve`), or {way_out}"),
        ),
    };
    Some(Finding { what, way_out, is_urgent: true })
}

fn foreign(subject: &str, address: &str, uid: u32) -> String {
    format!("{subject} ({address}) is held by another user (uid {uid}): keys and prompts sent there are theirs")
}

/// Who names an HTTP proxy: the environment, or a client's settings over it.
pub struct HttpProxy<'a> {
    /// `the environment`, or a client and its file.
    pub whose: String,
    /// The variables as its programs have them.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

/// HTTP proxies that would get the calls to the proxy at `address`. `is_used`: whether a client is pointed there.
pub fn http_proxies(proxies: &[HttpProxy<'_>], address: SocketAddr, is_used: bool) -> Vec<Finding> {
    let finding = |proxy: &HttpProxy<'_>| {
        let name = http_proxy::named(proxy.env)?;
        if http_proxy::is_exempt(address.ip(), proxy.env) {
            return None;
        }
        let (whose, host) = (&proxy.whose, address.ip());
        Some(Finding {
            what: format!("{whose} names an HTTP proxy ({name}) and does not exempt {host}: keys and prompts would go there in clear text"),
            way_out: format!("add {host},localhost,::1 to NO_PROXY and no_proxy there; `tollbar run` does so for its command"),
            is_urgent: is_used,
        })
    };
    proxies.iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointing(to: &str, is_ours: bool) -> Pointing {
        Pointing { whose: "codex".into(), to: to.into(), is_ours, way_out: "undo it".into() }
    }

    #[test]
    fn port_that_is_silent_or_anothers_is_found() {
        let port = |address: SocketAddr| match address.port() {
            1 => Port::Silent,
            2 => Port::Proxy,
            3 => Port::Foreign(7),
            _ => Port::Other,
        };
        let proxy = SocketAddr::from(([127, 0, 0, 1], 2));
        let all = [
            "http://127.0.0.1:1/openai/v1",
            "http://localhost:2",
            "http://[::1]:3/v1",
            "http://127.0.0.1:4",
            "https://api.openai.com/v1",
            "no",
        ];
        let found = ports(&all.map(|to| pointing(to, true)), proxy, &port);
        let whats: Vec<_> = found.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(whats.len(), 3, "{whats:?}");
        assert!(whats[0].contains("http://127.0.0.1:1/openai/v1, where nothing answers") && found[0].way_out.ends_with("or undo it"));
        assert!(
            whats[1].contains("(http://[::1]:3/v1) is held by another user (uid 7)") && whats[2].contains("another program than tollbar")
        );
        assert_eq!(ports(&all.map(|to| pointing(to, false)), proxy, &port).len(), 1, "a server of the user's choice is no fault");
        assert_eq!(ports(&[], proxy, &port), []);
        assert!(ports(&[], SocketAddr::from(([127, 0, 0, 1], 3)), &port)[0].what.starts_with("the proxy's address (http://127.0.0.1:3)"));
    }

    #[test]
    fn http_proxy_without_exemption_is_found() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8655));
        let found = |proxied: bool, exceptions: &str| {
            let env = |name: &str| match name {
                "https_proxy" => proxied.then(|| "http://user:secret@corp:3128".to_owned()),
                "no_proxy" => Some(exceptions.to_owned()),
                _ => None,
            };
            http_proxies(&[HttpProxy { whose: "the environment".into(), env: &env }], address, true)
        };
        assert_eq!((found(false, ".corp"), found(true, "localhost,127.0.0.1")), (vec![], vec![]));
        let found = found(true, ".corp");
        assert!(found.len() == 1 && found[0].what.contains("(https_proxy)") && !found[0].what.contains("secret"), "{found:?}");
    }
}
