//! Searches the worlds of [`tenure_testkit::world`], and prints a table: `cargo xtask worlds`.
#![forbid(unsafe_code)]

use std::fs;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use tenure_core::ConfigError;
use tenure_testkit::world::{Limits, Model, Progress, Report, flawed, gallery, search};

/// Search whole worlds of trackers and a store, the shortest histories first
#[derive(Parser)]
#[command(name = "cargo xtask worlds", bin_name = "cargo xtask worlds")]
struct Arguments {
    /// Only worlds of so many units
    #[arg(long, value_parser = clap::value_parser!(u8).range(2..=3), value_name = "2|3")]
    units: Option<u8>,
    /// Only worlds with this in their name
    #[arg(long, default_value = "", value_name = "TEXT")]
    world: String,
    /// Leave a world after so many states
    #[arg(long, default_value_t = 80_000_000, value_name = "NUMBER")]
    states: u64,
    /// Run on so many threads: by default, on all there are
    #[arg(long, value_name = "NUMBER")]
    threads: Option<usize>,
    /// Search the broken worlds instead, and print how each is found out
    #[arg(long)]
    flawed: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = if arguments.flawed { run_flawed(&arguments) } else { run(&arguments) };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("worlds: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all worlds are clean.
fn run(arguments: &Arguments) -> Result<bool, ConfigError> {
    let units = arguments.units.map_or(vec![2, 3], |units| vec![usize::from(units)]);
    let mut rows = Vec::new();
    let mut is_clean = true;
    for units in units {
        for model in gallery(units)? {
            if model.name.contains(&arguments.world) {
                let (report, seconds) = search_one(&model, arguments);
                if let Some(violation) = &report.violation {
                    is_clean = false;
                    println!("{}: {violation}", report.name);
                }
                rows.push((model, report, seconds));
            }
        }
    }
    println!("{HEAD}");
    for (model, report, seconds) in &rows {
        println!("{}", row(model, report, *seconds));
    }
    println!("{INVARIANTS}");
    println!("most memory at any time: {}", memory("VmHWM"));
    Ok(is_clean)
}

const HEAD: &str = "world                           horizon    states transitions depth whole  \
     liveness machines states/s wrong";

fn row(model: &Model, report: &Report, seconds: f64) -> String {
    format!(
        "{:<32} {:>6} {:>9} {:>11} {:>5} {:>5} {:>9} {:>8} {:>8.0} {:>5}",
        report.name,
        model.horizon,
        report.states,
        report.transitions,
        report.depth,
        if report.is_whole { "yes" } else { "no" },
        report.continuations,
        report.machines,
        report.states as f64 / seconds,
        u8::from(report.violation.is_some()),
    )
}

const INVARIANTS: &str = "at every state: S1 S2 S4 S7; at every step: S3 S6 S9 S11, and each \
     tracker's books (S2 S3 S5-S11 T1-T4 B1 B2 B4); liveness: L1 L2 L3";

/// Whether each broken world is found out.
fn run_flawed(arguments: &Arguments) -> Result<bool, ConfigError> {
    let mut table =
        format!("{:<48} {:>6} {:>6} {:>10}\n", "what is broken", "shows", "steps", "states");
    let mut all = true;
    for (model, expected) in flawed()? {
        let (report, _) = search_one(&model, arguments);
        let found = report.violation.as_ref().is_some_and(|found| found.invariant == expected);
        all &= found;
        if let Some(violation) = &report.violation {
            println!("{}: {violation}", report.name);
        }
        let steps = report.violation.map_or(0, |violation| violation.steps.len());
        let shows = if found { format!("{expected:?}") } else { "not".to_owned() };
        table += &format!("{:<48} {shows:>6} {steps:>6} {:>10}\n", report.name, report.states);
    }
    print!("{table}");
    Ok(all)
}

fn search_one(model: &Model, arguments: &Arguments) -> (Report, f64) {
    let threads =
        arguments.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let limits = Limits { states: arguments.states, threads };
    let begun = Instant::now();
    let told = Mutex::new(begun);
    let observe = |progress: Progress| {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= Duration::from_secs(5) {
            *told = Instant::now();
            eprintln!(
                "{}: {} states, {:.0} a second, depth {}, {} waiting, {} machines, memory {}",
                model.name,
                progress.states,
                progress.states as f64 / begun.elapsed().as_secs_f64(),
                progress.depth,
                progress.waiting,
                progress.machines,
                memory("VmRSS"),
            );
        }
    };
    let report = search(model, limits, &observe);
    (report, begun.elapsed().as_secs_f64())
}

/// What Linux says of this process's memory.
fn memory(field: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.map_or("unknown".to_owned(), |line| line.trim().to_owned())
}
