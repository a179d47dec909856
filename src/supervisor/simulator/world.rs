//! What is true: the processes, who holds their channels, and the news on its way.
//!
//! The world obeys the supervisor's actions as a kernel and a master would, and refuses none: what
//! the supervisor may not do is for [`Watch`](super::watch::Watch) to say.

use std::collections::{BTreeMap, VecDeque};

use crate::supervisor::action::{Action, WorkerSignal};
use crate::supervisor::event::{
    Event, ExitCause, Incarnation, Slot, SpawnFailure, StopKind, WorkerId,
};
use crate::time::Millis;

const KILLED: ExitCause = ExitCause::Signal {
    number: 9,
    core_dumped: false,
};

pub(super) struct World {
    rng: fastrand::Rng,
    now: Millis,
    /// What will happen, by time and then by the order in which it was decided.
    agenda: BTreeMap<(Millis, u64), Happening>,
    decided: u64,
    /// How much too late the supervisor will be told that its deadline has come, in ms.
    late: u64,
    /// Of 100 processes, how many fall over at once.
    fragility: u32,
    processes: BTreeMap<Incarnation, Process>,
    /// Workers of whom news still comes although they are gone.
    gone: VecDeque<WorkerId>,
}

#[derive(Clone, Copy)]
enum Happening {
    /// The supervisor hears of something.
    News(Event),
    /// A process ends.
    Death(Incarnation, ExitCause),
    /// A process closes the channel that it does not know.
    Close(Incarnation),
    /// What a process left in its group ends by itself.
    GroupEnds(Incarnation),
}

/// A process that was started and not yet collected.
pub(super) struct Process {
    pub(super) worker: WorkerId,
    pub(super) pid: u32,
    pub(super) leader: Member,
    /// A child in the same group.
    pub(super) group: Member,
    /// A child that left the group and holds the channel for ever.
    has_stray: bool,
    temper: Temper,
}

/// A member of a group, and what it does with the worker's channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    Gone,
    /// It runs and has closed it.
    Silent,
    /// It runs and holds it open.
    Holder,
}

/// How a process takes signals.
#[derive(Clone, Copy)]
struct Temper {
    /// How long it takes to stop; `None` is for ever.
    stop: Option<u64>,
    /// The same of its group.
    group_stop: Option<u64>,
    /// How long it takes to be killed.
    kill: u64,
}

impl World {
    /// No news takes longer, in ms.
    pub(super) const LATEST: u64 = 3_000;

    pub(super) fn new(mut rng: fastrand::Rng) -> Self {
        let fragility = [5, 20, 50, 99][rng.usize(0..4)];
        Self {
            rng,
            late: 0,
            fragility,
            now: Millis::from_unix(1_000_000),
            agenda: BTreeMap::new(),
            decided: 0,
            processes: BTreeMap::new(),
            gone: VecDeque::new(),
        }
    }

    /// The supervisor will hear of `event` in `ms`.
    pub(super) fn at(&mut self, ms: u64, event: Event) {
        self.plan(ms, Happening::News(event));
    }

    /// What was started and not collected.
    pub(super) fn process(&self, worker: WorkerId) -> Option<&Process> {
        let process = self.processes.get(&worker.incarnation);
        process.filter(|process| process.worker == worker)
    }

