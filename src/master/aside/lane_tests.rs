//! The lane with a server that the tests play: who answers what, and what waits for what.
//!
//! What the server says and what the backend has differ, so that a reply tells whose it is.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::*;
use crate::backend::fast_path::{Asked, Connections, FastPath, Found, NoReply, Plain, Said};
use crate::backend::{Backend, Deadline, EntryRef, MemoryBackend, SetOutcome, Wake};
use crate::config::{KeyspaceEvents, Limits};
use crate::contract::{Capabilities, Condition, Seq};
use crate::exec::{Hub, SharedHub};
use crate::master::channels::Channels;
use crate::time::SystemClock;

const LONG: Duration = Duration::from_secs(20);

/// Lines to the server and back.
#[derive(Default)]
struct Path {
    wake: Mutex<Option<Wake>>,
    fresh: Mutex<Option<Connections>>,
    current: AtomicU64,
    /// How long an answer may take.
    timeout: Duration,
}

impl std::fmt::Debug for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Path")
    }
}

impl FastPath for Path {
    fn wake_with(&self, wake: Wake) {
        *self.wake.lock().unwrap() = Some(wake);
    }

    fn take(&self) -> Option<Connections> {
        self.fresh.lock().unwrap().take()
    }

    fn is_current(&self, number: u64) -> bool {
        self.current.load(Ordering::Relaxed) == number
    }

    fn lost(&self, number: u64) {
        if self.is_current(number) {
            self.current.store(0, Ordering::Relaxed);
        }
    }

    fn late(&self, number: u64) {
        self.lost(number);
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn ask(&self, plain: &Plain<'_>, out: &mut Vec<u8>) -> Asked {
        let (word, key, asked) = match *plain {
            Plain::Value { key } => ("value", key, Asked::Value),
            Plain::Get { key } => ("get", key, Asked::Entry),
            Plain::Set { key, .. } => ("set", key, Asked::Stored),
            Plain::Touch { key, .. } => ("touch", key, Asked::Whether),
            Plain::Destroy { key } => ("destroy", key, Asked::Whether),
        };
        out.extend_from_slice(word.as_bytes());
        out.push(b' ');
        out.extend_from_slice(key);
        out.push(b'\n');
        asked
    }

    fn read<'b>(
        &self,
        asked: Asked,
        bytes: &'b [u8],
    ) -> Result<Option<(usize, Said<'b>)>, NoReply> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let said = match (asked, &bytes[..end]) {
            (_, b"garbage") => return Err(NoReply),
            (_, b"error") => Said::Else,
            (_, b"no") => Said::Failed(BackendError::Busy),
            (Asked::Value, value) => Said::Value(Some(value)),
            (Asked::Entry, value) => Said::Entry(Some(Found {
                value,
                ttl_ms: None,
                seq: Seq(1),
            })),
            (Asked::Stored, _) => Said::Stored,
            (Asked::Whether, _) => Said::Whether(true),
        };
        Ok(Some((end + 1, said)))
    }

    fn version(&self, _value: &[u8]) -> Seq {
        Seq(1)
    }
}

/// A backend past which there is a way.
struct Passed(MemoryBackend, Arc<Path>);

impl Backend for Passed {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn fast_path(&self) -> Option<Arc<dyn FastPath>> {
        Some(Arc::clone(&self.1) as Arc<dyn FastPath>)
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.0.get(now, key)
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.0.set(now, key, value, deadline, condition)
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        self.0.touch(now, key, deadline)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.0.destroy(now, key)
    }
}

/// A loop, a backend and a server.
struct World {
    clock: SystemClock,
    reactor: Reactor<Line>,
    aside: Aside,
    path: Arc<Path>,
    server: UnixStream,
}

