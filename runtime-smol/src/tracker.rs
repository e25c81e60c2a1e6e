use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tenure_core::{
    Claimer, ClaimerError, Config, Leader, Outcome, ServiceName, Standing, Then, TicketKind,
    UnitName,
};
use tenure_runtime::{BootClock, Calls, Clock, Hub, TrackerError, WorkError};

use crate::end::wait_for_end;
use crate::{Driver, Guard, Ticket};

/// Claims leadership of a service for a unit, keeps it, and tells who asks.
///
/// **It belongs to the process that made it.** In the child of a `fork` its copy answers
/// [`Stopped`](Outcome::Stopped) to all, as there is no driver and the lease is the parent's:
/// [`wait`](Tracker::wait) gives [`TrackerError::Forked`]. A daemon makes its tracker after it has
/// forked. Seen is each `fork` of the C library, not a bare system call that goes around it.
///
/// Cheap to clone; all clones are one. Dropping the last one stops the tracker.
///
/// None of the methods that give a [`Ticket`] waits or blocks: the ticket does.
#[derive(Clone, Debug)]
pub struct Tracker(Arc<Handle>);

/// What is dropped with the last handle.
struct Handle {
    hub: Arc<Hub>,
    lookup: Box<dyn Fn() -> Lookup + Send + Sync>,
}

type Lookup = Pin<Box<dyn Future<Output = Result<Option<Leader>, ClaimerError>> + Send>>;

impl Drop for Handle {
    fn drop(&mut self) {
        self.hub.resign(Then::Stop);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Handle");
        debug.field("service", self.hub.service()).field("unit", self.hub.unit());
        debug.field("standing", &self.hub.standing()).finish_non_exhaustive()
    }
}

