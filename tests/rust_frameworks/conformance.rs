//! What a store of sessions has to do, for every adapter, over several connections.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use memstore_cluster::integrations::Conflicts;

use super::adapters::{Actix, Adapter, Scene, Session, Tower14, Tower15, Trouble};
use super::common::proxy::Proxy;
use super::common::{PATIENCE, connect};

const HOUR: Duration = Duration::from_secs(3600);

/// Runs each function of this file for one adapter.
macro_rules! conforms {
    ($module:ident, $adapter:ty) => {
        mod $module {
            use super::*;

            conforms!(@ $adapter:
                what_one_worker_creates_the_others_load,
                any_json_comes_back_as_it_was,
                what_is_unknown_is_none_and_stays_so,
                a_save_replaces_data_and_deadline,
                a_request_in_flight_does_not_undo_a_logout,
                a_session_ends_at_its_deadline_and_not_before,
                a_session_without_time_left_is_gone_at_once,
                the_id_of_another_session_is_never_taken,
                what_is_no_session_is_told,
                prefixes_keep_applications_apart,
                other_languages_can_read_it,
                a_lost_connection_is_not_noticed,
            );
        }
    };
    (@ $adapter:ty: $($case:ident,)+) => {
        $(#[test]
        fn $case() {
            super::$case::<$adapter>();
        })+
    };
}

conforms!(tower_sessions_0_14, Tower14);
conforms!(tower_sessions_0_15, Tower15);
conforms!(actix_session, Actix);

fn what_one_worker_creates_the_others_load<A: Adapter>() {
    let scene = Scene::new();
    let workers: [A; 3] = scene.workers(Conflicts::Overwrite);
    scene.runtime.block_on(async {
        let mut session = Session::of([("user", "\"ferris\""), ("visits", "7")]);
        workers[0].create(&mut session, HOUR).await.unwrap();
        for worker in &workers {
            let loaded = worker.load(&session.id).await.unwrap();
            assert_eq!(loaded.as_ref(), Some(&session));
        }
        workers[1].delete(&session.id).await.unwrap();
        for worker in &workers {
            assert_eq!(worker.load(&session.id).await.unwrap(), None);
        }
    });
}

fn any_json_comes_back_as_it_was<A: Adapter>() {
    let scene = Scene::new();
    let [worker]: [A; 1] = scene.workers(Conflicts::Overwrite);
    let large = format!("\"{}\"", "x".repeat(300_000));
    let mut session = Session::of([
        ("", "null"),
        ("float", "1.5"),
        ("large", &large),
        ("list", "[1,\"two\",[]]"),
        ("number", "-9007199254740993"),
        ("object", "{\"a\":{\"b\":true}}"),
        ("text", "\"\\\"\\u0000 \u{1f980}\""),
        ("\u{1f980}.key \"quoted\"", "0"),
    ]);
    scene.runtime.block_on(async {
        worker.create(&mut session, HOUR).await.unwrap();
        let loaded = worker.load(&session.id).await.unwrap();
        assert_eq!(loaded.as_ref(), Some(&session));
        let mut empty = Session::of([]);
        worker.create(&mut empty, HOUR).await.unwrap();
        let loaded = worker.load(&empty.id).await.unwrap();
        assert_eq!(loaded.as_ref(), Some(&empty));
    });
}

fn what_is_unknown_is_none_and_stays_so<A: Adapter>() {
    let scene = Scene::new();
    let [worker]: [A; 1] = scene.workers(Conflicts::Overwrite);
    scene.runtime.block_on(async {
        let unknown = Session {
            id: A::new_id(),
            ..Session::of([("a", "1")])
        };
        assert_eq!(worker.load(&unknown.id).await.unwrap(), None);
        worker.delete(&unknown.id).await.unwrap();
        worker.save(&unknown, HOUR).await.unwrap();
        assert_eq!(worker.load(&unknown.id).await.unwrap(), None);
    });
    assert_eq!(connect(&scene.master.sock()).length().unwrap(), 0);
}

