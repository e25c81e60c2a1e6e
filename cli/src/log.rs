//! What the runtimes report goes to standard error, as far as it was asked for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::failure::{self, Failure};

/// Which events to show, in `tracing`'s filter syntax: `info`, `tenure_runtime=debug`.
pub(crate) const VARIABLE: &str = "TENURE_LOG";

/// Shows warnings; with `-v` also who is promoted and demoted; with `-vv` renewals; `TENURE_LOG`
/// decides if it is set.
pub(crate) fn start(verbose: u8) -> Result<(), Failure> {
    let directives = match std::env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => text,
        _ => match verbose {
            0 => "warn",
            1 => "info",
            2 => "debug",
            3.. => "trace",
        }
        .to_owned(),
    };
    let filter = EnvFilter::try_new(&directives).map_err(|error| {
        Failure::new(failure::USAGE, format_args!("{VARIABLE}={directives:?}: {error}"))
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}
