//! What `tenure run` runs in one of the places: a command that ignores TERM, and says that it is at
//! work until it is killed.

use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use signal_hook::consts::SIGTERM;
use tenure_core::Term;
use tenure_runtime::{BootClock, Clock};
use tenure_testkit::witness::Report;

const PAUSE: Duration = Duration::from_millis(2);

/// The hidden subcommand.
pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    signal_hook::flag::register(SIGTERM, Arc::<AtomicBool>::default())?;
    let term = Term::new(std::env::var("TENURE_TERM")?.parse()?);
    let mut stdout = io::stdout().lock();
    loop {
        writeln!(stdout, "{}", Report::Works { at: BootClock.now(), term })?;
        thread::sleep(PAUSE);
    }
}
