//! The work during which the probe asks, done over a connection of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use memstore_cluster::protocol::{Request, codec};

use super::common::answers::Answer;
use super::common::connection::Connection;
use super::common::dialect::{Ask, Dialect, words};
use super::common::server::{Kind, Server};
use super::common::table::float;
use super::common::{Result, driver, keys};

/// All entries of the storm expire within this time.
const STORM: Duration = Duration::from_secs(1);
/// How long before the storm the probe begins.
const CALM: Duration = Duration::from_millis(300);
/// What is left of every so many entries when most of them are destroyed.
const SPARED: u64 = 10;
const WAIT: Duration = Duration::from_millis(20);

/// What goes on, in the order in which it is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Work {
    /// Nothing.
    Idle,
    /// Gets, as fast as they are answered: the work that no store does better than at once.
    Reads,
    /// A walk over everything.
    All,
    /// A copy of everything.
    Dump,
    /// As many entries again.
    Growth,
    /// Nine of ten entries are destroyed.
    Release,
    /// Everything is removed by one request.
    Clear,
    /// Everything expires within a second.
    Storm,
}

impl Work {
    pub(crate) const EVERY: [Self; 8] = [
        Self::Idle,
        Self::Reads,
        Self::All,
        Self::Dump,
        Self::Growth,
        Self::Release,
        Self::Clear,
        Self::Storm,
    ];
}

/// How a server does it that knows two ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// As its plain command does.
    AtOnce,
    /// In steps or in the background.
    InSteps,
}

/// Does the work with one server.
pub(crate) struct Worker<'a> {
    connection: Connection,
    kind: Kind,
    dialect: Dialect,
    ours: &'a Path,
    sock: &'a Path,
    entries: u64,
    value: Vec<u8>,
    /// How long it took to write all entries.
    filling: Duration,
    /// When the storm begins.
    storm: Instant,
}

