//! Counts what is held, for each thread by itself, because tests run at the same time.
#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[derive(Clone, Copy, Default)]
struct Count {
    held: isize,
    most: isize,
    calls: usize,
}

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count { held: 0, most: 0, calls: 0 }) };
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator as it is, and a cell without a destructor allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: isize) {
    let _ = COUNT.try_with(|count| {
        let Count { held, most, calls } = count.get();
        let held = held + bytes;
        count.set(Count { held, most: most.max(held), calls: calls + usize::from(bytes > 0) });
    });
}

/// What `work` held at most, and how often it asked for memory.
pub(crate) fn counted<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = COUNT.get();
    COUNT.set(Count { most: before.held, ..before });
    let result = work();
    let after = COUNT.get();
    (result, (after.most - before.held).cast_unsigned(), after.calls - before.calls)
}
