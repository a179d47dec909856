//! The suite can fail: each of the mistakes that stores are known for breaks a rule that names it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::Suite;
use super::elsewhere::Elsewhere;
use crate::backend::{
    Backend, BackendError, Cursor, Deadline, EntryRef, MemoryBackend, SetOutcome, Visitor, Walk,
};
use crate::contract::{Capabilities, Condition, Seq};
use crate::time::Millis;

/// What a store gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    DeadlinesInSeconds,
    ExpiresLate,
    KeepForgets,
    TouchRevives,
    TouchWrites,
    ConflictWrites,
    VersionsFromOne,
    LengthCountsTwice,
    WalkRepeats,
    WalkForgets,
    ClearLeavesOne,
    KeysWithoutCase,
    ValuesAreText,
    Promises,
    Surprises,
}

struct Faulty {
    memory: MemoryBackend,
    fault: Fault,
    writes: u64,
    last: Vec<u8>,
}

impl Faulty {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        match self.fault {
            Fault::KeysWithoutCase => key.to_ascii_lowercase(),
            _ => key.to_vec(),
        }
    }

    fn deadline(&self, deadline: Deadline) -> Deadline {
        match deadline {
            Deadline::At(at) if self.is(Fault::DeadlinesInSeconds) => {
                Deadline::At(Millis::from_unix(at.as_unix() / 1_000 * 1_000))
            }
            Deadline::At(at) if self.is(Fault::ExpiresLate) => Deadline::At(at.after_ms(100)),
            other => other,
        }
    }
}

impl Backend for Faulty {
    fn capabilities(&self) -> Capabilities {
        let all = Capabilities::ALL
            .with(Capabilities::CLEAR)
            .with(Capabilities::COMPARE_AND_SET);
        match self.fault {
            Fault::Promises => all.with(Capabilities::LENGTH).with(Capabilities::KINDS),
            Fault::Surprises => all,
            _ => all.with(Capabilities::LENGTH),
        }
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        let key = self.key(key);
        self.memory.get(now, &key)
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        let (key, deadline) = (self.key(key), self.deadline(deadline));
        let value = match self.fault {
            Fault::ValuesAreText => String::from_utf8_lossy(value).into_owned().into_bytes(),
            _ => value.to_vec(),
        };
        let deadline = match deadline {
            Deadline::Keep if self.is(Fault::KeepForgets) => Deadline::Never,
            other => other,
        };
        let done = self.memory.set(now, &key, &value, deadline, condition)?;
        if self.is(Fault::ConflictWrites) && matches!(done, SetOutcome::Conflict(Some(_))) {
            self.memory
                .set(now, &key, &value, deadline, Condition::Always)?;
        }
        self.writes += 1;
        self.last = key;
        Ok(match done {
            SetOutcome::Stored(_) if self.is(Fault::VersionsFromOne) => SetOutcome::Stored(Seq(1)),
            done => done,
        })
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        let (key, deadline) = (self.key(key), self.deadline(deadline));
        let done = self.memory.touch(now, &key, deadline)?;
        if (self.is(Fault::TouchRevives) && !done) || (self.is(Fault::TouchWrites) && done) {
            self.memory
                .set(now, &key, b"{}", deadline, Condition::Always)?;
        }
        Ok(done)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        let key = self.key(key);
        self.memory.destroy(now, &key)
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        let mut is_first = cursor == Cursor::default();
        let fault = self.fault;
        self.memory.all(now, cursor, &mut |key, entry| {
            let is_odd = std::mem::take(&mut is_first);
            match fault {
                Fault::WalkForgets if is_odd => Walk::On,
                Fault::WalkRepeats if is_odd => match visit(key, entry.clone()) {
                    Walk::On => visit(key, entry),
                    Walk::Pause => Walk::Pause,
                },
                _ => visit(key, entry),
            }
        })
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        if self.is(Fault::LengthCountsTwice) {
            return Ok(self.writes);
        }
        self.memory.length(now)
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.memory.clear(now)?;
        if self.is(Fault::ClearLeavesOne) {
            let last = std::mem::take(&mut self.last);
            self.memory
                .set(now, &last, b"", Deadline::Never, Condition::Always)?;
        }
        Ok(())
    }
}

fn faulty(fault: Fault) -> Faulty {
    Faulty {
        memory: MemoryBackend::new(),
        fault,
        writes: 0,
        last: Vec::new(),
    }
}

/// What a suite says of a store with a fault.
fn said(suite: Suite<'_>) -> Option<String> {
    let why = catch_unwind(AssertUnwindSafe(|| suite.check())).err()?;
    Some(why.downcast_ref::<String>().expect("a text").clone())
}

/// Each fault, and the rule that names it.
const NAMED: [(Fault, &str); 15] = [
    (
        Fault::DeadlinesInSeconds,
        "a_deadline_is_kept_to_the_millisecond",
    ),
    (Fault::ExpiresLate, "an_entry_is_visible_up_to"),
    (Fault::KeepForgets, "keeping_the_deadline_is_keeping_it"),
    (Fault::TouchRevives, "touch_never_brings_an_entry_back"),
    (
        Fault::TouchWrites,
        "touch_moves_the_deadline_and_nothing_else",
    ),
    (
        Fault::ConflictWrites,
        "a_condition_holds_or_nothing_is_done",
    ),
    (Fault::VersionsFromOne, "every_write_has_a_higher_number"),
    (
        Fault::LengthCountsTwice,
        "length_counts_live_entries_exactly",
    ),
    (Fault::WalkRepeats, "a_walk_meets_every_entry_once_as_it_is"),
    (Fault::WalkForgets, "a_walk_meets_every_entry_once_as_it_is"),
    (Fault::ClearLeavesOne, "clear_removes_everything_at_once"),
    (Fault::KeysWithoutCase, "keys_differ_by_every_byte"),
    (Fault::ValuesAreText, "what_was_written_is_read"),
    (
        Fault::Promises,
        "a_kind_is_kept_until_the_value_is_replaced",
    ),
    (
        Fault::Surprises,
        "what_it_cannot_do_is_refused_and_not_done",
    ),
];

#[test]
fn every_known_mistake_breaks_the_rule_that_names_it() {
    let suite = |fault| Suite::new(move || faulty(fault)).histories(3);
    assert_eq!(said(suite(Fault::None)), None);
    for (fault, rule) in NAMED {
        let said = said(suite(fault)).unwrap_or_else(|| panic!("{fault:?} is not noticed"));
        assert!(said.contains(rule), "{fault:?}: {said}");
    }
}

#[test]
fn in_real_time_a_store_with_a_clock_of_its_own_is_held_to_the_same() {
    let suite = |fault| {
        let make = move || Elsewhere::new(faulty(fault));
        Suite::new(make).in_real_time().histories(3)
    };
    assert_eq!(said(suite(Fault::None)), None);
    for (fault, rule) in NAMED {
        let said = said(suite(fault).only(rule));
        assert!(said.is_some(), "{fault:?} is not noticed");
    }
}

#[test]
fn a_store_that_is_slow_is_given_time() {
    let make = || Elsewhere::new(faulty(Fault::None)).taking(Duration::from_millis(7));
    let suite = || Suite::new(make).in_real_time().only("touch_moves");
    assert_eq!(said(suite()), None);
    let make = || Elsewhere::new(faulty(Fault::ExpiresLate)).taking(Duration::from_millis(7));
    let suite = Suite::new(make).in_real_time().only("touch_moves");
    assert!(said(suite).is_some(), "it is not taken for slow");
}
