//! What only smol promises: all of an engine lives in the future of its driver, which is polled by
//! hand here, and stops where that is dropped.

mod bench;
mod drops;
mod errors;
mod leadership;
mod stops;
mod timers;
