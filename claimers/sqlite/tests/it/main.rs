//! The store through its public door, over real files, and where it matters over real processes.
//!
//! A test that needs another process runs this binary again: see [`processes`].
#![forbid(unsafe_code)]

mod boots;
mod contract;
mod faults;
mod files;
mod guard;
mod processes;
mod support;
mod users;
mod waiting;
