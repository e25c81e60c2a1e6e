use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{ClaimerError, Leader, ServiceName, Standing, UnitName};
use tenure_runtime::WorkError;

use crate::{Guard, Ticket, Tracker};

/// What a [`manifold`](crate::manifold) gives to those that depend on it: its [`Tracker`], without
/// what could end it or make it give up the leadership.
///
/// Cheap to clone; all clones are one. When the tracker ends, so that it can start anew, what waits
/// here is answered [`Stopped`](tenure_core::Outcome::Stopped); those who depend on the manifold
/// are then started again, and get the leadership of the tracker that comes after.
#[derive(Clone, Debug)]
pub struct Leadership(Tracker);

/// For those that are to know who leads, and not to decide it.
///
/// ```
/// # use std::time::Duration;
/// # use tenure_core::Config;
/// # use tenure_memory::MemoryStore;
/// use tenure_smol::{Leadership, Tracker};
///
/// # let (store, config) = (MemoryStore::new(), Config::new(Duration::from_secs(10))?);
/// let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
/// let leadership = Leadership::from(tracker);
/// # drop(driver);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl From<Tracker> for Leadership {
    fn from(tracker: Tracker) -> Leadership {
        Leadership(tracker)
    }
}

impl Leadership {
    /// What is led.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::{Leadership, Tracker};
    /// # smol::block_on(async {
    /// # let (store, config) = (MemoryStore::new(), Config::new(Duration::from_secs(10))?);
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// # let leadership = Leadership::from(tracker);
    /// assert_eq!(leadership.service_name().as_str(), "mysql");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
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
    /// # use tenure_smol::{Leadership, Tracker};
    /// # smol::block_on(async {
    /// # let (store, config) = (MemoryStore::new(), Config::new(Duration::from_secs(10))?);
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// # let leadership = Leadership::from(tracker);
    /// assert_eq!(leadership.unit_name().as_str(), "mysql/0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn unit_name(&self) -> &UnitName {
        self.0.unit_name()
    }

    /// What a claim asks of the store: twice the guarantee.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::{Leadership, Tracker};
    /// # smol::block_on(async {
    /// # let (store, config) = (MemoryStore::new(), Config::new(Duration::from_secs(10))?);
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// # let leadership = Leadership::from(tracker);
    /// assert_eq!(leadership.claim_duration(), Duration::from_secs(20));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn claim_duration(&self) -> Duration {
        self.0.claim_duration()
    }

    /// Asks: does the unit lead now? See [`Tracker::claim_leader`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::{Leadership, Tracker};
    /// # smol::block_on(async {
    /// # let (store, config) = (MemoryStore::new(), Config::new(Duration::from_secs(10))?);
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// # let leadership = Leadership::from(tracker);
    /// if let Outcome::Leader { term, .. } = leadership.claim_leader().await {
    ///     println!("for ten seconds from now nobody else leads; fence with term {term}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn claim_leader(&self) -> Ticket {
        self.0.claim_leader()
    }

    /// Asks to be told when the unit leads, or when the tracker stops.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Outcome};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::{Leadership, Tracker};
    /// # smol::block_on(async {
    /// # let (store, config) = (MemoryStore::new(), Config::new(Duration::from_secs(10))?);
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// # let leadership = Leadership::from(tracker);
    /// assert!(matches!(leadership.wait_leader().await, Outcome::Leader { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn wait_leader(&self) -> Ticket {
        self.0.wait_leader()
    }

    /// Asks to be told when the unit may no longer rely on leading, or when the tracker stops. See
    /// [`Tracker::wait_minion`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::{Leadership, Tracker};
    /// # smol::block_on(async {
    /// # let (store, config) = (MemoryStore::new(), Config::new(Duration::from_secs(10))?);
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// # let leadership = Leadership::from(tracker);
    /// leadership.wait_leader().await;
    /// assert!(!leadership.wait_minion().is_ready(), "it leads");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn wait_minion(&self) -> Ticket {
        self.0.wait_minion()
    }

    /// What the unit is now. See [`Tracker::standing`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::{Config, Standing};
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::{Leadership, Tracker};
    /// # smol::block_on(async {
    /// # let (store, config) = (MemoryStore::new(), Config::new(Duration::from_secs(10))?);
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// # let leadership = Leadership::from(tracker);
    /// leadership.wait_leader().await;
    /// assert!(matches!(leadership.standing(), Standing::Leader { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn standing(&self) -> Standing {
        self.0.standing()
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
    /// # use tenure_smol::{Leadership, Tracker};
    /// # smol::block_on(async {
    /// # let (store, config) = (MemoryStore::new(), Config::new(Duration::from_secs(10))?);
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// # let leadership = Leadership::from(tracker);
    /// leadership.wait_leader().await;
    /// let leader = leadership.leader().await?.expect("somebody leads");
    /// assert_eq!(leader.unit.as_str(), "mysql/0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn leader(&self) -> Result<Option<Leader>, ClaimerError> {
        self.0.leader().await
    }

    /// Waits to lead, then runs `work` for as long as the unit leads. See
    /// [`Tracker::while_leader`].
    ///
    /// A worker that waits here has to look out for its [`Stop`](crate::dependency::Stop) as well:
    /// an engine that ends stops it before the tracker that it depends on, so nothing else ends the
    /// wait.
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
    /// # use tenure_smol::{Leadership, Tracker};
    /// # smol::block_on(async {
    /// # let (store, config) = (MemoryStore::new(), Config::new(Duration::from_secs(10))?);
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// # let leadership = Leadership::from(tracker);
    /// use futures_lite::FutureExt;
    /// use tenure_smol::dependency::{Stop, WorkerError};
    ///
    /// async fn worker(leadership: Leadership, stop: Stop) -> Result<(), WorkerError> {
    ///     let work = leadership.while_leader(|guard| async move {
    ///         while guard.holds() {
    ///             smol::Timer::after(Duration::from_secs(1)).await;
    ///         }
    ///     });
    ///     let work = async { Ok(work.await?) };
    ///     let told = async {
    ///         stop.wait().await;
    ///         Ok(())
    ///     };
    ///     told.or(work).await
    /// }
    ///
    /// let term = leadership.while_leader(|guard| async move { guard.term().number() }).await?;
    /// assert_eq!(term, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn while_leader<F, W>(&self, work: F) -> Result<W::Output, WorkError>
    where
        F: FnOnce(Guard) -> W,
        W: Future,
    {
        self.0.while_leader(work).await
    }

    /// The last error that the store gave to a claim, a watch or a release, with its source: why
    /// the unit does not lead, where that is the store's doing.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tenure_core::Config;
    /// # use tenure_memory::MemoryStore;
    /// # use tenure_smol::{Leadership, Tracker};
    /// # smol::block_on(async {
    /// # let (store, config) = (MemoryStore::new(), Config::new(Duration::from_secs(10))?);
    /// # let (tracker, driver) = Tracker::new(store, "mysql".parse()?, "mysql/0".parse()?, config);
    /// # smol::spawn(driver.run()).detach();
    /// # let leadership = Leadership::from(tracker);
    /// leadership.wait_leader().await;
    /// assert!(leadership.last_error().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn last_error(&self) -> Option<Arc<ClaimerError>> {
        self.0.last_error()
    }
}
