//! The commands: one line each, in the order of their names. Which one a request asks for is
//! `lookup`'s matter.

use super::call::Call;
use super::fault::Done;
use super::{client, commands, config, connection, hashes, hello, info, pubsub, transaction};
use super::{counters, keys, many, object, ranges, scripts, strings, ttl, walk};

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
    /// The second argument says how many keys follow it.
    MovableKeys,
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

    /// Its sub-commands.
    pub(super) fn subs(&self) -> &'static [Self] {
        match self.run {
            Do(_) => &[],
            Run::Sub(subs) | Run::DoOrSub(_, subs) => subs,
        }
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

use Flag::{
    DenyOom, Fast, Loading, MovableKeys, NoAuth, NoScript, NotQueued, PubSub, ReadOnly, Stale,
    Subscribed, Write,
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
const SCRIPTING: &[Flag] = &[NoScript, Stale, MovableKeys];
const SCRIPTING_RO: &[Flag] = &[ReadOnly, NoScript, Stale, MovableKeys];
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
    command("eval", -3, SCRIPTING, Keys::NONE, scripts::eval),
    command("eval_ro", -3, SCRIPTING_RO, Keys::NONE, scripts::eval_ro),
    command("evalsha", -3, SCRIPTING, Keys::NONE, scripts::evalsha),
    command(
        "evalsha_ro",
        -3,
        SCRIPTING_RO,
        Keys::NONE,
        scripts::evalsha_ro,
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
    family("script", scripts::SUBS),
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
