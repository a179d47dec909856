//! The commands: one line each, in the order of their names.

use super::call::Call;
use super::fault::{Done, Fault, quoted};
use super::{client, commands, config, connection, hashes, hello, info, pubsub, transaction};
use super::{counters, keys, many, object, ranges, strings, ttl, walk};
use crate::protocol::resp::Request;

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
    /// The same, where there is one.
    DoOrSub(fn(&mut Call<'_>) -> Done, &'static [Command]),
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
    pub(super) const NONE: Self = Self(0, 0, 0);
    const ONE: Self = Self(1, 1, 1);
    const TWO: Self = Self(1, 2, 1);
    const ALL: Self = Self(1, -1, 1);
    const PAIRS: Self = Self(1, -1, 2);
    /// That of a sub-command.
    pub(super) const SECOND: Self = Self(2, 2, 1);
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

/// The one that is named as [`Command::name`] has it, in whatever case.
pub(super) fn find_named(name: &[u8]) -> Option<&'static Command> {
    let Some(bar) = name.iter().position(|byte| *byte == b'|') else {
        return find(name);
    };
    let (Run::Sub(subs) | Run::DoOrSub(_, subs)) = find(&name[..bar])?.run else {
        return None;
    };
    find_sub(subs, &name[bar + 1..])
}

/// Why there is no command to run.
#[derive(Debug)]
pub(super) enum Missing {
    /// None has this name.
    Unknown,
    /// There is one, but not so.
    For(Fault),
}

