use std::{ffi::OsString, process::ExitCode};

use clap::Args;

use crate::cargo;

/// Run the benchmarks, in release mode, and print one table of ratios
///
/// `cargo xtask bench` is `cargo run --release -p tenure-bench`. What follows goes to the
/// benchmarks as it stands; `cargo xtask bench -- --help` says what they take.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Passed on to the benchmarks
    #[arg(allow_hyphen_values = true, trailing_var_arg = true, value_name = "ARGUMENT")]
    passed_on: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    cargo::run_program(&["--package", "tenure-bench"], &arguments.passed_on)
}
