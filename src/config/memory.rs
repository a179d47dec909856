//! How much memory the data may take, and what happens then.

use super::WhenFull;

/// A bound on the memory of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Bytes of everything that grows with the data; `None`: as much as there is.
    pub max: Option<u64>,
    /// What happens to a write that would take more.
    pub when_full: WhenFull,
}

impl Memory {
    /// The least that can be configured as `max`: a store without entries takes some 400 KiB.
    pub const LEAST: u64 = 1 << 20;
}
