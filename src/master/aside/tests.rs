//! The loop's side without a master around it: what supervisors are told.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::backend::MemoryBackend;
use crate::config::{KeyspaceEvents, Limits};
use crate::master::channels::Channels;
use crate::protocol::message::Hello;
use crate::protocol::{Request, codec};
use crate::supervisor::event::{Incarnation, Slot, WorkerId};
use crate::time::SystemClock;

/// Turns until there is news of channels.
fn events(
    aside: &mut Aside,
    reactor: &mut Reactor<Line>,
    clock: &SystemClock,
) -> Vec<ChannelEvent> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let now = clock.now();
        reactor.wait(now, Some(now.after_ms(10))).unwrap();
        aside.turn(now, reactor).unwrap();
        reactor.flush();
        aside.bury(now, reactor);
        let events = aside.events();
        if !events.is_empty() {
            return events;
        }
        assert!(Instant::now() < deadline, "no news came");
    }
}

#[test]
fn supervisors_hear_that_a_worker_has_introduced_itself_and_that_it_is_gone() {
    let mut hello = Vec::new();
    let introduction = Hello {
        min_version: 1,
        max_version: 1,
        pid: 1,
    };
    codec::write_request(&mut hello, 1, &Request::Hello(introduction));
    for introduction in [&hello[..], b"PING\r\n"] {
        let clock = SystemClock::new();
        let mut reactor = Reactor::new(Limits::default()).unwrap();
        let backend: SharedBackend = Arc::new(Mutex::new(Box::new(MemoryBackend::new())));
        let terms = Terms {
            limits: Limits::default(),
            keyspace_events: KeyspaceEvents::default(),
            secret: None,
            allowed: crate::net::AllowedUids::ours_and(&[]),
            workers: 1,
            pid: 1,
        };
        let shared = Arc::new(clock.clone());
        let mut aside = Aside::start(backend, terms, shared, reactor.waker()).unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let worker = WorkerId {
            slot: Slot(0),
            incarnation: Incarnation(1),
        };
        reactor.open(ours, 0, Some(worker)).unwrap();
        theirs.write_all(introduction).unwrap();
        let told = events(&mut aside, &mut reactor, &clock);
        assert_eq!(told, [ChannelEvent::Introduced(worker)]);
        theirs.write_all(introduction).unwrap();
        drop(theirs);
        let told = events(&mut aside, &mut reactor, &clock);
        assert_eq!(told, [ChannelEvent::Closed(worker)]);
        aside.finish(clock.now(), &mut reactor).unwrap();
    }
}
