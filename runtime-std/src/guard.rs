use std::time::{Duration, Instant as Deadline};

use tenure_core::{Demotion, Instant, Term};

use crate::park;

/// Leadership for a piece of work, as [`Tracker::while_leader`](crate::Tracker::while_leader)
/// hands it out.
///
/// While it lives the lease is not released, however the tracker is asked to resign: the work is
/// over before the next leader begins. A thread cannot be ended from outside, so the work has to
/// look: at [`holds`](Guard::holds) before each step that only a leader may take, or at
/// [`wait_lost_timeout`](Guard::wait_lost_timeout) where it would sleep.
#[derive(Debug)]
pub struct Guard {
    pub(crate) inner: tenure_runtime::Guard,
    pub(crate) lost: tenure_runtime::Ticket,
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
    pub fn is_lost(&self) -> bool {
        self.lost.is_ready()
    }

    /// Why the work has to end, once it has to.
    pub fn loss(&self) -> Option<Demotion> {
        self.is_lost().then(|| self.inner.loss())
    }

    /// Waits until the work has to end.
    ///
    /// # Blocking
    ///
    /// Until then.
    pub fn wait_lost(&mut self) {
        park::block_on(|waker| self.lost.poll(Some(waker)));
    }

    /// Waits until the work has to end, but for `timeout` at most. Whether it has to.
    ///
    /// # Blocking
    ///
    /// Until then, up to the timeout.
    pub fn wait_lost_timeout(&mut self, timeout: Duration) -> bool {
        let deadline = Deadline::now().checked_add(timeout);
        park::block_on_until(deadline, |waker| self.lost.poll(Some(waker))).is_some()
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
