//! The command, as its users have it: real processes, real signals, a real store.
#![forbid(unsafe_code)]

mod bad_input;
mod best_effort;
mod boots;
mod caller;
mod claim;
mod demo;
mod look;
mod loss;
mod run;
#[cfg(all(feature = "etcd", feature = "postgres", feature = "redis"))]
mod servers;
#[cfg(any(target_os = "android", target_os = "linux"))]
mod setuid;
#[cfg(any(target_os = "android", target_os = "linux"))]
mod supervise;
mod support;
#[cfg(any(target_os = "android", target_os = "linux"))]
mod terminal;
