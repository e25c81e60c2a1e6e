//! The store through its public door, on real servers.
#![forbid(unsafe_code)]

mod connections;
mod credentials;
mod durability;
mod endpoints;
mod guard;
mod locks;
mod serving;
mod support;
mod tables;
mod waiting;
