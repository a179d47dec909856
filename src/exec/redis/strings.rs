//! Commands on strings.

use super::call::{Call, is_word, string};
use super::expiry::Unit;
use super::fault::{Done, Fault};
use crate::backend::{Deadline, SetOutcome};
use crate::contract::{Condition, Seq};
use crate::exec::{check_key, check_value};

/// `GET key`
pub(super) fn get(call: &mut Call<'_>) -> Done {
    let (key, now) = (call.arg(1), call.now);
    let (store, reply) = call.parts();
    match string(store.get(now, key)?)? {
        Some(entry) => reply.bulk(&entry.value),
        None => reply.null(),
    }
    Ok(())
}

/// The options of `SET`.
struct SetOptions {
    deadline: Deadline,
    condition: Condition,
    returns_old: bool,
}

impl SetOptions {
    /// Reads them from the fourth argument on. They may come in any order.
    fn read(call: &Call<'_>) -> Result<Self, Fault> {
        let (mut expiry, mut condition, mut returns_old) = (None, None, false);
        let mut args = call.args_from(3);
        while let Some(arg) = args.next() {
            let asked = if is_word(arg, "NX") {
                condition.replace(Condition::IfAbsent).is_some()
            } else if is_word(arg, "XX") {
                condition.replace(Condition::IfPresent).is_some()
            } else if is_word(arg, "IFSEQ") {
                let number = args.next().ok_or(Fault::SYNTAX)?;
                let number = std::str::from_utf8(number)
                    .ok()
                    .and_then(|n| n.parse().ok());
                let seq = Seq(number.ok_or(Fault::NOT_AN_INTEGER)?);
                condition.replace(Condition::IfSeq(seq)).is_some()
            } else if is_word(arg, "GET") {
                returns_old = true;
                false
            } else if is_word(arg, "KEEPTTL") {
                expiry.replace(None).is_some()
            } else if let Some(unit) = Unit::of_option(arg) {
                let number = args.next().ok_or(Fault::SYNTAX)?;
                expiry.replace(Some((unit, number))).is_some()
            } else {
                return Err(Fault::SYNTAX);
            };
            if asked {
                return Err(Fault::SYNTAX);
            }
        }
        let deadline = match expiry {
            None => Deadline::Never,
            Some(None) => Deadline::Keep,
            Some(Some((unit, number))) => {
                let number = crate::protocol::resp::number::parse_i64(number);
                let number = number.ok_or(Fault::NOT_AN_INTEGER)?;
                Deadline::At(unit.positive(call.now, number, "set")?)
            }
        };
        Ok(Self {
            deadline,
            condition: condition.unwrap_or_default(),
            returns_old,
        })
    }
}

/// `SET key value [NX | XX | IFSEQ number] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub(super) fn set(call: &mut Call<'_>) -> Done {
    let options = SetOptions::read(call)?;
    let (key, value, now) = (call.arg(1), call.arg(2), call.now);
    check_key(key, call.limits)?;
    check_value(value, call.limits)?;
    let (store, reply) = call.parts();
    let start = reply.len();
    if options.returns_old {
        match string(store.get(now, key)?)? {
            Some(entry) => reply.bulk(&entry.value),
            None => reply.null(),
        }
    }
    let done = store.set(now, key, value, options.deadline, options.condition);
    let done = done.inspect_err(|_| reply.truncate(start))?;
    match done {
        _ if options.returns_old => {}
        SetOutcome::Stored(_) => reply.simple("OK"),
        SetOutcome::Conflict(_) => reply.null(),
    }
    Ok(())
}
