//! What the command line may say.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedI64ValueParser;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tenure_core::{Config, ServiceName, UnitName};

use crate::failure::{self, Failure};
use crate::store::{self, StoreText, StoreUrl};
use crate::timing::ClockOptions;

#[derive(Debug, Parser)]
#[command(name = "tenure", version, about, long_about = LONG_ABOUT, after_long_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Tell more on standard error: -v who is promoted and demoted, -vv also each renewal.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const LONG_ABOUT: &str = "\
Leader election for commands: run one process of many, know who leads, and for how long.

Units contend for a service; one leads at most. Leadership is a lease in a store, of twice the \
guarantee. It comes with a term, a number that rises whenever the leader changes: hand it to \
what you act on, so that it can refuse a lower one.";

const AFTER_HELP: &str = "\
Examples:
  tenure demo
  tenure run --store sqlite:/var/lib/jobs.db --service mailer -- mailer --queue out
  tenure status --store sqlite:/var/lib/jobs.db --service mailer
  tenure claim --store sqlite:/var/lib/jobs.db --unit backup/0 --quiet && backup

Stores:
  sqlite:PATH
      a file, for the processes of one host; its directory must exist
  etcd://[USER:PASSWORD@]HOST[:PORT][,HOST...][/PREFIX][?tls=on]
      a cluster of etcd
  postgres://[USER:PASSWORD@]HOST[:PORT][,HOST...][/DATABASE][?sslmode=verify-full]
      a table of a Postgres database
  redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER]
      a Redis or Valkey server; rediss:// for TLS. It may forget a lease when it fails over: have \
what you act on check the term
  In each form / ? # @ % are written %2F %3F %23 %40 %25 where they are part of a name or a \
password (of a path / may stand as it is), a newline %0A, a blank at an end %20. A blank or \
newline at an end, two slashes in a row and options that there are not are refused: they would \
name another store, with another leader. A password on the command line can be seen by others: \
name the store in TENURE_STORE instead.

Clocks:
  A lease counts by the store's clock, and a unit believes in it for less: --clock-ratio for \
clocks of another rate, --store-slack for steps. Postgres and Redis go by the server's wall \
clock: a step of it by more than --store-slack (a second, or a quarter of the guarantee if that \
is less) ends a lease while its holder believes in it.

Exit codes:
    0   done; of claim: the unit leads
    1   of claim: the unit does not lead; of demo: two led at once, or a phase failed
    2   the arguments make no sense
   69   the store cannot be used
   71   the system refused something: a process, a thread, a file
   75   of run: leadership was lost, and the command was stopped
   77   of run: leadership was lost, and the command could not be stopped in time
  126   of run: the command cannot be executed
  127   of run: the command does not exist
  128+N ended by signal N; of run: the command was
  Any other code of run is its command's own.

Environment:
  TENURE_STORE the store, where --store is left out; not for demo
  TENURE_LOG   which events to show on standard error (warn, info, debug, or a filter such as
               tenure_runtime=debug); goes before -v
  TENURE_SESSIONS
               the directory for the session files of claim and release

What is told on standard error never stops anything: lines that cannot be written are dropped.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Claim once, for scripts and cron: exit 0 if the unit leads, now and for the guarantee.
    #[command(long_about = CLAIM)]
    Claim(ClaimOptions),
    /// Watch real processes elect a leader, hand over and fail over. Needs nothing set up.
    #[command(long_about = DEMO)]
    Demo(DemoOptions),
    /// Release what `tenure claim` holds.
    #[command(long_about = RELEASE)]
    Release(ReleaseOptions),
    /// Run a command while this unit leads.
    #[command(long_about = RUN, after_long_help = RUN_CODES)]
    Run(RunOptions),
    /// Say who leads, in which term, and for how long yet.
    Status(LookOptions),
    /// Say who leads, and again at each change, until interrupted.
    #[command(long_about = WATCH)]
    Watch(LookOptions),

    /// One candidate of the demo.
    #[command(hide = true)]
    Candidate(CandidateOptions),
    /// What the command of `tenure run` is before it becomes the command.
    #[command(hide = true)]
    Exec(ExecOptions),
    /// Removes the directory of a demo that was killed.
    #[command(hide = true)]
    Janitor(JanitorOptions),
    /// Kills the command of `tenure run` when `tenure run` cannot.
    #[command(hide = true)]
    Watchdog(WatchdogOptions),
}

