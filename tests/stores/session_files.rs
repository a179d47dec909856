//! session-file-store and a master on the same folder, at the same time.

use std::fs;
use std::time::Duration;

use memstore_cluster::{Error, SetOptions};
use serde_json::{Value, json};

use crate::Place;
use crate::common::eventually;
use crate::knex::{json_of, session, set};
use crate::node::{NodeStore, has_packages};

fn url(place: &Place) -> String {
    format!("files:{}?sync=never", place.at("sessions").display())
}

/// What a session is besides what a store adds to it.
fn bare(mut session: Value) -> Value {
    if let Some(members) = session.as_object_mut() {
        members.remove("__lastAccess");
        members.remove("__memstore");
    }
    session
}

#[test]
fn either_side_reads_what_the_other_wrote() {
    if !has_packages() {
        return;
    }
    let place = Place::new();
    let path = place.at("sessions");
    let mut theirs = NodeStore::start("files", &path);
    theirs.set("before", &session(60_000, &json!(0)));
    let _master = place.serve(&url(&place));
    let ours = place.connect();
    assert_eq!(json_of(&ours, "before").unwrap()["what"], json!(0));
    assert!(ours.destroy("before").unwrap());

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
        ttl > Duration::from_secs(30) && ttl <= Duration::from_millis(60_001),
        "{ttl:?}"
    );
    theirs.set("no age", &json!({ "cookie": { "originalMaxAge": null } }));
    let ttl = ours.get("no age").unwrap().unwrap().ttl.unwrap();
    assert!(ttl > Duration::from_secs(3_500) && ttl <= Duration::from_millis(3_600_001));
    assert!(ours.destroy("no age").unwrap());

    // Ours to theirs.
    let written = session(60_000, &tricky);
    set(&ours, "ours", &written, 60_000);
    assert_eq!(bare(theirs.get("ours")), written);
    assert_eq!(theirs.call("length", &[]), Ok(json!(2)));
    assert_eq!(
        theirs.call("list", &[]),
        Ok(json!(["ours.json", "theirs.json"]))
    );
    assert_eq!(ours.length().unwrap(), 2);
    ours.set("forever", "{}").unwrap();
    theirs.call("reap", &[]).unwrap();
    assert_eq!(bare(theirs.get("forever")), json!({}));
    assert!(ours.destroy("forever").unwrap());

    // A touch moves the deadline, whoever does it.
    let mut long = session(3_600_000, &json!("is not written"));
    theirs
        .call("touch", &[json!("ours"), long.clone()])
        .unwrap();
    let found = ours.get("ours").unwrap().unwrap();
    assert!(found.ttl.unwrap() > Duration::from_secs(3_000));
    long["what"] = tricky.clone();
    assert_eq!(serde_json::from_slice::<Value>(&found.value).unwrap(), long);
    assert!(
        ours.touch("theirs", Some(Duration::from_millis(1)))
            .unwrap()
    );
    eventually("it has expired for us", || {
        ours.get("theirs").unwrap().is_none().then_some(())
    });
    let expired = theirs.call("get", &[json!("theirs")]);
    assert!(
        expired.is_err() || expired == Ok(Value::Null),
        "{expired:?}"
    );

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
    assert_eq!(bare(theirs.get("ours")), json!({ "cookie": {} }));

    // What it carries along from one session into another is not taken for ours.
    let copied = theirs.get("ours");
    theirs.set("copy", &copied);
    assert_eq!(json_of(&ours, "copy").unwrap(), json!({ "cookie": {} }));
    assert_eq!(ours.all().count(), 2);

    // What one removes is gone for the other.
    theirs.call("destroy", &[json!("ours")]).unwrap();
    assert!(ours.get("ours").unwrap().is_none());
    assert!(ours.destroy("copy").unwrap());
    assert!(theirs.call("get", &[json!("copy")]).is_err());
    theirs.set("b", &session(60_000, &json!(1)));
    ours.clear().unwrap();
    eventually("its file is removed", || {
        (theirs.call("length", &[]) == Ok(json!(0))).then_some(())
    });
    set(&ours, "c", &session(60_000, &json!(1)), 60_000);
    theirs.call("clear", &[]).unwrap();
    assert_eq!(ours.length().unwrap(), 0);
}

#[test]
fn what_is_no_session_is_ours_alone_and_harms_nobody() {
    if !has_packages() {
        return;
    }
    let place = Place::new();
    let path = place.at("sessions");
    let master = place.serve(&url(&place));
    let ours = place.connect();
    let mut theirs = NodeStore::start("files", &path);
    let values = [
        &b"\0\xff"[..],
        b"",
        b"007",
        b"[1]",
        b"not json",
        b"{\"open\":",
    ];
    let long = [b'k'; 300];
    let keys = [&b"../escape"[..], b"", b"\xff\0", b"50%", b".hidden", &long];
    for (key, value) in keys.iter().zip(values) {
        ours.set(key, value).unwrap();
    }
    ours.set("good", "{\"n\":1}").unwrap();
    theirs.call("reap", &[]).unwrap();
    assert_eq!(bare(theirs.get("good")), json!({ "n": 1 }));
    assert_eq!(theirs.call("length", &[]), Ok(json!(7)));
    drop(ours);
    drop(master);
    let _master = place.serve(&url(&place));
    let ours = place.connect();
    for (key, value) in keys.iter().zip(values) {
        assert_eq!(ours.get(key).unwrap().unwrap().value, value);
    }
    let outside = fs::read_dir(place.at(".")).unwrap();
    let names = outside.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.contains("escape")));
}

/// Both sides write the same sessions as fast as they can; nothing fails and nothing is torn.
#[test]
fn both_sides_write_at_once() {
    if !has_packages() {
        return;
    }
    let place = Place::new();
    let mut theirs = NodeStore::start("files", &place.at("sessions"));
    let _master = place.serve(&url(&place));
    let ours = place.connect();
    let session = |by: &str, round: u32| json!({ "by": by, "filler": by.repeat(500), "n": round });
    let assert_whole = |found: &Value| {
        let by = found["by"].as_str().unwrap();
        assert_eq!(found["filler"], json!(by.repeat(500)));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..300 {
                let sid = format!("s{}", round % 7);
                set(&ours, &sid, &session("ours", round), 60_000);
                assert_whole(&json_of(&ours, &sid).expect("written by one or the other"));
            }
        });
        for round in 0..300 {
            let sid = format!("s{}", round % 7);
            theirs.set(&sid, &session("theirs", round));
            assert_whole(&theirs.get(&sid));
        }
    });
    assert_eq!(ours.length().unwrap(), 7);
    let damaged = fs::read_dir(place.at("sessions/.memstore/damaged")).unwrap();
    assert_eq!(damaged.count(), 0);
}
