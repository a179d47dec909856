//! How time passes for a rule: as it says, or really.
//!
//! A rule counts in milliseconds of its own. A backend that believes what it is told takes them for
//! real ones, and nothing waits. Where the data is with somebody who has a clock of their own, each
//! of them is as many real ones as the pace says, so that the rule gets done between two of its
//! deadlines what it has to do there. If that is too little the rule [breaks off](TooSlow), to be
//! tried again at a slower pace. Nothing is waited for but the deadlines that the rule lets pass.
//!
//! A deadline that comes back from such a place is off by the time of the way there and back. That
//! is measured: one that is off by no more is taken for the one that was given, and no other is.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use crate::time::{Clock, Millis, SystemClock};

/// Clocks that count in milliseconds may disagree by so many.
const ROUNDING: u64 = 2;
/// How often the clock is looked at while a deadline is waited for.
const LOOK: Duration = Duration::from_millis(2);
/// So far away a deadline does not pass while the suite runs, in milliseconds.
const HOUR: u64 = 3_600_000;

/// A deadline passed before the rule was done with what comes before it.
pub(super) struct TooSlow;

/// The time of a rule.
#[derive(Debug)]
pub(super) struct Time {
    start: Millis,
    /// Milliseconds of the rule since the start.
    passed: u64,
    real: Option<Real>,
}

/// What is known of a time that passes by itself.
#[derive(Debug)]
struct Real {
    clock: SystemClock,
    pace: u64,
    /// The deadlines of the rule.
    due: BTreeSet<Millis>,
    /// Which of them a key got last.
    given: HashMap<Vec<u8>, Millis>,
    /// The backend was told the time then, and may be keeping what it is to write since.
    unsent: Option<Millis>,
    /// The most milliseconds that a write took until it was committed, and that a call took.
    there: u64,
    back: u64,
}

impl Time {
    /// A time that begins here and passes as the rule says.
    pub(super) fn told(start: Millis) -> Self {
        Self {
            start,
            passed: 0,
            real: None,
        }
    }

    /// The real time, of which so many milliseconds are one of the rule.
    pub(super) fn real(clock: SystemClock, pace: u64) -> Self {
        Self {
            start: clock.now(),
            passed: 0,
            real: Some(Real {
                clock,
                pace,
                due: BTreeSet::new(),
                given: HashMap::new(),
                unsent: None,
                there: 0,
                back: 0,
            }),
        }
    }

    pub(super) fn is_real(&self) -> bool {
        self.real.is_some()
    }

    /// The time that the backend is told.
    pub(super) fn now(&self) -> Millis {
        match &self.real {
            Some(real) => real.clock.now(),
            None => self.here(),
        }
    }

    /// The time of the rule.
    fn here(&self) -> Millis {
        self.moment(0)
    }

    fn moment(&self, ms: u64) -> Millis {
        let pace = self.real.as_ref().map_or(1, |real| real.pace);
        let passed = self.passed.saturating_add(ms);
        self.start.after_ms(passed.saturating_mul(pace))
    }

    /// A deadline so many of the rule's milliseconds from now.
    pub(super) fn deadline(&mut self, ms: u64) -> Millis {
        let at = self.moment(ms);
        if let Some(real) = &mut self.real {
            real.due.insert(at);
        }
        at
    }

    /// Deadlines behind this one do not pass unless the rule lets them.
    pub(super) fn soonest(&self) -> Millis {
        let margin = if self.is_real() { HOUR } else { 0 };
        self.now().after_ms(margin)
    }

    /// Whether a deadline passes within the next milliseconds.
    pub(super) fn is_due_within(&self, ms: u64) -> bool {
        self.next_due(self.here())
            .is_some_and(|due| due <= self.moment(ms))
    }

    fn next_due(&self, after: Millis) -> Option<Millis> {
        let due = &self.real.as_ref()?.due;
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        due.range(behind).next().copied()
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, ms: u64) {
        self.passed = self.passed.saturating_add(ms);
        let here = self.here();
        let Some(real) = &self.real else { return };
        let Some(last) = real.due.range(..=here).next_back() else {
            return;
        };
        // The clock of the other side began to count when the write was there.
        let over = last.after_ms(real.there + ROUNDING);
        while real.clock.now() < over {
            thread::sleep(LOOK);
        }
    }

    /// A deadline was given to a key by somebody who was told this time.
    pub(super) fn written(&mut self, told: Millis, key: &[u8], deadline: Option<Millis>) {
        let Some(real) = &mut self.real else { return };
        real.unsent.get_or_insert(told);
        if let Some(at) = deadline {
            real.given.insert(key.to_vec(), at);
        }
    }

    /// What was written has arrived.
    pub(super) fn committed(&mut self) {
        let Some(real) = &mut self.real else { return };
        if let Some(told) = real.unsent.take() {
            real.there = real.there.max(since(real, told));
        }
    }

    /// The deadline that was meant by one that was read by somebody who was told this time.
    pub(super) fn meant(&mut self, told: Millis, key: &[u8], at: Option<Millis>) -> Option<Millis> {
        let Some(real) = &mut self.real else {
            return at;
        };
        real.back = real.back.max(since(real, told));
        let under_way = real.unsent.map_or(0, |told| since(real, told));
        let late = real.there.max(under_way) + ROUNDING;
        let early = real.back + ROUNDING;
        let given = real.given.get(key).copied();
        let is_near =
            |given: Millis, at: Millis| at <= given.after_ms(late) && given <= at.after_ms(early);
        let meant = given.filter(|given| at.is_some_and(|at| is_near(*given, at)));
        meant.or(at)
    }

    /// Breaks off a rule that its next deadline has overtaken, or may have for who was told this
    /// time: to them what they read passes earlier by the way back.
    pub(super) fn check(&mut self, told: Millis) {
        let next = self.next_due(self.here());
        let Some(real) = &mut self.real else { return };
        real.back = real.back.max(since(real, told));
        let now = real.clock.now().after_ms(real.back + ROUNDING);
        if next.is_some_and(|due| due <= now) {
            resume_unwind(Box::new(TooSlow));
        }
    }
}

/// Milliseconds that have passed since.
fn since(real: &Real, then: Millis) -> u64 {
    real.clock.now().as_unix() - then.as_unix()
}
