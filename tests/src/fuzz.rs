//! What the fuzz targets run: properties that hold for any bytes whatever.
//!
//! Each target is a function here, and in `fuzz/fuzz_targets` a file of one line that calls it. A
//! property that is broken is told as text that can be acted upon: a trace, or the input and the
//! rule that it breaks.

mod events;
mod figures;
mod names;
mod trace;
mod world;

pub use events::{events, history};
pub use names::names;
pub use trace::trace;
pub use world::world;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called: in `fuzz/fuzz_targets`, and as the directory of its corpus.
    pub name: &'static str,
    check: fn(&[u8]) -> Result<usize, String>,
}

impl Target {
    /// All targets there are.
    pub const ALL: [Target; 4] = [
        Target { name: "events", check: events::check },
        Target { name: "names", check: names::check },
        Target { name: "trace", check: trace::check },
        Target { name: "world", check: world::check },
    ];

    /// Runs the target once, and gives how much there was to check in these bytes: events, names
    /// and figures that were accepted, or lines of traces that were run.
    ///
    /// # Errors
    ///
    /// The property that is broken, and what breaks it.
    pub fn check(self, bytes: &[u8]) -> Result<usize, String> {
        (self.check)(bytes)
    }
}

/// As the fuzzer wants it: a broken property is a panic.
fn insist(outcome: Result<usize, String>) {
    if let Err(why) = outcome {
        panic!("{why}");
    }
}
