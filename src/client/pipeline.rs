//! Many requests in as few writes as possible, and a typed answer to each.
//!
//! Requests are sent in batches of bounded size, each of which is answered before the next is
//! sent: so what a caller has in flight is bounded, while the wait between two batches is small
//! beside the work on one.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::connection::{Connection, after, halted};
use super::error::{Broken, CallError, check_limits, key_of, unexpected, value_of};
use super::exchange::{Cause, Encode, Halt, Sink};
use crate::contract::{Condition, Expiry, Seq};
use crate::error::{Error, Result};
use crate::protocol::message::{Entry, Item, Page, Set};
use crate::protocol::{Reply, Request, codec};

/// Bytes of requests in flight; one that is larger goes alone.
const BATCH: usize = 128 << 10;
/// What a request costs besides its key and its value, in bytes, at the most.
const REQUEST_OVERHEAD: usize = 64;

/// A reply that owns what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// To a ping.
    Pong,
    /// To a get: the entry, if there is one.
    Entry(Option<Entry<'static>>),
    /// To a set or a regenerate: the number of the write.
    Stored(Seq),
    /// To a touch, a destroy or a bury: whether there was a live entry. To a regenerate: there was
    /// none.
    Found(bool),
    /// To a clear.
    Cleared,
    /// To a length: the number of live entries.
    Length(u64),
    /// To an all: some entries, and where to go on.
    Page(Page<'static>),
}

impl Answer {
    /// The answer to `request` that a reply holds.
    ///
    /// # Errors
    /// [`Error::Conflict`] where a set's condition did not hold, [`Error::Protocol`] for a reply
    /// that is no answer to such a request.
    pub fn read(request: &Request<'_>, reply: Reply<'_>) -> Result<Self> {
        Ok(match (request, reply) {
            (Request::Ping, Reply::Pong) => Self::Pong,
            (Request::Get { .. }, Reply::Missing) => Self::Entry(None),
            (Request::Get { .. }, Reply::Entry(entry)) => Self::Entry(Some(Entry {
                seq: entry.seq,
                ttl_ms: entry.ttl_ms,
                value: Cow::Owned(entry.value.into_owned()),
            })),
            (Request::Set(_) | Request::Regenerate(_), Reply::Stored { seq }) => Self::Stored(seq),
            (Request::Regenerate(_), Reply::Missing) => Self::Found(false),
            (Request::Set(_) | Request::Regenerate(_), Reply::Conflict { found }) => {
                return Err(Error::Conflict { found });
            }
            (
                Request::Touch { .. } | Request::Destroy { .. } | Request::Bury { .. },
                found @ (Reply::Done | Reply::Missing),
            ) => Self::Found(found == Reply::Done),
            (Request::Clear, Reply::Done) => Self::Cleared,
            (Request::Length, Reply::Length(length)) => Self::Length(length),
            (Request::All { .. }, Reply::Page(page)) => Self::Page(Page {
                next: page.next,
                items: page.items.into_iter().map(owned).collect(),
            }),
            (request, reply) => return Err(unexpected(request, &reply)),
        })
    }
}

fn owned(item: Item<'_>) -> Item<'static> {
    Item {
        key: Cow::Owned(item.key.into_owned()),
        seq: item.seq,
        ttl_ms: item.ttl_ms,
        value: Cow::Owned(item.value.into_owned()),
    }
}

/// Requests to be sent together. They are done one by one, in order; other clients' requests may
/// come between them.
///
/// ```no_run
/// use memstore_cluster::client::{Connection, Pipeline};
/// use memstore_cluster::contract::{Condition, Expiry};
///
/// # fn example(connection: &Connection) {
/// let mut pipeline = Pipeline::new();
/// pipeline
///     .set(b"foo", b"bar", Expiry::AfterMs(60_000), Condition::Always)
///     .get(b"foo")
///     .length();
/// for answer in pipeline.run(connection, connection.timeout()) {
///     println!("{answer:?}");
/// }
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Pipeline<'a> {
    requests: Vec<Request<'a>>,
}

impl<'a> Pipeline<'a> {
    /// No requests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds: is anybody there?
    pub fn ping(&mut self) -> &mut Self {
        self.push(Request::Ping)
    }

    /// Adds: the entry with this key.
    pub fn get(&mut self, key: &'a [u8]) -> &mut Self {
        self.push(Request::Get { key })
    }

    /// Adds: write an entry, if the condition holds.
    pub fn set(
        &mut self,
        key: &'a [u8],
        value: &'a [u8],
        expiry: Expiry,
        condition: Condition,
    ) -> &mut Self {
        self.push(Request::Set(Set {
            expiry,
            condition,
            key,
            value,
        }))
    }

    /// Adds: move the deadline of an entry that exists.
    pub fn touch(&mut self, key: &'a [u8], expiry: Expiry) -> &mut Self {
        self.push(Request::Touch { key, expiry })
    }

    /// Adds: remove an entry.
    pub fn destroy(&mut self, key: &'a [u8]) -> &mut Self {
        self.push(Request::Destroy { key })
    }

    /// Adds: remove an entry, and for so many milliseconds refuse writes that know nothing of that.
    pub fn bury(&mut self, key: &'a [u8], tombstone_ms: u64) -> &mut Self {
        self.push(Request::Bury { key, tombstone_ms })
    }

    /// Adds: the number of live entries.
    pub fn length(&mut self) -> &mut Self {
        self.push(Request::Length)
    }

    /// Adds: remove everything.
    pub fn clear(&mut self) -> &mut Self {
        self.push(Request::Clear)
    }

    /// What was added, in order.
    pub fn requests(&self) -> &[Request<'a>] {
        &self.requests
    }

    /// Sends the requests and waits for all answers; `timeout` is for all together. One answer
    /// for each request, in their order; each may have failed by itself.
    pub fn run(
        &self,
        connection: &Connection,
        timeout: Duration,
    ) -> Vec<Result<Answer, CallError>> {
        let start = Instant::now();
        let run = Run {
            connection,
            start,
            deadline: after(start, timeout),
        };
        let mut answers = Vec::with_capacity(self.requests.len());
        let mut rest = self.requests.as_slice();
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_len(rest));
            run.batch(batch, &mut answers);
            rest = later;
        }
        answers
    }

    fn push(&mut self, request: Request<'a>) -> &mut Self {
        self.requests.push(request);
        self
    }
}

