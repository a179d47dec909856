//! A master that is about to end says so to those who follow its store, and waits for them.
//!
//! They are who has subscribed to [`CHANNEL`]: a live copy makes its last pass then, when no worker
//! writes any more and everything is still there. Whoever ends its subscription or its connection is
//! done. Nobody is waited for longer than [`LONGEST`], nor when the master is told to end once more.

use std::time::Duration;

use crate::exec::SharedHub;
use crate::supervisor::action::ExitReason;
use crate::time::Millis;

/// Where a follower is told.
pub(crate) const CHANNEL: &[u8] = b"__memstore__:farewell";
/// How long followers may take.
const LONGEST: Duration = Duration::from_secs(60);
/// How often is looked whether they are done, in milliseconds.
const GLANCE: u64 = 20;

/// A farewell, before it is said and while it lasts.
#[derive(Debug, Default)]
pub(super) struct Farewell(Option<(ExitReason, Millis)>);

impl Farewell {
    /// Whether a master that has a reason to end can do so now. One that is told to for a second
    /// time `is_urged`.
    pub(super) fn is_said(
        &mut self,
        now: Millis,
        reason: Option<ExitReason>,
        is_urged: bool,
        hub: &SharedHub,
    ) -> Option<ExitReason> {
        if let Some((reason, until)) = self.0 {
            let is_over = is_urged || until <= now || !hub.lock().has_subscribers(CHANNEL);
            return is_over.then_some(reason);
        }
        let reason = reason?;
        let mut hub = hub.lock();
        let followers = if is_urged {
            0
        } else {
            hub.publish(CHANNEL, b"")
        };
        if followers == 0 {
            return Some(reason);
        }
        hub.wake();
        tracing::info!(followers, "waiting for those who follow the store");
        self.0 = Some((reason, now.after(LONGEST)));
        None
    }

    /// When to look again.
    pub(super) fn next_deadline(&self, now: Millis) -> Option<Millis> {
        let (_, until) = self.0?;
        Some(until.min(now.after_ms(GLANCE)))
    }
}
