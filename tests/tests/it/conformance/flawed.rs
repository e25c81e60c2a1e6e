//! A lease store with one bug of choice, and with every fault that the suite can ask for.
//!
//! It is a model: a table, its server's clock, and clients that reach it by requests whose answers
//! can be lost. It has nothing in common with the stores that are shipped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::{Candidate, ClaimAnswer, ClaimerError, Instant, Leader, ServiceName, Term};
use tenure_runtime::{Clock, ManualClock};
use tenure_testkit::conformance::Skew;

use super::bugs::Bug;

/// The store's server. All clones are one.
#[derive(Clone, Debug)]
pub(super) struct Flawed(Arc<Server>);

#[derive(Debug)]
struct Server {
    bug: Option<Bug>,
    clock: Arc<ManualClock>,
    rows: Mutex<HashMap<String, Row>>,
    requests: AtomicUsize,
    waiters: AtomicUsize,
    loses_answers: AtomicBool,
    is_away: AtomicBool,
}

#[derive(Clone, Debug, Default)]
struct Row {
    holder: Option<Candidate>,
    latest: Option<Candidate>,
    term: u64,
    expires_at: Instant,
}

impl Flawed {
    pub(super) fn new(bug: Option<Bug>) -> Flawed {
        // Not at the origin: an hour before it there must be something.
        let clock = Arc::new(ManualClock::new());
        clock.advance(Duration::from_secs(24 * 60 * 60));
        Flawed(Arc::new(Server {
            bug,
            clock,
            rows: Mutex::default(),
            requests: AtomicUsize::new(0),
            waiters: AtomicUsize::new(0),
            loses_answers: AtomicBool::new(false),
            is_away: AtomicBool::new(false),
        }))
    }

    pub(super) fn client(&self, skew: Option<Skew>) -> Client {
        Client { store: self.clone(), skew }
    }

    pub(super) fn advance(&self, span: Duration) {
        self.0.clock.advance(span);
    }

    pub(super) fn lose_answers(&self, loses: bool) {
        self.0.loses_answers.store(loses, Ordering::SeqCst);
    }

    pub(super) fn make_unavailable(&self, away: bool) {
        self.0.is_away.store(away, Ordering::SeqCst);
    }

    pub(super) fn requests(&self) -> usize {
        self.0.requests.load(Ordering::SeqCst)
    }

    pub(super) fn waiters(&self) -> usize {
        self.0.waiters.load(Ordering::SeqCst)
    }

    pub(super) fn exhaust_terms(&self, service: &ServiceName) {
        self.rows().entry(self.key(service)).or_default().term = u64::MAX;
    }

