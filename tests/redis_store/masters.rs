//! Masters over one Redis: what is kept there they share, in both dialects.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::redis::{Master, Wire};
use crate::common::{self};
use crate::servers::Server;

#[test]
fn a_worker_of_one_master_sees_what_a_client_of_another_writes() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let url = server.url();
    let flags = ["--store", url.as_str()];
    let (one, other) = (Master::start(&flags), Master::start(&flags));
    let store = common::connect(&one.sock());
    let seq = store.set("sess:1", "native").unwrap();
    let mut wire = other.connect();
    wire.ask("GET sess:1", "$6\r\nnative\r\n");
    wire.ask("SET sess:1 resp PX 100000", "+OK\r\n");
    let found = store.get("sess:1").unwrap().unwrap();
    assert_eq!(found.value, b"resp");
    assert!(found.ttl.is_some() && found.seq != seq);
    let stale = memstore_cluster::SetOptions::new().if_seq(seq);
    store.set_with("sess:1", "stale", stale).unwrap_err();
    wire.ask(
        "HSET h f v",
        "-ERR a value that is a hash is not supported by the store's backend\r\n",
    );
    wire.ask("DBSIZE", ":1\r\n");
    assert_eq!(store.length().unwrap(), 1);
    store.clear().unwrap();
    wire.ask("EXISTS sess:1", ":0\r\n");
}

#[test]
fn what_two_masters_count_at_once_is_counted_twice() {
    const TIMES: u32 = 200;
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let url = server.url();
    let flags = ["--store", url.as_str()];
    let masters = [Master::start(&flags), Master::start(&flags)];
    thread::scope(|scope| {
        for master in &masters {
            scope.spawn(|| {
                let mut wire = master.connect();
                for _ in 0..TIMES {
                    wire.send("INCR n\r\nAPPEND s x\r\n");
                    for _ in 0..2 {
                        let reply = wire.line();
                        assert!(reply.starts_with(':'), "{reply}");
                    }
                }
            });
        }
    });
    assert_eq!(server.cli(&["GET", "n"]), (2 * TIMES).to_string());
    assert_eq!(server.cli(&["STRLEN", "s"]), (2 * TIMES).to_string());
}

#[test]
fn what_the_server_refuses_to_one_harms_nobody_who_writes_at_the_same_time() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    server.cli(&["ACL", "SETUSER", "me", "on", ">pw", "~mine:*", "~", "+@all"]);
    let url = server.url().replace("//", "//me:pw@");
    let master = Master::start(&["--store", &url]);
    let mut wire = master.connect();
    let refused =
        "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
    for _ in 0..10 {
        wire.ask(
            "SET theirs 1\r\nSET mine:a 2\r\nGET mine:a\r\nMSET mine:a 3 theirs 3\r\nDEL mine:a\r\nGET theirs\r\n",
            &format!("{refused}+OK\r\n$1\r\n2\r\n{refused}:1\r\n{refused}"),
        );
    }
}

#[test]
fn what_the_server_says_no_to_is_told_in_its_words() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let url = server.url();
    let master = Master::start(&["--store", url.as_str()]);
    let mut wire = master.connect();
    let mut refusal = |request: &str, words: &str| {
        wire.send(format!("{request}\r\n"));
        let reply = wire.line();
        assert!(reply.starts_with(words), "{request}: {reply}");
        assert!(!reply.contains("script"), "{request}: {reply}");
    };
    server.cli(&["HSET", "hash", "f", "v"]);
    refusal("GET hash", "-WRONGTYPE ");
    refusal("SET hash v NX", "-WRONGTYPE ");
    server.cli(&["CONFIG", "SET", "maxmemory", "1mb"]);
    refusal("SET k v", "-OOM ");
    refusal("SET k v NX", "-OOM ");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    refusal("SET k v", "-READONLY ");
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    refusal("SET k v", "+OK");
}

/// What each of two masters over one Redis answers to so many times a line, asked at the same time.
fn at_once(server: &Server, times: u32, line: impl Fn(usize, u32) -> String + Sync) -> Vec<String> {
    let url = server.url();
    let flags = ["--store", url.as_str()];
    let masters = [Master::start(&flags), Master::start(&flags)];
    let ask = |number: usize, master: &Master| {
        let mut wire = master.connect();
        let replies = (0..times).map(|turn| {
            let ask = |wire: &mut Wire| {
                wire.send(format!("{}\r\n", line(number, turn)));
                wire.line()
            };
            let mut head = ask(&mut wire);
            // Nothing is done, as the other one was always quicker.
            while head.starts_with("-BUSY") {
                head = ask(&mut wire);
            }
            match head.strip_prefix('$') {
                Some("-1") => "nil".to_owned(),
                Some(_) => wire.line(),
                None => head,
            }
        });
        replies.collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let ask = &ask;
        let asked = (0..).zip(&masters);
        let asked = asked.map(|(number, master)| scope.spawn(move || ask(number, master)));
        let asked: Vec<_> = asked.collect();
        asked
            .into_iter()
            .flat_map(|replies| replies.join().unwrap())
            .collect()
    })
}

