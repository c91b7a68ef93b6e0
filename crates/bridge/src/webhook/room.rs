//! How much may wait for the disk at once.
//!
//! Promises: the bodies that the door holds, from their first byte to their commit, stay within a number of bytes, and
//! the puts under way within a count; beyond either the answer is an immediate no. Nobody queues here.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bounds.
#[derive(Clone, Debug)]
pub struct Room {
    puts: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// Bytes held; given back when dropped.
#[derive(Debug)]
pub struct Held(OwnedSemaphorePermit);

/// One put under way, with its bytes; given back when dropped.
#[derive(Debug)]
pub struct Waiting {
    _put: OwnedSemaphorePermit,
    _bytes: Held,
}

impl Room {
    /// For `puts` puts and `bytes` bytes.
    pub fn new(puts: usize, bytes: usize) -> Self {
        let semaphore = |places: usize| Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self { puts: semaphore(puts), bytes: semaphore(bytes) }
    }

    /// Nothing held yet.
    pub fn begin(&self) -> Option<Held> {
        self.bytes.clone().try_acquire_many_owned(0).ok().map(Held)
    }

    /// Room for `more` bytes on top of what is held; false when there is none.
    pub fn grow(&self, held: &mut Held, more: usize) -> bool {
        let more = u32::try_from(more).ok().and_then(|more| self.bytes.clone().try_acquire_many_owned(more).ok());
        more.map(|more| held.0.merge(more)).is_some()
    }

    /// A place among the puts.
    pub fn put(&self, held: Held) -> Option<Waiting> {
        let put = self.puts.clone().try_acquire_owned().ok()?;
        Some(Waiting { _put: put, _bytes: held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_puts_are_bounded_and_come_back() {
        let room = Room::new(1, 10);
        let mut first = room.begin().expect("room");
        assert!(room.grow(&mut first, 6) && room.grow(&mut first, 4));
        let mut second = room.begin().expect("holding nothing needs no room");
        assert!(!room.grow(&mut second, 1));
        let waiting = room.put(first).expect("the first put");
        assert!(room.put(room.begin().expect("room")).is_none());
        drop(waiting);
        assert!(room.grow(&mut second, 10));
        assert!(room.put(second).is_some());
    }
}
