//! The bound of a queue of spans, by their number and by bytes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for bytes is given out in so many at a time.
const BYTES_PER_PERMIT: usize = 1024;

/// Lets spans in as long as there is room.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    slots: Arc<Semaphore>,
    room: Arc<Semaphore>,
    permits: u32,
}

/// A span's place, which is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _slot: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
}

impl Gate {
    /// For so many spans, and so many bytes; a larger span passes when the queue is empty.
    pub fn new(spans: usize, bytes: usize) -> Self {
        let permits = u32::try_from(bytes / BYTES_PER_PERMIT).unwrap_or(u32::MAX).max(1);
        Self {
            slots: Arc::new(Semaphore::new(spans.clamp(1, Semaphore::MAX_PERMITS))),
            room: Arc::new(Semaphore::new(permits as usize)),
            permits,
        }
    }

    /// A place for a span of so many bytes, if there is one now.
    pub fn try_enter(&self, bytes: usize) -> Option<Place> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(self.permits_for(bytes)).ok()?;
        Some(Place { _slot: slot, _room: room })
    }

    /// The same, when there is one.
    pub async fn enter(&self, bytes: usize) -> Option<Place> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        let room = Arc::clone(&self.room).acquire_many_owned(self.permits_for(bytes)).await.ok()?;
        Some(Place { _slot: slot, _room: room })
    }

    fn permits_for(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(BYTES_PER_PERMIT)).unwrap_or(u32::MAX).clamp(1, self.permits)
    }
}
