//! Tombstones, rule by rule, and against random requests.

use proptest::prelude::*;

use super::*;
use crate::backend::MemoryBackend;
use crate::backend::databases::{Databases, Existing};
use crate::backend::forwarding::assert_forwards;
use crate::config::Memory;
use crate::contract::Seq;

const NOW: Millis = Millis::from_unix(5_000);
const TEN: Duration = Duration::from_millis(10);
const DEAD: SetOutcome = SetOutcome::Conflict(None);

fn over_memory(rules: &[Tombstone]) -> Tombstones {
    let make = |_, existing| Ok((existing == Existing::OrNew).then(MemoryBackend::new));
    let databases = Databases::open(Memory::default(), make).unwrap();
    Tombstones::new(Box::new(databases), rules)
}

fn sessions() -> Tombstones {
    over_memory(&[Tombstone::new("sess:", TEN)])
}

fn write(store: &mut dyn Backend, now: Millis, key: &[u8], condition: Condition) -> SetOutcome {
    let done = store.set(now, key, b"v", Deadline::Never, condition);
    done.unwrap()
}

fn set(store: &mut dyn Backend, now: Millis, key: &[u8]) -> SetOutcome {
    write(store, now, key, Condition::Always)
}

fn is_stored(outcome: SetOutcome) -> bool {
    matches!(outcome, SetOutcome::Stored(_))
}

fn is_there(store: &mut dyn Backend, now: Millis, key: &[u8]) -> bool {
    store.get(now, key).unwrap().is_some()
}

#[test]
fn every_call_reaches_the_backend_below() {
    // What they are there for, and a `set` goes on as a `set_kind`.
    let apart = ["capabilities", "set", "is_buried", "bury", "regenerate"];
    assert_forwards(
        &|below, call| call(&mut Tombstones::new(Box::new(below), &[])),
        &apart,
    );
    assert_forwards(
        &|below, call| {
            let mut all = Tombstones::new(Box::new(below), &[]);
            call(all.database(3).expect("it is there"));
        },
        &apart,
    );
}

#[test]
fn what_was_destroyed_is_not_written_unawares_until_its_time_is_over() {
    let mut store = sessions();
    let key = b"sess:1";
    let SetOutcome::Stored(seq) = set(&mut store, NOW, key) else {
        panic!("nothing was there");
    };
    assert!(store.destroy(NOW, key).unwrap());
    let last = NOW.after_ms(9);
    for condition in [
        Condition::Always,
        Condition::IfPresent,
        Condition::IfSeq(seq),
    ] {
        assert_eq!(write(&mut store, last, key, condition), DEAD);
    }
    assert!(!store.touch(last, key, Deadline::Never).unwrap());
    assert!(!is_there(&mut store, last, key));
    assert!(is_stored(set(&mut store, NOW.after_ms(10), key)));
}

#[test]
fn to_create_an_entry_is_no_accident_and_ends_the_tombstone() {
    let mut store = sessions();
    set(&mut store, NOW, b"sess:1");
    store.destroy(NOW, b"sess:1").unwrap();
    assert!(is_stored(write(
        &mut store,
        NOW,
        b"sess:1",
        Condition::IfAbsent
    )));
    assert!(is_stored(set(&mut store, NOW, b"sess:1")));
    assert!(!is_stored(write(
        &mut store,
        NOW,
        b"sess:1",
        Condition::IfAbsent
    )));
}

#[test]
fn only_what_was_there_is_remembered_and_only_where_a_rule_fits() {
    let rules = [
        Tombstone::new("sess:", TEN),
        Tombstone::new("sess:short:", Duration::ZERO),
    ];
    let mut store = over_memory(&rules);
    assert!(!store.destroy(NOW, b"sess:1").unwrap());
    assert!(
        is_stored(set(&mut store, NOW, b"sess:1")),
        "it was not there"
    );
    for key in [b"other".as_slice(), b"sess", b"sess:short:1"] {
        set(&mut store, NOW, key);
        assert!(store.destroy(NOW, key).unwrap());
        assert!(is_stored(set(&mut store, NOW, key)), "{key:?}");
    }
    let past = Deadline::At(NOW);
    assert!(store.touch(NOW, b"sess:1", past).unwrap());
    assert!(is_stored(set(&mut store, NOW, b"sess:1")), "it expired");
}

