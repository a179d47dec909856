//! Backends that ask a server, and can be called on while its answers are on their way.

use std::sync::Arc;

use super::{BackendError, Foreseen};
use crate::time::Millis;

/// Called, from any thread, when something has been answered.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Something that is under way. Whatever is begun later has a larger number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ticket(pub u64);

/// What a backend can do besides that asks a server: go on while answers are on their way.
///
/// Who calls a backend so asks ahead for what requests will look at ([`ask`](Self::ask)), and runs
/// them when that is here ([`look`](Self::look)). What they write is sent ([`submit`](Self::submit))
/// and told of when it is done ([`finish`](Self::finish)), and meanwhile other requests are run:
/// they see what was written. Who rather waits calls [`commit`](super::Backend::commit).
pub trait Pipelined {
    /// Whom to wake; asked once, before anything else.
    fn wake_with(&mut self, wake: Wake);

    /// Asks for what is under these keys, and does not wait.
    fn ask(&mut self, now: Millis, keys: &Foreseen<'_>) -> Ticket;

    /// From now on requests are run that look at what was [asked](Self::ask) for: each ticket once,
    /// in their order. It waits for what is not [here](Self::is_here) or has been changed since.
    fn look(&mut self, now: Millis, ticket: Ticket);

    /// Sends what was written since the last time, and does not wait. Not before the last one is
    /// [finished](Self::finish).
    fn submit(&mut self) -> Ticket;

    /// What came of it, as [`commit`](super::Backend::commit) says it; waits until that is known.
    ///
    /// # Errors
    /// Nothing that was submitted is done, but for what [`is_done`](super::Backend::is_done) names.
    /// What has been written to the other keys since is not done either.
    fn finish(&mut self, ticket: Ticket) -> Result<(), BackendError>;

    /// Whether nobody has to wait for this any more.
    fn is_here(&mut self, ticket: Ticket) -> bool;
}
