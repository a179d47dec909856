//! The sockets that all workers accept from, opened once by the master.
//!
//! Called by the master at start. What was typed is parsed in `config::address`; how a worker gets
//! them is the matter of [`spawn`](super::spawn). The master never accepts: it only keeps the
//! sockets, so that no connection that waits is lost when a worker goes.
//!
//! A listener blocks. The mode belongs to the socket and so to all workers at once: whoever needs
//! the other one sets it, as every event loop does by itself, while a plain accept loop would spin
//! on a socket that does not block.

use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, connect,
    getsockname, listen, setsockopt, socket, sockopt,
};

use crate::config::BindAddress;

/// How many connections may wait to be accepted, where nothing else was asked. The system bounds
/// it further (`net.core.somaxconn`).
pub const DEFAULT_BACKLOG: u16 = 1024;

/// Bytes of a unix socket's path, the NUL behind it not counted.
const MAX_UNIX_PATH: usize = {
    let address = size_of::<libc::sockaddr_un>();
    address - std::mem::offset_of!(libc::sockaddr_un, sun_path) - 1
};

/// A listening socket. A unix socket's file is removed when this is dropped, unless somebody else
/// has replaced it.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    address: String,
    file: Option<SocketFile>,
}

/// A socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {problem}")]
pub struct ListenError {
    address: String,
    problem: String,
    source: io::Error,
}

impl ListenError {
    /// The system's reason.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl From<ListenError> for crate::Error {
    fn from(error: ListenError) -> Self {
        let ListenError {
            address,
            problem,
            source,
        } = error;
        Self::io(format!("listen on {address}: {problem}"))(source)
    }
}

