//! What Tenure's runtimes share.
//!
//! `tenure-std` and `tenure-smol` are thin: they wait, one by blocking and the other by polling.
//! All that does not depend on how one waits is here. A runtime of your own is made of a [`Hub`],
//! which keeps the machine and the parked tickets, and of a driver that does what the hub orders:
//!
//! 1. [`Hub::take_work`]: leave a waker, begin and abandon calls as ordered.
//! 2. Wait for the waker, for a call that has ended, or for the deadline on the hub's [`Clock`],
//!    which is to be read after [a nap](Work::nap) at the latest.
//! 3. Tell the hub: [`claim_finished`](Hub::claim_finished),
//!    [`watch_finished`](Hub::watch_finished), [`release_finished`](Hub::release_finished),
//!    [`timer_fired`](Hub::timer_fired). Go to 1, until there is no deadline any more.
//! 4. At the end, however it comes, [`driver_gone`](Hub::driver_gone).
//!
//! [`ManualClock`] is for tests of what uses a tracker.
#![forbid(unsafe_code)]

mod cancel;
mod clock;
mod contain;
pub mod dependency;
mod end;
mod error;
mod guard;
mod holding;
mod hub;
#[cfg(tenure_loom)]
pub mod modelled;
mod nonce;
mod published;
mod report;
mod sync;
mod ticket;

pub use cancel::CancelToken;
pub use clock::{BootClock, Clock, ManualClock};
pub use error::{ClaimerPanic, TrackerError, WorkError};
pub use guard::Guard;
pub use holding::{Loss, LossWatch};
pub use hub::{Calls, ClaimOrder, Hub, Order, Orders, ReleaseOrder, Work};
pub use nonce::fresh_nonce;
pub use ticket::Ticket;
