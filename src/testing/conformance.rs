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
//! refuses to do it, is. The last rule is a number of random histories, each of which a plain model
//! goes through as well.
//!
//! What a rule says is the name of its function; they are sorted by subject into the modules below.
//! None of them looks into a backend: what only one of them promises is for its own tests.

mod absent;
mod bench;
mod deadlines;
mod history;
mod lasting;
mod model;
mod upkeep;
mod values;
mod versions;
mod walks;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bench::Bench;

use crate::backend::Backend;
use crate::time::Millis;

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
            let kept = catch_unwind(AssertUnwindSafe(|| rule(&mut self)));
            if let Err(why) = kept {
                let text = why.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| why.downcast_ref::<&str>().copied());
                broken.push(format!("{name}: {}", text.unwrap_or("it panicked")));
            }
        }
        assert!(
            broken.is_empty(),
            "the backend breaks the contract:\n{}",
            broken.join("\n")
        );
    }

    fn bench(&mut self) -> Bench {
        Bench::new((self.make)(Begin::Empty), self.start)
    }

    /// Ends a backend and has another one that goes on with its data; only of lasting ones.
    fn reopen(&mut self, bench: Bench) -> Bench {
        let now = bench.now;
        bench.end();
        Bench::new((self.make)(Begin::AsLeft), now)
    }
}

impl fmt::Debug for Suite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite")
            .field("is_lasting", &self.is_lasting)
            .field("start", &self.start)
            .field("histories", &self.histories)
            .field("only", &self.only)
            .finish_non_exhaustive()
    }
}

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
