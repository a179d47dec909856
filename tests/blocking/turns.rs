//! Several turns under way with a backend that asks a server.

use memstore_cluster::Options;
use memstore_cluster::backend::BackendError;
use memstore_cluster::testing::TestMaster;

use super::distant::Server;
use super::peer::{Peer, until};

/// A master whose backend asks a server.
fn world() -> (Server, TestMaster) {
    let server = Server::default();
    let options = Options {
        store: server.source(),
        ..Options::default()
    };
    let master = TestMaster::builder().options(options).start().unwrap();
    (server, master)
}

fn peer(master: &TestMaster) -> Peer {
    Peer::of(master.raw_channel(0).unwrap())
}

/// Waits until so many requests were run.
fn until_run(master: &TestMaster, count: u64) {
    until("the requests", || master.load().unwrap().requests == count);
}

/// Waits until this is asked for, and so many flights of writes are under way.
fn until_under_way(server: &Server, asked: &[&str], writes: usize) {
    until("what is asked", || {
        server.under_way() == (asked.iter().map(ToString::to_string).collect(), writes)
    });
}

#[test]
fn what_one_looks_at_is_asked_for_while_others_wait_for_theirs() {
    let (server, master) = world();
    let (mut one, mut other) = (peer(&master), peer(&master));
    one.send("GET a\r\nMGET b c\r\n");
    until_under_way(&server, &["a b c"], 0);
    other.send("GET d\r\n");
    until_under_way(&server, &["a b c", "d"], 0);
    server.answer(None);
    one.expect("$-1\r\n*2\r\n$-1\r\n$-1\r\n");
    other.expect("$-1\r\n");
}

#[test]
fn what_is_read_of_a_write_that_is_on_its_way_is_told_when_that_is_done() {
    let (server, master) = world();
    let (mut writer, mut reader) = (peer(&master), peer(&master));
    writer.send("SET a 1\r\n");
    until_under_way(&server, &[], 1);
    reader.send("PING\r\nMGET a\r\n");
    until_under_way(&server, &["a"], 1);
    // What is asked for comes before the write is done.
    server.answer_questions();
    until_run(&master, 3);
    assert!(reader.is_silent() && writer.is_silent());
    server.answer(None);
    writer.expect("+OK\r\n");
    reader.expect("+PONG\r\n*1\r\n$1\r\n1\r\n");
}

#[test]
fn a_write_that_fails_takes_back_what_was_read_and_made_of_it_and_nothing_else() {
    let (server, master) = world();
    let (mut writer, mut reader) = (peer(&master), peer(&master));
    writer.send("SET a 1\r\n");
    until_under_way(&server, &[], 1);
    reader.send("SET a 2\r\nGET a\r\nSET b 1\r\nGET b\r\nPING\r\n");
    server.answer_questions_until(|| master.load().unwrap().requests == 6);
    server.answer(Some(BackendError::Failed("it is a replica".to_owned())));
    writer.expect("-ERR it is a replica\r\n");
    until_under_way(&server, &[], 1);
    server.answer(None);
    reader.expect("-ERR it is a replica\r\n-ERR it is a replica\r\n+OK\r\n$1\r\n1\r\n+PONG\r\n");
    writer.send("MGET a b\r\n");
    server.answer_questions_until(|| master.load().unwrap().requests == 7);
    writer.expect("*2\r\n$-1\r\n$1\r\n1\r\n");
}

#[test]
fn writes_are_sent_one_flight_after_the_other() {
    let (server, master) = world();
    let mut peers: Vec<_> = (0..4).map(|_| peer(&master)).collect();
    for (number, peer) in (1..).zip(&mut peers) {
        peer.send(format!("SET a {number}\r\n"));
        until_run(&master, number);
        until_under_way(&server, &[], 1);
    }
    server.answer(None);
    peers[0].expect("+OK\r\n");
    until_under_way(&server, &[], 1);
    server.answer(None);
    for peer in &mut peers[1..] {
        peer.expect("+OK\r\n");
    }
    peers[0].send("GET a\r\n");
    server.answer_questions_until(|| master.load().unwrap().requests == 5);
    peers[0].expect("$1\r\n4\r\n");
}

#[test]
fn a_master_that_is_stopped_waits_for_what_is_on_its_way() {
    let (server, master) = world();
    let (mut writer, mut reader) = (peer(&master), peer(&master));
    writer.send("SET a 1\r\n");
    until_under_way(&server, &[], 1);
    reader.send("GET b\r\nSET b 1\r\n");
    until_under_way(&server, &["b"], 1);
    let stopped = std::thread::spawn(move || drop(master));
    server.answer_questions_until(|| {
        server.answer(None);
        stopped.is_finished()
    });
    writer.expect("+OK\r\n");
    reader.expect("$-1\r\n+OK\r\n");
}
