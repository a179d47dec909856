//! Which workers are replaced, when, and when the master gives up.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::{Signal, kill};

use crate::common::cluster::{run, start, started, until_gone, until_started};
use crate::common::{Running, children, eventually, folder, is_alive, open_fds, pid};

/// Runs a script as the workers until the master ends by itself.
fn to_the_end(flags: &str, script: &str) -> crate::common::Finished {
    let folder = folder();
    let mut command = run(&folder.path().join("m.sock"), flags, &["sh", "-c", script]);
    let end = Running::start(command.current_dir(folder.path())).finish();
    assert!(!folder.path().join("m.sock").exists());
    end
}

#[test]
fn a_crash_loop_in_every_slot_ends_with_69_and_says_so() {
    let flags = "--workers 2 --max-restarts 3 --backoff-min 1ms";
    let end = to_the_end(flags, "echo start $MEMSTORE_WORKER; exit 3");
    assert_eq!(end.status.code(), Some(69));
    for slot in 0..2 {
        let start = format!("start {slot}");
        let starts = end.stdout.iter().filter(|line| **line == start);
        assert_eq!(starts.count(), 4, "{end:#?}");
    }
    let failed = end
        .stderr
        .iter()
        .filter(|line| line.contains("exit code 3") && line.contains("slot failed: crash loop"));
    assert_eq!(failed.count(), 2, "{end:#?}");
}

#[test]
fn each_pause_before_a_restart_is_twice_the_one_before() {
    let flags = "--workers 1 --max-restarts 4 --backoff-min 40ms";
    let end = to_the_end(flags, "date +%s%N; exit 1");
    assert_eq!(end.status.code(), Some(69));
    let times: Vec<u64> = end
        .stdout
        .iter()
        .map(|line| line.parse().unwrap())
        .collect();
    assert_eq!(times.len(), 5);
    for (pair, pause_ms) in times.windows(2).zip([40, 80, 160, 320]) {
        // Chance takes up to a fifth.
        let least = pause_ms * 4 / 5 * 1_000_000;
        assert!(
            pair[1] - pair[0] >= least,
            "{times:?}: pause of {pause_ms} ms"
        );
    }
}

#[test]
fn a_slot_in_a_crash_loop_does_not_take_the_others_along() {
    let folder = folder();
    let script = "test $MEMSTORE_WORKER = 0 && exit 1; exec sleep 600";
    let flags = "--workers 2 --max-restarts 2 --backoff-min 1ms";
    let mut master = start(&folder.path().join("m.sock"), flags, &["sh", "-c", script]);
    master.stderr().until_contains("slot failed: crash loop");
    let starts = started(&master);
    let good = starts.iter().find(|(slot, _)| *slot == 1).unwrap().1;
    assert!(is_alive(good));
    master.signal(Signal::SIGTERM);
    assert_eq!(master.finish().status.code(), Some(0));
    assert_eq!(starts.len(), 4);
}

#[test]
fn on_failure_success_is_the_end_and_failure_is_not() {
    // The first worker of each slot fails.
    let script = "echo run; mkdir slot$MEMSTORE_WORKER 2>/dev/null && exit 3; exit 0";
    let flags = "--workers 3 --restart on-failure --backoff-min 1ms";
    let end = to_the_end(flags, script);
    assert_eq!(end.status.code(), Some(0), "{end:#?}");
    assert_eq!(end.stdout, ["run"; 6]);
}

#[test]
fn never_means_once_and_a_failure_is_the_masters() {
    for (script, code) in [
        ("echo run", 0),
        ("echo run; exit 3", 1),
        ("echo run; kill -9 $$", 1),
    ] {
        let end = to_the_end("--workers 2 --restart never", script);
        assert_eq!(end.status.code(), Some(code), "{script}: {end:#?}");
        assert_eq!(end.stdout, ["run"; 2], "{script}");
    }
}

#[test]
fn a_hundred_restarts_leave_nothing_behind_in_the_master() {
    let folder = folder();
    let flags = "--workers 2 --stable-after 0";
    let master = start(&folder.path().join("m.sock"), flags, &["sleep", "600"]);
    let mut workers = until_started(&master, 2);
    let fds = open_fds(master.pid());
    for restart in 0..100 {
        let (slot, victim) = workers[restart];
        kill(pid(victim), Signal::SIGKILL).unwrap();
        workers = until_started(&master, restart + 3);
        assert_eq!(
            workers[restart + 2].0,
            slot,
            "the replacement took another slot"
        );
    }
    let pids: BTreeSet<u32> = workers[100..].iter().map(|(_, pid)| *pid).collect();
    let here = || {
        children(master.pid())
            .into_iter()
            .collect::<BTreeSet<u32>>()
    };
    eventually("only the last two are left, and no zombie", || {
        (here() == pids).then_some(())
    });
    eventually("no descriptor is left", || {
        (open_fds(master.pid()) == fds).then_some(())
    });
}

/// Whoever left the group of its worker is not ours to end, but it does not keep the slot.
#[test]
fn a_daemon_that_holds_the_channel_does_not_hold_up_the_replacement() {
    let folder = folder();
    let script = "setsid sleep 600 & echo $! > daemon$MEMSTORE_GENERATION; wait";
    let flags = "--workers 1 --backoff-min 1ms";
    let mut command = run(&folder.path().join("m.sock"), flags, &["sh", "-c", script]);
    let master = Running::start(command.current_dir(folder.path()));
    let file = folder.path().join("daemon0");
    let daemon: u32 = eventually("the worker has its daemon", || {
        fs::read_to_string(&file).ok()?.trim().parse().ok()
    });
    let session = || crate::common::cluster::status(daemon, "NSsid");
    eventually("it leads a session", || {
        (session() == daemon.to_string()).then_some(())
    });
    let fds = open_fds(master.pid());
    let (_, worker) = until_started(&master, 1)[0];
    kill(pid(worker), Signal::SIGKILL).unwrap();
    until_started(&master, 2);
    master.stderr().until_contains("holds its channel");
    assert!(is_alive(daemon));
    eventually("no descriptor is left", || {
        (open_fds(master.pid()) == fds).then_some(())
    });
    kill(pid(daemon), Signal::SIGKILL).unwrap();
    until_gone(daemon);
    let second = eventually("the second daemon", || {
        let pid: u32 = fs::read_to_string(&file).ok()?.trim().parse().ok()?;
        (pid != daemon).then_some(pid)
    });
    kill(pid(second), Signal::SIGKILL).unwrap();
}
