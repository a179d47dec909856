//! Messages as a task receives them, in every role.
//!
//! What [`Subscription`](super::Subscription) is for threads: in the process with the store a task
//! is woken by its messages, elsewhere it asks the master for them. Whatever is dropped while it
//! waits, no message goes with it: the question that is under way stays with the subscription, and
//! so does the task that subscribes anew. At most one question is under way.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::async_links::{AsyncLink, AsyncLinks, finished};
use super::async_store::AsyncStore;
use super::link::LocalSubscriber;
use super::replies;
use super::subscription::{self, LONGEST_WAIT, Message, Names, RECONNECTED, TOO_SLOW, UNANSWERED};
use crate::client::{self, CallError, Multiplexed, Pending};
use crate::error::{Error, Result};
use crate::protocol::Request;
use crate::protocol::message::Subscribe;

/// Messages of some channels, from [`AsyncStore::subscribe`] until this is dropped.
///
/// It is what [`Subscription`](super::Subscription) is, under the same rules; but messages are
/// awaited, and whoever waits for one may be dropped at any time: none is lost by that.
pub struct AsyncSubscription {
    store: AsyncStore,
    names: Arc<Names>,
    source: Source,
    ready: VecDeque<Message>,
    /// What to tell when nothing is ready any more.
    missed: Option<&'static str>,
    is_over: bool,
}

/// Where the messages are.
enum Source {
    Here(LocalSubscriber),
    There(There),
    /// Nowhere, since this link was lost; the task makes another one.
    Lost(Arc<AsyncLink>, Option<JoinHandle<Result<Source>>>),
}

/// A subscription at a master.
struct There {
    link: Arc<AsyncLink>,
    number: u64,
    asked: Option<Asked>,
}

/// A question that is under way.
struct Asked {
    request: Request<'static>,
    pending: Pending,
    /// When the master answers that there is nothing.
    waits_until: Instant,
    /// When its answer is waited for no longer.
    until: Instant,
}

impl AsyncStore {
    /// Begins to receive what is [published](Self::publish) to these channels, by whoever uses the
    /// store in whatever role and dialect.
    ///
    /// ```
    /// use memstore_cluster::{Options, Standalone};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), memstore_cluster::Error> {
    /// let options = Options { standalone: Standalone::Always, ..Options::default() };
    /// let store = options.create_async().await?;
    /// let mut news = store.subscribe(&["news", "weather"]).await?;
    /// assert_eq!(store.publish("news", "hello").await?, 1);
    /// let message = news.next().await.expect("it goes on for ever")?;
    /// assert_eq!((message.channel, message.payload), (b"news".into(), b"hello".into()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Protocol`] if these are too many for a connection.
    pub async fn subscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<AsyncSubscription> {
        AsyncSubscription::open(self, subscription::names(false, channels)).await
    }

    /// As [`subscribe`](Self::subscribe), to all channels that match one of these patterns: `*` is any
    /// text, `?` any byte, `[a-c]` one of these, as in Redis.
    pub async fn subscribe_matching(
        &self,
        patterns: &[impl AsRef<[u8]>],
    ) -> Result<AsyncSubscription> {
        AsyncSubscription::open(self, subscription::names(true, patterns)).await
    }
}

impl AsyncSubscription {
    async fn open(store: &AsyncStore, names: Names) -> Result<Self> {
        let names = Arc::new(names);
        let opened = begin(store, &names, None);
        Ok(Self {
            store: store.clone(),
            source: finished(opened.await)?,
            names,
            ready: VecDeque::new(),
            missed: None,
            is_over: false,
        })
    }

