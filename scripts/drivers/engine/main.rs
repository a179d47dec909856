//! `scripts/bench engine`: the memory backend alone: bytes per entry, time per operation, pauses.
//!
//! Nothing here leaves the process: no socket, no other thread. Each file is a table:
//! [`operations`] what an operation costs, [`pauses`] how long the longest single operations and
//! steps take, [`recovery`] how long a store in a file takes to open. What is measured next is a
//! file and a line in [`run`].

#[allow(dead_code, reason = "every driver uses a part")]
#[path = "../common/mod.rs"]
mod common;
mod operations;
mod pauses;
mod recovery;
mod store;

use std::io::Write;
use std::process::ExitCode;

use common::args::{Asked, count, list};
use common::{Result, driver, machine};

const HELP: &str = "\
Measures the memory backend inside one process, without sockets: bytes per entry, nanoseconds
per operation, the longest single operations and steps of upkeep, and how long a store in a
file takes to open. Entries have a 37-byte
key, a 256-byte value and a TTL. Markdown tables go to standard output. Ten million entries
take 4 GB.

Usage: scripts/bench engine [OPTIONS]

  --quick              few entries, to see that everything works
  --entries LIST       at which sizes (10k,100k,1M,10M)
  -h, --help           show this
";

/// A validated command line.
pub(crate) struct Options {
    entries: Vec<u64>,
    /// Operations of each kind that are timed, where so many make sense.
    sample: u64,
}

impl Options {
    /// Enough to see that everything works.
    pub(crate) fn quick() -> Self {
        Self {
            entries: vec![1_000, 5_000],
            sample: 5_000,
        }
    }

    fn parse(args: Vec<String>) -> std::result::Result<Asked<Self>, String> {
        let mut options = Self {
            entries: vec![10_000, 100_000, 1_000_000, 10_000_000],
            sample: 500_000,
        };
        let mut args = args.into_iter();
        while let Some(option) = args.next() {
            match option.as_str() {
                "-h" | "--help" => return Ok(Asked::Help),
                "--bench" => {}
                "--quick" => options = Self::quick(),
                "--entries" => {
                    let value = args.next().ok_or("--entries needs a value")?;
                    options.entries = list(&option, &value, count)?;
                }
                other => return Err(format!("there is no option {other}; --help lists them")),
            }
        }
        Ok(Asked::Run(options))
    }
}

fn main() -> ExitCode {
    driver::start("engine", HELP, Options::parse, run)
}

/// Measures everything, a table each.
///
/// # Errors
/// The backend refuses, or `/proc` cannot be read.
pub(crate) fn run(options: &Options, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "# The memory backend alone\n\n{}", machine::describe())?;
    writeln!(out, "- transparent huge pages: {}\n", machine::huge_pages())?;
    let meter = machine::Meter::start(&[])?;
    operations::table(&options.entries, options.sample, out)?;
    pauses::table(&options.entries, out)?;
    writeln!(out)?;
    recovery::table(&options.entries, out)?;
    writeln!(out, "{}", meter.tell(&[])?)?;
    Ok(())
}
