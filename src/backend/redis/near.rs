//! The near cache: what servers said lately, until they say that it changed.
//!
//! The connection asks to be told of every change of a key that begins with the prefix. A reply
//! may be overtaken by the news that it is old, so a key is marked while it is asked for and what
//! was told of it meanwhile is not kept. What another client writes is so seen as soon as the
//! server's message of it has come; a connection that is lost takes everything with it, and so does
//! one that does not answer to pings: whatever the server says would not come.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::{Cmd, PushInfo, PushKind, Value};

use super::Held;
use crate::config::ByteSize;

/// What an entry costs beside its bytes.
const OVERHEAD: usize = 128;

/// The cache, shared by the backend and the connection's driver.
#[derive(Debug)]
pub(super) struct Near {
    prefix: String,
    most: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    /// Whether the server tells of changes.
    is_told: bool,
    /// With the number of the reply that brought it.
    held: HashMap<Vec<u8>, (u64, Held)>,
    /// Keys in the order in which they came. Where the number is another the key is gone, or has
    /// come again.
    order: VecDeque<(u64, Vec<u8>)>,
    replies: u64,
    bytes: usize,
    /// Keys that are being asked for.
    asked: HashMap<Vec<u8>, Asked>,
}

/// How it is with a key that is being asked for.
#[derive(Debug, Default)]
struct Asked {
    /// Replies that are to come.
    replies: u32,
    /// It has changed since the first of them was asked for.
    is_old: bool,
}

impl Near {
    pub(super) fn new(prefix: &str, size: ByteSize) -> Self {
        Self {
            prefix: prefix.to_owned(),
            most: usize::try_from(size.0).unwrap_or(usize::MAX),
            inside: Mutex::default(),
        }
    }

    /// The command that has the server tell of changes.
    pub(super) fn tracking(&self) -> Cmd {
        let mut command = redis::cmd("CLIENT");
        command.arg("TRACKING").arg("ON").arg("BCAST");
        if !self.prefix.is_empty() {
            command.arg("PREFIX").arg(&self.prefix);
        }
        command
    }

    /// From now on the server tells of changes.
    pub(super) fn begin(&self) {
        self.lock().is_told = true;
    }

    /// Nothing is known any more.
    pub(super) fn forget(&self) {
        *self.lock() = Inside::default();
    }

    /// What the server says without being asked.
    pub(super) fn told(&self, push: &PushInfo) {
        match (&push.kind, push.data.first()) {
            (PushKind::Invalidate, Some(Value::Array(keys))) => {
                let mut inside = self.lock();
                for key in keys {
                    if let Value::BulkString(key) = key {
                        inside.remove(key);
                    }
                }
            }
            // Everything was flushed.
            (PushKind::Invalidate, _) => {
                let is_told = self.lock().is_told;
                *self.lock() = Inside {
                    is_told,
                    ..Inside::default()
                };
            }
            _ => {}
        }
    }

    /// What is known of a key, which is its name on the server. Where that is nothing, it is about
    /// to be asked for.
    pub(super) fn ask(&self, key: &[u8]) -> Option<Held> {
        let mut inside = self.lock();
        if let Some((_, held)) = inside.held.get(key) {
            return Some(held.clone());
        }
        inside.asked.entry(key.to_vec()).or_default().replies += 1;
        None
    }

    /// The reply for a key that was asked for; `None` where it failed or there is no such entry.
    pub(super) fn answered(&self, key: &[u8], held: Option<&Held>) {
        let mut inside = self.lock();
        let is_old = match inside.asked.get_mut(key) {
            Some(Asked { replies, is_old }) if *replies > 1 => {
                *replies -= 1;
                *is_old
            }
            _ => inside.asked.remove(key).is_none_or(|asked| asked.is_old),
        };
        let Some(held) = held.filter(|_| !is_old && inside.is_told) else {
            return;
        };
        inside.remove(key);
        inside.replies += 1;
        let number = inside.replies;
        inside.bytes += cost(key, held);
        inside.held.insert(key.to_vec(), (number, held.clone()));
        inside.order.push_back((number, key.to_vec()));
        inside.shrink(self.most);
    }

