//! The memory backend and the model of the simulator held to the contract, rule by rule, and
//! both against a plainer model still.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::model::ModelBackend;
use super::*;

/// A backend that can check itself.
trait Checked: Backend {
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

fn both() -> [Box<dyn Checked>; 2] {
    [
        Box::new(MemoryBackend::new()),
        Box::new(ModelBackend::new()),
    ]
}

const NOW: Millis = Millis::from_unix(1_000);

fn put(store: &mut dyn Checked, now: Millis, key: &[u8], deadline: Deadline) -> Seq {
    match store
        .set(now, key, key, deadline, Condition::Always)
        .unwrap()
    {
        SetOutcome::Stored(seq) => seq,
        SetOutcome::Conflict(_) => unreachable!("an unconditional write"),
    }
}

fn keys(store: &mut dyn Checked, now: Millis, page: usize) -> Vec<Vec<u8>> {
    let (mut keys, mut cursor) = (Vec::new(), Cursor::default());
    loop {
        let mut left = page;
        let next = store
            .all(now, cursor, &mut |key, _| {
                keys.push(key.to_vec());
                left -= 1;
                if left == 0 { Walk::Pause } else { Walk::On }
            })
            .unwrap();
        match next {
            Some(next) => cursor = next,
            None => return keys,
        }
    }
}

#[test]
fn an_entry_is_visible_up_to_the_last_millisecond_before_its_deadline() {
    for mut store in both() {
        let store = store.as_mut();
        put(store, NOW, b"k", Deadline::At(NOW.after_ms(10)));
        assert!(store.get(NOW.after_ms(9), b"k").unwrap().is_some());
        assert_eq!(store.length(NOW.after_ms(9)).unwrap(), 1);
        assert!(store.get(NOW.after_ms(10), b"k").unwrap().is_none());
        assert_eq!(store.length(NOW.after_ms(10)).unwrap(), 0);
        assert!(keys(store, NOW.after_ms(10), 1).is_empty());
    }
}

#[test]
fn time_may_begin_at_zero() {
    for mut store in both() {
        let store = store.as_mut();
        put(
            store,
            Millis::ZERO,
            b"k",
            Deadline::At(Millis::from_unix(10)),
        );
        assert_eq!(store.length(Millis::from_unix(9)).unwrap(), 1);
        assert_eq!(store.length(Millis::from_unix(10)).unwrap(), 0);
        store.check_invariants();
    }
}

#[test]
fn touch_moves_the_deadline_alone_and_never_brings_one_back() {
    for mut store in both() {
        let store = store.as_mut();
        let seq = put(store, NOW, b"k", Deadline::At(NOW.after_ms(10)));
        assert!(
            store
                .touch(NOW, b"k", Deadline::At(NOW.after_ms(50)))
                .unwrap()
        );
        let entry = store.get(NOW.after_ms(49), b"k").unwrap().unwrap();
        assert_eq!((entry.seq, entry.value.as_ref()), (seq, b"k".as_slice()));
        assert!(
            !store
                .touch(NOW.after_ms(50), b"k", Deadline::Never)
                .unwrap()
        );
        assert!(store.get(NOW.after_ms(50), b"k").unwrap().is_none());
        assert!(!store.touch(NOW, b"other", Deadline::Never).unwrap());
        store.check_invariants();
    }
}

#[test]
fn a_write_that_is_already_over_removes_the_entry() {
    for mut store in both() {
        let store = store.as_mut();
        put(store, NOW, b"k", Deadline::Never);
        put(store, NOW, b"k", Deadline::At(NOW));
        assert_eq!(store.length(NOW).unwrap(), 0);
        put(store, NOW, b"k", Deadline::Never);
        assert!(store.touch(NOW, b"k", Deadline::At(NOW)).unwrap());
        assert!(store.get(NOW, b"k").unwrap().is_none());
        store.check_invariants();
    }
}

#[test]
fn of_two_compare_and_sets_from_the_same_version_one_wins() {
    for mut store in both() {
        let store = store.as_mut();
        let seq = put(store, NOW, b"k", Deadline::Never);
        let mut cas =
            |value: &[u8]| store.set(NOW, b"k", value, Deadline::Keep, Condition::IfSeq(seq));
        let first = cas(b"a").unwrap();
        let SetOutcome::Stored(newer) = first else {
            panic!("{first:?}")
        };
        assert_eq!(cas(b"b").unwrap(), SetOutcome::Conflict(Some(newer)));
        assert!(newer > seq);
    }
}

#[test]
fn a_walk_meets_what_stays_exactly_once_and_ends_while_others_write() {
    for mut store in both() {
        let store = store.as_mut();
        for n in 0..100u8 {
            put(store, NOW, &[n], Deadline::Never);
        }
        let (mut met, mut cursor, mut steps) = (Vec::new(), Cursor::default(), 0u32);
        loop {
            let next = store.all(NOW, cursor, &mut |key, _| {
                met.push(key.to_vec());
                Walk::Pause
            });
            steps += 1;
            put(store, NOW, &steps.to_le_bytes(), Deadline::Never);
            put(store, NOW, &[50], Deadline::Never);
            store.destroy(NOW, &[20]).unwrap();
            match next.unwrap() {
                Some(next) => cursor = next,
                None => break,
            }
            assert!(cursor.0 <= Cursor::MOST, "{cursor:?}");
        }
        // What was written meanwhile may be met or not.
        met.retain(|key| key.len() == 1);
        met.sort();
        let stayed: Vec<Vec<u8>> = (0..100u8).filter(|n| *n != 20).map(|n| vec![n]).collect();
        assert_eq!(met, stayed);
    }
}

#[test]
fn any_number_is_a_place_in_a_walk() {
    for mut store in both() {
        for n in 0..100u8 {
            put(&mut *store, NOW, &[n], Deadline::Never);
        }
        let places = (0..64).map(|shift| u64::MAX << shift);
        for place in places.chain((0..64).map(|shift| u64::MAX >> shift)) {
            let (mut seen, mut next) = (Vec::new(), Some(Cursor(place)));
            while let Some(cursor) = next {
                let visit = &mut |key: &[u8], _: EntryRef<'_>| {
                    seen.push(key.to_vec());
                    Walk::Pause
                };
                next = store.all(NOW, cursor, visit).unwrap();
            }
            let count = seen.len();
            seen.sort();
            seen.dedup();
            assert!(seen.len() == count && count <= 100, "from {place}");
        }
    }
}

