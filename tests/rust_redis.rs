//! The Redis clients of Rust against the master: redis-rs, sync and on tokio, and fred.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::connect;
use common::redis::Master;

/// The two versions of the protocol, as a URL asks for them.
const PROTOCOLS: [&str; 2] = ["", "?protocol=resp3"];

/// What releases a lock that is still one's own.
const RELEASE: &str = "if redis.call(\"get\",KEYS[1]) == ARGV[1] then\n    \
                       return redis.call(\"del\",KEYS[1])\nelse\n    return 0\nend";

fn url(master: &Master, protocol: &str) -> String {
    format!("redis+unix://{}{protocol}", master.sock().display())
}

/// With both versions of the protocol.
fn redis_rs(test: impl Fn(&Master, &redis::Client)) {
    for protocol in PROTOCOLS {
        let master = Master::start(&[]);
        let client = redis::Client::open(url(&master, protocol)).unwrap();
        test(&master, &client);
    }
}

mod redis_rs_sync {
    use redis::{Commands, ExistenceCheck, SetExpiry, SetOptions, Value};

    use super::*;

    #[test]
    fn a_session_is_kept_and_the_native_client_sees_it() {
        redis_rs(|master, client| {
            let mut redis = client.get_connection().unwrap();
            let create = SetOptions::default()
                .conditional_set(ExistenceCheck::NX)
                .with_expiration(SetExpiry::EX(60));
            let created = |value: &Value| *value == Value::Okay;
            let mut set =
                |value, options| -> Value { redis.set_options("sess:1", value, options).unwrap() };
            assert!(created(&set("one", create.clone())));
            assert_eq!(set("two", create.clone()), Value::Nil);
            let update = create.conditional_set(ExistenceCheck::XX);
            assert!(created(&set("three", update)));
            let entry = connect(&master.sock()).get("sess:1").unwrap().unwrap();
            assert_eq!(entry.value, b"three");
            assert!(entry.ttl.unwrap() <= Duration::from_secs(60));

            assert_eq!(redis.ttl::<_, i64>("sess:1").unwrap(), 60);
            assert!(redis.expire::<_, bool>("sess:1", 600).unwrap());
            assert!(redis.pttl::<_, i64>("sess:1").unwrap() > 60_000);
            assert_eq!(
                redis
                    .get_ex::<_, String>("sess:1", redis::Expiry::PERSIST)
                    .unwrap(),
                "three"
            );
            assert_eq!(redis.ttl::<_, i64>("sess:1").unwrap(), -1);
            // A session that is past its end is removed by being touched.
            assert!(redis.expire::<_, bool>("sess:1", -1).unwrap());
            assert_eq!(redis.get::<_, Option<String>>("sess:1").unwrap(), None);
            assert_eq!(redis.del::<_, u64>("sess:1").unwrap(), 0);
        });
    }

