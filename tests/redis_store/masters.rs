//! Masters over one Redis: what is kept there they share, in both dialects.

use std::thread;

use crate::common::redis::Master;
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
