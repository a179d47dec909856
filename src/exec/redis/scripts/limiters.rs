//! The scripts of rate limiters. Each does what its text says, line by line; see `known`.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::super::fault::Fault;
use super::script::{Returned, Script};
use super::value::Value;

/// `tonumber(ARGV[at])`
fn number_of_arg(script: &Script<'_, '_>, at: usize) -> Value<'static> {
    let number = script.arg(at).to_number();
    number.map_or(Value::Nil, Value::Number)
}

pub(super) fn increment_expire(script: &mut Script<'_, '_>) -> Returned<'static> {
    increment_and(script, "expire")
}

pub(super) fn increment_pexpire(script: &mut Script<'_, '_>) -> Returned<'static> {
    increment_and(script, "pexpire")
}

fn increment_and(script: &mut Script<'_, '_>, command: &'static str) -> Returned<'static> {
    let count = script.call(0, "incr", &[&script.key(1)])?;
    if count == Value::ONE {
        script.call(1, command, &[&script.key(1), &script.arg(1)])?;
    }
    Ok(count)
}

pub(super) fn rate_limit_redis_increment(script: &mut Script<'_, '_>) -> Returned<'static> {
    count_in_window(script, 1, false)
}

pub(super) fn rate_limit_redis_4_increment(script: &mut Script<'_, '_>) -> Returned<'static> {
    let renews = script.arg(1) == Value::text(b"1");
    count_in_window(script, 2, renews)
}

fn count_in_window(script: &mut Script<'_, '_>, window: usize, renews: bool) -> Returned<'static> {
    let (key, window) = (script.key(1), number_of_arg(script, window));
    let mut left = script.call(0, "pttl", &[&key])?;
    if !script.is_above(&left, 0.0)? {
        script.call(1, "set", &[&key, &Value::ONE, &Value::text(b"PX"), &window])?;
        return Ok(Value::Table(vec![Value::ONE, window]));
    }
    let hits = script.call(2, "incr", &[&key])?;
    if renews {
        script.call(3, "pexpire", &[&key, &window])?;
        left = window;
    }
    Ok(Value::Table(vec![hits, left]))
}

pub(super) fn rate_limit_redis_get(script: &mut Script<'_, '_>) -> Returned<'static> {
    let hits = script.call(0, "get", &[&script.key(1)])?;
    let left = script.call(1, "pttl", &[&script.key(1)])?;
    Ok(Value::Table(vec![hits, left]))
}

pub(super) fn rate_limiter_flexible(script: &mut Script<'_, '_>) -> Returned<'static> {
    let (key, seconds) = (script.key(1), script.arg(2));
    let [ex, nx] = [&b"EX"[..], b"NX"].map(Value::text);
    script.call(0, "set", &[&key, &Value::ZERO, &ex, &seconds, &nx])?;
    let consumed = script.call(1, "incrby", &[&key, &script.arg(1)])?;
    let mut left = script.call(2, "pttl", &[&key])?;
    if left == Value::Number(-1.0) {
        script.call(3, "expire", &[&key, &seconds])?;
        left = Value::Number(1000.0 * script.number(&seconds)?);
    }
    Ok(Value::Table(vec![consumed, left]))
}

pub(super) fn fastify_rate_limit_increment(script: &mut Script<'_, '_>) -> Returned<'static> {
    const LONGEST: f64 = 9_007_199_254_740_991.0;
    let (key, most) = (script.key(1), number_of_arg(script, 2));
    let mut window = number_of_arg(script, 1);
    let [renews, backs_off] = [3, 4].map(|at| script.arg(at) == Value::text(b"true"));
    let count = script.call(0, "incr", &[&key])?;
    if count == Value::ONE || (renews && is_beyond(script, &count, &most)?) {
        script.call(1, "pexpire", &[&key, &window])?;
    } else if backs_off && is_beyond(script, &count, &most)? {
        let exponent = script.number(&count)? - script.number(&most)? - 1.0;
        let longer = script.number(&window)? * exponent.exp2();
        window = Value::Number(longer.min(LONGEST));
        script.call(2, "pexpire", &[&key, &window])?;
    } else {
        window = script.call(3, "pttl", &[&key])?;
    }
    Ok(Value::Table(vec![count, window]))
}

