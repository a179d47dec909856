//! A connection on a stream that behaves as the script says.

use super::*;
use crate::net::testing::{self, BROKEN, Echo, GARBAGE, GOODBYE, INFLATE, request};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io::IoSlice;

const ECHO: u8 = 0x10;

/// A socket: what has arrived, room for what is sent, and accidents to come.
#[derive(Default)]
struct Socket {
    arrived: VecDeque<u8>,
    ended: bool,
    room: usize,
    sent: Vec<u8>,
    read_errors: VecDeque<io::ErrorKind>,
    write_errors: VecDeque<io::ErrorKind>,
    reads: usize,
    writes: usize,
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if let Some(error) = self.read_errors.pop_front() {
            return Err(error.into());
        }
        if self.arrived.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Contiguous, because a socket gives all that is asked for if it has it.
        self.arrived.make_contiguous();
        self.arrived.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writes += 1;
        if let Some(error) = self.write_errors.pop_front() {
            return Err(error.into());
        }
        if self.room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let before = self.sent.len();
        for slice in slices {
            let n = slice.len().min(self.room);
            self.sent.extend_from_slice(&slice[..n]);
            self.room -= n;
        }
        Ok(self.sent.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection with the reactor's part played by hand: events are edges, told once.
struct Bench {
    connection: Connection<Socket>,
    echo: Echo,
    frames: u64,
    limits: Limits,
    pool: Pool,
    scratch: Vec<u8>,
    end: Option<CloseReason>,
}

impl Bench {
    fn new() -> Self {
        let roomy = Socket {
            room: usize::MAX,
            ..Socket::default()
        };
        Self {
            connection: Connection::new(roomy),
            echo: Echo::default(),
            frames: 0,
            limits: Limits::default(),
            pool: Pool::default(),
            scratch: vec![0; BYTES_PER_TURN],
            end: None,
        }
    }

    fn socket(&mut self) -> &mut Socket {
        self.connection.stream_mut()
    }

    fn arrive(&mut self, bytes: &[u8]) {
        self.socket().arrived.extend(bytes);
        self.connection.readable();
    }

    fn hang_up(&mut self) {
        self.socket().ended = true;
        self.connection.ending();
    }

    fn make_room(&mut self, n: usize) {
        let room = self.socket().room;
        self.socket().room = room.saturating_add(n);
        if self.connection.is_blocked() {
            self.connection.writable();
        }
    }

    fn wants_more(&self) -> bool {
        self.end.is_none() && (self.connection.wants_turn() || self.connection.wants_flush())
    }

    fn turn(&mut self) {
        let mut turn = Turn {
            id: ConnectionId::first(0).unwrap(),
            handler: &mut self.echo,
            session: &mut self.frames,
            limits: &self.limits,
            pool: &mut self.pool,
            budget: REQUESTS_PER_TURN,
            introduced: false,
        };
        if let Err(why) = self.connection.turn(&mut turn, &mut self.scratch) {
            self.end = Some(why);
        }
    }

    fn tick(&mut self) {
        if self.end.is_none() && self.connection.wants_turn() {
            self.turn();
        }
        if self.end.is_none() {
            let flushed = self.connection.flush(&self.limits, &mut self.pool);
            self.end = flushed.err().or(self.connection.finished());
        }
    }

    /// Ticks until only an event could change anything, which must not take more than `bound`.
    fn run(&mut self, bound: usize) {
        let mut ticks = 0;
        while self.wants_more() {
            self.tick();
            ticks += 1;
            assert!(ticks <= bound, "still busy after {bound} ticks");
        }
    }
}

#[test]
fn a_small_request_takes_one_read_one_write_and_leaves_no_memory_behind() {
    let mut bench = Bench::new();
    let small = request(ECHO, 7, b"body");
    bench.arrive(&small);
    bench.tick();
    assert_eq!(bench.socket().sent, small);
    assert_eq!((bench.socket().reads, bench.socket().writes), (1, 1));
    assert!(!bench.wants_more());
    assert!(bench.connection.input.is_empty() && bench.connection.output.is_empty());
}

#[test]
fn a_request_that_comes_byte_by_byte_gets_its_reply_with_the_last() {
    let mut bench = Bench::new();
    let slow = request(ECHO, 7, b"body");
    for byte in &slow {
        assert!(bench.socket().sent.is_empty());
        bench.arrive(&[*byte]);
        bench.tick();
    }
    assert_eq!(bench.socket().sent, slow);
}

#[test]
fn a_turn_ends_with_its_budget_and_the_next_goes_on_without_an_event() {
    let mut bench = Bench::new();
    let many = request(ECHO, 1, b"").repeat(3 * REQUESTS_PER_TURN);
    bench.arrive(&many);
    for turns in 1..=3 {
        assert!(bench.connection.wants_turn());
        bench.turn();
        assert_eq!(bench.frames, turns * REQUESTS_PER_TURN as u64);
    }
    bench.tick();
    assert!(!bench.wants_more());
    assert_eq!(bench.socket().sent, many);
    assert_eq!(bench.socket().reads, 1);
}

#[test]
fn a_peer_that_does_not_read_is_not_read_and_goes_on_when_it_reads() {
    let mut bench = Bench::new();
    bench.limits = Limits {
        high_mark: 1_000,
        low_mark: 100,
        ..Limits::default()
    };
    bench.socket().room = 0;
    let one = request(ECHO, 1, &[7; 84]);
    let all = one.repeat(60);
    bench.arrive(&all);
    bench.run(3);
    assert!(bench.connection.is_paused());
    assert_eq!(bench.frames, 11, "the eleventh goes above the mark");
    bench.arrive(&one);
    assert!(!bench.wants_more(), "it is paused");
    assert_eq!(bench.socket().reads, 1);

    bench.make_room(1_100 - 101);
    bench.run(1);
    assert!(bench.connection.is_paused(), "not yet at the low mark");
    bench.make_room(1);
    bench.run(2);
    assert!(bench.frames > 11);
    bench.make_room(usize::MAX);
    bench.run(20);
    assert_eq!(bench.socket().sent, [all, one].concat());
}

#[test]
fn output_beyond_the_hard_cap_ends_the_connection_at_once() {
    let mut bench = Bench::new();
    let too_much = u32::try_from(bench.limits.hard_cap()).unwrap();
    bench.arrive(&request(INFLATE, 1, &too_much.to_le_bytes()));
    bench.tick();
    assert_eq!(bench.end, Some(CloseReason::OutputCap));
}

#[test]
fn interruptions_are_not_noticed() {
    let mut bench = Bench::new();
    bench.socket().read_errors = [io::ErrorKind::Interrupted; 3].into();
    bench.socket().write_errors = [io::ErrorKind::Interrupted; 3].into();
    let small = request(ECHO, 7, b"body");
    bench.arrive(&small);
    bench.run(1);
    assert_eq!(bench.socket().sent, small);
    assert_eq!(bench.end, None);
}

#[test]
fn a_reset_ends_the_connection_whether_reading_or_writing() {
    let mut bench = Bench::new();
    bench.socket().read_errors = [io::ErrorKind::ConnectionReset].into();
    bench.arrive(b"");
    bench.tick();
    let reset = CloseReason::Failed(io::ErrorKind::ConnectionReset);
    assert_eq!(bench.end, Some(reset));

    let mut bench = Bench::new();
    bench.socket().write_errors = [io::ErrorKind::BrokenPipe].into();
    bench.arrive(&request(ECHO, 1, b""));
    bench.tick();
    let broken = CloseReason::Failed(io::ErrorKind::BrokenPipe);
    assert_eq!(bench.end, Some(broken));
}

#[test]
fn a_peer_that_half_closes_gets_the_replies_that_are_due() {
    let mut bench = Bench::new();
    let many = request(ECHO, 1, b"x").repeat(REQUESTS_PER_TURN + 1);
    bench.socket().room = 100;
    bench.arrive(&many);
    bench.hang_up();
    bench.run(10);
    assert_eq!(bench.end, None, "there is output to be written");
    bench.make_room(usize::MAX);
    bench.run(10);
    assert_eq!(bench.socket().sent, many);
    assert_eq!(bench.end, Some(CloseReason::Eof));
}

#[test]
fn an_end_within_a_frame_is_told_apart() {
    let mut bench = Bench::new();
    let whole = request(ECHO, 1, b"whole");
    bench.arrive(&whole);
    bench.arrive(&request(ECHO, 2, b"torn")[..18]);
    bench.hang_up();
    bench.run(5);
    assert_eq!(bench.socket().sent, whole);
    assert_eq!(bench.end, Some(CloseReason::MidRequest));
}

#[test]
fn what_follows_a_goodbye_is_not_run() {
    let mut bench = Bench::new();
    let goodbye = request(GOODBYE, 1, b"bye");
    bench.arrive(&[goodbye.clone(), request(ECHO, 2, b"more")].concat());
    bench.run(2);
    assert_eq!(bench.socket().sent, goodbye);
    assert_eq!(bench.end, Some(CloseReason::Rejected("it said goodbye")));
}

#[test]
fn an_announced_length_allocates_nothing() {
    let mut bench = Bench::new();
    let mut announced = request(ECHO, 1, b"");
    let len = u32::try_from(testing::MAX_BODY).unwrap();
    announced[8..12].copy_from_slice(&len.to_le_bytes());
    bench.arrive(&announced);
    bench.run(1);
    assert_eq!(bench.connection.input.rest(), announced);
    assert!(bench.connection.input.capacity() < 1_000);
}

/// What the network and the scheduler do between two ticks.
#[derive(Debug, Clone)]
enum Step {
    Arrive(usize),
    Room(usize),
    Tick,
    SpuriousEvent,
    InterruptedRead,
    InterruptedWrite,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..200usize).prop_map(Step::Arrive),
        2 => Just(Step::Arrive(1)),
        3 => (1..200usize).prop_map(Step::Room),
        6 => Just(Step::Tick),
        1 => Just(Step::SpuriousEvent),
        1 => Just(Step::InterruptedRead),
        1 => Just(Step::InterruptedWrite),
    ];
    prop::collection::vec(step, 0..80)
}

