//! The developer's one command: `cargo xtask <command>`.
//!
//! A command is a variant of [`Command`] and a module; a step of `test` is a variant of
//! [`steps::Step`] and an arm of its `run`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod cargo;
mod counts;
mod examples;
mod fuzz;
mod house;
mod mutants;
mod no_std;
mod outcome;
mod packages;
mod simulate;
mod steps;
mod test;
mod threads;
mod tree;
mod worlds;

/// The developer's one command.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Bench(bench::Arguments),
    Fuzz(fuzz::Arguments),
    Mutants(mutants::Arguments),
    Simulate(simulate::Arguments),
    Test(test::Arguments),
    Worlds(worlds::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Mutants(arguments) => mutants::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Worlds(arguments) => worlds::run(&arguments),
    }
}