#[test]
fn a_call_may_ask_for_a_tombstone_of_its_own() {
    let mut store = sessions();
    for (key, ms) in [(b"other".as_slice(), 20), (b"sess:1", 20), (b"sess:2", 5)] {
        set(&mut store, NOW, key);
        let lasting = Duration::from_millis(ms);
        assert!(!store.bury(NOW, b"nothing", lasting).unwrap());
        assert!(store.bury(NOW, key, lasting).unwrap());
        assert_eq!(set(&mut store, NOW.after_ms(ms - 1), key), DEAD);
        assert!(is_stored(set(&mut store, NOW.after_ms(ms), key)));
    }
}

#[test]
fn databases_have_their_own_and_clear_them() {
    let mut store = sessions();
    for number in [0, 3] {
        let one = store.database(number).unwrap();
        set(one, NOW, b"sess:1");
        one.destroy(NOW, b"sess:1").unwrap();
    }
    let other = store.database(4).unwrap();
    assert!(is_stored(set(other, NOW, b"sess:1")));
    store.database(3).unwrap().clear(NOW).unwrap();
    assert!(is_stored(set(store.database(3).unwrap(), NOW, b"sess:1")));
    assert_eq!(set(&mut store, NOW, b"sess:1"), DEAD);
    store.clear(NOW).unwrap();
    assert!(is_stored(set(&mut store, NOW, b"sess:1")));
    assert!(store.database(16).is_none());
}

fn deadline_of(store: &mut dyn Backend, now: Millis, key: &[u8]) -> Option<Millis> {
    store.get(now, key).unwrap().unwrap().deadline
}

#[test]
fn a_new_key_has_value_and_deadline_and_the_old_one_the_grace() {
    let mut store = sessions();
    let hour = NOW.after_ms(3_600_000);
    let value = (Kind::Hash, b"fields".as_slice());
    let before = store.set_kind(NOW, b"sess:a", value, Deadline::At(hour), Condition::Always);
    let moved = store.regenerate(NOW, b"sess:a", b"sess:b", 2 * TEN);
    let (SetOutcome::Stored(before), Some(SetOutcome::Stored(after))) =
        (before.unwrap(), moved.unwrap())
    else {
        panic!("nothing was in the way");
    };
    assert!(before < after);
    let new = store.get(NOW, b"sess:b").unwrap().unwrap();
    assert_eq!((&*new.value, new.kind), (&b"fields"[..], Kind::Hash));
    assert_eq!((new.deadline, new.seq), (Some(hour), after));
    let end = NOW.after_ms(20);
    assert_eq!(deadline_of(&mut store, NOW, b"sess:a"), Some(end));
    assert!(!is_there(&mut store, end, b"sess:a"));
}

#[test]
fn no_write_makes_the_old_key_outlast_its_grace() {
    let mut store = over_memory(&[]);
    set(&mut store, NOW, b"a");
    store.regenerate(NOW, b"a", b"b", TEN).unwrap();
    let (end, soon) = (NOW.after_ms(10), NOW.after_ms(5));
    for deadline in [
        Deadline::Never,
        Deadline::Keep,
        Deadline::At(NOW.after_ms(60)),
    ] {
        let done = store.set(NOW, b"a", b"late", deadline, Condition::IfPresent);
        assert!(is_stored(done.unwrap()));
        assert_eq!(
            deadline_of(&mut store, NOW, b"a"),
            Some(end),
            "{deadline:?}"
        );
        assert!(store.touch(NOW, b"a", deadline).unwrap());
        assert_eq!(
            deadline_of(&mut store, NOW, b"a"),
            Some(end),
            "{deadline:?}"
        );
    }
    store.touch(NOW, b"a", Deadline::At(soon)).unwrap();
    assert_eq!(deadline_of(&mut store, NOW, b"a"), Some(soon));
    assert_eq!(set(&mut store, end, b"a"), DEAD, "nor brings it back");
    assert_eq!(set(&mut store, NOW.after_ms(19), b"a"), DEAD);
    assert!(is_stored(set(&mut store, NOW.after_ms(20), b"a")));
    let new = store.get(end, b"b").unwrap().unwrap();
    assert_eq!((&*new.value, new.deadline), (&b"v"[..], None));
}

