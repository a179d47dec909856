//! A master with workers, as `run` makes it, and what its log and `/proc` tell of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Running, eventually, memstore, parts};

/// `memstore-cluster run --sock SOCK FLAGS… -- COMMAND…`; the flags are split at spaces.
pub fn run(sock: &Path, flags: &str, command: &[impl AsRef<OsStr>]) -> Command {
    let mut run = memstore(["run", "--sock"]);
    run.arg(sock).args(flags.split_whitespace());
    run.arg("--").args(command);
    run
}

/// Starts what [`run`] says.
pub fn start(sock: &Path, flags: &str, command: &[impl AsRef<OsStr>]) -> Running {
    Running::start(&mut run(sock, flags, command))
}

/// Starts a master whose workers play this part of the test program.
pub fn start_part(sock: &Path, flags: &str, part: &str) -> Running {
    Running::start(&mut parts::wrapped(part, sock, flags.split_whitespace()))
}

/// The slot and the process of every worker that the log says was started, in that order.
pub fn started(master: &Running) -> Vec<(u16, u32)> {
    starts_in(&master.stderr().so_far())
}

fn starts_in(log: &[String]) -> Vec<(u16, u32)> {
    let starts = log.iter().filter(|line| line.contains("worker started"));
    starts
        .map(|line| (field(line, "worker="), field(line, "pid=")))
        .collect()
}

/// Waits until so many workers were started in all, and gives them.
pub fn until_started(master: &Running, count: usize) -> Vec<(u16, u32)> {
    master.stderr().until("workers are started", |log| {
        Some(starts_in(log)).filter(|starts| starts.len() >= count)
    })
}

/// The number behind `name` in a line of the log.
pub fn field<T: std::str::FromStr>(line: &str, name: &str) -> T {
    let value = line
        .split(name)
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let value = value.and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {line}"))
}

/// The TCP address that the master listens at for its workers, with the port that it got.
pub fn bound(master: &Running) -> SocketAddr {
    field(
        &master.stderr().until_contains("listening address="),
        "address=",
    )
}

/// The initial environment of a process, but only what says something about the cluster.
pub fn environment(pid: u32) -> BTreeMap<String, String> {
    let all = fs::read(format!("/proc/{pid}/environ")).expect("the process is there");
    let all = String::from_utf8(all).expect("the environment of the tests is UTF-8");
    let ours = [
        "MEMSTORE_",
        "LISTEN_",
        "NODE_APP_INSTANCE",
        "WEB_CONCURRENCY",
    ];
    all.split_terminator('\0')
        .filter_map(|variable| variable.split_once('='))
        .filter(|(name, _)| ours.iter().any(|prefix| name.starts_with(prefix)))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// A command that stands still as it was started: nothing of it changes any more.
pub const STILL: [&str; 3] = ["sh", "-c", "kill -STOP $$"];

/// Waits until a process that executes [`STILL`] does so.
pub fn until_still(pid: u32) {
    eventually("it stands still", || {
        status(pid, "State").starts_with('T').then_some(())
    });
}

/// What each open descriptor of a process is.
pub fn descriptors(pid: u32) -> BTreeMap<u32, PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there");
    let entries = entries.flatten().filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, fs::read_link(entry.path()).ok()?))
    });
    entries.collect()
}

/// The rest of the line of `/proc/PID/status` that begins with `name` and a colon.
pub fn status(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}"))
        .trim()
        .to_owned()
}

/// Memory that a process occupies, in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    let text = status(pid, "VmRSS");
    let number = text
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no number in {text}"))
}

/// Waits until a process is gone, or nothing but a zombie.
pub fn until_gone(pid: u32) {
    eventually("the process ends", || (!super::is_alive(pid)).then_some(()));
}
