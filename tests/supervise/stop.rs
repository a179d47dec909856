//! How everything ends when it is asked to.

use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use memstore_cluster::Error;
use nix::sys::signal::{Signal, killpg};

use crate::common::cluster::{start, start_part, until_gone};
use crate::common::{Running, connect, diligent, folder, is_alive, pid};

/// Says when it is up and which signal ended it.
const POLITE: &str = "
    for signal in INT QUIT HUP; do trap \"echo $signal $MEMSTORE_WORKER\" $signal; done
    trap 'echo TERM $MEMSTORE_WORKER; exit 0' TERM
    sleep 600 & nap=$!
    # Between fork and exec it would lose a signal.
    until grep -q sleep /proc/$nap/comm; do :; done
    echo up $MEMSTORE_WORKER
    while :; do wait; done
";
/// Ignores its end, and so does what it starts.
const DEAF: &str = "
    trap '' TERM
    sleep 600 &
    echo up $$ $!
    wait
";

fn polite(sock: &Path) -> Running {
    let master = start(sock, "--workers 3", &["sh", "-c", POLITE]);
    until_up(&master, 3);
    master
}

/// What the workers say when they are up.
fn until_up(master: &Running, count: usize) -> Vec<String> {
    master.stdout().until("workers are up", |lines| {
        let up = lines.iter().filter_map(|line| line.strip_prefix("up "));
        let up: Vec<String> = up.map(str::to_owned).collect();
        (up.len() == count).then_some(up)
    })
}

/// The processes that [`DEAF`] workers are, and those they started.
fn until_deaf(master: &Running, count: usize) -> Vec<u32> {
    let up = until_up(master, count).join(" ");
    up.split(' ').map(|pid| pid.parse().unwrap()).collect()
}

fn deaf(sock: &Path, stop_timeout: &str) -> (Running, Vec<u32>) {
    let flags = format!("--workers 2 --stop-timeout {stop_timeout}");
    let master = start(sock, &flags, &["sh", "-c", DEAF]);
    let processes = until_deaf(&master, 2);
    assert_eq!(processes.len(), 4);
    (master, processes)
}

#[test]
fn term_int_and_quit_ask_every_worker_to_end_by_term_and_end_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let folder = folder();
        let sock = folder.path().join("m.sock");
        let mut master = polite(&sock);
        master.signal(signal);
        let mut end = master.finish();
        assert_eq!(end.status.code(), Some(0), "{signal}: {end:#?}");
        let mut said = end.stdout.split_off(3);
        said.sort();
        assert_eq!(said, ["TERM 0", "TERM 1", "TERM 2"], "{signal}");
        assert!(!sock.exists(), "{signal}: the socket was left behind");
    }
}

#[test]
fn an_interrupt_from_the_terminal_reaches_the_workers_only_as_term() {
    let folder = folder();
    let mut master = polite(&folder.path().join("m.sock"));
    killpg(pid(master.pid()), Signal::SIGINT).unwrap();
    let mut end = master.finish();
    assert_eq!(end.status.code(), Some(0));
    let mut said = end.stdout.split_off(3);
    said.sort();
    assert_eq!(said, ["TERM 0", "TERM 1", "TERM 2"]);
}

