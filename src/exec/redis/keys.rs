//! Commands on keys of any kind: which there are, removing, copying, renaming.
//!
//! What lists keys is in `walk`, what is about their deadlines in `ttl`.

use super::aside::Aside;
use super::call::{Call, database, is_word};
use super::connection::{databases, parse_database};
use super::fault::{Done, Fault};
use crate::contract::{Condition, Kind};
use crate::exec::check_key;

/// `DEL key [key …]`, `UNLINK key [key …]`
pub(super) fn del(call: &mut Call<'_>) -> Done {
    let (mut removed, now) = (0, call.now);
    for key in call.args_from(1) {
        if call.store().destroy(now, key)? {
            removed += 1;
            call.changed("del", key);
        }
    }
    call.reply.integer(removed);
    Ok(())
}

/// `EXISTS key [key …]`, `TOUCH key [key …]`
pub(super) fn exists(call: &mut Call<'_>) -> Done {
    let (mut found, now) = (0, call.now);
    for key in call.args_from(1) {
        found += i64::from(call.store().get(now, key)?.is_some());
    }
    call.reply.integer(found);
    Ok(())
}

/// `TYPE key`
pub(super) fn kind(call: &mut Call<'_>) -> Done {
    let (key, now) = (call.arg(1), call.now);
    let kind = call.store().get(now, key)?.map(|entry| entry.kind);
    call.reply.simple(kind.map_or("none", name));
    Ok(())
}

/// What `TYPE` says of a kind.
pub(super) fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bytes => "string",
        Kind::Hash => "hash",
    }
}

/// `RENAME key new`
pub(super) fn rename(call: &mut Call<'_>) -> Done {
    if !move_to(call, Condition::Always)? {
        return Err(Fault::TOMBSTONE);
    }
    call.reply.simple("OK");
    Ok(())
}

/// `RENAMENX key new`
pub(super) fn renamenx(call: &mut Call<'_>) -> Done {
    let is_moved = move_to(call, Condition::IfAbsent)?;
    call.reply.integer(is_moved.into());
    Ok(())
}

/// Gives an entry another key. The new one is written first: if that is refused, all is as it was.
fn move_to(call: &mut Call<'_>, condition: Condition) -> Result<bool, Fault> {
    let (from, to, now) = (call.arg(1), call.arg(2), call.now);
    let store = call.store();
    let Some(entry) = store.get(now, from)? else {
        return Err(Fault::of("ERR no such key"));
    };
    if from == to {
        return Ok(condition == Condition::Always);
    }
    let entry = Aside::from(entry);
    check_key(to, call.limits)?;
    let store = call.store();
    if !entry.put(store, now, to, condition)? {
        return Ok(false);
    }
    store.destroy(now, from)?;
    call.changed("rename_from", from);
    call.changed("rename_to", to);
    Ok(true)
}

/// `COPY key new [DB number] [REPLACE]`
pub(super) fn copy(call: &mut Call<'_>) -> Done {
    let (from, to, now) = (call.arg(1), call.arg(2), call.now);
    let own = call.session.database;
    let (mut target, mut condition) = (own, Condition::IfAbsent);
    let mut args = call.args_from(3);
    while let Some(arg) = args.next() {
        if is_word(arg, "REPLACE") {
            condition = Condition::Always;
        } else if is_word(arg, "DB") && args.len() > 0 {
            target = parse_database(call, args.next().unwrap_or_default())?;
        } else {
            return Err(Fault::SYNTAX);
        }
    }
    if target == own && from == to {
        let text = "ERR source and destination objects are the same";
        return Err(Fault::of(text));
    }
    let Some(entry) = call.store().get(now, from)?.map(Aside::from) else {
        call.reply.integer(0);
        return Ok(());
    };
    check_key(to, call.limits)?;
    let store = database(call.backend, target);
    let is_copied = entry.put(store, now, to, condition)?;
    if is_copied {
        call.changed_in(target, "copy_to", to);
    }
    call.reply.integer(is_copied.into());
    Ok(())
}

/// `FLUSHDB [ASYNC | SYNC]`
pub(super) fn flushdb(call: &mut Call<'_>) -> Done {
    check_flush(call)?;
    let now = call.now;
    call.store().clear(now)?;
    call.reply.simple("OK");
    Ok(())
}

/// `FLUSHALL [ASYNC | SYNC]`
pub(super) fn flushall(call: &mut Call<'_>) -> Done {
    check_flush(call)?;
    for number in 0..databases(call) {
        database(call.backend, number).clear(call.now)?;
    }
    call.reply.simple("OK");
    Ok(())
}

/// Memory is always freed later, so the words change nothing.
fn check_flush(call: &Call<'_>) -> Done {
    let is_known = |arg| is_word(arg, "ASYNC") || is_word(arg, "SYNC");
    if call.args.len() > 2 || !call.args_from(1).all(is_known) {
        return Err(Fault::SYNTAX);
    }
    Ok(())
}