impl Listener {
    /// Opens a socket that listens at `address`.
    ///
    /// A unix socket's file that nobody listens at is replaced; its permissions are those that
    /// the umask leaves.
    ///
    /// # Errors
    /// [`ListenError`], which says what to do about it.
    pub fn open(address: &BindAddress, backlog: u16) -> Result<Self, ListenError> {
        let backlog = Backlog::new(i32::from(backlog)).unwrap_or(Backlog::MAXCONN);
        let opened = match address {
            BindAddress::Unix(path) => open_unix(path, backlog),
            BindAddress::Ip(ip) => open_tcp(*ip, Family::Only, backlog),
            BindAddress::AnyInterface { port } => open_any(*port, backlog),
            BindAddress::Name { host, port } => open_name(host, *port, backlog),
        };
        opened.map_err(|Problem(problem, source)| ListenError {
            address: address.to_string(),
            problem,
            source,
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A file that cannot be removed is found stale by the next one to listen there.
        let _ = self.file.as_ref().map(SocketFile::remove);
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The address it listens at, with the port that the system chose where 0 was asked.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

/// What went wrong, in words and in the system's.
struct Problem(String, io::Error);

impl Problem {
    fn new(words: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self(words.into(), source.into())
    }
}

/// Whether a wildcard address of IPv6 takes IPv4 connections too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Only,
    Both,
}

fn open_any(port: u16, backlog: Backlog) -> Result<Listener, Problem> {
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    match open_tcp(v6, Family::Both, backlog) {
        Err(Problem(_, source)) if is_not_here(&source) => open_tcp(v4, Family::Only, backlog),
        opened => opened,
    }
}

fn open_name(host: &str, port: u16, backlog: Backlog) -> Result<Listener, Problem> {
    let addresses = (host, port).to_socket_addrs().map_err(|source| {
        let words = format!("the name {host} cannot be resolved; write an IP address or :{port}");
        Problem::new(words, source)
    })?;
    let mut last = Problem::new("the name has no address", Errno::EADDRNOTAVAIL);
    for address in addresses {
        match open_tcp(address, Family::Only, backlog) {
            Err(problem) if is_not_here(&problem.1) => last = problem,
            opened => return opened,
        }
    }
    Err(last)
}

/// Whether this machine lacks the address or its whole family.
fn is_not_here(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL | Errno::EPROTONOSUPPORT)
    )
}

fn open_tcp(address: SocketAddr, family: Family, backlog: Backlog) -> Result<Listener, Problem> {
    let open = || {
        let domain = match address {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let fd = stream_socket(domain)?;
        // Connections of the last master that are still in TIME_WAIT are no reason to wait.
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        if address.is_ipv6() {
            // Said explicitly, because the system's default can be changed.
            setsockopt(&fd, sockopt::Ipv6V6Only, &(family == Family::Only))?;
        }
        bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
        listen(&fd, backlog)?;
        let bound: SockaddrStorage = getsockname(fd.as_raw_fd())?;
        Ok((fd, bound.to_string()))
    };
    let (fd, address) = open().map_err(|errno| {
        let words = match errno {
            Errno::EADDRINUSE => "another process listens there".to_owned(),
            Errno::EADDRNOTAVAIL => "no interface of this machine has this address".to_owned(),
            Errno::EACCES => format!(
                "this user may not use port {}; take one from 1024 up, or grant \
                 CAP_NET_BIND_SERVICE",
                address.port()
            ),
            Errno::EAFNOSUPPORT => "this machine does not have this kind of address".to_owned(),
            _ => "the system refused it".to_owned(),
        };
        Problem::new(words, errno)
    })?;
    Ok(Listener {
        fd,
        address,
        file: None,
    })
}

fn stream_socket(domain: AddressFamily) -> nix::Result<OwnedFd> {
    socket(domain, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
}

fn open_unix(path: &Path, backlog: Backlog) -> Result<Listener, Problem> {
    let length = path.as_os_str().len();
    if length > MAX_UNIX_PATH {
        let words = format!(
            "the path of a unix socket can have {MAX_UNIX_PATH} bytes, this has {length}; take a \
             shorter one"
        );
        return Err(Problem::new(words, Errno::ENAMETOOLONG));
    }
    let refused = |errno: Errno| {
        let words = match errno {
            Errno::ENOENT => "its directory does not exist",
            Errno::EACCES | Errno::EPERM | Errno::EROFS => "its directory is not writable",
            Errno::ENOTDIR => "a part of its path is no directory",
            Errno::EADDRINUSE => "another process has just taken it",
            _ => "the system refused it",
        };
        Problem::new(words, errno)
    };
    let address = UnixAddr::new(path).map_err(refused)?;
    let fd = stream_socket(AddressFamily::Unix).map_err(refused)?;
    match bind(fd.as_raw_fd(), &address) {
        Err(Errno::EADDRINUSE) => {
            remove_stale(path)?;
            bind(fd.as_raw_fd(), &address).map_err(refused)?;
        }
        bound => bound.map_err(refused)?,
    }
    let file = SocketFile::at(path)
        .map_err(|source| Problem::new("it was removed while it was opened", source))?;
    let listener = Listener {
        fd,
        address: format!("unix:{}", path.display()),
        file: Some(file),
    };
    listen(&listener.fd, backlog).map_err(refused)?;
    Ok(listener)
}

/// Removes the socket file of a process that is gone, and nothing else.
fn remove_stale(path: &Path) -> Result<(), Problem> {
    let stale = match SocketFile::at(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|source| Problem::new("what is there is unknown", source))?,
    };
    if !stale.is_socket {
        return Err(Problem::new(
            "what is there is no socket; remove it or take another path",
            Errno::EEXIST,
        ));
    }
    match knock(path) {
        Err(Errno::ECONNREFUSED) => {
            let removed = stale.remove();
            removed.map_err(|source| Problem::new("its stale file cannot be removed", source))
        }
        Err(Errno::EACCES) => Err(Problem::new(
            "a socket of another user is there; remove it or take another path",
            Errno::EACCES,
        )),
        // Also where the queue is full: somebody is there.
        _ => Err(Problem::new(
            "a live process listens there",
            Errno::EADDRINUSE,
        )),
    }
}

/// Connects, without waiting for room in the queue.
fn knock(path: &Path) -> nix::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)
}

