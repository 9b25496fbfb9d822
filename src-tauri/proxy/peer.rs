//! Which folder a call comes from: the working folder of the process at the other end of its connection. Linux only; elsewhere nobody is found.
//!
//! Only processes of the same user can be looked at, which those that call a proxy on loopback mostly are.
//! It is done on a thread of its own and at leisure: who is not found in time stays unnamed, and no call and no meter waits for that.

use super::observe::ObserverHandle;
use crate::attribution::{self, Projects};
use events::{CallUuid, Project};
use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::{Duration, Instant},
};

/// How many connections are remembered; beyond that all are forgotten and asked again.
const CONNECTIONS_MAX: usize = 1024;
/// How many processes are looked at before all others.
const CALLERS_MAX: usize = 16;
/// How many calls may wait for their process to be found.
const ASKED_MAX: usize = 256;
/// A call that waited longer is not looked for: its connection may be another's by now.
const ASKED_AGE_MAX: Duration = Duration::from_secs(2);
/// After a search this many times as long is rested, so that a storm of new connections costs a fifth of a processor at most.
const REST: u32 = 4;

/// The client's end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// The number of the connection: never another's, as an address may be.
    pub(super) connection: u64,
    pub(super) socket: SocketAddr,
}

/// Where a call comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) project: Option<Project>,
    pub(super) branch: Option<String>,
}

struct Asked {
    call: CallUuid,
    peer: Peer,
    at: Instant,
}

/// The thread that looks for callers. It ends when this is dropped.
pub(super) struct Callers(SyncSender<Asked>);

impl Callers {
    pub(super) fn start(observer: ObserverHandle) -> Callers {
        let (sender, receiver) = sync_channel(ASKED_MAX);
        std::thread::Builder::new()
            .name("tollbar-callers".into())
            .spawn(move || look(&receiver, &observer))
            .expect("the system gives a thread to a program that starts");
        Callers(sender)
    }

    /// Asks where a call comes from. `true`: the observer is told, sooner or later; `false`: too many are waiting.
    pub(super) fn ask(&self, call: CallUuid, peer: Peer) -> bool {
        self.0.try_send(Asked { call, peer, at: Instant::now() }).is_ok()
    }
}

fn look(asked: &Receiver<Asked>, observer: &ObserverHandle) {
    let mut peers = Peers::new(directories::BaseDirs::new().map(|folders| folders.home_dir().to_owned()));
    while let Ok(Asked { call, peer, at }) = asked.recv() {
        let (began, searched) = (Instant::now(), peers.searched);
        let origin = peers.origin(peer, at.elapsed() < ASKED_AGE_MAX);
        if !observer.comes_from(call, origin) {
            return;
        }
        if peers.searched != searched {
            std::thread::sleep(began.elapsed() * REST);
        }
    }
}

/// The folders of connections, remembered: a connection carries many calls, and looking through all processes takes milliseconds.
#[derive(Debug, Default)]
struct Peers {
    known: HashMap<u64, Option<PathBuf>>,
    /// The processes that were found lately, the last one first: who calls once calls again, on another connection.
    callers: Vec<u32>,
    projects: Projects,
    /// How often the system was asked.
    searched: u64,
}

impl Peers {
    fn new(home: Option<PathBuf>) -> Peers {
        Peers { projects: Projects::new(home), ..Peers::default() }
    }

    /// Where the calls of a connection come from; `search` unless it is too late for that.
    fn origin(&mut self, peer: Peer, search: bool) -> Origin {
        let folder = match self.known.get(&peer.connection) {
            Some(known) => known.clone(),
            None if search => self.search(peer),
            None => None,
        };
        let Some(folder) = folder.as_deref().and_then(Path::to_str) else { return Origin::default() };
        Origin { project: self.projects.of_folder(folder), branch: attribution::branch_of_folder(Path::new(folder)) }
    }

    fn search(&mut self, peer: Peer) -> Option<PathBuf> {
        self.searched += 1;
        if self.known.len() >= CONNECTIONS_MAX {
            self.known.clear();
        }
        let folder = find::caller(peer.socket, &self.callers).and_then(|pid| {
            self.callers.retain(|known| *known != pid);
            self.callers.insert(0, pid);
            self.callers.truncate(CALLERS_MAX);
            find::folder(pid)
        });
        self.known.insert(peer.connection, folder.clone());
        folder
    }
}

#[cfg(target_os = "linux")]
mod find {
    use std::{
        fs,
        net::{IpAddr, SocketAddr},
        path::PathBuf,
    };

