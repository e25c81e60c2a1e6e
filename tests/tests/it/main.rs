//! The integration tests of the workspace: one binary.

mod conformance;
mod exhaust;
mod oracle;
mod runtimes;
mod traces;
