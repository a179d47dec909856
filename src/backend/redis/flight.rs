//! Commands that are under way to the servers, and what is said to them when it is.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::node::{Reply, Trouble};

/// What is said to commands that were sent together, in their order.
#[derive(Debug)]
pub(super) struct Flight {
    landing: Arc<Landing>,
    commands: usize,
    /// How long it is waited for at the most.
    until: Instant,
}

/// Where a flight ends.
#[derive(Debug, Default)]
struct Landing {
    replies: Mutex<Option<Vec<Reply>>>,
    is_here: Condvar,
}

/// Ends a flight, whatever becomes of it.
#[derive(Debug)]
pub(super) struct Pilot {
    landing: Arc<Landing>,
    commands: usize,
    has_landed: bool,
}

impl Flight {
    /// A flight of so many commands that is waited for so long, and who ends it.
    pub(super) fn new(commands: usize, patience: Duration) -> (Self, Pilot) {
        let landing = Arc::new(Landing::default());
        let flight = Self {
            landing: Arc::clone(&landing),
            commands,
            until: Instant::now() + patience,
        };
        let pilot = Pilot {
            landing,
            commands,
            has_landed: false,
        };
        (flight, pilot)
    }

    /// Whether nobody has to wait for it any more.
    pub(super) fn has_landed(&self) -> bool {
        self.commands == 0 || self.landing.lock().is_some() || self.until <= Instant::now()
    }

    /// Waits for what is said to each of the commands.
    pub(super) fn replies(self) -> Vec<Reply> {
        if self.commands == 0 {
            return Vec::new();
        }
        let patience = self.until.saturating_duration_since(Instant::now());
        let is_away = |replies: &mut Option<_>| replies.is_none();
        let waited =
            self.landing
                .is_here
                .wait_timeout_while(self.landing.lock(), patience, is_away);
        let (mut replies, _) = waited.unwrap_or_else(PoisonError::into_inner);
        replies.take().unwrap_or_else(|| late(self.commands))
    }
}

impl Pilot {
    /// This is what is said.
    pub(super) fn land(mut self, replies: Vec<Reply>) {
        self.has_landed = true;
        self.landing.land(replies);
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if !self.has_landed {
            self.landing.land(late(self.commands));
        }
    }
}

impl Landing {
    fn land(&self, replies: Vec<Reply>) {
        *self.lock() = Some(replies);
        self.is_here.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Reply>>> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn late(commands: usize) -> Vec<Reply> {
    vec![Err(Trouble::Late); commands]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn what_lands_is_waited_for() {
        let (flight, pilot) = Flight::new(1, LONG);
        assert!(!flight.has_landed());
        std::thread::scope(|scope| {
            scope.spawn(|| pilot.land(vec![Err(Trouble::Said("no".to_owned()))]));
            assert_eq!(flight.replies(), [Err(Trouble::Said("no".to_owned()))]);
        });
    }

    #[test]
    fn what_does_not_land_in_time_or_never_will_is_late_for_each_command() {
        let (flight, _pilot) = Flight::new(2, Duration::ZERO);
        assert!(flight.has_landed());
        assert_eq!(flight.replies(), late(2));
        let (flight, pilot) = Flight::new(2, LONG);
        drop(pilot);
        assert!(flight.has_landed());
        assert_eq!(flight.replies(), late(2));
    }

    #[test]
    fn nothing_has_landed_at_once() {
        let (flight, _pilot) = Flight::new(0, LONG);
        assert!(flight.has_landed());
        assert!(flight.replies().is_empty());
    }
}
