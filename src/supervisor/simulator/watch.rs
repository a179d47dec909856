//! What the supervisor promised, checked against what is true at every action.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::END_WITHIN;
use super::world::{Member, World};
use crate::config::Restart;
use crate::supervisor::action::{Action, ExitReason, Notice, SlotFailure, Verdict, WorkerSignal};
use crate::supervisor::event::{Event, Incarnation, Slot, SpawnFailure, StopKind, WorkerId};
use crate::supervisor::policy::{SupervisorConfig, backoff};
use crate::supervisor::slot::SlotState;
use crate::supervisor::state::Supervisor;
use crate::time::Millis;

pub(super) struct Watch {
    config: SupervisorConfig,
    slots: BTreeMap<Slot, Past>,
    news: BTreeMap<WorkerId, News>,
    last: Incarnation,
    stopped_at: Option<Millis>,
    /// Whether all shall be killed at once.
    must_kill: bool,
    /// What a command that could not be run at its first start must lead to.
    hopeless: Option<ExitReason>,
    exit: Option<ExitReason>,
}

/// What was told about a slot.
#[derive(Default)]
struct Past {
    spawns: VecDeque<Millis>,
    incarnations: u32,
    streak: u32,
    delay: Duration,
    not_before: Option<Millis>,
    end: Option<Verdict>,
}

/// What the supervisor was told of a worker, and has done to it since its exit.
#[derive(Default)]
struct News {
    has_pid: bool,
    is_channel_closed: bool,
    is_over: bool,
    /// `None` before the exit.
    kills_since_exit: Option<u32>,
}

impl Watch {
    pub(super) fn new(config: SupervisorConfig) -> Self {
        Self {
            config,
            slots: BTreeMap::new(),
            news: BTreeMap::new(),
            last: Incarnation(0),
            stopped_at: None,
            must_kill: false,
            hopeless: None,
            exit: None,
        }
    }

    /// The supervisor is about to hear of `event`.
    pub(super) fn before(&mut self, now: Millis, event: Event) {
        match event {
            Event::Stop(kind) => {
                self.stopped_at.get_or_insert(now);
                self.must_kill |= kind == StopKind::Immediate;
            }
            Event::Spawned { worker, .. } => self.hear(worker, |news| news.has_pid = true),
            Event::Exited { worker, .. } => self.hear(worker, |news| {
                news.kills_since_exit.get_or_insert(0);
            }),
            Event::ChannelClosed(worker) => {
                self.hear(worker, |news| news.is_channel_closed = true);
            }
            Event::SpawnFailed { worker, failure } => self.hear_failure(now, worker, failure),
            Event::Start | Event::Ready(_) | Event::Tick => {}
        }
    }

    fn hear(&mut self, worker: WorkerId, change: impl FnOnce(&mut News)) {
        if let Some(news) = self.news.get_mut(&worker) {
            change(news);
        }
    }

    fn hear_failure(&mut self, now: Millis, worker: WorkerId, failure: SpawnFailure) {
        let Some(news) = self.news.get_mut(&worker) else {
            return;
        };
        let is_new = !news.is_over && !news.has_pid;
        news.is_over |= is_new;
        let is_first = self.slots[&worker.slot].incarnations == 1;
        if is_new && is_first && self.stopped_at.is_none() {
            self.hopeless = match failure {
                SpawnFailure::NotFound => Some(ExitReason::NotFound),
                SpawnFailure::NotExecutable => Some(ExitReason::NotExecutable),
                SpawnFailure::Other => return,
            };
            self.stopped_at = Some(now);
        }
    }

    /// The supervisor wants something; the world has not obeyed yet.
    pub(super) fn action(&mut self, now: Millis, action: Action, world: &World) {
        assert_eq!(self.exit, None, "an action after the exit: {action:?}");
        match action {
            Action::Spawn { worker, .. } => self.spawn(now, worker, world),
            Action::Signal {
                worker,
                pid,
                signal,
            } => {
                let process = world.process(worker).expect("a signal to a stranger");
                assert_eq!(process.pid, pid, "a signal to somebody else");
                self.signal(now, worker, signal);
            }
            Action::CloseChannel(worker) => {
                let news = self.news.get_mut(&worker).unwrap();
                assert_ne!(
                    news.kills_since_exit, None,
                    "the channel of a living worker is closed"
                );
                assert!(!news.is_channel_closed, "a closed channel is closed");
                news.is_channel_closed = true;
            }
            Action::Reap { worker, pid } => {
                let process = world.process(worker).expect("a stranger is reaped");
                assert_eq!(process.pid, pid, "somebody else is reaped");
                assert!(process.leader == Member::Gone, "a living process is reaped");
                assert!(
                    process.group == Member::Gone,
                    "the group outlives its leader"
                );
                let news = self.news.get_mut(&worker).unwrap();
                assert!(news.is_channel_closed, "reaped too early");
                assert_eq!(
                    news.kills_since_exit,
                    Some(1),
                    "kills between exit and reap"
                );
                news.is_over = true;
            }
            Action::Notice(notice) => self.notice(now, notice),
            Action::Exit(reason) => self.exit(reason, world),
        }
    }

    fn signal(&mut self, now: Millis, worker: WorkerId, signal: WorkerSignal) {
        let may_kill = self.may_kill(now);
        let news = self.news.get_mut(&worker).unwrap();
        match (signal, &mut news.kills_since_exit) {
            (WorkerSignal::Stop, None) => assert!(self.stopped_at.is_some(), "stopped just so"),
            (WorkerSignal::Stop, Some(_)) => panic!("a dead worker is asked to stop"),
            (WorkerSignal::Kill, None) => assert!(may_kill, "a living worker is killed just so"),
            (WorkerSignal::Kill, Some(kills)) => *kills += 1,
        }
    }

