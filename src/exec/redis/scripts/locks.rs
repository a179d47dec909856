//! The scripts of locks. Each does what its text says, line by line; see `known`.

use super::script::{Returned, Script};
use super::value::Value;

/// Whether the first key's value is the first argument.
fn is_held(script: &mut Script<'_, '_>) -> Result<bool, super::Fault> {
    let held = script.call(0, "get", &[&script.key(1)])?;
    Ok(held == script.arg(1))
}

pub(super) fn compare_delete(script: &mut Script<'_, '_>) -> Returned<'static> {
    if is_held(script)? {
        return script.call(1, "del", &[&script.key(1)]);
    }
    Ok(Value::ZERO)
}

pub(super) fn compare_expire(script: &mut Script<'_, '_>) -> Returned<'static> {
    compare_and(script, "expire")
}

pub(super) fn compare_pexpire(script: &mut Script<'_, '_>) -> Returned<'static> {
    compare_and(script, "pexpire")
}

fn compare_and(script: &mut Script<'_, '_>, command: &'static str) -> Returned<'static> {
    if is_held(script)? {
        return script.call(1, command, &[&script.key(1), &script.arg(2)]);
    }
    Ok(Value::ZERO)
}

pub(super) fn redsync_delete(script: &mut Script<'_, '_>) -> Returned<'static> {
    let held = script.call(0, "get", &[&script.key(1)])?;
    if held == script.arg(1) {
        return script.call(1, "del", &[&script.key(1)]);
    }
    let is_gone = held == Value::Boolean(false);
    Ok(if is_gone {
        Value::Number(-1.0)
    } else {
        Value::ZERO
    })
}

pub(super) fn redis_py_release(script: &mut Script<'_, '_>) -> Returned<'static> {
    if !is_held(script)? {
        return Ok(Value::ZERO);
    }
    script.call(1, "del", &[&script.key(1)])?;
    Ok(Value::ONE)
}

pub(super) fn redis_py_extend(script: &mut Script<'_, '_>) -> Returned<'static> {
    if !is_held(script)? {
        return Ok(Value::ZERO);
    }
    let left = script.call(1, "pttl", &[&script.key(1)])?;
    if script.is_less(&left, 0.0)? {
        return Ok(Value::ZERO);
    }
    let mut ttl = script.arg(2);
    if script.arg(3) == Value::text(b"0") {
        ttl = Value::Number(script.number(&ttl)? + script.number(&left)?);
    }
    script.call(2, "pexpire", &[&script.key(1), &ttl])?;
    Ok(Value::ONE)
}

/// As [`compare_pexpire`], but for what it returns.
pub(super) fn compare_pexpire_one(script: &mut Script<'_, '_>) -> Returned<'static> {
    if !is_held(script)? {
        return Ok(Value::ZERO);
    }
    script.call(1, "pexpire", &[&script.key(1), &script.arg(2)])?;
    Ok(Value::ONE)
}

pub(super) fn redlock_acquire(script: &mut Script<'_, '_>) -> Returned<'static> {
    for key in script.keys() {
        if script.call(0, "exists", &[&key])? == Value::ONE {
            return Ok(Value::ZERO);
        }
    }
    redlock_set(script)
}

pub(super) fn redlock_extend(script: &mut Script<'_, '_>) -> Returned<'static> {
    for key in script.keys() {
        if script.call(0, "get", &[&key])? != script.arg(1) {
            return Ok(Value::ZERO);
        }
    }
    redlock_set(script)
}

fn redlock_set(script: &mut Script<'_, '_>) -> Returned<'static> {
    let px = Value::text(b"PX");
    for key in script.keys() {
        script.call(1, "set", &[&key, &script.arg(1), &px, &script.arg(2)])?;
    }
    Ok(count(script.key_count()))
}

pub(super) fn redlock_release(script: &mut Script<'_, '_>) -> Returned<'static> {
    let mut released = 0;
    for key in script.keys() {
        if script.call(0, "get", &[&key])? == script.arg(1) {
            script.pcall("del", &[&key]);
            released += 1;
        }
    }
    Ok(count(released))
}

fn count(count: usize) -> Value<'static> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    Value::Number(count.into())
}

