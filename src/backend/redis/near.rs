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
    /// Keys that are being asked for, and whether they changed meanwhile.
    asked: HashMap<Vec<u8>, bool>,
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

    /// What is known of a key, which is its name on the server.
    pub(super) fn get(&self, key: &[u8]) -> Option<Held> {
        self.lock().held.get(key).map(|(_, held)| held.clone())
    }

    /// These keys are about to be asked for.
    pub(super) fn asking<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        let mut inside = self.lock();
        for key in keys {
            inside.asked.insert(key.to_vec(), false);
        }
    }

    /// The reply for a key that was asked for; `None` where it failed or there is no such entry.
    pub(super) fn answered(&self, key: &[u8], held: Option<&Held>) {
        let mut inside = self.lock();
        let is_old = inside.asked.remove(key).unwrap_or(true);
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
        if let Some(is_old) = self.asked.get_mut(key) {
            *is_old = true;
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
    2 * key.len() + held.value.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(value: &[u8]) -> Held {
        Held {
            value: value.to_vec(),
            deadline: None,
        }
    }

    fn ask(near: &Near, key: &[u8], value: &[u8]) {
        near.asking([key].into_iter());
        near.answered(key, Some(&held(value)));
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
        ask(&near, b"a", b"1");
        assert_eq!(near.get(b"a"), Some(held(b"1")));
        near.told(&invalidate(b"a"));
        assert_eq!(near.get(b"a"), None);
        near.asking([&b"a"[..]].into_iter());
        near.told(&invalidate(b"a"));
        near.answered(b"a", Some(&held(b"1")));
        assert_eq!(near.get(b"a"), None);
    }

    #[test]
    fn a_lost_connection_takes_everything_with_it() {
        let near = near(1 << 20);
        ask(&near, b"a", b"1");
        near.forget();
        ask(&near, b"b", b"2");
        assert_eq!((near.get(b"a"), near.get(b"b")), (None, None));
        near.begin();
        ask(&near, b"b", b"2");
        assert!(near.get(b"b").is_some());
    }

    #[test]
    fn it_keeps_within_its_bytes_and_drops_the_oldest() {
        let near = near(10 * (OVERHEAD as u64 + 10));
        for number in 0..1_000u32 {
            ask(&near, &number.to_le_bytes(), b"12");
            ask(&near, b"same", b"1");
        }
        let inside = near.lock();
        assert!(inside.bytes <= near.most && inside.held.len() == 10);
        assert!(inside.held.contains_key(&999u32.to_le_bytes()[..]));
        assert!(inside.order.len() <= 2 * 10 + 65);
    }
}
