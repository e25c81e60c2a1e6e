//! Benchmarks of Tenure: one command, one table of ratios.
//!
//! Each thing is measured next to a yardstick, in short batches that take turns, because the
//! machines that this runs on are shared: the load spoils both alike, and the ratio stays. The
//! table gives medians, and the median of the ratios.
//!
//! `cargo xtask bench` runs it in release mode; `cargo xtask bench -- --help` says what it takes.
//! `cargo xtask failover` and `cargo xtask load` are two more tables, over real servers.
#![forbid(unsafe_code)]

mod allocations;
mod bytes;
mod claim;
mod election;
mod failover;
mod fixtures;
mod handle;
mod harness;
mod instructions;
mod load;
mod park;
mod release;
mod sqlite;
mod stores;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand, ValueEnum};
use tenure_testkit::server::ServerError;

use crate::stores::Store;
use crate::table::{Row, Table};

/// Measure Tenure, and print one table of ratios
///
/// Every thing is measured next to a yardstick, in turns: a shared machine spoils both alike.
/// A size or a count over its target ends in exit code 1. A time over its target is shown as
/// `over`, and ends in exit code 1 with --check only.
#[derive(Parser)]
#[command(name = "tenure-bench")]
struct Arguments {
    /// Measure this only; may be given more than once
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Part>,

    /// Count instructions only: short for --only instructions
    #[arg(long, conflicts_with = "only")]
    instructions: bool,

    /// A tenth of the rounds: says less, and that in some seconds
    #[arg(long)]
    quick: bool,

    /// Print the table as Markdown
    #[arg(long, global = true)]
    markdown: bool,

    /// Exit with 1 if a time is over its target as well
    #[arg(long, global = true)]
    check: bool,

    #[command(subcommand)]
    inner: Option<Inner>,
}

#[derive(Subcommand)]
enum Inner {
    /// Measure how long a service has no leader, beside the bare store and the engine's own way
    ///
    /// After a release: from the leader's stepping down to the next leader's ticket. After a
    /// crash: from the end of the lease to that. Needs etcd, Postgres and Redis; servers are
    /// started, and stopped again.
    Failover {
        /// Over this store only; may be given more than once
        #[arg(long, value_enum, value_name = "STORE")]
        store: Vec<stores::Kind>,
        /// How many crashes; there are five times as many releases
        #[arg(long, default_value_t = 10)]
        rounds: usize,
    },
    /// Count what contending costs a store, at its server
    ///
    /// Operations are requests of etcd, statements of Postgres, commands of Redis: a lease (two
    /// seconds here), and an hour at the guarantee of 10 seconds that the command starts with.
    Load {
        /// Over this store only; may be given more than once
        #[arg(long, value_enum, value_name = "STORE")]
        store: Vec<stores::Kind>,
        /// For how many leases
        #[arg(long, default_value_t = 10)]
        leases: u32,
    },
    /// Do nothing but this: what valgrind counts the instructions of
    #[command(hide = true)]
    Repeat { what: instructions::Subject, times: u64 },
}

/// What can be measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// The machine's `handle`, for each event
    Handle,
    /// `claim_leader()` on a fresh leader, answered
    Claim,
    /// `wait_leader()`, parked and answered
    Park,
    /// Bytes and threads of idle trackers, bytes of parked tickets
    Bytes,
    /// From a release to the next leader's ticket
    Release,
    /// The SQLite store without a tracker
    Sqlite,
    /// Instructions, as valgrind counts them
    Instructions,
}

impl Part {
    fn run(self, rounds: usize) -> Vec<Row> {
        match self {
            Part::Handle => handle::run(rounds),
            Part::Claim => claim::run(rounds),
            Part::Park => park::run(rounds),
            Part::Bytes => bytes::run(),
            Part::Release => release::run(rounds),
            Part::Sqlite => sqlite::run(rounds),
            Part::Instructions => instructions::run(),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut table = Table::default();
    match &arguments.inner {
        Some(Inner::Repeat { what, times }) => {
            what.repeat(*times);
            return ExitCode::SUCCESS;
        }
        Some(Inner::Failover { store, rounds }) => {
            over_stores(store, Store::start, |store| table.extend(failover::run(store, *rounds)));
        }
        Some(Inner::Load { store, leases }) => {
            over_stores(store, Store::start_counting, |store| {
                table.extend(load::run(store, *leases));
            });
        }
        None => measure(&arguments, &mut table),
    }
    eprintln!();
    let text = if arguments.markdown { table.markdown() } else { table.plain() };
    let verdict = table.verdict();
    let remark = match arguments.inner {
        Some(_) => "",
        None => {
            "\nAllocations are counted while times are taken, for some nanoseconds each.\
             \nThe Go seed's figures were measured elsewhere, on such a machine: \
             they were not run here."
        }
    };
    // Whoever reads it may stop before its end.
    let _ = writeln!(
        io::stdout(),
        "{text}\nTargets: {} met, {} times over, {} sizes or counts over.\n\
         Times are medians.{remark}",
        verdict.met,
        verdict.slow,
        verdict.missed
    );
    let failed = verdict.missed > 0 || (arguments.check && verdict.slow > 0);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn measure(arguments: &Arguments, table: &mut Table) {
    let parts = match &arguments.only[..] {
        _ if arguments.instructions => vec![Part::Instructions],
        [] => Part::value_variants().to_vec(),
        only => only.to_vec(),
    };
    let rounds = if arguments.quick { 3 } else { 30 };
    for (index, part) in parts.iter().enumerate() {
        eprint!("[{}/{}] {part:?} ...", index + 1, parts.len());
        let start = Instant::now();
        table.extend(part.run(rounds));
        eprintln!(" {:.1} s", start.elapsed().as_secs_f64());
    }
}

/// Has `work` done over each of the stores that were chosen, or over all.
fn over_stores(
    chosen: &[stores::Kind],
    start: fn(stores::Kind) -> Result<Store, ServerError>,
    mut work: impl FnMut(&Store),
) {
    let kinds = if chosen.is_empty() { stores::Kind::value_variants() } else { chosen };
    for &kind in kinds {
        match start(kind) {
            Ok(store) => work(&store),
            Err(error) => eprintln!("{kind} is left out: {error}"),
        }
    }
}
