//! Absolute time as the store counts it, and the clocks that tell it.
//!
//! [`Millis`] is the one unit of absolute time in this crate: deadlines of entries, timers of the
//! supervisor and of the event loop. Pure code takes a `Millis` as an argument; only the master's
//! loop, the client and tests ask a [`Clock`].
//!
//! The system clock is anchored to the wall once and then advanced by the kernel's boot clock, so
//! a step of the wall clock (a board without a battery that learns the time from the network)
//! expires nothing early and keeps nothing alive, and time spent suspended counts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time: milliseconds since the Unix epoch, by the clock of the process that holds the
/// store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(u64);

impl Millis {
    /// The Unix epoch.
    pub const ZERO: Self = Self(0);
    /// Later than every other point in time.
    pub const MAX: Self = Self(u64::MAX);

    /// The point `ms` milliseconds after the Unix epoch.
    pub const fn from_unix(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_unix(self) -> u64 {
        self.0
    }

    /// `self + duration`, rounded up to a whole millisecond; [`Millis::MAX`] where that overflows.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let ms = duration.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_add(u64::try_from(ms).unwrap_or(u64::MAX)))
    }

    /// `self + ms` milliseconds; [`Millis::MAX`] where that overflows.
    #[must_use]
    pub const fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The time from `earlier` to `self`, zero where `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// Tells the time. It never goes back.
pub trait Clock: Send + Sync + 'static {
    /// The present.
    fn now(&self) -> Millis;
}

/// The machine's time: the wall clock at creation, advanced by the boot clock ever after.
#[derive(Debug, Clone)]
pub struct SystemClock {
    wall: u64,
    boot: u64,
}

impl SystemClock {
    /// Anchors a clock to the wall clock of this moment.
    pub fn new() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
        Self {
            wall,
            boot: boot_millis(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        Millis(self.wall + boot_millis().saturating_sub(self.boot))
    }
}

/// Milliseconds of a clock that never steps; it counts time spent suspended where the system can
/// (`CLOCK_BOOTTIME`, see `clock_gettime(2)`).
fn boot_millis() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const STEADY: nix::time::ClockId = nix::time::ClockId::CLOCK_BOOTTIME;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const STEADY: nix::time::ClockId = nix::time::ClockId::CLOCK_MONOTONIC;
    let time = nix::time::clock_gettime(STEADY).expect("the steady clock exists on every target");
    u64::try_from(Duration::from(time).as_millis()).unwrap_or(u64::MAX)
}

/// A clock that moves only when told to, for tests. Clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Millis) -> Self {
        Self(Arc::new(AtomicU64::new(start.0)))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_rounded_up_and_never_overflows() {
        let now = Millis::from_unix(1_000);
        assert_eq!(
            now.after(Duration::from_micros(1)),
            Millis::from_unix(1_001)
        );
        assert_eq!(now.after(Duration::MAX), Millis::MAX);
        assert_eq!(now.after_ms(u64::MAX), Millis::MAX);
        assert_eq!(Millis::ZERO.since(now), Duration::ZERO);
    }

    #[test]
    fn the_system_clock_starts_at_the_wall_and_never_goes_back() {
        let clock = SystemClock::new();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let first = clock.now();
        assert!(first.since(Millis::ZERO).abs_diff(wall) < Duration::from_secs(5));
        assert!(clock.now() >= first);
    }
}