impl World {
    /// With a lane that is open. In the backend, every key of one letter is itself.
    fn new(backend_timeout: Duration, timeout: Duration) -> Self {
        let clock = SystemClock::new();
        let limits = Limits {
            backend_timeout,
            ..Limits::default()
        };
        let reactor = Reactor::new(limits.clone()).unwrap();
        let path = Arc::new(Path {
            timeout,
            ..Path::default()
        });
        let mut memory = MemoryBackend::new();
        for key in b'a'..=b'z' {
            let (key, never) = (&[key][..], Deadline::Never);
            let stored = memory.set(Millis::ZERO, key, key, never, Condition::Always);
            assert!(matches!(stored, Ok(SetOutcome::Stored(_))));
        }
        let passed = Passed(memory, Arc::clone(&path));
        let backend: SharedBackend = Arc::new(Mutex::new(Box::new(passed)));
        let terms = Terms {
            limits: limits.clone(),
            hub: SharedHub::new(Hub::new(&limits, KeyspaceEvents::default())),
            path: None,
            secret: None,
            allowed: crate::net::AllowedUids::ours_and(&[]),
            workers: 1,
            pid: 1,
        };
        let shared = Arc::new(clock.clone());
        let aside = Aside::start(backend, terms, shared, reactor.waker()).unwrap();
        let (server, _) = UnixStream::pair().unwrap();
        let mut world = Self {
            clock,
            reactor,
            aside,
            path,
            server,
        };
        let mut first = world.client();
        world.ask(&mut first, "GET a\r\n", "$1\r\na\r\n");
        world.connect(1);
        world
    }

    /// Gives the lane a connection.
    fn connect(&mut self, number: u64) {
        let (theirs, ours) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        self.server = ours;
        let connections = Connections {
            number,
            streams: vec![theirs.into()],
        };
        *self.path.fresh.lock().unwrap() = Some(connections);
        self.path.current.store(number, Ordering::Relaxed);
        let wake = self.path.wake.lock().unwrap().clone();
        wake.expect("the lane wants to be told")();
        self.turns(1);
        let is_taken = self.path.fresh.lock().unwrap().is_none();
        assert!(is_taken, "the connection is not taken");
    }

    /// Somebody of whom the engine knows.
    fn client(&mut self) -> UnixStream {
        let (theirs, ours) = UnixStream::pair().unwrap();
        self.reactor.open(theirs, 0, None).unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut client = ours;
        self.ask(&mut client, "PING\r\n", "+PONG\r\n");
        client
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            let now = self.clock.now();
            let until = self.aside.next_deadline(now).unwrap_or(Millis::MAX);
            let until = until.min(now.after_ms(5));
            self.reactor.wait(now, Some(until)).unwrap();
            let now = self.clock.now();
            self.aside.turn(now, &mut self.reactor).unwrap();
            self.reactor.flush();
            self.aside.bury(now, &mut self.reactor);
        }
    }

    /// Turns until exactly this has come.
    fn hear(&mut self, who: &mut UnixStream, text: &str) {
        let deadline = Instant::now() + LONG;
        let mut heard = Vec::new();
        while heard.len() < text.len() {
            self.turns(1);
            heard.extend(available(who));
            assert!(Instant::now() < deadline, "{text:?} does not come");
        }
        assert_eq!(String::from_utf8(heard).unwrap(), text);
    }

    fn ask(&mut self, who: &mut UnixStream, request: &str, reply: &str) {
        who.write_all(request.as_bytes()).unwrap();
        self.hear(who, reply);
    }

    /// Turns until the server has been asked exactly this.
    fn is_asked(&mut self, text: &str) {
        let mut server = self.server.try_clone().unwrap();
        self.hear(&mut server, text);
    }

    fn says(&mut self, text: &str) {
        self.server.write_all(text.as_bytes()).unwrap();
    }
}

/// What has come by now.
fn available(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = vec![0; 4_096];
    match stream.read(&mut bytes) {
        Ok(len) => bytes.truncate(len),
        Err(error) if error.kind() == ErrorKind::WouldBlock => bytes.clear(),
        Err(error) => panic!("{error}"),
    }
    bytes
}

