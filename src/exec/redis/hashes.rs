//! Commands on hashes. A hash is one value of its own kind, as `fields` lays it out; a change
//! writes it anew and keeps its deadline. A hash without fields is no entry.

use super::call::{Call, drop_entry, is_word, rewrite};
use super::fault::{Done, Fault};
use super::fields::{Encoded, Field, Hash};
use super::walk::parse_cursor;
use crate::backend::EntryRef;
use crate::contract::Kind;
use crate::exec::{check_key, check_value};
use crate::protocol::resp::number::{parse_i64, write_i64};
use crate::protocol::resp::{Extended, Protocol, Writer, glob};

/// `HGET key field`
pub(super) fn hget(call: &mut Call<'_>) -> Done {
    let name = call.arg(2);
    look(call, |hash, reply| write_value(reply, hash.get(name)))
}

/// `HMGET key field [field …]`
pub(super) fn hmget(call: &mut Call<'_>) -> Done {
    let names = call.args_from(2);
    look(call, |hash, reply| {
        reply.array(names.len());
        for name in names {
            write_value(reply, hash.get(name));
        }
    })
}

/// `HEXISTS key field`
pub(super) fn hexists(call: &mut Call<'_>) -> Done {
    let name = call.arg(2);
    look(call, |hash, reply| {
        reply.integer(hash.get(name).is_some().into());
    })
}

/// `HSTRLEN key field`
pub(super) fn hstrlen(call: &mut Call<'_>) -> Done {
    let name = call.arg(2);
    look(call, |hash, reply| {
        write_count(reply, hash.get(name).map_or(0, <[u8]>::len));
    })
}

/// `HLEN key`
pub(super) fn hlen(call: &mut Call<'_>) -> Done {
    look(call, |hash, reply| write_count(reply, hash.len()))
}

/// `HGETALL key`
pub(super) fn hgetall(call: &mut Call<'_>) -> Done {
    look(call, |hash, reply| {
        reply.map(hash.len());
        write_fields(reply, hash.iter());
    })
}

/// `HKEYS key`
pub(super) fn hkeys(call: &mut Call<'_>) -> Done {
    look(call, |hash, reply| {
        reply.array(hash.len());
        hash.iter().for_each(|(name, _)| reply.bulk(name));
    })
}

/// `HVALS key`
pub(super) fn hvals(call: &mut Call<'_>) -> Done {
    look(call, |hash, reply| {
        reply.array(hash.len());
        hash.iter().for_each(|(_, value)| reply.bulk(value));
    })
}

