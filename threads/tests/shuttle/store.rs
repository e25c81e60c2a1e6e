//! A real store whose calls can be held up at any point, and fail.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use shuttle::sync::{Condvar, Mutex, MutexGuard};
use shuttle::thread;
use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, ClaimerError, Instant, Judge, Leader,
    ServiceName, Term, UnitName,
};
use tenure_memory::MemoryStore;
use tenure_runtime::{Clock, ManualClock};

/// `tenure-memory`, whose locks shuttle does not know: so it is called in one step each time, and
/// whoever waits for a release waits here. All clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    /// Calls of one tracker that are out, by kind: claim, released, release.
    out: Arc<Mutex<[usize; 3]>>,
    /// Its threads that have called.
    callers: Arc<AtomicUsize>,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It hangs until the store is opened, and is carried out then.
    Hang,
    /// It is carried out, and its answer is lost.
    Lose,
    /// It panics.
    Panic,
    /// It hangs until the store is opened, and is lost then.
    Stall,
}

#[derive(Debug)]
struct Shared {
    leases: MemoryStore,
    time: Arc<Time>,
    state: Mutex<State>,
    /// A lease was released, time has passed, the store was opened, or a wait was cancelled.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// For the calls that begin next, of whichever kind, and whether they fail at all.
    faults: VecDeque<Option<Fault>>,
    grants: Vec<Grant>,
    is_open: bool,
    /// How many calls have begun, and how many releases were carried out.
    begun: usize,
    released: usize,
}

/// What was granted to whom, and until when.
#[derive(Debug)]
struct Grant {
    unit: UnitName,
    term: Term,
    until: Instant,
}

/// The store's clock. No switch of threads happens where it is read.
#[derive(Debug, Default)]
struct Time(AtomicU64);

impl Clock for Time {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

impl Store {
    pub(crate) fn new() -> Store {
        let time = Arc::new(Time::default());
        let leases = MemoryStore::with_clock(time.clone());
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { leases, time, state, changed });
        Store { shared, out: Arc::default(), callers: Arc::default() }
    }

    /// The same store, for another tracker.
    pub(crate) fn for_another(&self) -> Store {
        Store { shared: self.shared.clone(), out: Arc::default(), callers: Arc::default() }
    }

    /// One that has these faults in store for the calls that begin next.
    pub(crate) fn with_faults(faults: impl IntoIterator<Item = Option<Fault>>) -> Store {
        let store = Store::new();
        store.lock().faults.extend(faults);
        store
    }

    /// The next call to begin has this fault.
    pub(crate) fn fail_next(&self, fault: Fault) {
        self.lock().faults.push_back(Some(fault));
    }

    /// Time passes: here first, so that no lease is counted from before its claim was sent, and
    /// then by the holders' clock.
    pub(crate) fn pass(&self, span: Duration, clock: &ManualClock) {
        let now = clock.now().saturating_add(span);
        self.shared.time.0.store(now.as_nanos(), Ordering::SeqCst);
        self.change(|_| {});
        clock.set(now);
    }

    /// Nothing hangs any more, and there are no more faults.
    pub(crate) fn open(&self) {
        self.change(|state| {
            state.is_open = true;
            state.faults.clear();
        });
    }

    /// Who holds the lease now.
    pub(crate) fn holder(&self) -> Option<UnitName> {
        let service = "mysql".parse().unwrap();
        BlockingClaimer::leader(&self.shared.leases, &service).unwrap().map(|leader| leader.unit)
    }

    /// How many releases were carried out.
    pub(crate) fn released(&self) -> usize {
        self.lock().released
    }

    /// That `unit` was granted `term`, and at least until `valid_until`.
    pub(crate) fn check_grant(&self, unit: &UnitName, term: Term, valid_until: Instant) {
        let state = self.lock();
        let is_it = |grant: &&Grant| grant.unit == *unit && grant.term == term;
        let until = state.grants.iter().filter(is_it).map(|grant| grant.until).max();
        assert!(Some(valid_until) <= until, "{unit} {term} {valid_until:?}: {:?}", state.grants);
    }

