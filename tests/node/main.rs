//! Node programs under `run --bind` that know nothing of it.
//!
//! `forms` is how they listen, `drain` how they end, `family` what else they start, `frameworks`
//! that all of it holds for what people use, `load` that nobody notices a replacement. The
//! programs are in `apps`.
//!
//! `clients` is what the libraries find that take the store for a Redis, `examples` that the
//! programs of the folder `examples` do what they say. Who asks them is in `clients` and `visits`.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod drain;
mod examples;
mod family;
mod forms;
mod frameworks;
mod load;
mod notify;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use common::Running;
use common::cluster::bound;
use common::installed::{has_node_modules, is_installed};

/// What Node's own test runner says of what has passed, on a terminal and elsewhere.
const PASS: &[&str] = &["# pass ", "ℹ pass "];

/// Whether there is a Node to test with.
fn has_node() -> bool {
    is_installed("node")
}

/// Whether there is a Node and what `scripts/node-modules` installs for it.
fn has_packages() -> bool {
    has_node_modules(&folder())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node")
}

/// The command line of a program in `apps`; the arguments are split at spaces.
fn app(name_and_args: &str) -> Vec<String> {
    let mut words = name_and_args.split(' ').map(str::to_owned);
    let file = folder().join("apps").join(words.next().unwrap());
    let file = file.to_str().unwrap().to_owned();
    ["node".to_owned(), file].into_iter().chain(words).collect()
}

/// Starts a program in `apps` on workers that share one listener, and waits until each says that
/// it listens.
fn start(sock: &Path, workers: usize, name_and_args: &str) -> (Running, SocketAddr) {
    let flags = format!("--workers {workers} --bind 127.0.0.1:0 --stable-after 0 --max-restarts 0");
    let master = common::cluster::start(sock, &flags, &app(name_and_args));
    until_listening(&master, workers);
    let address = bound(&master);
    (master, address)
}

/// Waits until workers have said so often in all that they listen.
fn until_listening(master: &Running, count: usize) {
    master.stdout().until("the workers listen", |lines| {
        let said = lines.iter().filter(|line| line.contains("listening"));
        (said.count() >= count).then_some(())
    });
}