/// Whether a count is above what is allowed.
fn is_beyond(script: &Script<'_, '_>, count: &Value<'_>, most: &Value<'_>) -> Result<bool, Fault> {
    Ok(script.order(most, count)? == Some(Ordering::Less))
}

pub(super) fn fastify_rate_limit_read(script: &mut Script<'_, '_>) -> Returned<'static> {
    let count = script.call(0, "get", &[&script.key(1)])?;
    if !count.is_true() {
        return Ok(Value::Table(vec![Value::ZERO, Value::ZERO]));
    }
    let mut left = script.call(1, "pttl", &[&script.key(1)])?;
    if script.is_less(&left, 0.0)? {
        left = Value::ZERO;
    }
    let count = count.to_number().map_or(Value::Nil, Value::Number);
    Ok(Value::Table(vec![count, left]))
}

pub(super) fn nest_throttler(script: &mut Script<'_, '_>) -> Returned<'static> {
    let (key, block, px) = (script.key(1), script.key(2), Value::text(b"PX"));
    let [window, limit, block_time] = [2, 3, 4].map(|at| number_of_arg(script, at));
    let mut count = script.call(0, "incr", &[&key])?;
    let mut left = script.call(1, "pttl", &[&key])?;
    if !script.is_above(&left, 0.0)? {
        script.call(2, "pexpire", &[&key, &window])?;
        left = window.clone();
    }
    let mut is_blocked = script.call(3, "get", &[&block])?.is_true();
    let mut block_left = Value::ZERO;
    if is_blocked {
        block_left = script.call(4, "pttl", &[&block])?;
    } else if is_beyond(script, &count, &limit)? {
        script.call(5, "set", &[&block, &Value::ONE, &px, &block_time])?;
        is_blocked = true;
        block_left = block_time;
    }
    if is_blocked && !script.is_above(&block_left, 0.0)? {
        script.call(6, "del", &[&block])?;
        script.call(7, "set", &[&key, &Value::ONE, &px, &window])?;
        (count, left, is_blocked) = (Value::ONE, window, false);
    }
    let blocked = if is_blocked { Value::ONE } else { Value::ZERO };
    Ok(Value::Table(vec![count, left, blocked, block_left]))
}

pub(super) fn limits_increment(script: &mut Script<'_, '_>) -> Returned<'static> {
    let amount = number_of_arg(script, 2);
    let current = script.call(0, "incrby", &[&script.key(1), &amount])?;
    if current == amount {
        script.call(1, "expire", &[&script.key(1), &script.arg(1)])?;
    }
    Ok(current)
}

/// Makes the current window the previous one if its time is over. `sites` are those of `rename`
/// and `set`.
fn limits_shift(
    script: &mut Script<'_, '_>,
    left: &Value<'_>,
    expiry: f64,
    sites: [usize; 2],
) -> Result<bool, Fault> {
    let is_over = script.is_above(left, 0.0)? && script.is_less(left, expiry)?;
    if is_over {
        let (previous, current) = (script.key(1), script.key(2));
        script.call(sites[0], "rename", &[&current, &previous])?;
        let ttl = Value::Number(script.number(left)? + expiry);
        let px = Value::text(b"PX");
        script.call(sites[1], "set", &[&current, &Value::ZERO, &px, &ttl])?;
    }
    Ok(is_over)
}

