//! Sentinel and Cluster: a primary is killed while it is written to, and nothing acknowledged by
//! its successor is lost; everything else is told.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;

use memstore_cluster::backend::{Backend, Cursor, Deadline, RedisBackend, Walk};
use memstore_cluster::contract::Condition;
use memstore_cluster::time::{Clock, SystemClock};

use tempfile::TempDir;

use crate::common::{Running, clean, eventually, folder};
use crate::servers::{Server, free_port, open};

pub fn set(store: &mut RedisBackend, key: &str, value: &str) -> Result<(), String> {
    let (now, always) = (SystemClock::new().now(), Condition::Always);
    let (key, value) = (key.as_bytes(), value.as_bytes());
    let written = store.set(now, key, value, Deadline::Never, always);
    let written = written.and_then(|_| store.commit());
    written.map_err(|error| error.to_string())
}

pub fn get(store: &mut RedisBackend, key: &str) -> Result<Option<String>, String> {
    let now = SystemClock::new().now();
    let found = store.get(now, key.as_bytes());
    let found = found
        .map(|entry| entry.map(|entry| String::from_utf8(entry.value.into_owned()).expect("text")));
    let found = found.map_err(|error| error.to_string());
    store.commit().expect("nothing was written");
    found
}

/// On a machine that has much to do a second may be too little.
fn patient(url: &str) -> String {
    format!("{url}?timeout=5s")
}

/// A server that can be part of a cluster.
fn node() -> Option<Server> {
    let bus = free_port().to_string();
    Server::start(&[
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "500",
        "--cluster-port",
        &bus,
        "--cluster-replica-validity-factor",
        "0",
        "--repl-diskless-sync-delay",
        "0",
    ])
}

/// Three primaries with a replica each.
pub fn cluster() -> Option<(Vec<Server>, String)> {
    let nodes: Vec<Server> = (0..6).map(|_| node()).collect::<Option<_>>()?;
    let mut create = clean("redis-cli");
    create.args(["--cluster", "create"]);
    create.args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
    create.args(["--cluster-replicas", "1", "--cluster-yes"]);
    let output = create.output().expect("redis-cli comes with redis-server");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    for node in &nodes {
        eventually(
            "every node sees a whole cluster with replicas that follow",
            || {
                let info = node.cli(&["CLUSTER", "INFO"]);
                let role = node.cli(&["INFO", "replication"]);
                let follows =
                    role.contains("role:master") || role.contains("master_link_status:up");
                (info.contains("cluster_state:ok") && follows).then_some(())
            },
        );
    }
    let hosts = nodes.iter().take(3).fold(String::new(), |mut hosts, node| {
        let comma = if hosts.is_empty() { "" } else { "," };
        write!(hosts, "{comma}127.0.0.1:{}", node.port).expect("a string takes it");
        hosts
    });
    Some((nodes, format!("redis-cluster://{hosts}")))
}

#[test]
fn a_cluster_holds_it_walks_it_and_loses_a_primary() {
    let Some((mut nodes, url)) = cluster() else {
        return;
    };
    let store = &mut open(&patient(&url)).unwrap();
    let keys: Vec<String> = (0..500).map(|number| format!("k{number}")).collect();
    for key in &keys {
        let (now, always) = (SystemClock::new().now(), Condition::Always);
        store
            .set(now, key.as_bytes(), key.as_bytes(), Deadline::Never, always)
            .unwrap();
    }
    store.commit().unwrap();
    let now = SystemClock::new().now();
    assert_eq!(store.length(now).unwrap(), 500);
    let mut found = Vec::new();
    let end = store.all(now, Cursor::default(), &mut |key, entry| {
        assert_eq!(key, &*entry.value);
        found.push(String::from_utf8(key.to_vec()).expect("text"));
        Walk::On
    });
    assert_eq!(end.unwrap(), None);
    store.commit().unwrap();
    found.sort();
    let mut sorted = keys.clone();
    sorted.sort();
    assert_eq!(found, sorted);
    let outcome = store
        .set(now, b"k1", b"x", Deadline::Never, Condition::IfAbsent)
        .unwrap();
    assert!(matches!(
        outcome,
        memstore_cluster::backend::SetOutcome::Conflict(Some(_))
    ));

    nodes[0].kill();
    eventually("every key can be written again", || {
        keys.iter()
            .all(|key| set(store, key, "new").is_ok())
            .then_some(())
    });
    for key in &keys {
        assert_eq!(get(store, key).unwrap().as_deref(), Some("new"), "{key}");
    }
    store.clear(now).unwrap();
    assert_eq!(store.length(now).unwrap(), 0);
}

