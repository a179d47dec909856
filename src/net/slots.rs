//! The table of connections: a slot each, named by generation and index.
//!
//! Knows nothing of what it holds. Used by the reactor, which empties a slot only at the end of a
//! tick. The invariant: an id finds what was inserted under it or nothing, never a successor.

use super::token::ConnectionId;

struct Slot<T> {
    /// Who is in it, or who will be next.
    id: ConnectionId,
    value: Option<T>,
}

pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
}

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many slots are in use.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Puts in what `make` makes of its id. `None`, and nothing made, where a token cannot number
    /// one more slot; the error of `make` leaves the slot free.
    pub(super) fn insert<E>(
        &mut self,
        make: impl FnOnce(ConnectionId) -> Result<T, E>,
    ) -> Option<Result<ConnectionId, E>> {
        let id = match self.free.last() {
            Some(&index) => self.slots[index].id,
            None => ConnectionId::first(self.slots.len())?,
        };
        let value = match make(id) {
            Ok(value) => Some(value),
            Err(error) => return Some(Err(error)),
        };
        match self.free.pop() {
            Some(index) => self.slots[index].value = value,
            None => self.slots.push(Slot { id, value }),
        }
        Some(Ok(id))
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index())?;
        slot.value.as_mut().filter(|_| slot.id == id)
    }

    /// Empties the slot. Its next tenant has another id.
    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<T> {
        let slot = self.slots.get_mut(id.index())?;
        if slot.id != id {
            return None;
        }
        let value = slot.value.take()?;
        slot.id = id.next();
        self.free.push(id.index());
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn put<T>(slots: &mut Slots<T>, value: T) -> ConnectionId {
        slots
            .insert(|_| Ok::<_, Infallible>(value))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn a_stale_id_finds_nobody_even_when_the_slot_has_a_new_tenant() {
        let mut slots = Slots::new();
        let old = put(&mut slots, 'a');
        assert_eq!(slots.remove(old), Some('a'));
        assert_eq!(slots.get_mut(old), None);
        let new = put(&mut slots, 'b');
        assert_eq!(new.index(), old.index());
        assert_eq!(slots.get_mut(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.get_mut(new), Some(&mut 'b'));
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn a_tenant_that_could_not_be_made_takes_no_slot() {
        let mut slots = Slots::<char>::new();
        assert_eq!(slots.insert(|_| Err("no")), Some(Err("no")));
        assert_eq!(slots.len(), 0);
        let id = put(&mut slots, 'a');
        slots.remove(id);
        assert_eq!(slots.insert(|_| Err("no")), Some(Err("no")));
        assert_eq!(slots.len(), 0);
        put(&mut slots, 'b');
        assert_eq!(slots.len(), 1);
    }
}
