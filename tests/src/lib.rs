//! Traces, exhaustive search and the claimers' conformance suite of Tenure.
#![forbid(unsafe_code)]

pub mod conformance;
pub mod engine;
pub mod exhaust;
pub mod expect;
pub mod fuzz;
pub mod ledger;
pub mod oracle;
pub mod scripted;
#[cfg(feature = "servers")]
pub mod server;
pub mod simulate;
#[cfg(any(feature = "smol", feature = "std"))]
pub mod stage;
pub mod trace;
pub mod witness;
pub mod world;

/// The README's examples run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
