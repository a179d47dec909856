//! Commands that read and write whole strings, one key each.
//!
//! Those on several keys are in `many`, numbers in `counters`, parts of strings in `ranges`.

use super::call::{Call, is_word, string};
use super::expiry::{Lifetime, Unit};
use super::fault::{Done, Fault};
use crate::backend::{Deadline, SetOutcome};
use crate::contract::{Condition, Kind, Seq};
use crate::exec::{check_key, check_value};

/// `GET key`
pub(super) fn get(call: &mut Call<'_>) -> Done {
    answer_value(call)?;
    Ok(())
}

/// Answers with the value of the key, and says whether there is one.
fn answer_value(call: &mut Call<'_>) -> Result<bool, Fault> {
    let (key, now) = (call.arg(1), call.now);
    let (store, reply) = call.parts();
    match store.value(now, key)? {
        Some((Kind::Bytes, value)) => {
            reply.bulk(&value);
            Ok(true)
        }
        Some(_) => Err(Fault::WRONG_TYPE),
        None => {
            reply.null();
            Ok(false)
        }
    }
}

/// The options of `SET`.
#[derive(Debug, Default, PartialEq, Eq)]
struct SetOptions<'a> {
    lifetime: Option<Lifetime<'a>>,
    condition: Condition,
    returns_old: bool,
}

impl<'a> SetOptions<'a> {
    /// Reads them, in any order. Two that contradict each other are an error; of the same one twice
    /// the last counts.
    fn read(mut args: impl Iterator<Item = &'a [u8]>) -> Result<Self, Fault> {
        let mut read = Self::default();
        while let Some(arg) = args.next() {
            if is_word(arg, "GET") {
                read.returns_old = true;
                continue;
            }
            let condition = if is_word(arg, "NX") {
                Some(Condition::IfAbsent)
            } else if is_word(arg, "XX") {
                Some(Condition::IfPresent)
            } else if is_word(arg, "IFSEQ") {
                Some(Condition::IfSeq(seq(args.next().ok_or(Fault::SYNTAX)?)?))
            } else {
                None
            };
            if let Some(condition) = condition {
                let is_first = read.condition == Condition::Always;
                if !is_first && read.condition != condition {
                    return Err(Fault::SYNTAX);
                }
                read.condition = condition;
                continue;
            }
            let lifetime = Lifetime::read(arg, &mut args).ok_or(Fault::SYNTAX)?;
            let agrees = read.lifetime.is_none_or(|other| lifetime.agrees(other));
            if !agrees || lifetime == Lifetime::Persist {
                return Err(Fault::SYNTAX);
            }
            read.lifetime = Some(lifetime);
        }
        Ok(read)
    }
}

/// The number of a write, as `GETSEQ` tells it.
fn seq(text: &[u8]) -> Result<Seq, Fault> {
    let number = std::str::from_utf8(text).ok();
    let number = number.and_then(|number| number.parse().ok());
    number.map(Seq).ok_or(Fault::NOT_AN_INTEGER)
}

/// `SET key value [NX | XX | IFSEQ number] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub(super) fn set(call: &mut Call<'_>) -> Done {
    let options = SetOptions::read(call.args_from(3))?;
    let deadline = match options.lifetime {
        Some(lifetime) => lifetime.deadline(call.now, "set")?,
        None => Deadline::Never,
    };
    if options.returns_old {
        answer_value(call)?;
    }
    let is_stored = store(call, call.arg(2), deadline, options.condition)?;
    match is_stored {
        _ if options.returns_old => {}
        true => call.reply.simple("OK"),
        false => call.reply.null(),
    }
    Ok(())
}

/// `SETNX key value`
pub(super) fn setnx(call: &mut Call<'_>) -> Done {
    let is_stored = store(call, call.arg(2), Deadline::Never, Condition::IfAbsent)?;
    call.reply.integer(is_stored.into());
    Ok(())
}

/// `SETEX key seconds value`
pub(super) fn setex(call: &mut Call<'_>) -> Done {
    set_for(call, Unit::Seconds, "setex")
}

/// `PSETEX key milliseconds value`
pub(super) fn psetex(call: &mut Call<'_>) -> Done {
    set_for(call, Unit::Millis, "psetex")
}