pub(super) fn limits_sliding_acquire(script: &mut Script<'_, '_>) -> Returned<'static> {
    let limit = number_of_arg(script, 1);
    let expiry = script.number(&number_of_arg(script, 2))? * 1000.0;
    let amount = number_of_arg(script, 3);
    if script.order(&limit, &amount)? == Some(Ordering::Less) {
        return Ok(false.into());
    }
    let (previous, current) = (script.key(1), script.key(2));
    let (limit, count) = (script.number(&limit)?, script.number(&amount)?);
    let left = script.call(0, "pttl", &[&current])?;
    limits_shift(script, &left, expiry, [1, 2])?;
    let mut found = [0.0; 4];
    let asked = [
        ("get", &previous),
        ("pttl", &previous),
        ("get", &current),
        ("pttl", &current),
    ];
    for (n, (command, key)) in asked.into_iter().enumerate() {
        let value = script.call(3 + n, command, &[key])?;
        found[n] = value.to_number().unwrap_or(0.0);
    }
    let [previous_count, previous_ttl, current_count, _] = found;
    let previous_ttl = if previous_ttl <= 0.0 {
        0.0
    } else {
        previous_ttl
    };
    let weighted = (previous_count * previous_ttl / expiry).floor() + current_count;
    if weighted + count > limit {
        return Ok(false.into());
    }
    if script.call(7, "exists", &[&current])? == Value::ONE {
        script.call(8, "incrby", &[&current, &amount])?;
    } else {
        let ttl = Value::Number(expiry * 2.0);
        script.call(9, "set", &[&current, &amount, &Value::text(b"PX"), &ttl])?;
    }
    Ok(true.into())
}

pub(super) fn limits_sliding_get(script: &mut Script<'_, '_>) -> Returned<'static> {
    let expiry = script.number(&number_of_arg(script, 1))? * 1000.0;
    let mut found = limits_windows(script, 0)?;
    if limits_shift(script, &found[3], expiry, [4, 5])? {
        found = limits_windows(script, 6)?;
    }
    Ok(Value::Table(found))
}

/// The count and the time left of both windows.
fn limits_windows(script: &mut Script<'_, '_>, site: usize) -> Result<Vec<Value<'static>>, Fault> {
    let (previous, current) = (script.key(1), script.key(2));
    Ok(vec![
        script.call(site, "get", &[&previous])?,
        script.call(site + 1, "pttl", &[&previous])?,
        script.call(site + 2, "get", &[&current])?,
        script.call(site + 3, "pttl", &[&current])?,
    ])
}

pub(super) fn limits_clear(script: &mut Script<'_, '_>) -> Returned<'static> {
    let mut removed = 0.0;
    if let Value::Table(keys) = script.call(0, "keys", &[&script.key(1)])? {
        for some in keys.chunks(5_000) {
            let some: Vec<_> = some.iter().collect();
            let count = script.call(1, "del", &some)?;
            removed += script.number(&count)?;
        }
    }
    Ok(Value::Number(removed))
}

pub(super) fn fastapi_limiter(script: &mut Script<'_, '_>) -> Returned<'static> {
    let (key, limit) = (script.key(1), number_of_arg(script, 1));
    let current = match script.call(0, "get", &[&key])? {
        Value::Boolean(false) => Value::ZERO,
        found => found.to_number().map_or(Value::Nil, Value::Number),
    };
    if !script.is_above(&current, 0.0)? {
        let px = Value::text(b"PX");
        script.call(3, "set", &[&key, &Value::ONE, &px, &script.arg(2)])?;
        return Ok(Value::ZERO);
    }
    let next = Value::Number(script.number(&current)? + 1.0);
    if script.order(&limit, &next)? == Some(Ordering::Less) {
        return script.call(1, "pttl", &[&key]);
    }
    script.call(2, "incr", &[&key])?;
    Ok(Value::ZERO)
}

/// An argument to calculate with.
fn operand(script: &Script<'_, '_>, at: usize) -> Result<f64, Fault> {
    script.number(&script.arg(at))
}

/// When a limiter's time is over that begins now.
fn laravel_end(script: &Script<'_, '_>) -> Returned<'static> {
    Ok(Value::Number(operand(script, 2)? + operand(script, 3)?))
}

