use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

/// The system's allocator, with its calls counted: for some nanoseconds a call, in all that is
/// timed as well.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What was allocated, by all threads, and not freed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocated {
    pub(crate) allocations: usize,
    pub(crate) bytes: isize,
}

impl Allocated {
    /// What `work` allocates; what it gives back is counted before it is dropped.
    pub(crate) fn by<T>(work: impl FnOnce() -> T) -> (T, Allocated) {
        let region = Region::new(ALLOCATOR);
        let kept = work();
        let change = region.change();
        let bytes = change.bytes_allocated as isize - change.bytes_deallocated as isize;
        (kept, Allocated { allocations: change.allocations + change.reallocations, bytes })
    }
}
