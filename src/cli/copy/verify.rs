//! Whether both stores have the same.

use sha2::{Digest, Sha256};

use super::super::exit::{Exit, Failure};
use super::super::output;
use super::pass::Work;
use crate::cluster::Entry;

/// Differences that are named one by one.
const NAMED: usize = 5;

/// The number of entries and a checksum of their keys and values, in whatever order.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    count: u64,
    sum: u128,
}

impl Sum {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let mut digest = Sha256::new();
        digest.update((key.len() as u64).to_le_bytes());
        digest.update(key);
        digest.update(value);
        let digest: [u8; 32] = digest.finalize().into();
        let (first, _) = digest.split_first_chunk().expect("it is longer");
        self.count += 1;
        self.sum = self.sum.wrapping_add(u128::from_le_bytes(*first));
    }
}

impl Work {
    /// Reads both stores again and compares them.
    pub(super) fn verify(&mut self) -> Result<Exit, Failure> {
        let mut sums = [Sum::default(), Sum::default()];
        let mut differences = Vec::new();
        let mut cursor = 0;
        loop {
            let (next, items) = self.from.page(cursor)?;
            let keys = items.entries.iter().map(|(key, _)| key.as_slice());
            let found = self.to.read(keys)?;
            for ((key, entry), there) in items.entries.iter().zip(&found.entries) {
                let is_same = |there: &&Entry| items.is_same(entry, &found, there);
                if let Some(there) = there.as_ref().filter(is_same) {
                    sums[0].add(key, &entry.value);
                    sums[1].add(key, &there.value);
                    continue;
                }
                let again = self.from.read([key.as_slice()].into_iter())?;
                // It is there still, and as it was.
                if again.entries[0]
                    .as_ref()
                    .is_some_and(|now| now.seq == entry.seq)
                {
                    differences.push(key.clone());
                }
            }
            self.tell_compared(sums[0].count);
            match next {
                0 => break,
                next => cursor = next,
            }
        }
        let (others, left_out) = self.from.others(&self.to)?;
        if !others.is_empty() {
            let (there, _) = self.to.others(&self.to)?;
            for (name, other) in &others {
                if !there.get(name).is_some_and(|there| there.is_like(other)) {
                    differences.push(name.1.clone());
                }
            }
        }
        let [from, to] = sums;
        if !differences.is_empty() || from != to {
            return Err(differ(&differences));
        }
        let here = others.keys().filter(|(database, _)| *database == 0).count() as u64;
        let all = self.to.store.length();
        let more = match all.map(|all| all.saturating_sub(to.count + here)) {
            Ok(1) => "; another one is in the second store".to_owned(),
            Ok(more @ 2..) => format!("; {more} others are in the second store"),
            _ => String::new(),
        };
        let also = match others.len() {
            0 => String::new(),
            others => format!(", and {others} hashes and entries of other databases"),
        };
        output::say(&format!(
            "verified: {} entries are the same in both, checksum {:032x}{also}{more}",
            from.count, from.sum
        ));
        if let Some(sentence) = left_out.sentence(&self.to) {
            return Err(Failure::Problems(Exit::Failed, vec![sentence]));
        }
        Ok(Exit::Ok)
    }
}

fn differ(keys: &[Vec<u8>]) -> Failure {
    let name = |key: &Vec<u8>| format!("{} is not the same in both", key.escape_ascii());
    let mut sentences: Vec<String> = keys.iter().take(NAMED).map(name).collect();
    sentences.push(format!(
        "{} entries differ: somebody else writes to one of the stores. Run it again, or with \
         --live until the application has moved",
        keys.len()
    ));
    Failure::Problems(Exit::Failed, sentences)
}
