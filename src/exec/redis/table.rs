//! The commands: one line each, in the order of their names.

use super::call::Call;
use super::fault::Done;
use super::{connection, counters, keys, many, ranges, strings, ttl, walk};

/// A command.
#[derive(Debug)]
pub(super) struct Command {
    /// In lower case; of a sub-command with its parent's, as in `client|id`.
    pub(super) name: &'static str,
    /// How many arguments it takes, its name included; below zero: at least so many.
    pub(super) arity: i8,
    pub(super) flags: &'static [Flag],
    /// Which of its arguments are keys.
    pub(super) keys: Keys,
    pub(super) run: Run,
}

/// What a command does, or what it is made of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Run {
    Do(fn(&mut Call<'_>) -> Done),
    /// The second argument names one of these.
    Sub(&'static [Command]),
}

/// What a command is like, as `COMMAND INFO` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    Write,
    ReadOnly,
    DenyOom,
    Admin,
    PubSub,
    NoScript,
    Loading,
    Stale,
    Fast,
    /// Allowed before `AUTH`.
    NoAuth,
    /// Not allowed, and not queued, in a transaction.
    NoMulti,
    /// Runs at once also where a transaction is being queued.
    NotQueued,
    /// Allowed where a RESP2 connection is subscribed.
    Subscribed,
}

/// First, last and step, as `COMMAND INFO` tells them; zeros: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keys(pub(super) i8, pub(super) i8, pub(super) i8);

impl Keys {
    const NONE: Self = Self(0, 0, 0);
    const ONE: Self = Self(1, 1, 1);
    const TWO: Self = Self(1, 2, 1);
    const ALL: Self = Self(1, -1, 1);
    const PAIRS: Self = Self(1, -1, 2);
}

impl Command {
    pub(super) fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    /// Whether it takes so many arguments.
    pub(super) fn takes(&self, arguments: usize) -> bool {
        let least = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 {
            arguments >= least
        } else {
            arguments == least
        }
    }
}

/// The command with this name, in whatever case.
pub(super) fn find(name: &[u8]) -> Option<&'static Command> {
    search(COMMANDS, name, 0)
}

