//! The developer's one command: `cargo xtask <command>`.
//!
//! A command is a variant of [`Command`], and a module or a program of the workspace; a step of
//! `test` is a variant of [`steps::Step`] and an arm of its `run`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod cargo;
mod counts;
mod examples;
mod first_failure;
mod fuzz;
mod house;
mod mutants;
mod no_std;
mod outcome;
mod packages;
mod program;
mod servers;
mod steps;
mod test;
mod threads;
mod time_limit;
mod torture;
mod tree;

/// The developer's one command.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the benchmarks, in release mode, and print one table of ratios
    #[command(disable_help_flag = true)]
    Bench(program::Arguments),
    /// What `mutants` runs tests with
    #[command(hide = true)]
    FirstFailure(first_failure::Arguments),
    /// Measure how long a service has no leader, over real stores, in release mode
    #[command(disable_help_flag = true)]
    Failover(program::Arguments),
    Fuzz(fuzz::Arguments),
    /// Count what contending costs real stores, in release mode
    #[command(disable_help_flag = true)]
    Load(program::Arguments),
    Mutants(mutants::Arguments),
    /// Simulate clusters from seeds, in release mode, and print a table
    ///
    /// `cargo xtask simulate --seeds 10000`, `--minutes 60`, or `--seed 7 --log` for one run and
    /// what happens in it.
    #[command(disable_help_flag = true)]
    Simulate(program::Arguments),
    Test(test::Arguments),
    /// What `test` runs test binaries with
    #[command(hide = true)]
    TimeLimit(time_limit::Arguments),
    /// Put a store and its candidates to torture, in release mode, and print a table
    ///
    /// `cargo xtask torture --store sqlite --minutes 20`
    #[command(disable_help_flag = true)]
    Torture(program::Arguments),
    /// Search whole worlds of trackers and a store, in release mode, and print a table
    #[command(disable_help_flag = true)]
    Worlds(program::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Bench(arguments) => program::bench(&arguments),
        Command::FirstFailure(arguments) => first_failure::run(&arguments),
        Command::Failover(arguments) => program::bench_table("failover", &arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Load(arguments) => program::bench_table("load", &arguments),
        Command::Mutants(arguments) => mutants::run(&arguments),
        Command::Simulate(arguments) => program::testkit("simulate", &arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::TimeLimit(arguments) => time_limit::run(&arguments),
        Command::Torture(arguments) => program::torture(&arguments),
        Command::Worlds(arguments) => program::testkit("worlds", &arguments),
    }
}
