use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    BlockingClaimer, ClaimerError, Config, Leader, Outcome, ServiceName, Slot, Standing, Then,
    TicketKind, UnitName,
};
use tenure_runtime::{BootClock, Calls, CancelToken, Clock, Hub, TrackerError, WorkError};

use crate::{Driver, Guard, Ticket, park};

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

type Lookup = Result<Option<Leader>, ClaimerError>;

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
    /// The claim goes out when the driver runs. For a store that is asynchronous, see
    /// [`BlockOn`](crate::BlockOn).
    ///
    /// # Panics
    ///
    /// If the operating system has no random bytes to give.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tenure_core::{Config, Outcome};
    /// use tenure_memory::MemoryStore;
    /// use tenure_std::Tracker;
    ///
    /// let config = Config::new(Duration::from_secs(10))?;
    /// let store = MemoryStore::new();
    /// let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// driver.spawn()?;
    /// assert!(matches!(tracker.wait_leader().wait(), Outcome::Leader { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new<C: BlockingClaimer>(
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
    /// use tenure_std::Tracker;
    ///
    /// let config = Config::new(Duration::from_secs(10))?;
    /// let (store, clock) = (MemoryStore::new(), Arc::new(ManualClock::new()));
    /// let names = ("mysql".parse()?, "mysql/0".parse()?);
    /// let (tracker, driver) = Tracker::with_clock(store, names.0, names.1, config, clock.clone());
    /// driver.spawn()?;
    /// tracker.wait_leader().wait();
    /// let lost = tracker.wait_minion();
    /// clock.advance(Duration::from_secs(40));
    /// assert_eq!(lost.wait(), Outcome::Minion, "as if this process had been paused for 40 s");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_clock<C: BlockingClaimer>(
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
            move || claimer.leader(&service)
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
    /// # use tenure_std::Tracker;
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// if let Outcome::Leader { term, .. } = tracker.claim_leader().wait() {
    ///     println!("for ten seconds from now nobody else leads; fence with term {term}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
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
    /// # use tenure_std::Tracker;
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// assert!(matches!(tracker.wait_leader().wait(), Outcome::Leader { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
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
    /// # use tenure_std::Tracker;
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// tracker.wait_leader().wait();
    /// let lost = tracker.wait_minion();
    /// tracker.step_down(Duration::from_secs(60));
    /// assert_eq!(lost.wait(), Outcome::Minion);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
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
    /// The store's.
    ///
    /// # Blocking
    ///
    /// Until the store answers: there is no time limit but its own.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::Tracker;
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// tracker.wait_leader().wait();
    /// let leader = tracker.leader()?.expect("somebody leads");
    /// assert_eq!(leader.unit.as_str(), "mysql/0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leader(&self) -> Result<Option<Leader>, ClaimerError> {
        (self.0.lookup)()
    }

    /// Waits to lead, then runs `work`.
    ///
    /// When the leadership is lost, or to be given up, the [`Guard`] says so, and the work has to
    /// end by itself. Until then the lease is renewed, as long as the store lets it, and not
    /// released.
    ///
    /// **What the work starts on other threads is not waited for, unless a clone of the guard is
    /// moved there**: see [`Guard`].
    ///
    /// # Errors
    ///
    /// [`WorkError::Stopped`], if the tracker stopped before the unit led.
    ///
    /// # Blocking
    ///
    /// Until the unit leads, and then for as long as the work takes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::Tracker;
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// let mut steps = 0;
    /// tracker.while_leader(|guard| {
    ///     while !guard.wait_lost_timeout(Duration::from_millis(1)) {
    ///         assert!(guard.holds());
    ///         steps += 1;
    ///         if steps == 3 {
    ///             tracker.step_down(Duration::from_secs(60));
    ///         }
    ///     }
    /// })?;
    /// assert_eq!(steps, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn while_leader<F, T>(&self, work: F) -> Result<T, WorkError>
    where
        F: FnOnce(&mut Guard) -> T,
    {
        let guard = self.lead(|ticket| Some(ticket.wait()))?;
        Ok(work(&mut guard.ok_or(WorkError::Stopped)?))
    }

    /// As [`while_leader`](Tracker::while_leader), but waits no longer once `cancel` is cancelled.
    pub(crate) fn while_leader_until<F, T>(
        &self,
        cancel: &CancelToken,
        work: F,
    ) -> Result<Option<T>, WorkError>
    where
        F: FnOnce(&mut Guard) -> T,
    {
        let guard = self.lead(|ticket| ticket.wait_until(cancel))?;
        Ok(guard.map(|mut guard| work(&mut guard)))
    }

    /// Waits to lead, for as long as `wait` does.
    fn lead(&self, wait: impl Fn(Ticket) -> Option<Outcome>) -> Result<Option<Guard>, WorkError> {
        loop {
            match wait(self.wait_leader()) {
                Some(Outcome::Leader { .. }) => {}
                Some(Outcome::Minion | Outcome::Stopped) => return Err(WorkError::Stopped),
                None => return Ok(None),
            }
            if let Some(inner) = self.0.hub.guard() {
                return Ok(Some(Guard { inner }));
            }
        }
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
    /// # Blocking
    ///
    /// Until then.
    pub fn wait(&self) -> Result<(), TrackerError> {
        let mut waiting = Waiting { hub: &self.0.hub, slot: None };
        park::block_on(|waker| waiting.hub.poll_end(&mut waiting.slot, waker))
    }

    /// Asks the tracker to end, and waits until it has: [`kill`](Tracker::kill) and
    /// [`wait`](Tracker::wait).
    ///
    /// # Errors
    ///
    /// As [`wait`](Tracker::wait).
    ///
    /// # Blocking
    ///
    /// Until guarded work has ended and the lease has been released.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::Tracker;
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// tracker.wait_leader().wait();
    /// tracker.stop()?;
    /// assert_eq!(tracker.leader()?, None, "the lease has been released");
    /// assert_eq!(tracker.claim_leader().wait(), Outcome::Stopped);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stop(&self) -> Result<(), TrackerError> {
        self.kill();
        self.wait()
    }

    /// Which calls of the store are out, or about to be: to see what a tracker waits for. A call
    /// that was given up is not among them, even if it still hangs.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::Tracker;
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// assert!(tracker.calls().claim, "it goes out when the driver runs");
    /// driver.spawn()?;
    /// tracker.wait_leader().wait();
    /// assert!(!tracker.calls().claim, "it was granted");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
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

/// One who waits for the end, for as long as it does.
struct Waiting<'a> {
    hub: &'a Hub,
    slot: Option<Slot>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            self.hub.stop_waiting(slot);
        }
    }
}