#[test]
fn an_entry_gets_one_new_key_and_no_other_ones() {
    let mut store = over_memory(&[]);
    let taken = set(&mut store, NOW, b"taken");
    assert_eq!(store.regenerate(NOW, b"none", b"b", TEN).unwrap(), None);
    set(&mut store, NOW, b"a");
    let SetOutcome::Stored(seq) = taken else {
        panic!("nothing was there");
    };
    let conflict = Some(SetOutcome::Conflict(Some(seq)));
    let refused = store.regenerate(NOW, b"a", b"taken", TEN).unwrap();
    assert_eq!(refused, conflict);
    assert_eq!(deadline_of(&mut store, NOW, b"a"), None, "it is as it was");
    let itself = store.regenerate(NOW, b"a", b"a", TEN).unwrap();
    assert!(matches!(itself, Some(SetOutcome::Conflict(Some(_)))));
    assert!(store.regenerate(NOW, b"a", b"b", TEN).unwrap().is_some());
    assert_eq!(store.regenerate(NOW, b"a", b"c", TEN).unwrap(), None);
    assert!(!is_there(&mut store, NOW, b"c"));
    assert!(store.regenerate(NOW, b"b", b"c", TEN).unwrap().is_some());
}

#[test]
fn without_grace_the_old_key_goes_at_once() {
    let mut store = sessions();
    for key in [b"sess:a".as_slice(), b"a"] {
        set(&mut store, NOW, key);
        let new = [key, b"new"].concat();
        let moved = store.regenerate(NOW, key, &new, Duration::ZERO);
        assert!(moved.unwrap().is_some());
        assert!(!is_there(&mut store, NOW, key));
    }
    assert_eq!(set(&mut store, NOW, b"sess:a"), DEAD);
    assert!(is_stored(set(&mut store, NOW, b"a")), "no rule fits");
}

#[test]
fn a_logout_in_the_grace_is_a_logout() {
    let mut store = over_memory(&[]);
    set(&mut store, NOW, b"a");
    store.regenerate(NOW, b"a", b"b", TEN).unwrap();
    assert!(store.destroy(NOW, b"a").unwrap());
    assert_eq!(set(&mut store, NOW, b"a"), DEAD);
    assert_eq!(set(&mut store, NOW.after_ms(19), b"a"), DEAD);
    assert!(is_there(&mut store, NOW, b"b"));
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Set(u8, Condition),
    Touch(u8),
    Destroy(u8),
    Clear,
    Upkeep,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..4_u8;
    let condition = prop_oneof![
        4 => Just(Condition::Always),
        1 => Just(Condition::IfAbsent),
        1 => Just(Condition::IfPresent),
        1 => (1..40_u64).prop_map(|seq| Condition::IfSeq(Seq(seq))),
    ];
    prop_oneof![
        2 => (0..8_u64).prop_map(Step::Wait),
        6 => (key.clone(), condition).prop_map(|(key, condition)| Step::Set(key, condition)),
        1 => key.clone().prop_map(Step::Touch),
        3 => key.prop_map(Step::Destroy),
        1 => Just(Step::Clear),
        1 => Just(Step::Upkeep),
    ]
}

proptest! {
    /// Beside it goes a store without tombstones, which is asked what it is asked but for what a
    /// plain list of the destroyed keys says is refused.
    #[test]
    fn it_is_the_backend_below_but_for_what_is_refused(
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let (mut store, mut plain) = (over_memory(&[Tombstone::new("", TEN)]), MemoryBackend::new());
        let (mut now, mut dead) = (NOW, [Millis::ZERO; 4]);
        for step in steps {
            match step {
                Step::Wait(ms) => now = now.after_ms(ms),
                Step::Set(key, condition) => {
                    let outcome = write(&mut store, now, &[key], condition);
                    let is_dead = now < dead[usize::from(key)];
                    if is_dead && condition != Condition::IfAbsent {
                        prop_assert_eq!(outcome, DEAD);
                    } else {
                        prop_assert_eq!(outcome, write(&mut plain, now, &[key], condition));
                        if is_stored(outcome) {
                            dead[usize::from(key)] = Millis::ZERO;
                        }
                    }
                }
                Step::Touch(key) => {
                    let touched = store.touch(now, &[key], Deadline::At(now.after_ms(3))).unwrap();
                    let other = plain.touch(now, &[key], Deadline::At(now.after_ms(3))).unwrap();
                    prop_assert_eq!(touched, other);
                }
                Step::Destroy(key) => {
                    let was_live = store.destroy(now, &[key]).unwrap();
                    prop_assert_eq!(was_live, plain.destroy(now, &[key]).unwrap());
                    if was_live {
                        dead[usize::from(key)] = now.after(TEN);
                    }
                }
                Step::Clear => {
                    store.clear(now).unwrap();
                    plain.clear(now).unwrap();
                    dead = [Millis::ZERO; 4];
                }
                Step::Upkeep => {
                    store.upkeep(now);
                }
            }
            prop_assert_eq!(store.length(now).unwrap(), plain.length(now).unwrap());
        }
    }
}
