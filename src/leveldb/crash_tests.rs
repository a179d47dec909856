//! Seeded histories of a database on a disk that fails, is killed and loses its power: after each
//! of them there is what was acknowledged, and nothing that was not.
//!
//! `MEMSTORE_SIM_SEED=7` replays one seed and says what it does.

use std::collections::BTreeMap;
use std::ops::Range;

use fastrand::Rng;

use super::database::Sizes;
use super::testing::FakeDisk;
use super::*;
use crate::store::seeds;

const SEEDS: Range<u64> = 0..250;
const STEPS: usize = 600;

type Model = BTreeMap<Vec<u8>, (u64, Vec<u8>)>;

struct World {
    rng: Rng,
    disk: FakeDisk,
    database: Database,
    model: Model,
    /// What may be found after a loss of power: as it was at the last sync, and after each batch
    /// since.
    possible: Vec<Model>,
    /// As it would be if one that failed since had not: what a disk that breaks has taken, it may
    /// keep.
    failed: Vec<Model>,
    sizes: Sizes,
    /// Whether every write is synced; then there is never a hole before another one.
    holes: Holes,
    keys: u32,
    is_told: bool,
}

fn open(disk: &FakeDisk, holes: Holes, sizes: Sizes) -> Result<(Database, Model)> {
    let mut model = Model::new();
    let database = Database::open_with(
        Box::new(disk.clone()),
        holes,
        &mut |key, sequence, value| {
            let old = model.insert(key.to_vec(), (sequence, value.to_vec()));
            assert!(old.is_none(), "{key:?} was given twice");
        },
        sizes,
    )?;
    Ok((database, model))
}

impl World {
    fn new(seed: u64, is_told: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let sizes = Sizes {
            buffer: rng.usize(1..20_000),
            table: rng.u64(1..10_000),
            level: rng.u64(1..40_000),
            step: rng.usize(1..20_000),
        };
        let disk = FakeDisk::default();
        let holes = [Holes::Refused, Holes::LeftOut][rng.usize(..2)];
        let (database, model) = open(&disk, holes, sizes).unwrap();
        Self {
            keys: rng.u32(1..500),
            rng,
            disk,
            database,
            possible: vec![model.clone()],
            failed: Vec::new(),
            model,
            sizes,
            holes,
            is_told,
        }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            eprintln!("{}", what());
        }
    }

    fn write(&mut self) {
        let mut batch = Batch::default();
        let mut after = self.model.clone();
        let first = self.database.last_sequence() + 1;
        for sequence in first..first + self.rng.u64(..8) {
            let key = format!("{:x}", self.rng.u32(..self.keys)).into_bytes();
            if self.rng.u8(..3) == 0 {
                batch.remove(&key);
                after.remove(&key);
            } else {
                let length = 1 << self.rng.u32(..12);
                let value = vec![self.rng.u8(..); self.rng.usize(..length)];
                batch.put(&key, &value);
                after.insert(key, (sequence, value));
            }
        }
        let is_synced = self.holes == Holes::Refused || self.rng.bool();
        let done = self.database.write(&batch, is_synced);
        self.tell(|| format!("{} writes, synced: {is_synced}: {done:?}", batch.len()));
        if done.is_err() {
            self.failed.push(after);
            return;
        }
        if !batch.is_empty() {
            self.failed.clear();
        }
        self.model = after;
        if is_synced {
            self.possible.clear();
        }
        self.possible.push(self.model.clone());
    }

    fn step(&mut self) {
        match self.rng.u32(..100) {
            0..=49 => self.write(),
            50..=69 => {
                let done = self.database.step();
                self.tell(|| format!("step: {done:?}"));
            }
            70..=83 => {
                let key = format!("{:x}", self.rng.u32(..self.keys)).into_bytes();
                let found = self.database.get(&key).unwrap();
                let expected = self.model.get(&key);
                assert_eq!(found.as_ref(), expected, "{key:?}");
            }
            84..=93 => {
                let changes = self.rng.bool().then(|| self.rng.u64(..12));
                let only_syncs = self.rng.bool();
                self.tell(|| format!("fails after {changes:?} changes, syncs: {only_syncs}"));
                self.disk.fail_after(changes, only_syncs);
            }
            94..=95 => {
                self.tell(|| "killed".into());
                self.possible = vec![self.model.clone()];
                self.reopen(self.disk.killed());
            }
            96 => {
                self.tell(|| "power lost".into());
                let disk = self.disk.cut_off(&mut self.rng);
                self.reopen(disk);
            }
            _ => {
                let done = self.database.sync();
                self.tell(|| format!("sync: {done:?}"));
                if done.is_ok() {
                    self.possible = vec![self.model.clone()];
                }
            }
        }
    }

    fn reopen(&mut self, disk: FakeDisk) {
        // Opening may be interrupted too, any number of times.
        while self.rng.bool() {
            disk.fail_after(Some(self.rng.u64(..10)), self.rng.bool());
            drop(open(&disk, self.holes, self.sizes));
        }
        disk.fail_after(None, false);
        self.possible.append(&mut self.failed);
        let (database, found) = open(&disk, self.holes, self.sizes).unwrap();
        assert!(
            self.possible.contains(&found),
            "{} entries were found, there were {}",
            found.len(),
            self.model.len()
        );
        self.disk = disk;
        self.database = database;
        self.model = found;
        self.possible = vec![self.model.clone()];
        let last = self.model.values().map(|(sequence, _)| *sequence).max();
        assert!(self.database.last_sequence() >= last.unwrap_or(0));
    }

    fn finish(&mut self) {
        self.disk.fail_after(None, false);
        while self.database.step().unwrap() {}
        self.database.sync().unwrap();
        self.possible = vec![self.model.clone()];
        self.reopen(self.disk.killed());
        let mut files = self.disk.names();
        files.retain(|name| !name.contains(".log.damaged"));
        let most = self.database.tables() + 3;
        assert!(files.len() <= most, "{files:?} but only {most} are needed");
    }
}

#[test]
fn whatever_happens_what_was_acknowledged_is_there_and_nothing_else() {
    seeds::each(SEEDS, |seed, is_told| {
        let mut world = World::new(seed, is_told);
        (0..STEPS).for_each(|_| world.step());
        world.finish();
    });
}
