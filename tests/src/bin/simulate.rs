//! What `cargo xtask simulate` runs: many simulated clusters on all cores, and a table.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::SIGINT;
use signal_hook::flag;
use tenure_testkit::simulate::{
    Broken, Fleet, Limit, Options, Run, Summary, report, run_bytes, run_seed,
};

/// Simulate clusters from seeds, with all that can go wrong, and count
///
/// Ends with a table. Fails if an invariant is broken; with --broken, if that never shows.
#[derive(Parser)]
#[command(name = "cargo xtask simulate")]
struct Arguments {
    /// How many seeds to run [default: 1000, or no limit with --minutes]
    #[arg(long)]
    seeds: Option<u64>,
    /// For how many minutes to run
    #[arg(long)]
    minutes: Option<f64>,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// On how many threads [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
    /// Break a premise: then two have to believe at once
    #[arg(long, value_name = "PREMISE")]
    broken: Option<Premise>,
    /// Run this seed alone
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Run these bytes alone, as a report gives them: two digits for each
    #[arg(long, value_name = "HEX", conflicts_with = "seed", value_parser = bytes_of)]
    bytes: Option<Bytes>,
    /// Print what happens, with --seed or --bytes
    #[arg(long)]
    log: bool,
}

#[derive(Clone, Debug)]
struct Bytes(Vec<u8>);

fn bytes_of(text: &str) -> Result<Bytes, String> {
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    digits.collect::<Option<_>>().map(Bytes).ok_or_else(|| "not pairs of digits".to_owned())
}

#[derive(Clone, Copy, ValueEnum)]
enum Premise {
    /// The store forgets its leases and does not wait
    Amnesia,
    /// Clocks run slower than the ratio allows
    Clock,
    /// Clocks stop while their machine sleeps
    Suspend,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let broken = arguments.broken.map(|premise| match premise {
        Premise::Amnesia => Broken::Amnesia,
        Premise::Clock => Broken::Clock,
        Premise::Suspend => Broken::Suspend,
    });
    let options = Options { broken, log: arguments.log, ..Options::default() };
    match (&arguments.bytes, arguments.seed) {
        (Some(Bytes(bytes)), _) => show(&run_bytes(bytes, options), options, || None),
        (None, Some(seed)) => {
            let quiet = Options { log: false, ..options };
            show(&run_seed(seed, options), options, || Some(report(seed, quiet, fails(quiet))))
        }
        (None, None) => run_many(&arguments, Options { log: false, ..options }),
    }
}

fn show(run: &Run, options: Options, report: impl FnOnce() -> Option<String>) -> ExitCode {
    if let Some(log) = &run.log {
        print!("{log}");
        run.histories.iter().enumerate().for_each(|(number, history)| {
            println!("\nwhat p{number}'s machine was handed:\n{history}");
        });
        let hex: String = run.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("the bytes: {hex}");
    }
    println!("{} bytes, hash {:016x}", run.bytes.len(), run.hash);
    match fails(options)(run) {
        Some(what) => {
            println!("{}", report().unwrap_or(what));
            if run.violation.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        None if options.broken.is_some() => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    }
}

/// What counts as a failure: with a broken premise also that two believe at once.
fn fails(options: Options) -> impl Fn(&Run) -> Option<String> {
    move |run| match options.broken {
        None => run.violation.clone(),
        Some(_) => run.violation.clone().or_else(|| run.exclusion.clone()),
    }
}

fn run_many(arguments: &Arguments, options: Options) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores);
    let time = arguments.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let seeds = match (arguments.seeds, time) {
        (Some(seeds), _) => seeds,
        (None, Some(_)) => u64::MAX,
        (None, None) => 1_000,
    };
    let limit = Limit { seeds, time: time.unwrap_or(Duration::MAX) };
    let fleet = Fleet { options, from: arguments.from, limit, threads };
    let begun = Instant::now();
    let shown = Mutex::new(begun);
    // A signal ends it with the table so far; a second one at once.
    let stop = Arc::new(AtomicBool::new(false));
    let heard = flag::register_conditional_shutdown(SIGINT, 1, stop.clone())
        .and_then(|_| flag::register(SIGINT, stop.clone()));
    if let Err(error) = heard {
        eprintln!("simulate: SIGINT is not listened for: {error}");
    }
    let total = fleet.run(&stop, |summary| {
        if summary.violations > 0 && summary.runs > 100 {
            stop.store(true, Ordering::Relaxed);
        }
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.elapsed() > Duration::from_secs(5) {
            *shown = Instant::now();
            show_progress(summary, begun.elapsed());
        }
    });
    println!("{}", total.summary.table(processor_time(), begun.elapsed()));
    if let Some((seed, violation)) = total.violations.first() {
        for (seed, violation) in &total.violations {
            println!("seed {seed}: {violation}");
        }
        println!("\n{violation}\n{}", report(*seed, options, fails(options)));
        return ExitCode::FAILURE;
    }
    match (options.broken, total.exclusions.first()) {
        (Some(broken), None) => {
            println!("the premise {} was broken, and nothing showed", broken.name());
            ExitCode::FAILURE
        }
        (Some(_), Some((seed, exclusion))) => {
            println!("as it has to be, for one: seed {seed}: {exclusion}");
            ExitCode::SUCCESS
        }
        (None, _) => ExitCode::SUCCESS,
    }
}

fn show_progress(summary: &Summary, wall: Duration) {
    let pace = summary.runs as f64 / wall.as_secs_f64().max(1e-3);
    let (years, grants) = (summary.years(), summary.grants);
    let (runs, violations) = (summary.runs, summary.violations + summary.exclusions);
    eprintln!(
        "{runs} seeds, {years:.3} years, {grants} grants, {violations} violations, {pace:.0}/s"
    );
}

/// What this process has used of the processors, all its threads together.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(secs) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}
