//! What Tenure's runtimes share.
#![forbid(unsafe_code)]

mod cancel;
mod clock;
mod nonce;

pub use cancel::CancelToken;
pub use clock::{BootClock, Clock, ManualClock};
pub use nonce::fresh_nonce;