    pub(super) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }

    /// Lets time pass until the supervisor hears of something, at its deadline at the latest;
    /// `None` when nothing will ever happen again.
    pub(super) fn next(&mut self, deadline: Option<Millis>) -> Option<(Millis, Event)> {
        loop {
            let first = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let tick = deadline.map(|at| at.after_ms(self.late));
            if tick.is_some_and(|at| first.is_none_or(|first| at <= first)) {
                self.late = self.latency();
                self.now = tick?;
                return Some((self.now, Event::Tick));
            }
            let ((at, _), happening) = self.agenda.pop_first()?;
            self.now = at;
            match happening {
                Happening::News(event) => {
                    self.repeat(event);
                    return Some((self.now, event));
                }
                Happening::Death(id, cause) => self.die(id, cause),
                Happening::Close(id) => self.change(id, |process| {
                    if process.leader == Member::Holder {
                        process.leader = Member::Silent;
                    }
                }),
                Happening::GroupEnds(id) => self.change(id, |process| process.group = Member::Gone),
            }
        }
    }

    /// Does what the supervisor wants.
    pub(super) fn obey(&mut self, now: Millis, action: Action) {
        self.now = now;
        match action {
            Action::Spawn { worker, .. } => self.spawn(worker),
            Action::Signal { worker, signal, .. } => self.signal(worker.incarnation, signal),
            Action::Reap { worker, .. } => {
                self.processes.remove(&worker.incarnation);
                self.gone.push_back(worker);
                if self.gone.len() > 8 {
                    self.gone.pop_front();
                }
            }
            Action::CloseChannel(_) | Action::Notice(_) | Action::Exit(_) => {}
        }
    }

    fn spawn(&mut self, worker: WorkerId) {
        let delay = self.latency();
        // First starts seldom fail, or hardly a fleet would ever get going.
        let odds = if self.gone.is_empty() { 200 } else { 20 };
        if self.rng.u32(0..odds) == 0 {
            let failures = [
                SpawnFailure::NotFound,
                SpawnFailure::NotExecutable,
                SpawnFailure::Other,
            ];
            let failure = failures[self.rng.usize(0..3)];
            self.at(delay, Event::SpawnFailed { worker, failure });
            return;
        }
        let pid = 100 + u32::try_from(worker.incarnation.0).unwrap();
        let group = match self.rng.u8(0..10) {
            0 => Member::Silent,
            1 => Member::Holder,
            _ => Member::Gone,
        };
        let temper = Temper {
            stop: (!self.chance(6)).then(|| self.rng.u64(0..12_000)),
            group_stop: (!self.chance(4)).then(|| self.rng.u64(0..15_000)),
            kill: if self.chance(40) {
                45_000
            } else {
                self.latency()
            },
        };
        let process = Process {
            worker,
            pid,
            leader: Member::Holder,
            group,
            has_stray: self.chance(20),
            temper,
        };
        self.processes.insert(worker.incarnation, process);
        self.at(delay, Event::Spawned { worker, pid });
        if self.rng.bool() {
            let ms = self.rng.u64(0..3_000);
            self.at(ms, Event::Ready(worker));
        }
        if self.chance(10) {
            let ms = self.rng.u64(0..10_000);
            self.plan(ms, Happening::Close(worker.incarnation));
        }
        let life = match self.rng.u32(0..100) {
            luck if luck < self.fragility => self.rng.u64(0..50),
            luck if luck % 2 == 0 => self.rng.u64(0..15_000),
            98.. => self.rng.u64(0..10_000_000),
            _ => self.rng.u64(0..60_000),
        };
        let cause = match self.rng.u8(0..10) {
            0 => ExitCause::Code(0),
            1 => ExitCause::Lost,
            2 => KILLED,
            _ => ExitCause::Code(self.rng.i32(1..=255)),
        };
        self.plan(life, Happening::Death(worker.incarnation, cause));
    }

    fn signal(&mut self, id: Incarnation, signal: WorkerSignal) {
        let Some(process) = self.processes.get(&id) else {
            return;
        };
        let temper = process.temper;
        match signal {
            WorkerSignal::Stop => {
                if let Some(ms) = temper.stop {
                    self.plan(ms, Happening::Death(id, ExitCause::Code(0)));
                }
                if let Some(ms) = temper.group_stop {
                    self.plan(ms, Happening::GroupEnds(id));
                }
            }
            WorkerSignal::Kill => {
                self.plan(temper.kill, Happening::Death(id, KILLED));
                self.change(id, |process| process.group = Member::Gone);
            }
        }
    }

    fn die(&mut self, id: Incarnation, cause: ExitCause) {
        if let Some(process) = self
            .processes
            .get(&id)
            .filter(|process| process.leader != Member::Gone)
        {
            let worker = process.worker;
            let ms = self.latency();
            self.at(ms, Event::Exited { worker, cause });
            self.change(id, |process| process.leader = Member::Gone);
        }
    }

    /// Changes a process, and lets the channel end if that took its last holder.
    fn change(&mut self, id: Incarnation, change: impl FnOnce(&mut Process)) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let was_held = process.is_held();
        change(process);
        if was_held && !process.is_held() {
            let worker = process.worker;
            let ms = self.latency();
            self.at(ms, Event::ChannelClosed(worker));
        }
    }

    /// News may come twice, and what is long over may be told again.
    fn repeat(&mut self, event: Event) {
        if matches!(event, Event::Stop(StopKind::Immediate)) {
            return;
        }
        if self.chance(12) {
            let ms = self.rng.u64(0..5_000);
            self.at(ms, event);
        }
        if let Some(worker) = self.stranger() {
            let pid = self.rng.u32(2..);
            let lies = [
                Event::Spawned { worker, pid },
                Event::SpawnFailed {
                    worker,
                    failure: SpawnFailure::NotFound,
                },
                Event::Ready(worker),
                Event::ChannelClosed(worker),
                Event::Exited {
                    worker,
                    cause: KILLED,
                },
                Event::Tick,
                Event::Start,
            ];
            let lie = lies[self.rng.usize(0..lies.len())];
            let ms = self.rng.u64(0..5_000);
            self.at(ms, lie);
        }
    }

    /// Somebody of whom there should be no news, now and then: gone, or in a slot where he is not.
    fn stranger(&mut self) -> Option<WorkerId> {
        if !self.chance(10) || self.gone.is_empty() {
            return None;
        }
        let mut worker = self.gone[self.rng.usize(0..self.gone.len())];
        if self.rng.bool() {
            worker.slot = Slot(worker.slot.0 + 1);
        }
        Some(worker)
    }

    fn plan(&mut self, ms: u64, happening: Happening) {
        self.decided += 1;
        let at = self.now.after_ms(ms);
        self.agenda.insert((at, self.decided), happening);
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.rng.u32(0..one_in) == 0
    }

    fn latency(&mut self) -> u64 {
        if self.chance(10) {
            self.rng.u64(0..Self::LATEST)
        } else {
            self.rng.u64(0..5)
        }
    }
}

impl Process {
    /// Whether anybody holds the other end of the channel.
    fn is_held(&self) -> bool {
        [self.leader, self.group].contains(&Member::Holder) || self.has_stray
    }
}
