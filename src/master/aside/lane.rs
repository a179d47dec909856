//! The fast path: plain requests that the loop asks the store's server itself.
//!
//! A request that means the same to the server goes there and back without the engine, its thread
//! and the backend: see [`FastPath`]. That is several times cheaper, and for the peer the same,
//! because of one rule: **what is in the lane and what the engine has are never under way at once.**
//! While the engine has anything, all goes to the engine; and it is handed nothing while anything is
//! in the lane, which is one round trip. So nobody finds a transaction half done, and what the
//! engine knows of a key is not out of date.
//!
//! Where a connection is lost, who only reads is answered by the engine, which tries again; a write
//! may or may not have been done then, or be done yet, and is answered so. What the backend has to
//! know of, such as that the server is no primary any more, the engine finds out for itself.
//!
//! Here is the bookkeeping; the loop's side of it is in [the module above](super).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::chunk::{Chunk, Done};
use super::gauges::Gauges;
use super::line::Line;
use crate::backend::FastPath;
use crate::backend::fast_path::{Asked, Connections, NoReply, Said};
use crate::config::Limits;
use crate::exec::Origin;
use crate::exec::plain::{self, Form, Manner};
use crate::exec::redis::plain::WORDS;
use crate::master::way::wake;
use crate::net::{ConnectionId, Reactor, Waker};
use crate::protocol::resp::Args;
use crate::time::Millis;

/// Bytes to be sent on a connection above which nothing more enters.
const MOST_SENT: usize = 4 << 20;
/// Bytes on a connection, there and back, above which another one is better.
const FILL: usize = 32 << 10;
/// Memory for replies that is kept: how much, and how often.
const KEPT: usize = 256 << 10;
const SPARE: usize = 64;
/// Bytes of values, about, that are asked for at once.
const MOST_ASKED: usize = 16 << 20;
/// What a value is taken to have before any was seen.
const VALUE: usize = 16 << 10;

/// Plain requests on their way to the server and back.
pub(super) struct Lane {
    waker: Waker,
    path: Option<Arc<dyn FastPath>>,
    /// The engine has nothing to say against it.
    is_open: bool,
    /// The connections to the server, and their number.
    tracks: Vec<Track>,
    number: u64,
    /// They are of no use any more.
    is_broken: bool,
    /// Those that are back.
    back: VecDeque<Trip>,
    /// Bytes of a value, as the largest of the last were.
    value_len: usize,
    /// Memory for replies.
    spare: Vec<Vec<u8>>,
}

/// A connection to the server.
struct Track {
    id: ConnectionId,
    /// To be sent.
    out: Vec<u8>,
    /// What the server is to answer, in order.
    steps: VecDeque<Step>,
    /// What these are of.
    trips: VecDeque<Trip>,
    /// Bytes of requests that were sent and are not all answered.
    sent: usize,
    /// Values that the server is to give.
    values: usize,
}

/// The requests of one chunk.
pub(super) struct Trip {
    pub(super) id: ConnectionId,
    pub(super) chunk: Arc<Chunk>,
    /// What came of it so far. Without a manner, the rest of it is the engine's.
    pub(super) done: Done,
    /// It waits for the server until then.
    until: Millis,
    /// What was not answered may have been done.
    pub(super) is_doubtful: bool,
    /// How many of its requests are not answered.
    left: usize,
    /// Bytes that it had on the way to the server.
    sent: usize,
}

/// One request.
struct Step {
    asked: Asked,
    form: Form,
    /// Bytes of it in the chunk.
    len: usize,
}

impl Track {
    fn new(id: ConnectionId) -> Self {
        Self {
            id,
            out: Vec::new(),
            steps: VecDeque::new(),
            trips: VecDeque::new(),
            sent: 0,
            values: 0,
        }
    }
}