/// What was found at a path, so that nothing else is removed there.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    is_socket: bool,
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            identity: (found.dev(), found.ino()),
            is_socket: found.file_type().is_socket(),
        })
    }

    /// Removes the file, unless it has been replaced or is gone.
    fn remove(&self) -> io::Result<()> {
        match Self::at(&self.path) {
            Ok(now) if now.identity == self.identity => fs::remove_file(&self.path),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};

    use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

    use super::*;

    fn open(address: &str) -> Result<Listener, ListenError> {
        Listener::open(&address.parse().unwrap(), DEFAULT_BACKLOG)
    }

    fn problem(address: &str) -> String {
        open(address).unwrap_err().to_string()
    }

    fn port(listener: &Listener) -> u16 {
        let shown = listener.to_string();
        shown.rsplit(':').next().unwrap().parse().unwrap()
    }

    #[test]
    fn a_listener_shows_its_real_port_and_takes_connections() {
        let listener = open("127.0.0.1:0").unwrap();
        assert_ne!(port(&listener), 0);
        TcpStream::connect(listener.to_string()).unwrap();
        let accepting = TcpListener::from(listener.fd.try_clone().unwrap());
        accepting.accept().unwrap();
    }

    #[test]
    fn a_listener_blocks_and_is_closed_on_exec() {
        let listener = open("localhost:0").unwrap();
        let mode = OFlag::from_bits_retain(fcntl(&listener, FcntlArg::F_GETFL).unwrap());
        assert!(!mode.contains(OFlag::O_NONBLOCK));
        let flags = FdFlag::from_bits_retain(fcntl(&listener, FcntlArg::F_GETFD).unwrap());
        assert!(flags.contains(FdFlag::FD_CLOEXEC));
    }

    #[test]
    fn every_interface_is_both_families_and_a_written_wildcard_is_one() {
        let any = open(":0").unwrap();
        TcpStream::connect(("127.0.0.1", port(&any))).unwrap();
        let is_v6_only = |it: &Listener| nix::sys::socket::getsockopt(it, sockopt::Ipv6V6Only);
        // Where there is no IPv6, the first is of IPv4 and the second cannot be.
        if let Ok(only) = open("[::]:0") {
            assert_eq!(is_v6_only(&any), Ok(false));
            assert_eq!(is_v6_only(&only), Ok(true));
        }
    }

    #[test]
    fn a_taken_port_and_a_foreign_address_are_told_apart() {
        let taken = open("127.0.0.1:0").unwrap();
        let text = problem(&taken.to_string());
        assert_eq!(
            text,
            format!("cannot listen on {taken}: another process listens there")
        );
        // An address for documentation that no machine has.
        let text = problem("192.0.2.1:0");
        assert!(text.contains("no interface of this machine"), "{text}");
    }

    #[test]
    fn a_unix_socket_goes_with_its_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let listener = open(path.to_str().unwrap()).unwrap();
        assert_eq!(listener.to_string(), format!("unix:{}", path.display()));
        UnixStream::connect(&path).unwrap();
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_unix_socket_of_somebody_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let listener = open(path.to_str().unwrap()).unwrap();
        fs::rename(&path, dir.path().join("moved")).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(listener);
        assert!(path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let other = stream_socket(AddressFamily::Unix).unwrap();
        bind(other.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        // Nobody listens yet, as when the process that bound it is gone.
        drop(open(path.to_str().unwrap()).unwrap());

        let other = stream_socket(AddressFamily::Unix).unwrap();
        bind(other.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&other, Backlog::new(0).unwrap()).unwrap();
        // The first attempt fills its queue, and the second finds it full.
        for _ in 0..2 {
            let text = problem(path.to_str().unwrap());
            assert!(text.ends_with("a live process listens there"), "{text}");
        }
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        File::create(&path).unwrap();
        let text = problem(path.to_str().unwrap());
        assert!(text.contains("no socket"), "{text}");
        assert!(path.exists());
        // Nor is what a link leads to removed.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(problem(link.to_str().unwrap()).contains("no socket"));
        assert!(link.exists());
    }

    #[test]
    fn a_path_that_cannot_be_is_told_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let in_dir = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let text = problem(&in_dir(&"x".repeat(120)));
        assert!(text.contains("can have 107 bytes, this has "), "{text}");
        let text = problem(&in_dir("none/a.sock"));
        assert!(text.ends_with("its directory does not exist"), "{text}");
        File::create(dir.path().join("file")).unwrap();
        let text = problem(&in_dir("file/a.sock"));
        assert!(text.ends_with("no directory"), "{text}");
        // The superuser may write everywhere.
        if !nix::unistd::geteuid().is_root() {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
            let text = problem(&in_dir("a.sock"));
            assert!(text.ends_with("not writable"), "{text}");
        }
    }

    #[test]
    fn the_public_error_keeps_the_reason() {
        let error = open("192.0.2.1:0").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        let text = error.to_string();
        assert_eq!(crate::Error::from(error).to_string(), text);
    }
}
