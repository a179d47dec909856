//! Entries away from their place: on the way to another key, or changed to be put back.

use super::fault::Fault;
use crate::backend::{Backend, BackendError, Deadline, EntryRef, SetOutcome};
use crate::contract::{Capabilities, Condition, Kind, Seq};
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

/// Puts a value in the place of the version that a command has seen, and keeps its deadline. Where
/// others write to the store too, what they wrote meanwhile is not lost: the command
/// [begins anew](Fault::CHANGED).
pub(super) fn put_back(
    store: &mut dyn Backend,
    now: Millis,
    key: &[u8],
    seen: Option<Seq>,
    value: (Kind, &[u8]),
) -> Result<(), Fault> {
    let is_numbered = store.capabilities().has(Capabilities::COMPARE_AND_SET);
    let condition = match seen {
        _ if !is_numbered => Condition::Always,
        Some(seq) => Condition::IfSeq(seq),
        None => Condition::IfAbsent,
    };
    match store.set_kind(now, key, value, Deadline::Keep, condition)? {
        SetOutcome::Stored(_) => Ok(()),
        SetOutcome::Conflict(_) => Err(Fault::CHANGED),
    }
}