#[test]
fn who_ignores_term_is_killed_at_the_deadline_with_what_it_started() {
    let folder = folder();
    let (mut master, processes) = deaf(&folder.path().join("m.sock"), "100ms");
    master.signal(Signal::SIGTERM);
    let asked = Instant::now();
    let end = master.finish();
    assert!(
        asked.elapsed() >= Duration::from_millis(100),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(end.status.code(), Some(0));
    let killed = end
        .stderr
        .iter()
        .filter(|line| line.contains("did not end in its time"));
    assert_eq!(killed.count(), 2, "{:#?}", end.stderr);
    processes.into_iter().for_each(until_gone);
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    for second in [Signal::SIGINT, Signal::SIGTERM] {
        let folder = folder();
        let (mut master, processes) = deaf(&folder.path().join("m.sock"), "1h");
        master.signal(Signal::SIGINT);
        master.stderr().until_contains("kind=Graceful");
        assert!(processes.iter().all(|process| is_alive(*process)));
        master.signal(second);
        assert_eq!(master.finish().status.code(), Some(0));
        processes.into_iter().for_each(until_gone);
    }
}

#[test]
fn without_a_stop_timeout_everything_ends_at_once() {
    let folder = folder();
    let (mut master, processes) = deaf(&folder.path().join("m.sock"), "0");
    master.signal(Signal::SIGTERM);
    assert_eq!(master.finish().status.code(), Some(0));
    processes.into_iter().for_each(until_gone);
}

#[test]
fn a_worker_that_is_stopped_like_a_job_does_not_keep_its_master() {
    let folder = folder();
    let (mut master, processes) = deaf(&folder.path().join("m.sock"), "100ms");
    killpg(pid(processes[0]), Signal::SIGSTOP).unwrap();
    master.signal(Signal::SIGTERM);
    assert_eq!(master.finish().status.code(), Some(0));
    processes.into_iter().for_each(until_gone);
}

#[test]
fn a_stop_during_the_pause_before_a_restart_does_not_wait_for_it() {
    let folder = folder();
    let flags = "--workers 2 --backoff-min 1h --backoff-max 1h";
    let mut master = start(&folder.path().join("m.sock"), flags, &["false"]);
    master.stderr().until("both workers wait", |log| {
        let waiting = log
            .iter()
            .filter(|line| line.contains("next=restart after"));
        (waiting.count() == 2).then_some(())
    });
    master.signal(Signal::SIGTERM);
    assert_eq!(master.finish().status.code(), Some(0));
}

#[test]
fn workers_finish_their_work_in_the_store_after_they_were_asked_to_end() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let mut master = start_part(&sock, "--workers 3 --stop-timeout 1h", diligent::PART);
    master.stdout().until("all work", |lines| {
        (diligent::acknowledged(lines).len() == 3).then_some(())
    });
    master.signal(Signal::SIGTERM);
    let end = master.finish();
    assert_eq!(end.status.code(), Some(0), "{end:#?}");
    let drained = end.stdout.iter().filter(|line| line.contains("drained"));
    assert_eq!(drained.count(), 3, "{end:#?}");
    let ends = end
        .stderr
        .iter()
        .filter(|line| line.contains("worker ended"));
    assert!(ends.clone().all(|line| line.contains("exit code 0")));
    assert_eq!(ends.count(), 3);
}

/// Each client writes and reads until its master is gone. [`diligent::work_once`] panics at the
/// first reply that is not right.
#[test]
fn a_stop_under_load_gives_no_client_a_wrong_reply_and_leaves_none_waiting() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let mut master = start_part(&sock, "--workers 2", diligent::PART);
    let client = |number: usize| {
        let store = connect(&sock).with_timeout(Duration::from_secs(1));
        move || {
            let name = format!("client{number}");
            (0..).find_map(|n| {
                let start = Instant::now();
                let error = diligent::work_once(&store, &name, n).err()?;
                Some((n, error, start.elapsed()))
            })
        }
    };
    let clients: Vec<_> = (0..4).map(|number| thread::spawn(client(number))).collect();
    master.stdout().until("the workers work", |lines| {
        let works: HashMap<String, u64> = diligent::acknowledged(lines);
        (works.len() == 2 && works.values().all(|count| *count > 20)).then_some(())
    });
    master.signal(Signal::SIGTERM);
    assert_eq!(master.finish().status.code(), Some(0));
    for client in clients {
        let (works, error, took) = client.join().unwrap().unwrap();
        assert!(works > 0, "a client did nothing");
        let is_fit = matches!(
            error,
            Error::OutcomeUnknown { .. } | Error::Unreachable { .. }
        );
        assert!(is_fit, "{error:?}");
        assert!(
            took < Duration::from_secs(5),
            "a client waited for {took:?}"
        );
    }
}
