//! When the worker that ended is followed by another: restart policy, backoff, crash loops.
//!
//! Pure: the time and the randomness are arguments. Called by [`state`](super::state) when a slot
//! has become vacant; it remembers per slot what it needs for the next answer.
//!
//! A worker that ran for `stable_after` was good: it is replaced at once. One that did not is
//! replaced after a delay that doubles each time, and too many of those within a window are a
//! crash loop, in which the slot is given up.

use std::collections::VecDeque;
use std::time::Duration;

use super::action::{SlotFailure, Verdict};
use crate::time::Millis;

/// Which ends are followed by a new worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RestartPolicy {
    /// All.
    #[default]
    Always,
    /// All but exit code 0, which means that the work is done.
    OnFailure,
    /// None.
    Never,
}

/// How a fleet is supervised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorConfig {
    /// How many workers there shall be. With none at all the master runs until it is stopped.
    pub slots: u16,
    /// Which ends are followed by a new worker.
    pub restart: RestartPolicy,
    /// The first delay before a restart; each further one is twice as long.
    pub backoff_min: Duration,
    /// The longest delay, before up to a fifth is added or taken away by chance.
    pub backoff_max: Duration,
    /// A worker that lived so long was good: it is replaced at once and what was before is
    /// forgiven.
    pub stable_after: Duration,
    /// So many ends of workers that were not good are borne within `restart_window`; one more and
    /// the slot is given up.
    pub max_restarts: u32,
    /// See `max_restarts`.
    pub restart_window: Duration,
    /// How long a worker that was asked to stop may take before it is killed.
    pub stop_timeout: Duration,
    /// A worker that lived so long counts as ready, whether it says so or not.
    pub ready_after: Duration,
}

impl Default for SupervisorConfig {
    /// The delays of a full crash loop add up to 43 s, 51 s at worst: with workers that live for
    /// less than a second, ten restarts fit into the window of 60 s. Those that live longer are
    /// tried for ever, at the pace of `backoff_max`.
    fn default() -> Self {
        Self {
            slots: 1,
            restart: RestartPolicy::default(),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            stable_after: Duration::from_secs(10),
            max_restarts: 10,
            restart_window: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(10),
            ready_after: Duration::from_secs(1),
        }
    }
}

/// The end of a worker, as far as it matters for what follows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    /// Whether it did its work.
    pub(super) is_success: bool,
    /// How long it ran; zero if it could not even be started.
    pub(super) uptime: Duration,
}

/// What a slot remembers of its workers.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Unstable ends since the last stable one.
    streak: u32,
    /// The unstable ends within the window, the oldest first.
    unstable: VecDeque<Millis>,
}

impl History {
    /// What becomes of the slot after this end.
    pub(super) fn judge(
        &mut self,
        config: &SupervisorConfig,
        rng: &mut fastrand::Rng,
        now: Millis,
        ending: Ending,
    ) -> Verdict {
        match config.restart {
            RestartPolicy::OnFailure | RestartPolicy::Never if ending.is_success => {
                return Verdict::Finished;
            }
            RestartPolicy::Never => return Verdict::Failed(SlotFailure::NeverRestarted),
            RestartPolicy::Always | RestartPolicy::OnFailure => {}
        }
        if ending.uptime >= config.stable_after {
            self.streak = 0;
            return Verdict::Restart {
                after: Duration::ZERO,
            };
        }
        self.streak = self.streak.saturating_add(1);
        self.unstable.push_back(now);
        while self
            .unstable
            .front()
            .is_some_and(|at| now.since(*at) > config.restart_window)
        {
            self.unstable.pop_front();
        }
        if self.is_crash_loop(config) {
            return Verdict::Failed(SlotFailure::CrashLoop);
        }
        Verdict::Restart {
            after: jittered(backoff(config, self.streak), rng),
        }
    }

    /// Whether the window holds more ends than are borne.
    pub(super) fn is_crash_loop(&self, config: &SupervisorConfig) -> bool {
        u32::try_from(self.unstable.len()).map_or(true, |count| count > config.max_restarts)
    }
}

/// The delay after the `streak`th unstable end in a row, which is at least 1, before jitter.
pub(super) fn backoff(config: &SupervisorConfig, streak: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(streak.saturating_sub(1));
    config
        .backoff_min
        .saturating_mul(doubled)
        .min(config.backoff_max)
}

