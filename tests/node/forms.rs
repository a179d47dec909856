//! All forms of `listen`.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use nix::sys::signal::{Signal, kill};

use crate::common::cluster::{bound, field, start, until_started};
use crate::common::http::get;
use crate::common::{Running, folder, pid};
use crate::{app, has_node, until_listening};

/// A program that is told in `SHARED` what the preload is told.
fn informed(name_and_args: &str) -> Vec<String> {
    let script = "SHARED=$MEMSTORE_NODE_LISTENERS exec \"$@\"";
    let shell = ["sh", "-c", script, "sh"].map(str::to_owned);
    shell.into_iter().chain(app(name_and_args)).collect()
}

fn listening(master: &Running, count: usize) -> Vec<String> {
    until_listening(master, count);
    let lines = master.stdout().so_far();
    let said = lines
        .iter()
        .filter_map(|line| line.strip_prefix("listening "));
    said.map(str::to_owned).collect()
}

#[test]
fn every_form_with_a_port_takes_the_one_shared_listener() {
    if !has_node() {
        return;
    }
    for form in [
        "port",
        "text",
        "host",
        "all",
        "name",
        "options",
        "exclusive",
        "ipv6",
        "descriptor",
    ] {
        let folder = folder();
        let flags = "--workers 2 --bind 127.0.0.1:0";
        let app = app(&format!("form.js {form}"));
        let master = start(&folder.path().join("m.sock"), flags, &app);
        let address = bound(&master);
        let shown = format!(
            r#"{{"address":"127.0.0.1","family":"IPv4","port":{}}}"#,
            address.port()
        );
        assert_eq!(listening(&master, 2), [&*shown, &*shown], "{form}");
        let answer = get(address, "/").unwrap();
        let workers = until_started(&master, 2);
        assert!(
            workers
                .iter()
                .any(|(_, pid)| pid.to_string() == answer.body),
            "{form}: {answer:?} of {workers:?}"
        );
        if form == "all" {
            master.stdout().until_contains("called back");
        }
        assert_eq!(warnings(&master), [""; 0], "{form}");
    }
}

fn warnings(master: &Running) -> Vec<String> {
    let mut lines = master.stderr().so_far();
    lines.retain(|line| line.contains("Warning"));
    lines
}

#[test]
fn a_path_takes_the_listener_with_this_path() {
    if !has_node() {
        return;
    }
    for form in ["path", "pathOption"] {
        let folder = folder();
        let path = folder.path().join("app.sock");
        let flags = format!("--workers 2 --bind unix:{}", path.display());
        let app = informed(&format!("form.js {form}"));
        let master = start(&folder.path().join("m.sock"), &flags, &app);
        let shown = format!("{:?}", path.to_str().unwrap());
        assert_eq!(listening(&master, 2), [&*shown, &*shown], "{form}");
        ask_unix(&path);
    }
}

fn ask_unix(path: &std::path::Path) {
    let mut stream = UnixStream::connect(path).unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_port_takes_the_one_listener_also_where_that_is_a_path() {
    if !has_node() {
        return;
    }
    let folder = folder();
    let path = folder.path().join("app.sock");
    let flags = format!("--workers 2 --bind unix:{}", path.display());
    let master = start(&folder.path().join("m.sock"), &flags, &app("form.js port"));
    listening(&master, 2);
    ask_unix(&path);
}

#[test]
fn port_0_is_a_port_of_the_workers_own() {
    if !has_node() {
        return;
    }
    let folder = folder();
    let flags = "--workers 2 --bind 127.0.0.1:0";
    let master = start(&folder.path().join("m.sock"), flags, &app("form.js any"));
    let said = listening(&master, 2);
    let port = |said: &str| field::<String>(said, "\"port\":");
    assert_ne!(port(&said[0]), port(&said[1]));
    let shared = format!("{}}}", bound(&master).port());
    assert!(said.iter().all(|said| port(said) != shared), "{said:?}");
    assert_eq!(warnings(&master), [""; 0]);
}

#[test]
fn each_of_two_servers_takes_the_listener_of_its_port_and_a_third_is_warned_of() {
    if !has_node() {
        return;
    }
    let folder = folder();
    let flags = "--workers 1 --bind 127.0.0.1:0 --bind 127.0.0.1:0";
    let master = start(&folder.path().join("m.sock"), flags, &informed("two.js"));
    let own = master.stdout().until_contains("own ");
    let own: u16 = field(&own, "own ");
    let log = master.stderr().so_far();
    let bound = log
        .iter()
        .filter(|line| line.contains("listening address="));
    let bound: Vec<SocketAddr> = bound.map(|line| field(line, "address=")).collect();
    assert_eq!(get(bound[0], "/").unwrap().body, "first");
    assert_eq!(get(bound[1], "/").unwrap().body, "second");
    let at_own = SocketAddr::from(([127, 0, 0, 1], own));
    assert_eq!(get(at_own, "/").unwrap().body, format!("own {own}"));
    let warning = master.stderr().until_contains("MemstoreWarning");
    assert!(
        warning.contains(&format!("port {own} is none of")),
        "{warning}"
    );
    assert_eq!(warnings(&master).len(), 1);
}

#[test]
fn a_closed_server_can_listen_again_while_others_go_on() {
    if !has_node() {
        return;
    }
    let folder = folder();
    let flags = "--workers 1 --bind 127.0.0.1:0";
    let mut master = start(&folder.path().join("m.sock"), flags, &app("again.js"));
    let address = bound(&master);
    let worker = until_started(&master, 1)[0].1;
    for round in 0..4 {
        let said = format!("round {round} {}", address.port());
        master.stdout().until_contains(&said);
        assert_eq!(get(address, "/").unwrap().body, format!("round {round}"));
        if round < 3 {
            kill(pid(worker), Signal::SIGUSR2).unwrap();
        }
    }
    master.signal(Signal::SIGTERM);
    let finished = master.finish();
    assert_eq!(finished.status.code(), Some(0));
    let log = finished.stderr.join("\n");
    assert!(log.contains("cause=exit code 0"), "{log}");
}

#[test]
fn node_is_left_alone_where_that_is_asked_for() {
    if !has_node() {
        return;
    }
    let folder = folder();
    let flags = "--workers 1 --bind 127.0.0.1:0 --node-preload never";
    let app = [
        "sh",
        "-c",
        "echo \"options=$NODE_OPTIONS;$MEMSTORE_NODE_LISTENERS.\"",
    ];
    let master = start(&folder.path().join("m.sock"), flags, &app);
    master.stdout().until_contains("options=;.");
}

#[test]
fn standalone_takes_the_listener_too() {
    if !has_node() {
        return;
    }
    let folder = folder();
    let flags = "--standalone --bind 127.0.0.1:0";
    let mut alone = start(&folder.path().join("m.sock"), flags, &app("form.js port"));
    let address = bound(&alone);
    listening(&alone, 1);
    assert_eq!(get(address, "/").unwrap().body, alone.pid().to_string());
    alone.signal(Signal::SIGTERM);
    assert_eq!(alone.finish().status.code(), Some(0));
}
