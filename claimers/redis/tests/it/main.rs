//! The store through its public door, on real servers.
#![forbid(unsafe_code)]

mod endpoints;
mod forgetting;
mod guarded;
mod keys;
mod refusals;
mod support;
mod tls;
mod waiting;
mod wiped;