/// How many of the first requests make a batch; at least one.
fn batch_len(requests: &[Request<'_>]) -> usize {
    let mut bytes = 0;
    let fits = requests.iter().take_while(|request| {
        let key = key_of(request).map_or(0, <[u8]>::len);
        let value = value_of(request).map_or(0, <[u8]>::len);
        bytes += REQUEST_OVERHEAD + key + value;
        bytes <= BATCH
    });
    fits.count().max(1)
}

/// One run of a pipeline.
struct Run<'c> {
    connection: &'c Connection,
    start: Instant,
    deadline: Instant,
}

impl Run<'_> {
    /// Sends some requests, and appends an answer for each.
    fn batch(&self, requests: &[Request<'_>], answers: &mut Vec<Result<Answer, CallError>>) {
        let connection = self.connection;
        let checked = requests
            .iter()
            .map(|request| check_limits(request, connection.welcome()));
        let mut slots: Vec<Option<Result<Answer>>> =
            checked.map(|checked| checked.err().map(Err)).collect();
        let sent: Vec<usize> = (0..slots.len()).filter(|at| slots[*at].is_none()).collect();
        let mut ends = vec![0; slots.len()];
        let done = self.send(
            sent.len(),
            &mut |out, first| {
                for (id, at) in (first..).zip(&sent) {
                    codec::write_request(out, id, &requests[*at]);
                    ends[*at] = out.len();
                }
            },
            &mut |index, frame| {
                let at = sent[index as usize];
                if slots[at].is_some() {
                    let id = frame.header.id;
                    return Err(Broken::Protocol(format!(
                        "the master answered request {id} twice"
                    )));
                }
                let reply = connection.reply(&requests[at], frame, self.start);
                slots[at] = Some(reply.and_then(|reply| Answer::read(&requests[at], reply)));
                Ok(())
            },
        );
        answers.extend(
            slots
                .into_iter()
                .enumerate()
                .map(|(at, slot)| match (slot, &done) {
                    (Some(answer), _) => answer.map_err(CallError::Failed),
                    (None, Err(halt)) => Err(halted(halt, ends[at], &requests[at], self.start)),
                    (None, Ok(())) => unreachable!("the exchange gives a reply for each request"),
                }),
        );
    }

    fn send(&self, count: usize, encode: &mut Encode<'_>, sink: &mut Sink<'_>) -> Result<(), Halt> {
        if count == 0 {
            return Ok(());
        }
        if Instant::now() >= self.deadline {
            // The batch before took all the time.
            return Err(Halt {
                cause: Cause::TimedOut,
                written: 0,
            });
        }
        let count = u32::try_from(count).expect("a batch has far fewer requests");
        self.connection.run(count, self.deadline, encode, sink)
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
