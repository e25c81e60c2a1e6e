use std::{ffi::OsString, process::ExitCode};

use clap::Args;

use crate::cargo;

/// Search whole worlds of trackers and a store, in release mode, and print a table
///
/// What follows goes to the program as it stands; `cargo xtask worlds --help` says what it takes.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Passed on to the program
    #[arg(allow_hyphen_values = true, trailing_var_arg = true, value_name = "ARGUMENT")]
    passed_on: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    cargo::run_program(
        &["--package", "tenure-testkit", "--features", "cli", "--bin", "worlds"],
        &arguments.passed_on,
    )
}
