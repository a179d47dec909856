//! `OBJECT`, `MEMORY` and `TIME`: what a server knows of its keys and of the time.

use super::call::{Call, is_word};
use super::fault::{Done, Fault};
use super::help;
use super::table::Flag::{self, Loading, ReadOnly, Stale};
use super::table::{Command, Keys, command};
use crate::backend::EntryRef;
use crate::contract::Kind;
use crate::protocol::resp::number::parse_i64;

/// The longest string that Redis embeds in its object.
const EMBEDDED: usize = 44;
/// What an entry costs besides its key and value, about.
const ENTRY: usize = 48;

const READ: &[Flag] = &[ReadOnly];
const ALWAYS: &[Flag] = &[Loading, Stale];

/// The sub-commands of `OBJECT`.
pub(super) static OBJECT: &[Command] = &[
    command("object|encoding", 3, READ, Keys::SECOND, encoding),
    command("object|freq", 3, READ, Keys::SECOND, freq),
    command("object|help", 2, ALWAYS, Keys::NONE, |call| {
        help::write(call, help::OBJECT)
    }),
    command("object|idletime", 3, READ, Keys::SECOND, idletime),
    command("object|refcount", 3, READ, Keys::SECOND, refcount),
];

/// The sub-commands of `MEMORY`.
pub(super) static MEMORY: &[Command] = &[
    command("memory|help", 2, ALWAYS, Keys::NONE, |call| {
        help::write(call, help::MEMORY)
    }),
    command("memory|usage", -3, READ, Keys::SECOND, usage),
];

/// `OBJECT ENCODING key`
///
/// What Redis would choose for the value; here it makes no difference.
fn encoding(call: &mut Call<'_>) -> Done {
    let (key, now) = (call.arg(2), call.now);
    let (store, reply) = call.parts();
    match store.get(now, key)? {
        Some(entry) => reply.bulk(encoding_of(&entry).as_bytes()),
        None => reply.null(),
    }
    Ok(())
}

fn encoding_of(entry: &EntryRef<'_>) -> &'static str {
    match entry.kind {
        Kind::Hash => "listpack",
        Kind::Bytes if parse_i64(&entry.value).is_some() => "int",
        Kind::Bytes if entry.value.len() <= EMBEDDED => "embstr",
        Kind::Bytes => "raw",
    }
}

/// `OBJECT FREQ key`
fn freq(call: &mut Call<'_>) -> Done {
    answer_if_there(call, |_| {
        Err(Fault::of(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
             note that when switching between policies at runtime LRU and LFU data will take some \
             time to adjust.",
        ))
    })
}

/// `OBJECT IDLETIME key`: always zero, as nobody writes down when a key is read.
fn idletime(call: &mut Call<'_>) -> Done {
    answer_if_there(call, |_| Ok(0))
}

/// `OBJECT REFCOUNT key`
fn refcount(call: &mut Call<'_>) -> Done {
    answer_if_there(call, |_| Ok(1))
}

/// `MEMORY USAGE key [SAMPLES number]`: about.
fn usage(call: &mut Call<'_>) -> Done {
    let mut args = call.args_from(3);
    while let Some(option) = args.next() {
        let value = args.next().ok_or(Fault::SYNTAX)?;
        if !is_word(option, "SAMPLES") {
            return Err(Fault::SYNTAX);
        }
        if parse_i64(value).ok_or(Fault::NOT_AN_INTEGER)? < 0 {
            return Err(Fault::SYNTAX);
        }
    }
    let key = call.arg(2).len();
    answer_if_there(call, |entry| Ok(key + entry.value.len() + ENTRY))
}

fn answer_if_there(
    call: &mut Call<'_>,
    number: impl FnOnce(EntryRef<'_>) -> Result<usize, Fault>,
) -> Done {
    let (key, now) = (call.arg(2), call.now);
    let (store, reply) = call.parts();
    match store.get(now, key)? {
        Some(entry) => reply.integer(i64::try_from(number(entry)?).unwrap_or(i64::MAX)),
        None => reply.null(),
    }
    Ok(())
}

/// `TIME`: seconds, and microseconds of the second; whole milliseconds.
pub(super) fn time(call: &mut Call<'_>) -> Done {
    let ms = call.now.as_unix();
    call.reply.array(2);
    call.reply.bulk_u64(ms / 1_000);
    call.reply.bulk_u64(ms % 1_000 * 1_000);
    Ok(())
}
