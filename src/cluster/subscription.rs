//! Messages as a program receives them, in every role.
//!
//! In the process with the store a thread waits for its messages itself. Elsewhere it asks the master
//! for them, over the connection that its handle has anyway, and the master answers when there are
//! some: a subscriber that does not ask is not sent anything, and fills no socket that others need.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link::{Link, LocalSubscriber};
use super::replies::{self, unexpected};
use super::store::Store;
use crate::client::{self, CallError, Connection};
use crate::error::{Error, Result};
use crate::exec::Batch;
use crate::protocol::message::{Delivery, Messages, Subscribe, Topic};
use crate::protocol::{Reply, Request, codec};

/// How long one request waits for a message: then it is known again that the master is there.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(10);

pub(super) const TOO_SLOW: &str = "more waited for the subscriber than the master keeps";
pub(super) const RECONNECTED: &str = "the connection to the master was lost, and made anew";
pub(super) const UNANSWERED: &str = "the master did not answer in time";

/// A message that somebody published.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The channel that it was published to.
    pub channel: Vec<u8>,
    /// The pattern that the channel matches, where that was subscribed to.
    pub pattern: Option<Vec<u8>>,
    /// What was published.
    pub payload: Vec<u8>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("channel", &self.channel.escape_ascii().to_string())
            .field("payload", &self.payload.escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}

impl From<Delivery<'_>> for Message {
    fn from(delivery: Delivery<'_>) -> Self {
        Self {
            channel: delivery.channel.into_owned(),
            pattern: delivery.pattern.map(Cow::into_owned),
            payload: delivery.message.into_owned(),
        }
    }
}

/// Messages of some channels, from [`Store::subscribe`] until this is dropped.
///
/// As an iterator it waits for each message. A message comes once for each name that it fits, in the
/// order in which they were published. What is published while nobody asks waits, up to the bound on
/// a connection's output ([`Limits::hard_cap`](crate::config::Limits::hard_cap)), of which each
/// subscription of a process has the same share; beyond that, and while a lost connection is made
/// anew, messages are lost, which is told by an [`Error::Missed`] at the place where they are missing. After it, and after [`Error::Timeout`], the subscription goes on;
/// other errors end the iterator, and to receive once more tries again.
///
/// A forked child must make its own.
pub struct Subscription {
    store: Store,
    names: Names,
    source: Source,
    ready: VecDeque<Message>,
    /// What to tell when nothing is ready any more.
    missed: Option<&'static str>,
    is_over: bool,
}

/// What is subscribed to, and whether that is a pattern.
pub(super) type Names = Vec<(bool, Vec<u8>)>;

/// Where the messages are.
enum Source {
    Here(LocalSubscriber),
    /// At a master, by this number.
    There(Arc<Link>, u64),
}

impl Store {
    /// Begins to receive what is [published](Self::publish) to these channels, by whoever uses the
    /// store in whatever role and dialect.
    ///
    /// ```
    /// use std::time::Duration;
    /// use memstore_cluster::testing::TestMaster;
    ///
    /// let master = TestMaster::start()?;
    /// let (one, other) = (master.worker(0)?, master.worker(1)?);
    /// let mut news = one.subscribe(&["news", "weather"])?;
    /// assert_eq!(other.publish("news", "hello")?, 1);
    /// let message = news.next().expect("it goes on for ever")?;
    /// assert_eq!((message.channel, message.payload), (b"news".into(), b"hello".into()));
    /// assert_eq!(news.receive(Duration::from_millis(1))?, None);
    /// # Ok::<(), memstore_cluster::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Protocol`] if these are too many for a connection.
    pub fn subscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<Subscription> {
        Subscription::open(self, names(false, channels))
    }

    /// As [`subscribe`](Self::subscribe), to all channels that match one of these patterns: `*` is any
    /// text, `?` any byte, `[a-c]` one of these, as in Redis.
    pub fn subscribe_matching(&self, patterns: &[impl AsRef<[u8]>]) -> Result<Subscription> {
        Subscription::open(self, names(true, patterns))
    }
}

pub(super) fn names(is_pattern: bool, names: &[impl AsRef<[u8]>]) -> Names {
    let owned = |name: &_| (is_pattern, AsRef::<[u8]>::as_ref(name).to_vec());
    names.iter().map(owned).collect()
}

/// The same as a request has them.
pub(super) fn topics(names: &Names) -> Vec<Topic<'_>> {
    let names = names.iter();
    names
        .map(|&(is_pattern, ref name)| Topic { is_pattern, name })
        .collect()
}

impl Subscription {
    fn open(store: &Store, names: Names) -> Result<Self> {
        let deadline = client::after(Instant::now(), store.timeout());
        let link = store.links().current();
        Ok(Self {
            store: store.clone(),
            source: subscribe(store, link, &names, deadline)?,
            names,
            ready: VecDeque::new(),
            missed: None,
            is_over: false,
        })
    }

