//! One connection of the dialect: its bytes to requests, who may ask what, and in which order.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::call::Call;
use super::fault::{Done, Fault};
use super::shared::{ClientId, Shared};
use super::table::{self, Command, Flag, Run};
use crate::backend::Backend;
use crate::config::Limits;
use crate::exec::{Next, Origin};
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

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    id: ClientId,
    parser: Parser,
    pub(super) protocol: Protocol,
    pub(super) database: u8,
    pub(super) is_authenticated: bool,
    closing: Option<&'static str>,
}

impl Session {
    /// A connection on which nothing was said yet. Having a channel proves who one is.
    pub fn new(host: &mut Host<'_>, origin: Origin) -> Self {
        Self {
            id: host.shared.next_client(),
            parser: Parser::default(),
            protocol: Protocol::default(),
            database: 0,
            is_authenticated: host.secret.is_none() || origin != Origin::Path,
            closing: None,
        }
    }

    /// The connection is gone.
    pub fn leave(self, _shared: &mut Shared) {}

    /// Its number.
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// Whether it has proved what it has to.
    pub fn is_open(&self) -> bool {
        self.is_authenticated
    }

    /// Whether it is subscribed to anything.
    pub(super) fn is_subscribed(&self) -> bool {
        false
    }

    /// Ends the connection after the reply.
    pub(super) fn close(&mut self, why: &'static str) {
        self.closing = Some(why);
    }

    /// Does what the request at the front of `bytes` asks, and appends the reply to `out`.
    pub fn request(&mut self, host: &mut Host<'_>, bytes: &[u8], out: &mut Vec<u8>) -> Taken {
        let mut args = std::mem::take(&mut host.shared.args);
        let bounds = Bounds {
            bulk: host.limits.max_value.max(host.limits.max_key),
            request: host.limits.max_body(),
            trust: if self.is_authenticated {
                Trust::Authenticated
            } else {
                Trust::Unauthenticated
            },
        };
        let taken = match self.parser.parse(bytes, &mut args, &bounds) {
            Ok(Progress::Missing(_)) => Taken::Nothing,
            Ok(Progress::Request(request)) => {
                if !request.is_empty() {
                    self.run(host, request, out);
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

    fn run(&mut self, host: &mut Host<'_>, request: Request<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        let done = match self.admit(request) {
            Ok(command) => self.execute(host, command, request, out),
            Err(Refused::Unknown) => {
                Writer::new(out, self.protocol).unknown_command(&request);
                Ok(())
            }
            Err(Refused::For(fault)) => Err(fault),
        };
        if let Err(fault) = done {
            out.truncate(start);
            Writer::new(out, self.protocol).error(&fault.0);
        }
    }

    /// The command that a request asks for, if it may.
    fn admit(&self, request: Request<'_>) -> Result<&'static Command, Refused> {
        let mut command = table::find(&request[0]).ok_or(Refused::Unknown)?;
        if let Run::Sub(subs) = command.run {
            if let Some(name) = request.get(1) {
                command = table::find_sub(subs, name).ok_or_else(|| unknown_sub(command, name))?;
            }
        }
        if !command.takes(request.len()) {
            return Err(Fault::arguments(command.name).into());
        }
        if !self.is_authenticated && !command.has(Flag::NoAuth) {
            return Err(Fault::NO_AUTH.into());
        }
        Ok(command)
    }

    fn execute(
        &mut self,
        host: &mut Host<'_>,
        command: &'static Command,
        request: Request<'_>,
        out: &mut Vec<u8>,
    ) -> Done {
        let Run::Do(run) = command.run else {
            return Err(Fault::arguments(command.name));
        };
        let mut call = Call {
            args: request,
            reply: Writer::new(out, self.protocol),
            now: host.now,
            limits: host.limits,
            secret: host.secret,
            session: self,
            shared: host.shared,
            backend: host.backend,
        };
        // As in the other dialect: a backend that panics fails the request and no more.
        let done = catch_unwind(AssertUnwindSafe(|| run(&mut call)));
        done.unwrap_or(Err(Fault::of("ERR the store's backend panicked")))
    }
}

/// Why a command is not run.
enum Refused {
    Unknown,
    For(Fault),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::For(fault)
    }
}

fn unknown_sub(command: &Command, name: &[u8]) -> Fault {
    let name = String::from_utf8_lossy(&name[..name.len().min(128)]);
    let parent = command.name.to_ascii_uppercase();
    Fault::say(format!(
        "ERR unknown subcommand '{name}'. Try {parent} HELP."
    ))
}
