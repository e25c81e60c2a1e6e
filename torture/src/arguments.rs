//! What the command line may say.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedI64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tenure_core::{Config, ConfigError, ServiceName, UnitName};

use crate::schedule::Fault;

/// Put a store and its candidates to torture, and count
///
/// Candidates are processes of their own, half of them on threads and half on smol. Faults come in
/// an order that a seed gives. Ends with a table. Fails if two ever led at once, if somebody ended
/// or nobody led for no good reason, or if fewer fail-overs happened than are due. As root it runs
/// in a network of its own with a disk of its own, and can do more to both.
#[derive(Parser)]
#[command(
    name = "cargo xtask torture",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) inner: Option<Inner>,
    #[command(flatten)]
    pub(crate) rack: RackOptions,
}

#[derive(Subcommand)]
pub(crate) enum Inner {
    /// One candidate.
    #[command(hide = true)]
    Candidate(CandidateOptions),
    /// What `tenure run` runs: a command that ignores TERM.
    #[command(hide = true)]
    Worker,
}

#[derive(Args)]
pub(crate) struct RackOptions {
    /// Which store
    #[arg(long, value_enum, required = true)]
    pub(crate) store: Option<Store>,
    /// For how many minutes
    #[arg(long, default_value_t = 1.0)]
    pub(crate) minutes: f64,
    /// Where the order of the faults comes from [default: a random one, which is printed]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Half the lease [default: as short as the store bears]
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    pub(crate) guarantee: Option<Duration>,
    /// How many candidates
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = candidates())]
    pub(crate) candidates: u8,
    /// Only these faults; may be given more than once
    #[arg(long, value_enum, value_name = "FAULT")]
    pub(crate) only: Vec<Fault>,
    /// One fault at a time
    #[arg(long)]
    pub(crate) singly: bool,
    /// Break a premise: then two have to lead at once, and it fails if that never shows
    #[arg(long, value_enum, value_name = "PREMISE")]
    pub(crate) control: Option<Control>,
    /// Say nothing before the table but what is odd
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Write all that happens, and all that is said, into this directory
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) log: Option<PathBuf>,
}

/// What can be tortured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Store {
    /// Three nodes
    Etcd,
    /// A server that forgets all when it is killed
    ForgetfulRedis,
    /// A server
    Postgres,
    /// A server that syncs each command
    Redis,
    /// A file
    Sqlite,
    /// A server that syncs each command, and whose clock is set now and then
    Valkey,
}

/// A premise of the promise, to be broken: the rack has to notice.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Control {
    /// Candidates count a lease from the reply, not from the request
    CountFromReply,
    /// The store forgets its leases, and grants at once: with --store forgetful-redis
    NoHoldOff,
    /// Candidates share their unit's name and their nonce
    SharedNonce,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Runtime {
    Smol,
    Std,
}

#[derive(Args)]
pub(crate) struct CandidateOptions {
    #[arg(long)]
    pub(crate) parent: i32,
    #[arg(long, value_enum)]
    pub(crate) runtime: Runtime,
    #[arg(long)]
    pub(crate) store: String,
    #[arg(long)]
    pub(crate) service: ServiceName,
    #[arg(long)]
    pub(crate) unit: UnitName,
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) guarantee: Duration,
    /// By how much the store's clock may be set forward
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) slack: Duration,
    #[arg(long, value_enum)]
    pub(crate) control: Option<Control>,
    /// Where writes go
    #[arg(long)]
    pub(crate) sink: std::net::SocketAddr,
}

fn candidates() -> RangedI64ValueParser<u8> {
    RangedI64ValueParser::new().range(2..=20)
}

/// The config of all candidates.
///
/// # Errors
///
/// Why it cannot be.
pub(crate) fn config(
    guarantee: Duration,
    slack: Duration,
    control: Option<Control>,
) -> Result<Config, ConfigError> {
    let builder = Config::builder(guarantee).store_slack(slack);
    match control {
        // Renewals are slow: the longer they take, the more is lost by counting from the reply.
        Some(Control::CountFromReply) => builder.claim_timeout(guarantee / 2).build(),
        Some(Control::NoHoldOff | Control::SharedNonce) | None => builder.build(),
    }
}
