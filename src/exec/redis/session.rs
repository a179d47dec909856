//! One connection of the dialect: its bytes to requests, who may ask what, and in which order.

use std::rc::Rc;
use std::sync::Arc;

use super::call::Call;
use super::fault::Fault;
use super::lookup::{Found, Missing, lookup};
use super::lost::Lost;
use super::profile::{Profile, Shown};
use super::shared::Shared;
use super::table::Flag;
use super::transaction::Transaction;
use crate::backend::Backend;
use crate::config::Limits;
use crate::exec::channels::Subscriptions;
use crate::exec::plain::Manner;
use crate::exec::{ClientId, Hub, Next, Origin};
use crate::protocol::auth::Secret;
use crate::protocol::resp::{Bounds, Parser, Progress, Protocol, Request, Trust, Writer};
use crate::time::Millis;

/// What a session needs of the master for one request.
pub struct Host<'h> {
    /// What holds the data.
    pub backend: &'h mut dyn Backend,
    /// The present.
    pub now: Millis,
    /// The bounds in force.
    pub limits: &'h Limits,
    /// What a peer through the path socket must know, if anything.
    pub secret: Option<&'h Secret>,
    /// What all sessions share.
    pub shared: &'h mut Shared,
    /// Where messages meet their subscribers.
    pub hub: &'h mut Hub,
}

/// What became of the request at the front of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is not whole yet.
    Nothing,
    /// It had so many bytes.
    Request(usize, Next),
    /// It is none; the reply that says so is the last.
    Garbage,
}

/// What becomes of replies, as `CLIENT REPLY` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replies {
    Sent,
    Dropped,
    /// Dropped from the next request's on, for one request.
    DropNext,
    DropThis,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    pub(super) profile: Rc<Profile>,
    parser: Parser,
    pub(super) protocol: Protocol,
    pub(super) database: u8,
    /// How it came to be proves who it is.
    pub(super) is_trusted: bool,
    pub(super) is_authenticated: bool,
    pub(super) replies: Replies,
    pub(super) transaction: Transaction,
    pub(super) subscriptions: Subscriptions,
    closing: Option<&'static str>,
}

impl Session {
    /// A connection on which nothing was said yet. Having a channel proves who one is.
    pub fn new(host: &mut Host<'_>, origin: Origin) -> Self {
        let is_trusted = origin != Origin::Path;
        Self {
            profile: host.shared.enter(host.hub, origin, host.now),
            parser: Parser::default(),
            protocol: Protocol::default(),
            database: 0,
            is_trusted,
            is_authenticated: is_trusted || host.secret.is_none(),
            replies: Replies::Sent,
            transaction: Transaction::default(),
            subscriptions: Subscriptions::default(),
            closing: None,
        }
    }

    /// The connection is gone.
    pub fn leave(mut self, hub: &mut Hub, shared: &mut Shared) {
        hub.channels
            .clear(self.profile.mailbox(), &mut self.subscriptions);
        self.transaction.end(&mut hub.watches);
        shared.leave(self.id());
    }

    /// Its number.
    pub fn id(&self) -> ClientId {
        self.profile.id()
    }

    /// Whether it has proved what it has to.
    pub fn is_open(&self) -> bool {
        self.is_authenticated
    }

