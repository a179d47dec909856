//! Which tables there are. Those of level 0 may overlap, and one with a higher number is newer; of
//! every other level the tables are in order and do not overlap. What is on a lower level is newer.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::coding::{order, split};
use super::manifest::Edit;
use super::table::{Listed, Table};

pub(super) const LEVELS: usize = 7;
/// So many tables on level 0 are merged.
const MANY: usize = 4;

pub(super) type Tables = Vec<Arc<Table>>;

/// All tables.
#[derive(Debug, Default)]
pub(super) struct Levels {
    pub(super) levels: [Tables; LEVELS],
    /// Behind which user's key each level is merged next.
    pointers: [Vec<u8>; LEVELS],
}

/// What is to be merged: tables of a level, and all of the next one that they overlap.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) level: usize,
    pub(super) upper: Tables,
    pub(super) lower: Tables,
}

impl Levels {
    /// Takes tables out and puts others in.
    pub(super) fn apply(&mut self, removed: &[(usize, u64)], added: Vec<(usize, Arc<Table>)>) {
        for (level, number) in removed {
            self.levels[*level].retain(|table| table.listed.number != *number);
        }
        for (level, table) in added {
            self.levels[level].push(table);
        }
        self.levels[0].sort_by_key(|table| std::cmp::Reverse(table.listed.number));
        for level in &mut self.levels[1..] {
            level.sort_by(|one, other| {
                let (one, other) = (&one.listed.smallest, &other.listed.smallest);
                match (split(one), split(other)) {
                    (Some(one), Some(other)) => order(one, other),
                    _ => one.cmp(other),
                }
            });
        }
    }

    pub(super) fn numbers(&self) -> BTreeSet<u64> {
        let tables = self.levels.iter().flatten();
        tables.map(|table| table.listed.number).collect()
    }

    /// An edit that makes all of this out of nothing.
    pub(super) fn snapshot(&self) -> Edit {
        let added = self.levels.iter().enumerate().flat_map(|(level, tables)| {
            tables
                .iter()
                .map(move |table| (level, table.listed.clone()))
        });
        Edit {
            added: added.collect(),
            ..Edit::default()
        }
    }

    /// The tables that may have a user's key, the newest first.
    pub(super) fn having<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = &'a Arc<Table>> {
        let covers = move |table: &&Arc<Table>| {
            let (first, last) = table.listed.range();
            first <= key && key <= last
        };
        let deeper = self.levels[1..].iter().flat_map(move |level| {
            let first = level.partition_point(|table| table.listed.range().1 < key);
            // A key may be the last of one table and the first of the next ones.
            level[first..]
                .iter()
                .take_while(move |table| table.listed.range().0 <= key)
        });
        self.levels[0].iter().filter(covers).chain(deeper)
    }

    /// Whether a level below this one may have a user's key.
    pub(super) fn is_below(&self, level: usize, key: &[u8]) -> bool {
        self.levels[level + 1..].iter().any(|level| {
            let first = level.partition_point(|table| table.listed.range().1 < key);
            level
                .get(first)
                .is_some_and(|table| table.listed.range().0 <= key)
        })
    }

    /// How urgently a level is to be merged into the next one; from 1 on it is.
    #[expect(clippy::cast_precision_loss, reason = "it is compared with 1")]
    fn urgency(&self, level: usize, much: u64) -> f64 {
        let tables = &self.levels[level];
        if level == 0 {
            return tables.len() as f64 / MANY as f64;
        }
        let bytes: u64 = tables.iter().map(|table| table.listed.size).sum();
        let power = u32::try_from(level).unwrap_or(u32::MAX) - 1;
        bytes as f64 / much.saturating_mul(10_u64.saturating_pow(power)) as f64
    }

    /// What is to be merged next, if there is anything; `much` is what level 1 may have, in bytes.
    pub(super) fn choose(&mut self, much: u64) -> Option<Choice> {
        let level = (0..LEVELS - 1)
            .max_by(|one, other| {
                self.urgency(*one, much)
                    .total_cmp(&self.urgency(*other, much))
            })
            .filter(|level| self.urgency(*level, much) >= 1.0)?;
        let tables = &self.levels[level];
        let upper = if level == 0 {
            tables.clone()
        } else {
            let pointer = self.pointers[level].as_slice();
            let next = tables.partition_point(|table| table.listed.range().0 <= pointer);
            let first = next % tables.len();
            let upper = tables[first..first + 1 + sharing(&tables[first..])].to_vec();
            self.pointers[level] = tables[first].listed.range().0.to_vec();
            upper
        };
        let lower = self.overlapping(level + 1, &upper);
        Some(Choice {
            level,
            upper,
            lower,
        })
    }

    /// The tables of a level but 0 that have keys in the range of others.
    fn overlapping(&self, level: usize, others: &[Arc<Table>]) -> Tables {
        let ranges = || others.iter().map(|table| table.listed.range());
        let first = ranges().map(|(first, _)| first).min();
        let last = ranges().map(|(_, last)| last).max();
        let (Some(first), Some(last)) = (first, last) else {
            return Tables::new();
        };
        let tables = &self.levels[level];
        let begin = tables.partition_point(|table| table.listed.range().1 < first);
        let mut end = tables.partition_point(|table| table.listed.range().0 <= last);
        if begin < end {
            end += sharing(&tables[end - 1..]);
        }
        tables[begin..end].to_vec()
    }

    /// What has to hold of the tables of a level.
    pub(super) fn is_in_order(&self) -> bool {
        let is_before =
            |one: &Listed, other: &Listed| match (split(&one.largest), split(&other.smallest)) {
                (Some(one), Some(other)) => order(one, other).is_lt(),
                _ => false,
            };
        let is_range = |listed: &Listed| match (split(&listed.smallest), split(&listed.largest)) {
            (Some(first), Some(last)) => order(first, last).is_le(),
            _ => false,
        };
        let mut all = self.levels.iter().flatten();
        all.all(|table| is_range(&table.listed))
            && self.levels[1..].iter().all(|level| {
                let mut pairs = level.windows(2);
                pairs.all(|two| is_before(&two[0].listed, &two[1].listed))
            })
    }
}

/// How many tables behind the first begin with the key that the one before ends with. What they have
/// of it is older: it must not stay where it is when what is newer is moved down or dropped.
fn sharing(tables: &[Arc<Table>]) -> usize {
    let shares = |two: &&[Arc<Table>]| two[0].listed.range().1 == two[1].listed.range().0;
    tables.windows(2).take_while(shares).count()
}

impl Choice {
    /// Whether the table only has to be listed on the next level.
    pub(super) fn is_move(&self) -> bool {
        self.upper.len() == 1 && self.lower.is_empty()
    }

    pub(super) fn removed(&self) -> Vec<(usize, u64)> {
        let listed = |level, tables: &Tables| {
            let numbers = tables.iter().map(|table| (level, table.listed.number));
            numbers.collect::<Vec<_>>()
        };
        let mut removed = listed(self.level, &self.upper);
        removed.extend(listed(self.level + 1, &self.lower));
        removed
    }
}
