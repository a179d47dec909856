//! A disk for tests: it can be full, break, be killed and lose its power.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;

use super::disk::{Disk, Out};

type Node = Arc<Mutex<File>>;

#[derive(Debug, Default, Clone)]
struct File {
    bytes: Vec<u8>,
    /// What was there when it was last synced.
    synced: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, Node>,
    /// Names when they were last synced.
    synced: BTreeMap<String, Node>,
    /// So many changes succeed from here on, and then none.
    left: Option<u64>,
    /// Syncs fail where anything fails, but nothing else.
    only_syncs: bool,
}

/// A folder in memory; clones are the same one.
#[derive(Debug, Default, Clone)]
pub(crate) struct FakeDisk(Arc<Mutex<State>>);

impl FakeDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// After so many changes all of them fail; or the syncs among them.
    pub(crate) fn fail_after(&self, changes: Option<u64>, only_syncs: bool) {
        let mut state = self.state();
        state.left = changes;
        state.only_syncs = only_syncs;
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// The disk as it is found after its user was killed.
    pub(crate) fn killed(&self) -> Self {
        let names = copy(&self.state().names, |file| file.bytes.clone());
        Self::of(names)
    }

    /// The disk as it may be found after a loss of power: of what was not synced any page may be
    /// there, and any other be zeros or something that was there before.
    pub(crate) fn cut_off(&self, rng: &mut Rng) -> Self {
        let state = self.state();
        let names = if rng.bool() {
            &state.names
        } else {
            &state.synced
        };
        let names = copy(names, |file| {
            let mut bytes = file.synced.clone();
            if file.bytes.starts_with(&bytes) {
                let synced = bytes.len();
                let end = rng.usize(synced..=file.bytes.len());
                bytes.extend_from_slice(&file.bytes[synced..end]);
                if rng.u8(..4) == 0 {
                    bytes.resize(file.bytes.len(), 0);
                }
                if rng.bool() {
                    lose_pages(&mut bytes, synced, rng);
                }
            }
            bytes
        });
        Self::of(names)
    }

    fn of(names: BTreeMap<String, Node>) -> Self {
        let synced = names.clone();
        Self(Arc::new(Mutex::new(State {
            names,
            synced,
            ..State::default()
        })))
    }

    fn change(&self, is_sync: bool) -> io::Result<()> {
        let mut state = self.state();
        if state.only_syncs && !is_sync {
            return Ok(());
        }
        match &mut state.left {
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn node(&self, name: &str) -> io::Result<Node> {
        let node = self.state().names.get(name).cloned();
        node.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Makes some pages what they were not, from `synced` on.
fn lose_pages(bytes: &mut [u8], synced: usize, rng: &mut Rng) {
    let page = [512, 4_096][rng.usize(..2)];
    let one_in = rng.u8(1..6);
    let stale = bytes.to_vec();
    for (at, page) in (0..).step_by(page).zip(bytes.chunks_mut(page)) {
        let lost = synced.saturating_sub(at).min(page.len());
        let lost = &mut page[lost..];
        if rng.u8(..one_in) > 0 {
            continue;
        }
        match rng.u8(..3) {
            0 => lost.fill(0),
            1 => rng.fill(lost),
            // What another file has left there, older than what should be.
            _ => {
                let from = rng.usize(..=at.min(stale.len() - lost.len()));
                lost.copy_from_slice(&stale[from..from + lost.len()]);
            }
        }
    }
}

fn copy(
    names: &BTreeMap<String, Node>,
    mut bytes: impl FnMut(&File) -> Vec<u8>,
) -> BTreeMap<String, Node> {
    let copied = names.iter().map(|(name, node)| {
        let bytes = bytes(&node.lock().unwrap());
        let synced = bytes.clone();
        let file = File { bytes, synced };
        (name.clone(), Arc::new(Mutex::new(file)))
    });
    copied.collect()
}

impl Disk for FakeDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.node(name)?.lock().unwrap().bytes.clone())
    }

    fn read_at(&self, name: &str, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let node = self.node(name)?;
        let file = node.lock().unwrap();
        let at = usize::try_from(at).unwrap();
        let bytes = file.bytes.get(at..at + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        Ok(self.node(name)?.lock().unwrap().bytes.len() as u64)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Out>> {
        self.change(false)?;
        let node = Node::default();
        self.state().names.insert(name.to_owned(), node.clone());
        let disk = self.clone();
        Ok(Box::new(FakeOut { disk, node }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(false)?;
        let mut state = self.state();
        let node = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), node);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(false)?;
        let removed = self.state().names.remove(name);
        removed
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.change(true)?;
        let mut state = self.state();
        state.synced = state.names.clone();
        Ok(())
    }
}

struct FakeOut {
    disk: FakeDisk,
    node: Node,
}

impl Out for FakeOut {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let done = self.disk.change(false);
        // A disk that becomes full takes the beginning.
        let taken = if done.is_ok() {
            bytes.len()
        } else {
            bytes.len() / 2
        };
        let mut file = self.node.lock().unwrap();
        let at = usize::try_from(at).unwrap();
        file.bytes.resize(at, 0);
        file.bytes.extend_from_slice(&bytes[..taken]);
        done
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.disk.change(false)?;
        let length = usize::try_from(length).unwrap();
        self.node.lock().unwrap().bytes.truncate(length);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.change(true)?;
        let mut file = self.node.lock().unwrap();
        file.synced = file.bytes.clone();
        Ok(())
    }
}
