use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tenure_core::{AttemptId, Candidate, ClaimAnswer, Claimer, ClaimerError, TenureId, WatchId};
use tenure_runtime::{ClaimerPanic, Hub, Order, Orders};

use crate::alarm::Alarm;

/// What makes a [`Tracker`](crate::Tracker) go: the one task that calls the store.
///
/// Hand [`run`](Driver::run) to an executor. Nothing is spawned behind your back, and no thread is
/// started: timers run on the reactor that smol's own types share.
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

impl<C: Claimer> Driver<C> {
    pub(crate) fn new(hub: Arc<Hub>, claimer: Arc<C>) -> Driver<C> {
        Driver { hub: Gone(hub), claimer }
    }

    /// Runs the tracker to its end: until it is stopped, its last handle is dropped, or its store
    /// fails for good. [`Tracker::wait`](crate::Tracker::wait) says which.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is as dropping the driver.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::Tracker;
    /// # smol::block_on(async {
    /// let config = Config::new(Duration::from_secs(10))?;
    /// let store = MemoryStore::new();
    /// let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// let running = smol::spawn(driver.run());
    /// drop(tracker);
    /// running.await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn run(self) {
        let mut calls = Calls::default();
        poll_fn(|context| self.poll(&mut calls, context)).await;
    }

    fn poll(&self, calls: &mut Calls, context: &mut Context<'_>) -> Poll<()> {
        let hub = &self.hub.0;
        for _ in 0..ROUNDS {
            let work = hub.take_work(context.waker());
            self.follow(work.orders, calls);
            let Some(deadline) = work.deadline else { return Poll::Ready(()) };
            // Before the calls are polled: one that is past its deadline is given up by that, and
            // none can put off what is due by always having something to do.
            if calls.alarm.poll(&**hub.clock(), deadline, work.nap, context) {
                hub.timer_fired();
            } else if !calls.poll(hub, context) {
                return Poll::Pending;
            }
        }
        // A store that answers everything at once is not to keep the executor from other tasks.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn follow(&self, orders: Orders, calls: &mut Calls) {
        match orders.claim {
            Order::Keep => {}
            Order::Abandon => end_call(calls.claim.take()),
            Order::Begin(order) => {
                let claimer = self.claimer.clone();
                let call = async move { claimer.claim(&order.candidate, order.lease).await };
                end_call(calls.claim.replace((order.attempt, Box::pin(call))));
            }
        }
        match orders.watch {
            Order::Keep => {}
            Order::Abandon => end_call(calls.watch.take()),
            Order::Begin(watch) => {
                let claimer = self.claimer.clone();
                let service = self.hub.0.service().clone();
                let call = async move { claimer.released(&service).await };
                end_call(calls.watch.replace((watch, Box::pin(call))));
            }
        }
        match orders.release {
            Order::Keep => {}
            Order::Abandon => end_call(calls.release.take()),
            Order::Begin(order) => {
                let claimer = self.claimer.clone();
                let candidate: Candidate = order.candidate;
                let call = async move { claimer.release(&candidate).await };
                end_call(calls.release.replace((order.tenure, Box::pin(call))));
            }
        }
    }
}

/// How often a driver looks for more to do before it lets other tasks run.
const ROUNDS: usize = 16;

type Call<T> = Pin<Box<dyn Future<Output = Result<T, ClaimerError>> + Send>>;

/// The calls that are out: one of each kind at most.
#[derive(Default)]
struct Calls {
    claim: Option<(AttemptId, Call<ClaimAnswer>)>,
    watch: Option<(WatchId, Call<()>)>,
    release: Option<(TenureId, Call<()>)>,
    alarm: Alarm,
}

impl Calls {
    /// Whether any of them has ended, and the hub has been told.
    fn poll(&mut self, hub: &Hub, context: &mut Context<'_>) -> bool {
        let claimed = poll_call("claim", &mut self.claim, context)
            .map(|(attempt, result)| hub.claim_finished(attempt, result));
        let watched = poll_call("released", &mut self.watch, context)
            .map(|(watch, result)| hub.watch_finished(watch, result));
        let released = poll_call("release", &mut self.release, context)
            .map(|(tenure, result)| hub.release_finished(tenure, result));
        claimed.is_some() || watched.is_some() || released.is_some()
    }
}

/// The result of the call in `slot`, if it has ended. A panic is one.
fn poll_call<I: Copy, T>(
    name: &'static str,
    slot: &mut Option<(I, Call<T>)>,
    context: &mut Context<'_>,
) -> Option<(I, Result<T, ClaimerError>)> {
    let (id, call) = slot.as_mut()?;
    let id = *id;
    // The call is dropped after a panic, and so never seen in a broken state.
    let result = match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context))) {
        Ok(Poll::Pending) => return None,
        Ok(Poll::Ready(result)) => result,
        Err(payload) => Err(ClaimerPanic::error(name, &*payload)),
    };
    end_call(slot.take());
    Some((id, result))
}

/// Drops a call. If that panics, the panic hook has told so, and the tracker goes on.
fn end_call<I, T>(call: Option<(I, Call<T>)>) {
    drop(catch_unwind(AssertUnwindSafe(|| drop(call))));
}
