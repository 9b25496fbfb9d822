//! Which folder and program a call comes from: those of the process at the other end of its connection. Linux only; elsewhere nobody is found.
//!
//! Only processes of the same user can be looked at, which those that call a proxy on loopback mostly are.
//! It is done on a thread of its own, which looks as soon as somebody connects: who calls may be gone a moment after the answer. Who is not
//! found in time stays unnamed, and no call and no meter waits for that.

use super::observe::ObserverHandle;
use crate::{
    attribution::{self, Projects},
    priority,
};
use events::{CallUuid, Project};
use rustc_hash::FxHashMap;
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
/// How many connections and calls may wait for their process to be found.
const ASKED_MAX: usize = 256;
/// What waited longer is not looked for: its address may be another's by now.
const ASKED_AGE_MAX: Duration = Duration::from_secs(2);
/// How long an answer holds: a branch may be left at any time.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(1);
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
    /// The name of the program that calls.
    pub(super) program: Option<String>,
}

struct Asked {
    /// The call that wants to know; `None` where somebody has connected.
    call: Option<CallUuid>,
    peer: Peer,
    at: Instant,
}

/// A way to the thread that looks for callers. It ends when all of these are dropped.
#[derive(Clone)]
pub(super) struct Callers(SyncSender<Asked>);

impl Callers {
    pub(super) fn start(observer: ObserverHandle) -> Callers {
        let (sender, receiver) = sync_channel(ASKED_MAX);
        std::thread::Builder::new()
            .name("tollbar-callers".into())
            .spawn(move || {
                priority::step_back();
                look(&receiver, &observer);
            })
            .expect("the system gives a thread to a program that starts");
        Callers(sender)
    }

    /// Somebody has connected. If too many are waiting, this one is looked for when it calls.
    pub(super) fn connected(&self, peer: Peer) {
        let _ = self.0.try_send(Asked { call: None, peer, at: Instant::now() });
    }

    /// Asks where a call comes from. `true`: the observer is told, sooner or later; `false`: too many are waiting.
    pub(super) fn ask(&self, call: CallUuid, peer: Peer) -> bool {
        self.0.try_send(Asked { call: Some(call), peer, at: Instant::now() }).is_ok()
    }
}

fn look(receiver: &Receiver<Asked>, observer: &ObserverHandle) {
    let mut peers = Peers::new(directories::BaseDirs::new().map(|folders| folders.home_dir().to_owned()));
    while let Ok(first) = receiver.recv() {
        let began = Instant::now();
        // One look through the processes is for all that have come meanwhile.
        let asked: Vec<Asked> = std::iter::once(first).chain(receiver.try_iter().take(ASKED_MAX)).collect();
        let young = asked.iter().filter(|asked| asked.at.elapsed() < ASKED_AGE_MAX).map(|asked| asked.peer);
        let searched = peers.search(young);
        for Asked { call, peer, .. } in asked {
            call.into_iter().for_each(|call| observer.comes_from(call, peers.origin(peer)));
        }
        if searched {
            std::thread::sleep(began.elapsed() * REST);
        }
    }
}

/// The last answers by connection, with the time when each was given: who calls often is asked for once in a while only.
#[derive(Default)]
pub(super) struct Answers(FxHashMap<u64, (Instant, Origin)>);

impl Answers {
    /// Where a connection comes from, if that was found lately.
    pub(super) fn get(&self, peer: Peer) -> Option<&Origin> {
        self.0.get(&peer.connection).filter(|(at, _)| at.elapsed() < ANSWER_AGE_MAX).map(|(_, origin)| origin)
    }

    pub(super) fn remember(&mut self, peer: Peer, origin: &Origin) {
        // Who was not found may be found yet.
        if *origin != Origin::default() {
            if self.0.len() >= CONNECTIONS_MAX {
                self.0.clear();
            }
            self.0.insert(peer.connection, (Instant::now(), origin.clone()));
        }
    }
}

/// Who calls: what is to be known of a process.
#[derive(Clone, Debug)]
struct Caller {
    folder: Option<PathBuf>,
    program: Option<String>,
}

