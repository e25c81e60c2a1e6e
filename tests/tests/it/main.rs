//! The tests of the runtimes and the stores: one binary.
#![forbid(unsafe_code)]

mod conformance;
mod engines;
mod mending;
mod runtimes;
mod servers;
