//! How often each command was asked for, as `INFO` tells it.

use std::collections::BTreeMap;

use super::fault::Done;
use super::lookup::Found;
use super::plain::{NAMES, WORDS};
use super::table::COMMANDS;

/// What became of the requests of one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// It was run so often.
    pub(super) calls: u64,
    /// It was not run: its arguments were too few, or it was not allowed then.
    pub(super) rejected: u64,
    /// It was run and answered with an error.
    pub(super) failed: u64,
}

impl Counts {
    /// It was run, and this came of it.
    pub(super) fn count(&mut self, done: &Done) {
        self.calls += 1;
        self.failed += u64::from(done.is_err());
    }
}

/// The counts of all commands.
#[derive(Debug)]
pub(super) struct Statistics {
    /// In the order of the table.
    commands: Box<[Counts]>,
    /// Of sub-commands that were asked for, by name.
    subs: BTreeMap<&'static str, Counts>,
    /// How often plain ones were run by others since the master began, and when these counts did.
    plain: [u64; WORDS],
    plain_before: [u64; WORDS],
}

impl Statistics {
    /// Those of a command.
    pub(super) fn of(&mut self, found: Found) -> &mut Counts {
        match found.place {
            Some(place) => &mut self.commands[place],
            None => self.subs.entry(found.command.name).or_default(),
        }
    }

    /// So often, since the master began, plain ones were run by others.
    pub(super) fn tell_plain(&mut self, plain: [u64; WORDS]) {
        self.plain = plain;
    }

    /// Begins anew.
    pub(super) fn reset(&mut self) {
        *self = Self {
            plain: self.plain,
            plain_before: self.plain,
            ..Self::default()
        };
    }

    /// Those that are not zero.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, Counts)> {
        let commands = COMMANDS.iter().map(|command| command.name);
        let commands = commands.zip(self.commands.iter().copied());
        let subs = self.subs.iter().map(|(name, counts)| (*name, *counts));
        let all = commands.chain(subs).map(|(name, mut counts)| {
            let place = NAMES.iter().position(|plain| *plain == name);
            counts.calls += place.map_or(0, |place| self.plain[place] - self.plain_before[place]);
            (name, counts)
        });
        all.filter(|(_, counts)| *counts != Counts::default())
    }

    /// How many requests were run.
    pub(super) fn calls(&self) -> u64 {
        self.iter().map(|(_, counts)| counts.calls).sum()
    }
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            commands: vec![Counts::default(); COMMANDS.len()].into(),
            subs: BTreeMap::new(),
            plain: [0; WORDS],
            plain_before: [0; WORDS],
        }
    }
}
