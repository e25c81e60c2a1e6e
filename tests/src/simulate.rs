//! Simulated clusters: many units over one store, with everything between them that can go wrong.
//!
//! A world is a deterministic simulation of discrete events. Each unit is the real
//! [`Hub`](tenure_runtime::Hub), driven as the runtimes drive it, on a clock of its own; beside it
//! goes an [`Audited`](crate::ledger::Audited) tracker that gets the same events at the same
//! instants and has to agree. Who may believe what is judged in real time, which none of them can
//! read.
//!
//! All choices come from one source of bytes: those that a seed gives, or given ones. The same
//! bytes are the same run, byte for byte of its log. Zero is always the most benign choice, so a
//! failing run is made smaller by cutting and lowering its bytes.
//!
//! ```
//! use tenure_testkit::simulate::{Options, run_seed};
//!
//! let run = run_seed(7, Options::default());
//! assert_eq!(run.violation, None);
//! assert_eq!(run.hash, run_seed(7, Options::default()).hash);
//! ```

mod arrivals;
mod calls;
mod chaos;
mod choices;
mod classes;
mod clock;
mod deliveries;
mod driver;
mod faults;
mod fleet;
mod happenings;
mod healing;
mod judge;
mod knobs;
mod log;
mod members;
mod pauses;
mod process;
mod report;
mod shrink;
mod sightings;
mod store;
mod summary;
mod tickets;
mod users;
mod world;

use std::collections::BTreeSet;

use crate::trace::Cell;
use world::World;

pub use choices::Choices;
pub use classes::{Class, Tally};
pub use fleet::{Fleet, Limit};
pub use report::report;
pub(crate) use report::show;
pub use shrink::{Shrunk, shrink};
pub use summary::Summary;

/// Which premise of the promise a run breaks: then two may believe at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Broken {
    /// The store forgets its leases and does not wait.
    Amnesia,
    /// Clocks run slower than the ratio allows.
    Clock,
    /// Clocks stop while their machine sleeps.
    Suspend,
}

impl Broken {
    /// All of them.
    pub const ALL: [Broken; 3] = [Broken::Amnesia, Broken::Clock, Broken::Suspend];

    /// As the command has it.
    pub fn name(self) -> &'static str {
        match self {
            Broken::Amnesia => "amnesia",
            Broken::Clock => "clock",
            Broken::Suspend => "suspend",
        }
    }
}

/// How to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// Which premise to break.
    pub broken: Option<Broken>,
    /// Whether to see which cells of the contract's tables are visited.
    pub coverage: bool,
    /// Whether to keep the log and the histories.
    pub log: bool,
    /// After so many steps the run is over, wherever it is.
    pub steps_max: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { broken: None, coverage: false, log: false, steps_max: 200_000 }
    }
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Run {
    /// Which invariant was broken, and how.
    pub violation: Option<String>,
    /// How two came to believe at once, in a run whose premise is broken.
    pub exclusion: Option<String>,
    /// The bytes that all choices were made from.
    pub bytes: Vec<u8>,
    /// Of all that has happened, in order.
    pub hash: u64,
    /// All that has happened, if it was kept.
    pub log: Option<String>,
    /// What each unit's machine was handed, as traces, if it was kept.
    pub histories: Vec<String>,
    /// Which cells of the contract's tables were visited, if that was wanted.
    pub cells: BTreeSet<Cell>,
    /// What has happened.
    pub summary: Summary,
}

/// Runs the world of a seed.
pub fn run_seed(seed: u64, options: Options) -> Run {
    run(Choices::of_seed(seed), options)
}

/// Runs the world that `bytes` choose.
pub fn run_bytes(bytes: &[u8], options: Options) -> Run {
    run(Choices::of_bytes(bytes), options)
}

fn run(choices: Choices, options: Options) -> Run {
    let mut world = World::new(choices, options);
    let violation = world.live().err();
    world.into_run(violation)
}
