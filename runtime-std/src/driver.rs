use std::sync::{Arc, PoisonError};
use std::task::Waker;

use tenure_core::{BlockingClaimer, Instant};
use tenure_runtime::{Hub, Order, Orders, Work};

use crate::call::{Callers, Kind};
use crate::park;
use crate::sync::Mutex;
use crate::sync::thread::{self, JoinHandle};

/// What makes a [`Tracker`](crate::Tracker) go: the one thread that waits, and those that it has
/// the store called on.
///
/// | thread | why | how long |
/// | --- | --- | --- |
/// | [`run`](Driver::run)'s own | waits for the timer and for orders | until the tracker ends |
/// | `tenure-store`, up to 3 | claims, watches and releases block | for the call; one stays |
///
/// A call that hangs keeps its thread, and the next of its kind waits behind it: no more than three
/// ever block, however long the store hangs. They end with the call, also when the tracker has
/// ended before it.
///
/// A driver that is dropped before the tracker has ended ends it: everything that waits is
/// answered [`Stopped`](tenure_core::Outcome::Stopped), and the lease runs out by itself.
#[must_use = "a tracker does nothing unless its driver runs"]
#[derive(Debug)]
pub struct Driver<C> {
    hub: Gone,
    claimer: Arc<C>,
}

/// Says that the driver is gone when it is.
#[derive(Debug)]
struct Gone(Arc<Hub>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.driver_gone();
    }
}

impl<C: BlockingClaimer> Driver<C> {
    pub(crate) fn new(hub: Arc<Hub>, claimer: Arc<C>) -> Driver<C> {
        Driver { hub: Gone(hub), claimer }
    }

    /// Runs the tracker to its end: until it is stopped, its last handle is dropped, or its store
    /// fails for good. [`Tracker::wait`](crate::Tracker::wait) says which.
    ///
    /// # Blocking
    ///
    /// Until then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::Tracker;
    /// let config = Config::new(Duration::from_secs(10))?;
    /// let store = MemoryStore::new();
    /// let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// tracker.kill();
    /// driver.run();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run(self) {
        let hub = &self.hub.0;
        let waker = park::waker();
        let follower = Arc::new(Follower {
            hub: hub.clone(),
            claimer: self.claimer.clone(),
            driver: waker.clone(),
            turn: Mutex::default(),
        });
        let calls = Callers::open({
            let follower = follower.clone();
            move |calls| {
                follower.follow(calls);
            }
        });
        loop {
            let work = follower.follow(&calls);
            let Some(deadline) = work.deadline else { return };
            // Before the clock is read, so that no jump is missed.
            hub.clock().on_jump(&waker);
            let now = hub.clock().now();
            if deadline == Instant::MAX {
                // It never comes, whatever the clock says.
                thread::park();
            } else if deadline <= now {
                hub.timer_fired();
            } else {
                let left = deadline.saturating_duration_since(now);
                thread::park_timeout(left.min(work.nap));
            }
        }
    }

    /// Runs the tracker on a thread of its own, named `tenure`.
    ///
    /// # Errors
    ///
    /// If the operating system has no thread to give: the tracker has ended then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::Tracker;
    /// let config = Config::new(Duration::from_secs(10))?;
    /// let store = MemoryStore::new();
    /// let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// let running = driver.spawn()?;
    /// assert!(matches!(tracker.wait_leader().wait(), Outcome::Leader { .. }));
    /// drop(tracker);
    /// running.join().expect("the driver does not panic");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        thread::Builder::new().name("tenure".to_owned()).spawn(move || self.run())
    }
}

/// Does what the hub orders, on whichever thread comes to see that there is something to do.
struct Follower<C> {
    hub: Arc<Hub>,
    claimer: Arc<C>,
    driver: Waker,
    /// Held by who has taken orders until they are carried out, and so before later ones are.
    turn: Mutex<()>,
}

impl<C: BlockingClaimer> Follower<C> {
    /// Takes the orders that there are, and carries them out. Gives what else there is to do.
    fn follow(&self, calls: &Callers) -> Work {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut work = self.hub.take_work(&self.driver);
        self.carry_out(std::mem::take(&mut work.orders), calls);
        work
    }

    fn carry_out(&self, orders: Orders, calls: &Callers) {
        match orders.claim {
            Order::Keep => {}
            Order::Abandon => calls.abandon(Kind::Claim),
            Order::Begin(order) => {
                let (claimer, hub) = (self.claimer.clone(), self.hub.clone());
                let attempt = order.attempt;
                calls.begin(
                    Kind::Claim,
                    move |_| claimer.claim(&order.candidate, order.lease),
                    move |result| hub.claim_finished(attempt, result),
                );
            }
        }
        match orders.watch {
            Order::Keep => {}
            Order::Abandon => calls.abandon(Kind::Released),
            Order::Begin(watch) => {
                let (claimer, hub) = (self.claimer.clone(), self.hub.clone());
                let service = hub.service().clone();
                calls.begin(
                    Kind::Released,
                    move |cancel| claimer.released(&service, cancel),
                    move |result| hub.watch_finished(watch, result),
                );
            }
        }
        match orders.release {
            Order::Keep => {}
            Order::Abandon => calls.abandon(Kind::Release),
            Order::Begin(order) => {
                let (claimer, hub) = (self.claimer.clone(), self.hub.clone());
                let tenure = order.tenure;
                calls.begin(
                    Kind::Release,
                    move |_| claimer.release(&order.candidate),
                    move |result| hub.release_finished(tenure, result),
                );
            }
        }
    }
}

#[cfg(all(test, not(tenure_shuttle)))]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::task::Wake;
    use std::time::Duration;

    use tenure_core::{Config, Then};
    use tenure_memory::MemoryStore;
    use tenure_runtime::ManualClock;

    struct Nobody;

    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    /// Whoever has taken orders and is held up carries them out before later ones are taken: else a
    /// call could begin after it was given up.
    #[test]
    fn no_orders_are_taken_while_earlier_ones_are_carried_out() {
        let config = Config::new(Duration::from_secs(10)).unwrap();
        let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
        let hub = Hub::new(service, unit, config, Arc::new(ManualClock::new()));
        let nobody = Arc::new(Nobody);
        let follower = Arc::new(Follower {
            hub: hub.clone(),
            claimer: Arc::new(MemoryStore::new()),
            driver: nobody.clone().into(),
            turn: Mutex::default(),
        });
        let calls = Callers::open(|_| {});
        let (tells, told) = mpsc::channel();
        let held = calls.hold();
        let first = thread::spawn({
            let (follower, calls) = (follower.clone(), Callers::clone(&calls));
            move || drop(follower.follow(&calls))
        });
        // It has left its waker with the hub, and so has taken the claim, or is about to.
        while Arc::strong_count(&nobody) < 3 {
            thread::yield_now();
        }
        hub.resign(Then::Stop);
        let second = thread::spawn({
            let (follower, calls) = (follower.clone(), Callers::clone(&calls));
            move || {
                let work = follower.hub.take_work(Waker::noop());
                drop(work);
                drop(follower.turn.lock());
                tells.send(()).unwrap();
                drop(calls);
            }
        });
        let early = told.recv_timeout(Duration::from_millis(100));
        drop(held);
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!(early, Err(mpsc::RecvTimeoutError::Timeout), "the turn was given back early");
    }
}
