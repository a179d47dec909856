//! What others may know of a connection.
//!
//! The session and [`Shared`](super::Shared) both have it. The session shows its state after each
//! request, so that nobody needs the sessions of others: `CLIENT LIST` reads it, and the mailbox is
//! told which version of the protocol messages are to be in.

use std::cell::{Cell, RefCell};
use std::fmt::{Arguments, Write};
use std::rc::Rc;
use std::sync::Arc;

use super::plain::Seen;
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
    /// What it is called by `CLIENT LIST`.
    address: Rc<str>,
    since: Millis,
    shown: Cell<Shown>,
    /// What it has had run without its session.
    seen: Arc<Seen>,
    is_killed: Cell<bool>,
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
    pub(super) fn new(
        mailbox: Arc<Mailbox>,
        origin: Origin,
        address: Rc<str>,
        now: Millis,
    ) -> Self {
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
            address,
            since: now,
            shown: Cell::new(shown),
            seen: Arc::default(),
            is_killed: Cell::new(false),
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

    /// Where to note what is run without the session.
    pub(super) fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.shown.get().subscriptions != [0; SCOPES]
    }

    /// What it is called by `CLIENT LIST`.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Whether it is a worker's channel, which cannot be opened again.
    pub(super) fn is_channel(&self) -> bool {
        matches!(self.origin, Origin::Channel { .. })
    }

    /// No further request of it is run.
    pub(super) fn kill(&self) {
        self.is_killed.set(true);
    }

    pub(super) fn is_killed(&self) -> bool {
        self.is_killed.get()
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
        let mut shown = self.shown.get();
        let (at, command) = self.seen.last();
        if at > shown.at {
            (shown.at, shown.command) = (at, command);
        }
        let seconds = |then: Millis| now.as_unix().saturating_sub(then.as_unix()) / 1_000;
        let count = |scope: Scope| shown.subscriptions[scope as usize];
        let (address, labels) = (&self.address, self.labels.borrow());
        // They are graphic ASCII characters, and shown as they are.
        let text_of = |label: &Vec<u8>| String::from_utf8_lossy(label).into_owned();
        let mut text = String::new();
        let mut say =
            |arguments: Arguments<'_>| text.write_fmt(arguments).expect("memory takes it");
        say(format_args!(
            "id={} addr={address} laddr={address} fd=-1 name={} age={} idle={} ",
            self.id().0,
            text_of(&labels.name),
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
            text_of(&labels.library),
            text_of(&labels.version),
        ));
        out.extend_from_slice(text.as_bytes());
    }
}
