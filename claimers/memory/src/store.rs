use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use event_listener::EventListener;
use tenure_core::{Candidate, ClaimAnswer, ClaimerError, Leader, ServiceName, Term};
use tenure_runtime::{BootClock, Clock};

use crate::leases::Record;

/// A lease store in this process's memory. Cheap to clone: all clones are one store.
///
/// - It knows one clock, and whoever calls brings none: leases count from when the store has
///   taken up the claim. [`new`](MemoryStore::new) takes the clock that also counts suspended
///   time, [`with_clock`](MemoryStore::with_clock) any other.
/// - A service costs about 200 bytes from its first claim on, for as long as the store lives: its
///   term must outlive every lease.
/// - It starts no thread, and it has no task to run. An expiry that nobody waits for is noticed by
///   the next call. Who waits in an async `released` uses a timer of `async-io`, whose thread all
///   of a process's timers share; who waits in a blocking one uses the calling thread.
///
/// Of the two traits, bring one into scope: both have methods of the same names.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tenure_core::{BlockingClaimer, Candidate};
/// use tenure_memory::MemoryStore;
/// use tenure_runtime::{ManualClock, fresh_nonce};
///
/// let clock = Arc::new(ManualClock::new());
/// let store = MemoryStore::with_clock(clock.clone());
/// let bid = Candidate {
///     service: "mysql".parse()?,
///     unit: "mysql/0".parse()?,
///     nonce: fresh_nonce(),
/// };
/// store.claim(&bid, Duration::from_secs(60))?;
/// clock.advance(Duration::from_secs(59));
/// assert_eq!(store.leader(&bid.service)?.unwrap().remaining, Duration::from_secs(1));
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(store.leader(&bid.service)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    services: Mutex<HashMap<ServiceName, Record>>,
}

impl MemoryStore {
    /// An empty store, on the clock that counts from the machine's start.
    pub fn new() -> MemoryStore {
        MemoryStore::with_clock(Arc::new(BootClock))
    }

    /// An empty store, on this clock.
    ///
    /// A clock that is moved by hand expires leases by its moves; see
    /// [`Clock::on_jump`].
    pub fn with_clock(clock: Arc<dyn Clock>) -> MemoryStore {
        MemoryStore(Arc::new(Shared { clock, services: Mutex::default() }))
    }

