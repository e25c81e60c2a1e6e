use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, ClaimerError, Judge, Leader, ServiceName,
};

use crate::error::OpenError;
use crate::options::{Access, SqliteOptions};
use crate::store::Store;

/// A lease store in a SQLite file. Cheap to clone: all clones share its connections.
///
/// ```
/// use std::time::Duration;
/// use tenure_core::{BlockingClaimer, Candidate, ClaimAnswer};
/// use tenure_sqlite::SqliteClaimer;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("leases.db");
/// let claimer = SqliteClaimer::open(path)?;
/// let candidate = Candidate {
///     service: "mysql".parse()?,
///     unit: "mysql/0".parse()?,
///     nonce: tenure_runtime::fresh_nonce(),
/// };
/// let ClaimAnswer::Granted { term } = claimer.claim(&candidate, Duration::from_secs(20))? else {
///     panic!("nobody else was there");
/// };
/// let leader = claimer.leader(&candidate.service)?.expect("it was just granted");
/// assert_eq!((leader.unit, leader.term), (candidate.unit.clone(), term));
///
/// claimer.release(&candidate)?;
/// assert_eq!(claimer.leader(&candidate.service)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqliteClaimer(Arc<Store>);

impl SqliteClaimer {
    /// Opens the store at `path`, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// As [`SqliteOptions::open`].
    ///
    /// # Blocking
    ///
    /// As [`SqliteOptions::open`].
    ///
    /// ```
    /// use tenure_sqlite::SqliteClaimer;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("leases.db");
    /// let claimer = SqliteClaimer::open(&path)?;
    /// assert!(path.exists());
    /// let error = SqliteClaimer::open(directory.path()).unwrap_err();
    /// assert!(error.to_string().ends_with("cannot be a store: it is a directory"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<SqliteClaimer, OpenError> {
        SqliteOptions::new().open(path)
    }

    /// Opens the store at `path`, if there is one.
    ///
    /// # Errors
    ///
    /// [`OpenError::Missing`] if there is none; otherwise as [`SqliteOptions::open`].
    ///
    /// # Blocking
    ///
    /// As [`SqliteOptions::open`].
    ///
    /// ```
    /// use tenure_sqlite::{OpenError, SqliteClaimer};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("leases.db");
    /// let error = SqliteClaimer::open_existing(&path).unwrap_err();
    /// assert!(matches!(error, OpenError::Missing { .. }));
    /// assert!(!path.exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_existing(path: impl AsRef<Path>) -> Result<SqliteClaimer, OpenError> {
        SqliteOptions::new().access(Access::Existing).open(path)
    }

    /// Opens the store at `path` to look who leads, and to wait. It may be read-only.
    ///
    /// # Errors
    ///
    /// [`OpenError::Missing`] if there is none; otherwise as [`SqliteOptions::open`].
    ///
    /// # Blocking
    ///
    /// As [`SqliteOptions::open`].
    ///
    /// ```
    /// use tenure_sqlite::SqliteClaimer;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("leases.db");
    /// # SqliteClaimer::open(&path)?;
    /// use tenure_core::BlockingClaimer;
    ///
    /// let status = SqliteClaimer::open_to_look(&path)?;
    /// assert_eq!(status.leader(&"mysql".parse()?)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_to_look(path: impl AsRef<Path>) -> Result<SqliteClaimer, OpenError> {
        SqliteOptions::new().access(Access::Look).open(path)
    }

    /// The path of the store, as it was given but absolute.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn new(store: Store) -> SqliteClaimer {
        SqliteClaimer(Arc::new(store))
    }
}

#[cfg(test)]
impl SqliteClaimer {
    pub(crate) fn store(&self) -> &Store {
        &self.0
    }
}

/// # Blocking
///
/// Every call waits for the disk. A claim and a release also wait for the write lock, a look for
/// others that look: for the busy timeout at most. No call makes another one wait while it waits
/// itself.
impl BlockingClaimer for SqliteClaimer {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, ClaimerError> {
        Ok(self.0.claim(candidate, lease)?)
    }

    /// As [`BlockingClaimer::released`].
    ///
    /// # Blocking
    ///
    /// Until there is no leader, or `cancel` is cancelled. While anybody in this process waits for
    /// a file, one thread named `tenure-sqlite` watches that file.
    fn released(&self, service: &ServiceName, cancel: &dyn Cancel) -> Result<(), ClaimerError> {
        Ok(self.0.released(service, cancel)?)
    }

    fn release(&self, candidate: &Candidate) -> Result<(), ClaimerError> {
        Ok(self.0.release(candidate)?)
    }

    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, ClaimerError> {
        Ok(self.0.leader(service)?)
    }

    /// [`Judge::Host`]: the clock of the host that all the processes share.
    fn judge(&self) -> Judge {
        Judge::Host
    }
}