    pub(super) fn restart(&self) {
        for row in self.rows().values_mut() {
            if self.has(Bug::LeaseForgottenOnRestart) {
                row.expires_at = Instant::ORIGIN;
            }
            if self.has(Bug::TermForgottenOnRestart) {
                row.term = 0;
            }
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.0.bug == Some(bug)
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<String, Row>> {
        self.0.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, service: &ServiceName) -> String {
        let fold = self.has(Bug::CaseFolded);
        if fold { service.as_str().to_lowercase() } else { service.as_str().to_owned() }
    }

    /// Whether `holder` is who asks.
    fn is(&self, holder: &Candidate, candidate: &Candidate) -> bool {
        let prefixed = self.has(Bug::NamesByPrefix)
            && candidate.unit.as_str().starts_with(holder.unit.as_str());
        (holder.unit == candidate.unit || prefixed) && holder.nonce == candidate.nonce
    }

    /// What the server does with a claim.
    fn decide(
        &self,
        row: &mut Row,
        candidate: &Candidate,
        lease: Duration,
        now: Instant,
    ) -> Result<ClaimAnswer, ClaimerError> {
        let short = self.has(Bug::LeaseCountedShort);
        let asked = now.saturating_add(if short { lease / 5 * 4 } else { lease });
        match &row.holder {
            Some(holder) if self.is(holder, candidate) => {
                let longest = asked.max(row.expires_at);
                row.expires_at = if self.has(Bug::RenewalShortens) { asked } else { longest };
                row.term += u64::from(self.has(Bug::RenewalRaisesTerm));
            }
            Some(holder) if now < row.expires_at && !self.gives_in(holder, candidate) => {
                return Ok(ClaimAnswer::Denied {
                    leader: Some(holder.unit.clone()),
                    retry_after: Some(row.expires_at.saturating_duration_since(now)),
                });
            }
            Some(_) | None => {
                row.term = self.next_term(row, candidate)?;
                row.holder = Some(candidate.clone());
                row.latest = row.holder.clone();
                row.expires_at = asked;
            }
        }
        Ok(ClaimAnswer::Granted { term: Term::new(row.term) })
    }

    /// Whether somebody else gets a lease that lasts.
    fn gives_in(&self, holder: &Candidate, candidate: &Candidate) -> bool {
        self.has(Bug::GrantsWhileHeld)
            || (self.has(Bug::UnitAloneIsTheHolder) && holder.unit == candidate.unit)
            || (self.has(Bug::NonceAloneIsTheHolder) && holder.nonce == candidate.nonce)
    }

    fn next_term(&self, row: &Row, candidate: &Candidate) -> Result<u64, ClaimerError> {
        let same_unit = row.latest.as_ref().is_some_and(|latest| latest.unit == candidate.unit);
        if (self.has(Bug::TermKeptOnTakeOver) && row.holder.is_some())
            || (self.has(Bug::TermKeptForTheUnit) && same_unit)
        {
            return Ok(row.term);
        }
        if self.has(Bug::TermWraps) {
            return Ok(row.term.wrapping_add(1));
        }
        row.term.checked_add(1).ok_or_else(|| ClaimerError::fatal("no term is left"))
    }

    fn free(&self, row: &mut Row, candidate: &Candidate) -> Result<(), ClaimerError> {
        let own = row.holder.as_ref().is_some_and(|holder| {
            self.is(holder, candidate)
                || (self.has(Bug::ReleaseByUnit) && holder.unit == candidate.unit)
                || (self.has(Bug::ReleaseByNonce) && holder.nonce == candidate.nonce)
                || self.has(Bug::ReleaseByAnybody)
        });
        if own && !self.has(Bug::ReleaseIgnored) {
            row.holder = None;
            row.expires_at = Instant::ORIGIN;
            if self.has(Bug::TermResetOnRelease) {
                row.term = 0;
            }
        } else if self.has(Bug::ReleaseTwiceFails) {
            return Err(ClaimerError::unknown("not held"));
        }
        Ok(())
    }

    fn leader(&self, row: &Row, now: Instant) -> Option<Leader> {
        let holder = row.holder.as_ref().filter(|_| now < row.expires_at)?;
        let remaining = row.expires_at.saturating_duration_since(now);
        Some(Leader { unit: holder.unit.clone(), term: Term::new(row.term), remaining })
    }
}

/// A client, at the other end of a line that loses answers.
#[derive(Clone, Debug)]
pub(super) struct Client {
    store: Flawed,
    skew: Option<Skew>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Silence {
    Lost,
    Away,
}

impl Client {
    pub(super) fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        let ask = || self.ask(|| self.claim_at_the_server(candidate, lease));
        let mut answer = ask();
        if self.has(Bug::RetriesWhenDenied) && matches!(answer, Ok(Ok(ClaimAnswer::Denied { .. })))
        {
            answer = ask();
        }
        for _ in 0..2 {
            if self.has(Bug::RetriesWhenLost) && answer.is_err() {
                answer = ask();
            }
        }
        let denied = || Ok(ClaimAnswer::Denied { leader: None, retry_after: None });
        match answer {
            Ok(answer) => answer,
            Err(Silence::Lost) if self.has(Bug::LostIsDenied) => denied(),
            Err(Silence::Away) if self.has(Bug::AwayIsDenied) => denied(),
            Err(Silence::Lost) if self.has(Bug::LostIsReadBack) => {
                match self.read(&candidate.service) {
                    Some(leader) if leader.unit == candidate.unit => {
                        Ok(ClaimAnswer::Granted { term: leader.term })
                    }
                    Some(_) | None => Err(silent(Silence::Lost)),
                }
            }
            Err(_) if self.has(Bug::SilenceIsFatal) => Err(ClaimerError::fatal("no answer")),
            Err(silence) => Err(silent(silence)),
        }
    }

    pub(super) fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        let row = self.store.key(&candidate.service);
        let released =
            self.ask(|| self.store.free(self.store.rows().entry(row).or_default(), candidate));
        match released {
            Ok(released) => released,
            Err(_) if self.has(Bug::LostReleaseIsDone) => Ok(()),
            Err(silence) => Err(silent(silence)),
        }
    }

    pub(super) fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        match self.ask(|| self.read(service)) {
            Ok(leader) => Ok(leader),
            Err(_) if self.has(Bug::LostLeaderIsNobody) => Ok(None),
            Err(silence) => Err(silent(silence)),
        }
    }

