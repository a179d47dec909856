//! What waits for a subscriber, from when it was published until it is sent or read.
//!
//! The hub posts, and has the only lock under which that is done. A connection's messages are sent
//! by the master's loop; a subscriber in this process waits for its own. What waits for one
//! connection is bounded: a client of Redis that leaves more unread is cut off by the loop, any other
//! subscriber loses messages, and is told where.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::Instant;

use super::hub::ClientId;
use crate::config::Limits;
use crate::protocol::codec;
use crate::time::Millis;

/// Bytes for any number of subscribers.
pub(crate) type Message = Arc<Vec<u8>>;

/// How a subscriber wants its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Resp2,
    Resp3,
    /// As deliveries of the native dialect, when they are asked for.
    Native,
}

/// How much waits for one connection, and how much may, in bytes.
///
/// Each of its subscribers has the same share, so that one that does not read takes nothing from the
/// others. A message that goes beyond a share is still kept; so that many of these are not too much,
/// there is a bound on all together, twice as high.
#[derive(Debug)]
pub(super) struct Room {
    used: AtomicUsize,
    subscribers: AtomicUsize,
    most: usize,
}

impl Room {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            subscribers: AtomicUsize::new(0),
            most,
        })
    }

    /// Whether a subscriber for whom so much waits already may have more.
    fn has_more(&self, own: usize) -> bool {
        let share = self.most / self.subscribers.load(Ordering::Relaxed).max(1);
        own <= share && self.used.load(Ordering::Relaxed) <= 2 * self.most
    }

    fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A request for messages that waits for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    /// The request's id.
    pub(super) request: u32,
    pub(super) until: Millis,
}

/// Some messages.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) messages: Vec<Message>,
    /// After them some were lost.
    pub(crate) missed: bool,
}

/// What waits for one subscriber.
#[derive(Debug)]
pub(super) struct Mailbox {
    /// Never that of another one.
    pub(super) number: u64,
    /// Whose connection it is.
    pub(super) owner: ClientId,
    room: Arc<Room>,
    /// To be asked without the lock, at each request of a connection.
    has_mail: AtomicBool,
    mail: Mutex<Mail>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Mail {
    form: Form,
    messages: VecDeque<Message>,
    bytes: usize,
    /// Messages were lost after those that wait.
    missed: bool,
    wait: Option<Wait>,
    /// The task that waits for them.
    task: Option<Waker>,
    /// The loop knows that there is something to send.
    is_listed: bool,
}

impl Mailbox {
    pub(super) fn new(number: u64, owner: ClientId, form: Form, room: Arc<Room>) -> Arc<Self> {
        let mail = Mail {
            form,
            messages: VecDeque::new(),
            bytes: 0,
            missed: false,
            wait: None,
            task: None,
            is_listed: false,
        };
        room.subscribers.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            number,
            owner,
            room,
            has_mail: AtomicBool::new(false),
            mail: Mutex::new(mail),
            arrived: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        // Nothing panics under it.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_form(&self, form: Form) {
        self.lock().form = form;
    }

    /// Has this wait for the subscriber, or notes that it is lost: `None` is a message that no reply
    /// could hold. Whether the loop is to be told, which it is not yet.
    pub(super) fn post(&self, encode: impl FnOnce(Form) -> Option<Message>) -> bool {
        let mut mail = self.lock();
        // After a loss nothing is kept until that was told: what is told in between is all there was.
        let is_kept = !mail.missed && self.room.has_more(mail.bytes);
        let form = mail.form;
        match is_kept.then(|| encode(form)).flatten() {
            Some(message) => {
                self.room.take(message.len());
                mail.bytes += message.len();
                mail.messages.push_back(message);
            }
            None => mail.missed = true,
        }
        self.has_mail.store(true, Ordering::Release);
        self.arrived.notify_all();
        if let Some(task) = mail.task.take() {
            task.wake();
        }
        let is_to_be_sent = mail.form != Form::Native || mail.wait.is_some();
        is_to_be_sent && !std::mem::replace(&mut mail.is_listed, true)
    }

