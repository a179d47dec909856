//! The contract of [`Backend`] as a suite of rules, for every backend: ours and yours.
//!
//! ```
//! use memstore_cluster::backend::MemoryBackend;
//! use memstore_cluster::testing::conformance::Suite;
//!
//! Suite::new(MemoryBackend::new).check();
//! ```
//!
//! [`Suite::check`] takes a new backend for every rule and tells all rules that are broken. The
//! backend is told the time as always, and the suite makes it pass: nothing waits. What a backend
//! does not have among its [capabilities](Backend::capabilities) is not asked of it; that it
//! refuses to do it, is. Where a backend's data is kept by somebody with a clock of their own, say so
//! by [`Suite::in_real_time`], and where it has no numbers for its writes, by
//! [`Suite::with_versions_of_values`]. The last rule is a number of random histories, each of which a plain model
//! goes through as well.
//!
//! What a rule says is the name of its function; they are sorted by subject into the modules below.
//! None of them looks into a backend: what only one of them promises is for its own tests.

mod absent;
mod bench;
mod deadlines;
#[cfg(test)]
mod elsewhere;
mod history;
mod lasting;
mod model;
mod time;
mod upkeep;
mod values;
mod versions;
mod walks;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bench::{Bench, Manners};
use time::{Time, TooSlow};

use crate::backend::Backend;
use crate::time::{Millis, SystemClock};

/// How a rule wants to find a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Begin {
    /// Without entries, whatever the last one has left.
    Empty,
    /// As the last one, which was committed and dropped, has left it.
    AsLeft,
}

/// Makes a backend.
type Make<'m> = dyn FnMut(Begin) -> Box<dyn Backend> + 'm;
/// Whether an entry with this key and value is refused.
type Refuses<'m> = dyn Fn(&[u8], &[u8]) -> bool + 'm;

/// The rules, and what they are to know of the backend.
pub struct Suite<'m> {
    make: Box<Make<'m>>,
    is_lasting: bool,
    refuses: Box<Refuses<'m>>,
    start: Millis,
    histories: u64,
    only: Option<String>,
    /// Where time is real.
    clock: Option<SystemClock>,
    /// How many real milliseconds are one of a rule.
    pace: u64,
    manners: Manners,
}

impl<'m> Suite<'m> {
    /// For a backend that ends with its data.
    pub fn new<B: Backend + 'static>(mut make: impl FnMut() -> B + 'm) -> Self {
        Self::of(false, move |_| make())
    }

    /// For a backend whose data outlives it: what was committed has to be there again.
    ///
    /// ```
    /// use memstore_cluster::backend::MemoryBackend;
    /// use memstore_cluster::config::Syncing;
    /// use memstore_cluster::testing::conformance::{Begin, Suite};
    /// use memstore_cluster::time::Millis;
    ///
    /// # let folder = std::env::temp_dir().join(format!("memstore-suite-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// let path = folder.join("store");
    /// Suite::lasting(|begin| {
    ///     if begin == Begin::Empty {
    ///         let _ = std::fs::remove_file(&path);
    ///     }
    ///     MemoryBackend::open(&path, Syncing::Never, Millis::ZERO).expect("a store")
    /// })
    /// .check();
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lasting<B: Backend + 'static>(make: impl FnMut(Begin) -> B + 'm) -> Self {
        Self::of(true, make)
    }

    fn of<B: Backend + 'static>(is_lasting: bool, mut make: impl FnMut(Begin) -> B + 'm) -> Self {
        Self {
            make: Box::new(move |begin| Box::new(make(begin))),
            is_lasting,
            refuses: Box::new(|_, _| false),
            start: Millis::from_unix(1_700_000_000_000),
            histories: 50,
            only: None,
            clock: None,
            pace: PACES.0,
            manners: Manners {
                commits_each: false,
                has_numbers: true,
            },
        }
    }

    /// The backend refuses to keep an entry with such a key and value, with an error, and
    /// takes every other one. By default it takes all of them.
    #[must_use]
    pub fn refusing(mut self, refuses: impl Fn(&[u8], &[u8]) -> bool + 'm) -> Self {
        self.refuses = Box::new(refuses);
        self
    }

    /// The time at which rules begin; by default some day in November 2023.
    #[must_use]
    pub fn from_time(mut self, start: Millis) -> Self {
        self.start = start;
        self
    }

    /// How many random histories there are; by default 50. Of each the seed and every step are told
    /// where it goes wrong.
    #[must_use]
    pub fn histories(mut self, count: u64) -> Self {
        self.histories = count;
        self
    }

    /// What keeps the data has a clock of its own: a server, another process. The backend is told
    /// the time that it is, and a rule that lets a deadline pass waits for that, some ten or hundred
    /// milliseconds; a slow backend gets more. A deadline may be off by what the calls took, which
    /// is measured, and by two milliseconds for the rounding of two clocks; the clocks have to go
    /// equally fast, but need not show the same. Each rule is tried with a commit after every write
    /// as well.
    ///
    /// Lifetimes of seconds and more are not waited for, in random histories no deadline passes,
    /// and a walk may begin anew where the backend is made anew under it.
    #[must_use]
    pub fn in_real_time(mut self) -> Self {
        self.clock = Some(SystemClock::new());
        self
    }

    /// A version is named by what the entry holds, and not by a number that grows with every write:
    /// the same value again has the same name. Of compare-and-set and its conflicts all else is
    /// held to.
    #[must_use]
    pub fn with_versions_of_values(mut self) -> Self {
        self.manners.has_numbers = false;
        self
    }

    /// Only rules with this in their name.
    #[must_use]
    pub fn only(mut self, name: impl Into<String>) -> Self {
        self.only = Some(name.into());
        self
    }

    /// Holds the backend to all of them.
    ///
    /// # Panics
    /// If a rule is broken, with the names of all that are.
    pub fn check(mut self) {
        let mut broken = Vec::new();
        for (name, rule) in rules() {
            if self
                .only
                .as_ref()
                .is_some_and(|only| !name.contains(only.as_str()))
            {
                continue;
            }
            self.manners.commits_each = false;
            if let Err(why) = self.hold(rule) {
                broken.push(format!("{name}: {why}"));
            } else if self.clock.is_some() {
                self.manners.commits_each = true;
                if let Err(why) = self.hold(rule) {
                    broken.push(format!("{name}, with a commit after every write: {why}"));
                }
            }
        }
        assert!(
            broken.is_empty(),
            "the backend breaks the contract:\n{}",
            broken.join("\n")
        );
    }

    /// Holds the backend to one of them, as slowly as need be.
    fn hold(&mut self, rule: fn(&mut Suite<'_>)) -> Result<(), String> {
        self.pace = PACES.0;
        loop {
            let kept = catch_unwind(AssertUnwindSafe(|| rule(&mut *self)));
            let Err(why) = kept else { return Ok(()) };
            if why.is::<TooSlow>() {
                if self.pace >= PACES.1 {
                    return Err("a deadline passes before what comes before it is done".into());
                }
                self.pace *= 4;
                continue;
            }
            let text = why.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| why.downcast_ref::<&str>().copied());
            return Err(text.unwrap_or("it panicked").to_owned());
        }
    }

    fn bench(&mut self) -> Bench {
        let store = (self.make)(Begin::Empty);
        let time = match &self.clock {
            Some(clock) => Time::real(clock.clone(), self.pace),
            None => Time::told(self.start),
        };
        Bench::new(store, time, self.manners)
    }

    /// Ends a backend and has another one that goes on with its data; only of lasting ones.
    fn reopen(&mut self, bench: Bench) -> Bench {
        let (time, manners) = bench.end();
        Bench::new((self.make)(Begin::AsLeft), time, manners)
    }
}

