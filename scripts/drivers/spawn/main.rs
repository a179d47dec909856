//! `scripts/bench spawn`: how long starting a worker stops the loop, by the size of the heap.
//!
//! Beside it `fork` and `exec`, as the standard library does it when a closure is to run in the
//! child. A Markdown table on standard output. `scripts/bench spawn` needs somewhat more than
//! 8 GiB of free memory; the heaps to measure, in GiB, can be named: `scripts/bench spawn 0 1`.

#![allow(unsafe_code)] // `pre_exec` is what makes the standard library fork.
#![allow(clippy::print_stdout)] // The table is what it is for.

use std::error::Error;
use std::hint::black_box;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use memstore_cluster::supervisor::reap::{Exit, try_reap};
use memstore_cluster::supervisor::spawn::{Identity, Recipe, Spawner, channel};

const RUNS: usize = 51;
const PROGRAM: &str = "/bin/true";

fn main() -> Result<(), Box<dyn Error>> {
    let asked: Vec<usize> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let sizes = if asked.is_empty() {
        vec![0, 1, 4, 8]
    } else {
        asked
    };
    let huge = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    println!(
        "Time until {PROGRAM} is started, {RUNS} runs each, interleaved; transparent huge pages: {}\n",
        huge.as_deref().unwrap_or("none").trim()
    );
    println!("| Heap | spawn, median | spawn, max | fork + exec, median | fork + exec, max |");
    println!("|---:|---:|---:|---:|---:|");
    let mut spawner = Spawner::new()?;
    for gib in sizes {
        // Written, not zero: pages that were never touched cost a fork nothing.
        let heap = black_box(vec![1_u8; gib << 30]);
        let (mut ours, mut forked) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            ours.push(spawn(&mut spawner)?);
            forked.push(fork()?);
        }
        drop(black_box(heap));
        let (ours, forked) = (Spread::of(ours), Spread::of(forked));
        println!(
            "| {gib} GiB | {:.0?} | {:.0?} | {:.0?} | {:.0?} |",
            ours.median, ours.max, forked.median, forked.max
        );
    }
    Ok(())
}

fn spawn(spawner: &mut Spawner) -> Result<Duration, Box<dyn Error>> {
    let (_master, worker) = channel()?;
    let recipe = Recipe {
        program: PROGRAM.as_ref(),
        args: &[],
        env: &[],
        identity: &Identity::default(),
        listeners: &[],
        channel: worker.as_fd(),
    };
    let start = Instant::now();
    let pid = spawner.spawn(&recipe)?;
    let took = start.elapsed();
    let exit = loop {
        if let Some(exit) = try_reap(pid) {
            break exit;
        }
    };
    if exit == Exit::Code(0) {
        Ok(took)
    } else {
        Err(format!("{PROGRAM} ended by {exit:?}").into())
    }
}

fn fork() -> Result<Duration, Box<dyn Error>> {
    let mut command = Command::new(PROGRAM);
    // SAFETY: the closure does nothing.
    unsafe { command.pre_exec(|| Ok(())) };
    let start = Instant::now();
    let mut child = command.spawn()?;
    let took = start.elapsed();
    child.wait()?;
    Ok(took)
}

struct Spread {
    median: Duration,
    max: Duration,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self {
            median: times[times.len() / 2],
            max: times[times.len() - 1],
        }
    }
}
