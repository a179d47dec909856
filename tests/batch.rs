//! Batches: the same outcomes in every role, in order, each with its own failure.

use std::time::Duration;

use memstore_cluster::testing::TestMaster;
use memstore_cluster::{Batch, Error, Options, Outcome, SetOptions, Standalone, Store};

fn everywhere(test: impl Fn(&Store)) {
    let master = TestMaster::start().expect("a master starts");
    test(&master.worker(0).expect("a worker connects"));
    master.store().clear().expect("the store is ours");
    test(master.store());
    let alone = Options {
        standalone: Standalone::Always,
        ..Options::default()
    };
    test(&alone.create().expect("nothing is needed"));
}

#[test]
fn outcomes_come_in_order_and_a_failure_is_its_own() {
    everywhere(|store| {
        let too_long = vec![b'k'; 5_000];
        let mut batch = Batch::new();
        batch
            .set("a", "1", SetOptions::new())
            .set("a", "2", SetOptions::new().if_absent())
            .set(&too_long, "3", SetOptions::new())
            .get("a")
            .touch("a", Some(Duration::from_secs(60)))
            .length()
            .destroy("a")
            .destroy("a")
            .get("a")
            .clear();
        let outcomes = store.run(&batch);
        let [
            set,
            conflict,
            long,
            get,
            touch,
            length,
            destroyed,
            gone,
            missing,
            clear,
        ] = outcomes.as_slice()
        else {
            panic!("{outcomes:?}");
        };
        let Ok(Outcome::Stored(seq)) = set else {
            panic!("{set:?}");
        };
        assert!(
            matches!(conflict, Err(Error::Conflict { found: Some(found) }) if found == seq),
            "{conflict:?}"
        );
        assert!(
            matches!(long, Err(Error::KeyTooLong { len: 5_000, .. })),
            "{long:?}"
        );
        assert!(
            matches!(get, Ok(Outcome::Entry(Some(entry))) if entry.value == b"1" && entry.seq == *seq),
            "{get:?}"
        );
        assert!(matches!(touch, Ok(Outcome::Found(true))), "{touch:?}");
        assert!(matches!(length, Ok(Outcome::Length(1))), "{length:?}");
        assert!(
            matches!(destroyed, Ok(Outcome::Found(true))),
            "{destroyed:?}"
        );
        assert!(matches!(gone, Ok(Outcome::Found(false))), "{gone:?}");
        assert!(matches!(missing, Ok(Outcome::Entry(None))), "{missing:?}");
        assert!(matches!(clear, Ok(Outcome::Done)), "{clear:?}");
    });
}

#[test]
fn a_batch_far_larger_than_any_buffer_arrives_whole() {
    everywhere(|store| {
        let keys: Vec<String> = (0..10_000).map(|n| format!("key:{n}")).collect();
        let value = [7; 1_024];
        let mut writes = Batch::new();
        for key in &keys {
            writes.set(key, &value, SetOptions::new());
        }
        let stored = store.run(&writes);
        assert_eq!(stored.len(), keys.len());
        assert!(
            stored
                .iter()
                .all(|outcome| matches!(outcome, Ok(Outcome::Stored(_))))
        );
        assert_eq!(store.length().unwrap(), 10_000);
        let mut reads = Batch::new();
        for key in &keys {
            reads.get(key);
        }
        for (key, outcome) in keys.iter().zip(store.run(&reads)) {
            let found = matches!(&outcome, Ok(Outcome::Entry(Some(entry))) if entry.value == value);
            assert!(found, "{key}: {outcome:?}");
        }
    });
}