const RUN: &str = "\
Wait to lead, then run CMD, in a process group of its own, with TENURE_SERVICE, TENURE_UNIT and \
TENURE_TERM in its environment. When CMD ends, what it leaves in its group gets TERM and, after \
--grace, KILL (at once on systems without subreapers: all but Linux); then the lease is released, \
and CMD's exit code returned.

A store that refuses at the first contact (a wrong password, a certificate, a missing permission) \
ends it with 69. Later, each such refusal is said and the store tried again, as one that is away \
is from the start: the leader keeps its lease as long as that lasts, and renews it once all is well.

HUP, INT, QUIT, TERM, USR1, USR2, ALRM, WINCH and CONT are forwarded to the group, and CONT after \
HUP, INT, QUIT and TERM, for a CMD that is stopped. Those that tenure was started to ignore, as \
HUP by nohup, are ignored by CMD too; SIGCHLD is not, and what the caller blocked is not blocked. \
After TERM or INT the group has --grace to end, and is killed then; the lease is renewed \
meanwhile.

When leadership is lost the group gets TERM, half a guarantee before anybody else can lead, and \
KILL a tenth of a guarantee (one second at most) before that. If the store says that another leads \
already, KILL comes a twentieth of a guarantee (half a second at most) after TERM. Then --on-loss \
decides.

Should tenure itself be killed (kill -9), the group is killed at once by a watchdog, a second \
process, which is named lease-watchdog for killall and pkill to spare; should tenure be frozen \
(SIGSTOP), the watchdog kills the group before the lease runs out. On Linux, Android and FreeBSD \
the kernel also kills CMD itself when tenure dies (PR_SET_PDEATHSIG, PROC_PDEATHSIG_CTL), unless \
CMD is setuid or setgid or has capabilities; macOS and the others have the watchdog alone. A \
watchdog that dies, is stopped or does not answer counts as a loss. If both are killed at once, as \
by killall with a path, CMD dies with tenure, and what it has started may not.

A CMD that runs as another user may be out of reach. A program that is setuid or has CAP_SETUID \
is refused with 126, unless tenure may signal everybody, as root may, or --allow-setuid is given. \
What sudo or the like in a script becomes is seen only when it cannot be signalled: tenure says \
so, renews and keeps the lease until it has ended, and exits with 77 if the lease ended first.

Out of reach is also what leaves the process group: by setsid, in a shell with job control, under \
timeout(1) in a script. On Linux tenure says so when CMD has ended; systemd-run --scope or a \
container ends all of it. And no watchdog runs while the whole machine stands still: have what \
CMD acts on check TENURE_TERM.

If standard input is a terminal, CMD's is empty: it would be stopped for reading from it; give \
--foreground to hand it the terminal. A CMD that is stopped keeps the leadership, and tenure says \
so. Without --foreground Ctrl-Z freezes tenure, and so costs CMD its life when the lease is about \
to run out.

Meant for containers too: tenure waits for the orphans that come to it, as process 1 and, on \
Linux, from CMD.";

const RUN_CODES: &str = "\
Exit codes:
  CMD's own; 128+N if signal N killed it, or ended the wait to lead
    2   the arguments make no sense
   69   the store cannot be used
   71   the system refused something: a process, a thread
   75   leadership was lost, and CMD was stopped (--on-loss stop)
   77   leadership was lost, and something of CMD was alive when the lease ended (--on-loss stop)
  126   CMD cannot be executed, or could not be ended: see --allow-setuid
  127   CMD does not exist

Examples:
  tenure run --store sqlite:/var/lib/jobs.db --service mailer -- mailer --queue out
  tenure run --store sqlite:jobs.db --unit web/0 --guarantee 3s --on-loss restart -- ./serve";

