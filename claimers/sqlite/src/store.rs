//! The calls, on the connections.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use rusqlite::TransactionBehavior;
use tenure_core::{Cancel, Candidate, ClaimAnswer, Leader, NameError, ServiceName};
use tenure_runtime::Clock;

use crate::bell::Bell;
use crate::database::{self, Database, Purpose};
use crate::error::StoreError;
use crate::file::{Identity, Paths};
use crate::host::Boot;
use crate::lease::{Decision, Row, decide};
use crate::options::Watch;
use crate::slot::Slot;
use crate::watch::Subscription;

/// No heartbeat is shorter: that would be a busy loop.
const HEARTBEAT_MIN: Duration = Duration::from_millis(1);

/// How a store waits: as set by the options of the same names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) busy_timeout: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) watch: Watch,
}

/// What all clones of a claimer share.
#[derive(Debug)]
pub(crate) struct Store {
    paths: Paths,
    identity: Identity,
    boot: Boot,
    clock: Arc<dyn Clock>,
    patience: Patience,
    purpose: Purpose,
    /// A claim waits for other claims, never for those who look.
    writer: Slot,
    looker: Slot,
    /// How many services were claimed for the first time here, and how many of them are on the
    /// disk for certain.
    new_rows: AtomicU64,
    synced_rows: AtomicU64,
}

