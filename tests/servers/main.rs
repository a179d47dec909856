//! Servers of other languages that take the shared listeners by what they already know: gunicorn
//! and Puma `LISTEN_FDS`, uvicorn a descriptor. Those in `ports` take none and have a port each.
//!
//! `clients` is what the libraries of Python, PHP and Ruby find that take the store for a Redis,
//! `examples` that the programs of the folder `examples` do what they say.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod examples;
mod ports;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use common::cluster::{bound, start, until_started};
use common::http::get;
use common::installed::is_installed;
use common::{PATIENCE, pid, skipped};
use nix::sys::signal::{Signal, kill};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers")
}

/// A program of `scripts/python-packages`.
fn python(program: &str) -> Option<String> {
    let path = folder().join("venv/bin").join(program);
    if path.exists() && folder().join("venv/.installed").exists() {
        return Some(path.to_str().unwrap().to_owned());
    }
    skipped(&format!(
        "{program} is not installed: run scripts/python-packages"
    ));
    None
}

/// All workers answer at the one address and know who asks, also after one was replaced.
fn works(command: &str) {
    let folder = common::folder();
    let sock = folder.path().join("m.sock");
    let flags = "--workers 2 --bind 127.0.0.1:0 --stable-after 0";
    let command: Vec<&str> = command.split(' ').collect();
    let mut master = start(&sock, flags, &command);
    let address = bound(&master);
    let all_answer = || {
        let deadline = Instant::now() + PATIENCE;
        let mut answers = BTreeSet::new();
        while answers.len() < 2 {
            assert!(Instant::now() < deadline, "only {answers:?} answered");
            answers.insert(get(address, "/").unwrap().body);
        }
        let expected = ["0 127.0.0.1", "1 127.0.0.1"].map(str::to_owned);
        assert_eq!(answers, BTreeSet::from(expected));
    };
    all_answer();
    kill(pid(until_started(&master, 2)[0].1), Signal::SIGTERM).unwrap();
    until_started(&master, 3);
    all_answer();
    master.signal(Signal::SIGTERM);
    let finished = master.finish();
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}

#[test]
fn gunicorn_finds_the_listeners_by_itself() {
    if let Some(gunicorn) = python("gunicorn") {
        works(&format!(
            "{gunicorn} --chdir {} wsgi:app",
            folder().display()
        ));
    }
}

#[test]
fn uvicorn_is_told_the_descriptor() {
    if let Some(uvicorn) = python("uvicorn") {
        works(&format!(
            "{uvicorn} --fd 3 --app-dir {} asgi:app",
            folder().display()
        ));
    }
}

#[test]
fn puma_binds_to_what_it_inherits() {
    if !is_installed("puma") {
        return;
    }
    let config = folder().join("config.ru");
    works(&format!(
        "puma --bind-to-activated-sockets only {}",
        config.display()
    ));
}
