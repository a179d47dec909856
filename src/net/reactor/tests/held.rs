//! Requests that are run elsewhere: who waits, who does not, and what arrives in the end.

use proptest::prelude::*;

use super::*;
use crate::net::handler::Answer;
use crate::net::testing::{Elsewhere, MAX_BODY};

impl Master {
    /// A master that takes so many chunks of requests elsewhere.
    fn away(room: usize) -> Self {
        let mut master = Self::new(Limits::default());
        master.echo.elsewhere = Some(Elsewhere {
            room,
            ..Elsewhere::default()
        });
        master
    }

    fn elsewhere(&mut self) -> &mut Elsewhere {
        self.echo.elsewhere.as_mut().unwrap()
    }

    /// Waits for requests to be taken, and gives them.
    fn chunk(&mut self) -> (ConnectionId, Vec<u8>) {
        self.until("a chunk", |master| !master.elsewhere().chunks.is_empty());
        self.elsewhere().chunks.pop_front().unwrap()
    }

    /// Echoes this much of what was taken, and gives back the rest.
    fn answer(&mut self, id: ConnectionId, chunk: &[u8], used: usize) {
        let answer = Answer {
            out: &chunk[..used],
            unread: &chunk[used..],
            is_introduced: false,
            close: None,
        };
        self.reactor.answer(self.now, id, answer);
    }
}

#[test]
fn who_waits_for_an_answer_is_not_read_and_others_are() {
    let mut master = Master::away(9);
    let (id, mut client) = master.adopt();
    let (first, second) = (request(ECHO, 1, b"first"), request(ECHO, 2, b"second"));
    client.send(&first);
    let (from, chunk) = master.chunk();
    assert_eq!((from, &chunk), (id, &first));
    client.send(&second);
    let (other, mut neighbour) = master.adopt();
    neighbour.send(&second);
    assert_eq!(master.chunk(), (other, second.clone()));
    assert!(!master.reactor.has_work(), "nothing of it is read");
    assert!(master.elsewhere().chunks.is_empty());
    master.answer(id, &chunk, chunk.len());
    assert_eq!(master.chunk(), (id, second.clone()));
    master.answer(id, &second, second.len());
    let both = [first, second].concat();
    master.until("both replies", |_| client.receive() == both);
}

#[test]
fn what_was_not_run_is_asked_for_again_before_what_came_later() {
    let mut master = Master::away(9);
    let (id, mut client) = master.adopt();
    let requests: Vec<_> = (0..3).map(|n| request(ECHO, n, b"body")).collect();
    let last = request(ECHO, 9, b"in two parts");
    client.send(&[&requests.concat()[..], &last[..20]].concat());
    let (_, chunk) = master.chunk();
    assert_eq!(chunk, requests.concat(), "whole ones only");
    client.send(&last[20..]);
    master.answer(id, &chunk, requests[0].len());
    let (_, rest) = master.chunk();
    assert!(rest.starts_with(&requests[1..].concat()));
    master.answer(id, &rest, rest.len());
    let all = [requests.concat(), last.clone()].concat();
    master.until("all replies", |master| {
        if let Some((id, chunk)) = master.elsewhere().chunks.pop_front() {
            master.answer(id, &chunk, chunk.len());
        }
        client.receive() == all
    });
}

#[test]
fn where_there_is_no_room_those_wait_who_came_last_and_go_on_first() {
    let mut master = Master::away(1);
    let mut peers: Vec<_> = (0..4).map(|_| master.adopt()).collect();
    let ping = request(ECHO, 1, b"");
    let (first, _) = peers[0];
    peers[0].1.send(&ping);
    assert_eq!(master.chunk(), (first, ping.clone()));
    for at in [2, 1] {
        peers[at].1.send(&ping);
        for _ in 0..3 {
            master.tick();
        }
        assert!(!master.reactor.has_work(), "it waits without turning");
    }
    peers[3].1.send(&ping);
    master
        .reactor
        .poll(Some(Duration::from_millis(10)))
        .unwrap();
    master.elsewhere().room = 2;
    master.reactor.resume();
    assert_eq!(master.chunk(), (peers[2].0, ping.clone()));
    assert_eq!(master.chunk(), (peers[1].0, ping.clone()));
    assert!(master.elsewhere().chunks.is_empty());
    master.elsewhere().room = 1;
    master.tick();
    master.reactor.resume();
    assert_eq!(master.chunk(), (peers[3].0, ping));
}