    /// Whether a worker that runs may be killed.
    fn may_kill(&self, now: Millis) -> bool {
        let is_late = |since: Millis| since.after(self.config.rules.stop_timeout) <= now;
        self.must_kill || self.stopped_at.is_some_and(is_late)
    }

    fn spawn(&mut self, now: Millis, worker: WorkerId, world: &World) {
        assert!(self.stopped_at.is_none(), "a spawn after the stop");
        assert!(worker.incarnation > self.last, "a number is given twice");
        self.last = worker.incarnation;
        assert!(
            world
                .processes()
                .all(|other| other.worker.slot != worker.slot),
            "two processes in slot {}",
            worker.slot
        );
        assert!(worker.slot.0 < self.config.slots, "a slot too many");
        self.news.insert(worker, News::default());

        let past = self.slots.entry(worker.slot).or_default();
        past.incarnations += 1;
        assert_eq!(past.end, None, "a slot that was given up is used");
        let not_before = past.not_before.take().unwrap_or(now);
        assert!(not_before <= now, "a restart before its time");
        assert!(now <= not_before.after_ms(World::LATEST), "a late restart");

        // In any window: the restarts that are borne, the start, and what followed good runs.
        let config = &self.config;
        past.spawns.push_back(now);
        while now.since(past.spawns[0]) > config.rules.restart_window {
            past.spawns.pop_front();
        }
        let good_runs = config
            .rules
            .restart_window
            .as_millis()
            .checked_div(config.rules.stable_after.as_millis());
        if let (Some(good_runs), Some(borne)) = (good_runs, config.rules.max_restarts) {
            let most = u128::from(borne) + good_runs + 2;
            assert!(past.spawns.len() as u128 <= most, "a respawn storm");
        }
    }

    fn notice(&mut self, now: Millis, notice: Notice) {
        let (worker, uptime, is_success, verdict) = match notice {
            Notice::Exited {
                worker,
                uptime,
                cause,
                verdict,
                ..
            } => (worker, uptime, cause.is_success(), verdict),
            Notice::SpawnFailed {
                worker, verdict, ..
            } => (worker, Duration::ZERO, false, verdict),
            _ => return,
        };
        let past = self.slots.get_mut(&worker.slot).unwrap();
        match verdict {
            Verdict::Restart { after } if uptime >= self.config.rules.stable_after => {
                assert_eq!(
                    after,
                    Duration::ZERO,
                    "a good worker is not replaced at once"
                );
                past.streak = 0;
                past.delay = Duration::ZERO;
                past.not_before = Some(now);
            }
            Verdict::Restart { after } => {
                past.streak += 1;
                let base = backoff(&self.config.rules, past.streak);
                assert!(base >= past.delay, "the delay shrinks without a good run");
                past.delay = base;
                let spread = after.abs_diff(base);
                assert!(spread <= base / 5, "{after:?} is too far from {base:?}");
                past.not_before = Some(now.after(after));
            }
            Verdict::Finished => {
                assert!(is_success && self.config.rules.restart != Restart::Always);
                past.end = Some(verdict);
            }
            Verdict::Failed(failure) => {
                let is_never = self.config.rules.restart == Restart::Never;
                assert_eq!(is_never, failure == SlotFailure::NeverRestarted);
                past.end = Some(verdict);
            }
            Verdict::Stopped => assert!(self.stopped_at.is_some(), "a slot just stops"),
        }
    }

    fn exit(&mut self, reason: ExitReason, world: &World) {
        self.exit = Some(reason);
        assert_eq!(world.processes().count(), 0, "processes outlive the master");
        assert!(
            self.news.values().all(|news| news.is_over),
            "a worker was forgotten"
        );
        let all_ended_by = |verdict| self.slots.values().all(|past| past.end == Some(verdict));
        let expected = if let Some(reason) = self.hopeless {
            reason
        } else if self.stopped_at.is_some() {
            ExitReason::Stopped
        } else if all_ended_by(Verdict::Finished) {
            ExitReason::Finished
        } else if all_ended_by(Verdict::Failed(SlotFailure::CrashLoop)) {
            ExitReason::CrashLoop
        } else {
            assert!(self.slots.values().all(|past| past.end.is_some()));
            ExitReason::Failed
        };
        assert_eq!(reason, expected);
    }

    /// The supervisor has heard of something and the world has obeyed.
    pub(super) fn after(&self, now: Millis, supervisor: &Supervisor, world: &World) {
        let at = supervisor.next_deadline();
        assert!(at.is_none_or(|at| at > now), "a deadline was slept through");
        if let (Some(stopped_at), None) = (self.stopped_at, self.exit) {
            assert!(now.since(stopped_at) < END_WITHIN, "the stop does not end");
        }
        for status in supervisor.status() {
            assert!(status.since <= now);
            let is_spared = matches!(
                status.state,
                SlotState::Starting | SlotState::Running | SlotState::Stopping
            );
            assert!(
                !(self.must_kill && is_spared),
                "an immediate stop spares a worker"
            );
            if let (Some(pid), Some(incarnation)) = (status.pid, status.incarnation) {
                let slot = status.slot;
                let process = world.process(WorkerId { slot, incarnation });
                assert_eq!(process.map(|process| process.pid), Some(pid), "a wrong pid");
            }
        }
    }

    /// Nothing more will happen.
    pub(super) fn end(&self) {
        assert!(self.exit.is_some(), "everything ended but the supervisor");
    }
}
