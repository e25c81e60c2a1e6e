//! Leader election for commands: run one process of many, know who leads, and for how long.
//!
//! `tenure --help` is the manual. What lives where:
//!
//! | module | what it does |
//! | --- | --- |
//! | `args`, `store`, `timing` | what was asked for, where the leases are, how long they hold |
//! | `failure`, `log`, `output`, `stderr` | what goes wrong, what happens, and how it is told |
//! | `run`, `plan`, `stint` | a command that runs while its unit leads |
//! | `search` | its program |
//! | `child`, `group`, `setuid`, `watchdog` | its processes, and what ends them |
//! | `signals`, `terminal` | what comes from outside |
//! | `claim`, `session` | one claim at a time, for scripts |
//! | `status`, `watch` | who leads |
//! | `demo` | real processes that elect, hand over and fail over, and an oracle that watches them |
#![forbid(unsafe_code)]

#[cfg(not(unix))]
compile_error!("tenure runs on Unix only: it needs process groups and signals");

mod args;
mod child;
mod claim;
mod demo;
mod failure;
mod group;
mod log;
mod output;
mod plan;
mod run;
mod search;
mod session;
mod setuid;
mod signals;
mod status;
mod stderr;
mod stint;
mod store;
mod terminal;
mod timing;
mod watch;
mod watchdog;

use std::process::ExitCode;

use crate::args::{Arguments, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    stderr::take_panics();
    let result = args::parse().and_then(|arguments| match arguments {
        Some(arguments) => dispatch(arguments),
        None => Ok(0),
    });
    let code = match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.tell(),
    };
    stderr::flush();
    code
}

fn dispatch(arguments: Arguments) -> Result<u8, Failure> {
    signals::reset()?;
    log::start(arguments.verbose)?;
    match arguments.command {
        Command::Claim(options) => claim::claim(&options),
        Command::Demo(options) => demo::demo(&options),
        Command::Release(options) => claim::release(&options),
        Command::Run(options) => run::run(&options),
        Command::Status(options) => status::status(&options),
        Command::Watch(options) => {
            signals::reap_orphans()?;
            watch::watch(&options)
        }
        Command::Candidate(options) => demo::candidate(&options),
        Command::Exec(options) => child::exec(&options),
        Command::Janitor(options) => demo::janitor(&options),
        Command::Watchdog(options) => watchdog::watchdog(&options),
    }
}
