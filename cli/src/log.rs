//! What the runtimes report goes to standard error, as far as it was asked for.

use std::env::VarError;
use std::io::IsTerminal;

use signal_hook::consts::SIGXFSZ;
use tracing_subscriber::EnvFilter;

use crate::failure::{self, Failure};
use crate::{signals, stderr};

/// Which events to show, in `tracing`'s filter syntax: `info`, `tenure_runtime=debug`.
pub(crate) const VARIABLE: &str = "TENURE_LOG";

/// Shows warnings; with `-v` also who is promoted and demoted; with `-vv` renewals; `TENURE_LOG`
/// decides if it is set.
pub(crate) fn start(verbose: u8) -> Result<(), Failure> {
    // Writing beyond the size that files may have is an error, and not the end of this process.
    signals::disregard(&[SIGXFSZ])?;
    let text = match std::env::var(VARIABLE) {
        Ok(text) => text,
        Err(VarError::NotPresent) => String::new(),
        Err(VarError::NotUnicode(text)) => {
            let why = format!("{VARIABLE}={text:?}: it is not UTF-8");
            return Err(Failure::new(failure::USAGE, why));
        }
    };
    // A blank at its end means nothing, but would be part of a name.
    let directives = match (text.trim(), verbose) {
        ("", 0) => "warn",
        ("", 1) => "info",
        ("", 2) => "debug",
        ("", 3..) => "trace",
        (text, _) => text,
    };
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Failure::new(failure::USAGE, format_args!("{VARIABLE}={directives:?}: {error}"))
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr::Log)
        // Else what cannot be written is told on the same standard error, with a panic if it can't.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}
