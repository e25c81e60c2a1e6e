//! Both runtimes through their public door, over a claimer that does as it is told and a clock that
//! is moved by hand.

mod away;
mod clock;
mod crowds;
mod deadlines;
mod ends;
mod events;
mod faults;
mod forks;
mod guards;
mod histories;
mod hubs;
mod late;
mod limits;
mod model;
mod panics;
mod rig;
mod servers;
mod stage;
mod stores;
mod suspend;
mod tickets;
mod wakers;
mod watches;
mod work;

use std::time::Duration;

use tenure_core::{ClockRatio, Config};

pub(crate) use rig::ByHand;

/// How long anything may take that should be done at once: only a bug makes a test wait this long.
const PATIENCE: Duration = Duration::from_secs(20);

const SECOND: Duration = Duration::from_secs(1);

/// A guarantee of 10 s on exact clocks. After a claim a leader renews at 9.5 s, says yes until
/// 10 s, believes until 15 s, and its lease ends at 20 s. A claim may take 2.5 s.
fn config() -> Config {
    Config::builder(10 * SECOND).clock_ratio(ClockRatio::EXACT).jitter_seed(7).build().unwrap()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
