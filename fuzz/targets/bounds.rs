//! No input may make us hold more than so much. Counted by the allocator: what is held above what was held before.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Room for buffers that are made whatever the input is.
const BASE_BYTES: usize = 1 << 20;
/// A value takes at most about this many bytes for each byte on the wire (a null is one byte there and a `Value` here).
const BYTES_PER_BYTE: usize = 128;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(held, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Fails when `work` holds more at any time than an input of so many bytes is worth.
pub fn within(input: usize, work: impl FnOnce()) {
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    work();
    let held = MOST.load(Relaxed).saturating_sub(before);
    assert!(held <= BASE_BYTES + input * BYTES_PER_BYTE, "{held} bytes were held for an input of {input}");
}
