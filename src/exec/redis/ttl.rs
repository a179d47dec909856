//! Commands about deadlines.

use super::call::{Call, is_word};
use super::expiry::{Unit, invalid};
use super::fault::{Done, Fault};
use crate::backend::Deadline;
use crate::exec::ttl_ms;
use crate::time::Millis;

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub(super) fn expire(call: &mut Call<'_>) -> Done {
    set_deadline(call, Unit::Seconds, "expire")
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpire(call: &mut Call<'_>) -> Done {
    set_deadline(call, Unit::Millis, "pexpire")
}

/// `EXPIREAT key unix-seconds [NX | XX | GT | LT]`
pub(super) fn expireat(call: &mut Call<'_>) -> Done {
    set_deadline(call, Unit::UnixSeconds, "expireat")
}

/// `PEXPIREAT key unix-milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpireat(call: &mut Call<'_>) -> Done {
    set_deadline(call, Unit::UnixMillis, "pexpireat")
}

/// When a deadline is to be set.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they combine")]
struct Conditions {
    if_none: bool,
    if_any: bool,
    if_later: bool,
    if_earlier: bool,
}

impl Conditions {
    fn read<'a>(args: impl Iterator<Item = &'a [u8]>) -> Result<Self, Fault> {
        let mut read = Self::default();
        for arg in args {
            let condition = [
                ("NX", &mut read.if_none),
                ("XX", &mut read.if_any),
                ("GT", &mut read.if_later),
                ("LT", &mut read.if_earlier),
            ];
            let mut named = condition.into_iter().filter(|(name, _)| is_word(arg, name));
            let Some((_, asked)) = named.next() else {
                return Err(Fault::quoting("ERR Unsupported option ", arg, ""));
            };
            *asked = true;
        }
        if read.if_none && (read.if_any || read.if_later || read.if_earlier) {
            let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
            return Err(Fault::of(text));
        }
        if read.if_later && read.if_earlier {
            let text = "ERR GT and LT options at the same time are not compatible";
            return Err(Fault::of(text));
        }
        Ok(read)
    }

    /// Whether they hold where an entry has a deadline and shall get another. No deadline is later
    /// than every other.
    fn hold(self, has: Option<Millis>, at: i64) -> bool {
        let has = has.map(|has| i64::try_from(has.as_unix()).unwrap_or(i64::MAX));
        !(self.if_none && has.is_some()
            || self.if_any && has.is_none()
            || self.if_later && has.is_none_or(|has| at <= has)
            || self.if_earlier && has.is_some_and(|has| at >= has))
    }
}

fn set_deadline(call: &mut Call<'_>, unit: Unit, command: &str) -> Done {
    let conditions = Conditions::read(call.args_from(3))?;
    let (key, number, now) = (call.arg(1), call.integer(2)?, call.now);
    let at = unit.absolute(now, number).ok_or_else(|| invalid(command))?;
    let store = call.store();
    // Without conditions there is no need to look.
    let is_asked = conditions == Conditions::default()
        || match store.get(now, key)? {
            Some(entry) => conditions.hold(entry.deadline, at),
            None => false,
        };
    // Before the epoch is as past as the epoch.
    let at = Millis::from_unix(u64::try_from(at).unwrap_or(0));
    let is_done = is_asked && store.touch(now, key, Deadline::At(at))?;
    if is_done {
        call.changed(if at <= now { "del" } else { "expire" }, key);
    }
    call.reply.integer(is_done.into());
    Ok(())
}

/// `PERSIST key`
pub(super) fn persist(call: &mut Call<'_>) -> Done {
    let (key, now) = (call.arg(1), call.now);
    let store = call.store();
    let has_deadline = store
        .get(now, key)?
        .is_some_and(|entry| entry.deadline.is_some());
    let is_done = has_deadline && store.touch(now, key, Deadline::Never)?;
    if is_done {
        call.changed("persist", key);
    }
    call.reply.integer(is_done.into());
    Ok(())
}

/// `TTL key`
pub(super) fn ttl(call: &mut Call<'_>) -> Done {
    tell(call, |now, at| seconds(left(now, at)))
}

/// `PTTL key`
pub(super) fn pttl(call: &mut Call<'_>) -> Done {
    tell(call, left)
}

/// `EXPIRETIME key`
pub(super) fn expiretime(call: &mut Call<'_>) -> Done {
    tell(call, |_, at| seconds(at.as_unix()))
}

/// `PEXPIRETIME key`
pub(super) fn pexpiretime(call: &mut Call<'_>) -> Done {
    tell(call, |_, at| at.as_unix())
}

fn left(now: Millis, at: Millis) -> u64 {
    ttl_ms(now, Some(at)).unwrap_or(0)
}

/// The nearest number of seconds.
fn seconds(ms: u64) -> u64 {
    ms.saturating_add(500) / 1_000
}

/// Answers with a number made of a deadline; -2 means no entry, -1 no deadline.
fn tell(call: &mut Call<'_>, number: impl FnOnce(Millis, Millis) -> u64) -> Done {
    let (key, now) = (call.arg(1), call.now);
    let number = match call.store().get(now, key)? {
        None => -2,
        Some(entry) => entry
            .deadline
            .map_or(-1, |at| i64::try_from(number(now, at)).unwrap_or(i64::MAX)),
    };
    call.reply.integer(number);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(words: &str) -> Result<Conditions, Fault> {
        Conditions::read(words.split_whitespace().map(str::as_bytes))
    }

    #[test]
    fn conditions_compare_with_the_deadline_there_is() {
        let cases = [
            ("", None, 5, true),
            ("NX", None, 5, true),
            ("NX", Some(9), 5, false),
            ("xx", None, 5, false),
            ("XX", Some(9), 5, true),
            ("GT", None, i64::MAX, false),
            ("GT", Some(5), 5, false),
            ("GT", Some(5), 6, true),
            ("LT", None, 5, true),
            ("LT", Some(5), 5, false),
            ("LT", Some(5), -4, true),
            ("LT XX", None, 5, false),
            ("GT XX XX", Some(5), 6, true),
        ];
        for (words, has, at, holds) in cases {
            let has = has.map(Millis::from_unix);
            let conditions = conditions(words).unwrap();
            assert_eq!(conditions.hold(has, at), holds, "{words} {has:?} {at}");
        }
    }

    #[test]
    fn conditions_that_exclude_each_other_are_refused() {
        for words in ["NX XX", "lt nx", "GT LT", "XX GT LT", "KEEPTTL", "NX 1"] {
            assert!(conditions(words).is_err(), "{words}");
        }
        assert!(conditions("GT FOO NX").unwrap_err().0.ends_with(b"FOO"));
    }

    #[test]
    fn seconds_are_rounded_to_the_nearest() {
        assert_eq!([0, 499, 500, 1_499, 1_500].map(seconds), [0, 0, 1, 1, 2]);
    }
}
