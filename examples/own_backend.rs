//! A backend of one's own under a store, held to the contract by the suite that is there for it.
//!
//! ```sh
//! cargo run --example own_backend
//! cargo test --example own_backend
//! ```
//!
//! `Shelf` keeps entries in a map. It numbers its writes, counts and clears; it cannot list what it
//! has, so it says nothing of that among its capabilities, and whoever asks gets a typed error.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use memstore_cluster::backend::{Backend, BackendError, Deadline, EntryRef, SetOutcome};
use memstore_cluster::contract::{Capabilities, Condition, Kind, Seq};
use memstore_cluster::time::Millis;
use memstore_cluster::{Error, Options, SetOptions, Source, Standalone};

#[derive(Debug, Default)]
struct Shelf {
    books: HashMap<Vec<u8>, Book>,
    seq: u64,
}

#[derive(Debug)]
struct Book {
    value: Vec<u8>,
    deadline: Option<Millis>,
    seq: Seq,
}

impl Shelf {
    /// The live entry with a key. What has expired goes here, and nowhere else.
    fn live(&mut self, now: Millis, key: &[u8]) -> Option<&mut Book> {
        let deadline = self.books.get(key)?.deadline;
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.books.remove(key);
        }
        self.books.get_mut(key)
    }
}

impl Backend for Shelf {
    fn capabilities(&self) -> Capabilities {
        Capabilities::LENGTH
            .with(Capabilities::CLEAR)
            .with(Capabilities::COMPARE_AND_SET)
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        Ok(self.live(now, key).map(|book| EntryRef {
            value: Cow::Borrowed(&book.value),
            deadline: book.deadline,
            seq: book.seq,
            kind: Kind::Bytes,
        }))
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        let found = self.live(now, key).map(|book| (book.seq, book.deadline));
        let (version, kept) = found.map_or((None, None), |(seq, kept)| (Some(seq), kept));
        let holds = match condition {
            Condition::Always => true,
            Condition::IfAbsent => version.is_none(),
            Condition::IfPresent => version.is_some(),
            Condition::IfSeq(seq) => version == Some(seq),
        };
        if !holds {
            return Ok(SetOutcome::Conflict(version));
        }
        self.seq += 1;
        let seq = Seq(self.seq);
        let deadline = match deadline {
            Deadline::Never => None,
            Deadline::At(at) => Some(at),
            Deadline::Keep => kept,
        };
        // One whose deadline has passed already is found by nobody.
        let value = value.to_vec();
        let book = Book {
            value,
            deadline,
            seq,
        };
        self.books.insert(key.to_vec(), book);
        Ok(SetOutcome::Stored(seq))
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        let Some(book) = self.live(now, key) else {
            return Ok(false);
        };
        match deadline {
            Deadline::Never => book.deadline = None,
            Deadline::At(at) => book.deadline = Some(at),
            Deadline::Keep => {}
        }
        Ok(true)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        let was_live = self.live(now, key).is_some();
        self.books.remove(key);
        Ok(was_live)
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        self.books
            .retain(|_, book| book.deadline.is_none_or(|deadline| now < deadline));
        Ok(self.books.len() as u64)
    }

    fn clear(&mut self, _: Millis) -> Result<(), BackendError> {
        self.books.clear();
        Ok(())
    }
}

#[allow(clippy::print_stdout, reason = "it shows what it does")]
fn main() -> Result<(), Error> {
    let options = Options {
        // Leave this out to have it under a master with its workers.
        standalone: Standalone::Always,
        store: Source::new(|| Ok(Box::new(Shelf::default()))),
        ..Options::default()
    };
    let store = options.create()?;
    let an_hour = SetOptions::new().ttl(Duration::from_secs(3600));
    store.set_with("sess:1", "hello", an_hour)?;
    let entry = store.get("sess:1")?.expect("it was just written");
    println!("sess:1 = {}", String::from_utf8_lossy(&entry.value));
    println!("{} entry, {:?}", store.length()?, store.capabilities());
    match store.all().next() {
        Some(Err(error @ Error::Unsupported { .. })) => println!("{error}"),
        other => println!("{other:?}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use memstore_cluster::testing::conformance::Suite;

    use super::Shelf;

    #[test]
    fn a_shelf_keeps_the_contract() {
        Suite::new(Shelf::default).check();
    }
}
