//! What is counted on both threads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::exec::redis::plain::WORDS;
use crate::exec::redis::{Load, TICKS};

/// The numbers of a [`Load`], each written by one thread.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    /// By the loop.
    pub(super) queued: AtomicU64,
    pub(super) most_queued: AtomicU64,
    pub(super) longest_wait: AtomicU64,
    pub(super) timed_out: AtomicU64,
    ticks: [AtomicU64; TICKS],
    longest_tick: AtomicU64,
    pub(super) plain: [AtomicU64; WORDS],
    pub(super) fast: AtomicU64,
    /// By the backend's thread.
    pub(super) turns: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) failed_commits: AtomicU64,
}

impl Gauges {
    /// Counts a tick of the loop that took so many microseconds.
    pub(super) fn tick(&self, micros: u64) {
        self.ticks[Load::kind_of_tick(micros)].fetch_add(1, Ordering::Relaxed);
        self.longest_tick.fetch_max(micros, Ordering::Relaxed);
    }

    /// All of them, at about this moment.
    pub(super) fn load(&self) -> Load {
        let read = |gauge: &AtomicU64| gauge.load(Ordering::Relaxed);
        Load {
            queued: read(&self.queued),
            most_queued: read(&self.most_queued),
            longest_wait: read(&self.longest_wait),
            timed_out: read(&self.timed_out),
            turns: read(&self.turns),
            requests: read(&self.requests),
            plain: std::array::from_fn(|word| read(&self.plain[word])),
            fast: read(&self.fast),
            failed_commits: read(&self.failed_commits),
            ticks: std::array::from_fn(|kind| read(&self.ticks[kind])),
            longest_tick: read(&self.longest_tick),
        }
    }
}

/// One more.
pub(super) fn count(gauge: &AtomicU64) {
    gauge.fetch_add(1, Ordering::Relaxed);
}
