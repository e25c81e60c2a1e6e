//! Whole worlds of a few trackers and one store, and all that can happen in them.
//!
//! A [`Model`] says what the world is made of: two or three real trackers with their books (see
//! [`crate::ledger`]), each with a clock of its own rate; a store that honours the contract; and
//! messages between them, which arrive in any order, at any later time, twice or never. Time is
//! part of the world's state and moves in ticks. Timers fire late, units crash and start again,
//! resign, and are asked.
//!
//! [`search`] goes through all of that breadth first, so the history that it shows for a broken
//! invariant is a shortest one: in prose, and for each process as a trace. At every state the world
//! is looked at from outside (S1 to S4, S7, and what each step may change: S3, S6, S9, S11), and
//! from there faults are made to stop, to see that somebody leads before long (L1, L3).
//!
//! A search that finds nothing has shown something only if it finds what is there: a model may have
//! a [`Flaw`], and a [`Report`] says which [`Sight`]s were seen.
//!
//! ```
//! use tenure_testkit::world::{Limits, Model, Rate, Sight, search};
//!
//! let model = Model::new("two units", &[Rate::Slow, Rate::Fast], 4, 2)?;
//! let report = search(&model, Limits { states: 100_000, threads: 1 }, &|_| {});
//! assert!(report.is_whole && report.violation.is_none());
//! assert!(report.seen(Sight::StoreDenied) > 0);
//! # Ok::<(), tenure_core::ConfigError>(())
//! ```

mod arena;
mod checks;
mod gallery;
mod history;
mod liveness;
mod model;
mod report;
mod search;
mod sights;
mod state;
mod steps;
mod store;
mod visited;
mod worker;

pub use gallery::{flawed, gallery};
pub use model::{Budget, Counting, Flaw, Invariant, Model, Rate};
pub use report::{Progress, Report, Violation};
pub use search::{Limits, search};
pub use sights::Sight;
