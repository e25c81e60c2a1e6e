//! Traces, exhaustive search and the claimers' conformance suite of Tenure.
