//! The store for tasks: the same words in every role, a lost master, a worker of `run`.

#![cfg(all(feature = "cli", feature = "tokio", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::parts::{self, say, serve};
use common::proxy::Proxy;
use common::{PATIENCE, Running, cluster, connect, folder};
use memstore_cluster::testing::TestMaster;
use memstore_cluster::{
    AsyncStore, Batch, DestroyOptions, Error, Options, Outcome, Result, Role, SetOptions,
    Standalone,
};
use nix::sys::signal::Signal;
use tokio::runtime::Runtime;
use tokio::time::timeout;

#[test]
fn play_a_part() {
    match parts::asked().as_deref() {
        None => {}
        Some("worker") => Runtime::new().unwrap().block_on(worker()),
        Some("both") => Runtime::new().unwrap().block_on(threads_and_tasks()),
        Some(other) => panic!("there is no part {other:?}"),
    }
}

async fn connected(sock: &Path) -> AsyncStore {
    let options = Options {
        sock: Some(sock.to_owned()),
        connect: true,
        ..Options::default()
    };
    options.create_async().await.unwrap()
}

async fn all(store: &AsyncStore) -> Vec<Vec<u8>> {
    let (mut walk, mut keys) = (store.all(), Vec::new());
    while let Some(item) = walk.next().await {
        keys.push(item.unwrap().0);
    }
    keys.sort();
    keys
}

/// What a store does, whoever holds it.
async fn does_what_a_store_does(store: &AsyncStore) {
    store.clear().await.unwrap();
    let first = store.set("a", "1").await.unwrap();
    let entry = store.get("a").await.unwrap().unwrap();
    assert_eq!(
        (&*entry.value, entry.seq, entry.ttl),
        (&b"1"[..], first, None)
    );
    let absent = store
        .set_with("a", "2", SetOptions::new().if_absent())
        .await;
    assert!(matches!(absent, Err(Error::Conflict { found: Some(seq) }) if seq == first));
    let present = store
        .set_with("b", "2", SetOptions::new().if_present())
        .await;
    assert!(matches!(present, Err(Error::Conflict { found: None })));
    let second = store
        .set_with("a", "2", SetOptions::new().if_seq(first))
        .await;
    assert!(second.unwrap() > first);
    let minute = Duration::from_secs(60);
    assert!(store.touch("a", Some(minute)).await.unwrap());
    assert!(!store.touch("b", Some(minute)).await.unwrap());
    let ttl = store.get("a").await.unwrap().unwrap().ttl.unwrap();
    assert!(ttl <= minute && ttl > minute / 2, "{ttl:?}");
    store
        .set_with("b", "", SetOptions::new().ttl(Duration::ZERO))
        .await
        .unwrap();
    assert_eq!(store.length().await.unwrap(), 1);
    store
        .set_json("j", &[1, 2], SetOptions::new())
        .await
        .unwrap();
    assert_eq!(
        store.get_json::<Vec<u8>>("j").await.unwrap().unwrap(),
        [1, 2]
    );
    let json = store.get_json::<String>("j").await;
    assert!(matches!(json, Err(Error::Json(_))), "{json:?}");
    assert_eq!(all(store).await, [b"a", b"j"]);
    assert!(store.destroy("a").await.unwrap());
    assert!(!store.destroy("a").await.unwrap());
    let moved = store.regenerate("j", "k", Duration::ZERO).await.unwrap();
    assert!(moved.is_some());
    assert_eq!(all(store).await, [b"k"]);
    let none = store.regenerate("j", "l", Duration::ZERO).await.unwrap();
    assert_eq!(none, None);
    let buried = DestroyOptions::new().tombstone(minute);
    assert!(store.destroy_with("k", buried).await.unwrap());
    let late = store.set("k", "late").await;
    assert!(
        matches!(late, Err(Error::Conflict { found: None })),
        "{late:?}"
    );
    let long = store.set(vec![b'k'; 100_000], "").await;
    assert!(matches!(long, Err(Error::KeyTooLong { .. })), "{long:?}");
    store.ping().await.unwrap();
    store.clear().await.unwrap();
    assert_eq!(store.length().await.unwrap(), 0);
}

#[tokio::test]
async fn the_store_does_the_same_in_every_role() {
    let folder = folder();
    let alone = Options {
        standalone: Standalone::Always,
        ..Options::default()
    };
    let alone = alone.create_async().await.unwrap();
    let master = Options {
        serve: true,
        sock: Some(folder.path().join("s")),
        ..Options::default()
    };
    let master = master.create_async().await.unwrap();
    let client = connected(&folder.path().join("s")).await;
    let tested = TestMaster::start().unwrap();
    let worker = tested.async_worker(5).unwrap();
    let roles = [Role::Standalone, Role::Master, Role::Worker, Role::Worker];
    for (store, role) in [alone, master, client, worker.clone()].iter().zip(roles) {
        assert_eq!(store.role(), role);
        does_what_a_store_does(store).await;
    }
    assert_eq!(worker.worker(), Some(5));
}

