//! Peers that ask too much or read too little, and the others beside them.

use super::*;

/// The ids of the frames in `bytes`, and how many bytes they have.
fn ids(mut bytes: &[u8]) -> (Vec<u32>, usize) {
    let (mut ids, all) = (Vec::new(), bytes.len());
    while let Some(frame) = frame::split(bytes, 1 << 24).unwrap() {
        ids.push(frame.header.id);
        bytes = &bytes[frame.wire_len()..];
    }
    (ids, all - bytes.len())
}

#[test]
fn who_pipelines_a_hundred_thousand_requests_does_not_starve_another() {
    const MANY: u32 = 100_000;
    let mut master = Master::new(Limits::default());
    let (_, mut greedy) = master.adopt();
    let (_, mut modest) = master.adopt();
    let flood: Vec<u8> = (0..MANY).flat_map(|id| request(ECHO, id, b"")).collect();
    greedy.send(&flood);
    let mut asked_at = None;
    let mut answered = 0;
    master.until("all replies", |master| {
        greedy.push();
        greedy.receive();
        match asked_at {
            None => {
                modest.got.clear();
                modest.send(&request(ECHO, 1, b"me too"));
                asked_at = Some(master.ticks);
            }
            Some(tick) if !modest.receive().is_empty() => {
                assert!(
                    master.ticks - tick <= 2,
                    "it waited {} ticks",
                    master.ticks - tick
                );
                answered += 1;
                asked_at = None;
            }
            Some(_) => {}
        }
        greedy.got.len() >= flood.len()
    });
    assert!(greedy.got == flood);
    assert!(answered > 100, "only {answered} while the flood lasted");
}

#[test]
fn who_never_reads_is_bounded_harms_nobody_and_gets_everything_in_order_later() {
    const MANY: u32 = 5_000;
    const REPLY: u32 = 1_000;
    let limits = Limits::default();
    let high_mark = limits.high_mark;
    let mut master = Master::new(limits);
    let (id, mut deaf) = master.adopt();
    let (_, mut other) = master.adopt();
    for id in 0..MANY {
        deaf.send(&request(INFLATE, id, &REPLY.to_le_bytes()));
    }
    master.until("the pause", |master| {
        deaf.push();
        master.reactor.counters().pauses > 0
    });
    for _ in 0..50 {
        deaf.push();
        master.assert_serves(&mut other);
    }
    let entry = alive(&mut master.reactor.slots, id).unwrap();
    assert!(entry.connection.is_paused());
    assert!(entry.connection.pending_output() <= high_mark + 2_000);
    assert!(master.reactor.counters().requests < u64::from(MANY));
    master.tick();
    assert!(!master.reactor.has_work(), "a pause is no busy loop");

    let all = MANY as usize * (16 + REPLY as usize);
    master.until("everything", |_| {
        deaf.push();
        deaf.receive().len() >= all
    });
    let (ids, whole) = ids(&deaf.got);
    assert_eq!(whole, all);
    assert!(ids.into_iter().eq(0..MANY));
    let entry = alive(&mut master.reactor.slots, id).unwrap();
    assert!(
        !entry.armed,
        "events that nobody needs are no longer asked for"
    );
}

#[test]
fn who_goes_beyond_the_hard_cap_is_closed_and_counted() {
    let limits = Limits::default();
    let too_much = u32::try_from(limits.hard_cap()).unwrap();
    let mut master = Master::new(limits);
    let (id, mut client) = master.adopt();
    client.send(&request(INFLATE, 1, &too_much.to_le_bytes()));
    master.assert_closed(id, CloseReason::OutputCap);
    assert_eq!(master.reactor.counters().closed.output_cap, 1);
    assert!(client.receive().is_empty() && client.is_closed);
}

#[test]
fn who_dies_while_it_is_paused_is_noticed() {
    let mut master = Master::new(Limits::default());
    let (id, mut deaf) = master.adopt();
    deaf.send(&request(INFLATE, 1, &(1u32 << 20).to_le_bytes()));
    master.until("the pause", |master| master.reactor.counters().pauses > 0);
    drop(deaf);
    master.until("the end", |master| !master.echo.closed.is_empty());
    let (closed, why) = master.echo.closed[0];
    assert!(
        closed == id && matches!(why, CloseReason::Failed(_)),
        "{why:?}"
    );
}
