//! The leadership tracker as a deterministic state machine.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test that cannot go on has failed"))]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(feature = "alloc")]
mod candidate;
#[cfg(feature = "alloc")]
mod claimer;
#[cfg(feature = "alloc")]
mod names;
mod term;
mod time;

pub use term::Term;
pub use time::Instant;

#[cfg(feature = "alloc")]
pub use candidate::{Candidate, Nonce, NonceError};
#[cfg(feature = "alloc")]
pub use claimer::{BlockingClaimer, Cancel, ClaimAnswer, Claimer, ClaimerError, Judge, Leader};
#[cfg(feature = "alloc")]
pub use names::{NameError, ServiceName, UnitName};
