//! The listeners that workers share.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use memstore_cluster::{Cluster, Error, Listener};
use nix::sys::signal::Signal;

use crate::common::cluster::{bound, field, run, start, start_part, until_started};
use crate::common::{Running, folder, parts};

/// The part of a worker that tells whoever connects which of its listeners that was.
pub(crate) const DOORKEEPER: &str = "a doorkeeper";

pub(crate) fn keep_doors() {
    fn keep(number: usize, accept: impl Fn() -> Box<dyn Write>) {
        loop {
            let _ = write!(accept(), "door {number}");
        }
    }
    let served = Cluster::new().run(|worker| -> Result<(), Error> {
        std::thread::scope(|scope| {
            for (number, listener) in worker.into_listeners().into_iter().enumerate() {
                scope.spawn(move || match listener {
                    Listener::Tcp(tcp) => keep(number, || Box::new(tcp.accept().unwrap().0)),
                    Listener::Unix(unix) => keep(number, || Box::new(unix.accept().unwrap().0)),
                    _ => unreachable!("there are two kinds"),
                });
            }
        });
        Ok(())
    });
    served.unwrap();
}

fn answer(mut stream: impl Read) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Where the log says that the master listens, in order.
fn addresses(master: &Running, count: usize) -> Vec<String> {
    master.stderr().until("all listeners are open", |log| {
        let lines = log
            .iter()
            .filter(|line| line.contains("listening address="));
        let found: Vec<String> = lines.map(|line| field(line, "address=")).collect();
        (found.len() == count).then_some(found)
    })
}

#[test]
fn workers_find_every_listener_in_the_order_of_the_flags() {
    let folder = folder();
    let path = folder.path().join("app.sock");
    let unix = format!("unix:{}", path.display());
    let flags = format!("--workers 2 --bind 127.0.0.1:0 --bind {unix} --bind 127.0.0.1:0");
    let mut master = start_part(&folder.path().join("m.sock"), &flags, DOORKEEPER);
    let found = addresses(&master, 3);
    assert_eq!(found[1], unix);
    let tcp = |at: usize| TcpStream::connect(found[at].parse::<SocketAddr>().unwrap()).unwrap();
    for _ in 0..4 {
        assert_eq!(answer(tcp(0)), "door 0");
        assert_eq!(answer(UnixStream::connect(&path).unwrap()), "door 1");
        assert_eq!(answer(tcp(2)), "door 2");
    }
    master.signal(Signal::SIGTERM);
    assert_eq!(master.finish().status.code(), Some(0));
    assert!(
        !path.exists(),
        "the socket of the application was left behind"
    );
}

#[test]
fn a_connection_that_comes_while_no_worker_lives_waits_for_the_next_one() {
    let folder = folder();
    let script = "test -e ready || exit 1; exec \"$@\"";
    let mut command = ["sh", "-c", script, "sh"].map(OsString::from).to_vec();
    command.extend(parts::line());
    let pace = "--max-restarts 0 --backoff-min 1ms --backoff-max 5ms";
    let flags = format!("--workers 1 --bind 127.0.0.1:0 {pace}");
    let sock = folder.path().join("m.sock");
    let mut run = run(&sock, &flags, &command);
    parts::ask(&mut run, DOORKEEPER, &sock);
    let master = Running::start(run.current_dir(folder.path()));
    until_started(&master, 3);
    let early = TcpStream::connect(bound(&master)).unwrap();
    std::fs::write(folder.path().join("ready"), "").unwrap();
    assert_eq!(answer(early), "door 0");
}

/// What a master that cannot listen says.
fn refusal(sock: &Path, binds: &str) -> (Option<i32>, String) {
    let flags = format!("--workers 2 {binds}");
    let end = start(sock, &flags, &["echo", "started"]).finish();
    assert_eq!(end.stdout, [""; 0], "something was started");
    assert!(!sock.exists(), "the socket was left behind");
    (end.status.code(), end.stderr.join("\n"))
}

#[test]
fn an_address_that_another_process_has_is_said_and_nothing_is_started() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = theirs.local_addr().unwrap().to_string();
    let (code, said) = refusal(&sock, &format!("--bind 127.0.0.1:0 --bind {address}"));
    assert_eq!(code, Some(1));
    let sentence = format!("cannot listen on {address}: another process listens there");
    assert!(said.contains(&sentence), "{said}");

    let unix = folder.path().join("a.sock");
    let _theirs = std::os::unix::net::UnixListener::bind(&unix).unwrap();
    let (code, said) = refusal(&sock, &format!("--bind {}", unix.display()));
    assert_eq!(code, Some(1));
    assert!(said.contains("a live process listens there"), "{said}");
}

#[test]
fn an_address_that_becomes_free_in_a_moment_is_waited_for() {
    let folder = folder();
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = theirs.local_addr().unwrap();
    let bind = format!("--workers 1 --bind {address}");
    let master = start(&folder.path().join("m.sock"), &bind, &["sleep", "600"]);
    // What a master that was killed leaves for a moment: its workers and their listeners.
    master.stderr().until_contains("waiting for the address");
    drop(theirs);
    assert_eq!(bound(&master), address);
    until_started(&master, 1);
}

#[test]
fn an_address_that_is_given_twice_is_a_mistake_of_usage() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let path = folder.path().join("app.sock");
    for address in ["127.0.0.1:18080", ":18080", path.to_str().unwrap()] {
        let (code, said) = refusal(&sock, &format!("--bind {address} --bind {address}"));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("--bind"), "{said}");
        assert!(said.contains("is given twice"), "{said}");
    }
}