    #[test]
    fn keys_are_walked_and_many_are_read_at_once() {
        redis_rs(|_, client| {
            let mut redis = client.get_connection().unwrap();
            let mut pipe = redis::pipe();
            for number in 0..500 {
                pipe.set(format!("sess:{number}"), number).ignore();
            }
            pipe.set("other", "").ignore();
            pipe.exec(&mut redis).unwrap();
            let walk = redis.scan_match::<_, String>("sess:*").unwrap();
            let mut keys: Vec<String> = walk.map(Result::unwrap).collect();
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), 500);
            let values: Vec<u64> = redis.mget(&keys).unwrap();
            assert_eq!(values.iter().sum::<u64>(), 499 * 500 / 2);
            assert_eq!(redis.unlink::<_, u64>(&keys).unwrap(), 500);
        });
    }

    #[test]
    fn a_pipeline_answers_in_order_and_one_failure_is_one_failure() {
        redis_rs(|_, client| {
            let mut redis = client.get_connection().unwrap();
            let (count, text, list): (u64, String, Vec<Option<String>>) = redis::pipe()
                .incr("count", 5)
                .cmd("ECHO")
                .arg("text")
                .mget(&["count", "none"])
                .query(&mut redis)
                .unwrap();
            assert_eq!((count, &*text), (5, "text"));
            assert_eq!(list, [Some("5".to_owned()), None]);
            redis.set::<_, _, ()>("word", "x").unwrap();
            let failed = redis::pipe()
                .incr("count", 1)
                .incr("word", 1)
                .query::<(u64, u64)>(&mut redis);
            assert!(failed.unwrap_err().to_string().contains("not an integer"));
            assert_eq!(redis.get::<_, u64>("count").unwrap(), 6);
        });
    }

    #[test]
    fn a_transaction_is_repeated_until_nobody_interferes() {
        redis_rs(|_, client| {
            const EACH: u64 = 50;
            let add = || {
                let mut redis = client.get_connection().unwrap();
                for _ in 0..EACH {
                    redis::transaction(&mut redis, &["sum"], |redis, pipe| {
                        let sum: Option<u64> = redis.get("sum")?;
                        let pipe = pipe.set("sum", sum.unwrap_or(0) + 1).ignore();
                        pipe.incr("done", 1).query::<Option<(u64,)>>(redis)
                    })
                    .unwrap();
                }
            };
            thread::scope(|scope| {
                (0..4).for_each(|_| drop(scope.spawn(add)));
            });
            let mut redis = client.get_connection().unwrap();
            let sums: (u64, u64) = redis.mget(&["sum", "done"]).unwrap();
            assert_eq!(sums, (4 * EACH, 4 * EACH));
        });
    }

    #[test]
    fn a_lock_is_held_by_one_and_released_by_its_owner_only() {
        redis_rs(|_, client| {
            let mut redis = client.get_connection().unwrap();
            let release = redis::Script::new(RELEASE);
            let options = SetOptions::default()
                .conditional_set(ExistenceCheck::NX)
                .with_expiration(SetExpiry::PX(60_000));
            let mut lock = |owner: &str| -> bool {
                redis.set_options("lock", owner, options.clone()).unwrap()
            };
            assert!(lock("a"));
            assert!(!lock("b"));
            let mut release = |owner: &str| -> u64 {
                let mut call = release.key("lock");
                call.arg(owner).invoke(&mut redis).unwrap()
            };
            assert_eq!(release("b"), 0);
            assert_eq!(release("a"), 1);
            assert_eq!(release("a"), 0);
        });
    }

    #[test]
    fn what_is_published_is_heard() {
        // RESP3's pushes come through another door of the client, in the test on tokio.
        let master = Master::start(&[]);
        let client = redis::Client::open(url(&master, "")).unwrap();
        let mut listening = client.get_connection().unwrap();
        listening.set_read_timeout(Some(common::PATIENCE)).unwrap();
        let mut listening = listening.as_pubsub();
        listening.subscribe("news").unwrap();
        listening.psubscribe("user:*").unwrap();
        let mut redis = client.get_connection().unwrap();
        assert_eq!(redis.publish::<_, _, u64>("news", "one").unwrap(), 1);
        assert_eq!(redis.publish::<_, _, u64>("user:7", &[0, 255]).unwrap(), 1);
        assert_eq!(redis.publish::<_, _, u64>("nobody", "").unwrap(), 0);
        let heard = listening.get_message().unwrap();
        assert_eq!(heard.get_channel_name(), "news");
        assert_eq!(heard.get_payload::<String>().unwrap(), "one");
        let heard = listening.get_message().unwrap();
        assert_eq!(heard.get_pattern::<String>().unwrap(), "user:*");
        assert_eq!(heard.get_channel_name(), "user:7");
        assert_eq!(heard.get_payload_bytes(), [0, 255]);
    }

    #[test]
    fn databases_and_hashes_are_there() {
        redis_rs(|_, client| {
            let mut redis = client.get_connection().unwrap();
            redis
                .hset_multiple::<_, _, _, ()>("hash", &[("a", "1"), ("b", "2")])
                .unwrap();
            let all: std::collections::BTreeMap<String, u64> = redis.hgetall("hash").unwrap();
            assert_eq!(
                all.into_iter().collect::<Vec<_>>(),
                [("a".to_owned(), 1), ("b".to_owned(), 2)]
            );
            redis::cmd("SELECT").arg(3).exec(&mut redis).unwrap();
            assert!(!redis.exists::<_, bool>("hash").unwrap());
            redis::cmd("SELECT").arg(0).exec(&mut redis).unwrap();
            assert!(redis.exists::<_, bool>("hash").unwrap());
            let list = redis.lpush::<_, _, u64>("list", 1).unwrap_err();
            assert!(list.to_string().contains("unknown command"), "{list}");
        });
    }
}

