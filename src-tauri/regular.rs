//! Opens files that another program or user may have made: logs, databases, `.git/HEAD`, settings, price files.
//!
//! Opening never blocks, only regular files are read, and the length is fixed at opening.
//! A FIFO, a device, a socket, a file of procfs or a file that grows without end therefore cannot hold a thread.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A request to end reading, given by another thread.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks every reader that has a clone of this to end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error if somebody has asked.
    pub(crate) fn check(&self) -> io::Result<()> {
        // Not `Interrupted`: readers try again after that.
        if self.is_asked() { Err(io::Error::other("reading was stopped")) } else { Ok(()) }
    }
}

/// A regular file that is read up to the length that it had when it was opened.
#[derive(Debug)]
pub struct RegularFile {
    file: File,
    opened: Metadata,
    position: u64,
    stop: Stop,
}

impl RegularFile {
    /// The facts at the moment of opening.
    pub(crate) fn opened(&self) -> &Metadata {
        &self.opened
    }

    /// The length at the moment of opening, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.opened.len()
    }

    /// The facts now, of the same file, whatever its path leads to by now.
    pub(crate) fn now(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// The same file; each read fails once `stop` is asked.
    #[must_use]
    pub(crate) fn until(self, stop: Stop) -> RegularFile {
        RegularFile { stop, ..self }
    }

    /// The same file, unless it is longer than the limit.
    pub(crate) fn at_most(self, bytes_max: u64) -> io::Result<RegularFile> {
        if self.length() > bytes_max { Err(too_large(bytes_max)) } else { Ok(self) }
    }

    /// Reads the rest of it.
    pub(crate) fn rest(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Read for RegularFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        let left = self.length().saturating_sub(self.position);
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let bytes = self.file.read(&mut buffer[..most])?;
        self.position += bytes as u64;
        Ok(bytes)
    }
}

impl Seek for RegularFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = self.file.seek(to)?;
        Ok(self.position)
    }
}

/// The bytes of an archive, which may unpack to any size: up to a limit that follows from the archive's own length.
#[derive(Debug)]
pub(crate) struct Unpacked<R> {
    source: R,
    left: u64,
    stop: Stop,
}

/// How many bytes may come of each byte of an archive, and how many of any archive.
const UNPACKED_RATIO_MAX: u64 = 1_000;
const UNPACKED_FREE_BYTES: u64 = 64 << 20;

impl<R: Read> Unpacked<R> {
    /// `source` unpacks an archive of so many bytes.
    pub(crate) fn new(source: R, packed_bytes: u64, stop: Stop) -> Unpacked<R> {
        Unpacked { source, left: UNPACKED_FREE_BYTES.saturating_add(packed_bytes.saturating_mul(UNPACKED_RATIO_MAX)), stop }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Between two pieces of an archive lie up to gigabytes of what it unpacks to.
        self.stop.check()?;
        let bytes = self.source.read(buffer)?;
        self.left = self.left.checked_sub(bytes as u64).ok_or_else(|| {
            let reason = format!("it unpacks to more than {UNPACKED_RATIO_MAX} times its length, and was read up to there");
            io::Error::new(io::ErrorKind::FileTooLarge, reason)
        })?;
        Ok(bytes)
    }
}

/// Opens a regular file for reading, without blocking. Links are followed; what they lead to must be a regular file, too.
pub(crate) fn open_regular(path: &Path) -> io::Result<RegularFile> {
    // Asked before, because opening a device may do something, and asked of the open file, because the path may lead elsewhere by then.
    regular(&std::fs::metadata(path)?)?;
    let file = opened(path)?;
    let opened = file.metadata()?;
    regular(&opened)?;
    ordinary(&file)?;
    Ok(RegularFile { file, opened, position: 0, stop: Stop::default() })
}

/// Reads a whole regular file; an error where it is longer than the limit.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    open_regular(path)?.at_most(bytes_max)?.rest()
}

