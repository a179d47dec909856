//! As much of an HTTP/1.1 client as it takes to notice every failure.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

pub struct Connection {
    stream: BufReader<TcpStream>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub body: String,
    /// Whether the server said that it closes the connection.
    pub is_last: bool,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    pub fn ask(&mut self, path: &str, header: &str) -> io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n{header}\r\n");
        self.stream.get_mut().write_all(request.as_bytes())
    }

    pub fn get(&mut self, path: &str, header: &str) -> io::Result<Answer> {
        self.ask(path, header)?;
        self.answer()
    }

    pub fn head(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end() {
                "" => return Ok(lines),
                line => lines.push(line.to_ascii_lowercase()),
            }
        }
    }

    pub fn answer(&mut self) -> io::Result<Answer> {
        let head = self.head()?;
        let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name));
        if !head
            .first()
            .is_some_and(|line| line.starts_with("http/1.1 200 "))
        {
            return Err(io::Error::other(head.join("\n")));
        }
        let length = header("content-length: ").and_then(|length| length.parse().ok());
        let length = length.ok_or_else(|| io::Error::other(head.join("\n")))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer {
            body: String::from_utf8(body).map_err(io::Error::other)?,
            is_last: header("connection: ") == Some("close"),
        })
    }

    /// Waits until the server closes the connection; what comes before is no reason to go on.
    pub fn until_closed(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }
}

/// One request on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    Connection::open(address)?.get(path, "Connection: close\r\n")
}
