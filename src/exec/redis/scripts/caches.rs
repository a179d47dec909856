//! The scripts of caches. Each does what its text says, line by line; see `known`.

use super::script::{Returned, Script};
use super::value::Value;

pub(super) fn aiocache_compare_set(script: &mut Script<'_, '_>) -> Returned<'static> {
    let (key, value) = (script.key(1), script.arg(1));
    if script.call(0, "get", &[&key])? != script.arg(2) {
        return Ok(Value::ZERO);
    }
    if script.arg_count() == 4 {
        return script.call(1, "set", &[&key, &value, &script.arg(3), &script.arg(4)]);
    }
    script.call(2, "set", &[&key, &value])
}

pub(super) fn django_redis_increment(script: &mut Script<'_, '_>) -> Returned<'static> {
    if script.call(0, "exists", &[&script.key(1)])? == Value::ONE {
        return script.call(1, "incrby", &[&script.key(1), &script.arg(1)]);
    }
    Ok(false.into())
}

pub(super) fn increment(script: &mut Script<'_, '_>) -> Returned<'static> {
    script.call(0, "incrby", &[&script.key(1), &script.arg(1)])
}

pub(super) fn laravel_add(script: &mut Script<'_, '_>) -> Returned<'static> {
    let key = script.key(1);
    let found = script.call(0, "exists", &[&key])?;
    if !script.is_less(&found, 1.0)? {
        return Ok(false.into());
    }
    script.call(1, "setex", &[&key, &script.arg(2), &script.arg(1)])
}

pub(super) fn aspnet_hset(script: &mut Script<'_, '_>) -> Returned<'static> {
    aspnet_set(script, "hset")
}

pub(super) fn aspnet_hmset(script: &mut Script<'_, '_>) -> Returned<'static> {
    aspnet_set(script, "hmset")
}

fn aspnet_set(script: &mut Script<'_, '_>, command: &'static str) -> Returned<'static> {
    let [absolute, sliding, data] = [&b"absexp"[..], b"sldexp", b"data"].map(Value::text);
    let key = script.key(1);
    let fields = [
        &key,
        &absolute,
        &script.arg(1),
        &sliding,
        &script.arg(2),
        &data,
        &script.arg(4),
    ];
    script.call(0, command, &fields)?;
    if script.arg(3) != Value::text(b"-1") {
        script.call(1, "expire", &[&key, &script.arg(3)])?;
    }
    Ok(Value::ONE)
}
