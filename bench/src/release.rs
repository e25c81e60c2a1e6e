use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use smol::{Timer, future};
use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, Claimer, ClaimerError, Judge, Leader, Outcome,
    ServiceName,
};
use tenure_memory::MemoryStore;
use tenure_runtime::{CancelToken, fresh_nonce};
use tenure_smol::Unblock;
use tenure_sqlite::SqliteClaimer;

use crate::fixtures;
use crate::harness::{Samples, interleave};
use crate::table::{Quantity, Row, Target};

pub(crate) const LEASE: Duration = Duration::from_secs(600);
/// How long that takes where there is no network between.
pub(crate) const SETTLE: Duration = Duration::from_millis(2);

/// From the leader's stepping down to the next leader's ticket, next to the bare store.
pub(crate) fn run(rounds: usize) -> Vec<Row> {
    let rounds = rounds * 10;
    let mut rows = Vec::new();
    let memory = MemoryStore::new;
    rows.extend(both("memory, smol", &on_smol(rounds, SETTLE, memory)));
    rows.extend(both("memory, std", &on_std(rounds, SETTLE, memory)));
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    let mut files = 0;
    let mut sqlite = || {
        files += 1;
        let path = directory.path().join(format!("{files}.db"));
        SqliteClaimer::open(path).expect("there is room for a small file")
    };
    let rounds = rounds * 2 / 3;
    rows.extend(both("SQLite, smol", &on_smol(rounds, SETTLE, || Unblock::new(sqlite()))));
    rows.extend(both("SQLite, std", &on_std(rounds, SETTLE, sqlite)));
    rows
}

fn both(what: &str, [bare, through]: &[Samples; 2]) -> Vec<Row> {
    let row = |name: &str, quantile| {
        let [this, store] = [through, bare].map(|samples| samples.quantile(quantile));
        Row::new(format!("release to the next leader's ticket, {what}: {name}"), nanos(this))
            .next_to("bare store", nanos(store))
    };
    let (half, tail) = (row("p50", 0.5), row("p99", 0.99));
    if what.starts_with("memory") {
        return vec![half.elsewhere("12.3 µs"), tail.elsewhere("48 µs")];
    }
    vec![half, tail].into_iter().map(|row| row.target(Target::AtMost(nanos(250e6)))).collect()
}

fn nanos(nanos: f64) -> Quantity {
    Quantity::Nanos(nanos)
}

/// Counts the calls that have begun to wait, so that a round begins when somebody waits.
struct Counted<C> {
    claimer: Arc<C>,
    waiting: Arc<AtomicUsize>,
}

impl<C: Claimer> Claimer for Counted<C> {
    async fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        self.claimer.claim(candidate, lease).await
    }

    async fn released(&self, service: &ServiceName) -> Result<(), ClaimerError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.claimer.released(service).await
    }

    async fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.claimer.release(candidate).await
    }

    async fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        self.claimer.leader(service).await
    }

    fn judge(&self) -> Judge {
        self.claimer.judge()
    }
}

impl<C: BlockingClaimer> BlockingClaimer for Counted<C> {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError> {
        self.claimer.claim(candidate, lease)
    }

    fn released(&self, service: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.claimer.released(service, cancel)
    }

    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.claimer.release(candidate)
    }

    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        self.claimer.leader(service)
    }

    fn judge(&self) -> Judge {
        self.claimer.judge()
    }
}

/// Who waits in one store, and how many waited when a round began.
#[derive(Clone)]
struct Waiting {
    begun: Arc<AtomicUsize>,
    /// How long whoever begins to wait is given until it does.
    settle: Duration,
}

impl Waiting {
    fn new(settle: Duration) -> Waiting {
        Waiting { begun: Arc::default(), settle }
    }