impl Lane {
    /// Closed until the engine opens it. `waker` is the loop's.
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            waker,
            path: None,
            is_open: false,
            tracks: Vec::new(),
            number: 0,
            is_broken: false,
            back: VecDeque::new(),
            value_len: VALUE,
            spare: Vec::new(),
        }
    }

    /// What the engine says of it.
    pub(super) fn hear(&mut self, path: Option<Arc<dyn FastPath>>) {
        self.is_open = path.is_some();
        if let (None, Some(path)) = (&self.path, path) {
            let waker = self.waker.clone();
            path.wake_with(Arc::new(move || wake(&waker)));
            self.path = Some(path);
        }
    }

    /// How many chunks are in it.
    pub(super) fn len(&self) -> usize {
        let under_way = self.tracks.iter().map(|track| track.trips.len());
        self.back.len() + under_way.sum::<usize>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is one of its connections to the server.
    pub(super) fn is_server(&self, id: ConnectionId) -> bool {
        self.tracks.iter().any(|track| track.id == id)
    }

    /// Takes a chunk, if all of its requests are plain. Whether it did.
    pub(super) fn take(
        &mut self,
        now: Millis,
        (id, chunk): (ConnectionId, &Arc<Chunk>),
        manner: &Manner,
        (limits, args): (&Limits, &mut Args),
        gauges: &Gauges,
    ) -> bool {
        let values = self.tracks.iter().map(|track| track.values).sum::<usize>();
        let value_len = self.value_len;
        let (Some(path), true) = (&self.path, self.is_open && !self.is_broken) else {
            return false;
        };
        // One after the other gets its fill: the more is read and written at once, the better, until
        // it is more than a socket takes.
        let load = |track: &Track| match track.sent + track.values * value_len {
            ..=FILL => 0,
            more => more,
        };
        let track = self.tracks.iter_mut().min_by_key(|track| load(track));
        let Some(track) = track.filter(|track| track.sent <= MOST_SENT) else {
            return false;
        };
        if !path.is_current(self.number) {
            return false;
        }
        let (bytes, steps) = (track.out.len(), track.steps.len());
        let (mut rest, mut asked, mut last) = (&chunk.bytes[..], 0, None);
        let mut words = [0; WORDS];
        while !rest.is_empty() {
            let version = |value: &[u8]| path.version(value);
            let Some(first) = plain::first(manner, rest, args, limits, version) else {
                break;
            };
            let step = Step {
                asked: path.ask(&first.plain, &mut track.out),
                form: first.form,
                len: first.len,
            };
            asked += usize::from(step.is_of_value());
            track.steps.push_back(step);
            if let Some(word) = first.word {
                words[word.place()] += 1;
                last = first.word;
            }
            rest = &rest[first.len..];
        }
        let is_much = (values + asked).saturating_mul(value_len) > MOST_ASKED;
        if !rest.is_empty() || is_much || !chunk.begin() {
            track.out.truncate(bytes);
            track.steps.truncate(steps);
            return false;
        }
        let sent = track.out.len() - bytes;
        let left = track.steps.len() - steps;
        track.sent += sent;
        track.values += asked;
        track.trips.push_back(Trip {
            id,
            chunk: Arc::clone(chunk),
            done: Done {
                out: self.spare.pop().unwrap_or_default(),
                is_open: true,
                manner: Some(manner.clone()),
                ..Done::default()
            },
            until: now.after(path.timeout()),
            is_doubtful: false,
            left,
            sent,
        });
        gauges.fast.fetch_add(left as u64, Ordering::Relaxed);
        for (gauge, count) in gauges.plain.iter().zip(words).filter(|(_, n)| *n > 0) {
            gauge.fetch_add(count, Ordering::Relaxed);
        }
        if let (Manner::Redis { seen, .. }, Some(word)) = (manner, last) {
            seen.note(now, word);
        }
        true
    }

    /// Takes what the server says at the front of these bytes: how many of them that is.
    pub(super) fn read(&mut self, id: ConnectionId, bytes: &[u8]) -> usize {
        let read = self.read_all(id, bytes);
        self.is_broken |= read.is_err();
        read.unwrap_or(bytes.len())
    }

    fn read_all(&mut self, id: ConnectionId, bytes: &[u8]) -> Result<usize, NoReply> {
        let track = self.tracks.iter_mut().find(|track| track.id == id);
        let (Some(path), Some(track)) = (&self.path, track) else {
            return Err(NoReply);
        };
        let mut used = 0;
        while let (Some(step), Some(trip)) = (track.steps.front(), track.trips.front_mut()) {
            let Some((len, said)) = path.read(step.asked, &bytes[used..])? else {
                return Ok(used);
            };
            used += len;
            if step.is_of_value() {
                track.values -= 1;
                let value = match said {
                    Said::Value(Some(value)) => value.len(),
                    Said::Entry(Some(found)) => found.value.len(),
                    _ => 0,
                };
                // Forgets slowly: a few large ones among many are what matters.
                self.value_len = value.max(self.value_len - self.value_len / 64);
            }
            let done = &mut trip.done;
            if done.manner.is_some() && plain::answer(step.form, &said, &mut done.out) {
                done.used += step.len;
            } else {
                done.manner = None;
            }
            trip.left -= 1;
            track.steps.pop_front();
            if trip.left == 0 {
                track.sent -= trip.sent;
                self.back.extend(track.trips.pop_front());
            }
        }
        // What was not asked for is nothing to go by.
        if used == bytes.len() {
            Ok(used)
        } else {
            Err(NoReply)
        }
    }

    /// Its connections are of no use any more.
    pub(super) fn fail(&mut self) {
        self.is_broken = true;
    }

    fn first_trips(&self) -> impl Iterator<Item = &Trip> {
        self.tracks.iter().filter_map(|track| track.trips.front())
    }

    /// When the server is late.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.first_trips().map(|trip| trip.until).min()
    }

    /// Whether the server is, and gives up its connections if so.
    pub(super) fn is_late(&mut self, now: Millis) -> bool {
        let is_over = |trip: &Trip| trip.until <= now || trip.chunk.is_given_up();
        let is_late = self.first_trips().any(is_over);
        if let (true, Some(path)) = (is_late, &self.path) {
            path.late(self.number);
        }
        is_late
    }

    /// One that is back, if any is.
    pub(super) fn take_back(&mut self) -> Option<Trip> {
        self.back.pop_front()
    }

    /// Keeps the memory of one that was answered.
    pub(super) fn recycle(&mut self, trip: Trip) {
        let mut out = trip.done.out;
        if out.capacity() <= KEPT && self.spare.len() < SPARE {
            out.clear();
            self.spare.push(out);
        }
    }

    /// Connects, where it can and is not connected, and leaves connections that are of no use any
    /// more. Gives those who are not back then.
    pub(super) fn renew(&mut self, reactor: &mut Reactor<Line>) -> Vec<Trip> {
        let Some(path) = &self.path else {
            return Vec::new();
        };
        let mut left = Vec::new();
        if !self.tracks.is_empty() {
            if !self.is_broken && path.is_current(self.number) {
                return left;
            }
            path.lost(self.number);
            for mut track in self.tracks.drain(..) {
                reactor.close(track.id);
                for mut trip in track.trips {
                    let mut steps = track.steps.drain(..trip.left);
                    trip.is_doubtful = !steps.all(|step| step.is_of_value());
                    drop(steps);
                    left.push(trip);
                }
            }
            self.is_broken = false;
        }
        if let Some(Connections { number, streams }) = path.take() {
            self.number = number;
            for stream in streams {
                // Its session is never looked at.
                match reactor.join(stream, Line::new(Origin::Path)) {
                    Ok(id) => self.tracks.push(Track::new(id)),
                    Err(error) => {
                        tracing::warn!(%error, "cannot watch a connection to the store's server");
                        path.lost(number);
                    }
                }
            }
        }
        left
    }

    /// Has the reactor send what is to be sent.
    pub(super) fn send(&mut self, reactor: &mut Reactor<Line>) {
        for track in &mut self.tracks {
            if !track.out.is_empty() {
                reactor.push(track.id, &track.out);
                track.out.clear();
                track.out.shrink_to(KEPT);
            }
        }
    }
}

impl Step {
    fn is_of_value(&self) -> bool {
        matches!(self.asked, Asked::Value | Asked::Entry)
    }
}
