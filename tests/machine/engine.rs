//! The dependency engine: what it says in text traces, and all of its short histories.

mod exhaust;
mod random;
mod traces;
