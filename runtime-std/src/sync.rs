//! What threads are made of and meet on: std's own, or, for the tests in `threads/`, the doubles of
//! a tool that decides who runs next. It knows no time: whoever sleeps until a deadline there
//! sleeps until it is woken.

#[cfg(tenure_shuttle)]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard},
    thread, thread_local,
};

#[cfg(not(tenure_shuttle))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard},
    thread, thread_local,
};