/// Reads a whole regular file of text; an error where it is longer than the limit, or no UTF-8.
pub(crate) fn read_text_bounded(path: &Path, bytes_max: u64) -> io::Result<String> {
    String::from_utf8(read_bounded(path, bytes_max)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

/// Reads the beginning of a regular file.
pub(crate) fn read_beginning(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The error of a file that is longer than is read.
pub(crate) fn too_large(bytes_max: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {bytes_max} bytes"))
}

/// An error unless these are the facts of a regular file. It names what the file is instead.
pub(crate) fn regular(facts: &Metadata) -> io::Result<()> {
    let kind = facts.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let what = if kind.is_dir() { "a folder" } else { special(kind) };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, not a regular file")))
}

#[cfg(unix)]
fn special(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn special(_kind: std::fs::FileType) -> &'static str {
    "something else"
}

#[cfg(unix)]
fn opened(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

#[cfg(not(unix))]
fn opened(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// An error for a file of the kernel's own file systems: it says that it is regular and empty, and may give bytes without end.
#[cfg(target_os = "linux")]
fn ordinary(file: &File) -> io::Result<()> {
    // statfs(2)
    const PROC: u32 = 0x9fa0;
    const SYSFS: u32 = 0x6265_6572;
    const DEBUGFS: u32 = 0x6462_6720;
    const TRACEFS: u32 = 0x7472_6163;
    // The type has another width and sign on other machines; the numbers have 32 bits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let kind = rustix::fs::fstatfs(file)?.f_type as u32;
    if [PROC, SYSFS, DEBUGFS, TRACEFS].contains(&kind) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a file of the kernel's, not a regular file"));
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn ordinary(_file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{
        fs,
        io::Write,
        os::unix::fs::symlink,
        time::{Duration, Instant},
    };

    #[test]
    fn special_files_are_refused_without_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("a socket");
        symlink("/dev/zero", at("zero")).expect("a link");
        symlink("/dev/tty", at("tty")).expect("a link");
        symlink("pipe", at("link")).expect("a link");
        fs::create_dir(at("folder")).expect("a folder");
        let begun = Instant::now();
        for (name, what) in [
            ("pipe", "a named pipe"),
            ("link", "a named pipe"),
            ("socket", "a socket"),
            ("zero", "a device"),
            ("tty", "a device"),
            ("folder", "a folder"),
        ] {
            let error = open_regular(&at(name)).expect_err(name);
            assert!(error.to_string().contains(what), "{name}: {error}");
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn kernel_files_are_refused() {
        for path in ["/proc/self/environ", "/proc/self/mem", "/sys/kernel/mm/transparent_hugepage/enabled"] {
            if Path::new(path).exists() {
                assert!(open_regular(Path::new(path)).is_err(), "{path}");
            }
        }
    }

    #[test]
    fn file_growing_while_read_ends_at_its_first_length() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        fs::write(&path, "one").expect("written");
        let mut file = open_regular(&path).expect("opened");
        File::options().append(true).open(&path).expect("opened").write_all(b" two").expect("written");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("read");
        assert_eq!((text.as_str(), file.length(), file.now().expect("facts").len()), ("one", 3, 7));
        assert_eq!(read_bounded(&path, 6).expect_err("too large").kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_beginning(&path, 5).expect("read"), b"one t");
    }

    #[test]
    fn archive_is_unpacked_up_to_its_ratio() {
        let zeros = vec![0; 1 << 20];
        let mut packed = Vec::new();
        let mut encoder = zstd::stream::write::Encoder::new(&mut packed, 3).expect("an encoder");
        (0..300).for_each(|_| encoder.write_all(&zeros).expect("packed"));
        encoder.finish().expect("packed");
        let read = |stop: Stop| {
            let source = zstd::stream::read::Decoder::new(&packed[..]).expect("a decoder");
            io::copy(&mut Unpacked::new(source, packed.len() as u64, stop), &mut io::sink())
        };
        assert_eq!(read(Stop::default()).expect_err("a bomb").kind(), io::ErrorKind::FileTooLarge);
        let stop = Stop::default();
        stop.ask();
        assert!(read(stop).is_err());
    }

    #[test]
    fn read_after_stop_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        fs::write(&path, "one").expect("written");
        let stop = Stop::default();
        let mut file = open_regular(&path).expect("opened").until(stop.clone());
        stop.ask();
        assert!(file.read(&mut [0; 2]).is_err());
    }
}
