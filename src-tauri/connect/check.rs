//! What is wrong with where clients are pointed. Pure: who answers where is told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a client's settings or a variable point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointing {
    /// Whose setting: `claude-code`, or a variable's name.
    pub whose: String,
    /// The base address as it stands there.
    pub to: String,
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
}

/// A client that is pointed at a port of this machine where nothing answers hangs: most retry for a minute, some for ever
/// (clients-measured, section 3). `answers` says whether something listens at an address.
pub fn dead_ports(pointings: &[Pointing], answers: &dyn Fn(SocketAddr) -> bool) -> Vec<Finding> {
    let dead = |pointing: &&Pointing| loopback(&pointing.to).is_some_and(|address| !answers(address));
    let finding = |pointing: &Pointing| Finding {
        what: format!("{} is pointed at {}, where nothing answers: its calls hang", pointing.whose, pointing.to),
        way_out: format!("start the engine there (`tollbar serve`; `tollbar service install` keeps it running), or {}", pointing.way_out),
    };
    pointings.iter().filter(dead).map(finding).collect()
}

/// Whether an address leads to this machine.
pub fn is_loopback(url: &str) -> bool {
    loopback(url).is_some()
}

/// The socket of this machine that a base address leads to.
fn loopback(url: &str) -> Option<SocketAddr> {
    let uri: hyper::Uri = url.trim().parse().ok()?;
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let ip: IpAddr = if host.eq_ignore_ascii_case("localhost") { Ipv4Addr::LOCALHOST.into() } else { host.parse().ok()? };
    let ip = match ip {
        IpAddr::V4(ip) => IpAddr::V4(if ip.is_unspecified() { Ipv4Addr::LOCALHOST } else { ip }),
        IpAddr::V6(ip) => IpAddr::V6(if ip.is_unspecified() { Ipv6Addr::LOCALHOST } else { ip }),
    };
    ip.is_loopback().then(|| SocketAddr::new(ip, uri.port_u16().unwrap_or(default)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dead_port_of_this_machine_is_found() {
        let pointing = |to: &str| Pointing { whose: "codex".into(), to: to.into(), way_out: "undo it".into() };
        let all = ["http://127.0.0.1:1/openai/v1", "http://localhost:2", "http://[::1]:3/v1", "https://api.openai.com/v1", "nonsense", ""];
        let found = dead_ports(&all.map(pointing), &|address| address.port() == 2);
        let whats: Vec<_> = found.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(whats.len(), 2, "{whats:?}");
        assert!(whats[0].contains("http://127.0.0.1:1/openai/v1") && whats[1].contains("[::1]:3"));
        assert!(found[0].way_out.ends_with("or undo it"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let _ = is_loopback(&text);
        }
    }
}
