//! The bounds on what one peer may send, hold and wait for.

use std::time::Duration;

/// Bounds that keep a peer from harming anyone but itself. All sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest key.
    pub max_key: usize,
    /// The largest value.
    pub max_value: usize,
    /// The most connections at once, workers included.
    pub max_clients: usize,
    /// Above so much pending output a peer is no longer read.
    pub high_mark: usize,
    /// Below so much pending output it is read again.
    pub low_mark: usize,
    /// How long a connection through the path socket may take to introduce itself.
    pub handshake_timeout: Duration,
    /// How long a backend that blocks may take before its requests are answered with errors.
    pub backend_timeout: Duration,
}

impl Limits {
    /// The largest `max_value` that may be configured: 512 MiB, as in Redis.
    pub const MAX_VALUE_CEILING: usize = 512 << 20;
    /// The largest `max_key` that may be configured; a key's length is kept in 16 bits.
    pub const MAX_KEY_CEILING: usize = u16::MAX as usize;
    /// The largest body that is read from a peer before it has introduced itself.
    pub const UNTRUSTED_BODY: usize = 4 << 10;
    /// How many bytes of entries a page of `all` holds before it ends; the entry that reaches
    /// this is still part of the page.
    pub const PAGE: usize = 64 << 10;
    /// What a body has besides one key, one value and a page.
    const OVERHEAD: usize = 1 << 10;

    /// The largest body of a frame, in either direction.
    pub fn max_body(&self) -> usize {
        self.max_key + self.max_value + Self::PAGE + Self::OVERHEAD
    }

    /// The most output a peer may leave unread before its connection is closed.
    pub fn hard_cap(&self) -> usize {
        (16 << 20).max(self.high_mark + 2 * self.max_body())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_key: 4 << 10,
            max_value: 8 << 20,
            max_clients: 10_000,
            high_mark: 256 << 10,
            low_mark: 64 << 10,
            handshake_timeout: Duration::from_secs(5),
            backend_timeout: Duration::from_secs(5),
        }
    }
}
