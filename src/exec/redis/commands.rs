//! `COMMAND`: the table, as clients may read it. Categories, tips and key specifications are not
//! told, nor are documents.

use super::call::{Call, is_word};
use super::fault::{Done, Fault};
use super::help;
use super::lookup::{find_named, resolve};
use super::table::Flag::{self, Loading, Stale};
use super::table::{COMMANDS, Command, Keys, command};
use crate::protocol::resp::number::parse_i64;
use crate::protocol::resp::{Writer, glob};

/// `COMMAND`
pub(super) fn all(call: &mut Call<'_>) -> Done {
    call.reply.array(COMMANDS.len());
    for command in COMMANDS {
        describe(&mut call.reply, command);
    }
    Ok(())
}

/// `COMMAND COUNT`
fn count(call: &mut Call<'_>) -> Done {
    call.count(COMMANDS.len());
    Ok(())
}

/// `COMMAND INFO [name …]`
fn info(call: &mut Call<'_>) -> Done {
    if call.args.len() == 2 {
        return all(call);
    }
    let names = call.args_from(2);
    call.reply.array(names.len());
    for name in names {
        match find_named(name) {
            Some(command) => describe(&mut call.reply, command),
            None => call.reply.null(),
        }
    }
    Ok(())
}

fn describe(reply: &mut Writer<'_>, command: &Command) {
    let Keys(first, last, step) = command.keys;
    reply.array(10);
    reply.bulk(command.name.as_bytes());
    reply.integer(command.arity.into());
    let flags = command.flags.iter().filter_map(|flag| flag.word());
    reply.set(flags.clone().count());
    for flag in flags {
        reply.simple(flag);
    }
    for number in [first, last, step] {
        reply.integer(number.into());
    }
    for _ in ["categories", "tips", "key specifications"] {
        reply.set(0);
    }
    match command.subs() {
        [] => reply.set(0),
        subs => {
            reply.array(subs.len());
            for sub in subs {
                describe(reply, sub);
            }
        }
    }
}

/// `COMMAND DOCS [name …]`: an error, at which redis-cli shows what it knows itself.
fn docs(_: &mut Call<'_>) -> Done {
    Err(Fault::of("ERR the commands have no documents here"))
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`
fn list(call: &mut Call<'_>) -> Done {
    let pattern: Option<&[u8]> = match (call.args.len(), call.args.get(3)) {
        (2, _) => Some(b"*"),
        (5, Some(by)) if is_word(call.arg(2), "FILTERBY") => {
            if is_word(by, "PATTERN") {
                Some(call.arg(4))
            } else if is_word(by, "MODULE") || is_word(by, "ACLCAT") {
                None
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        _ => return Err(Fault::SYNTAX),
    };
    let is_wanted =
        |name: &&str| pattern.is_some_and(|pattern| glob::matches(pattern, name.as_bytes()));
    let with_subs = |command: &'static Command| std::iter::once(command).chain(command.subs());
    let names = COMMANDS.iter().flat_map(with_subs);
    let names: Vec<_> = names
        .map(|command| command.name)
        .filter(is_wanted)
        .collect();
    call.reply.array(names.len());
    for name in names {
        call.reply.bulk(name.as_bytes());
    }
    Ok(())
}

/// `COMMAND GETKEYS command [argument …]`
fn getkeys(call: &mut Call<'_>) -> Done {
    const INVALID: Fault = Fault::of("ERR Invalid command specified");
    let command = resolve(&call.args, 2).map_err(|_| INVALID)?.command;
    let count = call.args.len() - 2;
    let Keys(first, last, step) = command.keys;
    if step == 0 && !command.has(Flag::MovableKeys) {
        return Err(Fault::of("ERR The command has no key arguments"));
    }
    if !command.takes(count) {
        return Err(Fault::of(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    if command.has(Flag::MovableKeys) {
        let keys = parse_i64(call.arg(4)).and_then(|keys| usize::try_from(keys).ok());
        let keys = keys.filter(|keys| *keys <= count - 3).unwrap_or(0);
        call.reply.array(keys);
        for key in call.args_from(5).take(keys) {
            call.reply.bulk(key);
        }
        return Ok(());
    }
    let last = match usize::try_from(last) {
        Ok(last) => last,
        Err(_) => count.saturating_sub(usize::from(last.unsigned_abs())),
    };
    let first = usize::from(first.unsigned_abs());
    let places = (first..=last.min(count - 1)).step_by(usize::from(step.unsigned_abs()));
    call.reply.array(places.clone().count());
    for place in places {
        call.reply
            .bulk(call.args.get(2 + place).unwrap_or_default());
    }
    Ok(())
}

impl Flag {
    /// How `COMMAND INFO` names it; what is only of concern here has no name.
    fn word(self) -> Option<&'static str> {
        Some(match self {
            Self::Write => "write",
            Self::ReadOnly => "readonly",
            Self::DenyOom => "denyoom",
            Self::Admin => "admin",
            Self::PubSub => "pubsub",
            Self::NoScript => "noscript",
            Self::Loading => "loading",
            Self::Stale => "stale",
            Self::Fast => "fast",
            Self::MovableKeys => "movablekeys",
            Self::NoAuth => "no_auth",
            Self::NoMulti => "no_multi",
            Self::NotQueued | Self::Subscribed => return None,
        })
    }
}

/// The sub-commands of `COMMAND`.
pub(super) static SUBS: &[Command] = &[
    command("command|count", 2, ALWAYS, Keys::NONE, count),
    command("command|docs", -2, ALWAYS, Keys::NONE, docs),
    command("command|getkeys", -4, ALWAYS, Keys::NONE, getkeys),
    command("command|help", 2, ALWAYS, Keys::NONE, |call| {
        help::write(call, help::COMMAND)
    }),
    command("command|info", -2, ALWAYS, Keys::NONE, info),
    command("command|list", -2, ALWAYS, Keys::NONE, list),
];

const ALWAYS: &[Flag] = &[Loading, Stale];
