//! Workers that are killed at random under load: what was acknowledged is there, and the master
//! is as it was.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::cluster::{environment, start_part, started, status, until_started};
use common::peer::{Peer, request};
use common::{
    Running, children, connect, diligent, eventually, folder, is_alive, open_fds, parts, pid,
};
use memstore_cluster::contract::{Condition, Expiry};
use memstore_cluster::protocol::Request;
use memstore_cluster::protocol::message::Set;
use nix::sys::signal::{Signal, kill};

const WORKERS: usize = 3;
const KILLS: usize = 60;

/// No test of its own: workers of the tests run it.
#[test]
fn play_a_part() {
    if parts::asked().is_some() {
        diligent::work();
    }
}

fn start_master(sock: &Path) -> Running {
    let flags = "--max-restarts 0 --backoff-min 1ms --backoff-max 20ms";
    start_part(
        sock,
        &format!("--workers {WORKERS} {flags}"),
        diligent::PART,
    )
}

/// Waits until every worker that is there has done something.
fn until_all_work(master: &Running) {
    let works = |lines: &[String]| {
        let alive = children(master.pid());
        let names: Vec<String> = alive.iter().map(u32::to_string).collect();
        let works = diligent::acknowledged(lines);
        (names.len() == WORKERS && names.iter().all(|name| works.contains_key(name))).then_some(())
    };
    master.stdout().until("every worker works", works);
}

/// Does work until it is told to stop; says how much was acknowledged.
fn client(sock: &Path, name: &str, is_over: &AtomicBool) -> u64 {
    let store = connect(sock);
    let mut done = 0;
    while !is_over.load(Ordering::Relaxed) {
        diligent::work_once(&store, name, done).unwrap();
        done += 1;
    }
    done
}

/// Connects, asks for a write and is gone in the middle of it, again and again.
fn quitter(sock: &Path, is_over: &AtomicBool) {
    let write = request(
        2,
        &Request::Set(Set {
            expiry: Expiry::Never,
            condition: Condition::Always,
            key: b"half a write",
            value: &[b'x'; 1000],
        }),
    );
    while !is_over.load(Ordering::Relaxed) {
        let mut peer = Peer::introduced(sock);
        peer.send(&write[..fastrand::usize(1..write.len())]);
    }
}

/// Tells the clients when it is dropped, also by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_was_acknowledged_survives_any_death_of_workers() {
    let seed = std::env::var("SURVIVE_SEED").map_or_else(
        |_| fastrand::u64(..),
        |seed| seed.parse().expect("a number"),
    );
    println!("replay with SURVIVE_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let mut master = start_master(&sock);
    until_all_work(&master);
    let fds = open_fds(master.pid());

    let is_over = AtomicBool::new(false);
    let by_clients = thread::scope(|scope| {
        let (sock, is_over) = (&sock, &is_over);
        let clients = ["client0", "client1"];
        let clients = clients.map(|name| scope.spawn(move || (name, client(sock, name, is_over))));
        let quitter = scope.spawn(|| quitter(sock, is_over));
        let over = Over(is_over);
        for killed in 0..KILLS {
            let enough = master.stdout().so_far().len() + rng.usize(1..60);
            master.stdout().until("work goes on", |lines| {
                (lines.len() >= enough).then_some(())
            });
            let victim = eventually("there is a worker", || {
                let alive: Vec<u32> = children(master.pid());
                let victim = *alive.get(rng.usize(0..alive.len().max(1)))?;
                is_alive(victim).then_some(victim)
            });
            kill(pid(victim), Signal::SIGKILL).unwrap();
            until_started(&master, WORKERS + killed + 1);
        }
        drop(over);
        quitter.join().unwrap();
        clients.map(|client| client.join().unwrap())
    });

    until_all_work(&master);
    // The slots are filled each by one, none is empty.
    let workers = children(master.pid());
    let slots: BTreeSet<String> = workers
        .iter()
        .map(|pid| environment(*pid)["MEMSTORE_WORKER"].clone())
        .collect();
    assert_eq!(slots.len(), WORKERS, "{slots:?}");
    assert!(workers.into_iter().all(is_alive));
    eventually("no descriptor is left", || {
        (open_fds(master.pid()) == fds).then_some(())
    });

    // Nobody works any more, and the store is still there.
    let stopped: Vec<u32> = children(master.pid());
    for worker in &stopped {
        kill(pid(*worker), Signal::SIGSTOP).unwrap();
        eventually("it stands still", || {
            status(*worker, "State").starts_with('T').then_some(())
        });
    }
    assert_eq!(started(&master).len(), WORKERS + KILLS);
    let store = connect(&sock);
    let counted: u64 = store.get_json(diligent::COUNTER).unwrap().unwrap();
    // Whoever was killed, or is stopped now, may not have come to say what it did last.
    let unsaid = (KILLS + WORKERS) as u64;
    let works = master
        .stdout()
        .until("no more was counted than done", |lines| {
            let mut works = diligent::acknowledged(lines);
            works.extend(by_clients.map(|(name, done)| (name.to_owned(), done)));
            (works.values().sum::<u64>() + unsaid >= counted).then_some(works)
        });
    assert!(works.len() > WORKERS, "{works:?}");
    diligent::check(&store, &works);
    assert_eq!(store.get("half a write").unwrap(), None);

    for worker in stopped {
        kill(pid(worker), Signal::SIGCONT).unwrap();
    }
    master.signal(Signal::SIGTERM);
    assert_eq!(master.finish().status.code(), Some(0));
}