#[test]
fn clear_is_at_once_and_frees_in_steps() {
    for mut store in both() {
        let store = store.as_mut();
        for n in 0..10_000u32 {
            put(store, NOW, &n.to_le_bytes(), Deadline::At(NOW.after_ms(5)));
        }
        store.clear(NOW).unwrap();
        assert_eq!(store.length(NOW).unwrap(), 0);
        put(store, NOW, b"new", Deadline::Never);
        let steps =
            std::iter::from_fn(|| (store.upkeep(NOW) == Upkeep::More).then_some(())).count();
        assert!(steps > 1, "{steps}");
        store.check_invariants();
        assert_eq!(keys(store, NOW, 7), [b"new".to_vec()]);
        assert_eq!(store.upkeep(NOW), Upkeep::Idle);
    }
}

#[test]
fn upkeep_removes_what_expired_in_steps_and_says_when_to_come_again() {
    for mut store in both() {
        let store = store.as_mut();
        for n in 0..1_000u32 {
            put(store, NOW, &n.to_le_bytes(), Deadline::At(NOW.after_ms(5)));
        }
        put(store, NOW, b"later", Deadline::At(NOW.after_ms(9)));
        assert_eq!(store.upkeep(NOW), Upkeep::Until(NOW.after_ms(5)));
        let then = NOW.after_ms(5);
        assert_eq!(store.upkeep(then), Upkeep::More);
        while store.upkeep(then) == Upkeep::More {}
        assert_eq!(store.upkeep(then), Upkeep::Until(NOW.after_ms(9)));
        store.check_invariants();
    }
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, u8, Deadline, Condition),
    Touch(u8, Deadline),
    Destroy(u8),
    Clear,
    Upkeep,
    Advance(u64),
}

