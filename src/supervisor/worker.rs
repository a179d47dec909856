//! The life of one worker, from the order to start it until process and channel are both gone.
//!
//! Knows nothing of its slot's past or future: whoever owns it ([`state`](super::state)) is given
//! its [`Death`] and decides what follows. Every method that learns something appends what must be
//! done about it.
//!
//! What holds: a worker is dead only when its exit *and* the end of its channel have been seen, in
//! whichever order. Between an exit and the [`Action::Reap`], its group gets exactly one KILL, so
//! that nothing it leaves there outlives it:
//!
//! - an exit nobody asked for: at once;
//! - an exit after a request to stop: when the channel ends, or else at the deadline of the
//!   request. While the channel is open something is still draining, such as the server under a
//!   shell script that was quicker to go.
//!
//! What has left the group is not ours to kill. If it holds the channel, that is closed from our
//! side a moment after the KILL.

use std::time::Duration;

use super::action::{Action, Notice, ReadySign, WorkerSignal};
use super::event::{ExitCause, Generation, WorkerId};
use super::slot::SlotState;
use crate::time::Millis;

/// How long a channel may stay open after its worker's group was killed.
pub(super) const CHANNEL_GRACE: Duration = Duration::from_secs(1);
/// After so long a killed worker that is still there is noted and killed again.
pub(super) const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// A worker that is not known to be gone.
#[derive(Debug)]
pub(super) struct Worker {
    id: WorkerId,
    generation: Generation,
    life: Life,
}

#[derive(Debug, Clone, Copy)]
enum Life {
    /// Ordered; not yet known to run.
    Spawning {
        /// It shall be stopped when it comes up, and be gone by then.
        kill_at: Option<Millis>,
        early: Early,
    },
    /// It runs.
    Alive {
        process: Process,
        channel: Channel,
        stage: Stage,
    },
    /// It exited; its channel is open.
    Lingering { death: Death, remains: Remains },
}

/// What was heard of a worker before it was heard that it runs.
#[derive(Debug, Clone, Copy)]
struct Early {
    is_ready: bool,
    channel: Channel,
    exit: Option<ExitCause>,
}

#[derive(Debug, Clone, Copy)]
struct Process {
    pid: u32,
    born: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Open,
    Closed,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Starting { ready_at: Millis },
    Running,
    Stopping { kill_at: Millis },
    Killed { since: Millis, again_at: Millis },
}

/// What may be left in the group of a worker that exited.
#[derive(Debug, Clone, Copy)]
enum Remains {
    Draining { kill_at: Millis },
    Killed { close_at: Millis },
}

/// The end of a worker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Death {
    pub(super) pid: u32,
    pub(super) cause: ExitCause,
    pub(super) uptime: Duration,
}

impl Worker {
    /// A worker that is being started.
    pub(super) fn new(id: WorkerId, generation: Generation) -> Self {
        Self {
            id,
            generation,
            life: Life::Spawning {
                kill_at: None,
                early: Early {
                    is_ready: false,
                    channel: Channel::Open,
                    exit: None,
                },
            },
        }
    }