    /// Waits until so many calls have begun, and so many releases have been carried out.
    pub(crate) fn wait_for(&self, begun: usize, released: usize) {
        let mut state = self.lock();
        while state.begun < begun || state.released < released {
            state = self.shared.changed.wait(state).unwrap();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.shared.changed.notify_all();
    }

    /// Makes a call of this kind, of which one may be out at a time, with what happens to it.
    fn call<T>(&self, kind: usize, call: impl FnOnce() -> T) -> Result<T, ClaimerError> {
        let begun = {
            let mut out = self.out.lock().unwrap();
            out[kind] += 1;
            out[kind]
        };
        assert_eq!(begun, 1, "two calls of one kind are out, on as many threads");
        Caller::note(&self.callers);
        let mut fault = None;
        self.change(|state| {
            state.begun += 1;
            fault = state.faults.pop_front().flatten();
        });
        let result = match fault {
            None => Ok(call()),
            Some(Fault::Hang) => {
                self.wait_until_open();
                Ok(call())
            }
            Some(Fault::Lose) => {
                call();
                Err(ClaimerError::unknown("lost"))
            }
            Some(Fault::Panic) => {
                self.out.lock().unwrap()[kind] -= 1;
                // Not by `panic!`: shuttle's hook would take it for the end of the test.
                resume_unwind(Box::new("the store panics"));
            }
            Some(Fault::Stall) => {
                self.wait_until_open();
                Err(ClaimerError::unknown("lost"))
            }
        };
        self.out.lock().unwrap()[kind] -= 1;
        result
    }
}

impl Store {
    fn wait_until_open(&self) {
        let mut state = self.lock();
        while !state.is_open {
            state = self.shared.changed.wait(state).unwrap();
        }
    }
}

/// A thread of a tracker's that has called the store, and has not ended: it counts itself.
struct Caller(Arc<AtomicUsize>);

shuttle::thread_local! {
    static CALLER: RefCell<Option<Caller>> = RefCell::new(None);
}

impl Caller {
    fn note(callers: &Arc<AtomicUsize>) {
        CALLER.with(|caller| {
            caller.borrow_mut().get_or_insert_with(|| {
                let threads = callers.fetch_add(1, Ordering::SeqCst) + 1;
                // Three at most wait or make calls; others may be on their way out.
                assert!(threads <= 6, "{threads} threads call the store");
                Caller(callers.clone())
            });
        });
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl BlockingClaimer for Store {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError> {
        let answer = self.call(0, || {
            let until = self.shared.time.now().saturating_add(lease);
            let answer = BlockingClaimer::claim(&self.shared.leases, candidate, lease);
            if let Ok(ClaimAnswer::Granted { term }) = answer {
                let unit = candidate.unit.clone();
                self.lock().grants.push(Grant { unit, term, until });
            }
            answer
        });
        // On its way back.
        thread::yield_now();
        answer.and_then(|answer| answer)
    }

    fn released(&self, service: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError> {
        let is_free = || BlockingClaimer::leader(&self.shared.leases, service).unwrap().is_none();
        self.call(1, || {
            cancel.on_cancel(Waker::from(self.shared.clone()));
            let mut state = self.lock();
            while !cancel.is_cancelled() && !is_free() {
                state = self.shared.changed.wait(state).unwrap();
            }
        })
    }

    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        self.call(2, || {
            BlockingClaimer::release(&self.shared.leases, candidate).unwrap();
            self.change(|state| state.released += 1);
        })
    }

    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        BlockingClaimer::leader(&self.shared.leases, service)
    }

    fn judge(&self) -> Judge {
        Judge::Host
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        // Behind the lock, so that whoever has looked and found nothing is waiting by now.
        drop(self.state.lock().unwrap());
        self.changed.notify_all();
    }
}
