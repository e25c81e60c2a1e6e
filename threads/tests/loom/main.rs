//! Every way in which a few threads can interleave, and every value that a load may see, within the
//! bounds that each test states: loom decides, over the real `tenure-runtime`.
//!
//! loom takes a thread that waits for ever, when nobody is left who could wake it, for a deadlock:
//! so a lost wake-up fails the test by itself.
#![cfg(tenure_loom)]
#![forbid(unsafe_code)]

mod cancel;
mod guards;
mod orders;
mod published;
mod stops;
mod support;
mod tickets;