    pub(super) fn id(&self) -> WorkerId {
        self.id
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    pub(super) fn pid(&self) -> Option<u32> {
        match self.life {
            Life::Spawning { .. } => None,
            Life::Alive { process, .. } => Some(process.pid),
            Life::Lingering { death, .. } => Some(death.pid),
        }
    }

    pub(super) fn state(&self) -> SlotState {
        match self.life {
            Life::Spawning { .. } => SlotState::Spawning,
            Life::Alive { stage, .. } => match stage {
                Stage::Starting { .. } => SlotState::Starting,
                Stage::Running => SlotState::Running,
                Stage::Stopping { .. } => SlotState::Stopping,
                Stage::Killed { .. } => SlotState::Killed,
            },
            Life::Lingering { .. } => SlotState::Lingering,
        }
    }

    /// Whether it is not yet known to run.
    pub(super) fn is_spawning(&self) -> bool {
        matches!(self.life, Life::Spawning { .. })
    }

    /// Whether nothing more has to be asked of it for it to end.
    pub(super) fn is_ending(&self) -> bool {
        match self.life {
            Life::Spawning { kill_at, .. } => kill_at.is_some(),
            Life::Alive { stage, .. } => {
                matches!(stage, Stage::Stopping { .. } | Stage::Killed { .. })
            }
            Life::Lingering { .. } => true,
        }
    }

    /// When it must be looked at, whatever happens.
    pub(super) fn deadline(&self) -> Option<Millis> {
        match self.life {
            Life::Spawning { .. } => None,
            Life::Alive { stage, .. } => match stage {
                Stage::Starting { ready_at } => Some(ready_at),
                Stage::Running => None,
                Stage::Stopping { kill_at } => Some(kill_at),
                Stage::Killed { again_at, .. } => Some(again_at),
            },
            Life::Lingering { remains, .. } => match remains {
                Remains::Draining { kill_at } => Some(kill_at),
                Remains::Killed { close_at } => Some(close_at),
            },
        }
    }

    /// It runs. What was heard of it before is caught up with.
    pub(super) fn spawned(
        &mut self,
        now: Millis,
        pid: u32,
        ready_at: Millis,
        actions: &mut Vec<Action>,
    ) -> Option<Death> {
        let Life::Spawning { kill_at, early } = self.life else {
            return None;
        };
        self.life = Life::Alive {
            process: Process { pid, born: now },
            channel: early.channel,
            stage: Stage::Starting { ready_at },
        };
        actions.push(Action::Notice(Notice::Started {
            worker: self.id,
            pid,
        }));
        match (early.exit, kill_at) {
            (Some(cause), _) => return self.exited(now, cause, actions),
            (None, Some(kill_at)) if kill_at <= now => self.kill(now, actions),
            (None, Some(kill_at)) => self.stop(kill_at, actions),
            (None, None) if early.is_ready => self.ready(now, ReadySign::Announced, actions),
            (None, None) => {}
        }
        None
    }

    /// It may be counted on.
    pub(super) fn ready(&mut self, now: Millis, sign: ReadySign, actions: &mut Vec<Action>) {
        match &mut self.life {
            Life::Spawning { early, .. } => early.is_ready = true,
            Life::Alive { process, stage, .. } if matches!(stage, Stage::Starting { .. }) => {
                *stage = Stage::Running;
                actions.push(Action::Notice(Notice::Ready {
                    worker: self.id,
                    pid: process.pid,
                    sign,
                    after: now.since(process.born),
                }));
            }
            Life::Alive { .. } | Life::Lingering { .. } => {}
        }
    }

    /// Its process ended.
    pub(super) fn exited(
        &mut self,
        now: Millis,
        cause: ExitCause,
        actions: &mut Vec<Action>,
    ) -> Option<Death> {
        let (process, channel, stage) = match &mut self.life {
            Life::Spawning { early, .. } => {
                early.exit.get_or_insert(cause);
                return None;
            }
            Life::Alive {
                process,
                channel,
                stage,
            } => (*process, *channel, *stage),
            Life::Lingering { .. } => return None,
        };
        let death = Death {
            pid: process.pid,
            cause,
            uptime: now.since(process.born),
        };
        let remains = match (channel, stage) {
            (Channel::Closed, _) => {
                self.signal(death.pid, WorkerSignal::Kill, actions);
                return Some(self.reap(death, actions));
            }
            (Channel::Open, Stage::Stopping { kill_at }) => Remains::Draining { kill_at },
            (Channel::Open, _) => self.kill_remains(now, death, actions),
        };
        self.life = Life::Lingering { death, remains };
        None
    }

    /// Its channel ended.
    pub(super) fn channel_closed(&mut self, actions: &mut Vec<Action>) -> Option<Death> {
        match &mut self.life {
            Life::Spawning { early, .. } => early.channel = Channel::Closed,
            Life::Alive { channel, .. } => *channel = Channel::Closed,
            Life::Lingering { death, remains } => {
                let (death, remains) = (*death, *remains);
                if matches!(remains, Remains::Draining { .. }) {
                    self.signal(death.pid, WorkerSignal::Kill, actions);
                }
                return Some(self.reap(death, actions));
            }
        }
        None
    }

    /// Asks it to end until `kill_at`, if it was not asked before.
    pub(super) fn stop(&mut self, kill_at: Millis, actions: &mut Vec<Action>) {
        match &mut self.life {
            Life::Spawning { kill_at: order, .. } => {
                order.get_or_insert(kill_at);
            }
            Life::Alive { process, stage, .. } => {
                if matches!(stage, Stage::Starting { .. } | Stage::Running) {
                    *stage = Stage::Stopping { kill_at };
                    let pid = process.pid;
                    self.signal(pid, WorkerSignal::Stop, actions);
                }
            }
            Life::Lingering { .. } => {}
        }
    }

    /// Ends it, and what it may have left behind.
    pub(super) fn kill(&mut self, now: Millis, actions: &mut Vec<Action>) {
        match self.life {
            Life::Spawning { early, .. } => {
                self.life = Life::Spawning {
                    kill_at: Some(now),
                    early,
                };
            }
            Life::Alive {
                stage: Stage::Killed { .. },
                ..
            } => {}
            Life::Alive {
                process, channel, ..
            } => self.kill_process(now, now, process, channel, actions),
            Life::Lingering { death, remains } => {
                if matches!(remains, Remains::Draining { .. }) {
                    let remains = self.kill_remains(now, death, actions);
                    self.life = Life::Lingering { death, remains };
                }
            }
        }
    }

    /// Does what its [`deadline`](Self::deadline) was for; it has passed.
    pub(super) fn due(&mut self, now: Millis, actions: &mut Vec<Action>) -> Option<Death> {
        match self.life {
            Life::Spawning { .. } => {}
            Life::Alive {
                process,
                channel,
                stage,
            } => match stage {
                Stage::Starting { .. } => self.ready(now, ReadySign::Alive, actions),
                Stage::Running => {}
                Stage::Stopping { .. } => {
                    self.note_deadline(process.pid, actions);
                    self.kill(now, actions);
                }
                Stage::Killed { since, .. } => {
                    actions.push(Action::Notice(Notice::Unkillable {
                        worker: self.id,
                        pid: process.pid,
                        waited: now.since(since),
                    }));
                    self.kill_process(now, since, process, channel, actions);
                }
            },
            Life::Lingering { death, remains } => match remains {
                Remains::Draining { .. } => {
                    self.note_deadline(death.pid, actions);
                    self.kill(now, actions);
                }
                Remains::Killed { .. } => {
                    actions.push(Action::Notice(Notice::ChannelHeld {
                        worker: self.id,
                        pid: death.pid,
                    }));
                    actions.push(Action::CloseChannel(self.id));
                    return Some(self.reap(death, actions));
                }
            },
        }
        None
    }

    fn kill_process(
        &mut self,
        now: Millis,
        since: Millis,
        process: Process,
        channel: Channel,
        actions: &mut Vec<Action>,
    ) {
        self.signal(process.pid, WorkerSignal::Kill, actions);
        let again_at = now.after(KILL_PATIENCE);
        self.life = Life::Alive {
            process,
            channel,
            stage: Stage::Killed { since, again_at },
        };
    }

    fn kill_remains(&self, now: Millis, death: Death, actions: &mut Vec<Action>) -> Remains {
        self.signal(death.pid, WorkerSignal::Kill, actions);
        Remains::Killed {
            close_at: now.after(CHANNEL_GRACE),
        }
    }

    fn signal(&self, pid: u32, signal: WorkerSignal, actions: &mut Vec<Action>) {
        actions.push(Action::Signal {
            worker: self.id,
            pid,
            signal,
        });
    }

    fn reap(&self, death: Death, actions: &mut Vec<Action>) -> Death {
        actions.push(Action::Reap {
            worker: self.id,
            pid: death.pid,
        });
        death
    }

    fn note_deadline(&self, pid: u32, actions: &mut Vec<Action>) {
        actions.push(Action::Notice(Notice::KillDeadline {
            worker: self.id,
            pid,
        }));
    }
}
