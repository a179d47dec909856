//! Every rule of the supervisor, one test each, on a fleet whose time and events are scripted.
//!
//! What holds under any sequence of events is shown by the [simulator](super::simulator).

mod fleet;

use std::time::Duration;

use self::fleet::{Fleet, config, kill, pid, policy, reap, spawn, stop, worker};
use super::action::{Action, ExitReason, Notice, ReadySign, SlotFailure, Verdict};
use super::event::{Event, ExitCause, SpawnFailure, StopKind};
use super::slot::{SlotState, SlotStatus};
use crate::config::Restart;

const KILLED: ExitCause = ExitCause::Signal {
    number: 9,
    core_dumped: false,
};
const GRACEFUL: Event = Event::Stop(StopKind::Graceful);
const IMMEDIATE: Event = Event::Stop(StopKind::Immediate);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_start_spawns_every_slot_once() {
    let mut fleet = Fleet::idle(config(2));
    let spawns = [spawn(worker(0, 1)), spawn(worker(1, 2))];
    assert_eq!(fleet.orders(Event::Start), spawns);
    assert_eq!(fleet.orders(Event::Start), []);
    assert_eq!(fleet.slot(1).state, SlotState::Spawning);
}

#[test]
fn a_worker_is_running_when_it_says_so_or_has_lived_long_enough() {
    let mut fleet = Fleet::running(config(2));
    let (told, silent) = (worker(0, 1), worker(1, 2));
    fleet.now = fleet.now.after_ms(300);
    let since = fleet.now;
    let ready = |worker, sign, ms| {
        let after = Duration::from_millis(ms);
        let pid = pid(worker);
        Action::Notice(Notice::Ready {
            worker,
            pid,
            sign,
            after,
        })
    };
    let announced = ready(told, ReadySign::Announced, 300);
    assert_eq!(fleet.all(Event::Ready(told)), [announced]);
    assert_eq!(fleet.all(Event::Ready(told)), []);
    assert_eq!(fleet.slot(0).since, since);
    assert_eq!(fleet.slot(1).state, SlotState::Starting);
    fleet.now = fleet.supervisor.next_deadline().unwrap();
    let alive = ready(silent, ReadySign::Alive, 1_000);
    assert_eq!(fleet.all(Event::Tick), [alive]);
    assert_eq!(fleet.slot(1).state, SlotState::Running);
    assert_eq!(fleet.supervisor.next_deadline(), None);
}

#[test]
fn a_slot_is_vacant_when_exit_and_channel_are_seen_in_either_order() {
    let mut fleet = Fleet::running(config(2));
    let (first, second) = (worker(0, 1), worker(1, 2));
    assert_eq!(fleet.exited(first, KILLED), [kill(first)]);
    assert_eq!(fleet.slot(0).state, SlotState::Lingering);
    assert_eq!(fleet.closed(first), [reap(first)]);
    assert_eq!(fleet.slot(0).state, SlotState::Waiting);

    assert_eq!(fleet.closed(second), []);
    assert_eq!(fleet.slot(1).state, SlotState::Starting);
    assert_eq!(fleet.exited(second, KILLED), [kill(second), reap(second)]);
    assert_eq!(fleet.slot(1).state, SlotState::Waiting);
}

#[test]
fn a_worker_that_only_closes_its_channel_lives_on() {
    let mut fleet = Fleet::running(config(1));
    assert_eq!(fleet.closed(worker(0, 1)), []);
    assert_eq!(fleet.passes(SECOND * 3_600), []);
    assert_eq!(fleet.slot(0).state, SlotState::Running);
    assert_eq!(fleet.slot(0).pid, Some(100));
}

#[test]
fn a_channel_held_by_a_grandchild_is_closed_from_our_side() {
    let mut fleet = Fleet::running(config(1));
    let gone = worker(0, 1);
    fleet.exited(gone, KILLED);
    let before = fleet.now;
    assert_eq!(fleet.wakes(), [Action::CloseChannel(gone), reap(gone)]);
    assert_eq!(fleet.now.since(before), SECOND);
    assert_eq!(fleet.slot(0).state, SlotState::Waiting);
    assert_eq!(fleet.closed(gone), []);
}

