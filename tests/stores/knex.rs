//! connect-session-knex and a master on the same database, at the same time.

use std::time::Duration;

use memstore_cluster::{Error, SetOptions, Store};
use serde_json::{Value, json};

use crate::node::{NodeStore, has_packages};
use crate::{Place, common};

/// A session as express-session has it, that expires so many milliseconds from now.
pub(crate) fn session(ttl: u64, what: &Value) -> Value {
    json!({
        "cookie": {
            "originalMaxAge": ttl,
            // A store is handed the object, of which this is a property.
            "maxAge": ttl,
            "expires": iso(ttl),
        },
        "what": what,
    })
}

fn iso(ttl: u64) -> String {
    let date = format!("console.log(new Date(Date.now() + {ttl}).toISOString())");
    let mut node = common::clean("node");
    let output = node.args(["-e", &date]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn json_of(store: &Store, sid: &str) -> Option<Value> {
    let entry = store.get(sid).unwrap()?;
    Some(serde_json::from_slice(&entry.value).unwrap())
}

/// As a session that is read back from a database; the module keeps what it was given.
pub(crate) fn set(store: &Store, sid: &str, session: &Value, ttl: u64) {
    let options = SetOptions::new().ttl(Duration::from_millis(ttl));
    store.set_with(sid, session.to_string(), options).unwrap();
}

/// Whoever makes the database: `is_ours` says it.
fn either_side_reads_what_the_other_wrote(is_ours: bool) {
    let place = Place::new();
    let path = place.at("sessions.db");
    let url = format!("sqlite:{}", path.display());
    let (_master, mut theirs);
    if is_ours {
        _master = place.serve(&url);
        theirs = NodeStore::start("knex", &path);
    } else {
        theirs = NodeStore::start("knex", &path);
        theirs.set("before", &session(60_000, &json!(0)));
        _master = place.serve(&url);
    }
    let ours = place.connect();
    if !is_ours {
        assert_eq!(json_of(&ours, "before").unwrap()["what"], json!(0));
        assert!(ours.destroy("before").unwrap());
    }

    // Theirs to ours.
    let tricky =
        json!({ "text": "z\u{fc}rich \u{1f980} \" ' \\ \u{0}", "n": 1.5, "list": [null, 1e21] });
    let written = session(60_000, &tricky);
    theirs.set("theirs", &written);
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

    // Ours to theirs.
    let written = session(60_000, &tricky);
    set(&ours, "ours", &written, 60_000);
    assert_eq!(theirs.get("ours"), written);
    assert_eq!(theirs.call("length", &[]), Ok(json!(2)));
    assert_eq!(ours.length().unwrap(), 2);
    assert_eq!(
        theirs.call("all", &[]).unwrap().as_array().unwrap().len(),
        2
    );
    assert_eq!(ours.all().count(), 2);
    ours.set("forever", "{}").unwrap();
    assert_eq!(theirs.get("forever"), json!({}));
    assert!(ours.destroy("forever").unwrap());

    // A touch moves the deadline, whoever does it.
    let long = session(3_600_000, &json!("is not written"));
    theirs.call("touch", &[json!("ours"), long]).unwrap();
    let found = ours.get("ours").unwrap().unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&found.value).unwrap(),
        written
    );
    assert!(found.ttl.unwrap() > Duration::from_secs(3_000));
    assert!(
        ours.touch("theirs", Some(Duration::from_millis(1)))
            .unwrap()
    );
    common::eventually("it has expired for us", || {
        ours.get("theirs").unwrap().is_none().then_some(())
    });
    common::eventually("it has expired for them, who count seconds", || {
        theirs.get("theirs").is_null().then_some(())
    });

    // Who wrote in between is noticed.
    let seq = ours.get("ours").unwrap().unwrap().seq;
    theirs.set("ours", &session(60_000, &json!("changed")));
    let lost = ours.set_with("ours", "{}", SetOptions::new().if_seq(seq));
    let Err(Error::Conflict { found: Some(found) }) = lost else {
        panic!("{lost:?}");
    };
    assert!(found > seq);
    ours.set_with("ours", "{\"cookie\":{}}", SetOptions::new().if_seq(found))
        .unwrap();
    assert_eq!(theirs.get("ours"), json!({ "cookie": {} }));

    // What one removes is gone for the other.
    theirs.call("destroy", &[json!("ours")]).unwrap();
    assert!(ours.get("ours").unwrap().is_none());
    let lost = ours.set_with("ours", "{}", SetOptions::new().if_seq(found));
    assert!(
        matches!(lost, Err(Error::Conflict { found: None })),
        "{lost:?}"
    );
    theirs.set("a", &session(60_000, &json!(1)));
    assert!(ours.destroy("a").unwrap());
    assert_eq!(theirs.get("a"), Value::Null);
    theirs.set("b", &session(60_000, &json!(1)));
    ours.clear().unwrap();
    assert_eq!(theirs.call("length", &[]), Ok(json!(0)));
    set(&ours, "c", &session(60_000, &json!(1)), 60_000);
    theirs.call("clear", &[]).unwrap();
    assert_eq!(ours.length().unwrap(), 0);

    // Their cleanup takes what has expired and nothing else.
    ours.set("kept", "{}").unwrap();
    set(&ours, "soon", &json!({}), 1);
    common::eventually("it has expired", || {
        ours.get("soon").unwrap().is_none().then_some(())
    });
    theirs.call("dbCleanup", &[]).unwrap();
    assert_eq!(theirs.get("kept"), json!({}));
}