fn timed_out() -> String {
    let outcome = Outcome::Unknown;
    let mut text = Vec::new();
    crate::exec::redis::write_error(BackendError::TimedOut { outcome }, &mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn plain_requests_are_answered_by_the_server_in_their_order() {
    let mut world = World::new(LONG, LONG);
    let (mut one, mut other) = (world.client(), world.client());
    one.write_all(b"GET a\r\nSET b 1\r\nDEL c\r\n").unwrap();
    world.is_asked("value a\nset b\ndestroy c\n");
    other.write_all(b"EXPIRE d 9\r\n").unwrap();
    world.is_asked("touch d\n");
    world.says("theirs\nok\n");
    world.turns(2);
    assert_eq!(available(&mut one), b"", "a chunk is answered as a whole");
    world.says("yes\nyes\n");
    world.hear(&mut one, "$6\r\ntheirs\r\n+OK\r\n:1\r\n");
    world.hear(&mut other, ":1\r\n");
    let load = world.aside.caller().load();
    assert_eq!((load.fast, load.plain), (4, [1, 1, 0, 0, 1, 0, 1, 0]));
}

#[test]
fn what_is_in_the_lane_and_what_the_engine_has_are_never_under_way_at_once() {
    let mut world = World::new(LONG, LONG);
    let (mut one, mut other, mut third) = (world.client(), world.client(), world.client());
    one.write_all(b"GET a\r\n").unwrap();
    world.is_asked("value a\n");
    other.write_all(b"APPEND b !\r\n").unwrap();
    world.turns(3);
    third.write_all(b"GET b\r\n").unwrap();
    world.turns(3);
    assert_eq!(available(&mut other), b"", "it waits for the lane");
    assert_eq!(available(&mut world.server), b"", "nobody overtakes it");
    world.says("theirs\n");
    world.hear(&mut one, "$6\r\ntheirs\r\n");
    world.hear(&mut other, ":2\r\n");
    world.hear(&mut third, "$2\r\nb!\r\n");
    third.write_all(b"GET b\r\n").unwrap();
    world.is_asked("value b\n");
}

#[test]
fn what_the_server_does_not_answer_is_the_engines_and_so_is_what_comes_behind_it() {
    let mut world = World::new(LONG, LONG);
    let mut client = world.client();
    client.write_all(b"GET a\r\nGET b\r\nGET c\r\n").unwrap();
    world.is_asked("value a\nvalue b\nvalue c\n");
    world.says("theirs\nerror\ntheirs\n");
    world.hear(&mut client, "$6\r\ntheirs\r\n$1\r\nb\r\n$1\r\nc\r\n");
    client.write_all(b"GET d\r\nGET e\r\n").unwrap();
    world.is_asked("value d\nvalue e\n");
    world.says("no\ntheirs\n");
    let busy = "-BUSY the store has too much to do\r\n";
    world.hear(&mut client, &format!("{busy}$6\r\ntheirs\r\n"));
}

#[test]
fn where_a_connection_is_lost_the_engine_answers_who_only_reads() {
    for ending in ["", "garbage\n", "part of a line"] {
        let mut world = World::new(LONG, LONG);
        let (mut reader, mut writer) = (world.client(), world.client());
        reader.write_all(b"SET a 1\r\nGET a\r\nGET b\r\n").unwrap();
        world.is_asked("set a\nvalue a\nvalue b\n");
        writer.write_all(b"SET c 1\r\nDEL d\r\nGET d\r\n").unwrap();
        world.is_asked("set c\ndestroy d\nvalue d\n");
        world.says("ok\ntheirs\n");
        world.says(ending);
        if !ending.ends_with('\n') {
            world.server.shutdown(std::net::Shutdown::Both).unwrap();
        }
        world.hear(&mut reader, "+OK\r\n$6\r\ntheirs\r\n$1\r\nb\r\n");
        let lost = "-ERR the connection to the store's server was lost; it may or may not have \
                    been done\r\n";
        world.hear(&mut writer, &lost.repeat(3));
        assert!(!world.path.is_current(1), "it is told to be lost");
        world.ask(&mut reader, "GET c\r\n", "$1\r\nc\r\n");
        world.connect(2);
        reader.write_all(b"GET d\r\n").unwrap();
        world.is_asked("value d\n");
    }
}

#[test]
fn a_connection_that_is_withdrawn_is_left() {
    let mut world = World::new(LONG, LONG);
    let mut client = world.client();
    client.write_all(b"GET a\r\n").unwrap();
    world.is_asked("value a\n");
    world.path.current.store(0, Ordering::Relaxed);
    world.path.wake.lock().unwrap().clone().unwrap()();
    world.hear(&mut client, "$1\r\na\r\n");
    world.ask(&mut client, "GET b\r\n", "$1\r\nb\r\n");
}

#[test]
fn a_server_that_does_not_answer_in_time_is_waited_for_by_nobody() {
    const SHORT: Duration = Duration::from_secs(1);
    for (backend_timeout, timeout) in [(SHORT, LONG), (LONG, SHORT)] {
        let mut world = World::new(backend_timeout, timeout);
        let (mut one, mut other) = (world.client(), world.client());
        one.write_all(b"SET a 1\r\nGET a\r\n").unwrap();
        other.write_all(b"GET b\r\n").unwrap();
        let error = timed_out();
        world.hear(&mut one, &error.repeat(2));
        world.hear(&mut other, &error);
        assert!(!world.path.is_current(1), "it is told to be lost");
        world.ask(&mut one, "GET a\r\n", "$1\r\na\r\n");
        world.ask(&mut other, "GET b\r\n", "$1\r\nb\r\n");
    }
}

#[test]
fn a_client_that_leaves_is_not_waited_for() {
    let mut world = World::new(LONG, LONG);
    let (mut gone, mut other) = (world.client(), world.client());
    gone.write_all(b"GET a\r\n").unwrap();
    world.is_asked("value a\n");
    drop(gone);
    world.turns(2);
    world.says("theirs\n");
    world.ask(&mut other, "PING\r\n", "+PONG\r\n");
    other.write_all(b"GET b\r\n").unwrap();
    world.is_asked("value b\n");
}

#[test]
fn the_lane_is_closed_to_who_is_in_a_transaction_and_while_somebody_watches() {
    let mut world = World::new(LONG, LONG);
    let (mut one, mut other) = (world.client(), world.client());
    world.ask(&mut one, "MULTI\r\n", "+OK\r\n");
    world.ask(&mut one, "GET a\r\n", "+QUEUED\r\n");
    world.ask(&mut one, "EXEC\r\n", "*1\r\n$1\r\na\r\n");
    world.ask(&mut one, "WATCH new\r\n", "+OK\r\n");
    world.ask(&mut other, "GET a\r\n", "$1\r\na\r\n");
    world.ask(&mut one, "UNWATCH\r\n", "+OK\r\n");
    other.write_all(b"GET a\r\n").unwrap();
    world.is_asked("value a\n");
}

#[test]
fn what_handles_in_this_process_ask_closes_the_lane() {
    let mut world = World::new(LONG, LONG);
    let caller = world.aside.caller();
    let request = crate::protocol::Request::Get { key: b"a" };
    caller.call(&request, LONG).unwrap();
    let mut client = world.client();
    world.ask(&mut client, "GET a\r\n", "$1\r\na\r\n");
}

#[test]
fn what_is_in_the_lane_at_the_end_is_answered() {
    let mut world = World::new(LONG, LONG);
    let mut client = world.client();
    client.write_all(b"GET a\r\n").unwrap();
    world.is_asked("value a\n");
    client.write_all(b"GET b\r\n").unwrap();
    world.says("theirs\n");
    let now = world.clock.now();
    world.aside.finish(now, &mut world.reactor).unwrap();
    assert_eq!(available(&mut client), b"$6\r\ntheirs\r\n");
}