    pub(super) fn wait(&self, service: &ServiceName) -> Wait {
        self.store.0.waiters.fetch_add(1, Ordering::SeqCst);
        let first = self.row(service);
        Wait { client: self.clone(), service: service.clone(), first, done: false }
    }

    /// Holds a lease for ever while its claim is under way, and gives how to put that right.
    pub(super) fn stretch(&self, candidate: &Candidate) -> impl FnOnce() {
        let (store, key) = (self.store.clone(), self.store.key(&candidate.service));
        let expires_at = {
            let mut rows = store.rows();
            let row = rows.entry(key.clone()).or_default();
            std::mem::replace(&mut row.expires_at, Instant::MAX)
        };
        move || store.rows().entry(key).or_default().expires_at = expires_at
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.store.has(bug)
    }

    /// One request, and its answer.
    fn ask<T>(&self, serve: impl FnOnce() -> T) -> Result<T, Silence> {
        let server = &self.store.0;
        server.requests.fetch_add(1, Ordering::SeqCst);
        if server.is_away.load(Ordering::SeqCst) {
            return Err(Silence::Away);
        }
        let answer = serve();
        if server.loses_answers.load(Ordering::SeqCst) { Err(Silence::Lost) } else { Ok(answer) }
    }

    fn claim_at_the_server(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        let key = self.store.key(&candidate.service);
        if self.has(Bug::ReadThenWrite) {
            let mut row = self.row(&candidate.service);
            std::thread::sleep(Duration::from_millis(1));
            let answer = self.store.decide(&mut row, candidate, lease, self.now());
            self.store.rows().insert(key, row);
            answer
        } else {
            let mut rows = self.store.rows();
            self.store.decide(rows.entry(key).or_default(), candidate, lease, self.now())
        }
    }

    fn read(&self, service: &ServiceName) -> Option<Leader> {
        self.store.leader(&self.row(service), self.store.0.clock.now())
    }

    fn row(&self, service: &ServiceName) -> Row {
        self.store.rows().get(&self.store.key(service)).cloned().unwrap_or_default()
    }

    /// The server's time; or the client's own, which a bug takes for it.
    fn now(&self) -> Instant {
        let (now, hour) = (self.store.0.clock.now(), Duration::from_secs(60 * 60));
        match self.skew {
            Some(Skew::Ahead) if self.has(Bug::LeaseByClientClock) => now.saturating_add(hour),
            Some(Skew::Behind) if self.has(Bug::LeaseByClientClock) => now.saturating_sub(hour),
            Some(_) | None => now,
        }
    }
}

fn silent(silence: Silence) -> ClaimerError {
    ClaimerError::unknown(format!("{silence:?}"))
}

/// A call of `released`. Dropped before it is done, it was cancelled.
pub(super) struct Wait {
    client: Client,
    service: ServiceName,
    /// How the service was when the wait began.
    first: Row,
    done: bool,
}

impl Wait {
    /// How long a waiter sleeps between two looks: the model has nobody to wake it.
    pub(super) const NAP: Duration = Duration::from_millis(1);

    /// Whether the wait is over.
    pub(super) fn look(&mut self) -> bool {
        let row = self.client.row(&self.service);
        let now = self.client.store.0.clock.now();
        let held = |row: &Row| row.holder.is_some() && now < row.expires_at;
        let has = |bug| self.client.has(bug);
        self.done = if has(Bug::ReturnsAtOnce) {
            true
        } else if has(Bug::HangsWhenFree) {
            self.first.holder.is_some() && row.holder.is_none()
        } else if has(Bug::SleepsThroughExpiry) {
            row.holder.is_none()
        } else if has(Bug::SleepsThroughRelease) {
            !held(&row) && now >= self.first.expires_at
        } else if has(Bug::HeedsNoRenewal) {
            !held(&row) || now >= self.first.expires_at
        } else {
            !held(&row)
        };
        if has(Bug::Polls) {
            self.client.store.0.requests.fetch_add(1, Ordering::SeqCst);
        }
        self.done
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let client = &self.client;
        let leaks = |bug| !self.done && client.has(bug);
        if !leaks(Bug::LeaksWaiters) {
            client.store.0.waiters.fetch_sub(1, Ordering::SeqCst);
        }
        if leaks(Bug::LeaksThreads) {
            std::thread::spawn(|| {
                loop {
                    std::thread::park();
                }
            });
        }
        if leaks(Bug::LeaksFiles) {
            std::mem::forget(std::fs::File::open("/dev/null"));
        }
    }
}
