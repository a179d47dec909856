//! level-session-store, classic-level and a master on the same database, one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use memstore_cluster::{SetOptions, Store};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::Place;
use crate::common::{Running, clean, eventually, memstore};
use crate::knex::{json_of, session, set};
use crate::node::{NodeStore, has_packages};

fn url(place: &Place, options: &str) -> String {
    format!("leveldb:{}{options}", place.at("sessions").display())
}

/// Ends a master in order.
fn stop(mut master: Running) {
    master.signal(Signal::SIGTERM);
    assert!(master.finish().status.success());
}

/// `kind` is how level-session-store has the database.
fn either_side_reads_what_the_other_wrote(kind: &str, options: &str, sync: &str) {
    if !has_packages() {
        return;
    }
    let place = Place::new();
    let path = place.at("sessions");
    let url = url(&place, &[options, sync].concat());

    // Ours makes the database, and the length without which their `set` fails.
    stop(place.serve(&url));
    let mut theirs = NodeStore::start(kind, &path);
    assert_eq!(theirs.call("length", &[]), Ok(json!(0)));
    let tricky =
        json!({ "text": "z\u{fc}rich \u{1f980} \" ' \\ \u{0}", "n": 1.5, "list": [null, 1e21] });
    let written = session(60_000, &tricky);
    theirs.set("theirs", &written);
    theirs.set("theirs", &written);
    theirs.set("short", &session(1, &json!(0)));
    theirs.set("gone", &session(60_000, &json!(0)));
    drop(theirs);

    let master = place.serve(&url);
    let ours = place.connect();
    let found = ours.get("theirs").unwrap().unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&found.value).unwrap(),
        written
    );
    let ttl = found.ttl.unwrap();
    assert!(
        ttl > Duration::from_secs(30) && ttl <= Duration::from_secs(60),
        "{ttl:?}"
    );
    assert!(
        ours.get("short").unwrap().is_none(),
        "its cookie has expired"
    );
    assert_eq!(ours.length().unwrap(), 2);
    assert_eq!(ours.all().count(), 2);
    assert!(ours.destroy("gone").unwrap());
    set(&ours, "ours", &session(60_000, &tricky), 3_600_000);
    ours.set(b"\xff\0binary", b"\0\xff").unwrap();
    assert!(
        ours.touch("theirs", Some(Duration::from_secs(3_600)))
            .unwrap()
    );
    let seq = ours.get("ours").unwrap().unwrap().seq;
    stop(master);

    let mut theirs = NodeStore::start(kind, &path);
    assert_eq!(theirs.call("length", &[]), Ok(json!(3)));
    assert_eq!(theirs.get("ours")["what"], tricky);
    assert_eq!(theirs.get("theirs"), written);
    assert_eq!(theirs.get("gone"), Value::Null);
    theirs.set("ours", &session(60_000, &json!("changed")));
    drop(theirs);

    let master = place.serve(&url);
    let ours = place.connect();
    assert_eq!(json_of(&ours, "ours").unwrap()["what"], json!("changed"));
    let lost = ours.set_with("ours", "{}", SetOptions::new().if_seq(seq));
    assert!(lost.is_err(), "who wrote in between is noticed");
    let ttl = |sid: &str| ours.get(sid).unwrap().unwrap().ttl.unwrap();
    assert!(ttl("ours") <= Duration::from_secs(60), "a new cookie");
    assert!(
        ttl("theirs") > Duration::from_secs(3_000),
        "our deadline holds"
    );
    assert_eq!(ours.get(b"\xff\0binary").unwrap().unwrap().value, b"\0\xff");
    stop(master);
}

#[test]
fn either_side_reads_what_the_other_wrote_into_a_database_of_its_own() {
    either_side_reads_what_the_other_wrote("level", "", "");
}

#[test]
fn either_side_reads_what_the_other_wrote_below_a_name() {
    either_side_reads_what_the_other_wrote("level-ns", "?ns=app", "&sync=1s");
}

