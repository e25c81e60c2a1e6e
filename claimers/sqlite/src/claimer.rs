use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use rusqlite::TransactionBehavior;
use tenure_core::{
    BlockingClaimer, Cancel, Candidate, ClaimAnswer, ClaimerError, Judge, Leader, ServiceName,
};
use tenure_runtime::Clock;

use crate::bell::Bell;
use crate::database::{self, Database, Purpose};
use crate::error::{OpenError, StoreError};
use crate::file::{Identity, Paths};
use crate::host::Boot;
use crate::lease::{Decision, Row, decide};
use crate::options::{Access, SqliteOptions, Watch};
use crate::slot::Slot;
use crate::watch::Subscription;

/// How long a waiter waits before it looks at its clock and its row again, come what may: timers
/// stand still while the machine is suspended, and a change that went unnoticed is noticed then.
const HEARTBEAT: Duration = Duration::from_secs(1);

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
pub struct SqliteClaimer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    paths: Paths,
    identity: Identity,
    boot: Boot,
    clock: Arc<dyn Clock>,
    busy_timeout: Duration,
    watch: Watch,
    purpose: Purpose,
    /// A claim waits for other claims, never for those who look.
    writer: Slot,
    looker: Slot,
}

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
        &self.0.paths.store
    }

    pub(crate) fn new(
        paths: Paths,
        database: Database,
        purpose: Purpose,
        boot: Boot,
        clock: Arc<dyn Clock>,
        busy_timeout: Duration,
        watch: Watch,
    ) -> SqliteClaimer {
        let identity = database.files.database();
        let (writer, looker) = match purpose {
            Purpose::Write => (Slot::with(Some(database)), Slot::default()),
            Purpose::Look if database.is_snapshot => (Slot::default(), Slot::default()),
            Purpose::Look => (Slot::default(), Slot::with(Some(database))),
        };
        SqliteClaimer(Arc::new(Inner {
            paths,
            identity,
            boot,
            clock,
            busy_timeout,
            watch,
            purpose,
            writer,
            looker,
        }))
    }
}

/// Faults that a test cannot bring about from outside.
#[cfg(test)]
impl SqliteClaimer {
    pub(crate) fn on_writer(&self, work: impl FnOnce(&mut Database)) {
        let done = self.0.with(&self.0.writer, Purpose::Write, |_, database| {
            work(database);
            Ok(())
        });
        done.unwrap();
    }

