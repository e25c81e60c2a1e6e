use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tenure_core::{Claimer, ClaimerError, Config, Instant, Outcome, Standing, TicketKind};
use tenure_runtime::{TrackerError, WorkError};
use tenure_smol::{Guard, Ticket, Tracker};

use super::super::clock::Watched;
use super::{Asked, Driving, Finish, Tracking, Working};

/// A waker that counts.
#[derive(Debug, Default)]
pub(in super::super) struct Woken(AtomicUsize);

impl Woken {
    pub(in super::super) fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Whether it was woken since this was asked last.
    fn take(&self) -> bool {
        self.0.swap(0, Ordering::SeqCst) > 0
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future that is polled when it was woken, and only then.
pub(crate) struct ByHand {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    woken: Arc<Woken>,
    first: bool,
}

/// More polls than that, with nothing happening in between, are a hot loop.
const MOST_POLLS: usize = 1_000;

impl ByHand {
    pub(crate) fn new(future: impl Future<Output = ()> + 'static) -> ByHand {
        ByHand { future: Some(Box::pin(future)), woken: Arc::default(), first: true }
    }

    pub(crate) fn drive(&mut self) {
        let waker: Waker = self.woken.clone().into();
        for _ in 0..MOST_POLLS {
            let Some(future) = &mut self.future else { return };
            if !(std::mem::take(&mut self.first) | self.woken.take()) {
                return;
            }
            if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                self.future = None;
            }
        }
        panic!("it is woken again and again");
    }

    pub(crate) fn is_done(&self) -> bool {
        self.future.is_none()
    }
}

pub(super) fn start<C: Claimer>(
    claimer: C,
    config: Config,
    clock: Arc<Watched>,
) -> (Box<dyn Tracking>, Driving) {
    let (service, unit) = ("mysql".parse().unwrap(), "mysql/0".parse().unwrap());
    let (tracker, driver) = Tracker::with_clock(claimer, service, unit, config, clock);
    (Box::new(tracker), Driving::ByHand(ByHand::new(driver.run())))
}

impl Tracking for Tracker {
    fn request(&self, kind: TicketKind) -> Box<dyn Asked> {
        Box::new(match kind {
            TicketKind::ClaimLeader => self.claim_leader(),
            TicketKind::WaitLeader => self.wait_leader(),
            TicketKind::WaitMinion => self.wait_minion(),
        })
    }

    fn another(&self) -> Box<dyn Tracking> {
        Box::new(self.clone())
    }

    fn standing(&self) -> Standing {
        self.standing()
    }

    fn step_down(&self, cool_off: Duration) {
        self.step_down(cool_off);
    }

    fn kill(&self) {
        self.kill();
    }

    fn wait(&self) -> Result<(), TrackerError> {
        smol::block_on(self.wait())
    }

    fn last_error(&self) -> Option<Arc<ClaimerError>> {
        self.last_error()
    }

    fn work(&self) -> Box<dyn Working> {
        let state = Arc::new(State::default());
        let (tracker, shared) = (self.clone(), state.clone());
        let future = async move {
            let work = tracker.while_leader(|guard| Work { guard, state: shared.clone() });
            let result = work.await;
            *shared.result.lock().unwrap() = Some(Some(result));
        };
        Box::new(Task { future: Some(ByHand::new(future)), state })
    }
}

impl Asked for Ticket {
    fn is_ready(&self) -> bool {
        self.is_ready()
    }

    fn poll(&mut self) -> Option<Outcome> {
        match Pin::new(self).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    fn ready(&mut self) -> Box<dyn Fn() -> bool> {
        let receiver = self.ready();
        Box::new(move || {
            assert!(receiver.is_empty(), "nothing is ever sent");
            receiver.is_closed()
        })
    }
}

#[derive(Default)]
struct State {
    guard: Mutex<Option<(bool, Instant)>>,
    runs: AtomicBool,
    finish: Mutex<Option<Finish>>,
    waker: Mutex<Option<Waker>>,
    result: Mutex<Option<Option<Result<u32, WorkError>>>>,
}

/// The guarded work itself.
struct Work {
    guard: Guard,
    state: Arc<State>,
}

impl Future for Work {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u32> {
        self.state.runs.store(true, Ordering::SeqCst);
        *self.state.guard.lock().unwrap() = Some((self.guard.holds(), self.guard.valid_until()));
        *self.state.waker.lock().unwrap() = Some(context.waker().clone());
        let finish = *self.state.finish.lock().unwrap();
        match finish {
            Some(Finish::Return(value)) => Poll::Ready(value),
            Some(Finish::Panic) => std::panic::resume_unwind(Box::new("work panics")),
            None => Poll::Pending,
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.state.runs.store(false, Ordering::SeqCst);
    }
}

/// The task that the work is part of.
struct Task {
    future: Option<ByHand>,
    state: Arc<State>,
}

impl Task {
    fn drive(&mut self) {
        let Some(future) = &mut self.future else { return };
        if catch_unwind(AssertUnwindSafe(|| future.drive())).is_err() {
            // An executor drops a task that panics.
            self.future = None;
            *self.state.result.lock().unwrap() = Some(None);
        }
    }

    fn rouse(&self) {
        let waker = self.state.waker.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Working for Task {
    fn runs(&mut self) -> bool {
        self.drive();
        self.state.runs.load(Ordering::SeqCst)
    }

    fn guard(&mut self) -> Option<(bool, Instant)> {
        self.rouse();
        self.drive();
        self.state.runs.load(Ordering::SeqCst).then(|| self.state.guard.lock().unwrap().unwrap())
    }

    fn is_told(&mut self) -> bool {
        self.drive();
        matches!(*self.state.result.lock().unwrap(), Some(Some(Err(WorkError::Lost(_)))))
    }

    fn finish(&self, how: Finish) {
        *self.state.finish.lock().unwrap() = Some(how);
        self.rouse();
    }

    fn result(&mut self) -> Option<Option<Result<u32, WorkError>>> {
        self.drive();
        *self.state.result.lock().unwrap()
    }
}