    /// Whether it is subscribed to anything.
    pub(super) fn is_subscribed(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// Ends the connection after the reply.
    pub(super) fn close(&mut self, why: &'static str) {
        self.closing = Some(why);
    }

    /// Lets others see what it is like, after this command.
    pub(super) fn show(&self, now: Millis, command: &'static str) {
        self.profile.show(Shown {
            at: now,
            command,
            protocol: self.protocol,
            database: self.database,
            queued: self.transaction.queued(),
            subscriptions: self.subscriptions.counts(),
        });
    }

    /// Whether a command would be run now, in the first database: not refused, and not queued.
    pub fn runs_at_once(&self) -> bool {
        self.is_authenticated && self.transaction.queued().is_none() && self.database == 0
    }

    /// How plain requests of it can be answered by others, if nothing else is to be minded.
    pub(crate) fn manner(&self) -> Option<Manner> {
        let is_minded = self.is_subscribed() || self.closing.is_some() || self.profile.is_killed();
        let is_plain = self.runs_at_once() && self.replies == Replies::Sent && !is_minded;
        is_plain.then(|| Manner::Redis {
            protocol: self.protocol,
            seen: Arc::clone(self.profile.seen()),
        })
    }

    /// How many of the next replies are not sent, as `CLIENT REPLY` says.
    pub fn unsent_replies(&self) -> usize {
        match self.replies {
            Replies::Sent => 0,
            Replies::DropNext | Replies::DropThis => 1,
            Replies::Dropped => usize::MAX,
        }
    }

    /// Requests of the peer were answered with errors, by somebody who could not run them.
    pub fn lose(&mut self, hub: &mut Hub, lost: Lost) {
        if self.replies != Replies::Dropped {
            self.replies = Replies::Sent;
        }
        self.transaction.lose(&mut hub.watches, lost);
    }

    /// Does what the request at the front of `bytes` asks, and appends the reply to `out`.
    pub fn request(&mut self, host: &mut Host<'_>, bytes: &[u8], out: &mut Vec<u8>) -> Taken {
        if self.profile.is_killed() {
            return Taken::Request(bytes.len(), Next::Close("it was killed"));
        }
        let mut args = std::mem::take(&mut host.shared.args);
        let trust = if self.is_authenticated {
            Trust::Authenticated
        } else {
            Trust::Unauthenticated
        };
        let bounds = bounds(host.limits, trust);
        let taken = match self.parser.parse(bytes, &mut args, &bounds) {
            Ok(Progress::Missing(_)) => Taken::Nothing,
            Ok(Progress::Request(request)) => {
                if !request.is_empty() {
                    self.answer(host, request, &bytes[..request.wire_len()], out);
                }
                let next = self.closing.map_or(Next::Continue, Next::Close);
                Taken::Request(request.wire_len(), next)
            }
            Err(error) => {
                error.write(&mut Writer::new(out, self.protocol));
                Taken::Garbage
            }
        };
        host.shared.args = args;
        taken
    }

    /// Runs or queues a request, of which `wire` are the bytes. What others have posted before
    /// comes before what it answers, and so does what it posts to itself.
    fn answer(
        &mut self,
        host: &mut Host<'_>,
        request: Request<'_>,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) {
        self.deliver(out.len(), out);
        let start = out.len();
        let mut is_confirmed = false;
        let command = match self.admit(&request) {
            Ok(found) => {
                let command = found.command;
                is_confirmed = self.replies == Replies::Dropped
                    && command.has(Flag::PubSub)
                    && command.has(Flag::Subscribed);
                if self.transaction.queued().is_some() && !command.has(Flag::NotQueued) {
                    match self.transaction.push(wire, host.limits) {
                        Ok(()) => Writer::new(out, self.protocol).simple("QUEUED"),
                        Err(fault) => Writer::new(out, self.protocol).error_parts(&[&fault.0]),
                    }
                } else {
                    self.call(host, request, out).run(found);
                }
                command.name
            }
            Err(missing) => {
                self.refuse(host, &request, missing, out);
                "NULL"
            }
        };
        self.show(host.now, command);
        self.replies = match self.replies {
            Replies::Dropped if is_confirmed => Replies::Dropped,
            replies @ (Replies::Dropped | Replies::DropThis) => {
                out.truncate(start);
                if replies == Replies::Dropped {
                    replies
                } else {
                    Replies::Sent
                }
            }
            Replies::DropNext => Replies::DropThis,
            Replies::Sent => Replies::Sent,
        };
        self.deliver(start, out);
    }

    /// Puts the mail that waits at this place of the output.
    fn deliver(&self, at: usize, out: &mut Vec<u8>) {
        let mailbox = self.profile.mailbox();
        if mailbox.has_mail() {
            let after = out.split_off(at);
            for message in mailbox.take_all() {
                out.extend_from_slice(&message);
            }
            out.extend_from_slice(&after);
        }
    }

    /// The command that a request asks for, if it may.
    fn admit(&self, request: &Request<'_>) -> Result<Found, Missing> {
        let found = lookup(request)?;
        let (command, reject) = (found.command, |fault| Missing::Rejected(found, fault));
        if !self.is_authenticated && !command.has(Flag::NoAuth) {
            return Err(reject(Fault::NO_AUTH));
        }
        if self.transaction.queued().is_some() && command.has(Flag::NoMulti) {
            let text = "ERR Command not allowed inside a transaction";
            return Err(reject(Fault::of(text)));
        }
        let is_limited = self.protocol == Protocol::Resp2 && self.is_subscribed();
        if is_limited && !command.has(Flag::Subscribed) {
            return Err(reject(Fault::say(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context",
                command.name
            ))));
        }
        Ok(found)
    }

    /// Says why a request is not run, which also ends a transaction.
    fn refuse(
        &mut self,
        host: &mut Host<'_>,
        request: &Request<'_>,
        missing: Missing,
        out: &mut Vec<u8>,
    ) {
        if let Missing::Rejected(found, _) = &missing {
            host.shared.statistics.of(*found).rejected += 1;
        }
        let mut writer = Writer::new(out, self.protocol);
        let is_exec = request[0].eq_ignore_ascii_case(b"exec");
        match missing {
            Missing::Unknown => writer.unknown_command(request),
            Missing::Sub(fault) | Missing::Rejected(_, fault) if is_exec => {
                let why = fault.0.strip_prefix(b"ERR ").unwrap_or(&fault.0);
                writer.error_parts(&[b"EXECABORT Transaction discarded because of: ", why]);
            }
            Missing::Sub(fault) | Missing::Rejected(_, fault) => writer.error_parts(&[&fault.0]),
        }
        if is_exec {
            self.transaction.end(&mut host.hub.watches);
        } else {
            self.transaction.refuse();
        }
    }

    fn call<'c>(
        &'c mut self,
        host: &'c mut Host<'_>,
        args: Request<'c>,
        out: &'c mut Vec<u8>,
    ) -> Call<'c> {
        Call {
            args,
            reply: Writer::new(out, self.protocol),
            now: host.now,
            limits: host.limits,
            secret: host.secret,
            session: self,
            shared: host.shared,
            hub: host.hub,
            backend: host.backend,
        }
    }
}

/// How large a request may be.
pub fn bounds(limits: &Limits, trust: Trust) -> Bounds {
    Bounds {
        bulk: limits.max_value.max(limits.max_key),
        request: limits.max_body(),
        trust,
    }
}