#[test]
fn a_peer_that_leaves_while_its_requests_are_away_is_noticed_with_their_answer() {
    let mut master = Master::away(1);
    let (id, mut client) = master.adopt();
    let ping = request(ECHO, 1, b"");
    client.send(&ping);
    let (_, chunk) = master.chunk();
    client.socket.shutdown(Shutdown::Write).unwrap();
    master.tick();
    assert!(master.echo.closed.is_empty());
    master.answer(id, &chunk, chunk.len());
    master.assert_closed(id, CloseReason::Eof);
    assert_eq!(client.receive(), ping);
    master.answer(id, &chunk, 0);
}

#[test]
fn who_is_closed_while_its_requests_are_away_gets_no_answer() {
    let mut master = Master::away(2);
    let (id, mut client) = master.adopt();
    client.send(&request(ECHO, 1, b""));
    let (_, chunk) = master.chunk();
    master.reactor.close(id);
    master.answer(id, &chunk, chunk.len());
    master.assert_closed(id, CloseReason::Asked);
    master.answer(id, &chunk, chunk.len());
    assert!(client.receive().is_empty());
}

#[test]
fn an_answer_may_end_the_connection() {
    let mut master = Master::away(1);
    let (id, mut client) = master.adopt();
    client.send(&request(ECHO, 1, b""));
    master.chunk();
    let why = CloseReason::Rejected("on purpose");
    let answer = Answer {
        out: b"bye",
        unread: &[],
        is_introduced: false,
        close: Some(why),
    };
    master.reactor.answer(master.now, id, answer);
    master.assert_closed(id, why);
    assert_eq!(client.receive(), b"bye");
}

#[test]
fn a_deadline_does_not_close_who_waits_for_us() {
    let mut master = Master::away(1);
    let (id, mut client) = master.adopt();
    client.send(&request(ECHO, 1, b""));
    let (_, chunk) = master.chunk();
    master.reactor.set_deadline(id, master.now);
    master.tick();
    assert!(master.echo.closed.is_empty());
    master.answer(id, &chunk, chunk.len());
    master.now = master.reactor.next_deadline().unwrap();
    master.assert_closed(id, CloseReason::Deadline);
}

#[test]
fn an_answer_beyond_the_mark_pauses_who_does_not_read() {
    let mut master = Master::away(9);
    master.reactor.limits.high_mark = 1_000;
    master.reactor.limits.low_mark = 100;
    let (id, mut client) = master.adopt();
    let ping = request(ECHO, 1, b"");
    client.send(&ping);
    master.chunk();
    let out = vec![7; 4 << 20];
    let answer = Answer {
        out: &out,
        unread: &[],
        is_introduced: false,
        close: None,
    };
    master.reactor.answer(master.now, id, answer);
    client.send(&ping);
    for _ in 0..20 {
        master.tick();
    }
    assert!(master.elsewhere().chunks.is_empty(), "it is not read");
    assert_eq!(master.reactor.counters().pauses, 1);
    let mut seen = 0;
    master.until("it to be read again", |master| {
        seen += client.receive().len();
        client.got.clear();
        !master.elsewhere().chunks.is_empty()
    });
    assert!(seen + master.reactor.limits.low_mark >= out.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However requests are cut, taken, answered in part and left waiting for room.
    #[test]
    fn every_request_is_answered_once_and_in_order(
        bodies in prop::collection::vec(0_usize..300, 1..60),
        cuts in prop::collection::vec(1_usize..2_000, 1..20),
        parts in prop::collection::vec(1_usize..5, 1..20),
        rooms in prop::collection::vec(0_usize..3, 1..20),
    ) {
        let mut master = Master::away(0);
        let (_, mut client) = master.adopt();
        let request = |(id, len): (u32, &usize)| request(ECHO, id, &vec![7; *len]);
        let stream: Vec<u8> = (0..).zip(&bodies).flat_map(request).collect();
        let (mut sent, mut steps) = (0, 0);
        let (mut cuts, mut parts, mut rooms) =
            (cuts.iter().cycle(), parts.iter().cycle(), rooms.iter().chain([&1]).cycle());
        while client.receive().len() < stream.len() {
            steps += 1;
            prop_assert!(steps < 10_000, "it stands still at {sent} of {}", stream.len());
            let next = (sent + cuts.next().unwrap()).min(stream.len());
            client.send(&stream[sent..next]);
            sent = next;
            master.elsewhere().room = *rooms.next().unwrap();
            master.reactor.resume();
            master.tick();
            if let Some((id, chunk)) = master.elsewhere().chunks.pop_front() {
                let mut used = 0;
                for _ in 0..*parts.next().unwrap() {
                    let frame = frame::split(&chunk[used..], MAX_BODY).unwrap();
                    used += frame.map_or(0, |frame| frame.wire_len());
                }
                master.answer(id, &chunk, used);
            }
        }
        prop_assert_eq!(&client.got, &stream);
    }
}