#[derive(Debug, Clone, Copy)]
enum End {
    Silence,
    HangUp,
    Torn,
    Garbage,
    Goodbye,
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Silence),
        Just(End::HangUp),
        Just(End::Torn),
        Just(End::Garbage),
        Just(End::Goodbye),
    ]
}

proptest! {
    #[test]
    fn however_the_bytes_come_and_go_the_replies_are_the_same(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..150), 0..150),
        end in ends(),
        steps in steps(),
        scratch in 1..300usize,
        high_mark in 0..500usize,
        low_mark in 0..500usize,
    ) {
        let mut stream: Vec<u8> = bodies.iter().flat_map(|body| request(ECHO, 9, body)).collect();
        let mut expected = stream.clone();
        match end {
            End::Silence | End::HangUp => {}
            End::Torn => stream.extend(&request(ECHO, 9, b"torn")[..17]),
            End::Garbage => {
                stream.extend(b"GARBAGE");
                expected.extend(request(BROKEN, 0, b""));
            }
            End::Goodbye => {
                stream.extend(request(GOODBYE, 9, b""));
                expected.extend(request(GOODBYE, 9, b""));
                stream.extend(request(ECHO, 9, b"not heard any more"));
            }
        }

        let mut bench = Bench::new();
        bench.limits = Limits { high_mark, low_mark, ..Limits::default() };
        bench.scratch = vec![0; scratch];
        bench.socket().room = 0;
        let mut rest = stream.as_slice();
        for step in steps {
            match step {
                Step::Arrive(n) => {
                    let (now, later) = rest.split_at(n.min(rest.len()));
                    rest = later;
                    bench.arrive(now);
                }
                Step::Room(n) => bench.make_room(n),
                Step::Tick => bench.tick(),
                Step::SpuriousEvent => {
                    bench.connection.readable();
                    bench.connection.writable();
                }
                Step::InterruptedRead => {
                    bench.socket().read_errors.push_back(io::ErrorKind::Interrupted);
                }
                Step::InterruptedWrite => {
                    bench.socket().write_errors.push_back(io::ErrorKind::Interrupted);
                }
            }
            let reply = 16 + 150;
            prop_assert!(bench.connection.output.len() <= high_mark + reply);
            prop_assert!(bench.connection.input.rest().len() < reply + scratch);
        }
        bench.arrive(rest);
        if matches!(end, End::HangUp | End::Torn) {
            bench.hang_up();
        }
        bench.make_room(usize::MAX);
        bench.run(bodies.len() + stream.len() / scratch + 10);

        prop_assert_eq!(&bench.socket().sent, &expected);
        let why = match end {
            End::Silence => None,
            End::HangUp => Some(CloseReason::Eof),
            End::Torn => Some(CloseReason::MidRequest),
            End::Garbage => Some(CloseReason::Garbage(GARBAGE)),
            End::Goodbye => Some(CloseReason::Rejected("it said goodbye")),
        };
        prop_assert_eq!(bench.end, why);
    }

    #[test]
    fn no_bytes_make_a_connection_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bench = Bench::new();
        bench.arrive(&bytes);
        bench.hang_up();
        bench.run(20);
        prop_assert!(bench.end.is_some());
    }
}
