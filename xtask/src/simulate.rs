use std::{ffi::OsString, process::ExitCode};

use clap::Args;

use crate::cargo;

/// Simulate clusters from seeds, on all cores, and end with a table
///
/// `cargo xtask simulate --seeds 10000`, `--minutes 60`, or `--seed 7 --log` for one run and what
/// happens in it. `--broken clock`, `suspend` or `amnesia` breaks a premise, and fails if two
/// leaders at once never show. `cargo xtask simulate --help` says what else there is.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Passed on to the simulation
    #[arg(allow_hyphen_values = true, trailing_var_arg = true, value_name = "ARGUMENT")]
    passed_on: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let program = ["--package", "tenure-testkit", "--features", "cli", "--bin", "simulate"];
    let status = cargo::command(["run", "--release", "--quiet"])
        .args(program)
        .arg("--")
        .args(&arguments.passed_on)
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: cargo does not start: {error}");
            ExitCode::FAILURE
        }
    }
}
