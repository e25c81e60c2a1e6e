use std::time::{Duration, Instant as Deadline};

use tenure_core::{Demotion, Instant, Slot, Term};
use tenure_runtime::LossWatch;

use crate::park;
use crate::sync::thread;

/// Leadership for a piece of work, as [`Tracker::while_leader`](crate::Tracker::while_leader)
/// hands it out.
///
/// While it or a clone of it lives the lease is not released, however the tracker is asked to
/// resign: the work is over before the next leader begins. A thread cannot be ended from outside,
/// so the work has to look: at [`holds`](Guard::holds) before each step that only a leader may
/// take, or at [`wait_lost_timeout`](Guard::wait_lost_timeout) where it would sleep.
///
/// # Work on other threads
///
/// **What the work starts on other threads goes on when the work returns, and then the lease is
/// released under it.** Move a clone of the guard into each thread: the release waits for them all,
/// and each can wait for the loss.
///
/// ```
/// # use std::time::Duration;
/// # use tenure_core::Config;
/// # use tenure_memory::MemoryStore;
/// # use tenure_std::Tracker;
/// use std::thread;
///
/// # let config = Config::new(Duration::from_secs(10))?;
/// # let store = MemoryStore::new();
/// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
/// # driver.spawn()?;
/// let helper = tracker.while_leader(|guard| {
///     let guard = guard.clone();
///     thread::spawn(move || {
///         guard.wait_lost();
///         // The lease is kept until here, so that this can still be put in order.
///     })
/// })?;
/// tracker.stop()?;
/// assert!(helper.is_finished() || helper.join().is_ok(), "it has ended, or is about to");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Guard {
    pub(crate) inner: tenure_runtime::Guard,
}

impl Guard {
    /// Whether the unit leads now, in this guard's term. Reads the clock at each call, takes no
    /// lock and needs no driver: it is right also when nothing else of this process has run for
    /// long.
    ///
    /// It stays true while the tracker resigns, as the lease is kept for the work to wind down: see
    /// [`is_lost`](Guard::is_lost).
    pub fn holds(&self) -> bool {
        self.inner.holds()
    }

    /// Whether the work has to end: the leadership is lost, or is to be given up.
    ///
    /// Reads the clock, too, and needs no driver. Once it is true it stays so.
    pub fn is_lost(&self) -> bool {
        self.inner.loss().is_some()
    }

    /// Why the work has to end, once it has to. A denial that comes while it winds down is told in
    /// the place of the first reason: then somebody else leads already.
    pub fn loss(&self) -> Option<Demotion> {
        self.inner.loss().map(|loss| loss.reason)
    }

    /// Waits until the work has to end. Any number of threads may wait.
    ///
    /// # Blocking
    ///
    /// Until then.
    pub fn wait_lost(&self) {
        self.wait_lost_until(None);
    }

    /// Waits until the work has to end, but for `timeout` at most. Whether it has to.
    ///
    /// # Blocking
    ///
    /// Until then, up to the timeout.
    pub fn wait_lost_timeout(&self, timeout: Duration) -> bool {
        self.wait_lost_until(Deadline::now().checked_add(timeout))
    }

    fn wait_lost_until(&self, deadline: Option<Deadline>) -> bool {
        let watch = self.inner.watch();
        let mut waiting = Waiting { watch, slot: None };
        let waker = park::waker();
        loop {
            if watch.poll(&mut waiting.slot, &waker).is_some() {
                return true;
            }
            // The driver wakes this thread, if it can. A log that blocks may hold it up.
            let left = watch.look_at().saturating_duration_since(watch.clock().now());
            let mut nap = left.min(watch.nap());
            if let Some(deadline) = deadline {
                match deadline.checked_duration_since(Deadline::now()) {
                    None | Some(Duration::ZERO) => return false,
                    Some(left) => nap = nap.min(left),
                }
            }
            thread::park_timeout(nap);
        }
    }

    /// The fencing number: hand it to what you act on, so that it can refuse a lower one.
    pub fn term(&self) -> Term {
        self.inner.term()
    }

    /// Until then nobody else can hold the lease, as far as is known now: each renewal moves it. On
    /// the clock of the tracker. After a loss it is the end of the time that the work has to stop.
    pub fn valid_until(&self) -> Instant {
        self.inner.valid_until()
    }
}

/// One who waits for the loss, for as long as it does.
struct Waiting<'a> {
    watch: &'a LossWatch,
    slot: Option<Slot>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            self.watch.stop_waiting(slot);
        }
    }
}
