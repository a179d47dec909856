//! Commands on the strings of several keys.
//!
//! `MSET` and `MSETNX` write all or nothing: what a write replaces is set aside until the last one
//! is done, and if one is refused all are taken back. Entries that were put back have the number of
//! a new write.

use super::aside::Aside;
use super::call::{Call, drop_entry};
use super::fault::{Done, Fault};
use crate::backend::{Backend, BackendError, Deadline, SetOutcome};
use crate::contract::{Condition, Kind};
use crate::exec::{check_key, check_value};
use crate::time::Millis;

/// `MGET key [key …]`
pub(super) fn mget(call: &mut Call<'_>) -> Done {
    let (keys, now, most) = (call.args_from(1), call.now, call.limits.hard_cap());
    let (store, reply) = call.parts();
    let start = reply.len();
    reply.array(keys.len());
    for key in keys {
        match store.value(now, key)? {
            Some((Kind::Bytes, value)) => {
                reply.bulk(&value);
                if reply.len() - start > most {
                    return Err(Fault::TOO_MUCH);
                }
            }
            _ => reply.null(),
        }
    }
    Ok(())
}

/// `MSET key value [key value …]`
pub(super) fn mset(call: &mut Call<'_>) -> Done {
    check_pairs(call, "mset")?;
    if write(call, Condition::Always)? {
        call.reply.simple("OK");
    } else {
        call.reply.null();
    }
    Ok(())
}

/// `MSETNX key value [key value …]`
pub(super) fn msetnx(call: &mut Call<'_>) -> Done {
    check_pairs(call, "msetnx")?;
    let now = call.now;
    for key in call.args_from(1).step_by(2) {
        if call.store().get(now, key)?.is_some() {
            call.reply.integer(0);
            return Ok(());
        }
    }
    let is_done = write(call, Condition::IfAbsent)?;
    call.reply.integer(is_done.into());
    Ok(())
}

fn check_pairs(call: &Call<'_>, command: &str) -> Done {
    if call.args.len() % 2 == 0 {
        return Err(Fault::arguments(command));
    }
    for (at, arg) in call.args_from(1).enumerate() {
        if at % 2 == 0 {
            check_key(arg, call.limits)?;
        } else {
            check_value(arg, call.limits)?;
        }
    }
    Ok(())
}

/// Whether all were written.
fn write(call: &mut Call<'_>, condition: Condition) -> Result<bool, Fault> {
    let now = call.now;
    let keys = call.args_from(1).step_by(2);
    let values = call.args_from(2).step_by(2);
    let is_done = set_all(call.store(), now, condition, keys.zip(values))?;
    if is_done {
        for key in call.args_from(1).step_by(2) {
            call.changed("set", key);
        }
    }
    Ok(is_done)
}

fn set_all<'a>(
    store: &mut dyn Backend,
    now: Millis,
    condition: Condition,
    mut pairs: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<bool, Fault> {
    let mut replaced = Vec::new();
    while let Some((key, value)) = pairs.next() {
        // After the last one there is nothing to be taken back.
        if pairs.len() > 0 {
            replaced.push((key, store.get(now, key)?.map(Aside::from)));
        }
        let mut outcome = store.set(now, key, value, Deadline::Never, condition);
        if let Ok(SetOutcome::Conflict(Some(_))) = outcome {
            // None of them was there before: the key is among them twice.
            outcome = store.set(now, key, value, Deadline::Never, Condition::Always);
        }
        if !matches!(outcome, Ok(SetOutcome::Stored(_))) {
            // The failed one is among them if it is not the last, and is as it was.
            let written = replaced.len() - usize::from(pairs.len() > 0);
            take_back(store, now, &replaced[..written])?;
            outcome?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes room first: the bound on memory held what was there before.
fn take_back(
    store: &mut dyn Backend,
    now: Millis,
    replaced: &[(&[u8], Option<Aside>)],
) -> Result<(), BackendError> {
    for (key, _) in replaced {
        drop_entry(store, now, key)?;
    }
    // The same key may be there twice, and the first time it had its old value.
    for (key, entry) in replaced.iter().rev() {
        match entry {
            Some(entry) => {
                entry.put(store, now, key, Condition::Always)?;
            }
            None => {
                drop_entry(store, now, key)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::MemoryBackend;

    const NOW: Millis = Millis::from_unix(5_000);

    fn set(store: &mut dyn Backend, pairs: &[(&[u8], &[u8])]) -> Result<bool, Fault> {
        set_all(store, NOW, Condition::Always, pairs.iter().copied())
    }

    fn get(store: &mut MemoryBackend, key: &[u8]) -> Option<Vec<u8>> {
        let entry = store.get(NOW, key).unwrap();
        entry.map(|entry| entry.value.into_owned())
    }

    #[test]
    fn what_is_refused_in_the_middle_leaves_all_as_it_was() {
        let mut store = MemoryBackend::new().max_memory(Some(1 << 20));
        let deadline = Deadline::At(NOW.after_ms(7));
        let (small, large) = (b"small".as_slice(), vec![1; 8 << 20]);
        store
            .set(NOW, b"old", b"1", deadline, Condition::Always)
            .unwrap();
        let pairs: [(&[u8], &[u8]); 5] = [
            (b"old", small),
            (b"new", small),
            (b"old", small),
            (b"large", &large),
            (b"never", small),
        ];
        assert!(set(&mut store, &pairs).is_err());
        assert_eq!(get(&mut store, b"old").unwrap(), b"1");
        let kept = store.get(NOW, b"old").unwrap().unwrap().deadline;
        assert_eq!(kept, Some(NOW.after_ms(7)));
        assert_eq!(store.length(NOW).unwrap(), 1);
        assert!(set(&mut store, &pairs[..4]).is_err(), "at the end as well");
        assert_eq!(get(&mut store, b"old").unwrap(), b"1");
        assert_eq!(store.length(NOW).unwrap(), 1);
        assert!(set(&mut store, &pairs[..3]).unwrap());
        assert_eq!(get(&mut store, b"old").unwrap(), small);
    }
}