/// The callers of connections, remembered: a connection carries many calls, and looking through all processes takes milliseconds.
#[derive(Debug, Default)]
struct Peers {
    known: HashMap<u64, Option<Caller>>,
    /// The processes that were found lately, the last one first: who calls once calls again, on another connection.
    callers: Vec<u32>,
    projects: Projects,
}

impl Peers {
    fn new(home: Option<PathBuf>) -> Peers {
        Peers { projects: Projects::new(home), ..Peers::default() }
    }

    /// Where the calls of a connection come from, if that was found.
    fn origin(&mut self, peer: Peer) -> Origin {
        let Some(Some(Caller { folder, program })) = self.known.get(&peer.connection) else { return Origin::default() };
        let folder = folder.as_deref();
        let project = folder.and_then(Path::to_str).and_then(|folder| self.projects.of_folder(folder));
        Origin { project, branch: folder.and_then(attribution::branch_of_folder), program: program.clone() }
    }

    /// Looks for those that are not known; whether there were any.
    fn search(&mut self, peers: impl Iterator<Item = Peer>) -> bool {
        let unknown: Vec<Peer> = peers.filter(|peer| !self.known.contains_key(&peer.connection)).collect();
        if unknown.is_empty() {
            return false;
        }
        if self.known.len() >= CONNECTIONS_MAX {
            self.known.clear();
        }
        self.known.extend(unknown.iter().map(|peer| (peer.connection, None)));
        let sockets: Vec<SocketAddr> = unknown.iter().map(|peer| peer.socket).collect();
        for (peer, pid) in unknown.iter().zip(find::callers(&sockets, &self.callers)) {
            let Some(pid) = pid else { continue };
            self.callers.retain(|known| *known != pid);
            self.callers.insert(0, pid);
            self.callers.truncate(CALLERS_MAX);
            self.known.insert(peer.connection, Some(Caller { folder: find::folder(pid), program: find::program(pid) }));
        }
        true
    }
}

#[cfg(target_os = "linux")]
mod find {
    use crate::attribution;
    use std::{
        collections::HashMap,
        fs,
        net::{IpAddr, SocketAddr},
        path::PathBuf,
    };

    /// The most that the system's list of sockets is read.
    const SOCKETS_BYTES_MAX: u64 = 16 << 20;
    /// How many processes are looked at, the newest first, and how many files of each.
    const PROCESSES_MAX: usize = 4096;
    const FILES_MAX: usize = 4096;
    /// How much of a command line is read: its beginning names the program.
    const COMMAND_BYTES_MAX: u64 = 4096;

    /// The processes that have the sockets with these local addresses; `first` are looked at first, then the newest.
    pub(super) fn callers(sockets: &[SocketAddr], first: &[u32]) -> Vec<Option<u32>> {
        let mut found = vec![None; sockets.len()];
        let mut wanted = inodes(sockets);
        if wanted.is_empty() {
            return found;
        }
        for pid in first.iter().copied().chain(std::iter::once_with(newest).flatten()) {
            let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
            for file in files.take(FILES_MAX).flatten() {
                let link = fs::read_link(file.path()).ok();
                if let Some(at) = link.and_then(|to| wanted.remove(&socket_of(to.to_str()?)?)) {
                    found[at] = Some(pid);
                }
            }
            if wanted.is_empty() {
                break;
            }
        }
        found
    }

    /// All processes, the newest first.
    fn newest() -> impl Iterator<Item = u32> {
        let entries = fs::read_dir("/proc").into_iter().flatten();
        let mut pids: Vec<u32> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        pids.sort_unstable_by(|one, other| other.cmp(one));
        pids.into_iter().take(PROCESSES_MAX)
    }

    /// The number of a socket, as the link of an open file names it: `socket:[4711]`.
    fn socket_of(link: &str) -> Option<u64> {
        link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    }

