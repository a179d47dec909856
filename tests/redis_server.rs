//! What clients of the Redis dialect ask before they trust a server, over raw sockets.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use common::folder;
use common::redis::{Master, Wire};

const SECRET: &str = "correct-horse-battery";
const NO_AUTH: &str = "-NOAUTH Authentication required.\r\n";
const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";

/// Reads a welcome of this version of the protocol, to its end.
fn welcomed(wire: &mut Wire, version: u8) {
    wire.expect(if version == 3 { "%7\r\n" } else { "*14\r\n" });
    wire.expect("$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n");
    wire.expect(format!("$5\r\nproto\r\n:{version}\r\n"));
    while wire.line() != "*0" {}
}

#[test]
fn hello_chooses_the_protocol() {
    let master = Master::start(&[]);
    let mut wire = master.connect();
    wire.ask("GET k", "$-1\r\n");
    wire.send("HELLO 3\r\n");
    welcomed(&mut wire, 3);
    wire.ask("GET k", "_\r\n");
    wire.ask("HELLO 9", "-NOPROTO unsupported protocol version\r\n");
    wire.send("HELLO\r\n");
    welcomed(&mut wire, 3);
    wire.send("hello 2 setname me\r\n");
    welcomed(&mut wire, 2);
    wire.ask("CLIENT GETNAME", "$2\r\nme\r\n");
    wire.ask("HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n");
    wire.ask("HELLO 3 AUTH other x", WRONG);
    wire.send("HELLO 3 AUTH default whatever\r\n");
    welcomed(&mut wire, 3);
    wire.ask("RESET", "+RESET\r\n");
    wire.ask("GET k", "$-1\r\n");
    wire.ask("CLIENT GETNAME", "$-1\r\n");
}

#[test]
fn whoever_comes_by_the_path_has_to_know_the_secret() {
    let folder = folder();
    let file = folder.path().join("secret");
    fs::write(&file, SECRET).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let master = Master::start(&["--secret-file", file.to_str().unwrap()]);
    let mut wire = master.connect();
    for command in ["PING", "GET k", "MULTI", "SUBSCRIBE a", "CLIENT ID", "INFO"] {
        wire.ask(command, NO_AUTH);
    }
    wire.send("HELLO 3\r\n");
    assert!(wire.line().starts_with("-NOAUTH HELLO must be called with"));
    for wrong in ["wrong", "correct-horse-batterz", "correct-horse-battery2"] {
        wire.ask(&format!("AUTH {wrong}"), WRONG);
        wire.ask(&format!("HELLO 3 AUTH default {wrong}"), WRONG);
        wire.ask(&format!("AUTH other {SECRET}"), WRONG);
    }
    wire.ask("PING", NO_AUTH);
    wire.send(format!("HELLO 3 AUTH default {SECRET} SETNAME me\r\n"));
    welcomed(&mut wire, 3);
    wire.ask("PING", "+PONG\r\n");
    wire.ask("RESET", "+RESET\r\n");
    wire.ask("PING", NO_AUTH);
    wire.ask(&format!("AUTH {SECRET}"), "+OK\r\n");
    wire.ask("PING", "+PONG\r\n");
}

#[test]
fn info_says_what_clients_read_in_it() {
    let master = Master::start(&[]);
    let mut wire = master.connect();
    wire.ask("SET k v", "+OK\r\n");
    let info = wire.bulk("info");
    let pid = format!("process_id:{}\r\n", master.running.pid());
    for line in [
        "# Server\r\nredis_version:7.0.15\r\n",
        "redis_mode:standalone\r\n",
        "loading:0\r\n",
        "connected_clients:1\r\n",
        "\r\n\r\n# Memory\r\nused_memory:",
        "role:master\r\n",
        "cluster_enabled:0\r\n",
        "# Keyspace\r\ndb0:keys=1,",
        &pid,
    ] {
        assert!(info.contains(line), "{line:?} is not in\n{info}");
    }
    let server = wire.bulk("INFO SERVER");
    assert!(
        server.starts_with("# Server\r\n") && !server.contains("# Clients"),
        "{server}"
    );
    assert_eq!(wire.bulk("INFO nosuch"), "");
}

#[test]
fn clients_are_listed_as_they_are() {
    let master = Master::start(&[]);
    let (mut one, mut other) = (master.connect(), master.connect());
    one.ask("CLIENT ID", ":1\r\n");
    other.ask("CLIENT SETNAME other", "+OK\r\n");
    other.ask("CLIENT SETINFO LIB-NAME lib(x)", "+OK\r\n");
    other.ask(
        "SUBSCRIBE a b",
        "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
    );
    other.expect("*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n");
    let list = one.bulk("CLIENT LIST");
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), 2, "{list}");
    assert!(
        lines[0].starts_with("id=1 ") && lines[0].contains(" cmd=client|list "),
        "{list}"
    );
    for field in [
        " name=other ",
        " sub=2 ",
        " flags=PU ",
        " cmd=subscribe ",
        " lib-name=lib(x) ",
    ] {
        assert!(lines[1].contains(field), "{field} is not in {}", lines[1]);
    }
    assert_eq!(one.bulk("CLIENT LIST TYPE pubsub").lines().count(), 1);
    assert!(one.bulk("CLIENT INFO").starts_with("id=1 "));
    drop(other);
    common::eventually("it is forgotten", || {
        (one.bulk("CLIENT LIST").lines().count() == 1).then_some(())
    });
}