/// `HSCAN key cursor [MATCH pattern] [COUNT number]`: all fields at once, as Redis gives those of a
/// small hash. So a walk misses none, however the hash is changed.
pub(super) fn hscan(call: &mut Call<'_>) -> Done {
    parse_cursor(call.arg(2)).ok_or(Fault::of("ERR invalid cursor"))?;
    let mut options = call.args_from(3);
    try_look(call, |hash, reply| {
        let mut pattern = None;
        // As Redis: where there is no hash, nobody reads the options.
        while let Some(option) = options.next().filter(|_| hash.len() > 0) {
            let value = options.next().ok_or(Fault::SYNTAX)?;
            if is_word(option, "COUNT") {
                let count = parse_i64(value).ok_or(Fault::NOT_AN_INTEGER)?;
                if count < 1 {
                    return Err(Fault::SYNTAX);
                }
            } else if is_word(option, "MATCH") {
                pattern = Some(value).filter(|pattern| *pattern != b"*");
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        let is_asked = |(name, _): &Field<'_>| pattern.is_none_or(|of| glob::matches(of, name));
        let count = match pattern {
            Some(_) => hash.iter().filter(is_asked).count(),
            None => hash.len(),
        };
        reply.array(2);
        reply.bulk_u64(0);
        reply.array(2 * count);
        write_fields(reply, hash.iter().filter(is_asked));
        Ok(())
    })
}

/// `HRANDFIELD key [count [WITHVALUES]]`: below zero so many that may be the same.
pub(super) fn hrandfield(call: &mut Call<'_>) -> Done {
    if call.args.len() == 2 {
        let number = call.shared.random.u64(..);
        return look(call, |hash, reply| {
            let place = usize::try_from(number).unwrap_or_default();
            let field = place.checked_rem(hash.len());
            let field = field.and_then(|place| hash.iter().nth(place));
            write_value(reply, field.map(|(name, _)| name));
        });
    }
    let count = call.integer(2)?;
    if count == i64::MIN {
        return Err(Fault::of(
            "ERR value is out of range, value must between -9223372036854775807 and \
             9223372036854775807",
        ));
    }
    let has_values = match call.args.get(3) {
        None => false,
        Some(word) if is_word(word, "WITHVALUES") && call.args.len() == 4 => true,
        Some(_) => return Err(Fault::SYNTAX),
    };
    if has_values && count.unsigned_abs() > i64::MAX.unsigned_abs() / 2 {
        return Err(Fault::of("ERR value is out of range"));
    }
    let many = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let most = call.limits.hard_cap();
    let mut random = call.shared.random.fork();
    try_look(call, |hash, reply| {
        if count < 0 && hash.len() > 0 {
            let (fields, start): (Vec<_>, _) = (hash.iter().collect(), reply.len());
            begin_fields(reply, many, has_values);
            for _ in 0..many {
                write_field(reply, fields[random.usize(..fields.len())], has_values);
                if reply.len() - start > most {
                    return Err(Fault::TOO_MUCH);
                }
            }
            return Ok(());
        }
        // Of the fields that are left, each is as likely to be one of those that are wanted.
        let (mut wanted, mut left) = (many.min(hash.len()), hash.len());
        begin_fields(reply, wanted, has_values);
        for field in hash.iter() {
            if random.usize(..left) < wanted {
                write_field(reply, field, has_values);
                wanted -= 1;
            }
            left -= 1;
        }
        Ok(())
    })
}

/// `HSET key field value [field value …]`
pub(super) fn hset(call: &mut Call<'_>) -> Done {
    let added = set(call, "hset")?;
    write_count(&mut call.reply, added);
    Ok(())
}

/// `HMSET key field value [field value …]`
pub(super) fn hmset(call: &mut Call<'_>) -> Done {
    match set(call, "hmset") {
        Ok(_) => call.reply.simple("OK"),
        Err(fault) if fault == Fault::TOMBSTONE => call.reply.null(),
        Err(fault) => return Err(fault),
    }
    Ok(())
}

fn set(call: &mut Call<'_>, command: &'static str) -> Result<usize, Fault> {
    let mut args = call.args_from(2);
    if args.len() % 2 == 1 {
        return Err(Fault::arguments(command));
    }
    let mut fields = Vec::with_capacity(args.len() / 2);
    while let (Some(name), Some(value)) = (args.next(), args.next()) {
        fields.push((name, value));
    }
    change(call, "hset", |hash| {
        let (changed, added) = hash.with(&fields);
        Ok((Some(changed), added))
    })
}

/// `HSETNX key field value`
pub(super) fn hsetnx(call: &mut Call<'_>) -> Done {
    let (name, value) = (call.arg(2), call.arg(3));
    let added = change(call, "hset", |hash| {
        let is_new = hash.get(name).is_none();
        Ok((is_new.then(|| hash.with(&[(name, value)]).0), is_new))
    })?;
    call.reply.integer(added.into());
    Ok(())
}

/// `HDEL key field [field …]`
pub(super) fn hdel(call: &mut Call<'_>) -> Done {
    let names = call.args_from(2);
    let removed = change(call, "hdel", |hash| {
        let (changed, removed) = hash.without(names);
        Ok(((removed > 0).then_some(changed), removed))
    })?;
    write_count(&mut call.reply, removed);
    Ok(())
}

/// `HINCRBY key field number`
pub(super) fn hincrby(call: &mut Call<'_>) -> Done {
    let (name, by) = (call.arg(2), call.integer(3)?);
    let sum = change(call, "hincrby", |hash| {
        let old = hash.get(name).map_or(Some(0), parse_i64);
        let old = old.ok_or(Fault::of("ERR hash value is not an integer"))?;
        let sum = old.checked_add(by);
        let sum = sum.ok_or(Fault::of("ERR increment or decrement would overflow"))?;
        let mut text = Vec::new();
        write_i64(&mut text, sum);
        Ok((Some(hash.with(&[(name, &text)]).0), sum))
    })?;
    call.reply.integer(sum);
    Ok(())
}

/// `HINCRBYFLOAT key field number`
pub(super) fn hincrbyfloat(call: &mut Call<'_>) -> Done {
    let (name, by) = (call.arg(2), Extended::parse(call.arg(3)));
    let by = by.ok_or(Fault::of("ERR value is not a valid float"))?;
    if !by.is_finite() {
        return Err(Fault::of("ERR value is NaN or Infinity"));
    }
    let sum = change(call, "hincrbyfloat", |hash| {
        let old = Extended::parse(hash.get(name).unwrap_or(b"0"));
        let old = old.ok_or(Fault::of("ERR hash value is not a float"))?;
        let sum = old.checked_add(by);
        let sum = sum.ok_or(Fault::of("ERR increment would produce NaN or Infinity"))?;
        let mut text = Vec::new();
        sum.write(&mut text);
        Ok((Some(hash.with(&[(name, &text)]).0), text))
    })?;
    call.reply.bulk(&sum);
    Ok(())
}

/// Answers by looking at the hash with the command's key, which may have no fields.
fn look(call: &mut Call<'_>, answer: impl FnOnce(Hash<'_>, &mut Writer<'_>)) -> Done {
    try_look(call, |hash, reply| {
        answer(hash, reply);
        Ok(())
    })
}

fn try_look(call: &mut Call<'_>, answer: impl FnOnce(Hash<'_>, &mut Writer<'_>) -> Done) -> Done {
    let (key, now) = (call.arg(1), call.now);
    let (store, reply) = call.parts();
    let entry = store.get(now, key)?;
    answer(read(entry.as_ref())?, reply)
}

/// Puts what `make` makes of the hash with the command's key, if anything, in its place.
fn change<T>(
    call: &mut Call<'_>,
    event: &'static str,
    make: impl FnOnce(Hash<'_>) -> Result<(Option<Encoded>, T), Fault>,
) -> Result<T, Fault> {
    let (key, now) = (call.arg(1), call.now);
    check_key(key, call.limits)?;
    let entry = call.store().get(now, key)?;
    let (changed, done) = make(read(entry.as_ref())?)?;
    let Some(bytes) = changed else {
        return Ok(done);
    };
    if bytes.is_empty() {
        drop_entry(call.store(), now, key)?;
        call.changed(event, key);
        call.changed("del", key);
        return Ok(done);
    }
    check_value(&bytes, call.limits)?;
    rewrite(call.store(), now, key, (Kind::Hash, &bytes))?;
    call.changed(event, key);
    Ok(done)
}

/// An entry that has to be a hash, if it is there.
fn read<'a>(entry: Option<&'a EntryRef<'_>>) -> Result<Hash<'a>, Fault> {
    match entry {
        None => Ok(Hash::default()),
        Some(entry) if entry.kind != Kind::Hash => Err(Fault::WRONG_TYPE),
        Some(entry) => Hash::read(&entry.value).map_err(|_| Fault::of("ERR the hash is damaged")),
    }
}

fn write_value(reply: &mut Writer<'_>, value: Option<&[u8]>) {
    match value {
        Some(value) => reply.bulk(value),
        None => reply.null(),
    }
}

fn write_count(reply: &mut Writer<'_>, count: usize) {
    reply.integer(i64::try_from(count).unwrap_or(i64::MAX));
}

fn write_fields<'a>(reply: &mut Writer<'_>, fields: impl Iterator<Item = Field<'a>>) {
    for (name, value) in fields {
        reply.bulk(name);
        reply.bulk(value);
    }
}

/// The beginning of so many fields, each with its value or not. RESP3 has each in an array.
fn begin_fields(reply: &mut Writer<'_>, count: usize, has_values: bool) {
    let is_flat = has_values && reply.protocol() == Protocol::Resp2;
    reply.array(if is_flat { 2 * count } else { count });
}

fn write_field(reply: &mut Writer<'_>, (name, value): Field<'_>, has_values: bool) {
    if has_values && reply.protocol() == Protocol::Resp3 {
        reply.array(2);
    }
    reply.bulk(name);
    if has_values {
        reply.bulk(value);
    }
}
