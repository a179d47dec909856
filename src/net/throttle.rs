//! Keeps a log line that a peer can cause from filling the log.
//!
//! Pure: the time is an argument. Used by the reactor.

use crate::time::Millis;

/// Milliseconds between two lines of the same kind.
const PAUSE_MS: u64 = 1_000;

/// Lets one line pass per second and counts the others.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    next: Millis,
    suppressed: u64,
}

impl Throttle {
    /// Whether a line may be written now; if so, how many were held back since the last one.
    pub(super) fn admit(&mut self, now: Millis) -> Option<u64> {
        if now < self.next {
            self.suppressed += 1;
            return None;
        }
        self.next = now.after_ms(PAUSE_MS);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_per_second_and_tells_how_many_did_not() {
        let mut throttle = Throttle::default();
        let start = Millis::from_unix(5);
        assert_eq!(throttle.admit(start), Some(0));
        assert_eq!(throttle.admit(start.after_ms(1)), None);
        assert_eq!(throttle.admit(start.after_ms(999)), None);
        assert_eq!(throttle.admit(start.after_ms(1_000)), Some(2));
    }
}
