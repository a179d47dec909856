//! What the command line asks for.

use std::path::PathBuf;
use std::time::Duration;

use super::common::args::{Asked, Peers, list, number, path};
use super::common::dialect::Dialect;
use super::common::load::Shape;
use super::common::machine::Placement;
use super::common::server::Kind;
use super::common::wire::Op;

pub(crate) const HELP: &str = "\
Measures the store beside its peers: the floor (a server that only moves bytes),
memstore-cluster, Redis and memcached, all through Unix sockets, in one run, with one
client and the same work. In each round every cell is measured for every peer in turn, and
the order of the peers rotates. A Markdown report goes to standard output. On a machine that
others use too, `nice -n -20 scripts/bench` (as root) keeps most of them out.

Usage: scripts/bench peers [OPTIONS]

  --quick              one round in 20 seconds, to see that everything works
  --seconds N          the time for the whole run (540); it is shared among the measurements
  --rounds N           how often each cell is measured (5)
  --peers LIST         floor,memstore-cluster,redis,memcached; a peer that is named and cannot
                       be measured is an error, otherwise it is left out with a warning
  --dialect NAME       what the floor and memstore-cluster are asked in: native, or redis, as
                       `scripts/bench redis` does (native)
  --ops LIST           get,set
  --sizes LIST         bytes of a value (64,1024,16384)
  --shapes LIST        connections, or connections x depth of pipeline (1,1x64,8,64)
  --placements LIST    pinned (client and server on one processor), unpinned
  --json FILE          write each measurement to FILE, one JSON object per line
  --binary PATH        measure this memstore-cluster, not the one of this source tree
  -h, --help           show this
";

/// A validated command line.
pub(crate) struct Options {
    pub(crate) time: Duration,
    pub(crate) rounds: u32,
    pub(crate) peers: Peers,
    pub(crate) dialect: Dialect,
    pub(crate) ops: Vec<Op>,
    pub(crate) sizes: Vec<usize>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) placements: Vec<Placement>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) binary: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        let shape = |connections, depth| Shape { connections, depth };
        Self {
            time: Duration::from_secs(540),
            rounds: 5,
            peers: Peers::any(&Kind::EVERY),
            dialect: Dialect::Native,
            ops: vec![Op::Get, Op::Set],
            sizes: vec![64, 1 << 10, 16 << 10],
            shapes: vec![shape(1, 1), shape(1, 64), shape(8, 1), shape(64, 1)],
            placements: vec![Placement::Pinned, Placement::Unpinned],
            json: None,
            binary: None,
        }
    }
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// A sentence that says which argument is wrong and what would be right.
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Asked<Self>, String> {
        let mut options = Self::default();
        let mut args = args.into_iter();
        while let Some(option) = args.next() {
            let mut value = || args.next().ok_or(format!("{option} needs a value"));
            match option.as_str() {
                "-h" | "--help" => return Ok(Asked::Help),
                // From cargo, see `main`.
                "--bench" => {}
                "--quick" => {
                    options.rounds = 1;
                    options.time = Duration::from_secs(20);
                }
                "--seconds" => {
                    options.time = Duration::from_secs(number(&option, &value()?)?);
                }
                "--rounds" => options.rounds = number(&option, &value()?)?,
                "--peers" => options.peers = Peers::named(&option, &value()?, &Kind::EVERY)?,
                "--dialect" => options.dialect = dialect(&option, &value()?)?,
                "--ops" => options.ops = list(&option, &value()?, op)?,
                "--sizes" => options.sizes = list(&option, &value()?, |size| size.parse().ok())?,
                "--shapes" => options.shapes = list(&option, &value()?, shape)?,
                "--placements" => options.placements = list(&option, &value()?, Placement::named)?,
                "--json" => options.json = Some(path(&value()?)),
                "--binary" => options.binary = Some(path(&value()?)),
                other => return Err(format!("there is no option {other}; --help lists them")),
            }
        }
        Ok(Asked::Run(options))
    }
}

fn dialect(option: &str, text: &str) -> Result<Dialect, String> {
    match text {
        "native" => Ok(Dialect::Native),
        "redis" => Ok(Dialect::Resp),
        _ => Err(format!("{option} takes native or redis, not {text:?}")),
    }
}

fn op(text: &str) -> Option<Op> {
    match text {
        "get" => Some(Op::Get),
        "set" => Some(Op::Set),
        _ => None,
    }
}

/// One connection may be pipelined, several are not.
fn shape(text: &str) -> Option<Shape> {
    let (connections, depth) = match text.split_once('x') {
        Some((connections, depth)) => (connections.parse().ok()?, depth.parse().ok()?),
        None => (text.parse().ok()?, 1),
    };
    let is_known = connections > 0 && depth > 0 && (connections == 1 || depth == 1);
    is_known.then_some(Shape { connections, depth })
}