fn a_save_replaces_data_and_deadline<A: Adapter>() {
    let scene = Scene::new();
    let [one, other]: [A; 2] = scene.workers(Conflicts::Overwrite);
    let store = connect(&scene.master.sock());
    scene.runtime.block_on(async {
        let mut session = Session::of([("a", "1"), ("b", "2")]);
        one.create(&mut session, HOUR).await.unwrap();
        session.data.remove("a");
        session.put("c", "3");
        other.save(&session, HOUR * 5).await.unwrap();
        assert_eq!(one.load(&session.id).await.unwrap(), Some(session.clone()));
        let ttl = |id: &str| {
            store
                .get(format!("sess:{id}"))
                .unwrap()
                .unwrap()
                .ttl
                .unwrap()
        };
        let left = ttl(&session.id);
        assert!(left > HOUR * 4 && left <= HOUR * 5, "{left:?}");
        one.save(&session, HOUR).await.unwrap();
        assert!(ttl(&session.id) <= HOUR);
    });
}

fn a_request_in_flight_does_not_undo_a_logout<A: Adapter>() {
    for conflicts in [Conflicts::Overwrite, Conflicts::Refuse] {
        let scene = Scene::new();
        let [slow, quick]: [A; 2] = scene.workers(conflicts);
        scene.runtime.block_on(async {
            let mut session = Session::of([("user", "1")]);
            quick.create(&mut session, HOUR).await.unwrap();
            let mut in_flight = slow.load(&session.id).await.unwrap().unwrap();
            in_flight.put("visits", "1");
            quick.delete(&session.id).await.unwrap();
            slow.save(&in_flight, HOUR).await.unwrap();
            assert_eq!(quick.load(&session.id).await.unwrap(), None);
        });
        assert_eq!(connect(&scene.master.sock()).length().unwrap(), 0);
    }
}

fn a_session_ends_at_its_deadline_and_not_before<A: Adapter>() {
    let scene = Scene::new();
    let [worker]: [A; 1] = scene.workers(Conflicts::Overwrite);
    let ttl = Duration::from_millis(300);
    scene.runtime.block_on(async {
        let mut session = Session::of([("a", "1")]);
        let start = Instant::now();
        worker.create(&mut session, ttl).await.unwrap();
        while worker.load(&session.id).await.unwrap().is_some() {
            assert!(start.elapsed() < PATIENCE, "it never ends");
            tokio::task::yield_now().await;
        }
        // The deadline is a point of a clock that counts whole milliseconds.
        let lived = start.elapsed() + Duration::from_millis(1);
        assert!(lived >= ttl, "it ended after {lived:?}");
        worker.save(&session, HOUR).await.unwrap();
        assert_eq!(worker.load(&session.id).await.unwrap(), None);
    });
    assert_eq!(connect(&scene.master.sock()).length().unwrap(), 0);
}

fn a_session_without_time_left_is_gone_at_once<A: Adapter>() {
    let scene = Scene::new();
    let [worker]: [A; 1] = scene.workers(Conflicts::Overwrite);
    scene.runtime.block_on(async {
        let mut session = Session::of([("a", "1")]);
        worker.create(&mut session, Duration::ZERO).await.unwrap();
        assert_eq!(worker.load(&session.id).await.unwrap(), None);
        let mut session = Session::of([("a", "1")]);
        worker.create(&mut session, HOUR).await.unwrap();
        worker.save(&session, Duration::ZERO).await.unwrap();
        assert_eq!(worker.load(&session.id).await.unwrap(), None);
    });
}

fn the_id_of_another_session_is_never_taken<A: Adapter>() {
    let scene = Scene::new();
    let workers: [A; 4] = scene.workers(Conflicts::Overwrite);
    let id = if A::CHOOSES_IDS {
        A::new_id()
    } else {
        String::new()
    };
    let sessions: BTreeSet<String> = scene.runtime.block_on(async {
        let mut creating = tokio::task::JoinSet::new();
        for (number, worker) in workers.iter().cycle().take(64).enumerate() {
            let (worker, id) = (worker.clone(), id.clone());
            creating.spawn(async move {
                let data = Session::of([("number", &number.to_string())]).data;
                let mut session = Session { id, data };
                worker.create(&mut session, HOUR).await.unwrap();
                let loaded = worker.load(&session.id).await.unwrap();
                assert_eq!(loaded, Some(session.clone()), "it is another's");
                session.id
            });
        }
        creating.join_all().await.into_iter().collect()
    });
    assert_eq!(sessions.len(), 64);
    assert_eq!(sessions.contains(&id), A::CHOOSES_IDS);
}

