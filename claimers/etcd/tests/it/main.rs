//! The store through its public door, over real servers.
#![forbid(unsafe_code)]

mod access;
mod cluster;
mod contract;
mod faults;
mod guard;
mod late;
mod support;
mod trackers;
mod waiting;