/// `delay`, in whole milliseconds, give or take a fifth: workers that fell together shall not rise
/// together.
pub(super) fn jittered(delay: Duration, rng: &mut fastrand::Rng) -> Duration {
    let ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let fifth = ms / 5;
    Duration::from_millis((ms - fifth).saturating_add(rng.u64(0..=2 * fifth)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: Ending = Ending {
        is_success: false,
        uptime: Duration::ZERO,
    };
    const STABLE: Ending = Ending {
        is_success: false,
        uptime: Duration::from_secs(10),
    };

    fn at(seconds: u64) -> Millis {
        Millis::from_unix(seconds * 1_000)
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let config = SupervisorConfig::default();
        let delays: Vec<u128> = (1..=10)
            .map(|streak| backoff(&config, streak).as_millis())
            .collect();
        assert_eq!(
            delays,
            [
                100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000
            ]
        );
        assert_eq!(backoff(&config, u32::MAX), config.backoff_max);
    }

    #[test]
    fn jitter_takes_or_adds_up_to_a_fifth_and_spreads() {
        let mut rng = fastrand::Rng::with_seed(1);
        let delays: Vec<u128> = (0..1_000)
            .map(|_| jittered(Duration::from_secs(1), &mut rng).as_millis())
            .collect();
        assert!(delays.iter().all(|ms| (800..=1_200).contains(ms)));
        assert!(delays.iter().min() < Some(&820) && delays.iter().max() > Some(&1_180));
        assert_eq!(jittered(Duration::ZERO, &mut rng), Duration::ZERO);
        assert!(jittered(Duration::MAX, &mut rng) > Duration::from_secs(1 << 50));
    }

    #[test]
    fn a_stable_run_is_replaced_at_once_and_resets_the_delays() {
        let config = SupervisorConfig::default();
        let mut rng = fastrand::Rng::with_seed(1);
        let mut history = History::default();
        for _ in 0..5 {
            history.judge(&config, &mut rng, at(0), CRASH);
        }
        assert_eq!(
            history.judge(&config, &mut rng, at(20), STABLE),
            Verdict::Restart {
                after: Duration::ZERO
            }
        );
        let Verdict::Restart { after } = history.judge(&config, &mut rng, at(21), CRASH) else {
            panic!("a single crash is no crash loop");
        };
        assert!((80..=120).contains(&after.as_millis()), "{after:?}");
    }

    #[test]
    fn only_more_ends_than_allowed_within_the_window_are_a_crash_loop() {
        let config = SupervisorConfig {
            max_restarts: 2,
            ..SupervisorConfig::default()
        };
        let mut rng = fastrand::Rng::with_seed(1);
        let mut history = History::default();
        for second in [0, 30, 61, 91] {
            let verdict = history.judge(&config, &mut rng, at(second), CRASH);
            assert!(matches!(verdict, Verdict::Restart { .. }), "at {second} s");
        }
        let verdict = history.judge(&config, &mut rng, at(92), STABLE);
        assert!(matches!(verdict, Verdict::Restart { .. }));
        let verdict = history.judge(&config, &mut rng, at(93), CRASH);
        assert_eq!(verdict, Verdict::Failed(SlotFailure::CrashLoop));
    }

    #[test]
    fn the_default_limit_is_reached_by_a_worker_that_dies_within_800_ms() {
        let config = SupervisorConfig::default();
        for seed in 0..100 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut history = History::default();
            let ending = Ending {
                uptime: Duration::from_millis(800),
                ..CRASH
            };
            let mut now = Millis::ZERO;
            let mut spawns = 0;
            let verdict = loop {
                spawns += 1;
                now = now.after(ending.uptime);
                match history.judge(&config, &mut rng, now, ending) {
                    Verdict::Restart { after } if spawns < 100 => now = now.after(after),
                    verdict => break verdict,
                }
            };
            assert_eq!(verdict, Verdict::Failed(SlotFailure::CrashLoop));
            assert_eq!(spawns, 11);
        }
    }

    #[test]
    fn the_restart_policy_decides_what_an_end_means() {
        let done = Ending {
            is_success: true,
            ..CRASH
        };
        let never = Verdict::Failed(SlotFailure::NeverRestarted);
        for (restart, after_done, after_crash) in [
            (RestartPolicy::Always, None, None),
            (RestartPolicy::OnFailure, Some(Verdict::Finished), None),
            (RestartPolicy::Never, Some(Verdict::Finished), Some(never)),
        ] {
            let config = SupervisorConfig {
                restart,
                ..SupervisorConfig::default()
            };
            for (ending, expected) in [(done, after_done), (CRASH, after_crash)] {
                let mut rng = fastrand::Rng::with_seed(1);
                let verdict = History::default().judge(&config, &mut rng, at(0), ending);
                match expected {
                    Some(expected) => assert_eq!(verdict, expected, "{restart:?}"),
                    None => assert!(matches!(verdict, Verdict::Restart { .. }), "{restart:?}"),
                }
            }
        }
    }
}
