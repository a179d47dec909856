//! A backend that blocks on command, and whose commits fail on command.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use memstore_cluster::Source;
use memstore_cluster::backend::{
    Backend, BackendError, Cursor, Deadline, EntryRef, MemoryBackend, SetOutcome, Teller, Upkeep,
    Visitor,
};
use memstore_cluster::contract::{Capabilities, Condition};
use memstore_cluster::time::Millis;

/// How long a test waits for anything before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a test says to a backend, and sees of it.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    /// Where calls wait: `"commit"`, or the key that they are for.
    shut: BTreeSet<&'static str>,
    /// Where one waits.
    inside: Option<&'static str>,
    /// What commits fail with.
    failure: Option<BackendError>,
    /// Commits of something that was written, and commits that failed.
    commits: usize,
    failed: usize,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    fn wait<'g>(
        &'g self,
        state: MutexGuard<'g, State>,
        what: &str,
        is_so: impl Fn(&State) -> bool,
    ) -> MutexGuard<'g, State> {
        let waited = self
            .0
            .1
            .wait_timeout_while(state, PATIENCE, |state| !is_so(state));
        let (state, timeout) = waited.unwrap();
        assert!(!timeout.timed_out(), "never came: {what}");
        state
    }

    /// From here on calls for this key, or commits, wait.
    pub(crate) fn shut(&self, at: &'static str) {
        self.lock().shut.insert(at);
    }

    /// Everything goes on.
    pub(crate) fn open(&self) {
        self.lock().shut.clear();
        self.0.1.notify_all();
    }

    /// Waits until a call waits there.
    pub(crate) fn until_inside(&self, at: &'static str) {
        let inside = |state: &State| state.inside == Some(at);
        drop(self.wait(self.lock(), at, inside));
    }

    /// From here on commits fail with this, or do not.
    pub(crate) fn fail(&self, failure: Option<BackendError>) {
        self.lock().failure = failure;
    }

    /// How many commits of something that was written succeeded, and how many failed.
    pub(crate) fn commits(&self) -> (usize, usize) {
        let state = self.lock();
        (state.commits, state.failed)
    }

    fn pass(&self, at: &[u8]) {
        let mut state = self.lock();
        let Some(at) = state
            .shut
            .iter()
            .find(|shut| shut.as_bytes() == at)
            .copied()
        else {
            return;
        };
        state.inside = Some(at);
        self.0.1.notify_all();
        state = self.wait(state, "the opening", |state| !state.shut.contains(at));
        state.inside = None;
    }

    /// Backends behind this gate.
    pub(crate) fn source(&self) -> Source {
        let gate = self.clone();
        Source::new(move || {
            Ok(Box::new(Gated {
                memory: MemoryBackend::new(),
                undo: Vec::new(),
                gate: gate.clone(),
                is_rotten: false,
            }))
        })
    }
}

/// What was there before a write.
type Before = (Vec<u8>, Option<(Vec<u8>, Option<Millis>)>);

/// A memory backend that says that it blocks. After a commit that failed it is as before.
struct Gated {
    memory: MemoryBackend,
    undo: Vec<Before>,
    gate: Gate,
    /// Its upkeep panics.
    is_rotten: bool,
}

impl Gated {
    fn remember(&mut self, now: Millis, key: &[u8]) {
        let entry = self.memory.get(now, key).unwrap();
        let before = entry.map(|entry| (entry.value.to_vec(), entry.deadline));
        self.undo.push((key.to_vec(), before));
    }
}

impl Backend for Gated {
    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
    }

    fn blocks(&self) -> bool {
        true
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.gate.pass(key);
        self.memory.get(now, key)
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.gate.pass(key);
        assert_ne!(key, b"panic", "on purpose");
        self.is_rotten |= key == b"rotten";
        self.remember(now, key);
        self.memory.set(now, key, value, deadline, condition)
    }

    fn touch(&mut self, now: Millis, key: &[u8], to: Deadline) -> Result<bool, BackendError> {
        self.gate.pass(key);
        self.remember(now, key);
        self.memory.touch(now, key, to)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.gate.pass(key);
        self.remember(now, key);
        self.memory.destroy(now, key)
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        self.memory.all(now, cursor, visit)
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        self.memory.length(now)
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.memory.clear(now)
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        assert!(!self.is_rotten, "on purpose");
        self.memory.upkeep(now)
    }

    fn gone(&mut self, tell: Option<&mut Teller<'_>>) {
        self.memory.gone(tell);
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        if self.undo.is_empty() {
            return Ok(());
        }
        self.gate.pass(b"commit");
        let mut state = self.gate.lock();
        if state.failure.is_none() {
            state.commits += 1;
            self.undo.clear();
            return Ok(());
        }
        state.failed += 1;
        for (key, before) in self.undo.drain(..).rev() {
            match before {
                Some((value, deadline)) => {
                    let deadline = deadline.map_or(Deadline::Never, Deadline::At);
                    let set =
                        self.memory
                            .set(Millis::ZERO, &key, &value, deadline, Condition::Always);
                    set.unwrap();
                }
                None => drop(self.memory.destroy(Millis::ZERO, &key).unwrap()),
            }
        }
        state.failure.clone().map_or(Ok(()), Err)
    }
}
