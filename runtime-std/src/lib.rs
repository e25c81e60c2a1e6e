//! Leader election with leases on blocking threads.
#![forbid(unsafe_code)]

mod adapter;
mod call;
pub mod dependency;
mod driver;
mod guard;
mod leadership;
mod manifold;
mod park;
mod sync;
mod ticket;
mod tracker;

pub use adapter::BlockOn;
pub use driver::Driver;
pub use guard::Guard;
pub use leadership::Leadership;
pub use manifold::{ApiCaller, manifold};
pub use ticket::Ticket;
pub use tracker::Tracker;

pub use tenure_core as core;
pub use tenure_runtime::{BootClock, Calls, Clock, ManualClock, TrackerError, WorkError};