    /// It is about to be written by us.
    pub(super) fn written(&self, key: &[u8]) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn remove(&mut self, key: &[u8]) {
        if let Some((_, held)) = self.held.remove(key) {
            self.bytes -= cost(key, &held);
        }
        if let Some(asked) = self.asked.get_mut(key) {
            asked.is_old = true;
        }
    }

    /// Drops what came first until the rest is no more than so many bytes.
    fn shrink(&mut self, most: usize) {
        let is_here = |held: &HashMap<Vec<u8>, (u64, Held)>, (number, key): &(u64, Vec<u8>)| {
            held.get(key).is_some_and(|(held, _)| held == number)
        };
        while self.bytes > most {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if is_here(&self.held, &oldest) {
                self.remove(&oldest.1);
            }
        }
        if self.order.len() > 2 * self.held.len() + 64 {
            let held = &self.held;
            self.order.retain(|one| is_here(held, one));
        }
    }
}

fn cost(key: &[u8], held: &Held) -> usize {
    2 * key.len() + held.bytes().len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(value: &[u8]) -> Held {
        Held::new(value.to_vec(), None)
    }

    fn put(near: &Near, key: &[u8], value: &[u8]) {
        near.ask(key);
        near.answered(key, Some(&held(value)));
    }

    fn get(near: &Near, key: &[u8]) -> Option<Held> {
        let inside = near.lock();
        inside.held.get(key).map(|(_, held)| held.clone())
    }

    fn invalidate(key: &[u8]) -> PushInfo {
        PushInfo {
            kind: PushKind::Invalidate,
            data: vec![Value::Array(vec![Value::BulkString(key.to_vec())])],
        }
    }

    fn near(size: u64) -> Near {
        let near = Near::new("", ByteSize(size));
        near.begin();
        near
    }

    #[test]
    fn what_changed_is_forgotten_and_what_changed_while_it_was_asked_for_is_not_kept() {
        let near = near(1 << 20);
        put(&near, b"a", b"1");
        assert_eq!(get(&near, b"a"), Some(held(b"1")));
        near.told(&invalidate(b"a"));
        assert_eq!(get(&near, b"a"), None);
        near.ask(b"a");
        near.told(&invalidate(b"a"));
        near.answered(b"a", Some(&held(b"1")));
        assert_eq!(get(&near, b"a"), None);
    }

    #[test]
    fn of_two_replies_that_are_under_way_neither_is_kept_if_the_key_changed_since_the_first() {
        let near = near(1 << 20);
        near.ask(b"a");
        near.told(&invalidate(b"a"));
        near.ask(b"a");
        for value in [b"1", b"2"] {
            near.answered(b"a", Some(&held(value)));
            assert_eq!(get(&near, b"a"), None);
        }
        put(&near, b"a", b"2");
        assert_eq!(get(&near, b"a"), Some(held(b"2")));
    }

    #[test]
    fn a_lost_connection_takes_everything_with_it() {
        let near = near(1 << 20);
        put(&near, b"a", b"1");
        near.forget();
        put(&near, b"b", b"2");
        assert_eq!((get(&near, b"a"), get(&near, b"b")), (None, None));
        near.begin();
        put(&near, b"b", b"2");
        assert!(get(&near, b"b").is_some());
    }

    #[test]
    fn it_keeps_within_its_bytes_and_drops_the_oldest() {
        let near = near(10 * (OVERHEAD as u64 + 10));
        for number in 0..1_000u32 {
            put(&near, &number.to_le_bytes(), b"12");
            put(&near, b"same", b"1");
        }
        let inside = near.lock();
        assert!(inside.bytes <= near.most && inside.held.len() == 10);
        assert!(inside.held.contains_key(&999u32.to_le_bytes()[..]));
        assert!(inside.order.len() <= 2 * 10 + 65);
    }
}
