use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{ClaimerError, Leader, ServiceName, Standing, UnitName};
use tenure_runtime::{CancelToken, WorkError};

use crate::{Guard, Ticket, Tracker};

/// A [`Tracker`] for those that must not stop it: what a tracker's
/// [`manifold`](crate::manifold) gives to its dependents.
///
/// Cheap to clone. When the tracker has ended, tickets are answered
/// [`Stopped`](tenure_core::Outcome::Stopped); the engine has stopped the dependents by then, or is
/// about to.
///
/// A tracker of one's own makes one, too: to test what depends on it.
///
/// ```
/// use std::time::Duration;
/// use tenure_core::{Config, Outcome};
/// use tenure_memory::MemoryStore;
/// use tenure_std::{Leadership, Tracker};
///
/// let config = Config::new(Duration::from_secs(10))?;
/// let store = MemoryStore::new();
/// let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
/// driver.spawn()?;
/// let leadership = Leadership::from(tracker);
/// assert!(matches!(leadership.wait_leader().wait(), Outcome::Leader { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Leadership(Tracker);

impl From<Tracker> for Leadership {
    fn from(tracker: Tracker) -> Leadership {
        Leadership(tracker)
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Leadership");
        debug.field("service", self.service_name()).field("unit", self.unit_name());
        debug.field("standing", &self.standing()).finish()
    }
}

impl Leadership {
    /// What is led.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::{Leadership, Tracker};
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// # let leadership = Leadership::from(tracker);
    /// assert_eq!(leadership.service_name().as_str(), "mysql");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn service_name(&self) -> &ServiceName {
        self.0.service_name()
    }

    /// Who is the candidate.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::{Leadership, Tracker};
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// # let leadership = Leadership::from(tracker);
    /// assert_eq!(leadership.unit_name().as_str(), "mysql/0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unit_name(&self) -> &UnitName {
        self.0.unit_name()
    }

    /// What a claim asks of the store: see [`Tracker::claim_duration`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::{Leadership, Tracker};
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// # let leadership = Leadership::from(tracker);
    /// assert_eq!(leadership.claim_duration(), Duration::from_secs(20));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn claim_duration(&self) -> Duration {
        self.0.claim_duration()
    }

    /// Asks: do I lead now? See [`Tracker::claim_leader`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::{Leadership, Tracker};
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// # let leadership = Leadership::from(tracker);
    /// if let Outcome::Leader { term, .. } = leadership.claim_leader().wait() {
    ///     println!("for ten seconds from now nobody else leads; fence with term {term}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn claim_leader(&self) -> Ticket {
        self.0.claim_leader()
    }

    /// Asks to be told when the unit leads, or when the tracker stops: see
    /// [`Tracker::wait_leader`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::{Leadership, Tracker};
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// # let leadership = Leadership::from(tracker);
    /// assert!(matches!(leadership.wait_leader().wait(), Outcome::Leader { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_leader(&self) -> Ticket {
        self.0.wait_leader()
    }

    /// Asks to be told when the unit may no longer rely on leading, or when the tracker stops: see
    /// [`Tracker::wait_minion`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::{Leadership, Tracker};
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// # let leadership = Leadership::from(tracker.clone());
    /// leadership.wait_leader().wait();
    /// let lost = leadership.wait_minion();
    /// tracker.step_down(Duration::from_secs(60));
    /// assert_eq!(lost.wait(), Outcome::Minion);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_minion(&self) -> Ticket {
        self.0.wait_minion()
    }

    /// What the unit is now: see [`Tracker::standing`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Standing};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::{Leadership, Tracker};
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// # let leadership = Leadership::from(tracker);
    /// leadership.wait_leader().wait();
    /// assert!(matches!(leadership.standing(), Standing::Leader { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn standing(&self) -> Standing {
        self.0.standing()
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
    /// # use tenure_std::{Leadership, Tracker};
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// # let leadership = Leadership::from(tracker);
    /// leadership.wait_leader().wait();
    /// let leader = leadership.leader()?.expect("somebody leads");
    /// assert_eq!(leader.unit.as_str(), "mysql/0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leader(&self) -> Result<Option<Leader>, ClaimerError> {
        self.0.leader()
    }

    /// Waits to lead, then runs `work`, which has to end when its [`Guard`] says that the
    /// leadership is lost or to be given up: see [`Tracker::while_leader`].
    ///
    /// Not for workers of an engine, which has to be able to stop them while they wait: those use
    /// [`while_leader_until`](Leadership::while_leader_until).
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
    /// # use tenure_std::{Leadership, Tracker};
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// # let leadership = Leadership::from(tracker.clone());
    /// let term = leadership.while_leader(|guard| {
    ///     while !guard.wait_lost_timeout(Duration::from_millis(1)) {
    ///         assert!(guard.holds());
    ///         tracker.step_down(Duration::from_secs(60));
    ///     }
    ///     guard.term()
    /// })?;
    /// assert_eq!(term.number(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn while_leader<F, T>(&self, work: F) -> Result<T, WorkError>
    where
        F: FnOnce(&mut Guard) -> T,
    {
        self.0.while_leader(work)
    }

    /// As [`while_leader`](Leadership::while_leader), but waits no longer once `cancel` is
    /// cancelled: for a worker of an engine, whose token
    /// ([`Context::cancel`](crate::dependency::Context::cancel)) is cancelled when it has to stop.
    /// The work has to look at the token, too.
    ///
    /// # Errors
    ///
    /// [`WorkError::Stopped`], if the tracker stopped before the unit led. `None` if the token was
    /// cancelled before it did.
    ///
    /// # Blocking
    ///
    /// Until the unit leads or the token is cancelled, and then for as long as the work takes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tenure_core::Cancel;
    /// use tenure_std::Leadership;
    /// use tenure_std::dependency::{CancelToken, Manifold, Started, Worker, WorkerError};
    ///
    /// struct Work {
    ///     leadership: Leadership,
    ///     cancel: CancelToken,
    /// }
    ///
    /// impl Worker for Work {
    ///     // Before this is called the token is cancelled.
    ///     fn kill(&self) {}
    ///
    ///     fn wait(&self) -> Result<(), WorkerError> {
    ///         self.leadership.while_leader_until(&self.cancel, |guard| {
    ///             while !self.cancel.is_cancelled()
    ///                 && !guard.wait_lost_timeout(Duration::from_millis(10))
    ///             {
    ///                 // What only a leader may do.
    ///             }
    ///         })?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let manifold = Manifold::new(["leadership"], |context| {
    ///     let (leadership, cancel) = (context.get("leadership")?, context.cancel());
    ///     Ok(Started::new(Work { leadership, cancel }))
    /// });
    /// ```
    pub fn while_leader_until<F, T>(
        &self,
        cancel: &CancelToken,
        work: F,
    ) -> Result<Option<T>, WorkError>
    where
        F: FnOnce(&mut Guard) -> T,
    {
        self.0.while_leader_until(cancel, work)
    }

    /// The last error that the store gave, with its source: why the unit does not lead, where that
    /// is the store's doing.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_std::{Leadership, Tracker};
    /// # let config = Config::new(Duration::from_secs(10))?;
    /// # let store = MemoryStore::new();
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # driver.spawn()?;
    /// # let leadership = Leadership::from(tracker);
    /// leadership.wait_leader().wait();
    /// assert!(leadership.last_error().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn last_error(&self) -> Option<Arc<ClaimerError>> {
        self.0.last_error()
    }
}
