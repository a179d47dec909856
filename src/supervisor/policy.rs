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
use crate::config::{Restart, Supervision};
use crate::time::Millis;

/// How a fleet is supervised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorConfig {
    /// How many workers there shall be. With none at all the master runs until it is stopped.
    pub slots: u16,
    /// When an ended worker is replaced, and how long a stopping one may take.
    pub rules: Supervision,
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
        rules: &Supervision,
        rng: &mut fastrand::Rng,
        now: Millis,
        ending: Ending,
    ) -> Verdict {
        match rules.restart {
            Restart::OnFailure | Restart::Never if ending.is_success => {
                return Verdict::Finished;
            }
            Restart::Never => return Verdict::Failed(SlotFailure::NeverRestarted),
            Restart::Always | Restart::OnFailure => {}
        }
        if ending.uptime >= rules.stable_after {
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
            .is_some_and(|at| now.since(*at) > rules.restart_window)
        {
            self.unstable.pop_front();
        }
        if self.is_crash_loop(rules) {
            return Verdict::Failed(SlotFailure::CrashLoop);
        }
        Verdict::Restart {
            after: jittered(backoff(rules, self.streak), rng),
        }
    }

    /// Whether the window holds more ends than are borne.
    pub(super) fn is_crash_loop(&self, rules: &Supervision) -> bool {
        let most = rules
            .max_restarts
            .and_then(|most| usize::try_from(most).ok());
        most.is_some_and(|most| self.unstable.len() > most)
    }
}

/// The delay after the `streak`th unstable end in a row, which is at least 1, before jitter.
pub(super) fn backoff(rules: &Supervision, streak: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(streak.saturating_sub(1));
    rules
        .backoff_min
        .saturating_mul(doubled)
        .min(rules.backoff_max)
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
        let rules = Supervision::default();
        let delays: Vec<u128> = (1..=10)
            .map(|streak| backoff(&rules, streak).as_millis())
            .collect();
        assert_eq!(
            delays,
            [
                100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000
            ]
        );
        assert_eq!(backoff(&rules, u32::MAX), rules.backoff_max);
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
        let rules = Supervision::default();
        let mut rng = fastrand::Rng::with_seed(1);
        let mut history = History::default();
        for _ in 0..5 {
            history.judge(&rules, &mut rng, at(0), CRASH);
        }
        assert_eq!(
            history.judge(&rules, &mut rng, at(20), STABLE),
            Verdict::Restart {
                after: Duration::ZERO
            }
        );
        let Verdict::Restart { after } = history.judge(&rules, &mut rng, at(21), CRASH) else {
            panic!("a single crash is no crash loop");
        };
        assert!((80..=120).contains(&after.as_millis()), "{after:?}");
    }

    #[test]
    fn only_more_ends_than_allowed_within_the_window_are_a_crash_loop() {
        let rules = Supervision {
            max_restarts: Some(2),
            ..Supervision::default()
        };
        let mut rng = fastrand::Rng::with_seed(1);
        let mut history = History::default();
        for second in [0, 30, 61, 91] {
            let verdict = history.judge(&rules, &mut rng, at(second), CRASH);
            assert!(matches!(verdict, Verdict::Restart { .. }), "at {second} s");
        }
        let verdict = history.judge(&rules, &mut rng, at(92), STABLE);
        assert!(matches!(verdict, Verdict::Restart { .. }));
        let verdict = history.judge(&rules, &mut rng, at(93), CRASH);
        assert_eq!(verdict, Verdict::Failed(SlotFailure::CrashLoop));
    }

    #[test]
    fn the_default_limit_is_reached_by_a_worker_that_dies_within_800_ms() {
        let rules = Supervision::default();
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
                match history.judge(&rules, &mut rng, now, ending) {
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
            (Restart::Always, None, None),
            (Restart::OnFailure, Some(Verdict::Finished), None),
            (Restart::Never, Some(Verdict::Finished), Some(never)),
        ] {
            let rules = Supervision {
                restart,
                ..Supervision::default()
            };
            for (ending, expected) in [(done, after_done), (CRASH, after_crash)] {
                let mut rng = fastrand::Rng::with_seed(1);
                let verdict = History::default().judge(&rules, &mut rng, at(0), ending);
                match expected {
                    Some(expected) => assert_eq!(verdict, expected, "{restart:?}"),
                    None => assert!(matches!(verdict, Verdict::Restart { .. }), "{restart:?}"),
                }
            }
        }
    }
}
