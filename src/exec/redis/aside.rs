//! Entries away from their place: on the way to another key, or kept to be put back.

use crate::backend::{Backend, BackendError, Deadline, EntryRef, SetOutcome};
use crate::contract::{Condition, Kind};
use crate::time::Millis;

/// A copy of an entry without its key.
#[derive(Debug)]
pub(super) struct Aside {
    kind: Kind,
    value: Vec<u8>,
    deadline: Deadline,
}

impl From<EntryRef<'_>> for Aside {
    fn from(entry: EntryRef<'_>) -> Self {
        Self {
            kind: entry.kind,
            value: entry.value.into_owned(),
            deadline: entry.deadline.map_or(Deadline::Never, Deadline::At),
        }
    }
}

impl Aside {
    /// Writes it to a key. Whether the condition held.
    pub(super) fn put(
        &self,
        store: &mut dyn Backend,
        now: Millis,
        key: &[u8],
        condition: Condition,
    ) -> Result<bool, BackendError> {
        let entry = (self.kind, self.value.as_slice());
        let done = store.set_kind(now, key, entry, self.deadline, condition)?;
        Ok(matches!(done, SetOutcome::Stored(_)))
    }
}
