//! The store that is measured, and its entries. The time stands still where nothing is to expire.

use std::hint::black_box;

use memstore_cluster::backend::{Backend, BackendError, Deadline, MemoryBackend};
use memstore_cluster::contract::Condition;
use memstore_cluster::time::Millis;

use super::common::keys;

/// The time of everything that does not expire.
pub(crate) const NOW: Millis = Millis::from_unix(1_700_000_000_000);

const VALUE: [u8; keys::VALUE] = [7; keys::VALUE];

/// When the entry with this number expires where nothing else is said.
pub(crate) fn deadline(n: u64) -> Deadline {
    Deadline::At(NOW.after_ms(keys::ttl_ms(n)))
}

/// Writes an entry.
///
/// # Errors
/// The backend refuses.
pub(crate) fn put(
    store: &mut MemoryBackend,
    key: &[u8],
    deadline: Deadline,
) -> Result<(), BackendError> {
    black_box(store.set(NOW, key, &VALUE, deadline, Condition::Always)?);
    Ok(())
}