/// The command that a request asks for, with as many arguments as it takes.
pub(super) fn lookup(request: &Request<'_>) -> Result<&'static Command, Missing> {
    let mut command = find(&request[0]).ok_or(Missing::Unknown)?;
    if let Run::Sub(subs) | Run::DoOrSub(_, subs) = command.run {
        if let Some(name) = request.get(1) {
            let found = find_sub(subs, name);
            command = found.ok_or_else(|| Missing::For(unknown_sub(command, name)))?;
        }
    }
    if !command.takes(request.len()) {
        return Err(Missing::For(Fault::arguments(command.name)));
    }
    Ok(command)
}

fn unknown_sub(command: &Command, name: &[u8]) -> Fault {
    let name = quoted(&name[..name.len().min(128)]);
    let parent = command.name.to_ascii_uppercase();
    Fault::say(format!(
        "ERR unknown subcommand '{name}'. Try {parent} HELP."
    ))
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
    DenyOom, Fast, Loading, NoAuth, NoScript, NotQueued, PubSub, ReadOnly, Stale, Subscribed, Write,
};
use Run::Do;

/// A command that is not made of others.
pub(super) const fn command(
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

const fn family(name: &'static str, subs: &'static [Command]) -> Command {
    Command {
        name,
        arity: -2,
        flags: &[],
        keys: Keys::NONE,
        run: Run::Sub(subs),
    }
}

const READ: &[Flag] = &[ReadOnly];
const FAST_READ: &[Flag] = &[ReadOnly, Fast];
const WRITE: &[Flag] = &[Write];
const FAST_WRITE: &[Flag] = &[Write, Fast];
const GROW: &[Flag] = &[Write, DenyOom];
const FAST_GROW: &[Flag] = &[Write, DenyOom, Fast];
const BEFORE_AUTH: &[Flag] = &[NoScript, Loading, Stale, Fast, NoAuth];
const TRANSACTION: &[Flag] = &[NoScript, Loading, Stale, Fast, NotQueued];
const SUBSCRIPTION: &[Flag] = &[PubSub, NoScript, Loading, Stale, Subscribed];
const PUBLICATION: &[Flag] = &[PubSub, Loading, Stale, Fast];

/// All of them.
pub(super) static COMMANDS: &[Command] = &[
    command("append", 3, FAST_GROW, Keys::ONE, ranges::append),
    command("auth", -2, BEFORE_AUTH, Keys::NONE, hello::auth),
    family("client", client::SUBS),
    Command {
        name: "command",
        arity: -1,
        flags: &[Loading, Stale],
        keys: Keys::NONE,
        run: Run::DoOrSub(commands::all, commands::SUBS),
    },
    family("config", config::SUBS),
    command("copy", -3, GROW, Keys::TWO, keys::copy),
    command("dbsize", 1, FAST_READ, Keys::NONE, walk::dbsize),
    command("decr", 2, FAST_GROW, Keys::ONE, counters::decr),
    command("decrby", 3, FAST_GROW, Keys::ONE, counters::decrby),
    command("del", -2, WRITE, Keys::ALL, keys::del),
    command("discard", 1, TRANSACTION, Keys::NONE, transaction::discard),
    command(
        "echo",
        2,
        &[Loading, Stale, Fast],
        Keys::NONE,
        connection::echo,
    ),
    command(
        "exec",
        1,
        &[NoScript, Loading, Stale, NotQueued],
        Keys::NONE,
        transaction::exec,
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
    command("hdel", -3, FAST_WRITE, Keys::ONE, hashes::hdel),
    command("hello", -1, BEFORE_AUTH, Keys::NONE, hello::hello),
    command("hexists", 3, FAST_READ, Keys::ONE, hashes::hexists),
    command("hget", 3, FAST_READ, Keys::ONE, hashes::hget),
    command("hgetall", 2, READ, Keys::ONE, hashes::hgetall),
    command("hincrby", 4, FAST_GROW, Keys::ONE, hashes::hincrby),
    command(
        "hincrbyfloat",
        4,
        FAST_GROW,
        Keys::ONE,
        hashes::hincrbyfloat,
    ),
    command("hkeys", 2, READ, Keys::ONE, hashes::hkeys),
    command("hlen", 2, FAST_READ, Keys::ONE, hashes::hlen),
    command("hmget", -3, FAST_READ, Keys::ONE, hashes::hmget),
    command("hmset", -4, FAST_GROW, Keys::ONE, hashes::hmset),
    command("hrandfield", -2, READ, Keys::ONE, hashes::hrandfield),
    command("hscan", -3, READ, Keys::ONE, hashes::hscan),
    command("hset", -4, FAST_GROW, Keys::ONE, hashes::hset),
    command("hsetnx", 4, FAST_GROW, Keys::ONE, hashes::hsetnx),
    command("hstrlen", 3, FAST_READ, Keys::ONE, hashes::hstrlen),
    command("hvals", 2, READ, Keys::ONE, hashes::hvals),
    command("incr", 2, FAST_GROW, Keys::ONE, counters::incr),
    command("incrby", 3, FAST_GROW, Keys::ONE, counters::incrby),
    command(
        "incrbyfloat",
        3,
        FAST_GROW,
        Keys::ONE,
        counters::incrbyfloat,
    ),
    command("info", -1, &[Loading, Stale], Keys::NONE, info::info),
    command("keys", 2, READ, Keys::NONE, walk::keys),
    family("memory", object::MEMORY),
    command("mget", -2, FAST_READ, Keys::ALL, many::mget),
    command("mset", -3, GROW, Keys::PAIRS, many::mset),
    command("msetnx", -3, GROW, Keys::PAIRS, many::msetnx),
    command("multi", 1, TRANSACTION, Keys::NONE, transaction::multi),
    family("object", object::OBJECT),
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
    command(
        "psubscribe",
        -2,
        SUBSCRIPTION,
        Keys::NONE,
        pubsub::psubscribe,
    ),
    command("pttl", 2, FAST_READ, Keys::ONE, ttl::pttl),
    command("publish", 3, PUBLICATION, Keys::NONE, pubsub::publish),
    family("pubsub", pubsub::SUBS),
    command(
        "punsubscribe",
        -1,
        SUBSCRIPTION,
        Keys::NONE,
        pubsub::punsubscribe,
    ),
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
    command(
        "readonly",
        1,
        &[Loading, Stale, Fast],
        Keys::NONE,
        connection::readonly,
    ),
    command(
        "readwrite",
        1,
        &[Loading, Stale, Fast],
        Keys::NONE,
        connection::readonly,
    ),
    command("rename", 3, WRITE, Keys::TWO, keys::rename),
    command("renamenx", 3, FAST_WRITE, Keys::TWO, keys::renamenx),
    command(
        "reset",
        1,
        &[
            NoScript, Loading, Stale, Fast, NoAuth, NotQueued, Subscribed,
        ],
        Keys::NONE,
        hello::reset,
    ),
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
    command("spublish", 3, PUBLICATION, Keys::ONE, pubsub::spublish),
    command(
        "ssubscribe",
        -2,
        SUBSCRIPTION,
        Keys::ALL,
        pubsub::ssubscribe,
    ),
    command("strlen", 2, FAST_READ, Keys::ONE, ranges::strlen),
    command("subscribe", -2, SUBSCRIPTION, Keys::NONE, pubsub::subscribe),
    command("substr", 4, READ, Keys::ONE, ranges::getrange),
    command(
        "sunsubscribe",
        -1,
        SUBSCRIPTION,
        Keys::ALL,
        pubsub::sunsubscribe,
    ),
    command("time", 1, &[Loading, Stale, Fast], Keys::NONE, object::time),
    command("touch", -2, FAST_READ, Keys::ALL, keys::exists),
    command("ttl", 2, FAST_READ, Keys::ONE, ttl::ttl),
    command("type", 2, FAST_READ, Keys::ONE, keys::kind),
    command("unlink", -2, FAST_WRITE, Keys::ALL, keys::del),
    command(
        "unsubscribe",
        -1,
        SUBSCRIPTION,
        Keys::NONE,
        pubsub::unsubscribe,
    ),
    command(
        "unwatch",
        1,
        &[NoScript, Loading, Stale, Fast],
        Keys::NONE,
        transaction::unwatch,
    ),
    command("wait", 3, &[NoScript], Keys::NONE, connection::wait),
    command("watch", -2, TRANSACTION, Keys::ALL, transaction::watch),
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
