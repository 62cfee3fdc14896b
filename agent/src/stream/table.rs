//! The table of connections: bounded, and the one that was idle longest makes room for a new one.

use crate::{
    capture::{ConnectionId, ConnectionMap, Process},
    time::Timestamp,
};

/// What is remembered of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position {
    /// Number of the byte that comes next.
    pub next: u64,
    /// The last record ended at the cap of its call, so that what is missing after it was left out.
    pub cut: bool,
}

/// What is remembered of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub sent: Position,
    pub received: Position,
    /// The last process that moved bytes.
    pub process: Process,
    /// When they did.
    pub heard: Timestamp,
}

/// Index of no slot.
const NONE: u32 = u32::MAX;

struct Slot {
    id: ConnectionId,
    entry: Entry,
    older: u32,
    newer: u32,
}

/// Slots in a slab, threaded by a list from the idlest to the most recently used, so that finding
/// the one to evict costs the same however many there are.
pub(super) struct Table {
    index: ConnectionMap<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    capacity: usize,
}

impl Table {
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, NONE as usize);
        Self {
            index: ConnectionMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            capacity,
        }
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// The entry of a connection, which counts as used now.
    pub fn touch(&mut self, id: ConnectionId) -> Option<&mut Entry> {
        let at = *self.index.get(&id)?;
        if at != self.newest {
            self.unlink(at);
            self.link(at);
        }
        Some(&mut self.slots[at as usize].entry)
    }

    /// Adds a connection that is not in the table, and says which one had to go for it.
    pub fn insert(&mut self, id: ConnectionId, entry: Entry) -> (&mut Entry, Option<ConnectionId>) {
        let evicted = if self.index.len() >= self.capacity { self.pop_oldest() } else { None };
        let slot = Slot { id, entry, older: NONE, newer: NONE };
        let at = if let Some(at) = self.free.pop() {
            self.slots[at as usize] = slot;
            at
        } else {
            self.slots.push(slot);
            (self.slots.len() - 1) as u32
        };
        self.index.insert(id, at);
        self.link(at);
        (&mut self.slots[at as usize].entry, evicted)
    }

    /// Removes a connection.
    pub fn remove(&mut self, id: ConnectionId) {
        if let Some(at) = self.index.remove(&id) {
            self.unlink(at);
            self.free.push(at);
        }
    }

    /// The connection that was idle longest.
    pub fn oldest(&self) -> Option<&Entry> {
        self.slots.get(self.oldest as usize).map(|slot| &slot.entry)
    }

    /// Removes the connection that was idle longest.
    pub fn pop_oldest(&mut self) -> Option<ConnectionId> {
        let id = self.slots.get(self.oldest as usize)?.id;
        self.remove(id);
        Some(id)
    }

    fn link(&mut self, at: u32) {
        let newest = self.newest;
        let slot = &mut self.slots[at as usize];
        slot.older = newest;
        slot.newer = NONE;
        match self.slots.get_mut(newest as usize) {
            Some(slot) => slot.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }

    fn unlink(&mut self, at: u32) {
        let Slot { older, newer, .. } = self.slots[at as usize];
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            sent: Position::default(),
            received: Position::default(),
            process: Process { pid: 1, tid: 1 },
            heard: Timestamp(0),
        }
    }

    #[test]
    fn the_idlest_makes_room() {
        let mut table = Table::new(3);
        for id in 0..3 {
            assert_eq!(table.insert(ConnectionId(id), entry()).1, None);
        }
        assert!(table.touch(ConnectionId(0)).is_some());
        assert_eq!(table.insert(ConnectionId(3), entry()).1, Some(ConnectionId(1)));
        table.remove(ConnectionId(2));
        assert_eq!(table.insert(ConnectionId(4), entry()).1, None);
        assert_eq!(table.len(), 3);
        let order: Vec<_> = std::iter::from_fn(|| table.pop_oldest()).map(|id| id.0).collect();
        assert_eq!(order, [0, 3, 4]);
        assert!(table.touch(ConnectionId(0)).is_none());
        assert_eq!(table.insert(ConnectionId(5), entry()).1, None);
        assert_eq!(table.slots.len(), 3, "slots are used again");
    }
}
