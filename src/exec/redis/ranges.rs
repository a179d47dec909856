//! Commands on parts of strings.

use std::ops::Range;

use super::call::{Call, rewrite, string};
use super::fault::{Done, Fault};
use crate::config::Limits;
use crate::contract::Kind;
use crate::exec::check_key;

/// `STRLEN key`
pub(super) fn strlen(call: &mut Call<'_>) -> Done {
    let (key, now) = (call.arg(1), call.now);
    let entry = string(call.store().get(now, key)?)?;
    let len = entry.map_or(0, |entry| entry.value.len());
    answer_len(call, len);
    Ok(())
}

/// `APPEND key value`
pub(super) fn append(call: &mut Call<'_>) -> Done {
    let (key, value, now) = (call.arg(1), call.arg(2), call.now);
    check_key(key, call.limits)?;
    let limits = call.limits;
    let store = call.store();
    let mut whole = Vec::new();
    let entry = string(store.get(now, key)?)?;
    if let Some(entry) = entry {
        let len = checked_len(entry.value.len(), value.len(), limits)?;
        whole.reserve_exact(len);
        whole.extend_from_slice(&entry.value);
    } else {
        checked_len(0, value.len(), limits)?;
    }
    whole.extend_from_slice(value);
    rewrite(store, now, key, (Kind::Bytes, &whole))?;
    call.changed("append", key);
    answer_len(call, whole.len());
    Ok(())
}

/// `GETRANGE key start end`, `SUBSTR key start end`
pub(super) fn getrange(call: &mut Call<'_>) -> Done {
    let (key, start, end, now) = (call.arg(1), call.integer(2)?, call.integer(3)?, call.now);
    let (store, reply) = call.parts();
    match string(store.get(now, key)?)? {
        Some(entry) => reply.bulk(&entry.value[range(start, end, entry.value.len())]),
        None => reply.bulk(b""),
    }
    Ok(())
}

/// The part from one place to another, both included, of something so long; below zero they count
/// from its end.
fn range(start: i64, end: i64, len: usize) -> Range<usize> {
    // Otherwise both could be moved to the beginning, and name its first byte.
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let place = |at: i64| {
        let back = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
        if at < 0 {
            len.saturating_sub(back)
        } else {
            back
        }
    };
    let (start, end) = (place(start), place(end).saturating_add(1).min(len));
    start.min(end)..end
}

/// `SETRANGE key offset value`
pub(super) fn setrange(call: &mut Call<'_>) -> Done {
    let (key, value, now, limits) = (call.arg(1), call.arg(3), call.now, call.limits);
    let offset = call.integer(2)?;
    let offset = usize::try_from(offset).map_err(|_| Fault::of("ERR offset is out of range"))?;
    let store = call.store();
    let entry = string(store.get(now, key)?)?;
    let old = entry.as_ref().map_or(&[] as &[u8], |entry| &entry.value);
    if value.is_empty() {
        let len = old.len();
        answer_len(call, len);
        return Ok(());
    }
    let end = checked_len(offset, value.len(), limits)?;
    check_key(key, limits)?;
    let mut whole = Vec::with_capacity(old.len().max(end));
    whole.extend_from_slice(old);
    whole.resize(old.len().max(end), 0);
    whole[offset..end].copy_from_slice(value);
    rewrite(store, now, key, (Kind::Bytes, &whole))?;
    call.changed("setrange", key);
    answer_len(call, whole.len());
    Ok(())
}

fn checked_len(before: usize, more: usize, limits: &Limits) -> Result<usize, Fault> {
    let len = before.checked_add(more);
    len.filter(|len| *len <= limits.max_value)
        .ok_or(Fault::STRING_TOO_LONG)
}

fn answer_len(call: &mut Call<'_>, len: usize) {
    call.reply.integer(i64::try_from(len).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_counts_from_either_end_and_includes_both() {
        let cases = [
            (0, -1, "hello"),
            (0, 0, "h"),
            (1, 3, "ell"),
            (-3, -1, "llo"),
            (-3, 3, "ll"),
            (3, 1, ""),
            (-1, -3, ""),
            (-100, -50, "h"),
            (-50, -100, ""),
            (-100, 1, "he"),
            (4, 100, "o"),
            (5, 100, ""),
            (i64::MIN, i64::MAX, "hello"),
            (i64::MAX, i64::MAX, ""),
            (0, i64::MIN, "h"),
        ];
        for (start, end, expected) in cases {
            assert_eq!(&"hello"[range(start, end, 5)], expected, "{start} {end}");
        }
        assert_eq!(range(-1, 0, 0), 0..0);
    }
}