/// The one of these sub-commands with this name, their parent's left out.
pub(super) fn find_sub(subs: &'static [Command], name: &[u8]) -> Option<&'static Command> {
    let parent = subs.first()?.name.find('|')? + 1;
    search(subs, name, parent)
}

fn search(commands: &'static [Command], name: &[u8], skip: usize) -> Option<&'static Command> {
    let lower = name.iter().map(u8::to_ascii_lowercase);
    let found = commands.binary_search_by(|command| {
        command.name.as_bytes()[skip..]
            .iter()
            .copied()
            .cmp(lower.clone())
    });
    found.ok().map(|at| &commands[at])
}

use Flag::{
    DenyOom, Fast, Loading, NoAuth, NoScript, NotQueued, ReadOnly, Stale, Subscribed, Write,
};
use Run::Do;

const fn command(
    name: &'static str,
    arity: i8,
    flags: &'static [Flag],
    keys: Keys,
    run: fn(&mut Call<'_>) -> Done,
) -> Command {
    Command {
        name,
        arity,
        flags,
        keys,
        run: Do(run),
    }
}

const READ: &[Flag] = &[ReadOnly];
const FAST_READ: &[Flag] = &[ReadOnly, Fast];
const WRITE: &[Flag] = &[Write];
const FAST_WRITE: &[Flag] = &[Write, Fast];
const GROW: &[Flag] = &[Write, DenyOom];
const FAST_GROW: &[Flag] = &[Write, DenyOom, Fast];

/// All of them.
pub(super) static COMMANDS: &[Command] = &[
    command("append", 3, FAST_GROW, Keys::ONE, ranges::append),
    command("copy", -3, GROW, Keys::TWO, keys::copy),
    command("dbsize", 1, FAST_READ, Keys::NONE, walk::dbsize),
    command("decr", 2, FAST_GROW, Keys::ONE, counters::decr),
    command("decrby", 3, FAST_GROW, Keys::ONE, counters::decrby),
    command("del", -2, WRITE, Keys::ALL, keys::del),
    command(
        "echo",
        2,
        &[Loading, Stale, Fast],
        Keys::NONE,
        connection::echo,
    ),
    command("exists", -2, FAST_READ, Keys::ALL, keys::exists),
    command("expire", -3, FAST_WRITE, Keys::ONE, ttl::expire),
    command("expireat", -3, FAST_WRITE, Keys::ONE, ttl::expireat),
    command("expiretime", 2, FAST_READ, Keys::ONE, ttl::expiretime),
    command("flushall", -1, WRITE, Keys::NONE, keys::flushall),
    command("flushdb", -1, WRITE, Keys::NONE, keys::flushdb),
    command("get", 2, FAST_READ, Keys::ONE, strings::get),
    command("getdel", 2, FAST_WRITE, Keys::ONE, strings::getdel),
    command("getex", -2, FAST_WRITE, Keys::ONE, strings::getex),
    command("getrange", 4, READ, Keys::ONE, ranges::getrange),
    command("getseq", 2, FAST_READ, Keys::ONE, strings::getseq),
    command("getset", 3, FAST_GROW, Keys::ONE, strings::getset),
    command("incr", 2, FAST_GROW, Keys::ONE, counters::incr),
    command("incrby", 3, FAST_GROW, Keys::ONE, counters::incrby),
    command(
        "incrbyfloat",
        3,
        FAST_GROW,
        Keys::ONE,
        counters::incrbyfloat,
    ),
    command("keys", 2, READ, Keys::NONE, walk::keys),
    command("mget", -2, FAST_READ, Keys::ALL, many::mget),
    command("mset", -3, GROW, Keys::PAIRS, many::mset),
    command("msetnx", -3, GROW, Keys::PAIRS, many::msetnx),
    command("persist", 2, FAST_WRITE, Keys::ONE, ttl::persist),
    command("pexpire", -3, FAST_WRITE, Keys::ONE, ttl::pexpire),
    command("pexpireat", -3, FAST_WRITE, Keys::ONE, ttl::pexpireat),
    command("pexpiretime", 2, FAST_READ, Keys::ONE, ttl::pexpiretime),
    command(
        "ping",
        -1,
        &[Fast, Subscribed],
        Keys::NONE,
        connection::ping,
    ),
    command("psetex", 4, GROW, Keys::ONE, strings::psetex),
    command("pttl", 2, FAST_READ, Keys::ONE, ttl::pttl),
    command(
        "quit",
        -1,
        &[
            NoScript, Loading, Stale, Fast, NoAuth, NotQueued, Subscribed,
        ],
        Keys::NONE,
        connection::quit,
    ),
    command("randomkey", 1, READ, Keys::NONE, walk::randomkey),
    command("rename", 3, WRITE, Keys::TWO, keys::rename),
    command("renamenx", 3, FAST_WRITE, Keys::TWO, keys::renamenx),
    command("scan", -2, READ, Keys::NONE, walk::scan),
    command(
        "select",
        2,
        &[Loading, Stale, Fast],
        Keys::NONE,
        connection::select,
    ),
    command("set", -3, GROW, Keys::ONE, strings::set),
    command("setex", 4, GROW, Keys::ONE, strings::setex),
    command("setnx", 3, FAST_GROW, Keys::ONE, strings::setnx),
    command("setrange", 4, GROW, Keys::ONE, ranges::setrange),
    command("strlen", 2, FAST_READ, Keys::ONE, ranges::strlen),
    command("substr", 4, READ, Keys::ONE, ranges::getrange),
    command("touch", -2, FAST_READ, Keys::ALL, keys::exists),
    command("ttl", 2, FAST_READ, Keys::ONE, ttl::ttl),
    command("type", 2, FAST_READ, Keys::ONE, keys::kind),
    command("unlink", -2, FAST_WRITE, Keys::ALL, keys::del),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name_in_whatever_case() {
        assert!(COMMANDS.is_sorted_by(|a, b| a.name < b.name));
        for command in COMMANDS {
            let upper = command.name.to_ascii_uppercase();
            for name in [command.name, &upper] {
                assert_eq!(find(name.as_bytes()).unwrap().name, command.name);
            }
            if let Run::Sub(subs) = command.run {
                assert!(subs.is_sorted_by(|a, b| a.name < b.name));
                for sub in subs {
                    let (parent, name) = sub.name.split_once('|').unwrap();
                    assert_eq!(parent, command.name);
                    assert_eq!(find_sub(subs, name.as_bytes()).unwrap().name, sub.name);
                }
            }
        }
        assert!(find(b"").is_none() && find(b"gett").is_none() && find(b"ge").is_none());
    }
}
