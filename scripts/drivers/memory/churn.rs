//! The day of churn: which session is made, written again with another size, touched, destroyed
//! or left to expire, and how much is alive at any time.
//!
//! Pure: the time is an argument, and the same seed gives the same day wherever the same deeds
//! come at the same times. Sizes are log-uniform, so that every size class has its share; the
//! number of live sessions stays about the same, so that what grows is waste.

use std::ops::RangeInclusive;

use super::common::keys;

/// Bytes of a value, at least and at most.
pub(crate) const MIN_SIZE: usize = 64;
pub(crate) const MAX_SIZE: usize = 8 << 10;
/// What a log-uniform size is on average, more or less.
pub(crate) const MEAN_SIZE: u64 = 1_700;
/// How long what is left at the end of the day has to live, in milliseconds.
pub(crate) const LAST_TTL: u64 = SECOND;
/// How long a visitor's session lives, in hours.
const VISIT: RangeInclusive<u64> = 2..=5;
/// Lifetimes are whole seconds: memcached knows no others.
const SECOND: u64 = 1_000;

/// What happens to a session. Times are milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    Set { id: u64, size: usize, ttl_ms: u64 },
    Touch { id: u64, ttl_ms: u64 },
    Destroy { id: u64 },
}

/// Places, each of which has one session at a time.
pub(crate) struct Sessions {
    random: fastrand::Rng,
    /// Milliseconds of the day's hours.
    hour: u64,
    places: Vec<Session>,
    /// The number of the session that comes next.
    next: u64,
}

#[derive(Clone, Copy)]
struct Session {
    id: u64,
    size: usize,
    /// When it is over; zero where it was destroyed or never was.
    deadline: u64,
}

impl Sessions {
    /// So many places, in a day with hours of so many milliseconds.
    pub(crate) fn new(seed: u64, places: usize, hour: u64) -> Self {
        let nobody = Session {
            id: 0,
            size: 0,
            deadline: 0,
        };
        Self {
            random: fastrand::Rng::with_seed(seed),
            hour,
            places: vec![nobody; places],
            next: 0,
        }
    }

    /// How many places there are.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// The next thing that happens, at a certain place or anywhere: a session that is over makes
    /// room for a new one; of those that are alive six in ten are written again, three touched,
    /// one destroyed.
    pub(crate) fn act(&mut self, now: u64, place: Option<usize>) -> Deed {
        let place = place.unwrap_or_else(|| self.random.usize(..self.places.len()));
        let is_over = self.places[place].deadline <= now;
        let ttl_ms = self.ttl_ms();
        match self.random.u8(..10) {
            _ if is_over => {
                self.places[place].id = self.next;
                self.next += 1;
                self.write(now, place, ttl_ms)
            }
            0..6 => self.write(now, place, ttl_ms),
            6..9 => self.touch(now, place, ttl_ms),
            _ => self.destroy(place),
        }
    }

    fn write(&mut self, now: u64, place: usize, ttl_ms: u64) -> Deed {
        let size = self.size();
        let session = &mut self.places[place];
        session.size = size;
        session.deadline = now + ttl_ms;
        let id = session.id;
        Deed::Set { id, size, ttl_ms }
    }

    /// Gives the session at a place so long to live from now on, if it is alive.
    pub(crate) fn touch(&mut self, now: u64, place: usize, ttl_ms: u64) -> Deed {
        let session = &mut self.places[place];
        if session.deadline > now {
            session.deadline = now + ttl_ms;
        }
        let id = session.id;
        Deed::Touch { id, ttl_ms }
    }

    /// Ends the session at a place.
    pub(crate) fn destroy(&mut self, place: usize) -> Deed {
        let session = &mut self.places[place];
        session.deadline = 0;
        Deed::Destroy { id: session.id }
    }

    /// Bytes of keys and values that are alive.
    pub(crate) fn live(&self, now: u64) -> u64 {
        let live = self.places.iter().filter(|session| session.deadline > now);
        live.map(|session| (keys::KEY + session.size) as u64).sum()
    }

    fn size(&mut self) -> usize {
        let doublings = (MAX_SIZE / MIN_SIZE).ilog2();
        let exponent = self.random.f64() * f64::from(doublings);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "between MIN_SIZE and MAX_SIZE"
        )]
        let size = (MIN_SIZE as f64 * exponent.exp2()) as usize;
        size
    }

    /// Every other session is a visitor's, the rest stay until they are destroyed.
    fn ttl_ms(&mut self) -> u64 {
        if self.random.bool() {
            let hours = self.random.u64(VISIT);
            self.visit(hours)
        } else {
            86_400_000
        }
    }

    /// After so many milliseconds no visitor is there any more.
    pub(crate) fn longest_visit(&self) -> u64 {
        self.visit(*VISIT.end())
    }

    fn visit(&self, hours: u64) -> u64 {
        (hours * self.hour).next_multiple_of(SECOND)
    }
}
