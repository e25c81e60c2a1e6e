//! The torture rack: real candidate processes on both runtimes over a real store, and all that can
//! go wrong with them, in an order that a seed gives, under the eyes of an oracle.
//!
//! `cargo xtask torture --store etcd --minutes 20` runs it in release mode, and ends in a table;
//! `cargo xtask torture --help` says what else it takes.
#![forbid(unsafe_code)]

mod arguments;
mod bent;
mod candidate;
mod fleet;
mod ground;
mod journal;
mod rack;
mod room;
mod rounds;
mod schedule;
mod sink;
mod statistics;
mod table;
mod worker;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Inner};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.inner {
        Some(Inner::Candidate(options)) => candidate::run(&options).map(|()| true),
        Some(Inner::Worker) => worker::run().map(|()| true),
        None => rack::run(&arguments.rack),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("torture: {error}");
            ExitCode::from(2)
        }
    }
}
