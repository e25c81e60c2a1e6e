//! The integration tests of the workspace: one binary.
#![forbid(unsafe_code)]

mod conformance;
mod engine;
mod engines;
mod exhaust;
mod oracle;
mod runtimes;
mod traces;
