//! The number that mio gives back with an event, and what it names.
//!
//! A connection's token is its generation (upper bits) and the index of its slot (lower bits), so
//! that an event of a connection that is gone names nobody. Generation zero is never a
//! connection's; its tokens name the reactor's own sources. Pure; used by the reactor.

use std::fmt;

use mio::Token;

use super::lobby::PLACES;

/// How the bits of a word are shared. The generation has the bits that the index leaves.
#[derive(Clone, Copy)]
struct Layout {
    index_bits: u32,
    generation_bits: u32,
}

impl Layout {
    /// Half and half; a million connections and 4,095 generations where a word has 32 bits.
    const fn of_word(bits: u32) -> Self {
        let index_bits = if bits >= 64 { 32 } else { 20 };
        let generation_bits = if bits >= 64 { 32 } else { bits - index_bits };
        Self {
            index_bits,
            generation_bits,
        }
    }

    const fn max_index(self) -> u64 {
        (1 << self.index_bits) - 1
    }

    const fn max_generation(self) -> u64 {
        (1 << self.generation_bits) - 1
    }

    fn pack(self, generation: u32, index: u32) -> u64 {
        let (generation, index) = (u64::from(generation), u64::from(index));
        debug_assert!(generation <= self.max_generation() && index <= self.max_index());
        generation << self.index_bits | index
    }

    fn unpack(self, word: u64) -> (u32, u32) {
        let half = |bits: u64| u32::try_from(bits).expect("a half has at most 32 bits");
        (
            half(word >> self.index_bits & self.max_generation()),
            half(word & self.max_index()),
        )
    }
}

const LAYOUT: Layout = Layout::of_word(usize::BITS);

/// Names one connection, also after it is gone: no other connection is named the same until its
/// slot was used as many times as there are generations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionId {
    generation: u32,
    index: u32,
}

impl ConnectionId {
    /// The first connection in the slot `index`; `None` where a token cannot hold so large an
    /// index.
    pub(super) fn first(index: usize) -> Option<Self> {
        let index = u32::try_from(index).ok()?;
        (u64::from(index) <= LAYOUT.max_index()).then_some(Self {
            generation: 1,
            index,
        })
    }

    /// The next connection in the same slot.
    pub(super) fn next(self) -> Self {
        let last = u64::from(self.generation) == LAYOUT.max_generation();
        Self {
            generation: if last { 1 } else { self.generation + 1 },
            index: self.index,
        }
    }

    /// The slot.
    pub(super) fn index(self) -> usize {
        usize::try_from(self.index).expect("an index fits in a token and so in a word")
    }

    pub(super) fn token(self) -> Token {
        Source::Connection(self).token()
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// What a token names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// Another thread wants the loop to turn.
    Waker,
    /// The pipe that signals wake the loop through.
    Signals,
    /// The timer.
    Alarm,
    /// The peer that is refused, in this place.
    Lobby(u32),
    /// The listener with this number.
    Listener(u32),
    Connection(ConnectionId),
}

impl Source {
    const LOBBY: u32 = 3;
    const FIRST_LISTENER: u32 = Self::LOBBY + PLACES;

    pub(super) fn token(self) -> Token {
        let (generation, index) = match self {
            Self::Waker => (0, 0),
            Self::Signals => (0, 1),
            Self::Alarm => (0, 2),
            Self::Lobby(place) => (0, Self::LOBBY + place),
            Self::Listener(number) => (0, Self::FIRST_LISTENER + number),
            Self::Connection(id) => (id.generation, id.index),
        };
        let word = LAYOUT.pack(generation, index);
        Token(usize::try_from(word).expect("the layout is made for this word"))
    }

    pub(super) fn of(token: Token) -> Self {
        match LAYOUT.unpack(token.0 as u64) {
            (0, 0) => Self::Waker,
            (0, 1) => Self::Signals,
            (0, 2) => Self::Alarm,
            (0, index) if index < Self::FIRST_LISTENER => Self::Lobby(index - Self::LOBBY),
            (0, index) => Self::Listener(index - Self::FIRST_LISTENER),
            (generation, index) => Self::Connection(ConnectionId { generation, index }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_source_comes_back_from_its_token() {
        let id = ConnectionId::first(7).unwrap();
        for source in [
            Source::Waker,
            Source::Signals,
            Source::Alarm,
            Source::Lobby(0),
            Source::Lobby(PLACES - 1),
            Source::Listener(0),
            Source::Listener(3),
            Source::Connection(id),
            Source::Connection(id.next()),
        ] {
            assert_eq!(Source::of(source.token()), source);
        }
    }

    #[test]
    fn generations_go_round_without_zero() {
        let last = ConnectionId {
            generation: u32::try_from(LAYOUT.max_generation()).unwrap(),
            index: 5,
        };
        assert_eq!(last.next(), ConnectionId::first(5).unwrap());
    }

    #[test]
    fn an_index_that_no_token_can_hold_is_refused() {
        let beyond = usize::try_from(LAYOUT.max_index() + 1);
        assert!(beyond.map_or(true, |index| ConnectionId::first(index).is_none()));
    }

    proptest! {
        #[test]
        fn words_of_every_width_keep_both_halves(
            wide in any::<bool>(),
            generation in any::<u32>(),
            index in any::<u32>(),
        ) {
            let bits = if wide { 64 } else { 32 };
            let layout = Layout::of_word(bits);
            let generation = generation & u32::try_from(layout.max_generation()).unwrap();
            let index = index & u32::try_from(layout.max_index()).unwrap();
            let word = layout.pack(generation, index);
            prop_assert!(bits == 64 || u32::try_from(word).is_ok());
            prop_assert_eq!(layout.unpack(word), (generation, index));
        }
    }
}