#[test]
fn either_side_reads_what_the_other_wrote_into_our_database() {
    if has_packages() {
        either_side_reads_what_the_other_wrote(true);
    }
}

#[test]
fn either_side_reads_what_the_other_wrote_into_their_database() {
    if has_packages() {
        either_side_reads_what_the_other_wrote(false);
    }
}

#[test]
fn what_is_no_json_is_ours_alone_and_harms_nobody() {
    if !has_packages() {
        return;
    }
    let place = Place::new();
    let path = place.at("sessions.db");
    let _master = place.serve(&format!("sqlite:{}", path.display()));
    let ours = place.connect();
    let mut theirs = NodeStore::start("knex", &path);
    let values = [&b"\0\xff"[..], b"", b"007", b"1e3", b" 5", b"not json"];
    for (number, value) in values.iter().enumerate() {
        ours.set([b'k', u8::try_from(number).unwrap()], value)
            .unwrap();
    }
    ours.set("good", "{\"n\":1}").unwrap();
    for (number, value) in values.iter().enumerate() {
        let found = ours.get([b'k', u8::try_from(number).unwrap()]).unwrap();
        assert_eq!(found.unwrap().value, *value);
    }
    assert_eq!(theirs.get("good"), json!({ "n": 1 }));
    assert_eq!(theirs.call("length", &[]), Ok(json!(values.len() + 1)));
    let all = theirs.call("all", &[]).unwrap();
    assert!(
        all.as_array().unwrap().contains(&json!({ "n": 1 })),
        "{all}"
    );
}

/// Both sides write the same sessions as fast as they can; nothing fails and nothing is torn.
#[test]
fn both_sides_write_at_once() {
    if !has_packages() {
        return;
    }
    let place = Place::new();
    let path = place.at("sessions.db");
    let _master = place.serve(&format!("sqlite:{}?lock-timeout=5s", path.display()));
    let ours = place.connect().with_timeout(Duration::from_secs(20));
    let mut theirs = NodeStore::start("knex", &path);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..200 {
                let sid = format!("s{}", round % 7);
                set(&ours, &sid, &session_of("ours", round), 60_000);
                let found = json_of(&ours, &sid).expect("written by one or the other");
                assert!(found["by"] == "ours" || found["by"] == "theirs", "{found}");
            }
        });
        for round in 0..200 {
            let sid = format!("s{}", round % 7);
            theirs.set(&sid, &session_of("theirs", round));
            let found = theirs.get(&sid);
            assert!(found["by"] == "ours" || found["by"] == "theirs", "{found}");
        }
    });
    assert_eq!(ours.length().unwrap(), 7);
}

fn session_of(who: &str, round: u32) -> Value {
    json!({ "cookie": { "maxAge": 60_000 }, "by": who, "round": round })
}