    /// The most that the system's list of sockets is read.
    const SOCKETS_BYTES_MAX: u64 = 16 << 20;
    /// How many processes are looked at, the newest first, and how many files of each.
    const PROCESSES_MAX: usize = 4096;
    const FILES_MAX: usize = 4096;

    /// The process that has the socket with this local address; `first` are looked at first.
    pub(super) fn caller(socket: SocketAddr, first: &[u32]) -> Option<u32> {
        let link = format!("socket:[{}]", inode(socket)?);
        let has_it = |pid: &u32| {
            let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
            files.take(FILES_MAX).flatten().any(|file| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == link.as_str()))
        };
        first.iter().copied().find(has_it).or_else(|| {
            let mut others: Vec<u32> =
                fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
            others.sort_unstable_by(|one, other| other.cmp(one));
            others.into_iter().take(PROCESSES_MAX).find(has_it)
        })
    }

    /// The working folder of a process.
    pub(super) fn folder(pid: u32) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{pid}/cwd")).ok()
    }

    /// The number of the socket with this local address (proc_pid_net(5), `/proc/net/tcp`).
    fn inode(socket: SocketAddr) -> Option<u64> {
        ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().find_map(|list| {
            let file = fs::File::open(list).ok()?;
            let mut text = String::new();
            std::io::Read::read_to_string(&mut std::io::Read::take(file, SOCKETS_BYTES_MAX), &mut text).ok()?;
            text.lines().skip(1).find_map(|line| inode_of(line, socket))
        })
    }

    /// The number in a line of the list, if the line's local address is this one.
    pub(super) fn inode_of(line: &str, socket: SocketAddr) -> Option<u64> {
        let mut fields = line.split_ascii_whitespace();
        let (address, port) = fields.nth(1)?.split_once(':')?;
        if u16::from_str_radix(port, 16).ok()? != socket.port() || self::address(address)? != socket.ip().to_canonical() {
            return None;
        }
        // Local and remote address, state, queues, timer, retransmissions, user, timeout, inode. One that is closing has none.
        fields.nth(7)?.parse().ok().filter(|inode| *inode != 0)
    }

    /// An address as the list writes it: words of four bytes, each in the machine's order.
    fn address(text: &str) -> Option<IpAddr> {
        let word = |at: usize| Some(u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
        match text.len() {
            8 => Some(IpAddr::from(word(0)?)),
            32 => {
                let mut bytes = [0; 16];
                for at in 0..4 {
                    bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
                }
                Some(IpAddr::from(bytes).to_canonical())
            }
            _ => None,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::net::{TcpListener, TcpStream};

        #[test]
        fn a_connection_of_this_process_leads_to_its_working_folder() {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
            let here = std::env::current_dir().expect("a folder");
            let mut peers = super::super::Peers::default();
            let project = super::super::Projects::default().of_folder(here.to_str().expect("a text"));
            let peer = |connection, socket| super::super::Peer { connection, socket };
            let first = peer(1, stream.local_addr().expect("connected"));
            assert_eq!(peers.origin(first, true).project, project);
            assert_eq!((peers.origin(first, false).project, peers.searched), (project.clone(), 1), "a known connection is not looked for");
            let again = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
            assert_eq!(peers.origin(peer(2, again.local_addr().expect("connected")), true).project, project, "by who called before");
            assert_eq!(peers.origin(peer(3, "127.0.0.1:1".parse().expect("an address")), true).project, None);
            assert_eq!(peers.origin(peer(4, first.socket), false).project, None, "too late to look");
        }

        #[test]
        fn addresses_of_both_families_are_read() {
            let line = |address: &str| {
                format!("  12: {address}:9C40 0100007F:21CF 01 00000000:00000000 00:00000000 00000000  1000  0 4711 1 0 20 4 30 10 -1")
            };
            let here = "127.0.0.1:40000".parse().expect("an address");
            if cfg!(target_endian = "little") {
                assert_eq!(inode_of(&line("0100007F"), here), Some(4711));
                assert_eq!(inode_of(&line("0000000000000000FFFF00000100007F"), here), Some(4711));
                assert_eq!(inode_of(&line("0200007F"), here), None);
                assert_eq!(inode_of(&line("00000000000000000000000001000000"), "[::1]:40000".parse().expect("an address")), Some(4711));
            }
        }

        proptest::proptest! {
            #[test]
            fn no_line_makes_it_panic(line in ".{0,120}") {
                let _ = inode_of(&line, SocketAddr::from(([127, 0, 0, 1], 1)));
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod find {
    use std::{net::SocketAddr, path::PathBuf};

    pub(super) fn caller(_: SocketAddr, _: &[u32]) -> Option<u32> {
        None
    }

    pub(super) fn folder(_: u32) -> Option<PathBuf> {
        None
    }
}
