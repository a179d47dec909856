//! Commands that count: integers of 64 bits and floats, kept as text.

use std::io::Write as _;

use super::call::{Call, rewrite, string};
use super::fault::{Done, Fault};
use crate::contract::Kind;
use crate::exec::check_key;
use crate::protocol::resp::Extended;
use crate::protocol::resp::number::parse_i64;

/// `INCR key`
pub(super) fn incr(call: &mut Call<'_>) -> Done {
    add(call, 1)
}

/// `DECR key`
pub(super) fn decr(call: &mut Call<'_>) -> Done {
    add(call, -1)
}

/// `INCRBY key number`
pub(super) fn incrby(call: &mut Call<'_>) -> Done {
    add(call, call.integer(2)?)
}

/// `DECRBY key number`
pub(super) fn decrby(call: &mut Call<'_>) -> Done {
    let by = call.integer(2)?.checked_neg();
    let by = by.ok_or(Fault::of("ERR decrement would overflow"))?;
    add(call, by)
}

/// All four are one change for those who are told of changes, as in Redis.
fn add(call: &mut Call<'_>, by: i64) -> Done {
    let (key, now) = (call.arg(1), call.now);
    check_key(key, call.limits)?;
    let store = call.store();
    let old = match string(store.get(now, key)?)? {
        Some(entry) => parse_i64(&entry.value).ok_or(Fault::NOT_AN_INTEGER)?,
        None => 0,
    };
    let sum = old.checked_add(by);
    let sum = sum.ok_or(Fault::of("ERR increment or decrement would overflow"))?;
    let mut text = [0; 20]; // i64::MIN has so many characters
    let mut rest = text.as_mut_slice();
    write!(rest, "{sum}").expect("it is long enough");
    let len = 20 - rest.len();
    rewrite(store, now, key, (Kind::Bytes, &text[..len]))?;
    call.changed("incrby", key);
    call.reply.integer(sum);
    Ok(())
}

/// `INCRBYFLOAT key number`
pub(super) fn incrbyfloat(call: &mut Call<'_>) -> Done {
    let (key, by, now) = (call.arg(1), call.arg(2), call.now);
    check_key(key, call.limits)?;
    let float = |text: &[u8]| {
        let float = Extended::parse(text);
        float.ok_or(Fault::of("ERR value is not a valid float"))
    };
    let (store, reply) = call.parts();
    let old = match string(store.get(now, key)?)? {
        Some(entry) => float(&entry.value)?,
        None => float(b"0")?,
    };
    let sum = old.checked_add(float(by)?);
    let sum = sum.ok_or(Fault::of("ERR increment would produce NaN or Infinity"))?;
    let mut text = Vec::new();
    sum.write(&mut text);
    rewrite(store, now, key, (Kind::Bytes, &text))?;
    reply.bulk(&text);
    call.changed("incrbyfloat", key);
    Ok(())
}
