//! Publish and subscribe. What is delivered, and how, is `channels`' matter.

use super::call::Call;
use super::fault::{Done, Fault};
use super::help;
use super::table::Flag::{Loading, PubSub, Stale};
use super::table::{Command, Keys, command};
use crate::exec::channels::Scope;
use crate::protocol::resp::glob;

const TOO_MANY: Fault = Fault::of("ERR too many subscriptions on one connection");

/// `SUBSCRIBE channel [channel …]`
pub(super) fn subscribe(call: &mut Call<'_>) -> Done {
    join(call, Scope::Channel, b"subscribe")
}

/// `PSUBSCRIBE pattern [pattern …]`
pub(super) fn psubscribe(call: &mut Call<'_>) -> Done {
    join(call, Scope::Pattern, b"psubscribe")
}

/// `SSUBSCRIBE channel [channel …]`
pub(super) fn ssubscribe(call: &mut Call<'_>) -> Done {
    join(call, Scope::Shard, b"ssubscribe")
}

/// `UNSUBSCRIBE [channel …]`
pub(super) fn unsubscribe(call: &mut Call<'_>) -> Done {
    leave(call, Scope::Channel, b"unsubscribe")
}

/// `PUNSUBSCRIBE [pattern …]`
pub(super) fn punsubscribe(call: &mut Call<'_>) -> Done {
    leave(call, Scope::Pattern, b"punsubscribe")
}

/// `SUNSUBSCRIBE [channel …]`
pub(super) fn sunsubscribe(call: &mut Call<'_>) -> Done {
    leave(call, Scope::Shard, b"sunsubscribe")
}

fn join(call: &mut Call<'_>, scope: Scope, word: &[u8]) -> Done {
    let names = call.args_from(1);
    if call
        .session
        .subscriptions
        .load()
        .with(scope, names)
        .is_none()
    {
        return Err(TOO_MANY);
    }
    for name in call.args_from(1) {
        let session = &mut *call.session;
        let channels = &mut call.hub.channels;
        let mailbox = session.profile.mailbox();
        channels.add(scope, name, mailbox, &mut session.subscriptions);
        confirm(call, scope, word, Some(name));
    }
    Ok(())
}

fn leave(call: &mut Call<'_>, scope: Scope, word: &[u8]) -> Done {
    if call.args.len() > 1 {
        for name in call.args_from(1) {
            end(call, scope, word, name);
        }
    } else if call.session.subscriptions.first(scope).is_none() {
        confirm(call, scope, word, None);
    } else {
        while let Some(name) = call.session.subscriptions.first(scope) {
            end(call, scope, word, &name);
        }
    }
    Ok(())
}

fn end(call: &mut Call<'_>, scope: Scope, word: &[u8], name: &[u8]) {
    let session = &mut *call.session;
    let channels = &mut call.hub.channels;
    let mailbox = session.profile.mailbox();
    channels.remove(scope, name, mailbox, &mut session.subscriptions);
    confirm(call, scope, word, Some(name));
}

fn confirm(call: &mut Call<'_>, scope: Scope, word: &[u8], name: Option<&[u8]>) {
    call.reply.push(3);
    call.reply.bulk(word);
    match name {
        Some(name) => call.reply.bulk(name),
        None => call.reply.null(),
    }
    let count = call.session.subscriptions.count(scope);
    call.count(count);
}

/// `PUBLISH channel message`
pub(super) fn publish(call: &mut Call<'_>) -> Done {
    let (channel, message) = (call.arg(1), call.arg(2));
    call.settle()?;
    let count = call.hub.publish(channel, message);
    call.count(count);
    Ok(())
}

/// `SPUBLISH channel message`
pub(super) fn spublish(call: &mut Call<'_>) -> Done {
    let (channel, message) = (call.arg(1), call.arg(2));
    call.settle()?;
    let count = call.hub.channels.publish(Scope::Shard, channel, message);
    call.count(count);
    Ok(())
}

/// `PUBSUB CHANNELS [pattern]`
fn channels(call: &mut Call<'_>) -> Done {
    list(call, Scope::Channel)
}

/// `PUBSUB SHARDCHANNELS [pattern]`
fn shard_channels(call: &mut Call<'_>) -> Done {
    list(call, Scope::Shard)
}

fn list(call: &mut Call<'_>, scope: Scope) -> Done {
    if call.args.len() > 3 {
        let name = call.arg(1);
        let name = &name[..name.len().min(128)];
        let text = "ERR unknown subcommand or wrong number of arguments for '";
        return Err(Fault::quoting(text, name, "'. Try PUBSUB HELP."));
    }
    let pattern = call.args.get(2);
    let names = call.hub.channels.names(scope);
    let wanted = |name: &&[u8]| pattern.is_none_or(|pattern| glob::matches(pattern, name));
    let names: Vec<_> = names.filter(wanted).collect();
    call.reply.array(names.len());
    for name in names {
        call.reply.bulk(name);
    }
    Ok(())
}

/// `PUBSUB NUMSUB [channel …]`
fn numsub(call: &mut Call<'_>) -> Done {
    numbers(call, Scope::Channel)
}

/// `PUBSUB SHARDNUMSUB [channel …]`
fn shard_numsub(call: &mut Call<'_>) -> Done {
    numbers(call, Scope::Shard)
}

fn numbers(call: &mut Call<'_>, scope: Scope) -> Done {
    let names = call.args_from(2);
    call.reply.array(2 * names.len());
    for name in names {
        call.reply.bulk(name);
        let count = call.hub.channels.count(scope, name);
        call.count(count);
    }
    Ok(())
}

/// `PUBSUB NUMPAT`
fn numpat(call: &mut Call<'_>) -> Done {
    let count = call.hub.channels.names(Scope::Pattern).len();
    call.count(count);
    Ok(())
}

/// The sub-commands of `PUBSUB`.
pub(super) static SUBS: &[Command] = &[
    command(
        "pubsub|channels",
        -2,
        &[PubSub, Loading, Stale],
        Keys::NONE,
        channels,
    ),
    command("pubsub|help", 2, &[Loading, Stale], Keys::NONE, |call| {
        help::write(call, help::PUBSUB)
    }),
    command(
        "pubsub|numpat",
        2,
        &[PubSub, Loading, Stale],
        Keys::NONE,
        numpat,
    ),
    command(
        "pubsub|numsub",
        -2,
        &[PubSub, Loading, Stale],
        Keys::NONE,
        numsub,
    ),
    command(
        "pubsub|shardchannels",
        -2,
        &[PubSub, Loading, Stale],
        Keys::NONE,
        shard_channels,
    ),
    command(
        "pubsub|shardnumsub",
        -2,
        &[PubSub, Loading, Stale],
        Keys::NONE,
        shard_numsub,
    ),
];
