//! Commands that list keys, over the backend's walk.

use super::call::{Call, is_word};
use super::fault::{Done, Fault};
use super::keys::name;
use crate::backend::{Backend, BackendError, Cursor, Walk};
use crate::contract::Kind;
use crate::protocol::resp::glob;
use crate::protocol::resp::number::parse_i64;
use crate::time::Millis;

/// `COUNT` is a hint, and the loop is everybody's.
const MOST_AT_A_TIME: i64 = 10_000;

/// Keys, one behind the other in one piece of memory.
#[derive(Debug, Default)]
struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    fn write(&self, call: &mut Call<'_>) {
        call.reply.array(self.ends.len());
        let mut start = 0;
        for end in &self.ends {
            call.reply.bulk(&self.bytes[start..*end]);
            start = *end;
        }
    }
}

/// Which keys are wanted.
#[derive(Debug, Default)]
struct Filter<'a> {
    pattern: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
}

impl Filter<'_> {
    fn takes(&self, key: &[u8], kind: Kind) -> bool {
        self.kind.is_none_or(|wanted| is_word(wanted, name(kind)))
            // The empty key is not matched by a star, but asked for by one.
            && self.pattern.is_none_or(|pattern| pattern == b"*" || glob::matches(pattern, key))
    }
}

/// `KEYS pattern`
pub(super) fn keys(call: &mut Call<'_>) -> Done {
    let (now, most) = (call.now, call.limits.hard_cap());
    let filter = Filter {
        pattern: Some(call.arg(1)),
        ..Filter::default()
    };
    let (mut found, mut next) = (Keys::default(), Some(Cursor::default()));
    while let Some(cursor) = next {
        next = call.store().all(now, cursor, &mut |key, entry| {
            if filter.takes(key, entry.kind) {
                found.push(key);
            }
            if found.bytes.len() + 16 * found.ends.len() > most {
                Walk::Pause
            } else {
                Walk::On
            }
        })?;
        if found.bytes.len() + 16 * found.ends.len() > most {
            return Err(Fault::TOO_MUCH);
        }
    }
    found.write(call);
    Ok(())
}

/// `SCAN cursor [MATCH pattern] [COUNT number] [TYPE name]`
pub(super) fn scan(call: &mut Call<'_>) -> Done {
    let cursor = parse_cursor(call.arg(1)).ok_or(Fault::of("ERR invalid cursor"))?;
    let (mut filter, mut count) = (Filter::default(), 10);
    let mut args = call.args_from(2);
    while let Some(option) = args.next() {
        let value = args.next().ok_or(Fault::SYNTAX)?;
        if is_word(option, "COUNT") {
            count = parse_i64(value).ok_or(Fault::NOT_AN_INTEGER)?;
            if count < 1 {
                return Err(Fault::SYNTAX);
            }
        } else if is_word(option, "MATCH") {
            filter.pattern = Some(value);
        } else if is_word(option, "TYPE") {
            filter.kind = Some(value);
        } else {
            return Err(Fault::SYNTAX);
        }
    }
    let (now, mut left) = (call.now, count.min(MOST_AT_A_TIME));
    let (mut found, mut next) = (Keys::default(), Some(cursor));
    while left > 0 {
        let Some(cursor) = next else { break };
        next = call.store().all(now, cursor, &mut |key, entry| {
            if filter.takes(key, entry.kind) {
                found.push(key);
            }
            left -= 1;
            if left > 0 { Walk::On } else { Walk::Pause }
        })?;
    }
    call.reply.array(2);
    call.reply.bulk_u64(next.map_or(0, |cursor| cursor.0));
    found.write(call);
    Ok(())
}

/// What C's `strtoul` makes of a cursor: a sign may be there, nothing is zero, text ends at a zero
/// byte.
pub(super) fn parse_cursor(text: &[u8]) -> Option<Cursor> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(Cursor::default());
    }
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Cursor(if is_negative {
        number.wrapping_neg()
    } else {
        number
    }))
}

/// `RANDOMKEY`
///
/// The first key behind a random place of a walk: cheap, and not quite as likely for all.
pub(super) fn randomkey(call: &mut Call<'_>) -> Done {
    let (now, place) = (call.now, Cursor(call.shared.random.u64(..Cursor::MOST)));
    let store = call.store();
    let key = match first_from(store, now, place)? {
        None => first_from(store, now, Cursor::default())?,
        key => key,
    };
    match key {
        Some(key) => call.reply.bulk(&key),
        None => call.reply.null(),
    }
    Ok(())
}

fn first_from(
    store: &mut dyn Backend,
    now: Millis,
    from: Cursor,
) -> Result<Option<Vec<u8>>, BackendError> {
    let (mut found, mut next) = (None, Some(from));
    while let (Some(cursor), None) = (next, &found) {
        next = store.all(now, cursor, &mut |key, _| {
            found = Some(key.to_vec());
            Walk::Pause
        })?;
    }
    Ok(found)
}

/// `DBSIZE`
pub(super) fn dbsize(call: &mut Call<'_>) -> Done {
    let now = call.now;
    let length = call.store().length(now)?;
    call.reply
        .integer(i64::try_from(length).unwrap_or(i64::MAX));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_what_c_takes_for_one() {
        let cases: [(&[u8], Option<u64>); 11] = [
            (b"0", Some(0)),
            (b"", Some(0)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"-1", Some(u64::MAX)),
            (b"+007", Some(7)),
            (b"5\0x", Some(5)),
            (b"-", None),
            (b"+-1", None),
            (b" 1", None),
            (b"1x", None),
        ];
        for (text, cursor) in cases {
            let parsed = parse_cursor(text).map(|cursor| cursor.0);
            assert_eq!(parsed, cursor, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_filter_takes_what_fits_all_of_it() {
        let filter = Filter {
            pattern: Some(b"a*"),
            kind: Some(b"String"),
        };
        assert!(filter.takes(b"ab", Kind::Bytes));
        assert!(!filter.takes(b"b", Kind::Bytes) && !filter.takes(b"ab", Kind::Hash));
        let star = Filter {
            pattern: Some(b"*"),
            ..Filter::default()
        };
        assert!(star.takes(b"", Kind::Hash));
    }
}
