//! Peers that are not let in, until they have said something.
//!
//! What a refused peer is told has to be in the dialect that it speaks, which its first bytes show.
//! So it is waited for, for a moment and in a bounded number. Those who say nothing until then are
//! told all the same. Used by the reactor, which sees to the rest.

use std::time::Duration;

use mio::net::UnixStream;

use super::handler::Refusal;
use crate::time::Millis;

/// How many peers wait at most. Who has waited longest makes room.
pub(super) const PLACES: u32 = 16;
/// How long one waits at most.
const PATIENCE: Duration = Duration::from_secs(1);

/// A peer that is not let in.
pub(super) struct Unwelcome {
    pub(super) stream: UnixStream,
    pub(super) why: Refusal,
}

struct Waiting {
    peer: Unwelcome,
    until: Millis,
    /// It has said something, or is gone.
    ready: bool,
}

/// All that wait. Mostly nobody does, and the loop asks at every turn.
#[derive(Default)]
pub(super) struct Lobby {
    places: [Option<Waiting>; PLACES as usize],
    count: usize,
}

impl Lobby {
    /// A place that is free, or has to become so.
    pub(super) fn place(&self) -> u32 {
        let until = |place: &u32| {
            let waiting = self.places.get(*place as usize)?.as_ref()?;
            Some(waiting.until)
        };
        (0..PLACES).min_by_key(until).unwrap_or(0)
    }

    /// Has a peer wait in this place. Whoever was there has to leave.
    pub(super) fn enter(&mut self, place: u32, now: Millis, peer: Unwelcome) -> Option<Unwelcome> {
        let waiting = Waiting {
            peer,
            until: now.after(PATIENCE),
            ready: false,
        };
        let before = self.places[place as usize].replace(waiting);
        self.count += usize::from(before.is_none());
        before.map(|waiting| waiting.peer)
    }

    /// The peer in this place has said something, or an event of whoever was there before comes
    /// late.
    pub(super) fn ready(&mut self, place: u32) {
        if let Some(Some(waiting)) = self.places.get_mut(place as usize) {
            waiting.ready = true;
        }
    }

    /// Whether somebody has said something.
    pub(super) fn has_ready(&self) -> bool {
        self.waiting().any(|waiting| waiting.ready)
    }

    /// When the next one has waited long enough.
    pub(super) fn next(&self) -> Option<Millis> {
        self.waiting().map(|waiting| waiting.until).min()
    }

    /// One who need not wait any longer.
    pub(super) fn leave(&mut self, now: Millis) -> Option<Unwelcome> {
        if self.count == 0 {
            return None;
        }
        let is_done = |waiting: &mut Waiting| waiting.ready || waiting.until <= now;
        let mut places = self.places.iter_mut();
        let left = places.find_map(|place| place.take_if(is_done))?;
        self.count -= 1;
        Some(left.peer)
    }

    fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        let places = if self.count == 0 {
            &[]
        } else {
            self.places.as_slice()
        };
        places.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis::from_unix(1_000);

    fn peer(uid: u32) -> Unwelcome {
        Unwelcome {
            stream: UnixStream::pair().unwrap().0,
            why: Refusal::Stranger { uid },
        }
    }

    #[test]
    fn who_has_waited_longest_makes_room_and_nobody_waits_for_ever() {
        let mut lobby = Lobby::default();
        let mut left = Vec::new();
        for uid in 0..PLACES + 2 {
            let now = NOW.after_ms(uid.into());
            let place = lobby.place();
            left.extend(lobby.enter(place, now, peer(uid)));
        }
        lobby.ready(lobby.place());
        assert!(lobby.has_ready());
        left.extend(lobby.leave(NOW));
        assert!(!lobby.has_ready() && lobby.leave(NOW).is_none());
        assert_eq!(lobby.next(), Some(NOW.after(PATIENCE).after_ms(3)));
        let later = NOW.after(PATIENCE).after_ms(3);
        left.extend(std::iter::from_fn(|| lobby.leave(later)));
        let left: Vec<_> = left.iter().map(|peer| peer.why).collect();
        assert_eq!(left, [0, 1, 2, 3].map(|uid| Refusal::Stranger { uid }));
        let rest = std::iter::from_fn(|| lobby.leave(later.after(PATIENCE)));
        assert_eq!(rest.count(), PLACES as usize - 2);
        assert_eq!((lobby.next(), lobby.count), (None, 0));
    }
}
