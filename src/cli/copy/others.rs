//! What not every store has: hashes of the Redis dialect, and databases other than the first.
//!
//! They are not looked for one by one but written in every copy, and in a live one when they changed.
//! What the second store has no room for is counted, and told at the end.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::place::{End, Trouble};
use super::reading::SAME_TIME;
use crate::cluster::Entry;
use crate::contract::{Capabilities, Kind};

/// The number of a database, and a key there.
pub(super) type Name = (u8, Vec<u8>);

/// Such entries, by their names.
pub(super) type Others = HashMap<Name, Other>;

/// An entry, and when it ends.
#[derive(Debug, Clone)]
pub(super) struct Other {
    kind: Kind,
    value: Vec<u8>,
    end: Option<Instant>,
}

/// How many entries the second store has no room for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeftOut {
    hashes: u64,
    elsewhere: u64,
}

impl Other {
    fn new(kind: Kind, entry: Entry) -> Self {
        Self {
            kind,
            value: entry.value,
            // So late that it cannot be told is never.
            end: entry.ttl.and_then(|ttl| Instant::now().checked_add(ttl)),
        }
    }

    /// Whether both are the same for the same time.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let is_same_time = match (self.end, other.end) {
            (None, None) => true,
            (Some(one), Some(other)) => one < other + SAME_TIME && other < one + SAME_TIME,
            _ => false,
        };
        is_same_time && self.kind == other.kind && self.value == other.value
    }
}

impl LeftOut {
    /// What the user has to know.
    pub(super) fn sentence(self, to: &End) -> Option<String> {
        let Self { hashes, elsewhere } = self;
        (self != Self::default()).then(|| {
            format!(
                "LEFT OUT: {hashes} hashes and {elsewhere} entries of other databases than 0, for \
                 which {} has no room",
                to.name
            )
        })
    }
}

impl End {
    fn can(&self, capability: Capabilities) -> bool {
        self.store.capabilities().has(capability)
    }

    /// All of them, except what `to` has no room for.
    pub(super) fn others(&self, to: &Self) -> Result<(Others, LeftOut), Trouble> {
        let (mut others, mut left_out) = (Others::new(), LeftOut::default());
        let databases = match self.store.databases() {
            1 if !self.can(Capabilities::KINDS) => 0,
            databases => databases,
        };
        let (kinds, all) = (to.can(Capabilities::KINDS), to.can(Capabilities::DATABASES));
        for database in 0..databases {
            let mut cursor = 0;
            loop {
                let page = self.store.records(database, cursor);
                let (next, records) = page.map_err(|error| self.trouble("read", None, error))?;
                for (kind, (key, entry)) in records {
                    if database > 0 && !all {
                        left_out.elsewhere += 1;
                    } else if kind != Kind::Bytes && !kinds {
                        left_out.hashes += 1;
                    } else if database > 0 || kind != Kind::Bytes {
                        others.insert((database, key), Other::new(kind, entry));
                    }
                }
                match next {
                    0 => break,
                    next => cursor = next,
                }
            }
        }
        Ok((others, left_out))
    }

    /// Writes one; `None` removes what is there.
    pub(super) fn put_other(
        &self,
        (database, key): &Name,
        other: Option<&Other>,
    ) -> Result<(), Trouble> {
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        let (entry, ttl) = match other {
            Some(other) => ((other.kind, &other.value[..]), other.end.map(left)),
            None => ((Kind::Bytes, &[][..]), Some(Duration::ZERO)),
        };
        let done = self.store.put((*database, key), entry, ttl);
        done.map_err(|error| self.trouble("write", Some(key), error))?;
        Ok(())
    }
}
