//! What a command has at hand while it runs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::draft::Draft;
use super::fault::{Done, Fault};
use super::lookup::Found;
use super::session::Session;
use super::shared::Shared;
use super::table::{Command, Flag, Keys, Run};
use crate::backend::{Backend, BackendError, Deadline, EntryRef, SetOutcome};
use crate::config::Limits;
use crate::contract::{Capabilities, Condition, Kind};
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
        match &mut self.shared.news {
            Some(news) => news.push((database, event, key.to_vec())),
            None => self.hub.changed(self.backend, database, event, key),
        }
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
            Run::Do(run) | Run::DoOrSub(run, _) => self.attempt(found.command, run),
            Run::Sub(_) => Err(Fault::arguments(found.command.name)),
        };
        self.shared.statistics.of(found).count(&done);
        if let Err(fault) = done {
            self.reply.truncate(start);
            self.reply.error_parts(&[&fault.0]);
        }
    }

    /// Runs what a command does; where others write to the store too, until nobody else has come
    /// to its key meanwhile.
    pub(super) fn attempt(&mut self, command: &Command, run: fn(&mut Call<'_>) -> Done) -> Done {
        let Some(own) = self.own(command) else {
            return guarded(|| run(self));
        };
        let start = self.reply.len();
        for _ in 0..ATTEMPTS {
            let done = guarded(|| self.over_draft(own, run));
            self.shared.news = None;
            if done != Err(Fault::CHANGED) {
                return done;
            }
            self.reply.truncate(start);
        }
        Err(Fault::CHANGED)
    }

    /// What the command must have to itself, if anything.
    fn own(&self, command: &Command) -> Option<Own<'c>> {
        let Keys(first, last, _) = command.keys;
        let own = if command.has(Flag::Write) && first == last && first > 0 {
            Own::OfCommand(self.arg(usize::from(first.unsigned_abs())))
        } else if command.has(Flag::MovableKeys) && !command.has(Flag::ReadOnly) {
            let has_one = self.args.get(2) == Some(b"1");
            Own::OfScript(self.args.get(3).filter(|_| has_one)?)
        } else {
            return None;
        };
        let compares =
            |store: &dyn Backend| store.capabilities().has(Capabilities::COMPARE_AND_SET);
        (self.backend.is_shared() && compares(self.backend)).then_some(own)
    }

    /// Runs it once, and writes what it made of the key if that is still as it was.
    fn over_draft(&mut self, own: Own<'_>, run: fn(&mut Call<'_>) -> Done) -> Done {
        let (Own::OfCommand(key) | Own::OfScript(key)) = own;
        let mut draft = Draft::new(self.backend, self.session.database, self.now, key);
        if let Own::OfScript(_) = own {
            draft.begin()?;
        }
        self.shared.news = Some(Vec::new());
        let mut call = Call {
            args: self.args,
            reply: self.reply.reborrow(),
            now: self.now,
            limits: self.limits,
            secret: self.secret,
            session: self.session,
            shared: self.shared,
            hub: self.hub,
            backend: &mut draft,
        };
        let done = run(&mut call);
        let news = self.shared.news.take().unwrap_or_default();
        if done == Err(Fault::CHANGED) || !draft.settle()? {
            return Err(Fault::CHANGED);
        }
        for (database, event, key) in news {
            self.hub.changed(self.backend, database, event, &key);
        }
        done
    }

    /// Before what cannot be taken back: what was done to the key so far is done, or the command
    /// begins anew.
    pub(super) fn settle(&mut self) -> Done {
        if self.shared.news.is_none() {
            return Ok(());
        }
        match self.backend.commit() {
            Err(BackendError::Busy) => Err(Fault::CHANGED),
            done => Ok(done?),
        }
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

/// As in the other dialect: a backend that panics fails the request and no more.
fn guarded(run: impl FnOnce() -> Done) -> Done {
    let done = catch_unwind(AssertUnwindSafe(run));
    done.unwrap_or(Err(Fault::of("ERR the store's backend panicked")))
}

/// A key that nobody else may come to while a command is at it.
#[derive(Debug, Clone, Copy)]
enum Own<'c> {
    /// Of a command, from when it looks at it.
    OfCommand(&'c [u8]),
    /// Of a script, which may write before it looks: from its beginning.
    OfScript(&'c [u8]),
}

/// The database with this number, which was selected because it is there.
pub(super) fn database(backend: &mut dyn Backend, number: u8) -> &mut dyn Backend {
    if number == 0 {
        return backend;
    }
    let database = backend.database(number);
    database.expect("only databases that are there are selected")
}

/// Writes what was made of what was there; its deadline stays.
pub(super) fn rewrite(
    store: &mut dyn Backend,
    now: Millis,
    key: &[u8],
    value: (Kind, &[u8]),
) -> Result<(), Fault> {
    match store.set_kind(now, key, value, Deadline::Keep, Condition::Always)? {
        SetOutcome::Stored(_) => Ok(()),
        SetOutcome::Conflict(_) => Err(Fault::TOMBSTONE),
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
