use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tenure_core::{Demotion, Instant, Slot, Term};
use tenure_runtime::LossWatch;

use crate::alarm::Alarm;

/// Leadership for a piece of work, as [`Tracker::while_leader`](crate::Tracker::while_leader)
/// hands it out.
///
/// While it or a clone of it lives the lease is not released, however the tracker is asked to
/// resign: the work is over before the next leader begins, or the lease has run out.
///
/// # What is spawned is not dropped
///
/// **When the leadership is lost, the future of the work is dropped, and nothing else.** A task
/// that the work has spawned runs on, and no guard that went with the future holds the lease for
/// it. So move a clone of the guard into each task, and end the task when
/// [`lost`](Guard::lost) says so:
///
/// ```
/// # use std::time::Duration;
/// # use tenure_core::Config;
/// # use tenure_memory::MemoryStore;
/// # use tenure_smol::Tracker;
/// # smol::block_on(async {
/// use futures_lite::future;
///
/// # let config = Config::new(Duration::from_secs(10))?;
/// # let store = MemoryStore::new();
/// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
/// # smol::spawn(driver.run()).detach();
/// let spawned = tracker.while_leader(|guard| async move {
///     let for_the_task = guard.clone();
///     smol::spawn(async move {
///         let guard = for_the_task;
///         let work = async {
///             loop {
///                 // Each step that only a leader may take.
///                 smol::Timer::after(Duration::from_millis(1)).await;
///             }
///         };
///         let why = future::or(guard.lost(), work).await;
///         // The lease is kept until the guard is dropped here: time to put things in order.
///         why
///     })
/// });
/// let spawned = spawned.await?;
/// let stops = smol::spawn({
///     let tracker = tracker.clone();
///     async move { tracker.stop().await }
/// });
/// assert_eq!(spawned.await, tenure_core::Demotion::Resigned);
/// stops.await?;
/// assert_eq!(tracker.leader().await?, None, "released once the task had ended");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Guard {
    inner: tenure_runtime::Guard,
    /// Whether the work or what it spawned has asked for the loss, and so winds down by itself.
    winds_down: Arc<AtomicBool>,
}

impl Guard {
    pub(crate) fn new(inner: tenure_runtime::Guard) -> Guard {
        Guard { inner, winds_down: Arc::default() }
    }

    /// What ends the work of this guard.
    pub(crate) fn end_of_work(&self) -> EndOfWork {
        let watch = Waiting::new(self.inner.watch().clone());
        EndOfWork { waiting: watch, winds_down: self.winds_down.clone() }
    }

    /// Whether the unit leads now, in this guard's term. Reads the clock at each call, takes no
    /// lock and needs no driver: it is right also when nothing else of this process has run for
    /// long.
    ///
    /// Look at it before each step that only a leader may take. It stays true while the tracker
    /// resigns, as the lease is kept for the work to wind down: see [`is_lost`](Guard::is_lost).
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

    /// Waits until the work has to end, and says why. Any number of tasks may wait.
    ///
    /// It comes [`step_down_margin`](tenure_core::ConfigBuilder::step_down_margin) before anybody
    /// else can lead, or at once when the tracker is asked to resign. Work that has called this is
    /// not dropped at the loss: it has until a tenth of that margin is left to wind down, as
    /// [`Tracker::while_leader`](crate::Tracker::while_leader) tells.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Demotion};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::Tracker;
    /// # smol::block_on(async {
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// let work = tracker.while_leader(|guard| {
    ///     let tracker = tracker.clone();
    ///     async move {
    ///         let lost = guard.lost();
    ///         tracker.step_down(Duration::from_secs(60));
    ///         let why = lost.await;
    ///         assert!(guard.holds(), "the lease is kept for what is left to do");
    ///         why
    ///     }
    /// });
    /// assert_eq!(work.await?, Demotion::Resigned);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn lost(&self) -> impl Future<Output = Demotion> + Send + use<> {
        self.winds_down.store(true, Ordering::Relaxed);
        let mut waiting = Waiting::new(self.inner.watch().clone());
        poll_fn(move |context| waiting.poll_lost(context))
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

/// Says when the future of the work is to be dropped. Holds nothing back.
pub(crate) struct EndOfWork {
    waiting: Waiting,
    winds_down: Arc<AtomicBool>,
}

impl EndOfWork {
    /// Why, once the future is to be dropped: at the loss; if the work winds down by itself, at the
    /// end of its time for that.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Demotion> {
        let winds_down = &self.winds_down;
        self.waiting.poll(context, || winds_down.load(Ordering::Relaxed))
    }
}

/// One who waits for the loss, and for what comes after it: by the clock, not by the driver alone.
struct Waiting {
    watch: LossWatch,
    slot: Option<Slot>,
    alarm: Alarm,
}

impl Waiting {
    fn new(watch: LossWatch) -> Waiting {
        Waiting { watch, slot: None, alarm: Alarm::default() }
    }

    fn poll_lost(&mut self, context: &mut Context<'_>) -> Poll<Demotion> {
        self.poll(context, || false)
    }

    fn poll(&mut self, context: &mut Context<'_>, winds_down: impl Fn() -> bool) -> Poll<Demotion> {
        for _ in 0..2 {
            let loss = self.watch.poll(&mut self.slot, context.waker());
            let deadline = match loss {
                None => self.watch.look_at(),
                Some(loss) if winds_down() => loss.work_until,
                Some(loss) => return Poll::Ready(loss.reason),
            };
            let nap = self.watch.nap();
            if !self.alarm.poll(&**self.watch.clock(), deadline, nap, context) {
                return Poll::Pending;
            }
            if let Some(loss) = loss {
                return Poll::Ready(loss.reason);
            }
        }
        // It was due, and is not any more: it was renewed meanwhile.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            self.watch.stop_waiting(slot);
        }
    }
}
