//! Leader election with leases on smol.
#![forbid(unsafe_code)]

mod adapter;
mod driver;
mod guard;
mod ticket;
mod tracker;

pub use adapter::Unblock;
pub use driver::Driver;
pub use guard::Guard;
pub use ticket::Ticket;
pub use tracker::Tracker;

pub use tenure_core as core;
pub use tenure_runtime::{BootClock, Clock, ManualClock, TrackerError, WorkError};
