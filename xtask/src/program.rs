use std::{ffi::OsString, process::ExitCode};

use clap::Args;

use crate::cargo;

/// What a program of the workspace is run with. Its help is its own, so none is added here.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Passed on to the program
    #[arg(allow_hyphen_values = true, trailing_var_arg = true, value_name = "ARGUMENT")]
    passed_on: Vec<OsString>,
}

pub(crate) fn bench(arguments: &Arguments) -> ExitCode {
    cargo::run_program(&["--package", "tenure-bench"], &arguments.passed_on)
}

pub(crate) fn torture(arguments: &Arguments) -> ExitCode {
    // One of the candidates is a command that it runs.
    if let Err(shortfall) = cargo::run(&["build", "--release", "--package", "tenure"]) {
        eprintln!("xtask: {shortfall}");
        return ExitCode::FAILURE;
    }
    cargo::run_program(&["--package", "tenure-torture"], &arguments.passed_on)
}

/// Another table that the benchmarks can print.
pub(crate) fn bench_table(name: &str, arguments: &Arguments) -> ExitCode {
    let mut passed_on = vec![name.into()];
    passed_on.extend_from_slice(&arguments.passed_on);
    cargo::run_program(&["--package", "tenure-bench"], &passed_on)
}

/// A program of the testkit.
pub(crate) fn testkit(name: &str, arguments: &Arguments) -> ExitCode {
    cargo::run_program(
        &["--package", "tenure-testkit", "--features", "cli", "--bin", name],
        &arguments.passed_on,
    )
}
