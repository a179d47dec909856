//! A world for the supervisor to fail in: processes that die, linger, ignore signals and leave
//! children behind, and news of them that comes late, twice, or in the wrong order.
//!
//! [`World`](world::World) is what is true, [`Watch`](watch::Watch) what the supervisor promised about it. Both
//! follow from a seed. `MEMSTORE_SIM_SEED=n` replays one, `MEMSTORE_SIM_SEEDS=n` tries that many.

mod watch;
mod world;

use std::collections::VecDeque;
use std::time::Duration;

use self::watch::Watch;
use self::world::World;
use super::action::Action;
use super::event::{Event, StopKind};
use super::policy::SupervisorConfig;
use super::state::Supervisor;
use crate::config::{Restart, Supervision};
use crate::time::Millis;

const SEEDS: u64 = 300;
/// Longer than any process of the world resists, with all the patience of the supervisor on top.
const END_WITHIN: Duration = Duration::from_secs(180);

#[test]
fn the_supervisor_keeps_its_promises_in_any_world() {
    let number = |name: &str| {
        let value = std::env::var(name).ok()?;
        Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
    };
    if let Some(seed) = number("MEMSTORE_SIM_SEED") {
        simulate(seed);
        return;
    }
    let seeds = number("MEMSTORE_SIM_SEEDS").unwrap_or(SEEDS);
    let (mut steps, mut spawns) = (0, 0);
    for seed in 0..seeds {
        let (more_steps, more_spawns) = simulate(seed);
        steps += more_steps;
        spawns += more_spawns;
    }
    assert!(steps > 400 * seeds, "only {steps} steps: the world is dull");
    assert!(spawns > 80 * seeds, "only {spawns} spawns: nothing happens");
}

/// One run from start to exit; how many events and how many spawns there were.
fn simulate(seed: u64) -> (u64, u64) {
    let mut trace = Trace::new(seed);
    let mut rng = fastrand::Rng::with_seed(seed);
    let config = any_config(&mut rng);
    let mut supervisor = Supervisor::new(config.clone(), rng.u64(..));
    let mut world = World::new(rng.fork());
    let mut watch = Watch::new(config);

    // A stop may come before the start, in the middle of anything, or after the fleet's own end.
    let horizon = if rng.bool() {
        1 << rng.u32(0..=16)
    } else {
        20_000_000
    };
    world.at(rng.u64(0..20), Event::Start);
    let stop = rng.u64(0..horizon);
    if rng.u8(0..4) == 0 {
        world.at(stop, Event::Stop(StopKind::Immediate));
    } else {
        world.at(stop, Event::Stop(StopKind::Graceful));
        if rng.bool() {
            world.at(stop + rng.u64(0..20_000), Event::Stop(StopKind::Immediate));
        }
    }

    let mut actions = Vec::new();
    let mut steps = 0;
    let mut spawns = 0;
    while let Some((now, event)) = world.next(supervisor.next_deadline()) {
        trace.event(now, event);
        steps += 1;
        watch.before(now, event);
        supervisor.handle(now, event, &mut actions);
        for action in actions.drain(..) {
            trace.action(now, action);
            spawns += u64::from(matches!(action, Action::Spawn { .. }));
            watch.action(now, action, &world);
            world.obey(now, action);
        }
        watch.after(now, &supervisor, &world);
    }
    watch.end();
    (steps, spawns)
}

/// Anything that can be configured, the defaults among it.
fn any_config(rng: &mut fastrand::Rng) -> SupervisorConfig {
    let mut config = SupervisorConfig {
        slots: [0, 1, 1, 2, 3, 4, 6, 9][rng.usize(0..8)],
        rules: Supervision::default(),
    };
    config.rules.restart = match rng.u8(0..10) {
        0 => Restart::Never,
        1 => Restart::OnFailure,
        _ => Restart::Always,
    };
    if rng.bool() {
        let ms = |rng: &mut fastrand::Rng, most| Duration::from_millis(rng.u64(0..=most));
        config.rules.backoff_min = ms(rng, 1_000);
        config.rules.backoff_max = ms(rng, 20_000);
        config.rules.stable_after = ms(rng, 20_000);
        config.rules.max_restarts = rng.bool().then(|| rng.u32(0..=100));
        config.rules.restart_window = ms(rng, 120_000);
        config.rules.stop_timeout = ms(rng, 30_000);
        config.rules.ready_after = ms(rng, 5_000);
    }
    config
}

/// The last things that happened; told when a test fails.
struct Trace {
    seed: u64,
    lines: VecDeque<(Millis, Line)>,
}

enum Line {
    Event(Event),
    Action(Action),
}

impl Trace {
    const LINES: usize = 60;

    fn new(seed: u64) -> Self {
        let lines = VecDeque::with_capacity(Self::LINES);
        Self { seed, lines }
    }

    fn event(&mut self, now: Millis, event: Event) {
        self.add(now, Line::Event(event));
    }

    fn action(&mut self, now: Millis, action: Action) {
        self.add(now, Line::Action(action));
    }

    fn add(&mut self, now: Millis, line: Line) {
        if self.lines.len() == Self::LINES {
            self.lines.pop_front();
        }
        self.lines.push_back((now, line));
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (now, line) in &self.lines {
            match line {
                Line::Event(event) => eprintln!("{now:?} {event:?}"),
                Line::Action(action) => eprintln!("{now:?}     -> {action:?}"),
            }
        }
        eprintln!("replay with MEMSTORE_SIM_SEED={}", self.seed);
    }
}