fn set_for(call: &mut Call<'_>, unit: Unit, command: &str) -> Done {
    let at = unit.positive(call.now, call.integer(2)?, command)?;
    // Redis always answers OK, and clients take nil as they do that of a SET.
    if store(call, call.arg(3), Deadline::At(at), Condition::Always)? {
        call.reply.simple("OK");
    } else {
        call.reply.null();
    }
    Ok(())
}

/// `GETSET key value`
pub(super) fn getset(call: &mut Call<'_>) -> Done {
    answer_value(call)?;
    store(call, call.arg(2), Deadline::Never, Condition::Always)?;
    Ok(())
}

/// Writes a value to the key. Whether the condition held.
fn store(
    call: &mut Call<'_>,
    value: &[u8],
    deadline: Deadline,
    condition: Condition,
) -> Result<bool, Fault> {
    let (key, now) = (call.arg(1), call.now);
    check_key(key, call.limits)?;
    check_value(value, call.limits)?;
    let outcome = call.store().set(now, key, value, deadline, condition)?;
    let is_stored = matches!(outcome, SetOutcome::Stored(_));
    if is_stored {
        call.changed("set", key);
        if matches!(deadline, Deadline::At(_)) {
            call.changed("expire", key);
        }
    }
    Ok(is_stored)
}

/// `GETDEL key`
pub(super) fn getdel(call: &mut Call<'_>) -> Done {
    let (key, now) = (call.arg(1), call.now);
    if answer_value(call)? {
        call.store().destroy(now, key)?;
        call.changed("del", key);
    }
    Ok(())
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub(super) fn getex(call: &mut Call<'_>) -> Done {
    let (key, now) = (call.arg(1), call.now);
    let (mut args, mut lifetime) = (call.args_from(2), None);
    while let Some(arg) = args.next() {
        let asked = Lifetime::read(arg, &mut args).ok_or(Fault::SYNTAX)?;
        let agrees = lifetime.is_none_or(|other| asked.agrees(other));
        if !agrees || asked == Lifetime::Keep {
            return Err(Fault::SYNTAX);
        }
        lifetime = Some(asked);
    }
    if !answer_value(call)? {
        return Ok(());
    }
    let Some(lifetime) = lifetime else {
        return Ok(());
    };
    let deadline = lifetime.deadline(now, "getex")?;
    let store = call.store();
    let had_deadline = store.get(now, key)?.is_some_and(|e| e.deadline.is_some());
    store.touch(now, key, deadline)?;
    match deadline {
        Deadline::At(at) if at <= now => call.changed("del", key),
        Deadline::At(_) => call.changed("expire", key),
        _ if had_deadline => call.changed("persist", key),
        _ => {}
    }
    Ok(())
}

/// `GETSEQ key`: the number of the write that made the value, and the value. For
/// `SET … IFSEQ number`; ours.
pub(super) fn getseq(call: &mut Call<'_>) -> Done {
    let (key, now) = (call.arg(1), call.now);
    let (store, reply) = call.parts();
    match string(store.get(now, key)?)? {
        Some(entry) => {
            reply.array(2);
            // A billion writes a second would need 292 years to get there.
            reply.integer(i64::try_from(entry.seq.0).unwrap_or(i64::MAX));
            reply.bulk(&entry.value);
        }
        None => reply.null_array(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &'static str) -> Result<SetOptions<'static>, Fault> {
        SetOptions::read(options.split_whitespace().map(str::as_bytes))
    }

    #[test]
    fn options_come_in_any_order_and_case() {
        let options = read("px 5 get nX").unwrap();
        assert_eq!(options, read("NX GET PX 5").unwrap());
        assert_eq!(options.condition, Condition::IfAbsent);
        assert!(options.returns_old && options.lifetime.is_some());
        assert_eq!(read("EX 1 EX 2"), read("EX 2"), "the last one counts");
        assert_eq!(read(""), Ok(SetOptions::default()));
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        for options in [
            "NX XX",
            "XX IFSEQ 1",
            "IFSEQ 1 NX",
            "EX 1 PX 1",
            "EX 1 EXAT 1",
            "KEEPTTL EX 1",
            "PERSIST",
            "EX",
            "IFSEQ",
            "FOO",
            "GET 1",
        ] {
            assert_eq!(read(options), Err(Fault::SYNTAX), "{options}");
        }
        assert_eq!(read("IFSEQ x"), Err(Fault::NOT_AN_INTEGER));
        assert_eq!(
            read("IFSEQ 18446744073709551615").unwrap().condition,
            Condition::IfSeq(Seq(u64::MAX))
        );
    }
}