    /// The next message, waited for as long as this; `None` if there was none.
    ///
    /// # Errors
    /// [`Error::Missed`] where messages are missing; [`Error::Timeout`] if the master does not answer;
    /// what a call of the handle returns where there is no master any more.
    pub fn receive(&mut self, timeout: Duration) -> Result<Option<Message>> {
        let deadline = client::after(Instant::now(), timeout);
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            if let Some(why) = self.missed.take() {
                return Err(Error::Missed(why));
            }
            let is_over = Instant::now() >= deadline;
            self.fill(deadline)?;
            if is_over && self.ready.is_empty() && self.missed.is_none() {
                return Ok(None);
            }
        }
    }

    /// Waits for messages, at the most until then and for [`LONGEST_WAIT`].
    fn fill(&mut self, deadline: Instant) -> Result<()> {
        let link = match &self.source {
            Source::Here(subscriber) => {
                let batch = subscriber.wait(deadline);
                self.missed = batch.missed.then_some(TOO_SLOW);
                self.ready.extend(read(&batch)?);
                return Ok(());
            }
            Source::There(link, subscription) => {
                let Link::Remote(connection) = &**link else {
                    unreachable!("what is at a master is reached by a connection");
                };
                match ask(connection, *subscription, deadline, self.store.timeout()) {
                    Ok((messages, missed)) => {
                        self.ready.extend(messages);
                        self.missed = missed.then_some(TOO_SLOW);
                        return Ok(());
                    }
                    Err(CallError::Failed(error)) => {
                        // What it answers later is thrown away.
                        if matches!(error, Error::Timeout { .. }) {
                            self.missed = Some(UNANSWERED);
                        }
                        return Err(error);
                    }
                    Err(CallError::NotSent(_) | CallError::Lost(_)) => Arc::clone(link),
                }
            }
        };
        let until = client::after(Instant::now(), self.store.timeout());
        let link = self.store.links().relink(&link, until)?;
        self.source = subscribe(&self.store, link, &self.names, until)?;
        self.missed = Some(RECONNECTED);
        Ok(())
    }
}

/// Subscribes by this link, or by what takes its place where it is dead.
fn subscribe(
    store: &Store,
    mut link: Arc<Link>,
    names: &Names,
    deadline: Instant,
) -> Result<Source> {
    let topics = topics(names);
    loop {
        let connection = match &*link {
            Link::Local(local) => return local.subscribe(&topics).map(Source::Here),
            Link::Remote(connection) => connection,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let topics = topics.clone();
        let request = Request::Subscribe(Subscribe { topics });
        match connection.call(&request, left, replies::subscribed) {
            Ok(subscription) => return Ok(Source::There(link, subscription)),
            Err(CallError::Failed(error)) => return Err(error),
            // A subscription ends with its connection, so nothing is left of one that was made.
            Err(CallError::NotSent(_) | CallError::Lost(_)) => {
                link = store.links().relink(&link, deadline)?;
            }
        }
    }
}

/// Asks the master for messages, and whether some were lost after them.
fn ask(
    connection: &Connection,
    subscription: u64,
    deadline: Instant,
    timeout: Duration,
) -> Result<(Vec<Message>, bool), CallError> {
    let (request, wait) = question(subscription, deadline);
    connection.call(&request, wait.saturating_add(timeout), messages)
}

/// The request for messages until then, and how long it waits for them.
pub(super) fn question(subscription: u64, deadline: Instant) -> (Request<'static>, Duration) {
    let left = deadline.saturating_duration_since(Instant::now());
    let wait = left.min(LONGEST_WAIT);
    // Rounded up, so that the last moment is not asked for again and again.
    let wait_ms = u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
    let request = Request::Receive {
        subscription,
        wait_ms,
    };
    (request, wait)
}

/// The messages of a reply, and whether some were lost after them.
pub(super) fn messages(reply: Reply<'_>) -> Result<(Vec<Message>, bool)> {
    match reply {
        Reply::Messages(Messages { missed, messages }) => {
            Ok((messages.into_iter().map(Message::from).collect(), missed))
        }
        other => Err(unexpected(&other)),
    }
}

/// What has come to a subscriber in this process.
pub(super) fn read(batch: &Batch) -> Result<Vec<Message>> {
    let read = |message: &Arc<Vec<u8>>| {
        let delivery = codec::read_delivery(message);
        delivery.map(Message::from).ok_or_else(damaged)
    };
    batch.messages.iter().map(read).collect()
}

fn damaged() -> Error {
    Error::Protocol("a message does not decode".to_owned())
}

/// Waits for each message; see [`Subscription`].
impl Iterator for Subscription {
    type Item = Result<Message>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            match self.receive(LONGEST_WAIT) {
                Ok(None) => {}
                Ok(Some(message)) => return Some(Ok(message)),
                Err(error) => {
                    self.is_over = !matches!(error, Error::Missed(_) | Error::Timeout { .. });
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Source::There(link, subscription) = &self.source else {
            return;
        };
        let (Link::Remote(connection), subscription) = (&**link, *subscription) else {
            return;
        };
        // Where this fails the connection is at its end, and the subscription with it.
        let request = Request::Unsubscribe { subscription };
        let _ = connection.call(&request, self.store.timeout(), |_| Ok(()));
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("names", &shown(&self.names))
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}

pub(super) fn shown(names: &Names) -> Vec<String> {
    let shown = |(_, name): &(bool, Vec<u8>)| name.escape_ascii().to_string();
    names.iter().map(shown).collect()
}