#[test]
fn clients_send_each_other_away() {
    let master = Master::start(&[]);
    let mut one = master.connect();
    let sock = master.sock();
    let address = format!("{}:0", sock.display());
    one.ask("CLIENT ID", ":1\r\n");
    for kill in ["CLIENT KILL ID {id}", "CLIENT KILL ADDR {a} SKIPME yes"] {
        let mut other = master.connect();
        other.send("CLIENT ID\r\n");
        let id = other.line();
        let kill = kill.replace("{id}", &id[1..]).replace("{a}", &address);
        one.ask(&kill, ":1\r\n");
        other.until_closed();
        one.ask(&kill, ":0\r\n");
        assert_eq!(one.bulk("CLIENT LIST").lines().count(), 1);
    }
    // Of what came with the request nothing is run.
    let mut other = master.connect();
    other.send(format!("CLIENT KILL {address}\r\nSET k v\r\n"));
    other.expect("+OK\r\n");
    assert_eq!(other.until_closed(), 0);
    one.until_closed();
    master.connect().ask("GET k", "$-1\r\n");
}

#[test]
fn requests_are_counted_by_command() {
    let master = Master::start(&[]);
    let mut wire = master.connect();
    wire.ask("CONFIG RESETSTAT", "+OK\r\n");
    wire.ask("SET k v", "+OK\r\n");
    wire.ask("get k", "$1\r\nv\r\n");
    wire.ask("GET none", "$-1\r\n");
    for (command, reply) in [
        ("GET", "-ERR wrong"),
        ("INCR k", "-ERR value"),
        ("NO", "-ERR unk"),
    ] {
        wire.send(format!("{command}\r\n"));
        assert!(wire.line().starts_with(reply));
    }
    wire.ask("MULTI", "+OK\r\n");
    wire.ask("GET k", "+QUEUED\r\n");
    wire.ask("EXEC", "*1\r\n$1\r\nv\r\n");
    let info = wire.bulk("INFO commandstats");
    for (name, counts) in [
        ("config|resetstat", [1, 0, 0]),
        ("set", [1, 0, 0]),
        ("get", [3, 1, 0]),
        ("incr", [1, 0, 1]),
        ("multi", [1, 0, 0]),
        ("exec", [1, 0, 0]),
    ] {
        let [calls, rejected, failed] = counts;
        let line = format!(
            "cmdstat_{name}:calls={calls},usec=0,usec_per_call=0.00,rejected_calls={rejected},\
             failed_calls={failed}\r\n"
        );
        assert!(info.contains(&line), "{line:?} is not in\n{info}");
    }
    assert_eq!(info.lines().count(), 7, "{info}");
    assert!(
        wire.bulk("INFO stats")
            .contains("total_commands_processed:9\r\n")
    );
}

#[test]
fn one_client_too_many_is_told_as_redis_tells_it_whether_or_not_it_speaks() {
    let master = Master::start(&["--max-clients", "1"]);
    let mut inside = master.connect();
    inside.ask("PING", "+PONG\r\n");
    let full = "-ERR max number of clients reached\r\n";
    let mut silent = master.connect();
    for _ in 0..40 {
        let mut outside = master.connect();
        outside.ask("PING", full);
        assert_eq!(outside.until_closed(), 0);
    }
    silent.expect(full);
    assert_eq!(silent.until_closed(), 0);
    inside.ask("PING", "+PONG\r\n");
    drop(inside);
    common::eventually("there is room", || {
        let mut other = master.connect();
        other.send("PING\r\n");
        (other.line() == "+PONG").then_some(())
    });
}

#[test]
fn replies_are_dropped_where_a_client_wants_none() {
    let master = Master::start(&[]);
    let mut wire = master.connect();
    wire.send("CLIENT REPLY SKIP\r\nPING\r\nPING one\r\n");
    wire.expect("$3\r\none\r\n");
    wire.send("CLIENT REPLY OFF\r\nPING\r\nNOSUCH\r\nSET k v\r\nCLIENT REPLY ON\r\n");
    wire.expect("+OK\r\n");
    wire.ask("GET k", "$1\r\nv\r\n");
}

#[test]
fn the_table_of_commands_is_told() {
    let master = Master::start(&[]);
    let mut wire = master.connect();
    wire.send("COMMAND COUNT\r\n");
    let count = wire.line();
    wire.send("COMMAND\r\n");
    assert_eq!(wire.line()[1..], count[1..]);
    let mut wire = master.connect();
    wire.ask(
        "COMMAND INFO get nosuch client|id",
        "*3\r\n\
         *10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n\
         *0\r\n*0\r\n*0\r\n*0\r\n\
         $-1\r\n\
         *10\r\n$9\r\nclient|id\r\n:2\r\n*3\r\n+noscript\r\n+loading\r\n+stale\r\n\
         :0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n*0\r\n",
    );
    wire.ask("COMMAND GETKEYS SET k v", "*1\r\n$1\r\nk\r\n");
    wire.ask("COMMAND GETKEYS WATCH a b", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    wire.ask(
        "COMMAND GETKEYS PING x",
        "-ERR The command has no key arguments\r\n",
    );
}

#[test]
fn config_tells_what_clients_ask_for_and_keeps_the_rest() {
    let master = Master::start(&["--max-value", "1MiB"]);
    let mut wire = master.connect();
    wire.ask("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
    wire.ask(
        "CONFIG GET APPEND*",
        "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n",
    );
    wire.ask(
        "CONFIG GET proto-max-bulk-len",
        "*2\r\n$18\r\nproto-max-bulk-len\r\n$7\r\n1048576\r\n",
    );
    wire.ask("CONFIG GET nosuch", "*0\r\n");
    wire.ask(
        "CONFIG SET maxmemory 1",
        "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - can't set immutable \
         config\r\n",
    );
    wire.ask(
        "READONLY",
        "-ERR This instance has cluster support disabled\r\n",
    );
    wire.ask("WAIT 0 10", ":0\r\n");
}
