//! A real redis-server and the server under test, each on a socket of its own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::reply::Reply;
use super::step::encode;
use crate::common::installed::is_installed;
use crate::common::{PATIENCE, Running, clean, eventually, folder, memstore};

/// Which version of the protocol the connections speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Resp2,
    Resp3,
}

/// Both servers. They end when this is dropped.
pub struct Servers {
    pub redis: Server,
    pub ours: Server,
    _folder: TempDir,
}

impl Servers {
    /// Starts both; `None`, loudly, where there is no redis-server.
    pub fn start() -> Option<Self> {
        Self::start_over(|_| "memory:".to_owned())
    }

    /// As `start`, over the store with a URL, which may be in the folder that is given.
    pub fn start_over(store: impl FnOnce(&Path) -> String) -> Option<Self> {
        if !is_installed("redis-server") {
            return None;
        }
        let folder = folder();
        let sock = folder.path().join("redis");
        let mut redis = clean("redis-server");
        redis
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .args(["--loglevel", "warning", "--unixsocket"])
            .arg(&sock)
            .current_dir(folder.path());
        let redis = Server::start(&mut redis, sock);
        let sock = folder.path().join("ours");
        let mut serve = memstore(["serve", "--store"]);
        serve.arg(store(folder.path())).arg("--sock").arg(&sock);
        let ours = Server::start(&mut serve, sock);
        Some(Self {
            redis,
            ours,
            _folder: folder,
        })
    }
}

/// A server and where it listens.
pub struct Server {
    sock: PathBuf,
    _process: Running,
}

impl Server {
    fn start(command: &mut Command, sock: PathBuf) -> Self {
        let process = Running::start(command);
        eventually("the server listens", || UnixStream::connect(&sock).ok());
        Self {
            sock,
            _process: process,
        }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.sock
    }

    /// A conversation with an empty server.
    pub fn begin(&self, protocol: Protocol) -> Talk<'_> {
        let mut control = Client::connect(&self.sock);
        control.ask(&["FLUSHALL"]);
        Talk {
            sock: &self.sock,
            protocol,
            control,
            clients: BTreeMap::new(),
        }
    }
}

/// The connections of one case to one server.
pub struct Talk<'s> {
    sock: &'s Path,
    protocol: Protocol,
    /// For what the case does not see.
    pub control: Client,
    pub clients: BTreeMap<u8, Client>,
}

impl Talk<'_> {
    /// The connection with this number.
    pub fn client(&mut self, number: u8) -> &mut Client {
        self.clients.entry(number).or_insert_with(|| {
            let mut client = Client::connect(self.sock);
            if self.protocol == Protocol::Resp3 {
                let hello = client.ask(&["HELLO", "3"]);
                assert!(matches!(hello, Reply::Many(b'%', _)), "{hello:?}");
            }
            client
        })
    }
}

/// A connection.
pub struct Client {
    stream: UnixStream,
    unread: Vec<u8>,
}

impl Client {
    fn connect(sock: &Path) -> Self {
        let stream = UnixStream::connect(sock).expect("the server listens");
        let patience = stream.set_read_timeout(Some(PATIENCE / 3));
        patience.expect("a socket has a timeout");
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// Sends bytes. That the server has hung up shows when its replies are read.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next reply, or why there is none.
    pub fn reply(&mut self) -> Result<Reply, &'static str> {
        loop {
            if let Some((reply, len)) = Reply::parse(&self.unread) {
                self.unread.drain(..len);
                return Ok(reply);
            }
            self.read()?;
        }
    }

    /// All replies until the server hangs up.
    pub fn rest(&mut self) -> (Vec<Reply>, &'static str) {
        let mut replies = Vec::new();
        loop {
            match self.reply() {
                Ok(reply) => replies.push(reply),
                Err(end) => return (replies, end),
            }
        }
    }

    fn read(&mut self) -> Result<(), &'static str> {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) if self.unread.is_empty() => Err("closed"),
            Ok(0) => Err("closed within a reply"),
            Ok(len) => {
                self.unread.extend_from_slice(&buffer[..len]);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Err("closed"),
            Err(_) => Err("silent"),
        }
    }

    /// Sends a command and waits for its reply.
    pub fn ask(&mut self, args: &[impl AsRef<[u8]>]) -> Reply {
        self.send(&encode(args));
        self.reply().expect("an answer")
    }
}
