//! The leadership tracker as a deterministic state machine: no std, no allocation, no I/O.
//!
//! A [`Tracker`] decides when to claim a lease, when to renew it, until when to believe in it, and
//! what to answer to those who ask. It reads no clock and calls no store: events go in, actions
//! come out, and time comes with the events. Most users want it driven for them, by `tenure-smol`
//! or `tenure-std`. This crate is for an event loop of your own, and for tests.
//!
//! # What is promised
//!
//! At no instant do two holders of one service believe that they lead, as long as the store keeps
//! its promises, the clocks of holder and store differ in rate by less than
//! [`clock_ratio`](ConfigBuilder::clock_ratio), and the holder's clock counts the time that the
//! machine was suspended. Nothing is assumed of the network, of scheduling, or of timers.
//!
//! What no lease can promise: a process that is paused between its check and its act still acts
//! late. Hand the [`Term`] to what you act on, and let that refuse a lower one than it has seen.
//!
//! # The loop
//!
//! 1. Make the tracker; carry out the actions that come with it.
//! 2. Wait for the first of: a claim, a watch or a release that has ended, a request, the timer.
//! 3. Read the clock, hand the event to [`Tracker::handle`], carry out what comes back, go to 2.
//!
//! A ticket is parked by whoever drives the machine, under its kind, before
//! [`TicketRequested`](Event::TicketRequested) goes in; [`Resolve`](Action::Resolve) then answers
//! all that are parked under that kind. So the machine keeps no list, and a ticket that nobody
//! waits for any more is simply dropped.
//!
//! ```
//! use core::time::Duration;
//! use tenure_core::{
//!     Action, ClaimOutcome, Config, Event, Instant, Standing, Term, TicketKind, Tracker,
//! };
//!
//! let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
//! let (mut tracker, actions) = Tracker::new(Config::new(Duration::from_secs(10))?, at(0));
//! // A real driver carries out each action. Here there is a claim to make, and a timer to arm.
//! let mut claims = actions.iter().filter_map(|action| match *action {
//!     Action::Claim { attempt, lease, .. } => Some((attempt, lease)),
//!     _ => None,
//! });
//! let (attempt, lease) = claims.next().unwrap();
//! assert_eq!(lease, Duration::from_secs(20));
//!
//! // Two seconds later the store grants it. The lease counts from the claim, not from the answer.
//! let granted = ClaimOutcome::Granted { term: Term::new(1) };
//! let actions = tracker.handle(Event::ClaimFinished { attempt, outcome: granted }, at(2));
//! assert!(!actions.is_empty());
//! assert!(matches!(tracker.standing(at(2)), Standing::Leader { .. }));
//!
//! // No timer is needed for the answer to be right: it depends on the time of asking alone.
//! assert_eq!(tracker.standing(at(14)), Standing::Minion);
//! # Ok::<(), tenure_core::ConfigError>(())
//! ```
//!
//! # What time means
//!
//! [`Instant`] is nanoseconds since an origin of your choice. A `now` that runs backwards is taken
//! as the latest one seen. A deadline is due when `deadline <= now`; a holder believes while `now <
//! valid_until`, and gives up its leadership a margin before that. A timer that is early does
//! nothing, and one that is late, or never comes, makes no answer wrong.
//!
//! # Features
//!
//! None by default. `alloc` adds what runtimes and stores share: names, the claimers' contracts,
//! and the parking place for tickets.
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
#[cfg(feature = "alloc")]
mod parking;

mod action;
mod backoff;
mod config;
mod event;
mod jitter;
mod standing;
mod state;
mod term;
mod time;
mod tracker;

pub use action::{Action, Actions, AttemptFailure, Demotion, FinishReason, Outcome, Transition};
pub use config::{ClockRatio, Config, ConfigBuilder, ConfigError, Setting};
pub use event::{AttemptId, ClaimOutcome, Event, TenureId, Then, TicketKind, WatchId};
pub use jitter::Jitter;
pub use standing::{Belief, Standing};
pub use term::Term;
pub use time::Instant;
pub use tracker::Tracker;

#[cfg(feature = "alloc")]
pub use candidate::{Candidate, Nonce, NonceError};
#[cfg(feature = "alloc")]
pub use claimer::{BlockingClaimer, Cancel, ClaimAnswer, Claimer, ClaimerError, Judge, Leader};
#[cfg(feature = "alloc")]
pub use names::{NameError, ServiceName, UnitName, UnitTag};
#[cfg(feature = "alloc")]
pub use parking::{Place, Slot, Wakers};