pub(super) fn laravel_refresh(script: &mut Script<'_, '_>) -> Returned<'static> {
    if !is_held(script)? {
        return Ok(Value::ZERO);
    }
    let ttl = script.arg(2);
    let seconds = ttl.to_number().map_or(Value::Nil, Value::Number);
    if script.is_above(&seconds, 0.0)? {
        return script.call(1, "expire", &[&script.key(1), &ttl]);
    }
    script.call(2, "persist", &[&script.key(1)])?;
    Ok(Value::ONE)
}

pub(super) fn spring_obtain(script: &mut Script<'_, '_>) -> Returned<'static> {
    let (key, id, ttl) = (script.key(1), script.arg(1), script.arg(2));
    let held = script.call(0, "get", &[&key])?;
    if held == id {
        script.call(1, "pexpire", &[&key, &ttl])?;
        return Ok(true.into());
    }
    if !held.is_true() {
        script.call(2, "set", &[&key, &id, &Value::text(b"PX"), &ttl])?;
        return Ok(true.into());
    }
    Ok(false.into())
}

pub(super) fn spring_renew(script: &mut Script<'_, '_>) -> Returned<'static> {
    let is_held = is_held(script)?;
    if is_held {
        script.call(1, "pexpire", &[&script.key(1), &script.arg(2)])?;
    }
    Ok(is_held.into())
}

pub(super) fn spring_del(script: &mut Script<'_, '_>) -> Returned<'static> {
    spring_release(script, "del")
}

pub(super) fn spring_unlink(script: &mut Script<'_, '_>) -> Returned<'static> {
    spring_release(script, "unlink")
}

fn spring_release(script: &mut Script<'_, '_>, command: &'static str) -> Returned<'static> {
    let is_held = is_held(script)?;
    if is_held {
        script.call(1, command, &[&script.key(1)])?;
    }
    Ok(is_held.into())
}

pub(super) fn spring_del_publish(script: &mut Script<'_, '_>) -> Returned<'static> {
    spring_release_and_tell(script, "del")
}

pub(super) fn spring_unlink_publish(script: &mut Script<'_, '_>) -> Returned<'static> {
    spring_release_and_tell(script, "unlink")
}

fn spring_release_and_tell(
    script: &mut Script<'_, '_>,
    command: &'static str,
) -> Returned<'static> {
    if is_held(script)? && script.call(1, command, &[&script.key(1)])? == Value::ONE {
        script.call(2, "publish", &[&script.arg(2), &script.key(1)])?;
        return Ok(true.into());
    }
    Ok(false.into())
}

/// What aioredlock answers where somebody else holds the lock.
const NOT_OURS: Value<'static> = Value::Error(std::borrow::Cow::Borrowed(b"ERR ERROR"));

pub(super) fn aioredlock_set(script: &mut Script<'_, '_>) -> Returned<'static> {
    let (key, id) = (script.key(1), script.arg(1));
    let held = script.call(0, "get", &[&key])?;
    if held.is_true() && held != id {
        return Ok(NOT_OURS);
    }
    script.call(1, "set", &[&key, &id, &Value::text(b"PX"), &script.arg(2)])
}

pub(super) fn aioredlock_unset(script: &mut Script<'_, '_>) -> Returned<'static> {
    let held = script.call(0, "get", &[&script.key(1)])?;
    if !held.is_true() {
        return Ok(Value::Okay);
    }
    if held == script.arg(1) {
        return script.call(1, "del", &[&script.key(1)]);
    }
    Ok(NOT_OURS)
}

pub(super) fn aioredlock_ttl(script: &mut Script<'_, '_>) -> Returned<'static> {
    let held = script.call(0, "get", &[&script.key(1)])?;
    if held.is_true() && held == script.arg(1) {
        return script.call(1, "ttl", &[&script.key(1)]);
    }
    Ok(NOT_OURS)
}

pub(super) fn pottery_acquired(script: &mut Script<'_, '_>) -> Returned<'static> {
    if !is_held(script)? {
        return Ok(Value::ZERO);
    }
    let left = script.call(1, "pttl", &[&script.key(1)])?;
    let is_left = script.is_above(&left, 0.0)?;
    Ok(if is_left { left } else { Value::ZERO })
}

pub(super) fn python_redis_lock_extend(script: &mut Script<'_, '_>) -> Returned<'static> {
    if !is_held(script)? {
        return Ok(Value::ONE);
    }
    let left = script.call(1, "ttl", &[&script.key(1)])?;
    if script.is_less(&left, 0.0)? {
        return Ok(Value::Number(2.0));
    }
    script.call(2, "expire", &[&script.key(1), &script.arg(2)])?;
    Ok(Value::ZERO)
}