#[test]
fn what_is_exchanged_with_two_masters_comes_back_once() {
    const TIMES: u32 = 200;
    let Some(server) = Server::start(&[]) else {
        return;
    };
    for command in ["GETSET k", "SET k"] {
        server.cli(&["DEL", "k"]);
        let mut seen = at_once(&server, TIMES, |number, turn| {
            let get = if command == "SET k" { " GET" } else { "" };
            format!("{command} {number}-{turn}{get}")
        });
        seen.push(server.cli(&["GET", "k"]));
        let mut written: Vec<_> = (0..2)
            .flat_map(|number| (0..TIMES).map(move |turn| format!("{number}-{turn}")))
            .collect();
        written.push("nil".to_owned());
        seen.sort();
        written.sort();
        assert_eq!(seen, written, "{command}");
    }
}

#[test]
fn what_two_masters_take_only_one_gets() {
    const TIMES: u32 = 300;
    let Some(server) = Server::start(&[]) else {
        return;
    };
    // Each puts something there and takes what is there.
    let mut taken = at_once(&server, TIMES, |number, turn| {
        if turn % 2 == 0 {
            format!("SET k {number}-{turn} NX")
        } else {
            "GETDEL k".to_owned()
        }
    });
    let put = taken.iter().filter(|reply| *reply == "+OK").count();
    let left = usize::from(server.cli(&["EXISTS", "k"]) == "1");
    taken.retain(|reply| reply.contains('-') && !reply.starts_with('$'));
    let count = taken.len();
    taken.sort();
    taken.dedup();
    assert_eq!((taken.len(), count + left), (count, put));
}

#[test]
fn a_script_with_one_key_is_done_as_a_whole_with_two_masters() {
    const TIMES: u32 = 200;
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let script = "local n = redis.call('incr',KEYS[1]) \
                  if n == 1 then redis.call('expire',KEYS[1],ARGV[1]) end return n";
    let mut counts = at_once(&server, TIMES, |_, _| format!("EVAL \"{script}\" 1 k 1000"));
    counts.sort();
    let mut expected: Vec<_> = (1..=2 * TIMES).map(|count| format!(":{count}")).collect();
    expected.sort();
    assert_eq!(counts, expected);
    assert!(server.cli(&["TTL", "k"]).parse::<i64>().unwrap() > 900);

    // A lock that one takes is not let go by the other.
    let release = "if redis.call('get',KEYS[1]) == ARGV[1] then \
                   return redis.call('del',KEYS[1]) else return 0 end";
    let replies = at_once(&server, TIMES, |number, turn| {
        if turn % 2 == 0 {
            format!("SET lock {number}-{turn} NX")
        } else {
            format!("EVAL \"{release}\" 1 lock {number}-{}", turn - 1)
        }
    });
    for pair in replies.chunks(2) {
        let is_ours = pair[0] == "+OK";
        assert_eq!(pair[1], if is_ours { ":1" } else { ":0" }, "{pair:?}");
    }
    assert_eq!(server.cli(&["EXISTS", "lock"]), "0");
}

#[test]
fn a_watched_key_that_nobody_touches_is_not_taken_for_changed() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let url = server.url();
    let master = Master::start(&["--store", url.as_str()]);
    let mut wire = master.connect();
    wire.ask("SET k 0 PX 100000", "+OK\r\n");
    for turn in 0..50 {
        wire.ask("WATCH k", "+OK\r\n");
        wire.ask("PING", "+PONG\r\n");
        wire.ask("MULTI", "+OK\r\n");
        wire.ask("INCR k", "+QUEUED\r\n");
        wire.ask("EXEC", &format!("*1\r\n:{}\r\n", turn + 1));
    }
    wire.ask("WATCH k", "+OK\r\n");
    server.cli(&["SET", "k", "theirs"]);
    wire.ask("MULTI", "+OK\r\n");
    wire.ask("GET k", "+QUEUED\r\n");
    wire.ask("EXEC", "*-1\r\n");
}

#[test]
fn who_counts_or_clears_very_many_entries_keeps_nobody_else_waiting() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let fill = "for i = 1, 200000 do redis.call('SET', 'k' .. i, '') end";
    server.cli(&["EVAL", fill, "0"]);
    server.cli(&["SET", "other", "1"]);
    let url = format!("{}?prefix=k&timeout=10s", server.url());
    let master = Master::start(&["--store", &url]);
    let native = common::connect(&master.sock());
    let whole: [(&str, &(dyn Fn() + Sync)); 4] = [
        ("DBSIZE", &|| {
            master.connect().ask("DBSIZE", ":200000\r\n");
        }),
        ("length", &|| assert_eq!(native.length().unwrap(), 200_000)),
        ("FLUSHALL", &|| {
            master
                .connect()
                .ask("PING\r\nFLUSHALL\r\nDBSIZE", "+PONG\r\n+OK\r\n:0\r\n");
        }),
        ("clear", &|| native.clear().unwrap()),
    ];
    for (name, work) in whole {
        if name == "clear" {
            server.cli(&["EVAL", fill, "0"]);
        }
        let mut wire = master.connect();
        let (mut turns, is_done) = (0, AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                // Something else is to be told where this fails.
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                is_done.store(true, Ordering::Release);
                done.unwrap();
            });
            while !is_done.load(Ordering::Acquire) {
                wire.ask("GET none", "$-1\r\n");
                turns += 1;
            }
        });
        assert!(turns > 10, "{name} let others have {turns} turns");
    }
    assert_eq!(server.cli(&["DBSIZE"]), "1");
}
