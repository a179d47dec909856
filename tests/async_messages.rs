//! Publish and subscribe for tasks, in every role and whatever is dropped meanwhile.

#![cfg(all(feature = "cli", feature = "tokio", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::parts::serve;
use common::proxy::Proxy;
use common::redis::Master;
use common::{PATIENCE, connect, folder};
use memstore_cluster::testing::TestMaster;
use memstore_cluster::{
    AsyncStore, AsyncSubscription, Error, Message, Options, Role, Standalone, Store,
};
use nix::sys::signal::Signal;
use tokio::time::{Instant, timeout};

async fn alone() -> AsyncStore {
    let options = Options {
        standalone: Standalone::Always,
        ..Options::default()
    };
    options.create_async().await.unwrap()
}

async fn connected(sock: &Path) -> AsyncStore {
    let options = Options {
        sock: Some(sock.to_owned()),
        connect: true,
        ..Options::default()
    };
    options.create_async().await.unwrap()
}

async fn next(subscription: &mut AsyncSubscription) -> Message {
    let received = subscription.receive(PATIENCE).await.unwrap();
    received.expect("a message comes")
}

fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

/// Waits until nobody is subscribed any more.
async fn until_nobody_hears(store: &AsyncStore, channel: &str) {
    let deadline = Instant::now() + PATIENCE;
    while store.publish(channel, "x").await.unwrap() > 0 {
        assert!(Instant::now() < deadline, "somebody is subscribed still");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn everybody_hears_everybody_in_order() {
    let folder = folder();
    let sock = folder.path().join("s");
    let master = Options {
        serve: true,
        sock: Some(sock.clone()),
        ..Options::default()
    };
    let master = master.create_async().await.unwrap();
    assert_eq!(master.role(), Role::Master);
    let stores = [master, connected(&sock).await, connected(&sock).await];
    let thread: Store = connect(&sock);
    let mut heard_by_thread = thread.subscribe(&["news"]).unwrap();
    let mut all = Vec::new();
    for store in &stores {
        let by_name = store.subscribe(&["news", "other"]).await.unwrap();
        let by_pattern = store.subscribe_matching(&["n*"]).await.unwrap();
        all.push((by_name, by_pattern));
    }
    for round in 0..100 {
        for (number, store) in stores.iter().enumerate() {
            let payload = format!("{round} {number}");
            assert_eq!(store.publish("news", &payload).await.unwrap(), 7);
        }
    }
    assert_eq!(thread.publish("other", "last").unwrap(), 3);
    for round in 0..100 {
        for number in 0..3 {
            let expected = format!("{round} {number}");
            for (by_name, by_pattern) in &mut all {
                let (one, other) = (next(by_name).await, next(by_pattern).await);
                assert_eq!((text(&one), text(&other)), (&*expected, &*expected));
                assert_eq!((one.pattern, other.pattern), (None, Some(b"n*".to_vec())));
            }
            let heard = heard_by_thread.next().unwrap().unwrap();
            assert_eq!(text(&heard), expected);
        }
    }
    for (by_name, by_pattern) in &mut all {
        let last = next(by_name).await;
        assert_eq!((&last.channel[..], text(&last)), (&b"other"[..], "last"));
        for subscription in [by_name, by_pattern] {
            let nothing = subscription.receive(Duration::ZERO).await.unwrap();
            assert_eq!(nothing, None);
        }
    }
    drop((all, heard_by_thread));
    until_nobody_hears(&stores[0], "news").await;
}

#[tokio::test]
async fn alone_a_process_hears_itself() {
    let store = alone().await;
    let mut news = store.subscribe(&["news"]).await.unwrap();
    let soon = news.receive(Duration::from_millis(5)).await.unwrap();
    assert_eq!(soon, None);
    let waiting = tokio::spawn(async move { (next(&mut news).await, news) });
    tokio::task::yield_now().await;
    assert_eq!(store.publish("news", "hello").await.unwrap(), 1);
    let (message, news) = waiting.await.unwrap();
    assert_eq!(text(&message), "hello");
    drop(news);
    assert_eq!(store.publish("news", "to nobody").await.unwrap(), 0);
    let long = store.publish("x".repeat(100_000), "").await;
    assert!(matches!(long, Err(Error::KeyTooLong { .. })), "{long:?}");
    let long = store.subscribe_matching(&["x".repeat(300)]).await;
    assert!(matches!(long, Err(Error::Protocol(_))), "{long:?}");
}

#[tokio::test]
async fn tasks_and_clients_of_redis_share_their_channels() {
    let master = Master::start(&[]);
    let store = connected(&master.sock()).await;
    let mut wire = master.connect();
    let mut news = store.subscribe(&["news"]).await.unwrap();
    wire.ask("PUBLISH news hello", ":1\r\n");
    assert_eq!(text(&next(&mut news).await), "hello");
    wire.ask(
        "SUBSCRIBE news",
        "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n",
    );
    assert_eq!(store.publish("news", "both").await.unwrap(), 2);
    wire.expect("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$4\r\nboth\r\n");
}

/// Whoever waits is dropped again and again, with the question under way, the answer on its way, or
/// messages read already.
async fn nothing_is_lost_with_who_waits(store: AsyncStore) {
    const COUNT: u32 = 2_000;
    let mut news = store.subscribe(&["news"]).await.unwrap();
    let dropped = Arc::new(AtomicU32::new(0));
    let until_dropped = Arc::clone(&dropped);
    let publisher = tokio::spawn(async move {
        for number in 0..COUNT {
            // However quick the machine is, one waits in vain.
            while number == COUNT / 2 && until_dropped.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
            store.publish("news", number.to_be_bytes()).await.unwrap();
            // As the one who waits gives up, so does the one who speaks pause.
            for _ in 0..fastrand::u32(0..20) {
                tokio::task::yield_now().await;
            }
        }
    });
    let mut received = 0_u32;
    let begin = Instant::now();
    while received < COUNT {
        assert!(begin.elapsed() < PATIENCE, "{received} of {COUNT} came");
        let patience = Duration::from_micros(fastrand::u64(0..300));
        match timeout(patience, news.next()).await {
            Err(_) => drop(dropped.fetch_add(1, Ordering::Relaxed)),
            Ok(message) => {
                let message = message.unwrap().unwrap();
                assert_eq!(message.payload, received.to_be_bytes());
                received += 1;
            }
        }
    }
    publisher.await.unwrap();
    let last = news.receive(Duration::ZERO).await.unwrap();
    assert_eq!(last, None);
}

#[tokio::test]
async fn nothing_is_lost_with_who_waits_for_a_master() {
    let master = TestMaster::start().unwrap();
    nothing_is_lost_with_who_waits(master.async_worker(0).unwrap()).await;
}

#[tokio::test]
async fn nothing_is_lost_with_who_waits_alone() {
    nothing_is_lost_with_who_waits(alone().await).await;
}

#[tokio::test]
async fn who_is_dropped_while_it_subscribes_leaves_nothing_behind() {
    let master = TestMaster::start().unwrap();
    let store = master.async_worker(0).unwrap();
    let mut subscribed = 0;
    for _ in 0..200 {
        let patience = Duration::from_micros(fastrand::u64(0..200));
        let asked = timeout(patience, store.subscribe(&["news"])).await;
        subscribed += u32::from(asked.is_ok());
    }
    assert!(subscribed < 200, "nobody was dropped");
    until_nobody_hears(&store, "news").await;
}

#[tokio::test]
async fn a_subscription_goes_on_at_the_next_master_and_tells_the_gap() {
    let folder = folder();
    let sock = folder.path().join("s");
    let mut master = serve(&sock, ["--log", "info"]);
    let store = connected(&sock).await;
    let mut news = store.subscribe(&["news"]).await.unwrap();
    store.publish("news", "before").await.unwrap();
    assert_eq!(text(&next(&mut news).await), "before");
    let waiting = tokio::spawn(async move { (news.next().await.unwrap(), news) });
    let next_master = tokio::task::spawn_blocking(move || {
        master.signal(Signal::SIGKILL);
        master.wait();
        serve(&sock, ["--log", "info"])
    });
    let _master = next_master.await.unwrap();
    let (gap, mut news) = waiting.await.unwrap();
    assert!(matches!(gap, Err(Error::Missed(_))), "{gap:?}");
    assert_eq!(store.publish("news", "after").await.unwrap(), 1);
    assert_eq!(text(&next(&mut news).await), "after");
}

#[tokio::test]
async fn who_becomes_the_master_goes_on_with_its_own_messages() {
    let folder = folder();
    let sock = folder.path().join("s");
    let mut master = serve(&sock, ["--log", "info"]);
    let anything = Options {
        sock: Some(sock.clone()),
        standalone: Standalone::Never,
        ..Options::default()
    };
    let store = anything.create_async().await.unwrap();
    assert_eq!(store.role(), Role::Worker);
    let mut news = store.subscribe(&["news"]).await.unwrap();
    master.signal(Signal::SIGKILL);
    tokio::task::spawn_blocking(move || master.wait())
        .await
        .unwrap();
    let gap = news.next().await.unwrap();
    assert!(matches!(gap, Err(Error::Missed(_))), "{gap:?}");
    assert_eq!(store.role(), Role::Master);
    assert_eq!(store.publish("news", "mine").await.unwrap(), 1);
    assert_eq!(text(&next(&mut news).await), "mine");
}

#[tokio::test]
async fn a_worker_whose_master_is_gone_is_told_and_it_is_over() {
    let master = TestMaster::start().unwrap();
    let worker = master.async_worker(0).unwrap();
    let mut news = worker.subscribe(&["news"]).await.unwrap();
    let waiting = tokio::spawn(async move {
        let error = news.next().await.unwrap().unwrap_err();
        (error, news.next().await.is_none())
    });
    tokio::task::spawn_blocking(move || drop(master))
        .await
        .unwrap();
    let (error, is_over) = waiting.await.unwrap();
    assert!(matches!(error, Error::MasterGone), "{error:?}");
    assert!(is_over);
}

#[tokio::test]
async fn a_master_that_does_not_answer_is_a_timeout_and_then_a_gap() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let _master = serve(&path("s"), ["--log", "info"]);
    let proxy = Proxy::start(&path("proxy"), &path("s"));
    let store = connected(&path("proxy")).await;
    let store = store.with_timeout(Duration::from_millis(200));
    let mut news = store.subscribe(&["news"]).await.unwrap();
    proxy.keep_replies_back();
    let error = news.receive(Duration::from_millis(1)).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    let error = news.receive(Duration::from_millis(1)).await.unwrap_err();
    assert!(matches!(error, Error::Missed(_)), "{error:?}");
    proxy.cut();
    let gap = news.next().await.unwrap();
    assert!(matches!(gap, Err(Error::Missed(_))), "{gap:?}");
    let other = connected(&path("s")).await;
    assert_eq!(other.publish("news", "on").await.unwrap(), 1);
    assert_eq!(text(&next(&mut news).await), "on");
}