    fn counted<C>(&self, claimer: C) -> Arc<Counted<C>> {
        Arc::new(Counted { claimer: Arc::new(claimer), waiting: self.begun.clone() })
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// Until more have begun to wait than `before`.
    fn until_more_than(&self, before: usize) {
        while self.begun() <= before {
            thread::sleep(Duration::from_micros(50));
        }
        thread::sleep(self.settle);
    }
}

pub(crate) fn candidate(unit: usize) -> Candidate {
    let nonce = fresh_nonce();
    Candidate { service: fixtures::service(0), unit: fixtures::unit(0, unit), nonce }
}

/// How long who has stepped down leaves the others to claim.
const COOL_OFF: Duration = Duration::from_millis(20);
/// Others may be too slow for that on a busy machine; then the same one leads again.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the leader's last attempt to make another one lead took.
fn time_change(mut change: impl FnMut() -> Option<Outcome>) -> f64 {
    for _ in 0..20 {
        let start = Instant::now();
        let outcome = change();
        let elapsed = start.elapsed();
        match outcome {
            Some(Outcome::Leader { .. }) => return elapsed.as_nanos() as f64,
            Some(Outcome::Minion | Outcome::Stopped) => panic!("nobody stopped it"),
            None => {}
        }
    }
    panic!("the other one never leads");
}

/// The bare store, and through trackers on smol: what each round took.
pub(crate) fn on_smol<C: Claimer>(
    rounds: usize,
    settle: Duration,
    mut store: impl FnMut() -> C,
) -> [Samples; 2] {
    let waiting = Waiting::new(settle);
    let shared = Arc::new(store());
    let mut trackers = [0, 1].map(|unit| {
        let claimer = Counted { claimer: shared.clone(), waiting: waiting.begun.clone() };
        let (service, name) = (fixtures::service(0), fixtures::unit(0, unit));
        let (tracker, driver) =
            tenure_smol::Tracker::new(claimer, service, name, fixtures::config());
        smol::spawn(driver.run()).detach();
        if unit == 0 {
            smol::block_on(tracker.wait_leader());
        }
        tracker
    });
    waiting.until_more_than(0);
    let through = Box::new(move || {
        let before = waiting.begun();
        let mut ticket = trackers[1].wait_leader();
        let nanos = time_change(|| {
            trackers[0].step_down(COOL_OFF);
            let answer = async { Some((&mut ticket).await) };
            let patience = async {
                Timer::after(PATIENCE).await;
                None
            };
            smol::block_on(future::or(answer, patience))
        });
        trackers.swap(0, 1);
        waiting.until_more_than(before);
        nanos
    });
    let bare = bare_on_smol(store(), settle);
    let samples = interleave(rounds, vec![bare, through]);
    samples.try_into().expect("one for each batch")
}

fn bare_on_smol<C: Claimer>(store: C, settle: Duration) -> Box<dyn FnMut() -> f64> {
    let waiting = Waiting::new(settle);
    let store = waiting.counted(store);
    let mut candidates = [candidate(0), candidate(1)];
    smol::block_on(store.claim(&candidates[0], LEASE)).expect("the store works");
    Box::new(move || {
        let before = waiting.begun();
        let next = {
            let (store, next) = (store.clone(), candidates[1].clone());
            smol::spawn(async move {
                store.released(&next.service).await?;
                store.claim(&next, LEASE).await
            })
        };
        waiting.until_more_than(before);
        let start = Instant::now();
        let release = async { store.release(&candidates[0]).await.expect("the store works") };
        let answer = smol::block_on(async { (release.await, next.await).1 });
        let elapsed = start.elapsed();
        assert!(matches!(answer, Ok(ClaimAnswer::Granted { .. })));
        candidates.swap(0, 1);
        elapsed.as_nanos() as f64
    })
}

/// The bare store, and through trackers on threads: what each round took.
pub(crate) fn on_std<C: BlockingClaimer>(
    rounds: usize,
    settle: Duration,
    mut store: impl FnMut() -> C,
) -> [Samples; 2] {
    let waiting = Waiting::new(settle);
    let shared = Arc::new(store());
    let mut trackers = [0, 1].map(|unit| {
        let claimer = Counted { claimer: shared.clone(), waiting: waiting.begun.clone() };
        let (service, name) = (fixtures::service(0), fixtures::unit(0, unit));
        let (tracker, driver) =
            tenure_std::Tracker::new(claimer, service, name, fixtures::config());
        driver.spawn().expect("there is a thread to be had");
        if unit == 0 {
            tracker.wait_leader().wait();
        }
        tracker
    });
    waiting.until_more_than(0);
    let through = Box::new(move || {
        let before = waiting.begun();
        let mut ticket = trackers[1].wait_leader();
        let nanos = time_change(|| {
            trackers[0].step_down(COOL_OFF);
            ticket.wait_timeout(PATIENCE)
        });
        trackers.swap(0, 1);
        waiting.until_more_than(before);
        nanos
    });
    let bare = bare_on_std(store(), settle);
    let samples = interleave(rounds, vec![bare, through]);
    samples.try_into().expect("one for each batch")
}

fn bare_on_std<C: BlockingClaimer>(store: C, settle: Duration) -> Box<dyn FnMut() -> f64> {
    let waiting = Waiting::new(settle);
    let store = waiting.counted(store);
    let mut candidates = [candidate(0), candidate(1)];
    store.claim(&candidates[0], LEASE).expect("the store works");
    Box::new(move || {
        let before = waiting.begun();
        let (sender, answer) = crossbeam_channel::bounded(1);
        let next = {
            let (store, next) = (store.clone(), candidates[1].clone());
            thread::spawn(move || {
                store.released(&next.service, &CancelToken::new())?;
                let answer = store.claim(&next, LEASE)?;
                sender.send(answer).map_err(ClaimerError::unknown)
            })
        };
        waiting.until_more_than(before);
        let start = Instant::now();
        store.release(&candidates[0]).expect("the store works");
        let answer = answer.recv();
        let elapsed = start.elapsed();
        assert!(matches!(answer, Ok(ClaimAnswer::Granted { .. })));
        next.join().expect("does not panic").expect("the store works");
        candidates.swap(0, 1);
        elapsed.as_nanos() as f64
    })
}