    /// Whether there is anything to tell.
    pub(super) fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Acquire)
    }

    /// Takes everything that waits.
    pub(super) fn take_all(&self) -> Vec<Message> {
        self.take(&mut self.lock(), usize::MAX).messages
    }

    /// Takes what fits a reply.
    pub(super) fn take_page(&self) -> Batch {
        self.take(&mut self.lock(), Limits::PAGE)
    }

    fn take(&self, mail: &mut Mail, most: usize) -> Batch {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while bytes < most {
            let Some(message) = mail.messages.pop_front() else {
                break;
            };
            bytes += message.len();
            messages.push(message);
        }
        self.room.give(bytes);
        mail.bytes -= bytes;
        let is_empty = mail.messages.is_empty();
        self.has_mail.store(!is_empty, Ordering::Release);
        let missed = is_empty && std::mem::take(&mut mail.missed);
        Batch { messages, missed }
    }

    /// Waits in this thread for something to take, until the deadline.
    pub(super) fn wait(&self, deadline: Instant) -> Batch {
        let mut mail = self.lock();
        while mail.messages.is_empty() && !mail.missed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Batch::default();
            }
            let waited = self.arrived.wait_timeout(mail, left);
            mail = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.take(&mut mail, Limits::PAGE)
    }

    /// Takes what there is, or has the task woken when there is something.
    #[cfg(feature = "tokio")]
    pub(super) fn poll_take(&self, context: &Context<'_>) -> Poll<Batch> {
        let mut mail = self.lock();
        if mail.messages.is_empty() && !mail.missed {
            mail.task = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(self.take(&mut mail, Limits::PAGE))
    }

    /// The next message answers this request.
    pub(super) fn begin_wait(&self, wait: Wait) {
        self.lock().wait = Some(wait);
    }

    /// The request that waited is answered otherwise.
    pub(super) fn end_wait(&self) -> Option<Wait> {
        self.lock().wait.take()
    }

    /// The loop is to be told that a wait is over. Whether it is not told yet.
    pub(super) fn list(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_listed, true)
    }

    /// What is to be sent to the connection, and the wait that this ends.
    pub(super) fn outgoing(&self) -> (Vec<Message>, Option<Wait>) {
        let mut mail = self.lock();
        mail.is_listed = false;
        if mail.form != Form::Native {
            return (self.take(&mut mail, usize::MAX).messages, None);
        }
        let Some(wait) = mail.wait.take() else {
            return (Vec::new(), None);
        };
        let batch = self.take(&mut mail, Limits::PAGE);
        let mut frame = Vec::new();
        batch.write(&mut frame, wait.request);
        (vec![Arc::new(frame)], Some(wait))
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.take_all();
        self.room.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Batch {
    /// Appends the reply to the request with this id.
    pub(super) fn write(&self, out: &mut Vec<u8>, request: u32) {
        let deliveries = self.messages.iter().map(|message| message.as_slice());
        codec::write_messages(out, request, self.missed, deliveries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    fn mailbox(form: Form, most: usize) -> Arc<Mailbox> {
        Mailbox::new(1, ClientId(1), form, Room::new(most))
    }

    fn post(mailbox: &Mailbox, len: usize) -> bool {
        mailbox.post(|_| Some(Arc::new(vec![b'x'; len])))
    }

    #[test]
    fn what_does_not_fit_is_lost_until_that_was_told() {
        let mailbox = mailbox(Form::Native, 100);
        for _ in 0..5 {
            assert!(!post(&mailbox, 60), "nobody waits for it");
        }
        let batch = mailbox.take_page();
        assert_eq!((batch.messages.len(), batch.missed), (2, true));
        assert!(!mailbox.has_mail());
        post(&mailbox, 60);
        assert!(mailbox.has_mail());
        let batch = mailbox.take_page();
        assert_eq!((batch.messages.len(), batch.missed), (1, false));
        mailbox.post(|_| None);
        assert!(mailbox.take_page().missed, "it was too large");
    }

    #[test]
    fn a_loss_is_told_after_what_came_before_it() {
        let mailbox = mailbox(Form::Native, 3 * Limits::PAGE);
        for _ in 0..5 {
            post(&mailbox, Limits::PAGE);
        }
        for missed in [false, false, false, true] {
            let batch = mailbox.take_page();
            assert_eq!((batch.messages.len(), batch.missed), (1, missed));
        }
        assert!(mailbox.take_page().messages.is_empty());
    }

    #[test]
    fn those_of_one_connection_have_a_share_each_and_a_bound_together() {
        let room = Room::new(100);
        let one = |number| Mailbox::new(number, ClientId(1), Form::Native, Arc::clone(&room));
        let (slow, quick) = (one(1), one(2));
        for _ in 0..9 {
            post(&slow, 30);
            post(&quick, 30);
            assert!(!quick.take_page().missed);
        }
        let batch = slow.take_page();
        assert_eq!((batch.messages.len(), batch.missed), (2, true));
        post(&slow, 201);
        post(&quick, 1);
        assert!(quick.take_page().missed);
        drop(slow);
        for _ in 0..4 {
            post(&quick, 30);
        }
        let batch = quick.take_page();
        assert_eq!((batch.messages.len(), batch.missed), (4, false));
        assert_eq!(room.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_loop_is_told_once_and_only_of_what_it_can_send() {
        let (wait, redis) = (mailbox(Form::Native, 100), mailbox(Form::Resp2, 100));
        assert!(post(&redis, 1) && !post(&redis, 1));
        assert_eq!(redis.outgoing().0.len(), 2);
        assert!(post(&redis, 1));
        let until = Millis::from_unix(9);
        wait.begin_wait(Wait { request: 7, until });
        assert!(post(&wait, 1) && !post(&wait, 1));
        let (frames, ended) = wait.outgoing();
        assert_eq!(ended.map(|wait| wait.request), Some(7));
        assert_eq!(frames.len(), 1);
        assert!(!post(&wait, 1), "nobody waits any more");
        assert!(wait.outgoing().0.is_empty());
    }

    #[test]
    fn a_thread_is_woken_by_a_message_and_by_its_deadline() {
        let mailbox = mailbox(Form::Native, 100);
        let soon = Instant::now() + Duration::from_millis(5);
        assert!(mailbox.wait(soon).messages.is_empty());
        assert!(Instant::now() >= soon);
        let late = Instant::now() + Duration::from_secs(30);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| mailbox.wait(late));
            post(&mailbox, 1);
            assert_eq!(waiting.join().unwrap().messages.len(), 1);
        });
    }
}
