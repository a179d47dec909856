//! The Redis dialect against a real redis-server: the same bytes to both, the same replies.
//!
//! Cases by hand stand in `tests/redis`, a file per group of commands. Others are generated:
//! `REDIS_SEED=7` runs one of them, `REDIS_SEED=0..5000` so many.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]
#![allow(clippy::needless_raw_string_hashes, reason = "a step may have quotes")]

mod common;
mod redis;

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use fastrand::Rng;
use redis::GROUPS;
use redis::generate::{command, sequence};
use redis::run::{minimal, run, run_pipelined};
use redis::servers::{Protocol, Servers};
use redis::step::Step;

const SEEDS: Range<u64> = 0..300;
/// Commands of a generated sequence.
const COMMANDS: usize = 40;
const PROTOCOLS: [Protocol; 2] = [Protocol::Resp2, Protocol::Resp3];

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("REDIS_SEED") else {
        return SEEDS;
    };
    let number = |text: &str| text.parse().expect("REDIS_SEED is a number or a range");
    match text.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(&text)..number(&text) + 1,
    }
}

/// The versions of the protocol take turns.
fn protocol(seed: u64) -> Protocol {
    PROTOCOLS[usize::from(seed % 2 == 1)]
}

fn grammar() -> Vec<&'static str> {
    let rules = GROUPS.iter().flat_map(|group| group.grammar);
    rules.copied().collect()
}

#[test]
fn the_cases_by_hand_are_answered_as_redis_answers_them() {
    if let Some(servers) = Servers::start() {
        cases_by_hand(&servers);
    }
}

#[test]
fn whatever_holds_the_data_the_answers_are_the_same() {
    let database = |folder: &Path| format!("sqlite:{}/sessions.db", folder.display());
    if let Some(servers) = Servers::start_over(database) {
        cases_by_hand(&servers);
    }
}

fn cases_by_hand(servers: &Servers) {
    let mut failed = String::new();
    for group in GROUPS {
        for (name, text) in group.cases {
            let steps = Step::all(text);
            for protocol in PROTOCOLS {
                if let Err(differ) = run(servers, protocol, &steps) {
                    let group = group.name;
                    let tale = differ.tell(&steps);
                    let _ = writeln!(failed, "\n{group}: {name} ({protocol:?}):\n{tale}");
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn generated_sequences_are_answered_as_redis_answers_them() {
    let Some(servers) = Servers::start() else {
        return;
    };
    let grammar = grammar();
    for seed in seeds() {
        let steps = sequence(&mut Rng::with_seed(seed), &grammar, COMMANDS);
        let protocol = protocol(seed);
        let found = minimal(steps, |steps| run(&servers, protocol, steps).err());
        if let Some((steps, differ)) = found {
            let tale = differ.tell(&steps);
            panic!("REDIS_SEED={seed} ({protocol:?}):\n{tale}");
        }
    }
}

#[test]
fn a_pipeline_is_answered_as_redis_answers_it() {
    let Some(servers) = Servers::start() else {
        return;
    };
    let grammar = grammar();
    for seed in seeds().step_by(4) {
        let mut rng = Rng::with_seed(seed);
        let piece = rng.usize(1..200);
        let commands = (0..COMMANDS).map(|_| Step::command(1, command(&mut rng, &grammar)));
        let protocol = protocol(seed / 4);
        let pipelined = |steps: &[Step]| run_pipelined(&servers, protocol, steps, piece).err();
        if let Some((steps, differ)) = minimal(commands.collect(), pipelined) {
            let tale = differ.tell(&steps);
            panic!("REDIS_SEED={seed} ({protocol:?}, {piece} bytes at a time):\n{tale}");
        }
    }
}
