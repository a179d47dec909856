//! Entries that were overwritten and are kept until what replaced them is on the disk.
//!
//! The system writes the blocks of a file back in whatever order it likes. Were an entry erased as
//! soon as another has taken its place, a loss of power could keep the erasure and lose the
//! replacement. So:
//!
//! - An old entry stays in its slot, unseen, until a sync has taken the new one; what opens the
//!   file believes the newer of the two. An entry that no sync has taken itself need not be kept.
//! - Then it is erased, and until the next sync has taken that, the new entry must not go without
//!   a trace: where it is removed, it stays in its slot as a tombstone, an entry that ended long
//!   ago, which still supersedes the old one.

use std::collections::{HashMap, VecDeque};

use super::slots::Slot;
use crate::contract::Seq;

/// Entries waiting for syncs.
#[derive(Debug, Default)]
pub(super) struct Limbo {
    /// By the slot that replaced it, what is known of an old entry.
    behind: HashMap<Slot, Behind>,
    /// Replacing slots whose old entries are kept, in the order of [`Behind::since`]. Some may
    /// have changed since.
    kept: VecDeque<(Slot, u64)>,
    /// Likewise, those whose old entries are erased.
    erased: VecDeque<(Slot, u64)>,
    /// Counts the syncs that were begun.
    begun: u64,
    /// The last write before the latest of them.
    begun_at: Seq,
    /// What was done before so many were begun is on the disk.
    done: u64,
    /// How many were begun when everything was cleared, as long as that matters.
    cleared: Option<u64>,
}

/// What is behind an entry.
#[derive(Debug, Clone, Copy)]
struct Behind {
    old: Slot,
    stage: Stage,
    /// How many syncs had been begun when this became so.
    since: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Kept,
    Erased,
    /// Erased, and the entry before it is a tombstone.
    Buried,
}

/// How an entry is to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Removal {
    /// This older one is removed before.
    pub(super) first: Option<Slot>,
    /// It becomes a tombstone, and its slot stays taken; otherwise it is erased.
    pub(super) is_burial: bool,
}

/// What a sync has made possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// This entry, which was kept, can be removed.
    Remove(Slot),
    /// This tombstone can be erased.
    Erase(Slot),
}

impl Limbo {
    /// Over entries that are on the disk up to this write.
    pub(super) fn new(written: Seq) -> Self {
        Self {
            begun_at: written,
            ..Self::default()
        }
    }

    /// The entry in `old`, of that write, was replaced by the one in `new`: whether it is kept.
    /// What is behind one that is not is then behind `new`.
    #[must_use]
    pub(super) fn keeps(&mut self, old: Slot, written: Seq, new: Slot) -> bool {
        let is_kept = written <= self.begun_at;
        if is_kept {
            self.put(new, old, Stage::Kept);
        } else if let Some(behind) = self.behind.remove(&old) {
            self.put(new, behind.old, behind.stage);
        }
        is_kept
    }

    /// What is kept behind the entry in this slot.
    pub(super) fn behind(&self, slot: Slot) -> Option<Slot> {
        let behind = self.behind.get(&slot)?;
        (behind.stage == Stage::Kept).then_some(behind.old)
    }

    /// The entry in this slot is about to be removed.
    pub(super) fn removes(&mut self, slot: Slot) -> Removal {
        let Some(behind) = self.behind.remove(&slot) else {
            return Removal::default();
        };
        let first = (behind.stage == Stage::Kept).then_some(behind.old);
        // A sync that was begun since, though it may still fail, may bring this entry to the disk
        // without the erasure of the old one, which must not come back then. Without one, the
        // next takes both erasures.
        let is_burial = first.is_none() || behind.since < self.begun;
        if is_burial {
            self.put(slot, behind.old, Stage::Buried);
        }
        Removal { first, is_burial }
    }

    /// A sync begins that takes what was written up to here.
    pub(super) fn begin_sync(&mut self, written: Seq) {
        self.begun += 1;
        self.begun_at = written;
    }

    /// That sync is over.
    pub(super) fn end_sync(&mut self) {
        self.done = self.begun;
    }

    /// The next thing that has become possible; where `is_urgent`, that would be next.
    pub(super) fn settle(&mut self, is_urgent: bool) -> Option<Settled> {
        let until = if is_urgent { u64::MAX } else { self.done };
        while let Some((new, since)) = pop(&mut self.erased, until) {
            let behind = self.behind.get(&new);
            let is_it = |b: &&Behind| b.stage != Stage::Kept && b.since == since;
            if let Some(Behind { stage, .. }) = behind.filter(is_it).copied() {
                self.behind.remove(&new);
                if stage == Stage::Buried {
                    return Some(Settled::Erase(new));
                }
            }
        }
        while let Some((new, since)) = pop(&mut self.kept, until) {
            let behind = self.behind.get(&new);
            let is_it = |b: &&Behind| b.stage == Stage::Kept && b.since == since;
            if let Some(Behind { old, .. }) = behind.filter(is_it).copied() {
                self.put(new, old, Stage::Erased);
                // What was erased behind the old one is so behind the new one too, which is on the
                // disk. The old one needs no tombstone then, and where the new one is a copy of
                // it, must not be one.
                self.behind.remove(&old);
                return Some(Settled::Remove(old));
            }
        }
        None
    }

    /// Forgets all, because their pages are. Those stay until
    /// [`let_go`](Self::let_go) says so: the disk may take their end before the word that says
    /// that they were cleared.
    pub(super) fn clear(&mut self) {
        self.cleared = Some(self.begun);
        self.behind.clear();
        self.kept.clear();
        self.erased.clear();
    }

    /// Whether the pages of what was cleared may go, which is said once.
    pub(super) fn let_go(&mut self, is_urgent: bool) -> bool {
        let is_over = |since: u64| is_urgent || since < self.done;
        self.cleared.is_some_and(is_over) && self.cleared.take().is_some()
    }

    fn put(&mut self, new: Slot, old: Slot, stage: Stage) {
        let since = self.begun;
        self.behind.insert(new, Behind { old, stage, since });
        let queue = match stage {
            Stage::Kept => &mut self.kept,
            Stage::Erased | Stage::Buried => &mut self.erased,
        };
        queue.push_back((new, since));
    }

    /// The slots that are taken without being anybody's: of kept entries and tombstones.
    #[cfg(test)]
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.behind
            .iter()
            .filter_map(|(new, behind)| match behind.stage {
                Stage::Kept => Some(behind.old),
                Stage::Erased => None,
                Stage::Buried => Some(*new),
            })
    }
}

fn pop(queue: &mut VecDeque<(Slot, u64)>, until: u64) -> Option<(Slot, u64)> {
    let is_next = queue.front().is_some_and(|(_, since)| *since < until);
    if is_next { queue.pop_front() } else { None }
}