    /// The working folder of a process.
    pub(super) fn folder(pid: u32) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{pid}/cwd")).ok()
    }

    /// The name of the program of a process.
    pub(super) fn program(pid: u32) -> Option<String> {
        let mut command = Vec::new();
        let file = fs::File::open(format!("/proc/{pid}/cmdline")).ok()?;
        std::io::Read::read_to_end(&mut std::io::Read::take(file, COMMAND_BYTES_MAX), &mut command).ok()?;
        attribution::program_of_command(&String::from_utf8_lossy(&command).split('\0').collect::<Vec<_>>())
    }

    /// The numbers of the sockets with these local addresses, and which each of them is (proc_pid_net(5), `/proc/net/tcp`).
    fn inodes(sockets: &[SocketAddr]) -> HashMap<u64, usize> {
        let at = |(at, socket): (usize, &SocketAddr)| (SocketAddr::new(socket.ip().to_canonical(), socket.port()), at);
        let sockets: HashMap<SocketAddr, usize> = sockets.iter().enumerate().map(at).collect();
        let mut inodes = HashMap::new();
        for list in ["/proc/net/tcp", "/proc/net/tcp6"] {
            let mut text = String::new();
            let Ok(file) = fs::File::open(list) else { continue };
            // What of a list cannot be read is as if it were not there.
            let _ = std::io::Read::read_to_string(&mut std::io::Read::take(file, SOCKETS_BYTES_MAX), &mut text);
            inodes.extend(text.lines().skip(1).filter_map(listed).filter_map(|(socket, inode)| Some((inode, *sockets.get(&socket)?))));
            if inodes.len() == sockets.len() {
                break;
            }
        }
        inodes
    }

    /// The local address and the number in a line of the list. A socket that is closing has no number.
    pub(super) fn listed(line: &str) -> Option<(SocketAddr, u64)> {
        let mut fields = line.split_ascii_whitespace();
        let (address, port) = fields.nth(1)?.split_once(':')?;
        let socket = SocketAddr::new(self::address(address)?, u16::from_str_radix(port, 16).ok()?);
        // Local and remote address, state, queues, timer, retransmissions, user, timeout, inode.
        Some((socket, fields.nth(7)?.parse().ok().filter(|inode| *inode != 0)?))
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
            let connect = || TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
            let (one, two) = (connect(), connect());
            let here = std::env::current_dir().expect("a folder");
            let project = super::super::Projects::default().of_folder(here.to_str().expect("a text"));
            let program = std::env::current_exe().expect("a program");
            let peer = |connection, socket| super::super::Peer { connection, socket };
            let peers = [(1, &one), (2, &two)].map(|(nth, stream)| peer(nth, stream.local_addr().expect("connected")));
            let nobody = peer(3, "127.0.0.1:1".parse().expect("an address"));
            let mut known = super::super::Peers::default();
            assert!(known.search([peers[0], nobody, peers[1], peers[1]].into_iter()));
            for peer in peers {
                let found = known.origin(peer);
                assert_eq!(found.project, project);
                assert_eq!(found.program.as_deref(), program.file_name().and_then(std::ffi::OsStr::to_str));
            }
            assert_eq!(known.origin(nobody), super::super::Origin::default());
            assert!(!known.search([peers[0], nobody].into_iter()), "what is known is not looked for");
            let again = connect();
            let again = peer(4, again.local_addr().expect("connected"));
            assert!(known.search([again].into_iter()), "by who called before");
            assert_eq!(known.origin(again).project, project);
        }

        #[test]
        fn addresses_of_both_families_are_read() {
            let line = |address: &str| {
                format!("  12: {address}:9C40 0100007F:21CF 01 00000000:00000000 00:00000000 00000000  1000  0 4711 1 0 20 4 30 10 -1")
            };
            let socket = |text: &str| Some((text.parse().expect("an address"), 4711));
            if cfg!(target_endian = "little") {
                assert_eq!(listed(&line("0100007F")), socket("127.0.0.1:40000"));
                assert_eq!(listed(&line("0000000000000000FFFF00000100007F")), socket("127.0.0.1:40000"));
                assert_eq!(listed(&line("00000000000000000000000001000000")), socket("[::1]:40000"));
                assert_eq!(listed(&line("0100007F").replace("4711", "0")), None);
            }
        }

        proptest::proptest! {
            #[test]
            fn no_line_makes_it_panic(line in ".{0,120}") {
                let _ = listed(&line);
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod find {
    use std::{net::SocketAddr, path::PathBuf};

    pub(super) fn callers(sockets: &[SocketAddr], _: &[u32]) -> Vec<Option<u32>> {
        vec![None; sockets.len()]
    }

    pub(super) fn folder(_: u32) -> Option<PathBuf> {
        None
    }

    pub(super) fn program(_: u32) -> Option<String> {
        None
    }
}
