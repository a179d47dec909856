//! What others may know of a connection.
//!
//! The session and [`Shared`](super::Shared) both have it. The session shows its state after each
//! request, so that nobody needs the sessions of others: `CLIENT LIST` reads it, and the mailbox is
//! told which version of the protocol messages are to be in.

use std::cell::{Cell, RefCell};
use std::fmt::{Arguments, Write};
use std::sync::Arc;

use crate::exec::Origin;
use crate::exec::channels::{SCOPES, Scope};
use crate::exec::hub::ClientId;
use crate::exec::mailbox::{Form, Mailbox};
use crate::protocol::resp::Protocol;
use crate::time::Millis;

/// A connection, as others see it.
#[derive(Debug)]
pub(super) struct Profile {
    mailbox: Arc<Mailbox>,
    origin: Origin,
    since: Millis,
    shown: Cell<Shown>,
    labels: RefCell<Labels>,
}

/// What the peer calls itself.
#[derive(Debug, Default)]
pub(super) struct Labels {
    pub(super) name: Vec<u8>,
    pub(super) library: Vec<u8>,
    pub(super) version: Vec<u8>,
}

/// The state of the session after its last request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub(super) at: Millis,
    pub(super) command: &'static str,
    pub(super) protocol: Protocol,
    pub(super) database: u8,
    /// How many requests are queued, in a transaction.
    pub(super) queued: Option<usize>,
    /// How many subscriptions of each scope it has.
    pub(super) subscriptions: [usize; SCOPES],
}

impl Profile {
    pub(super) fn new(mailbox: Arc<Mailbox>, origin: Origin, now: Millis) -> Self {
        let shown = Shown {
            at: now,
            command: "NULL",
            protocol: Protocol::default(),
            database: 0,
            queued: None,
            subscriptions: [0; SCOPES],
        };
        Self {
            mailbox,
            origin,
            since: now,
            shown: Cell::new(shown),
            labels: RefCell::default(),
        }
    }

    pub(super) fn show(&self, shown: Shown) {
        let before = self.shown.replace(shown);
        if before.protocol != shown.protocol {
            self.mailbox.set_form(match shown.protocol {
                Protocol::Resp2 => Form::Resp2,
                Protocol::Resp3 => Form::Resp3,
            });
        }
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.shown.get().subscriptions != [0; SCOPES]
    }

    pub(super) fn labels(&self) -> &RefCell<Labels> {
        &self.labels
    }

    /// What waits to be sent.
    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub(super) fn id(&self) -> ClientId {
        self.mailbox.owner
    }

    /// Appends the line that `CLIENT LIST` has for it. What a reader may ask for and we do not
    /// count is 0.
    pub(super) fn describe(&self, now: Millis, out: &mut Vec<u8>) {
        let shown = self.shown.get();
        let seconds = |then: Millis| now.as_unix().saturating_sub(then.as_unix()) / 1_000;
        let count = |scope: Scope| shown.subscriptions[scope as usize];
        let address = match self.origin {
            Origin::Path => "unix:0".to_owned(),
            Origin::Channel { slot } => format!("worker-{slot}:0"),
        };
        let labels = self.labels.borrow();
        let mut text = String::new();
        let mut say =
            |arguments: Arguments<'_>| text.write_fmt(arguments).expect("memory takes it");
        say(format_args!(
            "id={} addr={address} laddr={address} fd=-1 name={} age={} idle={} ",
            self.id().0,
            labels.name.escape_ascii(),
            seconds(self.since),
            seconds(shown.at),
        ));
        say(format_args!(
            "flags={}{}U db={} sub={} psub={} ssub={} multi={} ",
            if self.is_subscribed() { "P" } else { "" },
            if shown.queued.is_some() { "x" } else { "" },
            shown.database,
            count(Scope::Channel),
            count(Scope::Pattern),
            count(Scope::Shard),
            shown
                .queued
                .map_or_else(|| "-1".to_owned(), |count| count.to_string()),
        ));
        say(format_args!(
            "qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 \
             events=r cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={}\n",
            shown.command,
            match shown.protocol {
                Protocol::Resp2 => 2,
                Protocol::Resp3 => 3,
            },
            labels.library.escape_ascii(),
            labels.version.escape_ascii(),
        ));
        out.extend_from_slice(text.as_bytes());
    }
}