#[test]
fn a_database_in_use_is_refused_whoever_has_it() {
    if !has_packages() {
        return;
    }
    let place = Place::new();
    let path = place.at("sessions");
    let theirs = NodeStore::start("classic", &path);
    let mut serve = memstore(["serve", "--store", &url(&place, ""), "--sock"]);
    let ended = Running::start(serve.arg(place.sock())).finish();
    assert!(!ended.status.success());
    let in_use = format!("in use by another process ({})", theirs.pid());
    assert!(
        ended.stderr.iter().any(|line| line.contains(&in_use)),
        "{ended:?}"
    );
    drop(theirs);

    let _master = place.serve(&url(&place, ""));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stores");
    let opens = "new (require('classic-level').ClassicLevel)(process.argv[1]).open()";
    let node = clean("node")
        .current_dir(folder)
        .args(["-e", opens])
        .arg(&path)
        .output();
    let node = node.unwrap();
    assert!(!node.status.success());
    let why = String::from_utf8_lossy(&node.stderr);
    assert!(
        why.contains("LEVEL_LOCKED") || why.contains("already held"),
        "{why}"
    );
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

/// Of what stands in a database, entries with plain keys.
fn entries(dump: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = dump.as_array().unwrap().iter();
    let all = all.map(|entry| (text(&entry[0]), text(&entry[1])));
    let length = hex(b"__length__");
    all.filter(|(key, _)| !key.starts_with("00") && *key != length)
        .collect()
}

/// A value that LevelDB compresses well, or not at all.
fn value(rng: &mut Rng) -> Vec<u8> {
    let length = rng.usize(..3_000);
    if rng.bool() {
        return b"session".repeat(length / 7);
    }
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

/// Both write so much, in turns, that everything is in tables of several levels and merged by one
/// side and the other.
#[test]
fn a_database_goes_back_and_forth() {
    if !has_packages() {
        return;
    }
    let seed = crate::history::from_environment("STORES_SEED", fastrand::u64(..));
    println!("replay with STORES_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let place = Place::new();
    let path = place.at("sessions");
    let mut model: BTreeMap<String, String> = BTreeMap::new();
    let key = |rng: &mut Rng| {
        let mut key = vec![rng.u8(1..=255)];
        key.extend(rng.u32(..4_000).to_be_bytes());
        key[0] |= 0x80;
        key
    };
    for round in 0..3 {
        let mut theirs = NodeStore::start("classic", &path);
        assert_eq!(
            entries(&theirs.call("dump", &[]).unwrap()),
            model,
            "in round {round}"
        );
        for _ in 0..20 {
            let mut writes = Vec::new();
            for _ in 0..200 {
                let key = hex(&key(&mut rng));
                if rng.u8(..4) == 0 {
                    model.remove(&key);
                    writes.push(json!([key, null]));
                } else {
                    let value = hex(&value(&mut rng));
                    writes.push(json!([key, value]));
                    model.insert(key, value);
                }
            }
            theirs.call("batch", &[Value::Array(writes)]).unwrap();
        }
        if rng.bool() {
            theirs.call("compact", &[]).unwrap();
        }
        drop(theirs);

        let mut master = place.serve(&url(&place, "?sync=never"));
        let ours = place.connect();
        check(&ours, &model, round);
        for _ in 0..4_000 {
            let key = key(&mut rng);
            if rng.u8(..4) == 0 {
                let was_there = ours.destroy(&key).unwrap();
                assert_eq!(was_there, model.remove(&hex(&key)).is_some());
            } else {
                let value = value(&mut rng);
                ours.set(&key, &value).unwrap();
                model.insert(hex(&key), hex(&value));
            }
        }
        check(&ours, &model, round);
        master.signal(if rng.bool() {
            Signal::SIGKILL
        } else {
            Signal::SIGTERM
        });
        master.wait();
    }
    let mut theirs = NodeStore::start("classic", &path);
    assert_eq!(entries(&theirs.call("dump", &[]).unwrap()), model);
}

fn check(ours: &Store, model: &BTreeMap<String, String>, round: u32) {
    assert_eq!(
        ours.length().unwrap(),
        model.len() as u64,
        "in round {round}"
    );
    let all = ours.all().map(|entry| {
        let entry = entry.unwrap();
        (hex(&entry.0), hex(&entry.1.value))
    });
    let all: BTreeMap<_, _> = all.collect();
    assert!(all == *model, "in round {round}");
    eventually("it answers", || ours.ping().ok());
}
