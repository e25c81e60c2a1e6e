//! A dependency engine as a deterministic state machine: it runs a graph of named manifolds, each
//! when its inputs are there, and again when they change.
//!
//! An [`Engine`] decides when to start which manifold, on which inputs, and when to stop it. It
//! runs nothing, reads no clock and keeps no worker: events go in, actions come out, and time comes
//! with the events. Most users want it driven for them, by `tenure-smol` or `tenure-std`. This
//! crate is for an event loop of your own, and for tests.
//!
//! # The loop
//!
//! 1. Make the engine, and [install](Engine::install) manifolds; carry out the actions that come
//!    back, in order. More can be installed at any time.
//! 2. Wait for the first of: a start that has succeeded or failed, a worker that has ended, the
//!    timer, somebody who wants a manifold gone or all to stop.
//! 3. Read the clock, hand the event to [`Engine::handle`], carry out what comes back. After
//!    [`Finished`](Action::Finished) that is nothing any more; else go to 2.
//!
//! Each [`Start`](Action::Start) has a [`RunId`], which comes back with all that becomes of it:
//! once [`Started`](Event::Started) or [`StartFailed`](Event::StartFailed), and after the former
//! once [`Stopped`](Event::Stopped). An event whose number is not out changes nothing.
//!
//! ```
//! use core::time::Duration;
//! use tenure_core::Instant;
//! use tenure_dependency::{Action, Config, Engine, Event, ManifoldName, Outcome, RunId};
//!
//! let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
//! let run_of = |actions: &[Action<String>]| {
//!     actions.iter().find_map(|action| match action {
//!         Action::Start { run, inputs, .. } => Some((*run, inputs.clone())),
//!         _ => None,
//!     })
//! };
//! let mut engine: Engine<String> = Engine::new(Config::default(), at(0));
//!
//! // The tracker is tried though there is no agent, and says that it cannot do without.
//! let [agent, tracker] = ["agent", "tracker"].map(ManifoldName::from);
//! let actions = engine.install(tracker, vec![agent.clone()], at(0))?;
//! let (run, inputs) = run_of(&actions).unwrap();
//! assert_eq!(inputs, [None]);
//! engine.handle(Event::StartFailed { run, outcome: Outcome::Missing }, at(1));
//!
//! // The agent comes. A bounce delay later the tracker is started again, and is given it.
//! let (agent_run, _) = run_of(&engine.install(agent, vec![], at(5_000))?).unwrap();
//! let actions = engine.handle(Event::Started { run: agent_run }, at(5_001));
//! assert_eq!(actions.last(), Some(&Action::ArmTimer { at: at(5_011) }));
//! let (run, inputs) = run_of(&engine.handle(Event::TimerFired, at(5_011))).unwrap();
//! assert_eq!(inputs, [Some(agent_run)]);
//! engine.handle(Event::Started { run }, at(5_012));
//!
//! // The tracker stops before the agent that it depends on.
//! let stopped = |actions: Vec<Action<String>>| -> Vec<RunId> {
//!     let stops = actions.into_iter().filter_map(|action| match action {
//!         Action::Stop { run, .. } => Some(run),
//!         _ => None,
//!     });
//!     stops.collect()
//! };
//! assert_eq!(stopped(engine.handle(Event::Stop, at(6_000))), [run]);
//! let ended = Event::Stopped { run, outcome: Outcome::Finished };
//! assert_eq!(stopped(engine.handle(ended, at(6_010))), [agent_run]);
//! # Ok::<(), tenure_dependency::InstallError>(())
//! ```
//!
//! # The rules
//!
//! They are those of Juju's `worker/dependency`. A *worker* is there from the `Started` of a start
//! that was not told to stop, and until its `Stopped`.
//!
//! | what happens | what follows |
//! | --- | --- |
//! | a manifold is installed | a start, whether its inputs are there or not |
//! | its worker comes or goes | each dependent is told to stop, or waits if it is down |
//! | what was told to stop has ended | it waits for the bounce delay, whatever it said |
//! | [`Bounce`](Outcome::Bounce) | it waits for the bounce delay |
//! | [`Failed`](Outcome::Failed) | it waits for a delay that grows with each error in a row |
//! | [`Finished`](Outcome::Finished) | it is down until an input changes |
//! | [`Missing`](Outcome::Missing) | it is down until an input changes |
//! | [`Uninstall`](Outcome::Uninstall), or it was uninstalled | it is forgotten |
//! | a wait is over | a start, on the workers that are there now and were not told to stop |
//! | [`Fatal`](Outcome::Fatal), or [`Event::Stop`] | the engine ends: there are no more starts |
//! | nothing that is up depends on one, in the end | it is told to stop |
//! | all are down, in the end | [`Action::Finished`], with the fatal errors in order |
//!
//! A dependent that is down waits for the bounce delay, and one that waits for longer than that
//! waits for that instead. The delay after an error is the error delay times the back-off factor
//! for each error before it in its row, up to the max delay, less a random part of up to a half. A
//! row ends where a worker ran for longer than the reset time, and where one, or a start, ended
//! with `Finished` or `Missing`. Errors of those who were told to stop count.
//!
//! So, unless the engine ends, no worker that was not told to stop runs on inputs that have
//! changed; and there are never two of one manifold. While it ends, dependents go first: one whose
//! input has ended by itself is told to stop in its turn.
//!
//! # What time means
//!
//! A `now` that runs backwards is taken as the latest one seen. A wait is over when its deadline
//! `<= now`. A timer that is early does nothing; one that is late makes starts late.
//!
//! # Features
//!
//! None by default. `serde` makes the [`Report`] something that can be serialized.
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

extern crate alloc;

mod action;
mod config;
mod cycle;
mod engine;
mod error;
mod name;
mod node;
mod report;

pub use action::{Action, Event, Outcome};
pub use config::{Config, ConfigBuilder, ConfigError, Factor};
pub use engine::Engine;
pub use error::InstallError;
pub use name::{ManifoldName, RunId};
pub use report::{ManifoldReport, ManifoldState, Report};