/// Begins anew. The sites of its calls are the first two.
fn laravel_reset(script: &mut Script<'_, '_>) -> Returned<'static> {
    let [start, end, count] = [&b"start"[..], b"end", b"count"].map(Value::text);
    let (key, until) = (script.key(1), laravel_end(script)?);
    let fields = [
        &key,
        &start,
        &script.arg(2),
        &end,
        &until,
        &count,
        &Value::ONE,
    ];
    script.call(0, "hmset", &fields)?;
    let ttl = Value::Number(operand(script, 3)? * 2.0);
    let set = script.call(1, "expire", &[&key, &ttl])?;
    let left = Value::Number(operand(script, 4)? - 1.0);
    Ok(Value::Table(vec![set, until, left]))
}

/// Whether a limiter's time is not over. `site` is that of the first of its two calls.
fn laravel_goes_on(script: &mut Script<'_, '_>, site: usize) -> Result<bool, Fault> {
    let (key, now) = (script.key(1), script.arg(1));
    let start = script.call(site, "hget", &[&key, &Value::text(b"start")])?;
    if script.order(&start, &now)? == Some(Ordering::Greater) {
        return Ok(false);
    }
    let end = script.call(site + 1, "hget", &[&key, &Value::text(b"end")])?;
    Ok(script.order(&now, &end)? != Some(Ordering::Greater))
}

/// What a limiter says of its end, and how many are left. `site` is that of the first call.
fn laravel_state(script: &mut Script<'_, '_>, site: usize) -> Result<[Value<'static>; 2], Fault> {
    let key = script.key(1);
    let end = script.call(site, "hget", &[&key, &Value::text(b"end")])?;
    let most = script.arg(4);
    let count = script.call(site + 1, "hget", &[&key, &Value::text(b"count")])?;
    let left = script.number(&most)? - script.number(&count)?;
    Ok([end, Value::Number(left)])
}

pub(super) fn laravel_duration_acquire(script: &mut Script<'_, '_>) -> Returned<'static> {
    let key = script.key(1);
    if script.call(2, "exists", &[&key])? == Value::ZERO || !laravel_goes_on(script, 3)? {
        return laravel_reset(script);
    }
    let count = Value::text(b"count");
    let taken = script.call(5, "hincrby", &[&key, &count, &Value::ONE])?;
    let most = number_of_arg(script, 4);
    let is_within = script.order(&taken, &most)? != Some(Ordering::Greater);
    let [end, left] = laravel_state(script, 6)?;
    Ok(Value::Table(vec![is_within.into(), end, left]))
}

pub(super) fn laravel_duration_attempts(script: &mut Script<'_, '_>) -> Returned<'static> {
    let found = script.call(0, "exists", &[&script.key(1)])?;
    if found == Value::ZERO || !laravel_goes_on(script, 1)? {
        return Ok(Value::Table(vec![Value::ZERO, laravel_end(script)?]));
    }
    let state = laravel_state(script, 3)?;
    Ok(Value::Table(state.into()))
}

/// The values of all keys.
fn values(script: &mut Script<'_, '_>) -> Result<Vec<Value<'static>>, Fault> {
    let keys: Vec<_> = script.keys().collect();
    let keys: Vec<_> = keys.iter().collect();
    match script.call(0, "mget", &keys)? {
        Value::Table(values) => Ok(values),
        other => Ok(vec![other]),
    }
}

pub(super) fn laravel_concurrency_acquire(script: &mut Script<'_, '_>) -> Returned<'static> {
    let values = values(script)?;
    let Some(free) = values.iter().position(|value| !value.is_true()) else {
        return Ok(Value::Nil);
    };
    let (id, ttl) = (script.arg(3), script.arg(2));
    let slot = script.key(free + 1);
    script.call(1, "set", &[&slot, &id, &Value::text(b"EX"), &ttl])?;
    let Value::Text(name) = script.arg(1) else {
        return Err(script.error("attempt to concatenate field '?' (a nil value)"));
    };
    let mut slot = name.into_owned();
    slot.extend_from_slice((free + 1).to_string().as_bytes());
    Ok(Value::Text(Cow::Owned(slot)))
}