const CLAIM: &str = "\
Claim once, for scripts and cron: exit 0 if the unit leads, now and for the guarantee at least; \
exit 1 if not. Claim again with the same names to renew.

The store knows a holder by its unit and a nonce. The nonce is kept between the calls in a \
session file, which only its owner may read, so whoever claims with the same session file is \
the same holder: give each job its own --unit. Without --session the file is found by store, \
service and unit, in /var/tmp/tenure-UID, or /var/lib/tenure for root: the same place for a login, \
for cron and for a service, whatever is set in the environment. A session that an earlier version \
left in $XDG_RUNTIME_DIR or the directory for temporary files is taken over.

Denied by one's own unit, with another session: that is told on standard error too.";

const RELEASE: &str = "\
Release what `tenure claim` holds with the same session file, and draw a new nonce, so that the \
next claim is another holder's. Done at once if nothing is held.";

const WATCH: &str = "\
Say who leads, and again whenever the leader or the term changes, one line each. A release is \
seen when it happens; a new leader within a quarter of a second. While somebody leads, a server \
is asked once in five seconds.";

const DEMO: &str = "\
Start several candidates, each a process of its own, over a SQLite file in a temporary \
directory, or over --store. Then stop the leader politely, kill it, and freeze it for longer \
than its lease; show how long the service had no leader each time, beside the bound for a \
machine that is not overloaded; and check every yes of every candidate: exit 1 if two ever led at \
once, or somebody did not do as told. Takes about twenty seconds with the default guarantee.";

/// Which service of which store.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Where the leases are: see `tenure --help`.
    #[arg(long, value_name = "URL", env = store::VARIABLE, hide_env_values = true)]
    store: StoreText,
    /// What to lead. If left out, what stands before the slash of a unit like mysql/0.
    #[arg(long)]
    pub(crate) service: Option<ServiceName>,
}

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Who contends. If left out, HOST:PID of this process.
    #[arg(long)]
    pub(crate) unit: Option<UnitName>,
    /// Half the lease: a crash leaves the service without a leader for up to twice as long.
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = guarantee)]
    pub(crate) guarantee: Duration,
    #[command(flatten)]
    pub(crate) clocks: ClockOptions,
    /// What to do when leadership is lost, once CMD is gone.
    #[arg(long, value_enum, default_value = "stop")]
    pub(crate) on_loss: OnLoss,
    /// How long CMD may take to end after TERM or INT, and its group after CMD.
    ///
    /// Less than whoever stops tenure waits before it sends KILL (docker stop 10 s, Kubernetes
    /// 30 s, systemd 90 s), as the lease is released after it, which may take a quarter of the
    /// guarantee: what is killed before that leaves the service without a leader for a lease.
    #[arg(long, value_name = "SPAN", default_value = "7s", value_parser = span)]
    pub(crate) grace: Duration,
    /// Run CMD in the terminal's foreground, if tenure is: to read from it, and with its keys.
    ///
    /// Ctrl-C and Ctrl-Z reach CMD's group, and not tenure. If CMD is stopped, tenure takes the
    /// terminal back, so that Ctrl-C ends CMD, and hands it over again when it is sent CONT. CMD's
    /// group is ended on a loss as it is without this.
    #[arg(long)]
    pub(crate) foreground: bool,
    /// Run CMD though it is setuid or has CAP_SETUID, and may become a process that cannot be
    /// killed.
    #[arg(long)]
    pub(crate) allow_setuid: bool,
    /// The command, and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    pub(crate) command: Vec<OsString>,
}

/// What `tenure run` does after a loss.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum OnLoss {
    /// Contend again, and run CMD anew.
    Restart,
    /// End, with code 75.
    Stop,
}

#[derive(Debug, Args)]
pub(crate) struct LookOptions {
    /// Where the leases are: see `tenure --help`.
    #[arg(long, value_name = "URL", env = store::VARIABLE, hide_env_values = true)]
    store: StoreText,
    /// Of which service.
    #[arg(long)]
    pub(crate) service: ServiceName,
    /// Answer in JSON, one object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ClaimOptions {
    #[command(flatten)]
    pub(crate) holder: HolderOptions,
    /// How long a yes holds at least. The lease is twice as long.
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = guarantee)]
    pub(crate) guarantee: Duration,
    #[command(flatten)]
    pub(crate) clocks: ClockOptions,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseOptions {
    #[command(flatten)]
    pub(crate) holder: HolderOptions,
}

