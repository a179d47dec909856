//! What the command line asks for.

use std::path::PathBuf;
use std::time::Duration;

use super::cases::Storage;
use super::common::args::{Asked, list, number, path};
use super::common::machine::Placement;

pub(crate) const HELP: &str = "\
Measures every kind of store beside the npm module whose format it shares, with the same
sessions and the same durability: connect-session-knex (better-sqlite3), level-session-store,
session-file-store, connect-redis and express-session's own MemoryStore, all in one Node
process and called there; our stores are called in a process too, and asked through a master's
socket. Then pipelines of redis-rs to Redis beside the same through a master; then what the
master's loop and a ping wait while SQLite syncs. In each round everybody is measured in turn,
and the order rotates. A Markdown report goes to standard output. What is not installed is
left out with a warning.

Usage: scripts/bench backends [OPTIONS]

  --quick              one round in 20 seconds, to see that everything works
  --seconds N          the time for the whole run, besides filling stores (600); it is shared
                       among the measurements
  --rounds N           how often everything is measured (3)
  --entries N          how many sessions each store has (10k)
  --parts LIST         stores,pipelines,ticks
  --stores LIST        memory,sqlite,leveldb,files,redis
  --placements LIST    pinned (all that take part on one processor), unpinned; of the stores and
                       the pipelines
  --dir PATH           put the stores below this folder, to measure another disk
  --json FILE          write each measurement to FILE, one JSON object per line
  --binary PATH        measure this memstore-cluster, not the one of this source tree
  -h, --help           show this
";

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Stores,
    Pipelines,
    Ticks,
}

/// A validated command line.
pub(crate) struct Options {
    pub(crate) time: Duration,
    pub(crate) rounds: u32,
    pub(crate) entries: u64,
    pub(crate) parts: Vec<Part>,
    pub(crate) stores: Vec<Storage>,
    pub(crate) placements: Vec<Placement>,
    pub(crate) dir: PathBuf,
    pub(crate) json: Option<PathBuf>,
    pub(crate) binary: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(600),
            rounds: 3,
            entries: 10_000,
            parts: vec![Part::Stores, Part::Pipelines, Part::Ticks],
            stores: Storage::EVERY.to_vec(),
            placements: vec![Placement::Pinned, Placement::Unpinned],
            dir: std::env::temp_dir(),
            json: None,
            binary: None,
        }
    }
}

impl Options {
    /// Enough to see that everything works.
    pub(crate) fn quick() -> Self {
        Self {
            time: Duration::from_secs(20),
            rounds: 1,
            entries: 500,
            ..Self::default()
        }
    }

    /// Reads the arguments.
    ///
    /// # Errors
    /// A sentence that says which argument is wrong and what would be right.
    pub(crate) fn parse(args: Vec<String>) -> Result<Asked<Self>, String> {
        let is_quick = args.iter().any(|arg| arg == "--quick");
        let mut options = if is_quick {
            Self::quick()
        } else {
            Self::default()
        };
        let mut args = args.into_iter();
        while let Some(option) = args.next() {
            let mut value = || args.next().ok_or(format!("{option} needs a value"));
            match option.as_str() {
                "-h" | "--help" => return Ok(Asked::Help),
                // The first from cargo, see `driver::start`.
                "--bench" | "--quick" => {}
                "--seconds" => options.time = Duration::from_secs(number(&option, &value()?)?),
                "--rounds" => options.rounds = number(&option, &value()?)?,
                "--entries" => options.entries = number(&option, &value()?)?,
                "--parts" => options.parts = list(&option, &value()?, part)?,
                "--stores" => options.stores = list(&option, &value()?, storage)?,
                "--placements" => options.placements = list(&option, &value()?, Placement::named)?,
                "--dir" => options.dir = path(&value()?),
                "--json" => options.json = Some(path(&value()?)),
                "--binary" => options.binary = Some(path(&value()?)),
                other => return Err(format!("there is no option {other}; --help lists them")),
            }
        }
        Ok(Asked::Run(options))
    }
}

fn part(text: &str) -> Option<Part> {
    match text {
        "stores" => Some(Part::Stores),
        "pipelines" => Some(Part::Pipelines),
        "ticks" => Some(Part::Ticks),
        _ => None,
    }
}

fn storage(text: &str) -> Option<Storage> {
    let mut every = Storage::EVERY.into_iter();
    every.find(|storage| storage.name() == text)
}
