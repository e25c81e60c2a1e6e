//! A hub on a clock that stands still, and ways to wait on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use loom::sync::Notify;
use tenure_core::{AttemptId, ClaimAnswer, ClaimerError, Config, Instant, Outcome, Term};
use tenure_runtime::{Clock, Hub, Order, Ticket, Work};

/// Runs `body` under all schedules with at most `preemptions` switches away from a thread that
/// could go on, or under all there are, and says how many those were.
pub(crate) fn model(preemptions: Option<usize>, body: impl Fn() + Send + Sync + 'static) {
    let runs = Arc::new(AtomicUsize::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 10_000;
    let counted = runs.clone();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        body();
    });
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let bound = preemptions.map_or("all".to_owned(), |bound| format!("up to {bound} preemptions"));
    println!("{name}: {} schedules, {bound}", runs.load(Ordering::Relaxed));
}

/// A clock that stands still: time is no subject here, and loom need not look at it.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::from_nanos(1_000_000_000)
    }
}

/// A hub whose first claim is out, and the number of that claim.
pub(crate) fn hub() -> (Arc<Hub>, AttemptId) {
    let config = Config::builder(Duration::from_secs(10)).jitter_seed(7).build().unwrap();
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let hub = Hub::new(service, unit, config, Arc::new(Still));
    let Order::Begin(claim) = hub.take_work(Waker::noop()).orders.claim else {
        panic!("no claim to begin with")
    };
    (hub, claim.attempt)
}

/// A hub that leads in term 1.
pub(crate) fn leader() -> Arc<Hub> {
    let (hub, attempt) = hub();
    hub.claim_finished(attempt, granted());
    hub
}

pub(crate) fn granted() -> Result<ClaimAnswer, ClaimerError> {
    Ok(ClaimAnswer::Granted { term: Term::new(1) })
}

pub(crate) fn denied() -> Result<ClaimAnswer, ClaimerError> {
    Ok(ClaimAnswer::Denied { leader: None, retry_after: None })
}

/// Rouses whoever sleeps on it, and counts how often it did.
///
/// Not by `loom::thread::park`: that forgets an unpark which meets a thread at a lock.
pub(crate) struct Rouser {
    bell: Notify,
    woken: AtomicUsize,
}

impl Rouser {
    pub(crate) fn new() -> Arc<Rouser> {
        Arc::new(Rouser { bell: Notify::new(), woken: AtomicUsize::new(0) })
    }

    pub(crate) fn woken(&self) -> usize {
        self.woken.load(Ordering::Relaxed)
    }

    /// Sleeps until it is woken, or has been since it slept last; sometimes less long.
    pub(crate) fn sleep(&self) {
        self.bell.wait();
    }
}

impl Wake for Rouser {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.fetch_add(1, Ordering::Relaxed);
        self.bell.notify();
    }
}

/// Waits until `poll` gives something, as a runtime does.
pub(crate) fn wait<T>(mut poll: impl FnMut(&Waker) -> Option<T>) -> T {
    let rouser = Rouser::new();
    let waker = rouser.clone().into();
    loop {
        match poll(&waker) {
            Some(value) => return value,
            None => rouser.sleep(),
        }
    }
}

/// Waits for the answer of a ticket.
pub(crate) fn answer(ticket: &mut Ticket) -> Outcome {
    wait(|waker| ticket.poll(Some(waker)))
}

/// Waits for work that `is_wanted`.
pub(crate) fn work(hub: &Hub, mut is_wanted: impl FnMut(&Work) -> bool) -> Work {
    wait(|waker| Some(hub.take_work(waker)).filter(&mut is_wanted))
}
