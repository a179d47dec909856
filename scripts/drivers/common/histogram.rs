//! Latencies, counted in buckets whose width grows with the value.
//!
//! The loops record into it, once per request; the percentiles are read once per measurement. Each
//! power of two is cut into [`STEPS`] buckets, so a percentile is true to 0.8 %. Recording
//! allocates nothing.

use std::time::Duration;

/// Buckets per power of two.
const STEPS: usize = 1 << STEP_BITS;
const STEP_BITS: u32 = 7;
/// Values from 2^40 ns (18 minutes) on share the last bucket.
pub(crate) const BUCKETS: usize = (40 - STEP_BITS as usize + 1) * STEPS;

/// Counts of values in nanoseconds.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            max: 0,
        }
    }

    pub(crate) fn record(&mut self, nanos: u64) {
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    /// As [`record`](Self::record).
    pub(crate) fn record_duration(&mut self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Takes over what another has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// The greatest value, exactly; zero where nothing was recorded.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The value that `share` (0 to 1) of all values do not exceed: the upper end of its bucket, and
    /// no more than the greatest. Zero where nothing was recorded.
    pub(crate) fn percentile(&self, share: f64) -> u64 {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank is far below 2^52"
        )]
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map_or(0, upper_end).min(self.max)
    }
}

/// The bucket of a value: below [`STEPS`] one each, then [`STEPS`] per power of two.
pub(crate) fn bucket(nanos: u64) -> usize {
    let power = nanos.checked_ilog2().unwrap_or(0);
    let shift = power.saturating_sub(STEP_BITS);
    let step = usize::try_from(nanos >> shift).unwrap_or(usize::MAX);
    (shift as usize * STEPS + step).min(BUCKETS - 1)
}

/// The largest value of a bucket.
pub(crate) fn upper_end(bucket: usize) -> u64 {
    let shift = (bucket / STEPS).saturating_sub(1);
    let step = bucket - shift * STEPS;
    ((step as u64 + 1) << shift) - 1
}