#[test]
fn a_drain_outlives_the_leader_of_its_group_until_the_deadline() {
    let mut fleet = Fleet::running(config(1));
    let shell = worker(0, 1);
    assert_eq!(fleet.orders(GRACEFUL), [stop(shell)]);
    assert_eq!(fleet.exited(shell, ExitCause::Code(0)), []);
    assert_eq!(fleet.passes(SECOND * 9), []);
    assert_eq!(fleet.passes(SECOND), [kill(shell)]);
    assert_eq!(
        fleet.closed(shell),
        [reap(shell), Action::Exit(ExitReason::Stopped)]
    );
}

#[test]
fn a_finished_drain_ends_the_group_before_its_deadline() {
    let mut fleet = Fleet::running(config(1));
    let shell = worker(0, 1);
    fleet.orders(GRACEFUL);
    fleet.exited(shell, ExitCause::Code(0));
    let end = [kill(shell), reap(shell), Action::Exit(ExitReason::Stopped)];
    assert_eq!(fleet.closed(shell), end);
}

#[test]
fn a_stable_worker_is_replaced_at_once() {
    let mut fleet = Fleet::running(config(1));
    let old = worker(0, 1);
    fleet.passes(SECOND * 10);
    fleet.closed(old);
    assert_eq!(
        fleet.exited(old, ExitCause::Code(0)),
        [kill(old), reap(old), spawn(worker(0, 2))]
    );
    assert_eq!(fleet.slot(0).restarts, 1);
}

#[test]
fn an_unstable_worker_is_replaced_after_its_delay() {
    let mut fleet = Fleet::running(config(1));
    let Verdict::Restart { after } = fleet.dies(worker(0, 1), KILLED) else {
        panic!("a first crash is no crash loop");
    };
    assert!((80..=120).contains(&after.as_millis()), "{after:?}");
    let due = fleet.now.after(after);
    assert_eq!(fleet.supervisor.next_deadline(), Some(due));
    assert_eq!(fleet.passes(after / 2), []);
    assert_eq!(fleet.wakes(), [spawn(worker(0, 2))]);
    assert_eq!(fleet.now, due);
}

#[test]
fn a_crash_loop_fails_its_slot_and_the_others_go_on() {
    let mut fleet = Fleet::running(config(2));
    fleet.all(Event::Ready(worker(1, 2)));
    let mut bad = worker(0, 1);
    for incarnation in 3..13 {
        assert!(matches!(fleet.dies(bad, KILLED), Verdict::Restart { .. }));
        bad = worker(0, incarnation);
        assert_eq!(fleet.wakes(), [spawn(bad)]);
        fleet.spawned(bad);
    }
    let failed = Verdict::Failed(SlotFailure::CrashLoop);
    assert_eq!(fleet.dies(bad, KILLED), failed);
    assert_eq!(fleet.slot(0).state, SlotState::Failed);
    assert_eq!(fleet.slot(1).state, SlotState::Running);
    assert_eq!(fleet.passes(SECOND * 3_600), []);
    assert_eq!(fleet.orders(GRACEFUL), [stop(worker(1, 2))]);
}

#[test]
fn crash_loops_in_all_slots_end_the_master_with_69() {
    let mut config = config(2);
    config.rules.max_restarts = Some(0);
    let mut fleet = Fleet::running(config);
    fleet.dies(worker(0, 1), KILLED);
    fleet.closed(worker(1, 2));
    let end = fleet.exited(worker(1, 2), ExitCause::Code(0));
    assert_eq!(end.last(), Some(&Action::Exit(ExitReason::CrashLoop)));
    assert_eq!(ExitReason::CrashLoop.exit_code(), 69);
}

#[test]
fn all_work_done_ends_the_master_with_0() {
    let mut fleet = Fleet::running(policy(2, Restart::OnFailure));
    assert_eq!(
        fleet.dies(worker(0, 1), ExitCause::Code(0)),
        Verdict::Finished
    );
    fleet.closed(worker(1, 2));
    let end = fleet.exited(worker(1, 2), ExitCause::Code(0));
    assert_eq!(end.last(), Some(&Action::Exit(ExitReason::Finished)));
    assert_eq!(ExitReason::Finished.exit_code(), 0);
}