/// Each operation by itself, and far more than is in flight at once.
async fn does_what_a_batch_asks(store: AsyncStore) {
    store.clear().await.unwrap();
    let too_long = vec![b'k'; 100_000];
    let mut batch = Batch::new();
    batch
        .set("a", "1", SetOptions::new())
        .set("a", "2", SetOptions::new().if_absent())
        .set(&too_long, "3", SetOptions::new())
        .get("a")
        .length()
        .destroy("a")
        .destroy("a")
        .clear();
    let outcomes = store.run(&batch).await;
    assert!(
        matches!(
            outcomes.as_slice(),
            [
                Ok(Outcome::Stored(seq)),
                Err(Error::Conflict { found: Some(found) }),
                Err(Error::KeyTooLong { .. }),
                Ok(Outcome::Entry(Some(entry))),
                Ok(Outcome::Length(1)),
                Ok(Outcome::Found(true)),
                Ok(Outcome::Found(false)),
                Ok(Outcome::Done),
            ] if found == seq && entry.value == b"1" && entry.seq == *seq
        ),
        "{outcomes:?}"
    );
    let keys: Vec<String> = (0..10_000).map(|n| format!("key:{n}")).collect();
    let (mut writes, mut reads) = (Batch::new(), Batch::new());
    for key in &keys {
        writes.set(key, &[7; 1_024], SetOptions::new());
        reads.get(key);
    }
    let stored = store.run(&writes).await;
    assert!(
        stored
            .iter()
            .all(|one| matches!(one, Ok(Outcome::Stored(_))))
    );
    let found = store.run(&reads).await;
    assert_eq!(found.len(), keys.len());
    for outcome in found {
        let is_there =
            matches!(&outcome, Ok(Outcome::Entry(Some(entry))) if entry.value == [7; 1_024]);
        assert!(is_there, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_batch_does_the_same_in_every_role() {
    let alone = Options {
        standalone: Standalone::Always,
        ..Options::default()
    };
    let tested = TestMaster::start().unwrap();
    for store in [
        alone.create_async().await.unwrap(),
        tested.async_worker(0).unwrap(),
    ] {
        // In a task, as in a program.
        tokio::spawn(does_what_a_batch_asks(store)).await.unwrap();
    }
}

#[tokio::test]
async fn of_a_batch_whose_connection_ends_each_tells_what_became_of_it() {
    let scene = Scene::new().await;
    let store = scene.store.clone();
    let outcomes = scene.interrupted(async move {
        let mut batch = Batch::new();
        batch.get("a").set("b", "1", SetOptions::new()).get("b");
        Ok(store.run(&batch).await)
    });
    let outcomes = outcomes.await.unwrap();
    assert!(
        matches!(
            outcomes.as_slice(),
            [
                Ok(Outcome::Entry(None)),
                Err(Error::OutcomeUnknown { operation: "set" }),
                Ok(Outcome::Entry(Some(_))),
            ]
        ),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn a_walk_over_many_pages_meets_everything_once_also_if_it_is_interrupted() {
    let master = TestMaster::start().unwrap();
    let store = master.async_worker(0).unwrap();
    for number in 0..5_000_u32 {
        let key = number.to_be_bytes();
        master.store().set(key, [0; 100]).unwrap();
    }
    let (mut walk, mut keys) = (store.all(), Vec::new());
    loop {
        // A page is not there at once: this gives up while it is asked for.
        match timeout(Duration::ZERO, walk.next()).await {
            Ok(Some(item)) => keys.push(item.unwrap().0),
            Ok(None) => break,
            Err(_) => match walk.next().await {
                Some(item) => keys.push(item.unwrap().0),
                None => break,
            },
        }
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 5_000);
}

async fn worker() {
    let (one, other) = tokio::join!(
        Options::default().create_async(),
        Options::default().create_async(),
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    one.set("from", "a task").await.unwrap();
    let value = other.get("from").await.unwrap().unwrap().value;
    say(&format!(
        "slot {:?} and {:?} read {}",
        one.worker(),
        other.worker(),
        String::from_utf8(value).unwrap()
    ));
    std::future::pending::<()>().await;
}

#[test]
fn a_worker_has_one_channel_for_all_handles_of_its_tasks() {
    let folder = folder();
    let sock = folder.path().join("s");
    let mut master = cluster::start_part(&sock, "--workers 2", "worker");
    for slot in 0..2 {
        let line = format!("slot Some({slot}) and Some({slot}) read a task");
        master.stdout().until_contains(&line);
    }
    master.signal(Signal::SIGTERM);
    assert_eq!(master.wait().code(), Some(0));
}

async fn threads_and_tasks() {
    let threads = Options::default().create().unwrap();
    let tasks = Options::default().create_async().await.unwrap();
    threads.set("from", "a thread").unwrap();
    let value = tasks.get("from").await.unwrap().unwrap().value;
    say(&format!(
        "slot {:?}, role {:?} reads {}",
        tasks.worker(),
        tasks.role(),
        String::from_utf8(value).unwrap()
    ));
    std::future::pending::<()>().await;
}

#[test]
fn where_threads_have_the_channel_tasks_use_the_path() {
    let folder = folder();
    let sock = folder.path().join("s");
    let master = cluster::start_part(&sock, "--workers 1", "both");
    let line = "slot None, role Worker reads a thread";
    master.stdout().until_contains(line);
}

/// A master, and a handle whose connection the test can spoil.
struct Scene {
    folder: tempfile::TempDir,
    master: Running,
    proxy: Proxy,
    store: AsyncStore,
}

impl Scene {
    async fn new() -> Self {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let master = serve(&path("s"), ["--log", "info"]);
        let proxy = Proxy::start(&path("proxy"), &path("s"));
        let store = connected(&path("proxy")).await;
        Self {
            folder,
            master,
            proxy,
            store,
        }
    }

    /// What a call comes to if the connection ends after the master has done it and before it was
    /// heard.
    async fn interrupted<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        // Not the connection that the call before has lost.
        self.store.ping().await.unwrap();
        self.proxy.keep_replies_back();
        let call = tokio::spawn(call);
        let proxy = self.proxy.clone();
        let cut = move || {
            proxy.until_one_is_kept_back();
            proxy.cut();
        };
        tokio::task::spawn_blocking(cut).await.unwrap();
        call.await.unwrap()
    }
}

#[tokio::test]
async fn what_changes_nothing_is_repeated_and_the_rest_told_to_be_unknown() {
    let scene = Scene::new().await;
    let witness = connect(&scene.folder.path().join("s"));
    let store = scene.store.clone();
    witness.set("foo", "bar").unwrap();
    let found = scene
        .interrupted(async move { store.get("foo").await })
        .await
        .unwrap();
    assert_eq!(found.unwrap().value, b"bar");
    let store = scene.store.clone();
    let set = scene
        .interrupted(async move { store.set("new", "1").await })
        .await;
    assert!(
        matches!(set, Err(Error::OutcomeUnknown { operation: "set" })),
        "{set:?}"
    );
    assert!(witness.get("new").unwrap().is_some(), "it was done, once");
}

#[tokio::test]
async fn what_was_not_sent_is_done_on_the_next_connection() {
    let scene = Scene::new().await;
    for number in 0..20 {
        // The task that reads has noticed by the time that the next call comes.
        scene.proxy.cut();
        let key = number.to_string();
        loop {
            match scene.store.set(&key, "").await {
                Ok(_) => break,
                // It had left already when the end was seen.
                Err(Error::OutcomeUnknown { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert_eq!(scene.store.length().await.unwrap(), 20);
}

/// Many tasks lose their connection at once; one new one is made for all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_find_a_new_connection_together() {
    let scene = Scene::new().await;
    for _ in 0..5 {
        scene.proxy.cut();
        let calls: Vec<_> = (0..200)
            .map(|_| {
                let store = scene.store.clone();
                tokio::spawn(async move { store.get("foo").await })
            })
            .collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_master_that_stands_still_is_given_up_and_used_again_when_it_goes_on() {
    let scene = Scene::new().await;
    let store = connected(&scene.folder.path().join("s")).await;
    store.set("foo", "bar").await.unwrap();
    scene.master.signal(Signal::SIGSTOP);
    let short = store.with_timeout(Duration::from_millis(50));
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let short = short.clone();
            tokio::spawn(async move { short.get("foo").await })
        })
        .collect();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(
            matches!(
                error,
                Error::Timeout {
                    operation: "get",
                    ..
                }
            ),
            "{error:?}"
        );
    }
    // Neither is a call that its caller gives up.
    assert!(
        timeout(Duration::from_millis(20), store.get("foo"))
            .await
            .is_err()
    );
    scene.master.signal(Signal::SIGCONT);
    let found = store.get("foo").await.unwrap();
    assert_eq!(found.unwrap().value, b"bar");
}

#[tokio::test]
async fn a_client_becomes_the_master_when_that_is_gone() {
    let folder = folder();
    let sock = folder.path().join("s");
    let options = Options {
        sock: Some(sock.clone()),
        standalone: Standalone::Never,
        ..Options::default()
    };
    let mut master = serve(&sock, ["--log", "info"]);
    let store = options.clone().create_async().await.unwrap();
    assert_eq!(store.role(), Role::Worker);
    master.signal(Signal::SIGKILL);
    master.wait();
    store.get("foo").await.unwrap();
    assert_eq!(store.role(), Role::Master);
    let other = options.create_async().await.unwrap();
    assert_eq!(other.role(), Role::Worker);
    store.set("foo", "bar").await.unwrap();
    assert!(other.get("foo").await.unwrap().is_some());
}

#[tokio::test]
async fn without_a_master_a_client_says_so_in_time() {
    let folder = folder();
    let options = Options {
        sock: Some(folder.path().join("s")),
        connect: true,
        patience: Duration::from_millis(20),
        ..Options::default()
    };
    let refused = timeout(PATIENCE, options.create_async()).await.unwrap();
    assert!(
        matches!(refused, Err(Error::Unreachable { .. })),
        "{refused:?}"
    );
}