    pub(crate) fn vacate_writer(&self) {
        self.0.writer.take(Instant::now()).unwrap().database = None;
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

impl Inner {
    fn claim(&self, candidate: &Candidate, lease: Duration) -> Result<ClaimAnswer, StoreError> {
        let (decision, is_first) = self.write(|inner, database| {
            let transaction = database
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(|error| inner.sqlite(error))?;
            database.files.check(&inner.paths)?;
            // Only now: the lock may have been waited for, and the lease counts from the grant.
            let now = inner.clock.now();
            let found =
                Row::read(&transaction, &candidate.service).map_err(|error| inner.sqlite(error))?;
            let decision = decide(found.as_ref(), candidate, lease, now, &inner.boot);
            if let Decision::Grant(row) = &decision {
                row.write(&transaction, &candidate.service)
                    .and_then(|()| transaction.commit())
                    .map_err(|error| inner.sqlite(error))?;
            }
            Ok((decision, found.is_none()))
        })?;
        match decision {
            Decision::Grant(row) => {
                if is_first {
                    self.sync()?;
                }
                Ok(ClaimAnswer::Granted { term: row.term() })
            }
            Decision::Deny { unit, remaining } => {
                Ok(ClaimAnswer::Denied { leader: unit.parse().ok(), retry_after: Some(remaining) })
            }
            Decision::Exhausted => Err(StoreError::TermExhausted { path: self.path() }),
        }
    }

    /// Puts the log on the disk. A crash of the host may lose what was written since the last
    /// checkpoint; a reboot makes terms rise by more than that, unless the row itself is lost.
    fn sync(&self) -> Result<(), StoreError> {
        // The log has no locks that closing it could lose: SQLite locks the database and the index.
        fs::File::open(&self.paths.wal)
            .and_then(|wal| wal.sync_data())
            .map_err(|source| StoreError::Io { path: self.path(), source })?;
        database::sync_directory(&self.paths.wal);
        Ok(())
    }

    fn release(&self, candidate: &Candidate) -> Result<(), StoreError> {
        let freed = self.write(|inner, database| {
            let transaction = database
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(|error| inner.sqlite(error))?;
            database.files.check(&inner.paths)?;
            let freed = Row::free(&transaction, candidate).map_err(|error| inner.sqlite(error))?;
            if freed {
                transaction.commit().map_err(|error| inner.sqlite(error))?;
            }
            Ok(freed)
        })?;
        if freed {
            self.touch();
        }
        Ok(())
    }

    /// Rouses those who wait once more, now that the release is there for all to see. SQLite
    /// writes to the log before it makes that visible, so that who was roused by the write may
    /// have looked too early.
    fn touch(&self) {
        use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};

        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        // Who misses it looks again on its own, a little later.
        let _ = utimensat(CWD, &self.paths.database, &times, AtFlags::empty());
    }

    fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, StoreError> {
        let Some((row, remaining)) = self.look(service)? else { return Ok(None) };
        let unit = row.unit.parse().map_err(|error: tenure_core::NameError| {
            StoreError::Damaged { path: self.path(), source: error.into() }
        })?;
        Ok(Some(Leader { unit, term: row.term(), remaining }))
    }

    fn released(&self, service: &ServiceName, cancel: &dyn Cancel) -> Result<(), StoreError> {
        if cancel.is_cancelled() || self.look(service)?.is_none() {
            return Ok(());
        }
        // Whatever rings from here on is heard by the wait at the end of the loop.
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        cancel.on_cancel(waker.clone());
        let _subscription = Subscription::new(self.identity, &self.paths, self.watch, bell.clone())
            .map_err(|source| StoreError::Io { path: self.path(), source })?;
        loop {
            self.clock.on_jump(&waker);
            if cancel.is_cancelled() {
                return Ok(());
            }
            match self.look(service)? {
                None => return Ok(()),
                Some((_, remaining)) => {
                    bell.wait(remaining.min(HEARTBEAT));
                }
            }
        }
    }

    /// The row of `service` and how long its lease still lasts; `None` if it is free.
    fn look(&self, service: &ServiceName) -> Result<Option<(Row, Duration)>, StoreError> {
        let row = self.with(&self.looker, Purpose::Look, |inner, database| {
            database.files.check(&inner.paths)?;
            Row::read(&database.connection, service).map_err(|error| inner.sqlite(error))
        })?;
        let now = self.clock.now();
        Ok(row.and_then(|row| {
            let remaining = row.remaining(now, &self.boot)?;
            Some((row, remaining))
        }))
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&Inner, &mut Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.purpose {
            Purpose::Write => self.with(&self.writer, Purpose::Write, work),
            Purpose::Look => Err(StoreError::LookingOnly { path: self.path() }),
        }
    }

    /// Does `work` on the slot's connection, or on a new one if there is none. All the waiting is
    /// bounded by one busy timeout.
    fn with<T>(
        &self,
        slot: &Slot,
        purpose: Purpose,
        work: impl FnOnce(&Inner, &mut Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let busy = || StoreError::Busy { path: self.path() };
        // A timeout too long to be represented is a year.
        let start = Instant::now();
        let year = Duration::from_secs(365 * 24 * 3600);
        let deadline = start + self.busy_timeout.min(year);
        let mut taken = slot.take(deadline).ok_or_else(busy)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let database = match &mut taken.database {
            Some(database) => {
                database.connection.busy_timeout(left).map_err(|error| self.sqlite(error))?;
                database
            }
            vacant => vacant.insert(self.reopen(purpose, left)?),
        };
        let result = work(self, database);
        let is_spoilt = result.as_ref().err().is_some_and(StoreError::spoils_connection);
        if is_spoilt || database.is_snapshot {
            taken.database = None;
        }
        result
    }

    fn reopen(&self, purpose: Purpose, busy_timeout: Duration) -> Result<Database, StoreError> {
        let exists = Identity::of(&self.paths.store);
        if exists.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return Err(StoreError::Deleted { path: self.path() });
        }
        let database = Database::open(&self.paths, purpose, busy_timeout)
            .map_err(|source| StoreError::Reopen { source })?;
        if database.files.database() != self.identity {
            return Err(StoreError::Replaced { path: self.path() });
        }
        Ok(database)
    }

    fn sqlite(&self, error: rusqlite::Error) -> StoreError {
        StoreError::from_sqlite(&self.paths.store, error)
    }

    fn path(&self) -> std::path::PathBuf {
        self.paths.store.clone()
    }
}
