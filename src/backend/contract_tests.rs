//! The memory backend and the model of the simulator held to the contract, with the look into them
//! that only we have; and what they promise beyond it.

use super::model::ModelBackend;
use super::*;
use crate::testing::conformance::{Begin, Suite};

const NOW: Millis = Millis::from_unix(1_000);

/// A backend that can check itself, and does after every call.
trait Checked: Backend + Sized {
    fn check_invariants(&self);
}

impl Checked for MemoryBackend {
    fn check_invariants(&self) {
        MemoryBackend::check_invariants(self);
    }
}

impl Checked for ModelBackend {
    fn check_invariants(&self) {
        ModelBackend::check_invariants(self);
    }
}

struct Always<B: Checked> {
    backend: B,
    /// Looking takes as long as there is much to look at.
    calls: u32,
}

impl<B: Checked> Always<B> {
    fn new(backend: B) -> Self {
        Self { backend, calls: 0 }
    }

    fn checked<T>(&mut self, call: impl FnOnce(&mut B) -> T) -> T {
        let done = call(&mut self.backend);
        self.calls += 1;
        if self.calls < 200 || self.calls % 256 == 0 {
            self.backend.check_invariants();
        }
        done
    }
}

impl<B: Checked> Backend for Always<B> {
    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.backend.get(now, key)
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.checked(|backend| backend.set(now, key, value, deadline, condition))
    }

    fn set_kind(
        &mut self,
        now: Millis,
        key: &[u8],
        value: (Kind, &[u8]),
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.checked(|backend| backend.set_kind(now, key, value, deadline, condition))
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        self.checked(|backend| backend.touch(now, key, deadline))
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.checked(|backend| backend.destroy(now, key))
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        self.backend.all(now, cursor, visit)
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        self.backend.length(now)
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.checked(|backend| backend.clear(now))
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        self.checked(|backend| backend.upkeep(now))
    }

    fn gone(&mut self, tell: Option<&mut Teller<'_>>) {
        self.backend.gone(tell);
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        self.backend.commit()
    }
}

#[test]
fn the_memory_backend_keeps_the_contract() {
    Suite::new(|| Always::new(MemoryBackend::new()))
        .histories(100)
        .check();
}

#[test]
fn the_model_keeps_the_contract() {
    Suite::new(|| Always::new(ModelBackend::new())).check();
}

#[test]
fn time_may_begin_at_zero() {
    Suite::new(|| Always::new(MemoryBackend::new()))
        .from_time(Millis::ZERO)
        .histories(10)
        .check();
}

#[test]
fn a_file_of_memory_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    Suite::lasting(|begin| {
        if begin == Begin::Empty {
            let _ = std::fs::remove_file(&path);
        }
        let never = crate::config::Syncing::Never;
        Always::new(MemoryBackend::open(&path, never, NOW).unwrap())
    })
    .check();
}

fn put<B: Checked>(store: &mut Always<B>, key: &[u8], deadline: Deadline) {
    let done = store.set(NOW, key, key, deadline, Condition::Always);
    assert!(matches!(done, Ok(SetOutcome::Stored(_))), "{done:?}");
}

fn clear_is_at_once_and_frees_in_steps<B: Checked>(mut store: Always<B>) {
    for n in 0..10_000_u32 {
        put(&mut store, &n.to_le_bytes(), Deadline::At(NOW.after_ms(5)));
    }
    store.clear(NOW).unwrap();
    put(&mut store, b"new", Deadline::Never);
    let steps = std::iter::from_fn(|| (store.upkeep(NOW) == Upkeep::More).then_some(())).count();
    assert!(steps > 1, "{steps}");
    assert_eq!(store.upkeep(NOW), Upkeep::Idle);
}

fn upkeep_removes_what_expired_in_steps<B: Checked>(mut store: Always<B>) {
    for n in 0..1_000_u32 {
        put(&mut store, &n.to_le_bytes(), Deadline::At(NOW.after_ms(5)));
    }
    put(&mut store, b"later", Deadline::At(NOW.after_ms(9)));
    assert_eq!(store.upkeep(NOW), Upkeep::Until(NOW.after_ms(5)));
    let then = NOW.after_ms(5);
    assert_eq!(store.upkeep(then), Upkeep::More);
    while store.upkeep(then) == Upkeep::More {}
    assert_eq!(store.upkeep(then), Upkeep::Until(NOW.after_ms(9)));
}

#[test]
fn long_work_is_done_in_steps() {
    clear_is_at_once_and_frees_in_steps(Always::new(MemoryBackend::new()));
    clear_is_at_once_and_frees_in_steps(Always::new(ModelBackend::new()));
    upkeep_removes_what_expired_in_steps(Always::new(MemoryBackend::new()));
    upkeep_removes_what_expired_in_steps(Always::new(ModelBackend::new()));
}
