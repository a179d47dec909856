//! The subscriptions of the native dialect: those of one connection, and each by itself.
//!
//! A subscriber asks for its messages, and the answer waits until there is one. So messages come on
//! the connection that a client has anyway, between the replies to other requests, and one that does
//! not ask for them harms nothing but itself: they wait in its [`Mailbox`], which is bounded.

use std::collections::BTreeMap;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::Instant;

use super::channels::{Load, Scope, Subscriptions};
use super::failure;
use super::hub::{ClientId, Hub};
use super::mailbox::{Batch, Form, Mailbox, Room, Wait};
use crate::protocol::message::{ErrorCode, Failure, Topic};
use crate::protocol::{Reply, codec};
use crate::time::Millis;

/// The most subscriptions of one connection.
const MOST: usize = 1_024;

/// One subscription.
#[derive(Debug)]
pub(crate) struct Subscriber {
    mailbox: Arc<Mailbox>,
    names: Subscriptions,
}

impl Subscriber {
    /// Subscribes to these topics in this process.
    pub(crate) fn alone(hub: &mut Hub, topics: &[Topic<'_>]) -> Result<Self, Failure<'static>> {
        let (owner, room) = (hub.enter(), hub.room());
        Self::open(hub, owner, room, Load::default(), topics)
    }

    /// Subscribes to these topics, beside others of the connection, if that is not too much.
    fn open(
        hub: &mut Hub,
        owner: ClientId,
        room: Arc<Room>,
        others: Load,
        topics: &[Topic<'_>],
    ) -> Result<Self, Failure<'static>> {
        let of = |scope: Scope| {
            let wanted = topics.iter().filter(move |topic| scope_of(topic) == scope);
            wanted.map(|topic| topic.name).collect::<Vec<_>>()
        };
        let load = others.with(Scope::Channel, of(Scope::Channel).into_iter());
        let load = load.and_then(|load| load.with(Scope::Pattern, of(Scope::Pattern).into_iter()));
        if load.is_none() {
            let why = "too many subscriptions on one connection";
            return Err(failure(ErrorCode::BadRequest, why));
        }
        let mailbox = Mailbox::new(hub.next_number(), owner, Form::Native, room);
        let mut names = Subscriptions::default();
        for topic in topics {
            let scope = scope_of(topic);
            hub.channels.add(scope, topic.name, &mailbox, &mut names);
        }
        Ok(Self { mailbox, names })
    }

    /// Ends it.
    pub(crate) fn close(mut self, hub: &mut Hub) -> Option<u32> {
        hub.channels.clear(&self.mailbox, &mut self.names);
        hub.end_wait(&self.mailbox).map(|wait| wait.request)
    }

    /// Waits in this thread for messages.
    pub(crate) fn wait(&self, deadline: Instant) -> Batch {
        self.mailbox.wait(deadline)
    }

    /// Takes messages, or has the task woken when there are some.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_take(&self, context: &Context<'_>) -> Poll<Batch> {
        self.mailbox.poll_take(context)
    }
}

fn scope_of(topic: &Topic<'_>) -> Scope {
    if topic.is_pattern {
        Scope::Pattern
    } else {
        Scope::Channel
    }
}

/// The subscriptions of one connection.
#[derive(Debug)]
pub(super) struct Subscribers {
    owner: ClientId,
    /// What waits for all of them.
    room: Option<Arc<Room>>,
    open: BTreeMap<u64, Subscriber>,
}

impl Subscribers {
    /// None, of this connection.
    pub(super) fn new(owner: ClientId) -> Self {
        Self {
            owner,
            room: None,
            open: BTreeMap::new(),
        }
    }

    pub(super) fn owner(&self) -> ClientId {
        self.owner
    }

    /// Begins one.
    pub(super) fn subscribe(
        &mut self,
        hub: &mut Hub,
        topics: &[Topic<'_>],
    ) -> Result<u64, Failure<'static>> {
        if self.open.len() >= MOST {
            let why = "too many subscriptions on one connection";
            return Err(failure(ErrorCode::BadRequest, why));
        }
        let room = Arc::clone(self.room.get_or_insert_with(|| hub.room()));
        let others = self.open.values().map(|one| one.names.load()).sum();
        let subscriber = Subscriber::open(hub, self.owner, room, others, topics)?;
        let number = subscriber.mailbox.number;
        self.open.insert(number, subscriber);
        Ok(number)
    }

    /// Answers a request for messages, if there are any, and otherwise has it wait.
    pub(super) fn receive(
        &mut self,
        hub: &mut Hub,
        now: Millis,
        request: u32,
        (subscription, wait_ms): (u64, u32),
        out: &mut Vec<u8>,
    ) {
        let Some(Subscriber { mailbox, .. }) = self.open.get(&subscription) else {
            return codec::write_reply(out, request, &Reply::Missing);
        };
        if let Some(before) = hub.end_wait(mailbox) {
            Batch::default().write(out, before.request);
        }
        if mailbox.has_mail() || wait_ms == 0 {
            return mailbox.take_page().write(out, request);
        }
        let until = now.after_ms(wait_ms.into());
        hub.begin_wait(mailbox, Wait { request, until });
    }

    /// Ends one. A request for its messages that waits is answered with none.
    pub(super) fn unsubscribe(
        &mut self,
        hub: &mut Hub,
        subscription: u64,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(subscriber) = self.open.remove(&subscription) else {
            return false;
        };
        if let Some(request) = subscriber.close(hub) {
            Batch::default().write(out, request);
        }
        true
    }

    /// Ends all.
    pub(super) fn clear(&mut self, hub: &mut Hub) {
        for (_, subscriber) in std::mem::take(&mut self.open) {
            subscriber.close(hub);
        }
    }
}

#[cfg(test)]
#[path = "subscribers_tests.rs"]
mod tests;
