//! How workers are started again and ended.

use std::time::Duration;

use super::Restart;

/// When an ended worker is replaced, and how long a stopping one may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervision {
    /// Which ended workers are replaced.
    pub restart: Restart,
    /// How long a worker may take to end after it was asked to; then its process group is killed.
    pub stop_timeout: Duration,
    /// The pause before a worker that ended early is first started again.
    pub backoff_min: Duration,
    /// The longest such pause; each is twice the one before.
    pub backoff_max: Duration,
    /// A worker that lived so long is stable: its next end begins again with the shortest pause.
    pub stable_after: Duration,
    /// More restarts than this within `restart_window` are a crash loop, and the master gives
    /// up; `None`: it never does.
    pub max_restarts: Option<u32>,
    /// The time over which `max_restarts` counts.
    pub restart_window: Duration,
    /// A worker that lived so long counts as ready, whether it says so or not.
    pub ready_after: Duration,
}

impl Default for Supervision {
    /// The delays of a full crash loop add up to 43 s, 51 s at worst: with workers that live for
    /// less than a second, ten restarts fit into the window of 60 s. Those that live longer are
    /// tried for ever, at the pace of `backoff_max`.
    fn default() -> Self {
        Self {
            restart: Restart::Always,
            stop_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            stable_after: Duration::from_secs(10),
            max_restarts: Some(10),
            restart_window: Duration::from_secs(60),
            ready_after: Duration::from_secs(1),
        }
    }
}