    /// Sees to it that the next new holder of `service` gets a term higher than `term`.
    ///
    /// For whoever moves here from another store, and must not let the terms fall. Does nothing if
    /// the terms are higher already, or if the service is held.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tenure_core::{BlockingClaimer, Candidate, ClaimAnswer, Term};
    /// use tenure_memory::MemoryStore;
    /// use tenure_runtime::fresh_nonce;
    ///
    /// let store = MemoryStore::new();
    /// let bid = Candidate {
    ///     service: "mysql".parse()?,
    ///     unit: "mysql/0".parse()?,
    ///     nonce: fresh_nonce(),
    /// };
    /// store.raise_term(&bid.service, Term::new(41));
    /// let answer = store.claim(&bid, Duration::from_secs(60))?;
    /// assert_eq!(answer, ClaimAnswer::Granted { term: Term::new(42) });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn raise_term(&self, service: &ServiceName, term: Term) {
        let mut services = self.lock();
        let now = self.0.clock.now();
        services.entry(service.clone()).or_default().raise_term(term, now);
    }

    /// How many calls wait in `released` at this moment, for all services and in all clones.
    ///
    /// ```
    /// assert_eq!(tenure_memory::MemoryStore::new().waiting(), 0);
    /// ```
    pub fn waiting(&self) -> usize {
        self.lock().values().map(|record| record.released.total_listeners()).sum()
    }

    pub(crate) fn claim_now(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, ClaimerError> {
        let mut services = self.lock();
        // The time is read behind the lock: a claim that had to wait for it counts from now, which
        // is later than the call, and sees every lease that was granted before it.
        let now = self.0.clock.now();
        services.entry(candidate.service.clone()).or_default().claim(candidate, lease, now)
    }

    pub(crate) fn release_now(&self, candidate: &Candidate) {
        let released = match self.lock().entry(candidate.service.clone()) {
            Entry::Occupied(mut record) => record.get_mut().release(candidate),
            Entry::Vacant(_) => None,
        };
        // Outside the lock: the wakers are the callers' own code.
        if let Some(released) = released {
            released.notify(usize::MAX);
        }
    }

    pub(crate) fn leader_now(&self, service: &ServiceName) -> Option<Leader> {
        let services = self.lock();
        services.get(service)?.leader(self.0.clock.now())
    }

    /// How long `service` is still held, or `None` if it is free.
    ///
    /// Where it is held, `waker` is called when it is released and when the clock jumps; that
    /// the returned time passes is for the caller to notice. `listener` lives as long as the call.
    pub(crate) fn held_for(
        &self,
        service: &ServiceName,
        listener: &mut Option<EventListener>,
        waker: &Waker,
    ) -> Option<Duration> {
        // Before the clock is read, or a jump between the two would be missed.
        self.0.clock.on_jump(waker);
        loop {
            let remaining = {
                let services = self.lock();
                let record = services.get(service)?;
                let remaining = record.remaining(self.0.clock.now())?;
                listener.get_or_insert_with(|| record.released.listen());
                remaining
            };
            let notified = listener.as_mut().is_some_and(|listener| {
                Future::poll(Pin::new(listener), &mut Context::from_waker(waker)).is_ready()
            });
            if !notified {
                return Some(remaining);
            }
            // Released, and perhaps claimed again since: look anew.
            *listener = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServiceName, Record>> {
        // No panic can leave a record half-changed, so a poisoned lock says nothing.
        self.0.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

/// The shortest that a waiter sleeps.
///
/// A clock that is moved by hand may stand a nanosecond before an expiry for as long as it likes.
pub(crate) const NAP_MIN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;
    use std::thread;

    use tenure_core::{Instant, UnitName};
    use tenure_runtime::{ManualClock, fresh_nonce};

    use super::*;

    const LEASE: Duration = Duration::from_secs(60);

    fn bid(unit: &str) -> Candidate {
        let (service, unit) = ("mysql".parse().unwrap(), unit.parse().unwrap());
        Candidate { service, unit, nonce: fresh_nonce() }
    }

    fn leads(store: &MemoryStore) -> Option<UnitName> {
        store.leader_now(&bid("mysql/0").service).map(|leader| leader.unit)
    }

    #[test]
    fn a_clock_that_moves_back_lengthens_leases_and_no_more() {
        let clock = Arc::new(ManualClock::new());
        clock.set(Instant::from_nanos(1_000_000_000_000));
        let store = MemoryStore::with_clock(clock.clone());
        let holder = bid("mysql/0");
        store.claim_now(&holder, LEASE).unwrap();
        clock.set(Instant::ORIGIN);
        assert_eq!(leads(&store), Some(holder.unit));
        clock.set(Instant::from_nanos(1_000_000_000_000).saturating_add(LEASE));
        assert_eq!(leads(&store), None);
    }

    #[test]
    fn a_wait_is_counted_until_it_is_dropped() {
        let store = MemoryStore::new();
        let holder = bid("mysql/0");
        store.claim_now(&holder, LEASE).unwrap();
        let (mut first, mut second) = (None, None);
        store.held_for(&holder.service, &mut first, Waker::noop());
        store.held_for(&holder.service, &mut second, Waker::noop());
        assert_eq!(store.waiting(), 2);
        drop(first);
        assert_eq!(store.waiting(), 1);
        drop(second);
        assert_eq!(store.waiting(), 0);
    }

    /// Whoever is slow to look holds up nobody else.
    #[test]
    fn a_release_rouses_all_who_wait_at_once() {
        #[derive(Default)]
        struct Flag(AtomicBool);

        impl Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::SeqCst);
            }
        }

        let store = MemoryStore::new();
        let holder = bid("mysql/0");
        store.claim_now(&holder, LEASE).unwrap();
        let flags: [Arc<Flag>; 3] = Default::default();
        let mut listeners = [None, None, None];
        for (flag, listener) in flags.iter().zip(&mut listeners) {
            store.held_for(&holder.service, listener, &flag.clone().into());
        }
        store.release_now(&holder);
        assert_eq!(flags.map(|flag| flag.0.load(Ordering::SeqCst)), [true; 3]);
    }

    #[test]
    fn a_raised_term_changes_nothing_for_who_holds() {
        let store = MemoryStore::new();
        let holder = bid("mysql/0");
        let granted = |term| ClaimAnswer::Granted { term: Term::new(term) };
        assert_eq!(store.claim_now(&holder, LEASE).unwrap(), granted(1));
        store.raise_term(&holder.service, Term::new(41));
        assert_eq!(store.claim_now(&holder, LEASE).unwrap(), granted(1));
        store.release_now(&holder);
        store.raise_term(&holder.service, Term::new(41));
        store.raise_term(&holder.service, Term::new(7));
        assert_eq!(store.claim_now(&bid("mysql/0"), LEASE).unwrap(), granted(42));
    }

    #[test]
    fn a_clock_that_panics_once_poisons_nothing() {
        #[derive(Debug, Default)]
        struct Faulty(AtomicBool);

        impl Clock for Faulty {
            fn now(&self) -> Instant {
                assert!(self.0.swap(true, Ordering::SeqCst), "the clock fails");
                Instant::ORIGIN
            }
        }

        let store = MemoryStore::with_clock(Arc::new(Faulty::default()));
        let holder = bid("mysql/0");
        thread::scope(|scope| {
            scope.spawn(|| store.claim_now(&holder, LEASE)).join().unwrap_err();
        });
        store.claim_now(&holder, LEASE).unwrap();
        assert_eq!(leads(&store), Some(holder.unit));
    }
}