impl<'a> Worker<'a> {
    /// Connects.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub(crate) fn new(server: &'a Server, ours: &'a Path, entries: u64) -> Result<Self> {
        Ok(Self {
            connection: Connection::to(server)?,
            kind: server.kind,
            dialect: server.dialect,
            ours,
            sock: &server.sock,
            entries,
            value: keys::value(keys::VALUE),
            filling: Duration::ZERO,
            storm: Instant::now(),
        })
    }

    /// Whether this server can do this.
    pub(crate) fn can(&self, work: Work, manner: Manner) -> bool {
        let is_twofold = matches!(work, Work::All | Work::Dump | Work::Clear);
        match (self.kind, manner) {
            (Kind::Floor, Manner::AtOnce) => matches!(work, Work::Idle | Work::Reads),
            (Kind::Ours, Manner::AtOnce) => work != Work::Dump || self.can_dump(),
            (Kind::Redis, Manner::AtOnce) => true,
            (Kind::Redis, Manner::InSteps) => is_twofold,
            _ => false,
        }
    }

    /// Whether the binary has the sub-command.
    fn can_dump(&self) -> bool {
        let mut dump = Command::new(self.ours);
        let dump = dump.args(["dump", "--help"]).stdout(Stdio::null());
        let status = dump.stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    /// Sees to it that the entries are there which the work needs.
    ///
    /// # Errors
    /// The server is gone or refuses.
    pub(crate) fn prepare(&mut self, work: Work) -> Result<()> {
        match work {
            Work::Idle | Work::Clear => self.fill(),
            Work::Storm => {
                self.storm = Instant::now() + 2 * self.filling + CALM;
                for n in 0..self.entries {
                    let at = self.storm + STORM.mul_f64(float(n % 1_000) / 1e3);
                    let ttl = at.saturating_duration_since(Instant::now());
                    self.set(n, u64::try_from(ttl.as_millis())?.max(1))?;
                }
                self.connection.finish()?;
                let left = self.storm.saturating_duration_since(Instant::now());
                thread::sleep(left.saturating_sub(CALM));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn fill(&mut self) -> Result<()> {
        let start = Instant::now();
        self.write(0..self.entries)?;
        self.filling = start.elapsed();
        Ok(())
    }

    fn write(&mut self, mut numbers: std::ops::Range<u64>) -> Result<()> {
        numbers.try_for_each(|n| self.set(n, keys::ttl_ms(n)))?;
        self.connection.finish()
    }

    fn set(&mut self, n: u64, ttl_ms: u64) -> Result<()> {
        self.connection.ask(Ask::Set {
            key: &keys::key(n),
            value: &self.value,
            ttl_ms,
        })
    }

    /// Does it; what has no end of its own goes on for as long as `window`.
    ///
    /// # Errors
    /// The server is gone or refuses.
    pub(crate) fn work(&mut self, work: Work, manner: Manner, window: Duration) -> Result<()> {
        match work {
            Work::Idle => Ok(()),
            Work::Reads => {
                let (start, mut n) = (Instant::now(), 0);
                while start.elapsed() < window {
                    let key = &keys::key(keys::scramble(n) % self.entries);
                    self.connection.ask(Ask::Get { key })?;
                    n += 1;
                }
                self.connection.finish()
            }
            Work::All => match (self.dialect, manner) {
                (Dialect::Resp, Manner::AtOnce) => self.command(&[b"KEYS", b"*"]).map(drop),
                (Dialect::Resp, Manner::InSteps) => self.scan(),
                _ => self.pages(),
            },
            Work::Dump => match (self.dialect, manner) {
                (Dialect::Resp, Manner::AtOnce) => self.command(&[b"SAVE"]).map(drop),
                (Dialect::Resp, Manner::InSteps) => self.save(),
                _ => self.dump(),
            },
            Work::Growth => self.write(self.entries..2 * self.entries),
            Work::Release => {
                let most = (0..2 * self.entries).filter(|n| n % SPARED != 0);
                for n in most {
                    let key = &keys::key(n);
                    self.connection.ask(Ask::Destroy { key })?;
                }
                self.connection.finish()
            }
            Work::Clear if manner == Manner::InSteps => {
                self.command(&[b"FLUSHALL", b"ASYNC"]).map(drop)
            }
            Work::Clear => {
                self.connection.ask(Ask::Clear)?;
                self.connection.finish()
            }
            Work::Storm => {
                let end = self.storm + STORM;
                thread::sleep(end.saturating_duration_since(Instant::now()) + window);
                Ok(())
            }
        }
    }

    fn command(&mut self, command: &[&[u8]]) -> Result<Answer<'static>> {
        let mut request = Vec::new();
        words(&mut request, command);
        self.connection.call(&request)
    }

    fn scan(&mut self) -> Result<()> {
        let mut cursor = b"0".to_vec();
        loop {
            let Answer::Value(next) = self.command(&[b"SCAN", &cursor, b"COUNT", b"1000"])? else {
                return Err("SCAN gave no cursor".into());
            };
            cursor = next.into_owned();
            if cursor == b"0" {
                return Ok(());
            }
        }
    }

    fn pages(&mut self) -> Result<()> {
        let mut cursor = 0;
        loop {
            let mut request = Vec::new();
            codec::write_request(&mut request, 0, &Request::All { cursor, limit: 0 });
            match self.connection.call(&request)? {
                Answer::Page { next: 0 } => return Ok(()),
                Answer::Page { next } => cursor = next,
                other => return Err(format!("no page but {other:?}").into()),
            }
        }
    }

    /// Saves in the background, until that is done.
    fn save(&mut self) -> Result<()> {
        self.command(&[b"BGSAVE"])?;
        loop {
            driver::check_interrupt()?;
            thread::sleep(WAIT);
            let Answer::Value(info) = self.command(&[b"INFO", b"persistence"])? else {
                return Err("INFO told nothing".into());
            };
            let done = b"rdb_bgsave_in_progress:0";
            if info.windows(done.len()).any(|window| window == done) {
                return Ok(());
            }
        }
    }

    fn dump(&self) -> Result<()> {
        let mut dump = Command::new(self.ours);
        dump.arg("dump").arg("--sock").arg(self.sock);
        let status = dump.stdout(Stdio::null()).status()?;
        if status.success() {
            return Ok(());
        }
        Err(format!("dump: {status}").into())
    }
}