impl Tracker {
    /// A tracker of `service` for `unit` over the store that `claimer` speaks to, and the
    /// [`Driver`] that makes it go.
    ///
    /// The claim goes out when the driver runs. For a store that blocks, see
    /// [`Unblock`](crate::Unblock).
    ///
    /// # Panics
    ///
    /// If the operating system has no random bytes to give.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tenure_core::{Config, Outcome};
    /// use tenure_memory::MemoryStore;
    /// use tenure_smol::Tracker;
    ///
    /// # smol::block_on(async {
    /// let config = Config::new(Duration::from_secs(10))?;
    /// let store = MemoryStore::new();
    /// let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// smol::spawn(driver.run()).detach();
    /// assert!(matches!(tracker.wait_leader().await, Outcome::Leader { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn new<C: Claimer>(
        claimer: C,
        service: ServiceName,
        unit: UnitName,
        config: Config,
    ) -> (Tracker, Driver<C>) {
        Tracker::with_clock(claimer, service, unit, config, Arc::new(BootClock))
    }

    /// As [`new`](Tracker::new), on another clock: a [`ManualClock`](tenure_runtime::ManualClock),
    /// to test what uses a tracker.
    ///
    /// # Panics
    ///
    /// If the operating system has no random bytes to give.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use tenure_core::{Config, Outcome};
    /// use tenure_memory::MemoryStore;
    /// use tenure_runtime::ManualClock;
    /// use tenure_smol::Tracker;
    ///
    /// # smol::block_on(async {
    /// let config = Config::new(Duration::from_secs(10))?;
    /// let (store, clock) = (MemoryStore::new(), Arc::new(ManualClock::new()));
    /// let names = ("mysql".parse()?, "mysql/0".parse()?);
    /// let (tracker, driver) = Tracker::with_clock(store, names.0, names.1, config, clock.clone());
    /// smol::spawn(driver.run()).detach();
    /// tracker.wait_leader().await;
    /// let lost = tracker.wait_minion();
    /// clock.advance(Duration::from_secs(40));
    /// assert_eq!(lost.await, Outcome::Minion, "as if this process had been paused for 40 s");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn with_clock<C: Claimer>(
        claimer: C,
        service: ServiceName,
        unit: UnitName,
        config: Config,
        clock: Arc<dyn Clock>,
    ) -> (Tracker, Driver<C>) {
        let claimer = Arc::new(claimer);
        let hub = Hub::new(service.clone(), unit, config, clock);
        let lookup = {
            let claimer = claimer.clone();
            move || -> Lookup {
                let (claimer, service) = (claimer.clone(), service.clone());
                Box::pin(async move { claimer.leader(&service).await })
            }
        };
        let driver = Driver::new(hub.clone(), claimer);
        (Tracker(Arc::new(Handle { hub, lookup: Box::new(lookup) })), driver)
    }

    /// What is led.
    pub fn service_name(&self) -> &ServiceName {
        self.0.hub.service()
    }

    /// Who is the candidate.
    pub fn unit_name(&self) -> &UnitName {
        self.0.hub.unit()
    }

    /// What a claim asks of the store: twice the guarantee.
    pub fn claim_duration(&self) -> Duration {
        self.0.hub.lease()
    }

    /// Asks: do I lead now? [`Leader`](Outcome::Leader) holds for the guarantee at least. The
    /// answer comes at once, or, if a claim is out, with its end.
    ///
    /// For a leader that has renewed in time this takes no lock, no channel and no allocation, and
    /// does not need the driver: it reads the clock and what was published last.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::Tracker;
    /// # smol::block_on(async {
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// if let Outcome::Leader { term, .. } = tracker.claim_leader().await {
    ///     println!("for ten seconds from now nobody else leads; fence with term {term}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn claim_leader(&self) -> Ticket {
        Ticket::new(self.0.hub.request(TicketKind::ClaimLeader))
    }

    /// Asks to be told when the unit leads, or when the tracker stops.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::Tracker;
    /// # smol::block_on(async {
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// assert!(matches!(tracker.wait_leader().await, Outcome::Leader { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn wait_leader(&self) -> Ticket {
        Ticket::new(self.0.hub.request(TicketKind::WaitLeader))
    }

    /// Asks to be told when the unit may no longer rely on leading, or when the tracker stops.
    ///
    /// It is told in time to act:
    /// [`step_down_margin`](tenure_core::ConfigBuilder::step_down_margin) before anybody else can
    /// lead, if this process runs.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::Tracker;
    /// # smol::block_on(async {
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// tracker.wait_leader().await;
    /// let lost = tracker.wait_minion();
    /// tracker.step_down(Duration::from_secs(60));
    /// assert_eq!(lost.await, Outcome::Minion);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn wait_minion(&self) -> Ticket {
        Ticket::new(self.0.hub.request(TicketKind::WaitMinion))
    }

    /// What the unit is now: reads the clock and what was published last, takes no lock, and is
    /// right also when the driver is late.
    #[inline]
    pub fn standing(&self) -> Standing {
        self.0.hub.standing()
    }

    /// Who leads the service, as the store has it: for people, never as a reason to act.
    ///
    /// # Errors
    ///
    /// The store's. There is no time limit but its own.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::Tracker;
    /// # smol::block_on(async {
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// tracker.wait_leader().await;
    /// let leader = tracker.leader().await?.expect("somebody leads");
    /// assert_eq!(leader.unit.as_str(), "mysql/0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn leader(&self) -> Result<Option<Leader>, ClaimerError> {
        (self.0.lookup)().await
    }

    /// Waits to lead, then runs `work` for as long as the unit leads.
    ///
    /// When the leadership is lost, or to be given up, the future of `work` is dropped, and with it
    /// its [`Guard`]. Until then the lease is renewed and not released.
    ///
    /// **What the work has spawned is not dropped with it.** It runs on, also beside the next
    /// leader's, unless a clone of the guard is moved into it, by which the lease is held and the
    /// loss is told: [`Guard`] has an example.
    ///
    /// Work that is to end in good order awaits [`Guard::lost`] beside what it does. Once it has
    /// called that, it is not dropped at the loss: it is told, has until shortly before the end of
    /// [`step_down_margin`](tenure_core::ConfigBuilder::step_down_margin) to end by itself, and
    /// what it returns is given. It is dropped then, and never later than the lease ends; and at
    /// once when the store names another leader.
    ///
    /// The loss is seen by the clock, before each time that the work is polled, and needs no
    /// driver. But a future can only be dropped where it awaits. Work that does not, for longer
    /// than the margin, is to look at [`Guard::holds`].
    ///
    /// # Errors
    ///
    /// [`WorkError::Lost`], if the work was dropped, and [`WorkError::Stopped`], if the tracker
    /// stopped before the unit led.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the work; the unit goes on leading.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::Tracker;
    /// # smol::block_on(async {
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// let term = tracker.while_leader(|guard| async move { guard.term().number() }).await?;
    /// assert_eq!(term, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn while_leader<F, W>(&self, work: F) -> Result<W::Output, WorkError>
    where
        F: FnOnce(Guard) -> W,
        W: Future,
    {
        let guard = loop {
            match self.wait_leader().await {
                Outcome::Leader { .. } => {}
                Outcome::Minion | Outcome::Stopped => return Err(WorkError::Stopped),
            }
            if let Some(guard) = self.0.hub.guard() {
                break Guard::new(guard);
            }
        };
        let mut end = guard.end_of_work();
        let mut work = pin!(work(guard));
        poll_fn(|context| match end.poll(context) {
            // First: work that is always ready is not to hide it.
            Poll::Ready(reason) => Poll::Ready(Err(WorkError::Lost(reason))),
            Poll::Pending => work.as_mut().poll(context).map(Ok),
        })
        .await
    }

    /// Gives up the leadership, if there is any, and stays a candidate: after the release, which
    /// waits for guarded work to end, nothing is claimed for `cool_off`.
    ///
    /// Asks, and returns at once: from then on no ticket is answered yes until the unit leads anew.
    ///
    /// The others race for the lease from its release on. A cool-off shorter than a few of their
    /// claims take may well bring the leadership back to this unit.
    pub fn step_down(&self, cool_off: Duration) {
        self.0.hub.resign(Then::StepDown { cool_off });
    }

    /// Asks the tracker to end, and returns at once: the lease is released when guarded work has
    /// ended, and then [`wait`](Tracker::wait) returns.
    pub fn kill(&self) {
        self.0.hub.resign(Then::Stop);
    }

    /// Waits for the tracker to end.
    ///
    /// # Errors
    ///
    /// Why it ended, if nobody asked it to.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn wait(&self) -> Result<(), TrackerError> {
        let hub = &self.0.hub;
        wait_for_end(|slot, waker| hub.poll_end(slot, waker), |slot| hub.stop_waiting(slot)).await
    }

    /// Asks the tracker to end, and waits until it has: [`kill`](Tracker::kill) and
    /// [`wait`](Tracker::wait).
    ///
    /// # Errors
    ///
    /// As [`wait`](Tracker::wait).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take back the asking.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::Tracker;
    /// # smol::block_on(async {
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// tracker.wait_leader().await;
    /// tracker.stop().await?;
    /// assert_eq!(tracker.leader().await?, None, "the lease has been released");
    /// assert_eq!(tracker.claim_leader().await, Outcome::Stopped);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn stop(&self) -> Result<(), TrackerError> {
        self.kill();
        self.wait().await
    }

    /// Which calls of the store are out, or about to be: to see what a tracker waits for. A call
    /// that was given up is not among them, even if it still hangs.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::Tracker;
    /// # smol::block_on(async {
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// assert!(tracker.calls().claim, "it goes out when the driver runs");
    /// smol::spawn(driver.run()).detach();
    /// tracker.wait_leader().await;
    /// assert!(!tracker.calls().claim, "it was granted");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn calls(&self) -> Calls {
        self.0.hub.calls()
    }

    /// The last error that the store gave to a claim, a watch or a release, with its source: why
    /// the unit does not lead, where that is the store's doing.
    pub fn last_error(&self) -> Option<Arc<ClaimerError>> {
        self.0.hub.last_error()
    }
}