    /// Waits for the next message; `None` where it is over, after an error that says why. It may be
    /// dropped before it is ready, and no message is lost.
    pub async fn next(&mut self) -> Option<Result<Message>> {
        while !self.is_over {
            match self.receive(LONGEST_WAIT).await {
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

    /// The next message, waited for as long as this; `None` if there was none. It may be dropped
    /// before it is ready, and no message is lost.
    ///
    /// # Errors
    /// [`Error::Missed`] where messages are missing; [`Error::Timeout`] if the master does not answer;
    /// what a call of the handle returns where there is no master any more.
    pub async fn receive(&mut self, timeout: Duration) -> Result<Option<Message>> {
        let deadline = client::after(Instant::now(), timeout);
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            if let Some(why) = self.missed.take() {
                return Err(Error::Missed(why));
            }
            let is_over = Instant::now() >= deadline;
            self.fill(deadline).await?;
            if is_over && self.ready.is_empty() && self.missed.is_none() {
                return Ok(None);
            }
        }
    }

    /// Waits for messages, at the most until then and for [`LONGEST_WAIT`].
    async fn fill(&mut self, deadline: Instant) -> Result<()> {
        let timeout = self.store.timeout();
        match &mut self.source {
            Source::Here(subscriber) => {
                let batch = std::future::poll_fn(|context| subscriber.poll_take(context));
                let batch = client::in_time(deadline, batch).await.unwrap_or_default();
                self.missed = batch.missed.then_some(TOO_SLOW);
                self.ready.extend(subscription::read(&batch)?);
                return Ok(());
            }
            Source::There(there) => match there.ask(deadline, timeout).await {
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
                Err(CallError::NotSent(_) | CallError::Lost(_)) => {
                    self.source = Source::Lost(Arc::clone(&there.link), None);
                }
            },
            Source::Lost(..) => {}
        }
        if let Source::Lost(dead, task) = &mut self.source {
            let begin = || begin(&self.store, &self.names, Some(Arc::clone(dead)));
            let made = task.get_or_insert_with(begin).await;
            *task = None;
            self.source = finished(made)?;
            self.missed = Some(RECONNECTED);
        }
        Ok(())
    }
}

/// Subscribes in a task of its own, so that whoever is dropped while it waits for that leaves no
/// subscription behind that nobody ends. By the link in force, or what takes the place of `dead`.
fn begin(
    store: &AsyncStore,
    names: &Arc<Names>,
    dead: Option<Arc<AsyncLink>>,
) -> JoinHandle<Result<Source>> {
    let deadline = client::after(Instant::now(), store.timeout());
    let (links, names) = (Arc::clone(store.links()), Arc::clone(names));
    tokio::spawn(async move { subscribe(&links, &names, dead, deadline).await })
}

async fn subscribe(
    links: &Arc<AsyncLinks>,
    names: &Names,
    mut dead: Option<Arc<AsyncLink>>,
    deadline: Instant,
) -> Result<Source> {
    loop {
        let link = match dead {
            None => links.current(),
            Some(dead) => links.relink(&dead, deadline).await?,
        };
        let topics = subscription::topics(names);
        let connection = match &*link {
            AsyncLink::Local(local) => return local.subscribe(&topics).map(Source::Here),
            AsyncLink::Remote(connection) => connection,
        };
        let request = Request::Subscribe(Subscribe { topics });
        let asked = connection.call(&request, deadline, replies::subscribed);
        match asked.await {
            Ok(number) => {
                return Ok(Source::There(There {
                    link,
                    number,
                    asked: None,
                }));
            }
            Err(CallError::Failed(error)) => return Err(error),
            // A subscription ends with its connection, so nothing is left of one that was made.
            Err(CallError::NotSent(_) | CallError::Lost(_)) => dead = Some(link),
        }
    }
}

impl There {
    fn connection(&self) -> &Arc<Multiplexed> {
        match &*self.link {
            AsyncLink::Remote(connection) => connection,
            AsyncLink::Local(_) => unreachable!("what is at a master is reached by a connection"),
        }
    }

    /// Asks for messages until then, and whether some were lost after them. Where a question of a
    /// call that was dropped is under way, that is what is waited for.
    async fn ask(
        &mut self,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<(Vec<Message>, bool), CallError> {
        let connection = Arc::clone(self.connection());
        let is_new = self.asked.is_none();
        if is_new {
            let (request, wait) = subscription::question(self.number, deadline);
            let now = Instant::now();
            let pending = connection.send(&request, client::after(now, timeout));
            self.asked = Some(Asked {
                pending: pending.await?,
                request,
                waits_until: client::after(now, wait),
                until: client::after(now, wait.saturating_add(timeout)),
            });
        }
        let asked = self.asked.as_mut().expect("it was asked just now");
        let is_long = !is_new && asked.waits_until > deadline;
        let until = if is_long { deadline } else { asked.until };
        let (pending, request) = (&mut asked.pending, &asked.request);
        let answer = connection.receive(pending, request, until, subscription::messages);
        match answer.await {
            Err(CallError::Failed(Error::Timeout { .. })) if is_long => Ok((Vec::new(), false)),
            answer => {
                self.asked = None;
                answer
            }
        }
    }
}

/// Ends the subscription, which its own connection would do otherwise.
impl Drop for There {
    fn drop(&mut self) {
        let subscription = self.number;
        self.connection()
            .tell(&Request::Unsubscribe { subscription });
    }
}

impl fmt::Debug for AsyncSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncSubscription")
            .field("names", &subscription::shown(&self.names))
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}
