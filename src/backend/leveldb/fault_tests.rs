//! Seeded histories of the backend on a disk that fails and is killed: a commit does everything or
//! nothing, and what the index says is what is there.
//!
//! `MEMSTORE_SIM_SEED=7` replays one seed.

use std::collections::BTreeMap;
use std::ops::Range;

use fastrand::Rng;

use super::*;
use crate::backend::Walk;
use crate::leveldb::FakeDisk;
use crate::store::seeds;

const SEEDS: Range<u64> = 0..200;
const TURNS: usize = 120;
const NOW: Millis = Millis::from_unix(1_700_000_000_000);

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<Millis>, Seq)>;

struct World {
    rng: Rng,
    disk: FakeDisk,
    store: LevelDbBackend,
    /// As it is after the last commit, and with what came after.
    committed: Model,
    model: Model,
    now: Millis,
    is_told: bool,
}

fn open(disk: &FakeDisk) -> LevelDbBackend {
    LevelDbBackend::over(Box::new(disk.clone()), &LevelDb::new("fake")).unwrap()
}

impl World {
    fn new(seed: u64, is_told: bool) -> Self {
        let disk = FakeDisk::default();
        Self {
            rng: Rng::with_seed(seed),
            store: open(&disk),
            disk,
            committed: Model::new(),
            model: Model::new(),
            now: NOW,
            is_told,
        }
    }

    fn key(&mut self) -> Vec<u8> {
        vec![self.rng.u8(..12); self.rng.usize(..3)]
    }

    fn deadline(&mut self) -> Option<Millis> {
        let ms = self.rng.u64(1..60);
        self.rng.bool().then(|| self.now.after_ms(ms))
    }

    fn request(&mut self) {
        let (key, deadline) = (self.key(), self.deadline());
        let asked = deadline.map_or(Deadline::Never, Deadline::At);
        let what = self.rng.u8(..20);
        match what {
            0..=11 => {
                let value = vec![self.rng.u8(..); self.rng.usize(..2_000)];
                let always = Condition::Always;
                let done = self.store.set(self.now, &key, &value, asked, always);
                let Ok(SetOutcome::Stored(seq)) = done else {
                    panic!("{done:?}")
                };
                self.model.insert(key, (value, deadline, seq));
            }
            12..=14 => {
                let done = self.store.touch(self.now, &key, asked).unwrap();
                let known = self.model.get_mut(&key);
                assert_eq!(done, known.is_some());
                if let Some(known) = known {
                    known.1 = deadline;
                }
            }
            15..=18 => {
                let done = self.store.destroy(self.now, &key).unwrap();
                assert_eq!(done, self.model.remove(&key).is_some());
            }
            _ => {
                self.store.clear(self.now).unwrap();
                self.model.clear();
            }
        }
        if self.is_told {
            eprintln!("{what}: {} entries", self.model.len());
        }
    }

    fn turn(&mut self) {
        self.now = self.now.after_ms(self.rng.u64(..10));
        let now = self.now;
        self.model
            .retain(|_, (_, deadline, _)| deadline.is_none_or(|at| now < at));
        for _ in 0..self.rng.usize(..6) {
            self.request();
        }
        if self.rng.bool() {
            self.store.upkeep(self.now);
        }
        self.compare();
        if self.rng.u8(..4) == 0 {
            let changes = self.rng.bool().then(|| self.rng.u64(..4));
            self.disk.fail_after(changes, false);
        }
        let done = self.store.commit();
        if self.is_told {
            eprintln!("{now:?}: commit: {done:?}");
        }
        match done {
            Ok(()) => self.committed = self.model.clone(),
            Err(BackendError::Failed(_)) => self.model = self.committed.clone(),
            Err(error) => panic!("{error:?}"),
        }
        self.model
            .retain(|_, (_, deadline, _)| deadline.is_none_or(|at| now < at));
        self.compare();
        if self.rng.u8(..12) == 0 {
            self.reopen();
        }
    }

    /// Something that failed may be there after the disk has broken, so nothing fails before.
    fn reopen(&mut self) {
        self.disk.fail_after(None, false);
        let (now, key) = (self.now, b"last");
        let done = self
            .store
            .set(now, key, b"", Deadline::Never, Condition::Always);
        let Ok(SetOutcome::Stored(seq)) = done else {
            panic!("{done:?}")
        };
        self.store.commit().unwrap();
        self.model.insert(key.to_vec(), (Vec::new(), None, seq));
        self.committed = self.model.clone();
        self.disk = self.disk.killed();
        self.store = open(&self.disk);
        self.compare();
    }

    fn compare(&mut self) {
        let (mut found, mut next) = (Model::new(), Some(Cursor::default()));
        while let Some(cursor) = next {
            let visit = &mut |key: &[u8], entry: EntryRef<'_>| {
                let what = (entry.value.into_owned(), entry.deadline, entry.seq);
                assert!(found.insert(key.to_vec(), what).is_none(), "met twice");
                Walk::On
            };
            next = self.store.all(self.now, cursor, visit).unwrap();
        }
        let keys = |model: &Model| {
            let entries = model.iter();
            let entries = entries.map(|(key, (_, at, seq))| (key.clone(), *at, *seq));
            entries.collect::<Vec<_>>()
        };
        assert_eq!(keys(&found), keys(&self.model));
        assert!(found == self.model);
        let length = self.store.length(self.now).unwrap();
        assert_eq!(length, self.model.len() as u64);
    }
}

#[test]
fn a_commit_does_everything_or_nothing() {
    seeds::each(SEEDS, |seed, is_told| {
        let mut world = World::new(seed, is_told);
        (0..TURNS).for_each(|_| world.turn());
        world.reopen();
    });
}
