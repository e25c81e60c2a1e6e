//! The tests of the machines that need no runtime and no store: one binary.
#![forbid(unsafe_code)]

mod catalogue;
mod config;
mod engine;
mod exhaust;
mod fuzz;
mod oracle;
mod simulate;
mod time;
mod traces;
mod worlds;
