//! Who waits for which replies on a connection, and who may write and read next.
//!
//! Pure bookkeeping under one lock, held for nanoseconds and never over a system call. It knows
//! neither sockets nor clocks; `exchange` does the work.
//!
//! Writing and reading are each done by the one thread that took the buffer for it: `output` and
//! `input` are `None` while somebody has them. Whoever puts one back wakes one that waits for it,
//! and whoever is woken either takes it or leaves and wakes the next; so nobody waits for a buffer
//! that lies there.

use std::thread::Thread;

use super::error::Broken;
use super::input::Input;
use crate::protocol::frame::{self, Frame};

/// The shared state of a connection.
#[derive(Debug)]
pub(super) struct State {
    /// In the order in which they came; seldom more than there are threads.
    slots: Vec<Slot>,
    next_id: u32,
    /// For frames to be written.
    pub(super) output: Option<Vec<u8>>,
    /// For bytes that were read.
    pub(super) input: Option<Input>,
    /// Why nothing more may be sent.
    pub(super) broken: Option<Broken>,
    /// Nothing more will be read either.
    pub(super) is_over: bool,
}

/// A run of requests whose replies somebody waits for, or no longer waits for.
#[derive(Debug)]
struct Slot {
    first: u32,
    count: u32,
    /// Replies that came, but for those that the owner read itself while it is there.
    arrived: u32,
    /// Frames that others read for the owner.
    mail: Vec<u8>,
    /// The owner, where it sleeps, and what it waits for.
    asleep: Option<(Wants, Thread)>,
    /// The owner is gone; what comes for it is thrown away.
    is_abandoned: bool,
}

impl Slot {
    fn has(&self, id: u32) -> bool {
        id.wrapping_sub(self.first) < self.count
    }

    fn end(&self) -> u32 {
        self.first + self.count
    }
}

/// What a sleeping thread waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// To write.
    Output,
    /// A reply, or to read.
    Reply,
}

impl State {
    pub(super) fn new(input: Input) -> Self {
        Self {
            slots: Vec::new(),
            next_id: 1,
            output: Some(Vec::new()),
            input: Some(input),
            broken: None,
            is_over: false,
        }
    }

    /// Makes a slot for `count` requests; gives the first of their consecutive ids. Zero is no
    /// id: the master uses it for what concerns the whole connection.
    pub(super) fn enter(&mut self, count: u32) -> u32 {
        debug_assert!(count > 0, "an empty slot could not be told from the next");
        let mut first = self.next_id;
        loop {
            if first == 0 || first.checked_add(count).is_none() {
                first = 1;
            }
            let taken = |slot: &&Slot| first < slot.end() && slot.first < first + count;
            match self.slots.iter().find(taken) {
                Some(slot) => first = slot.end(),
                None => break,
            }
        }
        self.next_id = first + count;
        self.slots.push(Slot {
            first,
            count,
            arrived: 0,
            mail: Vec::new(),
            asleep: None,
            is_abandoned: false,
        });
        first
    }

    /// The owner goes. Replies that are still to come will be thrown away; there are none where
    /// nothing was sent.
    pub(super) fn leave(&mut self, first: u32, read_itself: u32, sent: Sent) {
        let Some(at) = self.slots.iter().position(|slot| slot.first == first) else {
            debug_assert!(false, "slot {first} left twice");
            return;
        };
        let slot = &mut self.slots[at];
        slot.arrived += read_itself;
        debug_assert!(slot.arrived <= slot.count, "{slot:?}");
        if sent == Sent::Nothing || slot.arrived == slot.count {
            self.slots.remove(at);
        } else {
            slot.is_abandoned = true;
            slot.mail = Vec::new();
            slot.asleep = None;
        }
    }

    /// Puts a reply into the slot that it belongs to. Gives the thread to be woken for it.
    ///
    /// # Errors
    /// [`Stray`] where nobody waits or waited for it.
    pub(super) fn deliver(&mut self, frame: Frame<'_>) -> Result<Option<Thread>, Stray> {
        let id = frame.header.id;
        let at = self.slots.iter().position(|slot| slot.has(id));
        let Some(at) = at.filter(|at| self.slots[*at].arrived < self.slots[*at].count) else {
            return Err(Stray(id));
        };
        let slot = &mut self.slots[at];
        slot.arrived += 1;
        if !slot.is_abandoned {
            frame::write(&mut slot.mail, frame.header.code, id, |out| {
                out.extend_from_slice(frame.body);
            });
            return Ok(slot.asleep.take().map(|(_, thread)| thread));
        }
        if slot.arrived == slot.count {
            self.slots.remove(at);
        }
        Ok(None)
    }

    /// Takes what others have read for the owner of a slot, who is awake.
    pub(super) fn take_mail(&mut self, first: u32) -> Vec<u8> {
        self.wake(first)
            .map(|slot| std::mem::take(&mut slot.mail))
            .unwrap_or_default()
    }

    /// Takes the buffer for writing for the owner of a slot, who is awake.
    pub(super) fn take_output(&mut self, first: u32) -> Option<Vec<u8>> {
        self.wake(first);
        self.output.take()
    }

    /// The owner is about to sleep; it looks again once it is woken.
    pub(super) fn sleep(&mut self, first: u32, wants: Wants) {
        if let Some(slot) = self.wake(first) {
            slot.asleep = Some((wants, std::thread::current()));
        }
    }

