//! A connection that asks one thing after the other, or many at once.
//!
//! For loading and for work whose own latency is not measured.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::answers::{Answer, Answers};
use super::dialect::{Ask, Dialect};
use super::server::Server;
use super::{Result, driver};

/// A server that is silent for so long has failed. Redis saves millions of entries meanwhile.
const PATIENCE: Duration = Duration::from_secs(120);
/// Requests that are sent before their answers are awaited, and their bytes: less than what a
/// socket holds, so nobody waits for the other with both hands full.
const DEPTH: usize = 64;
const BATCH: usize = 64 << 10;
/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// A connection to a server that has let it in.
pub(crate) struct Connection {
    stream: UnixStream,
    dialect: Dialect,
    answers: Answers,
    output: Vec<u8>,
    /// Answers to what is in `output`.
    expected: usize,
    chunk: Vec<u8>,
}

impl Connection {
    /// Connects and greets.
    ///
    /// # Errors
    /// Where the server does not accept or does not greet back.
    pub(crate) fn open(sock: &Path, dialect: Dialect) -> Result<Self> {
        let stream = UnixStream::connect(sock)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut connection = Self {
            stream,
            dialect,
            answers: Answers::new(dialect),
            output: Vec::new(),
            expected: 0,
            chunk: vec![0; CHUNK],
        };
        if let Some(greeting) = dialect.greeting() {
            connection.call(&greeting)?;
        }
        Ok(connection)
    }

    /// As [`open`](Self::open).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn to(server: &Server) -> Result<Self> {
        Self::open(&server.sock, server.dialect)
    }

    /// The stream, once nothing is asked any more this way.
    pub(crate) fn into_stream(self) -> UnixStream {
        self.stream
    }

    /// Asks, now or together with what is asked next.
    ///
    /// # Errors
    /// The server is gone, or has refused something that was asked before.
    pub(crate) fn ask(&mut self, ask: Ask<'_>) -> Result<()> {
        self.dialect.write(&mut self.output, 0, ask);
        self.expected += 1;
        if self.expected == DEPTH || self.output.len() >= BATCH {
            self.finish()?;
        }
        Ok(())
    }

    /// Awaits the answers to everything that was asked.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub(crate) fn finish(&mut self) -> Result<()> {
        driver::check_interrupt()?;
        self.stream.write_all(&self.output)?;
        self.output.clear();
        while self.expected > 0 {
            while self.expected > 0 && self.answers.next()?.is_some() {
                self.expected -= 1;
            }
            if self.expected > 0 {
                self.receive()?;
            }
        }
        Ok(())
    }

    /// Sends a request in the dialect's own bytes, after whatever was asked before. Its answer.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub(crate) fn call(&mut self, request: &[u8]) -> Result<Answer<'static>> {
        self.finish()?;
        self.stream.write_all(request)?;
        loop {
            match self.answers.next()? {
                Some(Answer::Value(value)) => return Ok(Answer::Value(value.into_owned().into())),
                Some(Answer::Done) => return Ok(Answer::Done),
                Some(Answer::Missing) => return Ok(Answer::Missing),
                Some(Answer::Page { next }) => return Ok(Answer::Page { next }),
                None => {}
            }
            self.receive()?;
        }
    }

    fn receive(&mut self) -> Result<()> {
        match self.stream.read(&mut self.chunk) {
            Ok(0) => Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
            Ok(n) => {
                self.answers.feed(&self.chunk[..n]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => driver::check_interrupt(),
            Err(error) => Err(error.into()),
        }
    }
}
