//! A raw connection to a master, or to a redis-server, that speaks the Redis dialect.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{PATIENCE, Running, eventually, folder, memstore};

/// A master without workers, in a folder of its own.
pub struct Master {
    pub running: Running,
    pub folder: tempfile::TempDir,
}

impl Master {
    /// Starts it with these flags besides `--sock`; it serves when this returns.
    pub fn start(flags: &[&str]) -> Self {
        let folder = folder();
        let sock = folder.path().join("sock");
        let sock = sock.to_str().expect("the folder's name is text");
        let running = Running::start(memstore(["serve", "--sock", sock]).args(flags));
        running.stderr().until_contains("serving");
        Self { running, folder }
    }

    pub fn sock(&self) -> std::path::PathBuf {
        self.folder.path().join("sock")
    }

    pub fn connect(&self) -> Wire {
        Wire::connect(&self.sock())
    }
}

/// One connection. Replies are asserted byte for byte, so none that is too much goes unseen.
pub struct Wire(UnixStream);

impl Wire {
    pub fn connect(sock: &Path) -> Self {
        let stream = eventually("a connection", || UnixStream::connect(sock).ok());
        let timeout = Some(PATIENCE);
        stream.set_read_timeout(timeout).expect("it takes one");
        stream.set_write_timeout(timeout).expect("it takes one");
        Self(stream)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("the master reads");
    }

    /// Expects exactly these bytes next.
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut got = Vec::new();
        while got.len() < expected.len() && expected.starts_with(&got) {
            let mut part = vec![0; expected.len() - got.len()];
            match self.0.read(&mut part) {
                Ok(0) => break,
                Ok(count) => got.extend_from_slice(&part[..count]),
                Err(error) => panic!("{error} after {}", got.escape_ascii()),
            }
        }
        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
        assert_eq!(shown(&got), shown(expected));
    }

    /// Sends one inline command (no argument with spaces) and expects exactly this reply to it.
    pub fn ask(&mut self, command: &str, reply: &str) {
        self.send(format!("{command}\r\n"));
        self.expect(reply);
    }

    /// A bulk reply to an inline command, as text.
    pub fn bulk(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n"));
        let header = self.line();
        let length = header.strip_prefix('$').expect("a bulk string");
        let length: usize = length.parse().expect("its length");
        let mut text = vec![0; length + 2];
        self.0.read_exact(&mut text).expect("all of it");
        text.truncate(length);
        String::from_utf8(text).expect("text")
    }

    /// A line, without its end.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("a whole line");
            line.push(byte[0]);
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).expect("text")
    }

    /// Reads whatever comes until the master closes the connection: how many bytes.
    pub fn until_closed(&mut self) -> usize {
        let (mut count, mut part) = (0, vec![0; 64 << 10]);
        loop {
            match self.0.read(&mut part) {
                Ok(0) => return count,
                Ok(more) => count += more,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return count,
                Err(error) => panic!("{error} instead of the end"),
            }
        }
    }
}
