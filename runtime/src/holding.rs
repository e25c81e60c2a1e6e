use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tenure_core::{Belief, Demotion, Instant, Place, Slot, Term, Wakers};

use crate::contain::contain;
use crate::{Clock, Hub};

/// One unbroken leadership, from its promotion to its loss, as all its guards share it.
///
/// It has a lock of its own, under which nothing is called: std's own also where `crate::sync` has
/// another, since it is never contended for long.
#[derive(Debug)]
pub(crate) struct Holding {
    term: Term,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    valid_until: Instant,
    loss: Option<Loss>,
    /// Those to be told of the loss, or after it, that its time is over sooner.
    waiting: Place<()>,
}

/// That a leadership is lost, or has to be given up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Loss {
    /// Why. A denial that comes later takes the place of the first reason.
    pub reason: Demotion,
    /// Until then, on the tracker's clock, work may wind down: a little less than
    /// `step_down_margin` from the loss on, and never to `valid_until`. It has passed already, if
    /// somebody else leads.
    pub work_until: Instant,
}

impl Holding {
    pub(crate) fn new(term: Term, valid_until: Instant) -> Arc<Holding> {
        let state = State { valid_until, loss: None, waiting: Place::new() };
        Arc::new(Holding { term, state: Mutex::new(state) })
    }

    pub(crate) fn term(&self) -> Term {
        self.term
    }

    /// The lease was renewed in this term.
    pub(crate) fn renew(&self, valid_until: Instant) {
        let mut state = self.lock();
        state.valid_until = state.valid_until.max(valid_until);
    }

    /// The leadership is lost at `now`. Those that wait are to be woken outside of any lock.
    pub(crate) fn lose(&self, reason: Demotion, now: Instant, margin: Duration) -> Wakers {
        let mut state = self.lock();
        // What is dropped needs time for that, and timers are late.
        let end = now.saturating_add(margin).min(state.valid_until).saturating_sub(margin / 10);
        let work_until = match reason {
            Demotion::Denied | Demotion::Interrupted => now,
            Demotion::NotRenewed | Demotion::Resigned | Demotion::StoreFailed => end,
        };
        state.loss = Some(Loss { reason, work_until });
        state.waiting.answer(())
    }

    /// After the loss: somebody else leads, so no work may go on.
    pub(crate) fn end_work(&self, reason: Demotion, now: Instant) -> Wakers {
        let mut state = self.lock();
        let Some(Loss { work_until, .. }) = state.loss else { return Wakers::default() };
        state.loss = Some(Loss { reason, work_until: work_until.min(now) });
        state.waiting.answer(())
    }

    pub(crate) fn valid_until(&self) -> Instant {
        self.lock().valid_until
    }

    pub(crate) fn loss(&self) -> Option<Loss> {
        self.lock().loss
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether a leadership is lost, and holds nothing back.
///
/// It goes by the clock: a loss is seen as soon as it is due, whether or not the driver runs.
#[derive(Clone, Debug)]
pub struct LossWatch {
    hub: Arc<Hub>,
    holding: Arc<Holding>,
}

impl LossWatch {
    pub(crate) fn new(hub: Arc<Hub>, holding: Arc<Holding>) -> LossWatch {
        LossWatch { hub, holding }
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The fencing number.
    pub fn term(&self) -> Term {
        self.holding.term
    }

    /// Until then nobody else can hold the lease, by the grants of this leadership.
    pub fn valid_until(&self) -> Instant {
        self.holding.valid_until()
    }

    /// The loss, if there is one by now. Once it is there it stays.
    pub fn loss(&self) -> Option<Loss> {
        if self.hub.is_forked() {
            // Nothing here holds in the child of a fork.
            return Some(Loss { reason: Demotion::Resigned, work_until: Instant::ORIGIN });
        }
        if let Some(loss) = self.holding.loss() {
            return Some(loss);
        }
        if self.leads() {
            return None;
        }
        // It is due, and the driver may be late: then the machine hears of the time from here.
        self.hub.timer_fired();
        self.holding.loss()
    }

    /// The loss, as [`loss`](LossWatch::loss) has it. Besides leaves `waker`, in the place of an
    /// earlier one, to be woken when there is one, or when the time to wind down ends sooner.
    ///
    /// A loss that is due is seen by the clock alone: so look again at
    /// [`look_at`](LossWatch::look_at). `slot` is to be [left](LossWatch::stop_waiting).
    pub fn poll(&self, slot: &mut Option<Slot>, waker: &Waker) -> Option<Loss> {
        let due = self.loss();
        if self.hub.is_forked() {
            return due;
        }
        let mut guard = self.holding.lock();
        let State { waiting, loss, .. } = &mut *guard;
        if let Some(told) = slot.take_if(|slot| waiting.is_answered(slot)) {
            waiting.take(&told);
        }
        let slot = slot.get_or_insert_with(|| waiting.park());
        let earlier = waiting.set_waker(slot, waker);
        let loss = *loss;
        drop(guard);
        contain(|| drop(earlier));
        loss
    }

    /// Forgets one who waited.
    pub fn stop_waiting(&self, slot: &Slot) {
        if !self.hub.is_forked() {
            let waker = self.holding.lock().waiting.leave(slot);
            contain(|| drop(waker));
        }
    }

    /// When the leadership is lost unless it is renewed.
    pub fn look_at(&self) -> Instant {
        match self.hub.belief() {
            (Belief::Leader { step_down_at, .. }, _) => step_down_at,
            (Belief::Minion | Belief::Stopped, now) => now,
        }
    }

    /// The clock of the tracker.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.hub.clock()
    }

    /// How long to sleep at most before looking at the clock: see
    /// [`Work::nap`](crate::Work::nap).
    pub fn nap(&self) -> Duration {
        self.hub.nap()
    }

    /// Whether the unit leads in this term, and is not asked to give that up.
    fn leads(&self) -> bool {
        let (belief, now) = self.hub.belief();
        match belief {
            Belief::Leader { term, fresh_until, step_down_at, .. } => {
                let resigns = fresh_until == Instant::ORIGIN;
                term == self.term() && now < step_down_at && !resigns
            }
            Belief::Minion | Belief::Stopped => false,
        }
    }
}
