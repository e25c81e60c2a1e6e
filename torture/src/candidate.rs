//! One candidate: a process that asks whether it leads, says so, and writes to the sink if it does.

mod seat;

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tenure_core::{BlockingClaimer, Claimer, Config, Outcome, Standing, Term};
use tenure_etcd::EtcdOptions;
use tenure_postgres::PostgresOptions;
use tenure_redis::RedisOptions;
use tenure_smol::Unblock;
use tenure_sqlite::SqliteOptions;
use tenure_std::{BlockOn, BootClock, Clock};
use tenure_testkit::witness::{Answer, Report, Yes};
use tracing_subscriber::EnvFilter;

use crate::arguments::{self, CandidateOptions, Runtime};
use crate::bent::Bend;
use seat::{OnSmol, OnStd, Seat};

/// How long from a yes to the write that relies on it. Long beside the rest of the loop, so that
/// who is stopped is often stopped in here.
const ACT: Duration = Duration::from_millis(4);
/// How long from one answer to the next question, for a leader and for a minion.
const PAUSES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(10)];
/// Which events go to standard error.
const LOG: &str = "TENURE_LOG";

/// What a candidate is told by a line on its standard input. The end of the input is the end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// Step down, and claim nothing for as long.
    StepDown { cool_off: Duration },
}

impl Order {
    /// The line, with its end.
    pub(crate) fn line(self) -> String {
        match self {
            Order::StepDown { cool_off } => format!("step-down {}\n", cool_off.as_nanos()),
        }
    }

    fn parse(line: &str) -> Option<Order> {
        let cool_off = line.strip_prefix("step-down ")?.parse().ok()?;
        Some(Order::StepDown { cool_off: Duration::from_nanos(cool_off) })
    }
}

/// The hidden subcommand.
pub(crate) fn run(options: &CandidateOptions) -> Result<(), Box<dyn Error>> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid().is_none_or(|parent| parent.as_raw_pid() != options.parent) {
        return Ok(());
    }
    let filter = std::env::var(LOG).unwrap_or_else(|_| "off".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
    let orders = orders()?;
    let config = arguments::config(options.guarantee, options.slack, options.control)?;
    match options.store.split_once(':') {
        Some(("sqlite", path)) => {
            let sqlite = SqliteOptions::new().busy_timeout(config.claim_timeout());
            match open(&orders, || sqlite.clone().open(path)) {
                Some(store) => block(options, config, store, &orders),
                None => Ok(()),
            }
        }
        Some(("etcd", _)) => {
            let store = EtcdOptions::from_url(&options.store)?.time_limit(config.claim_timeout());
            wait(options, config, store.open(), &orders)
        }
        Some(("postgres", _)) => {
            let store = PostgresOptions::from_url(&options.store)?;
            let store = store.time_limit(config.claim_timeout()).open();
            wait(options, config, store, &orders)
        }
        Some(("redis", _)) => {
            let store = RedisOptions::from_url(&options.store)?.time_limit(config.claim_timeout());
            wait(options, config, store.open(), &orders)
        }
        _ => Err(format!("there is no such store: {}", options.store).into()),
    }
}

/// Opens a store that may be away just now; `None` if it is told to end first.
fn open<C, E: Error>(
    orders: &Receiver<Order>,
    mut attempt: impl FnMut() -> Result<C, E>,
) -> Option<C> {
    loop {
        match attempt() {
            Ok(store) => return Some(store),
            // Nobody may be able to read it.
            Err(error) => drop(writeln!(io::stderr(), "the store does not open: {error}")),
        }
        // Who does not lead has nothing to step down from.
        let told = orders.recv_timeout(Duration::from_millis(20));
        if told == Err(RecvTimeoutError::Disconnected) {
            return None;
        }
    }
}

fn block<C: BlockingClaimer>(
    options: &CandidateOptions,
    config: Config,
    store: C,
    orders: &Receiver<Order>,
) -> Result<(), Box<dyn Error>> {
    let bend = Bend::new(options.control, config.guarantee());
    match options.runtime {
        Runtime::Std => {
            contend(&OnStd::start(store, options, config, bend.clone())?, options, &bend, orders)
        }
        Runtime::Smol => {
            let seat = OnSmol::start(Unblock::new(store), options, config, bend.clone());
            contend(&seat, options, &bend, orders)
        }
    }
}

fn wait<C: Claimer>(
    options: &CandidateOptions,
    config: Config,
    store: C,
    orders: &Receiver<Order>,
) -> Result<(), Box<dyn Error>> {
    let bend = Bend::new(options.control, config.guarantee());
    match options.runtime {
        Runtime::Std => {
            let seat = OnStd::start(BlockOn::new(store), options, config, bend.clone())?;
            contend(&seat, options, &bend, orders)
        }
        Runtime::Smol => {
            contend(&OnSmol::start(store, options, config, bend.clone()), options, &bend, orders)
        }
    }
}

fn contend(
    seat: &impl Seat,
    options: &CandidateOptions,
    bend: &Bend,
    orders: &Receiver<Order>,
) -> Result<(), Box<dyn Error>> {
    let mut sink = Sink::connect(options.sink)?;
    let mut stdout = io::stdout().lock();
    let mut say = |report: Report| writeln!(stdout, "{report}");
    let mut pause = Duration::ZERO;
    loop {
        match orders.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
            Ok(Order::StepDown { cool_off }) => {
                // Before the lease can be released, so that the next yes of anybody is later.
                let at = BootClock.now();
                seat.step_down(cool_off);
                say(Report::Resigned { at })?;
            }
        }
        let asked = BootClock.now();
        let outcome = seat.ask();
        let answered = BootClock.now();
        let yes = match outcome {
            Outcome::Leader { term, valid_until } => {
                Some(Yes { term, valid_until: bend.on_boot_clock(valid_until) })
            }
            Outcome::Minion => None,
            Outcome::Stopped => break,
        };
        let stands = matches!(seat.standing(), Standing::Leader { .. });
        say(Report::Answer(Answer { asked, answered, yes, stands }))?;
        pause = PAUSES[usize::from(yes.is_none())];
        if let Some(yes) = yes {
            thread::sleep(ACT);
            sink.write(yes.term)?;
        }
    }
    let at = BootClock.now();
    seat.kill();
    say(Report::Resigned { at })?;
    seat.wait()
}

/// What comes on standard input.
fn orders() -> io::Result<Receiver<Order>> {
    let (sender, orders) = crossbeam_channel::unbounded();
    thread::Builder::new().name("orders".to_owned()).spawn(move || {
        for line in io::stdin().lines() {
            let Some(order) = line.ok().as_deref().and_then(Order::parse) else { return };
            if sender.send(order).is_err() {
                return;
            }
        }
    })?;
    Ok(orders)
}

/// What a leader writes to.
#[derive(Debug)]
struct Sink(BufReader<TcpStream>);

impl Sink {
    fn connect(address: SocketAddr) -> io::Result<Sink> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Sink(BufReader::new(stream)))
    }

    /// Whether it was refused is for the sink to count: this is one that does not even look.
    fn write(&mut self, term: Term) -> io::Result<()> {
        writeln!(self.0.get_mut(), "{term}")?;
        self.0.read_line(&mut String::new()).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_is_written() {
        let order = Order::StepDown { cool_off: Duration::from_millis(300) };
        assert_eq!(Order::parse(order.line().trim_end()), Some(order));
        assert_eq!(Order::parse("step-down"), None);
    }
}