pub(super) fn laravel_concurrency_count(script: &mut Script<'_, '_>) -> Returned<'static> {
    let values = values(script)?;
    let mut taken = 0.0;
    for _ in values.iter().filter(|value| value.is_true()) {
        taken += 1.0;
    }
    Ok(Value::Number(taken))
}

pub(super) fn spring_gateway(script: &mut Script<'_, '_>) -> Returned<'static> {
    let key = script.key(1);
    let [tokens, timestamp] = [&b"tokens"[..], b"timestamp"].map(Value::text);
    let bucket = Bucket::begin(script)?;
    let last_tokens = script.call(1, "hget", &[&key, &tokens])?;
    let last_refreshed = script.call(2, "hget", &[&key, &timestamp])?;
    let (taken, left) = bucket.take(script, &last_tokens, &last_refreshed)?;
    if bucket.ttl > 0.0 {
        script.call(3, "hset", &[&key, &tokens, &left])?;
        script.call(4, "hset", &[&key, &timestamp, &bucket.now])?;
        script.call(5, "expire", &[&key, &Value::Number(bucket.ttl)])?;
    }
    Ok(Value::Table(vec![taken, left]))
}

pub(super) fn spring_gateway_4(script: &mut Script<'_, '_>) -> Returned<'static> {
    let (tokens, timestamp) = (script.key(1), script.key(2));
    let bucket = Bucket::begin(script)?;
    let last_tokens = script.call(1, "get", &[&tokens])?;
    let last_refreshed = script.call(2, "get", &[&timestamp])?;
    let (taken, left) = bucket.take(script, &last_tokens, &last_refreshed)?;
    if bucket.ttl > 0.0 {
        let ttl = Value::Number(bucket.ttl);
        script.call(3, "setex", &[&tokens, &ttl, &left])?;
        script.call(4, "setex", &[&timestamp, &ttl, &bucket.now])?;
    }
    Ok(Value::Table(vec![taken, left]))
}

/// A bucket of tokens that fills by itself.
struct Bucket {
    rate: f64,
    capacity: f64,
    now: Value<'static>,
    requested: Value<'static>,
    ttl: f64,
}

impl Bucket {
    fn begin(script: &mut Script<'_, '_>) -> Result<Self, Fault> {
        let [rate, capacity, mut now, requested] = [1, 2, 3, 4].map(|at| number_of_arg(script, at));
        let (capacity, rate) = (script.number(&capacity)?, script.number(&rate)?);
        if now == Value::Nil {
            if let Value::Table(time) = script.call(0, "time", &[])? {
                now = time.into_iter().next().unwrap_or(Value::Nil);
            }
        }
        Ok(Self {
            rate,
            capacity,
            now,
            requested,
            ttl: (capacity / rate * 2.0).floor(),
        })
    }

    /// Takes what is requested, if it is there. Whether it was, and what is left.
    fn take(
        &self,
        script: &Script<'_, '_>,
        last_tokens: &Value<'_>,
        last_refreshed: &Value<'_>,
    ) -> Result<(Value<'static>, Value<'static>), Fault> {
        let last_tokens = last_tokens.to_number().unwrap_or(self.capacity);
        let last_refreshed = last_refreshed.to_number().unwrap_or(0.0);
        let delta = (script.number(&self.now)? - last_refreshed).max(0.0);
        let filled = self.capacity.min(last_tokens + delta * self.rate);
        let order = script.order(&self.requested, &filled.into())?;
        if order == Some(Ordering::Greater) {
            return Ok((Value::ZERO, filled.into()));
        }
        let left = filled - script.number(&self.requested)?;
        Ok((Value::ONE, left.into()))
    }
}