fn what_is_no_session_is_told<A: Adapter>() {
    let scene = Scene::new();
    let [worker]: [A; 1] = scene.workers(Conflicts::Overwrite);
    let store = connect(&scene.master.sock());
    let id = A::new_id();
    let key = format!("sess:{id}");
    let load = || scene.runtime.block_on(worker.load(&id));
    for damaged in ["", "{", "[1]", "\"text\"", "{\"a\":1}x"] {
        store.set(&key, damaged).unwrap();
        assert_eq!(load(), Err(Trouble::Undecodable), "{damaged}");
    }
    store.destroy(&key).unwrap();
    scene
        .master
        .connect()
        .ask(&format!("HSET {key} a 1"), ":1\r\n");
    assert_eq!(load(), Err(Trouble::Undecodable));
    // It can be overwritten all the same, and removed.
    let session = Session {
        id: id.clone(),
        ..Session::of([("a", "1")])
    };
    scene.runtime.block_on(worker.save(&session, HOUR)).unwrap();
    assert_eq!(load(), Ok(Some(session)));
}

fn prefixes_keep_applications_apart<A: Adapter>() {
    let scene = Scene::new();
    let [sess]: [A; 1] = scene.workers(Conflicts::Overwrite);
    let shop = sess.clone().with_prefix("shop:");
    scene.runtime.block_on(async {
        let mut session = Session::of([("a", "1")]);
        shop.create(&mut session, HOUR).await.unwrap();
        assert_eq!(sess.load(&session.id).await.unwrap(), None);
        sess.delete(&session.id).await.unwrap();
        assert_eq!(shop.load(&session.id).await.unwrap(), Some(session.clone()));
    });
}

fn other_languages_can_read_it<A: Adapter>() {
    let scene = Scene::new();
    let [worker]: [A; 1] = scene.workers(Conflicts::Overwrite);
    let mut session = Session::of([("user", "\"ferris\"")]);
    let create = worker.create(&mut session, HOUR);
    scene.runtime.block_on(create).unwrap();
    let text = scene
        .master
        .connect()
        .bulk(&format!("GET sess:{}", session.id));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    // actix-session's values are texts of JSON themselves.
    let user = match json["user"].as_str().unwrap() {
        "ferris" => "ferris".to_owned(),
        text => serde_json::from_str(text).unwrap(),
    };
    assert_eq!(
        (user.as_str(), json.as_object().unwrap().len()),
        ("ferris", 1)
    );
}

/// The master has done what was asked, and nobody heard of it: every operation of a session is
/// repeated, and none is done to another session.
fn a_lost_connection_is_not_noticed<A: Adapter>() {
    let scene = Scene::new();
    let path = scene.master.folder.path().join("proxy");
    let proxy = Proxy::start(&path, &scene.master.sock());
    let store = scene.connect_to(&path);
    let worker = A::over(store.clone(), Conflicts::Refuse);
    let interrupt = || {
        // Not the connection that the call before has lost.
        scene.runtime.block_on(store.ping()).unwrap();
        proxy.keep_replies_back();
        let proxy = proxy.clone();
        std::thread::spawn(move || {
            proxy.until_one_is_kept_back();
            proxy.cut();
        })
    };
    let mut session = Session::of([("a", "1")]);
    let cut = interrupt();
    let create = worker.create(&mut session, HOUR);
    scene.runtime.block_on(create).unwrap();
    cut.join().unwrap();
    let cut = interrupt();
    let loaded = scene.runtime.block_on(worker.load(&session.id));
    let mut loaded = loaded.unwrap().unwrap();
    cut.join().unwrap();
    loaded.put("a", "2");
    let cut = interrupt();
    scene.runtime.block_on(worker.save(&loaded, HOUR)).unwrap();
    cut.join().unwrap();
    let again = scene.runtime.block_on(worker.load(&session.id));
    assert_eq!(again.unwrap().unwrap().data["a"], "2");
    let cut = interrupt();
    scene.runtime.block_on(worker.delete(&session.id)).unwrap();
    cut.join().unwrap();
    let gone = scene.runtime.block_on(worker.load(&session.id));
    assert_eq!(gone.unwrap(), None);
}
