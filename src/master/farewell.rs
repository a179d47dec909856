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
/// How often it is tried to tell them, where whoever runs requests is busy or stuck.
const TRIES: u32 = 50;
/// How often is looked whether they are done, in milliseconds.
const GLANCE: u64 = 20;

/// A farewell, before it is said and while it lasts.
#[derive(Debug, Default)]
pub(super) struct Farewell(Option<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    reason: ExitReason,
    /// When it is over in any case, once it is said.
    until: Option<Millis>,
    tries: u32,
}

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
        let begin = || {
            Some(State {
                reason: reason?,
                until: None,
                tries: 0,
            })
        };
        let mut state = self.0.or_else(begin)?;
        let is_over = state.until.is_some_and(|until| until <= now) || state.tries == TRIES;
        if is_urged || is_over {
            return Some(state.reason);
        }
        if let Some(mut hub) = hub.try_lock() {
            let followers = match state.until {
                Some(_) => usize::from(hub.has_subscribers(CHANNEL)),
                None => hub.publish(CHANNEL, b""),
            };
            if followers == 0 {
                return Some(state.reason);
            }
            if state.until.is_none() {
                hub.wake();
                tracing::info!(followers, "waiting for those who follow the store");
                state.until = Some(now.after(LONGEST));
            }
        } else if state.until.is_none() {
            state.tries += 1;
        }
        self.0 = Some(state);
        None
    }

    /// When to look again.
    pub(super) fn next_deadline(&self, now: Millis) -> Option<Millis> {
        let glance = now.after_ms(GLANCE);
        Some(self.0?.until.map_or(glance, |until| until.min(glance)))
    }
}
