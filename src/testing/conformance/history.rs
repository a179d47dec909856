//! The rule above all others: whatever happens, a backend does what the model does.
//!
//! A history is decided by its seed. Each has its own habits: how many keys there are, how large
//! values, how long entries live and how far time leaps.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use fastrand::Rng;

use super::Suite;
use super::bench::{Bench, Found, shown};
use super::model::Model;
use crate::backend::{Cursor, Deadline, SetOutcome};
use crate::contract::{Capabilities, Condition, Kind, Seq};
use crate::time::Millis;

const STEPS: usize = 200;
/// The most milliseconds of a deadline: engines keep it in 48 bits.
const LATEST: Millis = Millis::from_unix((1 << 48) - 2);

struct Habits {
    keys: u32,
    /// Lengths of values are below two to the power of up to this.
    value_bits: u32,
    /// Lifetimes and leaps of time likewise, in milliseconds.
    ttl_bits: u32,
    leap_bits: u32,
}

/// A walk under way: what it has met, and what has to be met.
struct Walking {
    cursor: Cursor,
    met: HashMap<Vec<u8>, usize>,
    /// Keys that are there since the start, and whether they may be met again: they were written
    /// meanwhile, or the walk began anew.
    due: HashMap<Vec<u8>, bool>,
}

struct World<'s, 'm> {
    suite: &'s mut Suite<'m>,
    rng: Rng,
    habits: Habits,
    bench: Option<Bench>,
    model: Model,
    /// The highest number of a write.
    last: Seq,
    walk: Option<Walking>,
    story: &'s mut String,
}

