//! What a command has at hand while it runs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::fault::{Done, Fault};
use super::lookup::Found;
use super::session::Session;
use super::shared::Shared;
use super::table::Run;
use crate::backend::{Backend, BackendError, Deadline, EntryRef, SetOutcome};
use crate::config::Limits;
use crate::contract::{Condition, Kind, Seq};
use crate::exec::Hub;
use crate::protocol::auth::Secret;
use crate::protocol::resp::number::parse_i64;
use crate::protocol::resp::{Protocol, Request, Writer};
use crate::time::Millis;

/// How often a command begins anew whose key is changed by others meanwhile.
const ATTEMPTS: u32 = 16;

/// One command being run. It has as many arguments as its table says.
pub(super) struct Call<'c> {
    pub(super) args: Request<'c>,
    pub(super) reply: Writer<'c>,
    pub(super) now: Millis,
    pub(super) limits: &'c Limits,
    pub(super) secret: Option<&'c Secret>,
    pub(super) session: &'c mut Session,
    pub(super) shared: &'c mut Shared,
    pub(super) hub: &'c mut Hub,
    /// All databases; see [`parts`](Self::parts).
    pub(super) backend: &'c mut dyn Backend,
}

impl<'c> Call<'c> {
    /// The argument at this place; the command's name is at 0.
    pub(super) fn arg(&self, at: usize) -> &'c [u8] {
        let arg = self.args.get(at);
        arg.expect("the table says how many there are at least")
    }

    /// The arguments from this place on.
    pub(super) fn args_from(&self, at: usize) -> impl ExactSizeIterator<Item = &'c [u8]> + use<'c> {
        self.args.iter().skip(at)
    }

    /// The argument at this place as a number.
    pub(super) fn integer(&self, at: usize) -> Result<i64, Fault> {
        parse_i64(self.arg(at)).ok_or(Fault::NOT_AN_INTEGER)
    }

    /// Answers with a number of things.
    pub(super) fn count(&mut self, count: usize) {
        self.reply.integer(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Tells of a change of a key in the selected database, in Redis's word for it.
    pub(super) fn changed(&mut self, event: &'static str, key: &[u8]) {
        self.changed_in(self.session.database, event, key);
    }

    /// The same in another database.
    pub(super) fn changed_in(&mut self, database: u8, event: &'static str, key: &[u8]) {
        self.hub.changed(self.backend, database, event, key);
    }

    /// The same for another request, in the protocol that the session has by then.
    pub(super) fn with<'s>(&'s mut self, args: Request<'s>) -> Call<'s> {
        let mut reply = self.reply.reborrow();
        reply.set_protocol(self.session.protocol);
        Call {
            args,
            reply,
            now: self.now,
            limits: self.limits,
            secret: self.secret,
            session: self.session,
            shared: self.shared,
            hub: self.hub,
            backend: self.backend,
        }
    }

    /// The same for a request that a script makes, with its reply in RESP2 apart.
    pub(super) fn within<'s>(&'s mut self, args: Request<'s>, out: &'s mut Vec<u8>) -> Call<'s> {
        let mut call = self.with(args);
        call.reply = Writer::new(out, Protocol::Resp2);
        call
    }

    /// Runs a command. If it fails, the error takes the place of what it has written.
    pub(super) fn run(&mut self, found: Found) {
        let start = self.reply.len();
        let done = match found.command.run {
            Run::Do(run) | Run::DoOrSub(run, _) => {
                let mut done = self.attempt(run);
                for _ in 1..ATTEMPTS {
                    if done != Err(Fault::CHANGED) {
                        break;
                    }
                    self.reply.truncate(start);
                    done = self.attempt(run);
                }
                done
            }
            Run::Sub(_) => Err(Fault::arguments(found.command.name)),
        };
        self.shared.statistics.of(found).count(&done);
        if let Err(fault) = done {
            self.reply.truncate(start);
            self.reply.error_parts(&[&fault.0]);
        }
    }

    /// As in the other dialect: a backend that panics fails the request and no more.
    fn attempt(&mut self, run: fn(&mut Call<'_>) -> Done) -> Done {
        let done = catch_unwind(AssertUnwindSafe(|| run(self)));
        done.unwrap_or(Err(Fault::of("ERR the store's backend panicked")))
    }

    /// The selected database, and where the reply goes.
    pub(super) fn parts(&mut self) -> (&mut dyn Backend, &mut Writer<'c>) {
        let store = database(self.backend, self.session.database);
        (store, &mut self.reply)
    }

    /// The selected database.
    pub(super) fn store(&mut self) -> &mut dyn Backend {
        self.parts().0
    }
}

/// The database with this number, which was selected because it is there.
pub(super) fn database(backend: &mut dyn Backend, number: u8) -> &mut dyn Backend {
    if number == 0 {
        return backend;
    }
    let database = backend.database(number);
    database.expect("only databases that are there are selected")
}

/// Writes what was made of the version that was seen, if there was one; its deadline stays. Where
/// others write to the store too, what they wrote meanwhile is not lost: the command
/// [begins anew](Fault::CHANGED).
pub(super) fn rewrite(
    store: &mut dyn Backend,
    now: Millis,
    key: &[u8],
    seen: Option<Seq>,
    value: (Kind, &[u8]),
) -> Result<(), Fault> {
    let condition = match seen {
        _ if !store.is_shared() => Condition::Always,
        Some(seq) => Condition::IfSeq(seq),
        None => Condition::IfAbsent,
    };
    match store.set_kind(now, key, value, Deadline::Keep, condition)? {
        SetOutcome::Stored(_) => Ok(()),
        SetOutcome::Conflict(_) if condition == Condition::Always => Err(Fault::TOMBSTONE),
        SetOutcome::Conflict(_) => Err(Fault::CHANGED),
    }
}

/// Removes an entry that nobody has asked to remove: no tombstone is left of it.
pub(super) fn drop_entry(
    store: &mut dyn Backend,
    now: Millis,
    key: &[u8],
) -> Result<bool, BackendError> {
    store.touch(now, key, Deadline::At(now))
}

/// An entry that has to be a string, if it is there.
pub(super) fn string(entry: Option<EntryRef<'_>>) -> Result<Option<EntryRef<'_>>, Fault> {
    match entry {
        Some(entry) if entry.kind != Kind::Bytes => Err(Fault::WRONG_TYPE),
        entry => Ok(entry),
    }
}

/// Whether an argument is this word, in whatever case.
pub(super) fn is_word(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}