impl fmt::Debug for Suite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite")
            .field("is_lasting", &self.is_lasting)
            .field("start", &self.start)
            .field("histories", &self.histories)
            .field("only", &self.only)
            .field("is_real", &self.clock.is_some())
            .finish_non_exhaustive()
    }
}

/// The paces of a real time, from the first that is tried to about the last: milliseconds for one of
/// a rule.
const PACES: (u64, u64) = (10, 2_000);

/// A rule, by its name.
type Rule = (&'static str, fn(&mut Suite<'_>));

/// The rules of a module: each takes an empty bench, or the whole suite.
macro_rules! rules {
    ($module:ident { $($rule:ident),+ $(,)? }) => {
        [$((
            concat!(stringify!($module), "::", stringify!($rule)),
            (|suite| $module::$rule(suite)) as fn(&mut Suite<'_>),
        )),+]
    };
}

fn rules() -> impl Iterator<Item = Rule> {
    let values = rules!(values {
        what_was_written_is_read,
        keys_differ_by_every_byte,
        an_entry_that_is_refused_is_not_there,
        a_write_replaces_value_and_deadline_together,
        what_is_not_there_is_not_found,
        what_is_destroyed_is_gone,
        a_kind_is_kept_until_the_value_is_replaced,
        databases_are_apart,
    });
    let deadlines = rules!(deadlines {
        an_entry_is_visible_up_to_the_last_millisecond_before_its_deadline,
        what_has_expired_is_nowhere,
        a_deadline_is_kept_to_the_millisecond,
        a_write_that_is_already_over_removes_the_entry,
        keeping_the_deadline_is_keeping_it,
        touch_moves_the_deadline_and_nothing_else,
        touch_never_brings_an_entry_back,
    });
    let versions = rules!(versions {
        every_write_has_a_higher_number,
        a_condition_holds_or_nothing_is_done,
        an_expired_entry_meets_conditions_as_an_absent_one,
        of_two_compare_and_sets_from_the_same_version_one_wins,
        a_version_is_never_met_again,
    });
    let walks = rules!(walks {
        a_walk_meets_every_entry_once_as_it_is,
        a_walk_ends_while_others_write,
        a_walk_survives_whatever_is_removed,
        any_number_is_a_place_in_a_walk,
        length_counts_live_entries_exactly,
        clear_removes_everything_at_once,
    });
    let upkeep = rules!(upkeep {
        upkeep_comes_to_an_end_and_changes_nothing_visible,
        what_is_told_to_be_gone_has_gone_by_itself_and_once,
    });
    let rest = rules!(lasting {
        what_was_committed_is_there_again,
        what_was_removed_does_not_come_back,
        numbers_go_on_where_they_were,
    });
    let absent = rules!(absent {
        what_it_cannot_do_is_refused_and_not_done,
    });
    let history = rules!(history {
        histories_are_those_of_the_model,
    });
    values
        .into_iter()
        .chain(deadlines)
        .chain(versions)
        .chain(walks)
        .chain(upkeep)
        .chain(rest)
        .chain(absent)
        .chain(history)
}

#[cfg(test)]
mod tests;
