//! Which entries are sessions of express-session's kind.

use std::time::Duration;

/// Which entries are sessions, that live as long as their cookie says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sessions {
    /// What their keys begin with.
    pub prefix: String,
    /// How long a session lives whose cookie lives as long as the browser; `None`: until the store
    /// is opened again.
    pub ttl: Option<Duration>,
}