impl Store {
    pub(crate) fn new(
        paths: Paths,
        database: Database,
        purpose: Purpose,
        host: (Boot, Arc<dyn Clock>),
        patience: Patience,
    ) -> Store {
        let identity = database.files.database();
        let (writer, looker) = match purpose {
            Purpose::Write => (Slot::with(Some(database)), Slot::default()),
            Purpose::Look if database.is_snapshot => (Slot::default(), Slot::default()),
            Purpose::Look => (Slot::default(), Slot::with(Some(database))),
        };
        let (boot, clock) = host;
        let (new_rows, synced_rows) = (AtomicU64::new(0), AtomicU64::new(0));
        Store {
            paths,
            identity,
            boot,
            clock,
            patience,
            purpose,
            writer,
            looker,
            new_rows,
            synced_rows,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.paths.store
    }

    pub(crate) fn claim(
        &self,
        candidate: &Candidate,
        lease: Duration,
    ) -> Result<ClaimAnswer, StoreError> {
        let decision = self.write(|store, database| {
            let transaction = database
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(|error| store.sqlite(error))?;
            database.files.check(&store.paths)?;
            // Only now: the lock may have been waited for, and the lease counts from the grant.
            let now = store.clock.now();
            let found =
                Row::read(&transaction, &candidate.service).map_err(|error| store.sqlite(error))?;
            let decision = decide(found.as_ref(), candidate, lease, now, &store.boot);
            if let Decision::Grant(row) = &decision {
                if found.is_none() {
                    store.new_rows.fetch_add(1, Ordering::SeqCst);
                }
                row.write(&transaction, &candidate.service)
                    .and_then(|()| transaction.commit())
                    .map_err(|error| store.sqlite(error))?;
            }
            Ok(decision)
        })?;
        match decision {
            Decision::Grant(row) => {
                self.sync_new_rows()?;
                Ok(ClaimAnswer::Granted { term: row.term() })
            }
            Decision::Deny { unit, remaining } => {
                Ok(ClaimAnswer::Denied { leader: unit.parse().ok(), retry_after: Some(remaining) })
            }
            Decision::Exhausted => {
                Err(StoreError::TermExhausted { path: self.paths.store.clone() })
            }
        }
    }

    /// Puts the log on the disk, if a service in it may be lost.
    ///
    /// A crash of the host may lose what was written since the last checkpoint. A reboot makes
    /// terms rise by more than that, unless the row itself is lost. So a grant that makes a row is
    /// no answer before it is synced, and nor is any later one if that failed.
    fn sync_new_rows(&self) -> Result<(), StoreError> {
        let new_rows = self.new_rows.load(Ordering::SeqCst);
        if self.synced_rows.load(Ordering::SeqCst) >= new_rows {
            return Ok(());
        }
        // The log has no locks that closing it could lose: SQLite locks the database and the index.
        fs::File::open(&self.paths.wal)
            .and_then(|wal| wal.sync_data())
            .map_err(|source| StoreError::Io { path: self.paths.wal.clone(), source })?;
        database::sync_directory(&self.paths.wal);
        self.synced_rows.fetch_max(new_rows, Ordering::SeqCst);
        Ok(())
    }

    pub(crate) fn release(&self, candidate: &Candidate) -> Result<(), StoreError> {
        let freed = self.write(|store, database| {
            let transaction = database
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(|error| store.sqlite(error))?;
            database.files.check(&store.paths)?;
            let freed = Row::free(&transaction, candidate).map_err(|error| store.sqlite(error))?;
            if freed {
                transaction.commit().map_err(|error| store.sqlite(error))?;
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

    pub(crate) fn leader(&self, service: &ServiceName) -> Result<Option<Leader>, StoreError> {
        let Some((row, remaining)) = self.look(service)? else { return Ok(None) };
        let unit = row.unit.parse().map_err(|error: NameError| StoreError::Damaged {
            path: self.paths.store.clone(),
            source: error.into(),
        })?;
        Ok(Some(Leader { unit, term: row.term(), remaining }))
    }

    pub(crate) fn released(
        &self,
        service: &ServiceName,
        cancel: &dyn Cancel,
    ) -> Result<(), StoreError> {
        if cancel.is_cancelled() || self.look(service)?.is_none() {
            return Ok(());
        }
        // Whatever rings from here on is heard by the wait at the end of the loop.
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        cancel.on_cancel(waker.clone());
        let watch = self.patience.watch;
        let subscription = Subscription::new(self.identity, &self.paths, watch, bell.clone())
            .map_err(|source| StoreError::Io { path: self.paths.store.clone(), source })?;
        let heartbeat = self.patience.heartbeat.max(HEARTBEAT_MIN);
        loop {
            self.clock.on_jump(&waker);
            if cancel.is_cancelled() {
                return Ok(());
            }
            match self.look(service)? {
                None => {
                    subscription.leave();
                    return Ok(());
                }
                Some((_, remaining)) => {
                    bell.wait(remaining.min(heartbeat));
                }
            }
        }
    }

    /// The row of `service` and how long its lease still lasts; `None` if it is free.
    fn look(&self, service: &ServiceName) -> Result<Option<(Row, Duration)>, StoreError> {
        let before = self.clock.now();
        let row = self.with(&self.looker, Purpose::Look, |store, database| {
            database.files.check(&store.paths)?;
            Row::read(&database.connection, service).map_err(|error| store.sqlite(error))
        })?;
        let Some(row) = row else { return Ok(None) };
        // A lease that was held before it was read may have been renewed since, and one that was
        // written long after `before` would seem to be of another boot.
        let remaining = row.remaining(before).or_else(|| row.remaining(self.clock.now()));
        Ok(remaining.map(|remaining| (row, remaining)))
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&Store, &mut Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.purpose {
            Purpose::Write => self.with(&self.writer, Purpose::Write, work),
            Purpose::Look => Err(StoreError::LookingOnly { path: self.paths.store.clone() }),
        }
    }

    /// Does `work` on the slot's connection, or on a new one if there is none. All the waiting is
    /// bounded by one busy timeout.
    fn with<T>(
        &self,
        slot: &Slot,
        purpose: Purpose,
        work: impl FnOnce(&Store, &mut Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let busy = || StoreError::Busy { path: self.paths.store.clone() };
        // A timeout too long to be represented is a year.
        let start = Instant::now();
        let year = Duration::from_secs(365 * 24 * 3600);
        let deadline = start + self.patience.busy_timeout.min(year);
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
        if exists.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Err(StoreError::Deleted { path: self.paths.store.clone() });
        }
        let database = Database::open(&self.paths, purpose, busy_timeout)
            .map_err(|source| StoreError::Reopen { source })?;
        if database.files.database() != self.identity {
            return Err(StoreError::Replaced { path: self.paths.store.clone() });
        }
        Ok(database)
    }

    fn sqlite(&self, error: rusqlite::Error) -> StoreError {
        StoreError::from_sqlite(&self.paths.store, error)
    }
}

/// Faults that a test cannot bring about from outside.
#[cfg(test)]
impl Store {
    pub(crate) fn on_writer(&self, work: impl FnOnce(&mut Database)) {
        let done = self.with(&self.writer, Purpose::Write, |_, database| {
            work(database);
            Ok(())
        });
        done.unwrap();
    }

    pub(crate) fn vacate_writer(&self) {
        self.writer.take(Instant::now()).unwrap().database = None;
    }
}
