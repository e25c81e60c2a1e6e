use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tenure_runtime::Clock;

use crate::claimer::SqliteClaimer;
use crate::database::{self, Database, Purpose};
use crate::error::OpenError;
use crate::file::{self, Found, Paths};
use crate::host::{Boot, HostClock};
use crate::store::{Patience, Store};

/// How a [`SqliteClaimer`] opens its store.
///
/// ```
/// use std::time::Duration;
/// use tenure_sqlite::SqliteOptions;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("leases.db");
/// let claimer = SqliteOptions::new().busy_timeout(Duration::from_millis(200)).open(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    access: Access,
    boot_id: Option<Arc<str>>,
    busy_timeout: Duration,
    clock: Option<Arc<dyn Clock>>,
    heartbeat: Duration,
    trust_file_system: bool,
    watch: Watch,
}

/// What a claimer may do to its store.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Access {
    /// Claim and release, in a store that is made if it does not exist. An empty file becomes one.
    #[default]
    Create,
    /// Claim and release, in a store that exists.
    Existing,
    /// Look who leads, and wait, in a store that exists and may be read-only. Claims and releases
    /// are refused.
    Look,
}

/// How those who wait learn that the store has changed.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Watch {
    /// The system tells: `inotify`, on Linux and Android. Elsewhere, and where the system has no
    /// more watches to give, this is a poll every 50 ms.
    #[default]
    Notify,
    /// One thread for each file looks at it this often, once in a millisecond at most. A look takes
    /// a few microseconds.
    Poll(Duration),
}

impl SqliteOptions {
    /// The default of [`busy_timeout`](SqliteOptions::busy_timeout).
    pub const DEFAULT_BUSY_TIMEOUT: Duration = Duration::from_secs(1);

    /// The default of [`heartbeat`](SqliteOptions::heartbeat).
    pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(1);

    /// The defaults: what [`SqliteClaimer::open`] uses.
    pub fn new() -> SqliteOptions {
        SqliteOptions {
            access: Access::default(),
            boot_id: None,
            busy_timeout: SqliteOptions::DEFAULT_BUSY_TIMEOUT,
            clock: None,
            heartbeat: SqliteOptions::DEFAULT_HEARTBEAT,
            trust_file_system: false,
            watch: Watch::default(),
        }
    }

    /// What the claimer may do to the store.
    #[must_use]
    pub fn access(self, access: Access) -> SqliteOptions {
        SqliteOptions { access, ..self }
    }

    /// Takes `boot_id` for the id of this boot, in place of the kernel's: for tests that act as
    /// after a reboot, or as in a container.
    ///
    /// No lease is void because of it: the clock tells of a reboot, by having started anew since a
    /// lease was granted. A new holder under another id than the last one's skips 2^20 terms.
    ///
    /// Empty stands for a system that has no such id, as on any but Linux and Android.
    #[must_use]
    pub fn boot_id(self, boot_id: impl Into<Arc<str>>) -> SqliteOptions {
        SqliteOptions { boot_id: Some(boot_id.into()), ..self }
    }

    /// How long a call waits for others to let go of the write lock, before it is
    /// [`Unknown`](tenure_core::ClaimerError::Unknown). One second, unless set.
    ///
    /// A claim holds the lock for some ten microseconds, so only a process that was stopped in the
    /// middle of one, or a disk that hangs, makes others wait this long. More than the runtimes'
    /// `claim_timeout` is of no use: by then they have given the claim up.
    #[must_use]
    pub fn busy_timeout(self, busy_timeout: Duration) -> SqliteOptions {
        SqliteOptions { busy_timeout, ..self }
    }

    /// Judges expiry by `clock`, in place of the host's: for tests. All the claimers of a file
    /// must go by the same clock.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> SqliteOptions {
        SqliteOptions { clock: Some(clock), ..self }
    }

    /// How often one who waits looks at the clock and at the store, though nothing roused it. One
    /// second, unless set; once in a millisecond at most.
    ///
    /// A release rouses those who wait, and each sleeps until the lease expires at most: a
    /// heartbeat that is longer than the lease never comes. It is for what nobody tells of. Timers
    /// stand still while the machine is suspended, so a lease that expired meanwhile may be noticed
    /// a whole heartbeat after the machine went on. So may a release whose notification gets lost,
    /// as on a file system that sends none: there, [`Watch::Poll`] is the remedy.
    ///
    /// A look takes a few microseconds. Nobody leads for longer by a longer heartbeat; it may take
    /// longer until somebody leads again.
    #[must_use]
    pub fn heartbeat(self, heartbeat: Duration) -> SqliteOptions {
        SqliteOptions { heartbeat, ..self }
    }

    /// Opens the store on any file system, also on one that other machines may share.
    ///
    /// For a FUSE file system that you know to be local, say. Where machines do share it, each
    /// judges the leases of the others by a clock of its own, and there are two leaders.
    #[must_use]
    pub fn trust_file_system(self) -> SqliteOptions {
        SqliteOptions { trust_file_system: true, ..self }
    }

    /// How those who wait learn that the store has changed.
    #[must_use]
    pub fn watch(self, watch: Watch) -> SqliteOptions {
        SqliteOptions { watch, ..self }
    }

    /// Opens the store at `path`.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says in one line what is wrong. Nothing was created then, and what was there
    /// is as it was.
    ///
    /// # Blocking
    ///
    /// For the disk, and for the busy timeout at most if another process is at work on the file.
    pub fn open(self, path: impl AsRef<Path>) -> Result<SqliteClaimer, OpenError> {
        let host = self.host().map_err(|source| OpenError::Clock { source })?;
        let (paths, found) = Paths::inspect(path.as_ref())?;
        if !self.trust_file_system {
            file::check_file_system(&paths)?;
        }
        if found != Found::Nothing {
            paths.check_one_name()?;
        }
        let create = self.access == Access::Create;
        database::prepare(&paths, found, create, self.busy_timeout)?;
        let purpose = match self.access {
            Access::Create | Access::Existing => Purpose::Write,
            Access::Look => Purpose::Look,
        };
        let database = Database::open(&paths, purpose, self.busy_timeout)?;
        let patience = Patience {
            busy_timeout: self.busy_timeout,
            heartbeat: self.heartbeat,
            watch: self.watch,
        };
        let store = Store::new(paths, database, purpose, host, patience);
        Ok(SqliteClaimer::new(store))
    }

    fn host(&self) -> std::io::Result<(Boot, Arc<dyn Clock>)> {
        let boot = match &self.boot_id {
            Some(id) => Boot(id.clone()),
            None => Boot::current()?,
        };
        let clock = match &self.clock {
            Some(clock) => clock.clone(),
            None => Arc::new(HostClock::new()?),
        };
        Ok((boot, clock))
    }
}

impl Default for SqliteOptions {
    fn default() -> SqliteOptions {
        SqliteOptions::new()
    }
}
