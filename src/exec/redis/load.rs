//! What is counted of a backend that has a thread of its own, and how `INFO` tells it.
//!
//! Plain numbers; the master counts them and hands them over before requests are run.

use std::fmt::Arguments;

use super::plain::WORDS;

/// How many kinds of ticks are told apart: below 1 µs, below 2, below 4 and so on.
pub const TICKS: usize = 28;

/// Since the master began. Times are microseconds.
#[derive(Debug, Clone, Default)]
pub struct Load {
    /// Chunks of requests that were handed over and are not answered.
    pub queued: u64,
    /// The most that there ever were.
    pub most_queued: u64,
    /// The longest that one took to be answered or given up.
    pub longest_wait: u64,
    /// Chunks that were given up, for the backend took too long.
    pub timed_out: u64,
    /// Turns of the backend, each with one commit.
    pub turns: u64,
    /// Requests that were run.
    pub requests: u64,
    /// Requests of the Redis dialect that went past the backend, by command.
    pub plain: [u64; WORDS],
    /// Requests that went past the backend, of every dialect.
    pub fast: u64,
    /// Commits that failed.
    pub failed_commits: u64,
    /// How many ticks of the master's loop took less than 2 to the power of the index.
    pub ticks: [u64; TICKS],
    /// The longest tick.
    pub longest_tick: u64,
}

impl Load {
    /// The index under which a tick of so many microseconds is counted.
    pub fn kind_of_tick(micros: u64) -> usize {
        let bits = (u64::BITS - micros.leading_zeros()) as usize;
        bits.min(TICKS - 1)
    }

    /// Tells every number, a line each.
    pub(super) fn describe(&self, mut line: impl FnMut(Arguments<'_>)) {
        for (name, value) in [
            ("backend_queue_depth", self.queued),
            ("backend_queue_deepest", self.most_queued),
            ("backend_longest_wait_usec", self.longest_wait),
            ("backend_timeouts", self.timed_out),
            ("backend_turns", self.turns),
            ("backend_requests", self.requests),
            ("backend_fast_path_requests", self.fast),
            ("backend_failed_commits", self.failed_commits),
            ("loop_ticks", self.ticks.iter().sum()),
            ("loop_longest_tick_usec", self.longest_tick),
        ] {
            line(format_args!("{name}:{value}"));
        }
        let kinds = self
            .ticks
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        let kinds: Vec<_> = kinds
            .map(|(kind, count)| format!("below_{}={count}", 1_u64 << kind))
            .collect();
        line(format_args!("loop_ticks_usec:{}", kinds.join(",")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_counted_below_the_next_power_of_two() {
        for (micros, below) in [
            (0, 1),
            (1, 2),
            (2, 4),
            (3, 4),
            (1_023, 1_024),
            (1_024, 2_048),
        ] {
            assert_eq!(1 << Load::kind_of_tick(micros), below, "{micros}");
        }
        assert_eq!(Load::kind_of_tick(u64::MAX), TICKS - 1);
    }

    #[test]
    fn every_line_has_a_name_and_a_value() {
        let mut load = Load::default();
        load.ticks[Load::kind_of_tick(100)] = 3;
        let mut lines = Vec::new();
        load.describe(|arguments| lines.push(arguments.to_string()));
        assert!(lines.contains(&"loop_ticks:3".to_owned()), "{lines:?}");
        assert_eq!(lines.last().unwrap(), "loop_ticks_usec:below_128=3");
    }
}