#[test]
fn slots_that_move_are_followed_to_a_node_that_joins() {
    let Some((nodes, url)) = cluster() else {
        return;
    };
    let store = &mut open(&patient(&url)).unwrap();
    // This one asks for no key while the slots move, so no server tells it.
    let quiet = &mut open(&patient(&url)).unwrap();
    for number in 0..100 {
        set(store, &format!("k{number}"), "1").unwrap();
    }
    let length = |store: &mut RedisBackend| store.length(SystemClock::new().now()).unwrap();
    assert_eq!(length(quiet), 100);

    let joins = node().expect("the others are there");
    let address = |node: &Server| format!("127.0.0.1:{}", node.port);
    let cluster = |args: &[&str]| {
        let mut cli = clean("redis-cli");
        cli.arg("--cluster").args(args);
        cli
    };
    let added = cluster(&["add-node", &address(&joins), &address(&nodes[0])]).output();
    let added = added.expect("redis-cli comes with redis-server");
    assert!(added.status.success(), "{added:?}");
    eventually("everybody agrees on the new node", || {
        let serves = |node: &Server| {
            let info = node.cli(&["CLUSTER", "INFO"]);
            info.contains("known_nodes:7") && info.contains("cluster_state:ok")
        };
        let check = || cluster(&["check", &address(&joins)]).output();
        let agree = nodes.iter().chain([&joins]).all(serves);
        (agree && check().expect("it is there").status.success()).then_some(())
    });
    let id = |node: &Server| node.cli(&["CLUSTER", "MYID"]);
    let from = nodes
        .iter()
        .find(|node| node.cli(&["ROLE"]).starts_with("master"))
        .expect("there are three");
    let mut reshard = cluster(&["reshard", &address(from), "--cluster-from", &id(from)]);
    reshard.args(["--cluster-to", &id(&joins)]);
    reshard.args(["--cluster-slots", "1000", "--cluster-yes"]);
    let mut resharding = Running::start(&mut reshard);
    let mut rounds = 0;
    while resharding.try_wait().is_none() || rounds == 0 {
        rounds += 1;
        for number in 0..100 {
            let key = format!("k{number}");
            set(store, &key, &rounds.to_string()).unwrap();
            assert_eq!(get(store, &key).unwrap(), Some(rounds.to_string()), "{key}");
        }
    }
    let resharded = resharding.finish();
    assert!(resharded.status.success(), "{resharded:?}");
    assert_ne!(joins.cli(&["DBSIZE"]), "0");
    assert_eq!(length(store), 100);
    assert_eq!(length(quiet), 100);
}

/// A sentinel of the server on this port, and the port of its own; `None` if that was taken.
fn sentinel(folder: &Path, port: &str) -> Option<(u16, Running)> {
    let own = free_port();
    let path = folder.join(format!("{own}.conf"));
    let config = format!(
        "port {own}\nbind 127.0.0.1\nsentinel monitor mine 127.0.0.1 {port} 2\n\
         sentinel down-after-milliseconds mine 1000\nsentinel failover-timeout mine 3000\n"
    );
    std::fs::write(&path, config).expect("the folder is ours");
    let mut command = clean("redis-server");
    command.arg(&path).arg("--sentinel").current_dir(folder);
    let mut running = Running::start(&mut command);
    let is_there = eventually("the sentinel listens, or has ended", || {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, own)).is_ok() {
            return Some(true);
        }
        running.try_wait().map(|_| false)
    });
    is_there.then_some((own, running))
}

/// A primary and its replica, three Sentinels that watch them, and the URL.
pub fn watched() -> Option<(Server, Server, Vec<Running>, String)> {
    let primary = Server::start(&["--repl-diskless-sync-delay", "0"])?;
    let port = primary.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port])?;
    eventually("the replica follows", || {
        let role = replica.cli(&["INFO", "replication"]);
        role.contains("master_link_status:up").then_some(())
    });
    let sentinels: Vec<(u16, Running, TempDir)> = (0..3)
        .map(|_| {
            eventually("a sentinel with a free port", || {
                let folder = folder();
                let (port, sentinel) = sentinel(folder.path(), &port)?;
                Some((port, sentinel, folder))
            })
        })
        .collect();
    let ask = |port: u16, args: &[&str]| {
        let mut cli = clean("redis-cli");
        cli.args(["-p", &port.to_string()]).args(args);
        let output = cli.output().expect("redis-cli comes with redis-server");
        String::from_utf8(output.stdout).expect("text")
    };
    for (port, ..) in &sentinels {
        eventually("the sentinels know each other and the replica", || {
            let known = ask(*port, &["SENTINEL", "CKQUORUM", "mine"]);
            let replicas = ask(*port, &["SENTINEL", "REPLICAS", "mine"]);
            (known.starts_with("OK 3") && replicas.contains("name")).then_some(())
        });
    }
    let hosts = sentinels
        .iter()
        .map(|(port, ..)| format!("127.0.0.1:{port}"));
    let hosts = hosts.collect::<Vec<_>>().join(",");
    let sentinels = sentinels
        .into_iter()
        .map(|(_, running, _)| running)
        .collect();
    Some((
        primary,
        replica,
        sentinels,
        format!("redis-sentinel://{hosts}/mine"),
    ))
}

#[test]
fn what_sentinels_watch_is_found_again_when_a_replica_takes_over() {
    let Some((mut primary, replica, _sentinels, url)) = watched() else {
        return;
    };
    let store = &mut open(&patient(&url)).unwrap();
    set(store, "k", "before").unwrap();
    eventually("the replica has it", || {
        (replica.cli(&["GET", "k"]) == "before").then_some(())
    });
    primary.kill();
    eventually("the replica took over", || set(store, "k", "after").ok());
    assert_eq!(replica.cli(&["GET", "k"]), "after");
    assert_eq!(get(store, "k").unwrap().as_deref(), Some("after"));
}
