//! Packets on their way out: at once, or when a slow service is done with them.
//!
//! Promises: packets leave in the order in which they were put, whatever each has to wait, but for those that need no
//! service. Holds no buffer while it is empty.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// With so much to write nothing more is read: two of the largest answers. One more packet's answer may go beyond it.
const FULL_BYTES: usize = 512 << 10;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    ready: BytesMut,
    later: VecDeque<(Duration, Bytes)>,
    later_bytes: usize,
}

impl Outbox {
    /// After what was put before, and not before `due`.
    pub(super) fn put(&mut self, now: Duration, due: Duration, write: impl FnOnce(&mut BytesMut)) {
        if due <= now && self.later.is_empty() {
            return write(&mut self.ready);
        }
        let mut packet = BytesMut::new();
        write(&mut packet);
        let due = self.later.back().map_or(due, |(before, _)| due.max(*before));
        self.later_bytes += packet.len();
        self.later.push_back((due, packet.freeze()));
    }

    /// Past all that waits.
    pub(super) fn put_first(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.ready);
    }

    pub(super) fn release(&mut self, now: Duration) {
        while let Some((_, packet)) = self.later.pop_front_if(|(due, _)| *due <= now) {
            self.later_bytes -= packet.len();
            self.ready.extend_from_slice(&packet);
        }
    }

    /// What can be written now.
    pub(super) fn take(&mut self) -> BytesMut {
        std::mem::take(&mut self.ready)
    }

    pub(super) fn next_due(&self) -> Option<Duration> {
        self.later.front().map(|(due, _)| *due)
    }

    /// Forgets what waits.
    pub(super) fn forget_later(&mut self) {
        (self.later, self.later_bytes) = (VecDeque::new(), 0);
    }

    pub(super) fn is_full(&self) -> bool {
        self.ready.len() + self.later_bytes >= FULL_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.later.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn packets_leave_in_their_order_and_a_ping_does_not_wait() {
        let mut outbox = Outbox::default();
        outbox.put(s(0), s(0), |out| out.put_u8(b'a'));
        outbox.put(s(0), s(5), |out| out.put_u8(b'b'));
        outbox.put(s(0), s(1), |out| out.put_u8(b'c'));
        outbox.put_first(|out| out.put_u8(b'p'));
        assert_eq!(&outbox.take()[..], b"ap");
        outbox.release(s(4));
        assert!(outbox.take().is_empty() && outbox.next_due() == Some(s(5)) && !outbox.is_empty());
        outbox.release(s(5));
        assert_eq!(&outbox.take()[..], b"bc");
        assert!(outbox.is_empty() && outbox.next_due().is_none());
    }

    #[test]
    fn so_much_is_enough_and_what_waits_counts() {
        let mut outbox = Outbox::default();
        outbox.put(s(0), s(0), |out| out.put_bytes(0, FULL_BYTES / 2));
        outbox.put(s(0), s(1), |out| out.put_bytes(0, FULL_BYTES / 2));
        assert!(outbox.is_full());
        outbox.forget_later();
        assert!(!outbox.is_full());
    }
}
