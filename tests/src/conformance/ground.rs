use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tenure_core::{Candidate, ClaimAnswer, ClaimerError, ServiceName, Term};
use tenure_runtime::fresh_nonce;

use super::client::Client;
use super::{Clause, Skew};

/// A lease that does not expire while a check runs.
pub(super) const LONG: Duration = Duration::from_secs(600);
/// What a waiter is given to settle in its wait. If it needs longer, a check sees less.
const SETTLE: Duration = Duration::from_millis(10);

/// What the checks stand on: the store's clients, time, names, and the owner's hooks.
pub(super) struct Ground {
    pub(super) open: Box<dyn Fn() -> Arc<dyn Client>>,
    /// A lease that a check can wait out.
    pub(super) short: Duration,
    pub(super) granularity: Duration,
    pub(super) patience: Duration,
    pub(super) early_returns_max: usize,
    pub(super) contenders: usize,
    pub(super) time: Time,
    pub(super) lose_answers: Option<Switch>,
    pub(super) hold_up: Option<HoldUp>,
    pub(super) make_unavailable: Option<Switch>,
    pub(super) restart: Option<Box<dyn Fn()>>,
    pub(super) exhaust_terms: Option<Exhaust>,
    pub(super) open_skewed: Option<OpenSkewed>,
    pub(super) requests: Option<Box<dyn Fn() -> usize>>,
    pub(super) must_poll: Option<String>,
    pub(super) counters: Vec<Counter>,
    run: String,
    serial: AtomicUsize,
}

pub(super) enum Time {
    /// Real time: it passes by itself, and more of it than one asks for.
    Sleep { since: Instant },
    /// Time that passes only when it is told to.
    Advance { advance: Box<dyn Fn(Duration)>, passed_ns: AtomicU64 },
}

/// A fault of the store's, on or off.
pub(super) struct Switch(pub(super) Box<dyn Fn(bool)>);

/// Holds up one request on its way, and tells whether it does.
pub(super) struct HoldUp {
    pub(super) hold: Box<dyn Fn(bool)>,
    pub(super) is_holding: Box<dyn Fn() -> bool>,
}

/// Brings a service's terms to their end.
pub(super) struct Exhaust(pub(super) Box<dyn Fn(&ServiceName)>);

/// Gives a client whose own clock is wrong.
pub(super) struct OpenSkewed(pub(super) Box<dyn Fn(Skew) -> Arc<dyn Client>>);

/// A number that a leak would raise.
pub(super) struct Counter {
    pub(super) name: String,
    pub(super) count: Box<dyn Fn() -> usize>,
}

/// Why a check ended early.
#[derive(Debug)]
pub(super) enum Stop {
    Broken {
        expected: String,
        came: String,
    },
    /// The check rests on another clause, and that is broken.
    Premise {
        clause: Clause,
        expected: String,
        came: String,
    },
    LeftOut(String),
    /// A lease ran out while the machine did something else: nothing can be said.
    TooSlow,
}

impl Ground {
    pub(super) fn new(open: Box<dyn Fn() -> Arc<dyn Client>>) -> Ground {
        Ground {
            open,
            short: Duration::from_millis(200),
            granularity: Duration::ZERO,
            patience: Duration::from_secs(10),
            early_returns_max: 0,
            contenders: 4,
            time: Time::Sleep { since: Instant::now() },
            lose_answers: None,
            hold_up: None,
            make_unavailable: None,
            restart: None,
            exhaust_terms: None,
            open_skewed: None,
            requests: None,
            must_poll: None,
            counters: Vec::new(),
            // A store that outlives the test must not remember an earlier run's services.
            run: fresh_nonce().to_string()[..8].to_owned(),
            serial: AtomicUsize::new(0),
        }
    }

    pub(super) fn open(&self) -> Arc<dyn Client> {
        (self.open)()
    }

    /// A service that nobody has claimed yet.
    pub(super) fn service(&self) -> ServiceName {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        name(&format!("tenure-conformance-{}-{serial}", self.run))
    }

    /// What has passed since some origin.
    pub(super) fn now(&self) -> Duration {
        match &self.time {
            Time::Sleep { since } => since.elapsed(),
            Time::Advance { passed_ns, .. } => {
                Duration::from_nanos(passed_ns.load(Ordering::Relaxed))
            }
        }
    }

    /// Lets this much time pass, or, if it is real, somewhat more.
    pub(super) fn pass(&self, span: Duration) {
        match &self.time {
            Time::Sleep { .. } => thread::sleep(span),
            Time::Advance { advance, passed_ns } => {
                advance(span);
                let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
                passed_ns.fetch_add(nanos, Ordering::Relaxed);
            }
        }
    }

    /// Whether time stands still unless it is told to pass.
    pub(super) fn is_exact(&self) -> bool {
        match self.time {
            Time::Sleep { .. } => false,
            Time::Advance { .. } => true,
        }
    }

    /// The least that a lease of this length lasts as this process measures it: real clocks
    /// differ, by the ratio that a tracker reckons with.
    pub(super) fn at_least(&self, lease: Duration) -> Duration {
        if self.is_exact() { lease } else { lease.mul_f64(1.0 / 1.1) }
    }

