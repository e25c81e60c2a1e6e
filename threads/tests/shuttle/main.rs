//! The whole std tracker, its driver, its threads and its handles, under schedules that are drawn:
//! shuttle decides, over the real `tenure-std`.
//!
//! What it takes for a failure by itself: a thread that waits for ever, and one that has not ended
//! when the test has. It knows no time: who sleeps until a deadline sleeps until it is woken, so
//! here the trackers live by a clock that is moved by hand, whose jumps wake them.
#![cfg(tenure_shuttle)]
#![forbid(unsafe_code)]

mod ends;
mod faults;
mod leaders;
mod store;
mod support;
mod tickets;
