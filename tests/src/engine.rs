//! Traces and exhaustive search for the dependency engine, as for the tracker.

pub mod books;
pub mod exhaust;
pub mod trace;