    /// The threads to be woken after a buffer was put back: one for each that lies there. The
    /// youngest reads, since it has most to wait for and so hands over least often.
    pub(super) fn next_up(&mut self) -> [Option<Thread>; 2] {
        let mut wake = |wants| {
            let is_it = |slot: &&mut Slot| matches!(slot.asleep, Some((w, _)) if w == wants);
            let slot = match wants {
                Wants::Output => self.slots.iter_mut().find(is_it),
                Wants::Reply => self.slots.iter_mut().rev().find(is_it),
            };
            slot.and_then(|slot| slot.asleep.take())
                .map(|(_, thread)| thread)
        };
        [
            self.output.is_some().then(|| wake(Wants::Output)).flatten(),
            self.input.is_some().then(|| wake(Wants::Reply)).flatten(),
        ]
    }

    /// Nothing more may be sent; the first reason counts.
    pub(super) fn refuse(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    /// Nothing more may be sent and nothing more will be read. Gives everybody who is to be told.
    pub(super) fn end(&mut self, broken: Broken) -> Vec<Thread> {
        self.refuse(broken);
        self.is_over = true;
        let sleepers = self.slots.iter_mut().filter_map(|slot| slot.asleep.take());
        sleepers.map(|(_, thread)| thread).collect()
    }

    /// A sleeper may wake by itself; left listed, it would be woken in place of one who sleeps.
    fn wake(&mut self, first: u32) -> Option<&mut Slot> {
        let slot = self.slots.iter_mut().find(|slot| slot.first == first)?;
        slot.asleep = None;
        Some(slot)
    }
}

/// How much of a slot's requests went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Not a byte.
    Nothing,
    /// A part or all.
    Some,
}

/// A reply that belongs to no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stray(pub(super) u32);

impl From<Stray> for Broken {
    fn from(Stray(id): Stray) -> Self {
        Self::Protocol(format!(
            "the master answered request {id}, which waits for no answer"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Header;

    fn state() -> State {
        State::new(Input::new(1 << 10))
    }

    fn reply(id: u32) -> Frame<'static> {
        Frame {
            header: Header { code: 0x82, id },
            body: b"",
        }
    }

    #[test]
    fn a_reply_is_taken_once_and_only_if_it_was_asked_for() {
        let mut state = state();
        let first = state.enter(2);
        assert_eq!(state.deliver(reply(first + 2)).unwrap_err(), Stray(3));
        assert_eq!(state.deliver(reply(0)).unwrap_err(), Stray(0));
        assert!(state.deliver(reply(first)).unwrap().is_none());
        assert!(state.deliver(reply(first + 1)).unwrap().is_none());
        assert_eq!(state.deliver(reply(first)).unwrap_err(), Stray(first));
        assert_eq!(state.take_mail(first).len(), 2 * frame::HEADER_LEN);
        state.leave(first, 0, Sent::Some);
        assert!(state.slots.is_empty());
    }

    #[test]
    fn an_abandoned_slot_stays_until_its_last_reply_came() {
        let mut state = state();
        let first = state.enter(3);
        state.leave(first, 1, Sent::Some);
        state.deliver(reply(first + 1)).unwrap();
        assert_eq!(state.slots.len(), 1);
        state.deliver(reply(first + 2)).unwrap();
        assert!(state.slots.is_empty());
        assert_eq!(
            state.deliver(reply(first + 2)).unwrap_err(),
            Stray(first + 2)
        );
    }

    #[test]
    fn what_was_never_sent_leaves_nothing_behind() {
        let mut state = state();
        let first = state.enter(3);
        state.leave(first, 0, Sent::Nothing);
        assert!(state.slots.is_empty());
    }

    #[test]
    fn ids_wrap_around_without_zero_and_without_those_in_use() {
        let mut state = state();
        let old = state.enter(5);
        assert_eq!(old, 1);
        state.next_id = u32::MAX - 2;
        assert_eq!(state.enter(2), u32::MAX - 2);
        assert_eq!(
            state.enter(1),
            6,
            "the last id is not used, 1 to 5 are taken"
        );
        state.leave(old, 5, Sent::Some);
        state.next_id = u32::MAX;
        assert_eq!(state.enter(5), 1);
        assert_eq!(state.enter(5), 7);
    }

    #[test]
    fn who_woke_by_itself_is_not_woken_in_place_of_another() {
        let mut state = state();
        let output = state.output.take();
        let (a, b) = (state.enter(1), state.enter(1));
        state.sleep(a, Wants::Output);
        state.sleep(b, Wants::Output);
        state.output = output;
        state.output = state.take_output(a);
        assert!(matches!(state.next_up(), [Some(_), None]));
        assert!(state.slots[1].asleep.is_none(), "it was the second");
    }

    #[test]
    fn one_thread_is_woken_for_each_free_buffer() {
        let mut state = state();
        let output = state.output.take();
        let (a, b, c) = (state.enter(1), state.enter(1), state.enter(1));
        state.sleep(a, Wants::Output);
        state.sleep(b, Wants::Reply);
        state.sleep(c, Wants::Reply);
        assert!(matches!(state.next_up(), [None, Some(_)]));
        assert!(state.slots[1].asleep.is_some(), "the youngest goes first");
        state.output = output;
        state.input = None;
        assert!(matches!(state.next_up(), [Some(_), None]));
        assert_eq!(state.end(Broken::Closed).len(), 1);
        assert_eq!((state.broken, state.is_over), (Some(Broken::Closed), true));
    }
}
