//! What the command line asks for.

use std::path::PathBuf;
use std::time::Duration;

use super::common::args::{Asked, Peers, count, list, number, path};
use super::common::server::Kind;

const KINDS: [Kind; 3] = [Kind::Ours, Kind::Redis, Kind::Memcached];

pub(crate) const HELP: &str = "\
Measures how much memory the store takes beside Redis and memcached, each a process of its own
with the same data: first entries of a 37-byte key, a 256-byte value and a TTL, then a day of
sessions of 64 B to 8 KiB that are written again, touched, destroyed and expire. What a process
holds is its proportional set size, with all of its shared memory, less what it held while it
was empty. A Markdown report goes to standard output.

Usage: scripts/bench memory [OPTIONS]

  --quick              few entries and a short day, to see that everything works
  --entries LIST       entries of 293 bytes, as in 1M,5M,10M (1M)
  --churn N            about how many sessions the day has at a time (100k); 0 leaves it out
  --day SECONDS        how long the day takes (24)
  --seed N             another day (1)
  --rounds N           how often everything is measured (1)
  --peers LIST         memstore-cluster,redis,memcached; a peer that is named and cannot be
                       measured is an error, otherwise it is left out with a warning
  --binary PATH        measure this memstore-cluster, not the one of this source tree
  -h, --help           show this
";

/// A validated command line.
pub(crate) struct Options {
    pub(crate) entries: Vec<u64>,
    pub(crate) churn: u64,
    pub(crate) day: Duration,
    pub(crate) seed: u64,
    pub(crate) rounds: u32,
    pub(crate) peers: Peers,
    pub(crate) binary: Option<PathBuf>,
    /// How long nothing may change before a figure is taken.
    pub(crate) still: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            entries: vec![1_000_000],
            churn: 100_000,
            day: Duration::from_secs(24),
            seed: 1,
            rounds: 1,
            peers: Peers::any(&KINDS),
            binary: None,
            still: Duration::from_secs(2),
        }
    }
}

impl Options {
    /// Enough to see that everything works.
    pub(crate) fn quick() -> Self {
        Self {
            entries: vec![10_000],
            churn: 1_000,
            day: Duration::from_millis(300),
            still: Duration::from_millis(100),
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
                "--entries" => options.entries = list(&option, &value()?, count)?,
                "--churn" => {
                    let text = value()?;
                    options.churn = if text == "0" {
                        0
                    } else {
                        number(&option, &text)?
                    };
                }
                "--day" => options.day = Duration::from_secs(number(&option, &value()?)?),
                "--seed" => options.seed = number(&option, &value()?)?,
                "--rounds" => options.rounds = number(&option, &value()?)?,
                "--peers" => options.peers = Peers::named(&option, &value()?, &KINDS)?,
                "--binary" => options.binary = Some(path(&value()?)),
                other => return Err(format!("there is no option {other}; --help lists them")),
            }
        }
        Ok(Asked::Run(options))
    }
}
