//! The words of the store contract that the wire, the backends and the clients share.
//!
//! What an operation may ask ([`Expiry`], [`Condition`]), what a store can do ([`Capabilities`])
//! and how a version of an entry is named ([`Seq`]). Nothing here does anything.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a write. It grows with every `set` a store acknowledges, over all keys, and names
/// the version of an entry. Zero never names a version.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When an entry stops being visible, as asked for: relative, because the clocks of two processes
/// need not agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Expiry {
    /// It stays until it is destroyed.
    #[default]
    Never,
    /// It goes after so many milliseconds; zero is at once.
    AfterMs(u64),
    /// The deadline that the entry already has stays; a new entry gets none.
    Keep,
}

/// What must hold for a `set` to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// No live entry has the key.
    IfAbsent,
    /// A live entry has the key.
    IfPresent,
    /// The live entry with the key is exactly this version (compare-and-set).
    IfSeq(Seq),
}

/// What the bytes of a value are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kind {
    /// Whatever the client means by them.
    #[default]
    Bytes,
    /// The fields of a hash of the Redis dialect.
    Hash,
}

/// Why an entry went that nobody removed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Gone {
    /// Its deadline passed.
    Expired,
    /// It made room for another one.
    Evicted,
}

/// What a store can do beyond `get`, `set`, `touch` and `destroy`, which all stores can.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Only `get`, `set`, `touch` and `destroy`.
    pub const BASIC: Self = Self(0);
    /// It can list its entries.
    pub const ALL: Self = Self(1);
    /// It can count its live entries.
    pub const LENGTH: Self = Self(1 << 1);
    /// It can drop everything.
    pub const CLEAR: Self = Self(1 << 2);
    /// It numbers its writes, so that [`Condition::IfSeq`] works.
    pub const COMPARE_AND_SET: Self = Self(1 << 3);

    /// It can keep values of other [kinds](Kind) than bytes.
    pub const KINDS: Self = Self(1 << 4);
    /// It has sixteen databases instead of one.
    pub const DATABASES: Self = Self(1 << 5);
    /// It remembers for a while what was destroyed, and refuses writes that know nothing of it.
    pub const TOMBSTONES: Self = Self(1 << 6);

    const NAMES: [(Self, &'static str); 7] = [
        (Self::ALL, "all"),
        (Self::LENGTH, "length"),
        (Self::CLEAR, "clear"),
        (Self::COMPARE_AND_SET, "compare-and-set"),
        (Self::KINDS, "kinds"),
        (Self::DATABASES, "databases"),
        (Self::TOMBSTONES, "tombstones"),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether everything in `other` is in `self`.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::NAMES.iter().filter(|(set, _)| self.has(*set));
        f.debug_set().entries(known.map(|(_, name)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_a_set() {
        let set = Capabilities::ALL.with(Capabilities::CLEAR);
        assert!(set.has(Capabilities::ALL) && set.has(Capabilities::BASIC));
        assert!(
            !set.has(Capabilities::LENGTH)
                && !set.has(Capabilities::LENGTH.with(Capabilities::ALL))
        );
        assert_eq!(format!("{set:?}"), r#"{"all", "clear"}"#);
    }
}