#[test]
fn a_failure_that_is_never_repeated_ends_the_master_with_1() {
    let mut fleet = Fleet::running(policy(2, Restart::Never));
    let failed = Verdict::Failed(SlotFailure::NeverRestarted);
    assert_eq!(fleet.dies(worker(0, 1), ExitCause::Code(3)), failed);
    fleet.closed(worker(1, 2));
    let end = fleet.exited(worker(1, 2), ExitCause::Code(0));
    assert_eq!(end.last(), Some(&Action::Exit(ExitReason::Failed)));
    assert_eq!(ExitReason::Failed.exit_code(), 1);
}

#[test]
fn a_command_that_cannot_run_at_its_first_start_ends_everything() {
    for (failure, reason, code) in [
        (SpawnFailure::NotFound, ExitReason::NotFound, 127),
        (SpawnFailure::NotExecutable, ExitReason::NotExecutable, 126),
    ] {
        let mut fleet = Fleet::idle(config(3));
        fleet.all(Event::Start);
        let running = worker(0, 1);
        fleet.spawned(running);
        assert_eq!(fleet.fails_to_spawn(worker(1, 2), failure), [stop(running)]);
        assert_eq!(fleet.fails_to_spawn(worker(2, 3), failure), []);
        fleet.closed(running);
        assert_eq!(
            fleet.exited(running, KILLED),
            [kill(running), reap(running), Action::Exit(reason)]
        );
        assert_eq!(reason.exit_code(), code);
        assert_eq!(fleet.orders(IMMEDIATE), []);
    }
}

#[test]
fn a_command_that_vanishes_later_is_tried_again() {
    let mut fleet = Fleet::running(config(1));
    fleet.dies(worker(0, 1), KILLED);
    assert_eq!(fleet.wakes(), [spawn(worker(0, 2))]);
    assert_eq!(
        fleet.fails_to_spawn(worker(0, 2), SpawnFailure::NotFound),
        []
    );
    assert_eq!(fleet.slot(0).state, SlotState::Waiting);
    assert_eq!(fleet.wakes(), [spawn(worker(0, 3))]);
}

#[test]
fn a_refusal_of_the_system_is_tried_again_also_at_first() {
    let mut fleet = Fleet::idle(config(1));
    fleet.all(Event::Start);
    assert_eq!(fleet.fails_to_spawn(worker(0, 1), SpawnFailure::Other), []);
    assert_eq!(fleet.wakes(), [spawn(worker(0, 2))]);
}

#[test]
fn a_graceful_stop_asks_then_kills_then_waits() {
    let mut fleet = Fleet::running(config(1));
    let deaf = worker(0, 1);
    assert_eq!(fleet.orders(GRACEFUL), [stop(deaf)]);
    assert_eq!(fleet.passes(SECOND * 5), []);
    assert_eq!(fleet.orders(GRACEFUL), []);
    assert_eq!(fleet.passes(SECOND * 5), [kill(deaf)]);
    assert_eq!(fleet.slot(0).state, SlotState::Killed);
    assert_eq!(fleet.exited(deaf, KILLED), [kill(deaf)]);
    assert_eq!(
        fleet.closed(deaf),
        [reap(deaf), Action::Exit(ExitReason::Stopped)]
    );
    assert_eq!(ExitReason::Stopped.exit_code(), 0);
}

#[test]
fn an_immediate_stop_kills_also_in_the_middle_of_a_graceful_one() {
    let mut fleet = Fleet::running(config(2));
    let (one, two) = (worker(0, 1), worker(1, 2));
    fleet.orders(GRACEFUL);
    assert_eq!(fleet.exited(two, ExitCause::Code(0)), []);
    assert_eq!(fleet.orders(IMMEDIATE), [kill(one), kill(two)]);
    assert_eq!(fleet.orders(IMMEDIATE), []);
}

