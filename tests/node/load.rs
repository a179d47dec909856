//! Twenty replacements under load: no request fails.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use crate::common::cluster::until_started;
use crate::common::http::{Connection, get};
use crate::common::{folder, pid};
use crate::{has_packages, start, until_listening};

const WORKERS: usize = 2;
const REPLACEMENTS: usize = 20;

/// Ends the clients, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks until it is to stop; a request that fails is a panic.
fn ask(address: SocketAddr, pause: Duration, is_over: &AtomicBool, answered: &AtomicU64) {
    let mut connection = None;
    while !is_over.load(Ordering::Relaxed) {
        let mut open = connection
            .take()
            .unwrap_or_else(|| Connection::open(address).expect("a connection"));
        let answer = open.get("/", "").expect("an answer on a kept connection");
        answered.fetch_add(1, Ordering::Relaxed);
        if !answer.is_last {
            connection = Some(open);
        }
        thread::park_timeout(pause);
    }
}

fn ask_anew(address: SocketAddr, is_over: &AtomicBool, answered: &AtomicU64) {
    while !is_over.load(Ordering::Relaxed) {
        get(address, "/").expect("an answer on a new connection");
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn no_request_fails_while_every_worker_is_replaced_again_and_again() {
    if !has_packages() {
        return;
    }
    let folder = folder();
    let (master, address) = start(&folder.path().join("m.sock"), WORKERS, "express.js");
    let is_over = AtomicBool::new(false);
    let (kept, anew) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let (is_over, kept, anew) = (&is_over, &kept, &anew);
        let _stop = Stop(is_over);
        let mut clients: Vec<_> = [0, 0, 0, 1, 40, 300]
            .map(Duration::from_millis)
            .into_iter()
            .map(|pause| scope.spawn(move || ask(address, pause, is_over, kept)))
            .collect();
        clients.extend((0..3).map(|_| scope.spawn(|| ask_anew(address, is_over, anew))));
        for count in 0..REPLACEMENTS {
            let oldest = until_started(&master, WORKERS + count)[count].1;
            kill(pid(oldest), Signal::SIGTERM).unwrap();
            until_started(&master, WORKERS + count + 1);
            until_listening(&master, WORKERS + count + 1);
            let has_failed = clients.iter().any(thread::ScopedJoinHandle::is_finished);
            assert!(!has_failed, "a client gave up at replacement {count}");
        }
    });
    let log = master.stderr().so_far().join("\n");
    let well = log.matches("cause=exit code 0").count();
    assert_eq!(well, REPLACEMENTS, "{log}");
    let (kept, anew) = (kept.into_inner(), anew.into_inner());
    assert!(
        kept > 500 && anew > 500,
        "{kept} and {anew} requests were made"
    );
}
