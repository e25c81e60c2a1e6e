//! Traces, exhaustive search and the claimers' conformance suite of Tenure.
#![forbid(unsafe_code)]

pub mod conformance;