#[test]
fn a_stop_cancels_restarts_and_stops_what_is_still_coming_up() {
    let mut fleet = Fleet::idle(config(3));
    fleet.all(Event::Start);
    let (waiting, asked, killed) = (worker(0, 1), worker(1, 2), worker(2, 3));
    fleet.fails_to_spawn(waiting, SpawnFailure::Other);
    assert_eq!(fleet.orders(GRACEFUL), []);
    assert_eq!(fleet.slot(0).state, SlotState::Vacant);
    assert_eq!(fleet.spawned(asked), [stop(asked)]);
    assert_eq!(fleet.orders(IMMEDIATE), [kill(asked)]);
    assert_eq!(fleet.spawned(killed), [kill(killed)]);
    fleet.dies(asked, KILLED);
    assert_eq!(fleet.dies(killed, KILLED), Verdict::Stopped);
    assert_eq!(fleet.orders(Event::Start), []);
}

#[test]
fn a_spawn_that_fails_while_stopping_lets_the_master_go() {
    let mut fleet = Fleet::idle(config(1));
    fleet.all(Event::Start);
    fleet.orders(GRACEFUL);
    assert_eq!(
        fleet.fails_to_spawn(worker(0, 1), SpawnFailure::NotFound),
        [Action::Exit(ExitReason::Stopped)]
    );
}

#[test]
fn a_stop_before_the_start_is_the_end() {
    let mut fleet = Fleet::idle(config(4));
    assert_eq!(fleet.orders(GRACEFUL), [Action::Exit(ExitReason::Stopped)]);
    assert_eq!(fleet.all(Event::Start), []);
}

#[test]
fn a_fleet_of_none_waits_for_its_stop() {
    let mut fleet = Fleet::idle(config(0));
    assert_eq!(fleet.all(Event::Start), []);
    assert_eq!(fleet.orders(GRACEFUL), [Action::Exit(ExitReason::Stopped)]);
}

#[test]
fn a_worker_that_survives_its_kill_is_noted_and_waited_for() {
    let mut fleet = Fleet::running(config(1));
    let stuck = worker(0, 1);
    fleet.orders(IMMEDIATE);
    for round in 1..=3 {
        fleet.now = fleet.supervisor.next_deadline().unwrap();
        let unkillable = Action::Notice(Notice::Unkillable {
            worker: stuck,
            pid: pid(stuck),
            waited: SECOND * 10 * round,
        });
        assert_eq!(fleet.all(Event::Tick), [unkillable, kill(stuck)]);
    }
    assert_eq!(fleet.dies(stuck, KILLED), Verdict::Stopped);
}

#[test]
fn news_that_overtakes_the_spawn_is_kept_for_it() {
    let mut fleet = Fleet::idle(config(2));
    fleet.all(Event::Start);
    let (ready, dead) = (worker(0, 1), worker(1, 2));
    assert_eq!(fleet.all(Event::Ready(ready)), []);
    fleet.spawned(ready);
    assert_eq!(fleet.slot(0).state, SlotState::Running);

    assert_eq!(fleet.closed(dead), []);
    assert_eq!(fleet.exited(dead, KILLED), []);
    assert_eq!(fleet.spawned(dead), [kill(dead), reap(dead)]);
    assert_eq!(fleet.slot(1).state, SlotState::Waiting);
}

#[test]
fn news_of_the_dead_the_unknown_and_the_misplaced_changes_nothing() {
    let mut fleet = Fleet::running(config(2));
    let old = worker(0, 1);
    fleet.dies(old, KILLED);
    fleet.wakes();
    let before: Vec<SlotStatus> = fleet.supervisor.status().collect();
    for stranger in [old, worker(0, 2), worker(1, 3), worker(9, 3), worker(0, 99)] {
        for event in [
            Event::Ready(stranger),
            Event::ChannelClosed(stranger),
            Event::Spawned {
                worker: stranger,
                pid: 1,
            },
            Event::SpawnFailed {
                worker: stranger,
                failure: SpawnFailure::Other,
            },
            Event::Exited {
                worker: stranger,
                cause: KILLED,
            },
        ] {
            assert_eq!(fleet.all(event), [], "{event:?}");
        }
    }
    // A worker that runs did not fail to be spawned.
    let running = worker(1, 2);
    assert_eq!(fleet.fails_to_spawn(running, SpawnFailure::Other), []);
    assert_eq!(fleet.supervisor.status().collect::<Vec<_>>(), before);
}
