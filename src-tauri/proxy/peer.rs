//! Which folder and program a call comes from: those of the process at the other end of its connection. Linux only; elsewhere nobody is found.
//!
//! Only processes of the same user can be looked at, which those that call a proxy on loopback mostly are.
//! It is done on a thread of its own, which looks as soon as somebody connects: who calls may be gone a moment after the answer. Who is not
//! found in time stays unnamed, and no call and no meter waits for that.

use super::observe::ObserverHandle;
use crate::{attribution::Projects, priority};
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
/// After a search this many times what it cost is rested, so that a storm of new connections takes a fifth of a processor at most.
const REST: u32 = 4;

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nobody is looked for"))]
pub(super) struct Peer {
    /// The number of the connection: never another's, as an address may be.
    pub(super) connection: u64,
    /// The client's end.
    pub(super) socket: SocketAddr,
    /// Ours.
    pub(super) ours: SocketAddr,
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
        let worked = priority::worked();
        // One look through the processes is for all that have come meanwhile.
        let asked: Vec<Asked> = std::iter::once(first).chain(receiver.try_iter().take(ASKED_MAX)).collect();
        let young = asked.iter().filter(|asked| asked.at.elapsed() < ASKED_AGE_MAX).map(|asked| asked.peer);
        let searched = peers.search(young);
        for Asked { call, peer, .. } in asked {
            call.into_iter().for_each(|call| observer.comes_from(call, peers.origin(peer)));
        }
        if searched {
            // What it had to wait for a processor cost nobody anything.
            std::thread::sleep(priority::worked().saturating_sub(worked) * REST);
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
        let (folder, program) = (folder.as_deref(), program.clone());
        let project = folder.and_then(Path::to_str).and_then(|folder| self.projects.of_folder(folder));
        Origin { project, branch: folder.and_then(|folder| self.projects.branch_of_folder(folder)), program }
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
        for (peer, pid) in unknown.iter().zip(find::callers(&unknown, &self.callers)) {
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
    use super::Peer;
    use crate::attribution;
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, netlink, recv, send, socket};
    use std::{collections::HashMap, fs, net::IpAddr, os::fd::OwnedFd, path::PathBuf};

    /// A question about one socket, and where its answer has the number of the socket (sock_diag(7)).
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const QUESTION_BYTES: u32 = 72;
    const INODE_AT: usize = 84;
    /// How many processes are looked at, the newest first, and how many files of each.
    const PROCESSES_MAX: usize = 4096;
    const FILES_MAX: usize = 4096;
    /// How much of a command line is read: its beginning names the program.
    const COMMAND_BYTES_MAX: u64 = 4096;

    /// The processes at the other ends of these connections; `first` are looked at first, then the newest.
    pub(super) fn callers(peers: &[Peer], first: &[u32]) -> Vec<Option<u32>> {
        let mut found = vec![None; peers.len()];
        let Ok(kernel) = socket(AddressFamily::NETLINK, SocketType::DGRAM, Some(netlink::SOCK_DIAG)) else { return found };
        let wanted = peers.iter().enumerate().filter_map(|(at, peer)| Some((inode(&kernel, *peer)?, at)));
        let mut wanted: HashMap<u32, usize> = wanted.collect();
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
    fn socket_of(link: &str) -> Option<u32> {
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

    /// The number of the client's socket; `None` once it is closed. Asked of the kernel, which is 200 times faster than to read its list.
    fn inode(kernel: &OwnedFd, peer: Peer) -> Option<u32> {
        send(kernel, &question(peer), SendFlags::empty()).ok()?;
        let mut answer = [0; 512];
        // The kernel has answered before `send` returns.
        let (_, bytes) = recv(kernel, &mut answer[..], RecvFlags::DONTWAIT).ok()?;
        answered(&answer[..bytes])
    }

    /// Which socket has the client's end as its local address, and ours as its remote one?
    fn question(Peer { socket, ours, .. }: Peer) -> Vec<u8> {
        const REQUEST: u16 = 1;
        const INET: u8 = 2;
        const INET6: u8 = 10;
        const TCP: u8 = 6;
        let address = |ip: IpAddr| match ip.to_canonical() {
            IpAddr::V4(ip) => (INET, [ip.octets().to_vec(), vec![0; 12]].concat()),
            IpAddr::V6(ip) => (INET6, ip.octets().to_vec()),
        };
        let ((family, local), (_, remote)) = (address(socket.ip()), address(ours.ip()));
        // Length, kind, flags, sequence, sender.
        let mut bytes = QUESTION_BYTES.to_ne_bytes().to_vec();
        bytes.extend([SOCK_DIAG_BY_FAMILY.to_ne_bytes(), REQUEST.to_ne_bytes()].concat());
        bytes.extend([0; 8]);
        // Family, protocol, nothing more than usual, of any state.
        bytes.extend([family, TCP, 0, 0]);
        bytes.extend(u32::MAX.to_ne_bytes());
        bytes.extend([socket.port().to_be_bytes(), ours.port().to_be_bytes()].concat());
        bytes.extend([local, remote].concat());
        // On any interface, whatever its cookie.
        bytes.extend([0; 4]);
        bytes.extend([u8::MAX; 8]);
        bytes
    }

    /// The number of the socket in an answer. One that is closing has none.
    pub(super) fn answered(answer: &[u8]) -> Option<u32> {
        let kind = answer.get(4..6)?.try_into().ok().map(u16::from_ne_bytes)?;
        let inode = answer.get(INODE_AT..INODE_AT + 4)?.try_into().ok().map(u32::from_ne_bytes)?;
        (kind == SOCK_DIAG_BY_FAMILY && inode != 0).then_some(inode)
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
            let ours = listener.local_addr().expect("bound");
            let peer = |connection, socket| Peer { connection, socket, ours };
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
        fn sockets_of_both_families_are_found() {
            for (listens, address) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")] {
                // A machine without IPv6 has nothing to find.
                let Ok(listener) = TcpListener::bind(listens) else { continue };
                let stream = TcpStream::connect((address, listener.local_addr().expect("bound").port())).expect("connects");
                let (accepted, socket) = listener.accept().expect("a connection");
                let peer = Peer { connection: 1, socket, ours: accepted.local_addr().expect("accepted") };
                assert_eq!(callers(&[peer], &[]), [Some(std::process::id())], "{listens}");
                drop(stream);
            }
        }

        proptest::proptest! {
            #[test]
            fn no_answer_makes_it_panic(answer: Vec<u8>) {
                let _ = answered(&answer);
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod find {
    use std::path::PathBuf;

    pub(super) fn callers(peers: &[super::Peer], _: &[u32]) -> Vec<Option<u32>> {
        vec![None; peers.len()]
    }

    pub(super) fn folder(_: u32) -> Option<PathBuf> {
        None
    }

    pub(super) fn program(_: u32) -> Option<String> {
        None
    }
}
