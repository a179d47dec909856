//! What the command line asks for.

use std::path::PathBuf;
use std::time::Duration;

use super::common::args::{Asked, Peers, number, path};
use super::common::server::Kind;

const KINDS: [Kind; 3] = [Kind::Floor, Kind::Ours, Kind::Redis];

pub(crate) const HELP: &str = "\
Measures what a get waits while the store does something else: walks over everything, dumps,
grows to twice its size, destroys most of it, clears, or sees all entries expire in one second;
beside Redis, and the floor, a server without a store. A get is due at fixed times, whether or
not the last was answered, and its wait counts from then. Entries have a 37-byte key, a
256-byte value and a TTL. A Markdown report goes to standard output. Where there are two
processors the server has one for itself; as root the probe runs before everything else.

Usage: scripts/bench pauses [OPTIONS]

  --quick              few entries and short windows, to see that everything works
  --entries N          how many entries there are, as in 10M (1M)
  --seconds N          how long is probed at least, during each work (3)
  --interval N         microseconds between two gets (200)
  --rounds N           how often everything is measured (1)
  --peers LIST         floor,memstore-cluster,redis; a peer that is named and cannot be
                       measured is an error, otherwise it is left out with a warning
  --binary PATH        measure this memstore-cluster, not the one of this source tree
  -h, --help           show this
";

/// A validated command line.
pub(crate) struct Options {
    pub(crate) entries: u64,
    pub(crate) window: Duration,
    pub(crate) interval: Duration,
    pub(crate) rounds: u32,
    pub(crate) peers: Peers,
    pub(crate) binary: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            window: Duration::from_secs(3),
            interval: Duration::from_micros(200),
            rounds: 1,
            peers: Peers::any(&KINDS),
            binary: None,
        }
    }
}

impl Options {
    /// Enough to see that everything works.
    pub(crate) fn quick() -> Self {
        Self {
            entries: 5_000,
            window: Duration::from_millis(100),
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
                "--entries" => options.entries = number(&option, &value()?)?,
                "--seconds" => options.window = Duration::from_secs(number(&option, &value()?)?),
                "--interval" => {
                    options.interval = Duration::from_micros(number(&option, &value()?)?);
                }
                "--rounds" => options.rounds = number(&option, &value()?)?,
                "--peers" => options.peers = Peers::named(&option, &value()?, &KINDS)?,
                "--binary" => options.binary = Some(path(&value()?)),
                other => return Err(format!("there is no option {other}; --help lists them")),
            }
        }
        Ok(Asked::Run(options))
    }
}
