//! A timer of the system that wakes the loop, set seldom.
//!
//! A poll with a timeout sets a timer and takes it back each time it sleeps, which costs a request
//! a third of a microsecond. Deadlines move seldom and mostly away: so the alarm stays as it was
//! set as long as it is not too late, and a ring that came too early costs one turn.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::time::Millis;

/// Wakes the loop at a time. See [`Reactor::wait`](super::Reactor::wait).
pub(super) struct Alarm {
    timer: TimerFd,
    /// When it will ring.
    due: Option<Millis>,
}

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        // The clock of `time`: time spent suspended counts.
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?;
        Ok(Self { timer, due: None })
    }

    pub(super) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let fd = self.timer.as_fd().as_raw_fd();
        registry.register(&mut SourceFd(&fd), token, Interest::READABLE)
    }

    /// Makes sure that it rings by `at`, which is later than `now`.
    pub(super) fn ring_by(&mut self, now: Millis, at: Millis) -> io::Result<()> {
        if self.due.is_some_and(|due| due <= at) {
            return Ok(());
        }
        // A deadline beyond what the system can count is as good as none.
        let pause = at.since(now).min(Duration::from_secs(365 * 24 * 60 * 60));
        let once = Expiration::OneShot(pause.into());
        self.timer.set(once, TimerSetTimeFlags::empty())?;
        self.due = Some(at);
        Ok(())
    }

    /// It rang.
    pub(super) fn rang(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};

    const NOW: Millis = Millis::from_unix(1_000);
    const LONG: Duration = Duration::from_secs(20);

    fn rings(poll: &mut Poll) -> bool {
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, Some(LONG)).unwrap();
        !events.is_empty()
    }

    #[test]
    fn it_rings_once_for_each_time_it_was_set() {
        let mut poll = Poll::new().unwrap();
        let mut alarm = Alarm::new().unwrap();
        alarm.register(poll.registry(), Token(0)).unwrap();
        for _ in 0..2 {
            alarm.ring_by(NOW, NOW.after_ms(1)).unwrap();
            assert!(rings(&mut poll));
            alarm.rang();
        }
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.is_empty());
    }

    #[test]
    fn it_is_set_anew_only_for_what_it_would_be_too_late_for() {
        let mut poll = Poll::new().unwrap();
        let mut alarm = Alarm::new().unwrap();
        alarm.register(poll.registry(), Token(0)).unwrap();
        alarm.ring_by(NOW, Millis::MAX).unwrap();
        alarm.ring_by(NOW, NOW.after_ms(5)).unwrap();
        assert_eq!(alarm.due, Some(NOW.after_ms(5)));
        alarm.ring_by(NOW, NOW.after_ms(50)).unwrap();
        assert_eq!(alarm.due, Some(NOW.after_ms(5)));
        assert!(rings(&mut poll));
    }
}
