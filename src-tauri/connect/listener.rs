//! Whose process listens on a port of this machine.
//!
//! A key that is sent to a port goes to whoever listens there, and any user may listen on a port above 1023. Linux says which user that
//! is; elsewhere only the engine's own API can.

use std::net::SocketAddr;

/// Whose process listens at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Nobody listens.
    Nobody,
    /// A process of this user.
    Own,
    /// A process of another user, by its number.
    Foreign(u32),
    /// The system does not say.
    Unknown,
}

/// Whose process listens at an address of this machine.
#[cfg(target_os = "linux")]
pub fn listener(address: SocketAddr) -> Listener {
    linux::listener(address, rustix::process::geteuid().as_raw())
}

/// Whose process listens at an address of this machine.
#[cfg(not(target_os = "linux"))]
pub fn listener(_: SocketAddr) -> Listener {
    Listener::Unknown
}

#[cfg(target_os = "linux")]
mod linux {
    use super::Listener;
    use std::{
        fmt::Write as _,
        fs::File,
        io::{BufRead as _, BufReader},
        net::{IpAddr, Ipv6Addr, SocketAddr},
    };

    /// How many sockets of the system are looked at.
    const SOCKETS_MAX: usize = 1 << 20;
    /// The state of a listening socket (`TCP_LISTEN` in Linux' `tcp_states.h`).
    const LISTEN: &str = "0A";

    pub(super) fn listener(address: SocketAddr, uid: u32) -> Listener {
        let (mut exact, mut any) = (Vec::new(), Vec::new());
        let mut read = false;
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            let Ok(file) = File::open(table) else { continue };
            read = true;
            for line in BufReader::new(file).lines().take(SOCKETS_MAX).map_while(Result::ok) {
                match listens(&line, address) {
                    Some((true, uid)) => exact.push(uid),
                    Some((false, uid)) => any.push(uid),
                    None => {}
                }
            }
        }
        // A socket on the address itself goes before one on every address.
        let found = if exact.is_empty() { any } else { exact };
        match found.iter().find(|owner| **owner != uid) {
            Some(foreign) => Listener::Foreign(*foreign),
            None if !found.is_empty() => Listener::Own,
            None if read => Listener::Nobody,
            None => Listener::Unknown,
        }
    }

    /// The user of a socket that listens at an address, and whether on that address alone. A line of `/proc/net/tcp` (proc_net_tcp(5)).
    pub(super) fn listens(line: &str, address: SocketAddr) -> Option<(bool, u32)> {
        let mut fields = line.split_ascii_whitespace();
        let (local, port) = fields.nth(1)?.split_once(':')?;
        let state = fields.nth(1)?;
        let uid = fields.nth(3)?.parse().ok()?;
        if state != LISTEN || u16::from_str_radix(port, 16).ok()? != address.port() {
            return None;
        }
        let names = |ip: IpAddr| written(ip).eq_ignore_ascii_case(local);
        let mapped = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let exact = names(address.ip()) || names(mapped.into());
        // A socket on every address of IPv6 takes IPv4 as well, unless it says otherwise.
        let any = names(Ipv6Addr::UNSPECIFIED.into()) || address.is_ipv4() && local.len() == 8 && local.bytes().all(|digit| digit == b'0');
        (exact || any).then_some((exact, uid))
    }

    /// An address as the kernel writes it: words of 32 bits in the order of the machine.
    fn written(ip: IpAddr) -> String {
        let octets = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        octets.chunks_exact(4).fold(String::new(), |mut text, word| {
            let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
            // Writing to a text does not fail.
            let _ = write!(text, "{word:08X}");
            text
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::net::TcpListener;

        #[test]
        fn listener_of_each_kind_is_found_with_its_user() {
            let own = rustix::process::geteuid().as_raw();
            for (listens, called) in
                [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1"), ("::", "::1")]
            {
                // A machine without IPv6 has nothing to find.
                let Ok(socket) = TcpListener::bind((listens, 0)) else { continue };
                let address = SocketAddr::new(called.parse().expect("an address"), socket.local_addr().expect("bound").port());
                assert_eq!(listener(address, own), Listener::Own, "{listens}");
                assert_eq!(listener(address, own + 1), Listener::Foreign(own), "{listens}");
                drop(socket);
                assert_eq!(listener(address, own), Listener::Nobody, "{listens}");
            }
        }

        proptest::proptest! {
            #[test]
            fn any_line_is_read_without_panic(line in "[ 0-9A-F:a]{0,80}") {
                let _ = listens(&line, SocketAddr::from(([127, 0, 0, 1], 1)));
            }
        }
    }
}