fn deadline() -> impl Strategy<Value = Deadline> {
    prop_oneof![
        Just(Deadline::Never),
        Just(Deadline::Keep),
        (0u64..40).prop_map(|ms| Deadline::At(NOW.after_ms(ms)))
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        3 => Just(Condition::Always),
        1 => Just(Condition::IfAbsent),
        1 => Just(Condition::IfPresent),
        1 => (0u64..20).prop_map(|seq| Condition::IfSeq(Seq(seq)))
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..6, any::<u8>(), deadline(), condition()).prop_map(|(k, v, d, c)| Step::Set(k, v, d, c)),
        2 => (0u8..6, deadline()).prop_map(|(k, d)| Step::Touch(k, d)),
        2 => (0u8..6).prop_map(Step::Destroy),
        1 => Just(Step::Clear),
        1 => Just(Step::Upkeep),
        2 => (0u64..8).prop_map(Step::Advance),
    ]
}

/// What the contract says, as plainly as it can be written.
#[derive(Default)]
struct Model(BTreeMap<u8, (u8, Option<Millis>, Seq)>);

impl Model {
    fn expire(&mut self, now: Millis) {
        self.0
            .retain(|_, (_, deadline, _)| deadline.is_none_or(|at| now < at));
    }

    fn put(&mut self, key: u8, value: u8, deadline: Deadline, seq: Seq) {
        let kept = self.0.get(&key).and_then(|(_, at, _)| *at);
        let deadline = match deadline {
            Deadline::Never => None,
            Deadline::At(at) => Some(at),
            Deadline::Keep => kept,
        };
        self.0.insert(key, (value, deadline, seq));
    }
}

proptest! {
    #[test]
    fn they_do_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
      for mut store in both() {
        let store = store.as_mut();
        let (mut model, mut now, mut last) = (Model::default(), NOW, Seq(0));
        for step in steps.clone() {
            match step {
                Step::Set(key, value, deadline, condition) => {
                    let found = model.0.get(&key).map(|(_, _, seq)| *seq);
                    let holds = match condition {
                        Condition::Always => true,
                        Condition::IfAbsent => found.is_none(),
                        Condition::IfPresent => found.is_some(),
                        Condition::IfSeq(seq) => found == Some(seq),
                    };
                    match store.set(now, &[key], &[value], deadline, condition).unwrap() {
                        SetOutcome::Stored(seq) => {
                            prop_assert!(holds && seq > last);
                            last = seq;
                            model.put(key, value, deadline, seq);
                        }
                        SetOutcome::Conflict(seq) => prop_assert!(!holds && seq == found),
                    }
                }
                Step::Touch(key, deadline) => {
                    let touched = store.touch(now, &[key], deadline).unwrap();
                    let known = model.0.get(&key).copied();
                    prop_assert_eq!(touched, known.is_some());
                    if let Some((value, _, seq)) = known { model.put(key, value, deadline, seq); }
                }
                Step::Destroy(key) => {
                    let destroyed = store.destroy(now, &[key]).unwrap();
                    prop_assert_eq!(destroyed, model.0.remove(&key).is_some());
                }
                Step::Clear => { store.clear(now).unwrap(); model.0.clear(); }
                Step::Upkeep => { store.upkeep(now); }
                Step::Advance(ms) => now = now.after(Duration::from_millis(ms)),
            }
            model.expire(now);
            store.check_invariants();
            prop_assert_eq!(store.length(now).unwrap(), model.0.len() as u64);
            for key in 0..6 {
                let got = store.get(now, &[key]).unwrap();
                let got = got.map(|entry| (entry.value[0], entry.deadline, entry.seq));
                prop_assert_eq!(got, model.0.get(&key).copied());
            }
            let mut met = keys(store, now, 2);
            met.sort();
            let live: Vec<Vec<u8>> = model.0.keys().map(|key| vec![*key]).collect();
            prop_assert_eq!(met, live);
        }
      }
    }
}
