//! Servers that are there and do not answer, as where a machine has lost its power: nobody closes
//! their connections.

use std::thread;
use std::time::{Duration, Instant};

use memstore_cluster::backend::{Backend, Deadline, SetOutcome};
use memstore_cluster::contract::Condition;
use memstore_cluster::time::{Clock, SystemClock};
use nix::sys::signal::Signal;

use crate::common::eventually;
use crate::servers::{Server, open};
use crate::several::{cluster, get, set, watched};

/// The primary of a cluster that has this key.
fn owner<'n>(nodes: &'n [Server], key: &str) -> &'n Server {
    let holds = |node: &&Server| {
        let role = node.cli(&["ROLE"]);
        role.starts_with("master") && !node.cli(&["GET", key]).starts_with("MOVED")
    };
    nodes.iter().find(holds).expect("somebody has it")
}

#[test]
fn of_a_cluster_it_harms_only_its_own_keys_until_a_replica_takes_over() {
    let Some((nodes, url)) = cluster() else {
        return;
    };
    let store = &mut open(&format!("{url}?timeout=2s")).unwrap();
    for key in ["a", "b"] {
        set(store, key, "before").unwrap();
    }
    let hangs = owner(&nodes, "a");
    assert_ne!(hangs.port, owner(&nodes, "b").port);
    hangs.process().signal(Signal::SIGSTOP);
    set(store, "a", "lost").unwrap_err();
    let begin = Instant::now();
    let (mut times, mut is_back) = (0, false);
    eventually("a replica took over", || {
        if let Err(error) = get(store, "b") {
            // Before it takes over they may agree that the whole cluster is not to be relied on.
            assert!(error.contains("CLUSTERDOWN"), "{error}");
        }
        times += 1;
        is_back = set(store, "a", "after").is_ok();
        is_back.then_some(())
    });
    let each = begin.elapsed() / times;
    assert!(each < Duration::from_millis(500), "{each:?} each");
    assert_eq!(get(store, "a").unwrap().as_deref(), Some("after"));
    hangs.process().signal(Signal::SIGCONT);
}

#[test]
fn what_a_slow_one_was_asked_under_a_condition_is_not_asked_again() {
    let Some((nodes, url)) = cluster() else {
        return;
    };
    let store = &mut open(&format!("{url}?timeout=4s")).unwrap();
    set(store, "b", "is connected").unwrap();
    let slow = owner(&nodes, "a");
    slow.process().signal(Signal::SIGSTOP);
    let outcome = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let now = SystemClock::new().now();
            store.set(now, b"a", b"mine", Deadline::Never, Condition::IfAbsent)
        });
        // Well within the timeout, and long enough for somebody impatient.
        thread::park_timeout(Duration::from_millis(2_500));
        slow.process().signal(Signal::SIGCONT);
        asking.join().unwrap()
    });
    assert!(matches!(outcome, Ok(SetOutcome::Stored(_))), "{outcome:?}");
}

#[test]
fn a_primary_is_got_over_that_goes_together_with_the_first_sentinel() {
    let Some((primary, replica, sentinels, url)) = watched() else {
        return;
    };
    let store = &mut open(&format!("{url}?timeout=1s")).unwrap();
    set(store, "k", "before").unwrap();
    sentinels[0].signal(Signal::SIGSTOP);
    primary.process().signal(Signal::SIGSTOP);
    eventually("the replica took over", || set(store, "k", "after").ok());
    assert_eq!(replica.cli(&["GET", "k"]), "after");
    primary.process().signal(Signal::SIGCONT);
    sentinels[0].signal(Signal::SIGCONT);
}