pub(super) fn histories_are_those_of_the_model(suite: &mut Suite<'_>) {
    for seed in 0..suite.histories {
        let mut story = String::new();
        let lived = catch_unwind(AssertUnwindSafe(|| {
            let mut world = World::new(suite, seed, &mut story);
            (0..STEPS).for_each(|_| world.step());
        }));
        if let Err(why) = lived {
            let text = why.downcast_ref::<String>().cloned();
            let text = text.or_else(|| why.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            match text {
                Some(text) => panic!("history {seed}:\n{story}{text}"),
                None => resume_unwind(why),
            }
        }
    }
}

/// A length or a time that is small as often as it is large.
fn any_magnitude(rng: &mut Rng, bits: u32) -> u64 {
    let bits = rng.u32(0..=bits);
    rng.u64(..1 << bits)
}

impl<'s, 'm> World<'s, 'm> {
    fn new(suite: &'s mut Suite<'m>, seed: u64, story: &'s mut String) -> Self {
        let mut rng = Rng::with_seed(seed);
        let bench = suite.bench();
        Self {
            habits: Habits {
                keys: 1 << rng.u32(1..7),
                value_bits: rng.choice([4, 9, 13, 17]).expect("a choice"),
                ttl_bits: rng.choice([5, 12, 24, 40]).expect("a choice"),
                leap_bits: rng.choice([4, 10, 22]).expect("a choice"),
            },
            suite,
            rng,
            bench: Some(bench),
            model: Model::default(),
            last: Seq::default(),
            walk: None,
            story,
        }
    }

    fn bench(&mut self) -> &mut Bench {
        self.bench
            .as_mut()
            .expect("it is given away only to be reopened")
    }

    fn has(&mut self, capability: Capabilities) -> bool {
        self.bench().has(capability)
    }

    fn tell(&mut self, what: &str) {
        let now = self.bench().now();
        let _ = writeln!(self.story, "{now:?}: {what}");
    }

    fn key(&mut self) -> Vec<u8> {
        let number = self.rng.u32(..self.habits.keys);
        let key = match number % 4 {
            0 => number.to_be_bytes().to_vec(),
            _ => format!("{number:0width$}", width = number as usize % 40).into_bytes(),
        };
        if (self.suite.refuses)(&key, b"{}") {
            format!("k{number}").into_bytes()
        } else {
            key
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let len = any_magnitude(&mut self.rng, self.habits.value_bits);
        let len = usize::try_from(len).unwrap_or(0);
        let value = match self.rng.u8(..3) {
            0 => vec![self.rng.u8(..); len],
            1 => self.rng.u64(..).to_string().into_bytes(),
            _ => format!(
                "{{\"n\":{},\"text\":\"{}\"}}",
                self.rng.u8(..),
                "x".repeat(len)
            )
            .into(),
        };
        if (self.suite.refuses)(b"k", &value) {
            b"{}".to_vec()
        } else {
            value
        }
    }

    /// From here on a deadline passes only when time is let pass, which is never where it is real:
    /// what happens in a history must not depend on how long its steps take.
    fn soonest(&mut self) -> Millis {
        self.bench().time.soonest()
    }

    fn deadline(&mut self) -> Deadline {
        match self.rng.u8(..8) {
            0 => Deadline::Never,
            1 => Deadline::Keep,
            // Already over where it is real.
            2 => Deadline::At(self.bench().now()),
            _ => {
                let ttl = any_magnitude(&mut self.rng, self.habits.ttl_bits);
                Deadline::At(self.soonest().after_ms(ttl).min(LATEST))
            }
        }
    }

    fn condition(&mut self, key: &[u8]) -> Condition {
        if !self.has(Capabilities::COMPARE_AND_SET) {
            return Condition::Always;
        }
        match self.rng.u8(..8) {
            0 => Condition::IfAbsent,
            1 => Condition::IfPresent,
            2 => Condition::IfSeq(Seq(self.rng.u64(..=self.last.0))),
            3 => Condition::IfSeq(self.model.0.get(key).map_or(self.last, |entry| entry.seq)),
            _ => Condition::Always,
        }
    }

    fn step(&mut self) {
        match self.rng.u8(..32) {
            0..=11 => self.set(),
            12..=15 => {
                let (key, deadline) = (self.key(), self.deadline());
                self.tell(&format!("touch {} until {deadline:?}", shown(&key)));
                let done = self.bench().touch(&key, deadline);
                assert_eq!(done, self.model.touch(&key, deadline));
            }
            16..=19 => {
                let key = self.key();
                self.tell(&format!("destroy {}", shown(&key)));
                let done = self.bench().destroy(&key);
                assert_eq!(done, self.model.0.remove(&key).is_some());
            }
            20..=22 if !self.bench().time.is_real() => {
                let ms = any_magnitude(&mut self.rng, self.habits.leap_bits);
                self.bench().later(ms);
                self.tell("later");
            }
            23..=25 if self.has(Capabilities::ALL) => self.walk_on(),
            26..=27 => {
                self.tell("upkeep");
                self.bench().keep_up();
            }
            28..=29 => {
                self.tell("commit");
                self.bench().commit();
            }
            30 if self.suite.is_lasting => {
                self.tell("reopen");
                let bench = self.bench.take().expect("it is there");
                let bench = self.suite.reopen(bench);
                if let Some(walk) = self.walk.as_mut().filter(|_| bench.time.is_real()) {
                    // Who walks over what others keep may begin anew, but leaves nothing out.
                    walk.due
                        .values_mut()
                        .for_each(|is_excused| *is_excused = true);
                }
                self.bench = Some(bench);
            }
            31 if self.rng.u8(..4) == 0 && self.has(Capabilities::CLEAR) => {
                self.tell("clear");
                self.bench().clear();
                self.model.0.clear();
            }
            _ => {}
        }
        self.compare();
    }

    fn set(&mut self) {
        let (key, value, deadline) = (self.key(), self.value(), self.deadline());
        let condition = self.condition(&key);
        let has_kinds = self.has(Capabilities::KINDS);
        let kind = if has_kinds && self.rng.u8(..4) == 0 {
            Kind::Hash
        } else {
            Kind::Bytes
        };
        let (found, holds) = self.model.holds(&key, condition);
        let (name, text) = (shown(&key), shown(&value));
        self.tell(&format!(
            "set {name} to {kind:?} {text} until {deadline:?} if {condition:?}"
        ));
        let entry = (kind, value.as_slice());
        let done = self.bench().set_kind(&key, entry, deadline, condition);
        match done.unwrap_or_else(|error| panic!("{error}")) {
            SetOutcome::Conflict(seq) => assert!(!holds && seq == found, "found {seq:?}"),
            SetOutcome::Stored(seq) => {
                assert!(holds, "it conflicts with {found:?}");
                if self.bench().has_numbers() {
                    assert!(seq > self.last, "{seq} after {}", self.last);
                }
                if self.has(Capabilities::COMPARE_AND_SET) {
                    self.last = seq;
                }
                let entry = Found {
                    value,
                    deadline: None,
                    seq: self.last,
                    kind,
                };
                self.model.set(&key, entry, deadline);
                if let Some(is_excused) = self.walk.as_mut().and_then(|walk| walk.due.get_mut(&key))
                {
                    *is_excused = true;
                }
            }
        }
    }

    /// Begins a walk, or goes on with the one under way.
    fn walk_on(&mut self) {
        let mut walk = self.walk.take().unwrap_or_else(|| Walking {
            cursor: Cursor::default(),
            met: HashMap::new(),
            due: self
                .model
                .0
                .keys()
                .map(|key| (key.clone(), false))
                .collect(),
        });
        let most = self.rng.usize(1..20);
        self.tell(&format!("walk on from {:?}", walk.cursor));
        let (page, next) = self.bench().page(walk.cursor, most);
        for (key, entry) in page {
            let entry = self.known(entry);
            assert_eq!(self.model.0.get(&key), Some(&entry), "{}", shown(&key));
            *walk.met.entry(key).or_default() += 1;
        }
        if let Some(next) = next {
            assert!(next != walk.cursor, "a walk goes on");
            walk.cursor = next;
            self.walk = Some(walk);
            return;
        }
        for (key, times) in &walk.met {
            let is_excused = walk.due.get(key).copied().unwrap_or(true);
            assert!(
                is_excused || *times == 1,
                "{} was met {times} times",
                shown(key)
            );
        }
        for key in walk.due.keys() {
            assert!(walk.met.contains_key(key), "{} was not met", shown(key));
        }
    }

    /// An entry as the model has it: without compare-and-set, numbers mean nothing.
    fn known(&mut self, mut entry: Found) -> Found {
        if !self.has(Capabilities::COMPARE_AND_SET) {
            entry.seq = self.last;
        }
        entry
    }

    fn compare(&mut self) {
        let now = self.bench().now();
        self.model.expire(now);
        if let Some(walk) = &mut self.walk {
            walk.due.retain(|key, _| self.model.0.contains_key(key));
        }
        if self.has(Capabilities::LENGTH) {
            assert_eq!(self.bench().length(), self.model.0.len() as u64, "entries");
        }
        for _ in 0..4 {
            let key = self.key();
            let found = self.bench().get(&key).map(|entry| self.known(entry));
            let expected = self.model.0.get(&key);
            assert!(
                found.as_ref() == expected,
                "{}: {found:?}, not {expected:?}",
                shown(&key)
            );
        }
    }
}