    /// Ends the check without a verdict if `span` has passed since `since`.
    pub(super) fn in_time(&self, since: Duration, span: Duration) -> Result<(), Stop> {
        if self.now() - since < self.at_least(span) { Ok(()) } else { Err(Stop::TooSlow) }
    }

    /// Lets the threads that were started get to where they wait.
    pub(super) fn settle(&self) {
        thread::sleep(SETTLE);
    }

    /// Asks for a lease that has just run out, or is about to, until it is granted.
    pub(super) fn take_over(
        &self,
        client: &dyn Client,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<Term, Stop> {
        let began = Instant::now();
        loop {
            let answer = client.claim(candidate, lease);
            let denied = matches!(answer, Ok(ClaimAnswer::Denied { .. }));
            if !denied || self.is_exact() || began.elapsed() > self.patience {
                return granted("a lease that lapsed unrenewed is given away", answer);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// As [`take_over`](Ground::take_over), once a whole short lease has passed.
    pub(super) fn take_over_after_lease(
        &self,
        client: &dyn Client,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<Term, Stop> {
        self.pass_lease();
        self.take_over(client, candidate, lease)
    }

    /// What every check rests on that takes a denial for a sign of something else.
    pub(super) fn denies_others(&self, client: &dyn Client) -> Result<(), Stop> {
        let service = self.service();
        granted("a free service is granted", client.claim(&bid(&service, "unit/0"), LONG))?;
        denied("nobody else is granted", client.claim(&bid(&service, "unit/1"), LONG))
            .premise(Clause::Exclusion)
    }

    /// Releases what another clause's check has done with.
    pub(super) fn release(&self, client: &dyn Client, candidate: &Candidate) -> Result<(), Stop> {
        answered("a release is answered", client.release(candidate)).premise(Clause::Release)?;
        let leader = answered("nobody leads after a release", client.leader(&candidate.service))?;
        let free = leader.is_none();
        ensure(free, "nobody leads after a release", leader).premise(Clause::Release)
    }

    /// Lets a short lease run out.
    pub(super) fn pass_lease(&self) {
        let lease = if self.is_exact() { self.short } else { self.short.mul_f64(1.1) };
        self.pass(lease + self.granularity);
    }
}

/// A bid under a nonce of its own.
pub(super) fn bid(service: &ServiceName, unit: &str) -> Candidate {
    let unit = unit.parse().unwrap_or_else(|error| panic!("{unit:?} is a unit's name: {error}"));
    Candidate { service: service.clone(), unit, nonce: fresh_nonce() }
}

/// The same unit's bid, after a restart.
pub(super) fn again(candidate: &Candidate) -> Candidate {
    Candidate { nonce: fresh_nonce(), ..candidate.clone() }
}

pub(super) fn name(text: &str) -> ServiceName {
    text.parse().unwrap_or_else(|error| panic!("{text:?} is a service's name: {error}"))
}

pub(super) fn granted(
    expected: &str,
    answer: Result<ClaimAnswer, ClaimerError>,
) -> Result<Term, Stop> {
    match answer {
        Ok(ClaimAnswer::Granted { term }) => Ok(term),
        Ok(ClaimAnswer::Denied { .. }) | Err(_) => broken(expected, answer),
    }
}

pub(super) fn denied(
    expected: &str,
    answer: Result<ClaimAnswer, ClaimerError>,
) -> Result<(), Stop> {
    match answer {
        Ok(ClaimAnswer::Denied { .. }) => Ok(()),
        Ok(ClaimAnswer::Granted { .. }) | Err(_) => broken(expected, answer),
    }
}

pub(super) fn answered<T: Debug>(
    expected: &str,
    answer: Result<T, ClaimerError>,
) -> Result<T, Stop> {
    match answer {
        Ok(answer) => Ok(answer),
        Err(_) => broken(expected, answer),
    }
}

/// That a call's answer was lost is what it says.
pub(super) fn unknown<T: Debug>(
    expected: &str,
    answer: Result<T, ClaimerError>,
) -> Result<(), Stop> {
    match answer {
        Err(ClaimerError::Unknown(_)) => Ok(()),
        Ok(_) | Err(_) => broken(expected, answer),
    }
}

pub(super) fn ensure(holds: bool, expected: &str, came: impl Debug) -> Result<(), Stop> {
    if holds { Ok(()) } else { broken(expected, came) }
}

pub(super) fn broken<T>(expected: &str, came: impl Debug) -> Result<T, Stop> {
    Err(Stop::Broken { expected: expected.to_owned(), came: format!("{came:?}") })
}

pub(super) fn left_out<T>(reason: &str) -> Result<T, Stop> {
    Err(Stop::LeftOut(reason.to_owned()))
}

/// Tells a check's own subject from what it rests on.
pub(super) trait Premise {
    /// If this is broken, then `clause` is, and not what the check is about.
    fn premise(self, clause: Clause) -> Self;
}

impl<T> Premise for Result<T, Stop> {
    fn premise(self, clause: Clause) -> Result<T, Stop> {
        self.map_err(|stop| match stop {
            Stop::Broken { expected, came } => Stop::Premise { clause, expected, came },
            Stop::Premise { .. } | Stop::LeftOut(_) | Stop::TooSlow => stop,
        })
    }
}
