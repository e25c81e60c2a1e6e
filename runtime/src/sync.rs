//! What threads meet on: std's own, or, for the tests in `threads/`, the doubles of a tool that
//! decides who runs next and what a load sees.
//!
//! `Arc` and `Waker` stay std's: neither tool needs them to see who waits for whom.

#[cfg(tenure_loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering, fence},
};

#[cfg(tenure_shuttle)]
pub(crate) use shuttle::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering, fence},
};

#[cfg(not(any(tenure_loom, tenure_shuttle)))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering, fence},
};
