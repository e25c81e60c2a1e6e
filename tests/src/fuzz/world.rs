//! Bytes drive a whole simulated cluster.

use crate::simulate::{self, Options};

/// Runs the simulated cluster whose every choice is made by `bytes`: its units, clocks, store and
/// network, and what goes wrong when. Where they end, nothing goes wrong any more.
///
/// # Panics
///
/// If an invariant is broken: with the run's log, and what each machine was handed as a trace.
pub fn world(bytes: &[u8]) {
    super::insist(check(bytes));
}

/// The number of events in the run; or the invariant that is broken, and the run.
pub(super) fn check(bytes: &[u8]) -> Result<usize, String> {
    let options = Options { steps_max: STEPS_MAX, ..Options::default() };
    let run = simulate::run_bytes(bytes, options);
    match run.violation {
        None => Ok(usize::try_from(run.summary.events).unwrap_or(usize::MAX)),
        Some(why) => {
            let logged = simulate::run_bytes(bytes, Options { log: true, ..options });
            Err(format!("{why}\n{}", simulate::show(&logged)))
        }
    }
}

/// A run that is cut here has shown little new for long.
const STEPS_MAX: u64 = 20_000;
