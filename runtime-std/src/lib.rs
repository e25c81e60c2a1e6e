//! Leader election with leases on blocking threads.
#![forbid(unsafe_code)]

mod adapter;
mod call;
mod driver;
mod guard;
mod park;
mod ticket;
mod tracker;

pub use adapter::BlockOn;
pub use driver::Driver;
pub use guard::Guard;
pub use ticket::Ticket;
pub use tracker::Tracker;

pub use tenure_core as core;
pub use tenure_runtime::{BootClock, Clock, ManualClock, TrackerError, WorkError};