/// Who claims, and where that is remembered.
#[derive(Debug, Args)]
pub(crate) struct HolderOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Who claims.
    #[arg(long)]
    pub(crate) unit: UnitName,
    /// The session file, in place of the one that is found by store, service and unit.
    #[arg(long, value_name = "FILE")]
    pub(crate) session: Option<PathBuf>,
    /// Answer in JSON, one object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Say nothing but errors.
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// The store to use, which keeps what is in it. If left out, a file in a temporary directory.
    #[arg(long, value_name = "URL")]
    store: Option<StoreText>,
    /// How many candidates.
    #[arg(long, value_name = "N", default_value = "3", value_parser = candidates())]
    pub(crate) candidates: u8,
    /// Half the lease.
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = guarantee)]
    pub(crate) guarantee: Duration,
    #[command(flatten)]
    pub(crate) clocks: ClockOptions,
}

#[derive(Debug, Args)]
pub(crate) struct CandidateOptions {
    #[arg(long)]
    pub(crate) parent: i32,
    #[command(flatten)]
    pub(crate) place: Place,
    #[arg(long)]
    pub(crate) unit: UnitName,
    #[arg(long, value_parser = guarantee)]
    pub(crate) guarantee: Duration,
    #[command(flatten)]
    pub(crate) clocks: ClockOptions,
}

#[derive(Debug, Args)]
pub(crate) struct ExecOptions {
    #[arg(long)]
    pub(crate) parent: i32,
    #[arg(long)]
    pub(crate) program: OsString,
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct JanitorOptions {
    #[arg(long)]
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct WatchdogOptions {
    #[arg(long)]
    pub(crate) group: i32,
    #[arg(long)]
    pub(crate) until_ns: u64,
}

impl DemoOptions {
    /// The store that was chosen, if any.
    pub(crate) fn store(&self) -> Result<Option<StoreUrl>, Failure> {
        self.store.as_ref().map(StoreText::url).transpose()
    }
}

impl LookOptions {
    pub(crate) fn store(&self) -> Result<StoreUrl, Failure> {
        self.store.url()
    }
}

impl Place {
    pub(crate) fn store(&self) -> Result<StoreUrl, Failure> {
        self.store.url()
    }

    /// The service, given or derived from `unit`.
    pub(crate) fn service(&self, unit: Option<&UnitName>) -> Result<ServiceName, Failure> {
        if let Some(service) = &self.service {
            return Ok(service.clone());
        }
        unit.and_then(UnitName::service).ok_or_else(|| {
            Failure::new(
                failure::USAGE,
                "--service is missing, and --unit is not of the form SERVICE/NUMBER",
            )
        })
    }
}

fn candidates() -> RangedI64ValueParser<u8> {
    RangedI64ValueParser::new().range(2..=9)
}

pub(crate) fn span(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

fn guarantee(text: &str) -> Result<Duration, String> {
    let span = span(text).map_err(|error| error.to_string())?;
    Config::new(span).map(|config| config.guarantee()).map_err(|error| error.to_string())
}

/// The arguments of this process; `None` if they asked for help, which has been given.
pub(crate) fn parse() -> Result<Option<Arguments>, Failure> {
    match Arguments::try_parse() {
        Ok(arguments) => Ok(Some(arguments)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                crate::output::say(error.to_string().trim_end())?;
                Ok(None)
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                crate::stderr::write(error.to_string());
                Err(Failure::silent(failure::USAGE))
            }
            _ => Err(Failure::new(failure::USAGE, one_line(&error.to_string()))),
        },
    }
}

/// What clap says in several paragraphs, of which the first says what is wrong.
fn one_line(message: &str) -> String {
    let first = message.split("\n\n").next().unwrap_or_default();
    let line = first.split_whitespace().collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }
}