mod redis_rs_tokio {
    use redis::AsyncCommands;
    use redis::aio::MultiplexedConnection;
    use tokio::runtime::Runtime;

    use super::*;

    async fn connected(client: &redis::Client) -> MultiplexedConnection {
        client.get_multiplexed_async_connection().await.unwrap()
    }

    #[test]
    fn many_tasks_share_a_connection() {
        redis_rs(|_, client| {
            Runtime::new().unwrap().block_on(async {
                let redis = connected(client).await;
                let mut tasks = tokio::task::JoinSet::new();
                for number in 0..200_u64 {
                    let mut redis = redis.clone();
                    tasks.spawn(async move {
                        let key = format!("key:{number}");
                        redis.set_ex::<_, _, ()>(&key, number, 60).await.unwrap();
                        assert_eq!(redis.get::<_, u64>(&key).await.unwrap(), number);
                        redis.incr::<_, _, u64>("all", number).await.unwrap();
                    });
                }
                tasks.join_all().await;
                let sum: u64 = redis.clone().get("all").await.unwrap();
                assert_eq!(sum, 199 * 200 / 2);
            });
        });
    }

    #[test]
    fn a_transaction_and_a_script_answer() {
        redis_rs(|_, client| {
            Runtime::new().unwrap().block_on(async {
                let mut redis = connected(client).await;
                let mut pipe = redis::pipe();
                pipe.atomic()
                    .set("lock", "me")
                    .ignore()
                    .get("lock")
                    .ttl("lock");
                let done: (String, i64) = pipe.query_async(&mut redis).await.unwrap();
                assert_eq!(done, ("me".to_owned(), -1));
                let release = redis::Script::new(RELEASE);
                let mut call = release.key("lock");
                let released: u64 = call.arg("me").invoke_async(&mut redis).await.unwrap();
                assert_eq!(released, 1);
            });
        });
    }

    #[test]
    fn pushes_come_between_replies_with_resp3() {
        let master = Master::start(&[]);
        let client = redis::Client::open(url(&master, PROTOCOLS[1])).unwrap();
        Runtime::new().unwrap().block_on(async {
            let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
            let config = redis::AsyncConnectionConfig::new().set_push_sender(told);
            let listening = client.get_multiplexed_async_connection_with_config(&config);
            let mut listening = listening.await.unwrap();
            listening.subscribe("news").await.unwrap();
            // The connection that listens may ask as well.
            listening.set::<_, _, ()>("key", "value").await.unwrap();
            let mut redis = connected(&client).await;
            assert_eq!(redis.publish::<_, _, u64>("news", "one").await.unwrap(), 1);
            let message = loop {
                let push = heard.recv().await.unwrap();
                if push.kind == redis::PushKind::Message {
                    break redis::Msg::from_push_info(push).unwrap();
                }
            };
            assert_eq!(message.get_payload::<String>().unwrap(), "one");
            assert_eq!(listening.get::<_, String>("key").await.unwrap(), "value");
        });
    }
}

mod fred_tokio {
    use fred::prelude::*;
    use fred::types::RespVersion;
    use tokio::runtime::Runtime;

    use super::*;

