//! Who is let in at the listener, and that it never falls silent.

use std::ffi::OsStr;
use std::io::Write;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::*;
use crate::net::handler::Refusal;
use crate::net::testing::{INTRODUCE, REFUSED, report_ready, this_test_again};

#[test]
fn a_peer_at_the_path_is_let_in_and_has_to_introduce_itself_in_time() {
    let place = place();
    let limits = Limits::default();
    let timeout = limits.handshake_timeout;
    let mut master = Master::listening(limits, &place.path);
    let mut silent = Client::connect(&place.path);
    let mut polite = Client::connect(&place.path);
    let hello = request(INTRODUCE, 1, b"");
    polite.send(&hello);
    master.until("the welcome", |_| polite.receive() == hello);
    assert_eq!(master.reactor.counters().accepted, 2);
    assert_eq!(
        master.reactor.next_deadline(),
        Some(master.now.after(timeout))
    );

    master.now = master.now.after(timeout);
    master.until("the deadline", |master| !master.echo.closed.is_empty());
    assert_eq!(master.echo.closed[0].1, CloseReason::Deadline);
    silent.receive();
    assert!(silent.is_closed);
    assert_eq!(master.reactor.next_deadline(), None);
    master.assert_serves(&mut polite);
}

#[test]
fn a_stranger_is_told_and_nothing_of_it_is_run() {
    let place = place();
    let mut master = Master::listening(Limits::default(), &place.path);
    master.echo.turn_away = Some(Refusal::Stranger { uid: 4_711 });
    let mut client = Client::connect(&place.path);
    client.send(&request(ECHO, 1, b"let me in"));
    let no = request(REFUSED, 0, b"");
    master.until("the refusal", |_| client.receive() == no);
    master.until("the end", |_| {
        client.receive();
        client.is_closed
    });
    let stranger = Refusal::Stranger { uid: 4_711 };
    assert_eq!(master.echo.refused, [(stranger, Some(frame::MAGIC))]);
    assert_eq!(master.reactor.counters().refused_stranger, 1);
    assert_eq!(master.reactor.counters().accepted, 0);
    assert_eq!(master.reactor.counters().requests, 0);
    assert_eq!(master.reactor.connections(), 0);
}

#[test]
fn one_client_too_many_is_told_so_and_may_come_back_later() {
    let place = place();
    let limits = Limits {
        max_clients: 2,
        ..Limits::default()
    };
    let mut master = Master::listening(limits, &place.path);
    let mut first = Client::connect(&place.path);
    master.assert_serves(&mut first);
    let (_, mut worker) = master.adopt();
    let mut third = Client::connect(&place.path);
    let no = request(REFUSED, 0, b"");
    master.until("its refusal", |master| {
        master.reactor.counters().refused_full == 1
    });
    // It has said nothing yet.
    assert_eq!(master.echo.refused, []);
    third.send(b"*");
    master.until("the refusal", |_| third.receive() == no);
    assert_eq!(master.echo.refused, [(Refusal::Full, Some(b'*'))]);
    let mut silent = Client::connect(&place.path);
    master.until("its refusal", |master| {
        master.reactor.counters().refused_full == 2
    });
    let until = master.reactor.next_deadline().unwrap();
    assert!(until <= master.now.after_ms(1_000));
    assert!(!master.reactor.has_work());
    assert_eq!(silent.receive(), b"");
    master.now = until;
    master.until("the refusal", |_| silent.receive() == no);
    assert_eq!(master.echo.refused[1], (Refusal::Full, None));

    let (_, mut another_worker) = master.adopt();
    master.assert_serves(&mut worker);
    master.assert_serves(&mut another_worker);
    drop((first, worker));
    master.until("two to leave", |master| master.reactor.connections() < 2);
    master.assert_serves(&mut Client::connect(&place.path));
}

#[test]
fn a_crowd_at_the_door_is_let_in_over_several_ticks() {
    let place = place();
    let mut master = Master::listening(Limits::default(), &place.path);
    let mut crowd: Vec<_> = (0..100).map(|_| Client::connect(&place.path)).collect();
    master.tick();
    assert_eq!(master.reactor.counters().accepted, 64);
    master.tick();
    assert_eq!(master.reactor.counters().accepted, 100);
    for client in &mut crowd {
        master.assert_serves(client);
    }
    assert!(!master.reactor.has_work(), "nobody is left at the door");
}

/// What a blocking client gets to its request: the code of the reply, and the connection.
fn ask(path: &Path) -> (u8, Socket) {
    let mut socket = Socket::connect(path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // It may have been refused already; what it was told is there to be read all the same.
    let _ = socket.write_all(&request(ECHO, 1, b""));
    let mut reply = [0; frame::HEADER_LEN];
    socket.read_exact(&mut reply).expect("an answer, yes or no");
    let header = frame::split(&reply, 0).unwrap().unwrap().header;
    (header.code, socket)
}

#[test]
fn a_master_without_descriptors_says_no_and_takes_connections_again_later() {
    const PATH: &str = "MEMSTORE_TEST_STARVED";
    if let Some(path) = std::env::var_os(PATH) {
        return serve_with_few_descriptors(Path::new(&path));
    }
    let place = place();
    let mut child = this_test_again(
        "net::reactor::tests::admission::\
         a_master_without_descriptors_says_no_and_takes_connections_again_later",
        &[(PATH, OsStr::new(&place.path))],
    );
    child.wait_until_ready();
    let answers: Vec<_> = (0..60).map(|_| ask(&place.path)).collect();
    let with = |code| answers.iter().filter(|(got, _)| *got == code).count();
    assert!(with(ECHO) >= 5 && with(REFUSED) >= 20, "{answers:?}");
    assert_eq!(with(ECHO) + with(REFUSED), 60);
    drop(answers);
    let deadline = Instant::now() + Duration::from_secs(20);
    while ask(&place.path).0 != ECHO {
        assert!(Instant::now() < deadline, "never served again");
    }
}

#[test]
fn a_listener_that_can_neither_take_nor_refuse_tries_again_without_a_busy_loop() {
    const CHILD: &str = "MEMSTORE_TEST_STALLED";
    if std::env::var_os(CHILD).is_none() {
        // In a process of its own, because the bound on descriptors is the process's.
        let mut child = this_test_again(
            "net::reactor::tests::admission::\
             a_listener_that_can_neither_take_nor_refuse_tries_again_without_a_busy_loop",
            &[(CHILD, OsStr::new("1"))],
        );
        return child.wait_until_ready();
    }
    let place = place();
    let mut master = Master::listening(Limits::default(), &place.path);
    let mut client = Client::connect(&place.path);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 3, hard).unwrap();
    master.tick();
    assert!(!master.reactor.has_work());
    master.reactor.poll(None).unwrap();
    assert_eq!(master.reactor.counters().accepted, 0);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    master.assert_serves(&mut client);
    assert!(!master.reactor.has_work());
    report_ready();
}

/// The child's part: ends when it is killed, or at the latest when nobody would want it any more.
fn serve_with_few_descriptors(path: &Path) {
    let mut master = Master::listening(Limits::default(), path);
    setrlimit(Resource::RLIMIT_NOFILE, 32, 32).unwrap();
    report_ready();
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        master.tick();
    }
}
