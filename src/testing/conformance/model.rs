//! What the contract says, as plainly as it can be written: for histories to be compared with.

use std::collections::BTreeMap;

use super::bench::Found;
use crate::backend::Deadline;
use crate::contract::{Condition, Seq};
use crate::time::Millis;

/// The live entries.
#[derive(Debug, Default)]
pub(super) struct Model(pub(super) BTreeMap<Vec<u8>, Found>);

impl Model {
    /// Forgets what has expired.
    pub(super) fn expire(&mut self, now: Millis) {
        self.0
            .retain(|_, entry| entry.deadline.is_none_or(|at| now < at));
    }

    /// The version of a key, and whether a condition holds for it.
    pub(super) fn holds(&self, key: &[u8], condition: Condition) -> (Option<Seq>, bool) {
        let found = self.0.get(key).map(|entry| entry.seq);
        let holds = match condition {
            Condition::Always => true,
            Condition::IfAbsent => found.is_none(),
            Condition::IfPresent => found.is_some(),
            Condition::IfSeq(seq) => found == Some(seq),
        };
        (found, holds)
    }

    /// Replaces an entry, of which the deadline counts only if it is not to be kept.
    pub(super) fn set(&mut self, key: &[u8], mut entry: Found, deadline: Deadline) {
        entry.deadline = match deadline {
            Deadline::Never => None,
            Deadline::At(at) => Some(at),
            Deadline::Keep => self.0.get(key).and_then(|old| old.deadline),
        };
        self.0.insert(key.to_vec(), entry);
    }

    pub(super) fn touch(&mut self, key: &[u8], deadline: Deadline) -> bool {
        let Some(entry) = self.0.get_mut(key) else {
            return false;
        };
        match deadline {
            Deadline::Never => entry.deadline = None,
            Deadline::At(at) => entry.deadline = Some(at),
            Deadline::Keep => {}
        }
        true
    }
}