    /// A client that is connected, with each version of the protocol.
    fn fred<F: Future<Output = ()>>(test: impl Fn(Client, Client) -> F) {
        for version in [RespVersion::RESP2, RespVersion::RESP3] {
            let master = Master::start(&[]);
            Runtime::new().unwrap().block_on(async {
                let mut config = Config::from_url(&url(&master, "")).unwrap();
                config.version = version;
                let client = || Builder::from_config(config.clone()).build().unwrap();
                let (one, other) = (client(), client());
                one.init().await.unwrap();
                other.init().await.unwrap();
                test(one, other).await;
            });
        }
    }

    #[test]
    fn a_session_is_created_once_and_saved_only_where_it_is() {
        fred(async |redis, _| {
            let minute = || Some(Expiration::EX(60));
            let set = async |value: &str, condition| -> Option<String> {
                redis
                    .set("sess:1", value, minute(), Some(condition), false)
                    .await
                    .unwrap()
            };
            assert_eq!(set("no", SetOptions::XX).await, None);
            assert_eq!(set("one", SetOptions::NX).await.as_deref(), Some("OK"));
            assert_eq!(set("two", SetOptions::NX).await, None);
            assert_eq!(set("two", SetOptions::XX).await.as_deref(), Some("OK"));
            assert_eq!(redis.get::<String, _>("sess:1").await.unwrap(), "two");
            assert_eq!(redis.ttl::<i64, _>("sess:1").await.unwrap(), 60);
            assert_eq!(redis.del::<u64, _>("sess:1").await.unwrap(), 1);
            assert_eq!(
                redis.get::<Option<String>, _>("sess:1").await.unwrap(),
                None
            );
        });
    }

    #[test]
    fn pipelines_transactions_and_scripts_answer() {
        fred(async |redis, _| {
            let pipeline = redis.pipeline();
            pipeline.incr_by::<(), _>("count", 5).await.unwrap();
            pipeline.get::<(), _>("count").await.unwrap();
            let answers: Vec<u64> = pipeline.all().await.unwrap();
            assert_eq!(answers, [5, 5]);

            let multi = redis.multi();
            multi
                .set::<(), _, _>("lock", "me", None, None, false)
                .await
                .unwrap();
            multi.get::<(), _>("lock").await.unwrap();
            let answers: (String, String) = multi.exec(true).await.unwrap();
            assert_eq!(answers, ("OK".to_owned(), "me".to_owned()));

            let release =
                async |owner: &str| -> u64 { redis.eval(RELEASE, "lock", owner).await.unwrap() };
            assert_eq!(release("you").await, 0);
            assert_eq!(release("me").await, 1);
        });
    }

    #[test]
    fn what_is_published_is_heard() {
        fred(async |redis, listening| {
            let mut messages = listening.message_rx();
            listening.subscribe("news").await.unwrap();
            listening.psubscribe("user:*").await.unwrap();
            // fred does not wait for the answer to a subscription.
            let publish = async |channel: &str, text: &str| {
                let begin = Instant::now();
                while redis.publish::<u64, _, _>(channel, text).await.unwrap() == 0 {
                    assert!(begin.elapsed() < common::PATIENCE, "nobody listens");
                    tokio::task::yield_now().await;
                }
            };
            publish("news", "one").await;
            publish("user:7", "two").await;
            for (channel, text) in [("news", "one"), ("user:7", "two")] {
                let message = messages.recv().await.unwrap();
                assert_eq!(message.channel, channel);
                assert_eq!(message.value.convert::<String>().unwrap(), text);
            }
        });
    }
}

/// Whatever a client does, a master that is asked to stop stops.
#[test]
fn a_client_that_stays_does_not_keep_the_master() {
    let mut master = Master::start(&[]);
    let client = redis::Client::open(url(&master, "")).unwrap();
    let _stays = client.get_connection().unwrap();
    let start = Instant::now();
    master.running.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(master.running.wait().code(), Some(0));
    assert!(start.elapsed() < common::PATIENCE);
}
